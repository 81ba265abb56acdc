/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Base64 and hexadecimal (RFC 4648). Decoders are strict: no white space, canonical padding, no stray bits,
 * hexadecimal digits in lower case. */

/* Bytes needed for n bytes encoded, NUL included. */
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)
#define HEX_SIZE(n) ((n) * 2 + 1)

char *base64_encode(const void *p, size_t n, char *buf);
char *hex_encode(const void *p, size_t n, char *buf);

/* Decode s (of n characters) into at most max bytes at p. -EINVAL if malformed, -ENOBUFS if longer than max;
 * what was decoded before an error may have been written to p. */
int base64_decode(const char *s, size_t n, void *p, size_t max, size_t *ret_size);
int hex_decode(const char *s, size_t n, void *p, size_t max, size_t *ret_size);
