/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "turn-credentials.h"

#include <inttypes.h>
#include <limits.h>
#include <openssl/hmac.h>

#include "alloc-util.h"
#include "encode.h"
#include "openssl-util.h"
#include "string-util.h"

int turn_credentials_make(const char *secret, const char *user, usec_t expires, char **ret_username,
                          char **ret_password)
{
        KEEP_ERROR_QUEUE;
        _cleanup_free_ char *username = NULL;
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        char *password;
        bool ok;

        assert(strlen(secret) <= INT_MAX);
        username = asprintf_safe("%" PRIu64 "%s%s", (uint64_t) (expires / USEC_PER_SEC), user ? ":" : "",
                                 strempty(user));
        if (!username)
                return -ENOMEM;
        ok = HMAC(EVP_sha1(), secret, (int) strlen(secret), (const uint8_t *) username, strlen(username),
                  digest, &size);
        if (!ok)
                return -EIO;
        password = malloc(BASE64_SIZE(size));
        if (password)
                base64_encode(digest, size, password);
        erase(digest, sizeof(digest));
        if (!password)
                return -ENOMEM;
        *ret_username = TAKE_PTR(username);
        *ret_password = password;
        return 0;
}
