/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <openssl/err.h>
#include <openssl/evp.h>

#include "macro.h"

/* Ownership for OpenSSL's types: _cleanup_(pkey_freep) and the like. All of these overwrite what is secret.
 */

#define DEFINE_OPENSSL_CLEANUP_FUNC(type, name, function)                                                   \
        static inline void name##_freep(type **p)                                                           \
        {                                                                                                   \
                function(*p);                                                                               \
        }                                                                                                   \
        struct UNIQUE(_trailing_semicolon_)

DEFINE_OPENSSL_CLEANUP_FUNC(EVP_MD_CTX, md_ctx, EVP_MD_CTX_free);
DEFINE_OPENSSL_CLEANUP_FUNC(EVP_PKEY, pkey, EVP_PKEY_free);
DEFINE_OPENSSL_CLEANUP_FUNC(EVP_PKEY_CTX, pkey_ctx, EVP_PKEY_CTX_free);

/* What OpenSSL has to say about refused input must not show up in the error queue of somebody's TLS: in a
 * function that begins with KEEP_ERROR_QUEUE it is gone when the function returns. (An empty queue takes no
 * mark; then everything goes, which is the same.) */
static inline void pop_openssl_errors(const int *unused)
{
        (void) ERR_pop_to_mark();
}
#define KEEP_ERROR_QUEUE _cleanup_(pop_openssl_errors) _unused_ const int _keep_error_queue = ERR_set_mark()
