/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tls.h"

/* A TLS connection of ours on a connected, non-blocking TCP socket (OpenSSL). The handshake is made by the
 * first call that needs it. */

typedef struct TlsStream TlsStream;

/* fd is lent. The context must outlive the stream. Makes the process ignore SIGPIPE, unless it has a handler
 * (OpenSSL writes with write(2)). -ENOMEM. */
int tls_stream_new(TlsContext *context, int fd, TlsStream **ret);

/* Says goodbye if it can be said at once; accepts NULL, returns NULL. */
TlsStream *tls_stream_free(TlsStream *stream);
DEFINE_TRIVIAL_CLEANUP_FUNC(TlsStream *, tls_stream_free);

/* 0: done. -EAGAIN: call it again when the socket has what *ret_events (EPOLLIN, EPOLLOUT) says;
 * -EKEYREJECTED: the certificate was refused; -EPROTO: TLS failed otherwise, the other side has refused or
 * does not speak it; errno of the socket. */
int tls_stream_handshake(TlsStream *stream, uint32_t *ret_events);

/* Bytes read or written, at most `size`; 0 (read only): the other side has ended. Errors as above. */
ssize_t tls_stream_read(TlsStream *stream, void *data, size_t size, uint32_t *ret_events);
ssize_t tls_stream_write(TlsStream *stream, const void *data, size_t size, uint32_t *ret_events);

/* What went wrong, for people, after an error other than -EAGAIN; never NULL, good until the next call. */
const char *tls_stream_error(const TlsStream *stream);
