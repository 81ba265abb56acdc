/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "parse-util.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "macro.h"

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
        unsigned long long n;
        char *end;

        if (!isdigit((unsigned char) *s))
                return -EINVAL;
        errno = 0;
        n = strtoull(s, &end, 10);
        if (*end)
                return -EINVAL;
        if (errno != 0 || n < min || n > max)
                return -ERANGE;
        *ret = n;
        return 0;
}

int parse_u16(const char *s, uint16_t *ret)
{
        uint64_t n;
        int r = parse_u64(s, 0, UINT16_MAX, &n);

        if (r >= 0)
                *ret = (uint16_t) n;
        return r;
}

int parse_u32(const char *s, uint32_t *ret)
{
        uint64_t n;
        int r = parse_u64(s, 0, UINT32_MAX, &n);

        if (r >= 0)
                *ret = (uint32_t) n;
        return r;
}

int parse_boolean(const char *s, bool *ret)
{
        static const char *const words[][6] = { { "no", "false", "off", "0", "n", "f" },
                                                { "yes", "true", "on", "1", "y", "t" } };

        for (size_t value = 0; value < 2; value++)
                for (size_t i = 0; i < ELEMENTSOF(words[value]); i++)
                        if (strcasecmp(s, words[value][i]) == 0) {
                                *ret = value;
                                return 0;
                        }
        return -EINVAL;
}
