/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sdp-text.h"

#include <errno.h>
#include <strings.h>

bool sdp_text_cut(SdpText *rest, char separator, SdpText *ret)
{
        const char *end;

        if (!rest->s)
                return false;
        end = memchr(rest->s, separator, rest->n);
        if (!end) {
                *ret = *rest;
                *rest = (SdpText) {};
                return true;
        }
        *ret = (SdpText) { rest->s, (size_t) (end - rest->s) };
        *rest = (SdpText) { end + 1, rest->n - ret->n - 1 };
        return true;
}

bool sdp_text_equal(SdpText t, const char *s)
{
        return t.n == strlen(s) && memcmp(t.s, s, t.n) == 0;
}

bool sdp_text_equal_nocase(SdpText t, const char *s)
{
        return t.n == strlen(s) && strncasecmp(t.s, s, t.n) == 0;
}

bool sdp_text_is_visible(SdpText t)
{
        for (size_t i = 0; i < t.n; i++)
                if (t.s[i] <= ' ' || t.s[i] >= 0x7f)
                        return false;
        return true;
}

bool sdp_text_is_token(SdpText t)
{
        if (t.n == 0 || !sdp_text_is_visible(t))
                return false;
        for (size_t i = 0; i < t.n; i++)
                if (strchr("\"(),/:;<=>?@[\\]", t.s[i]))
                        return false;
        return true;
}

int sdp_text_parse_number(SdpText t, uint64_t min, uint64_t max, uint64_t *ret)
{
        uint64_t value = 0;

        if (t.n == 0)
                return -EINVAL;
        for (size_t i = 0; i < t.n; i++) {
                if (t.s[i] < '0' || t.s[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t) (t.s[i] - '0'), &value))
                        return -EINVAL;
        }
        if (value < min || value > max)
                return -EINVAL;
        *ret = value;
        return 0;
}
