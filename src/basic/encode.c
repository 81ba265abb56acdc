/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "encode.h"

#include <errno.h>
#include <string.h>

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *p, size_t n, char *buf)
{
        const uint8_t *b = p;
        char *s = buf;

        for (size_t i = 0; i < n; i += 3) {
                uint32_t v = (uint32_t) b[i] << 16 | (i + 1 < n ? (uint32_t) b[i + 1] << 8 : 0) |
                             (i + 2 < n ? b[i + 2] : 0);

                *s++ = base64_alphabet[v >> 18];
                *s++ = base64_alphabet[v >> 12 & 63];
                *s++ = i + 1 < n ? base64_alphabet[v >> 6 & 63] : '=';
                *s++ = i + 2 < n ? base64_alphabet[v & 63] : '=';
        }
        *s = '\0';
        return buf;
}

static int base64_value(char c)
{
        const char *p = c ? strchr(base64_alphabet, c) : NULL;

        return p ? (int) (p - base64_alphabet) : -EINVAL;
}

int base64_decode(const char *s, size_t n, void *p, size_t max, size_t *ret_size)
{
        size_t padding = 0, size;
        uint8_t *b = p;

        if (n % 4 != 0)
                return -EINVAL;
        if (n > 0)
                padding = s[n - 1] != '=' ? 0 : s[n - 2] != '=' ? 1 : 2;
        size = n / 4 * 3 - padding;
        if (size > max)
                return -ENOBUFS;

        for (size_t i = 0, k = 0; i < n; i += 4) {
                uint32_t v = 0;

                for (size_t j = 0; j < 4; j++) {
                        int x = i + j >= n - padding ? 0 : base64_value(s[i + j]);

                        if (x < 0)
                                return -EINVAL;
                        v = v << 6 | (uint32_t) x;
                }
                for (size_t j = 0; j < 3; j++, v <<= 8) {
                        if (k < size)
                                b[k++] = (uint8_t) (v >> 16);
                        else if (v & 0xff0000)
                                return -EINVAL; /* bits that no encoder sets */
                }
        }
        *ret_size = size;
        return 0;
}

char *hex_encode(const void *p, size_t n, char *buf)
{
        static const char digits[] = "0123456789abcdef";
        const uint8_t *b = p;

        for (size_t i = 0; i < n; i++) {
                buf[2 * i] = digits[b[i] >> 4];
                buf[2 * i + 1] = digits[b[i] & 15];
        }
        buf[2 * n] = '\0';
        return buf;
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -EINVAL;
}

int hex_decode(const char *s, size_t n, void *p, size_t max, size_t *ret_size)
{
        uint8_t *b = p;

        if (n % 2 != 0)
                return -EINVAL;
        if (n / 2 > max)
                return -ENOBUFS;
        for (size_t i = 0; i < n / 2; i++) {
                int high = hex_value(s[2 * i]), low = hex_value(s[2 * i + 1]);

                if (high < 0 || low < 0)
                        return -EINVAL;
                b[i] = (uint8_t) (high << 4 | low);
        }
        *ret_size = n / 2;
        return 0;
}
