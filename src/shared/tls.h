/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "macro.h"

/* The client side of TLS (OpenSSL) for libraries that take an SSL_CTX: TLS 1.2 or later, the certificate
 * must be valid for `name`, whatever address the connection goes to. */

struct ssl_ctx_st;
struct ssl_st;

typedef struct TlsContext TlsContext;

/* name: a host name, or an IP address that the certificate must name as such. ca_file: PEM; NULL: the
 * system's. The context must outlive its connections. The error of opening ca_file; -EBADMSG: no certificate
 * in it; -EINVAL: not a name; -ENOMEM, -EIO. */
int tls_context_new(const char *name, const char *ca_file, TlsContext **ret);
/* Who we are to servers that ask: PEM with our certificate, those that lead to an authority, and our private
 * key, without a passphrase. -EBADMSG: it is not that; -EINVAL: the key is another one's; -ENOMEM. */
int tls_context_set_identity(TlsContext *context, const char *pem);
TlsContext *tls_context_free(TlsContext *context);
DEFINE_TRIVIAL_CLEANUP_FUNC(TlsContext *, tls_context_free);

/* Lent. */
struct ssl_ctx_st *tls_context_get(TlsContext *context);

/* Why the latest certificate was not accepted, for people; NULL if none was refused. */
const char *tls_context_refusal(const TlsContext *context);

/* Is the handshake of a connection done? Does it wait for the socket to take bytes? How many bytes does it
 * hold that no poll of the socket will tell of? */
bool tls_is_established(const struct ssl_st *ssl);
bool tls_wants_write(const struct ssl_st *ssl);
size_t tls_pending(const struct ssl_st *ssl);
