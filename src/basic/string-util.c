/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "string-util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

int free_and_strdup(char **p, const char *s)
{
        char *copy = NULL;

        if (streq_ptr(*p, s))
                return 0;
        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }
        free(*p);
        *p = copy;
        return 1;
}

char *asprintf_safe(const char *format, ...)
{
        char *s = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&s, format, ap);
        va_end(ap);
        return r < 0 ? NULL : s;
}

char *cescape(const char *s, size_t size)
{
        static const char hex[] = "0123456789abcdef";
        char *escaped, *p;

        p = escaped = malloc(size * 4 + 1);
        if (!escaped)
                return NULL;
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char) s[i];

                if (c >= ' ' && c < 127 && c != '\\') {
                        *p++ = (char) c;
                        continue;
                }
                *p++ = '\\';
                *p++ = 'x';
                *p++ = hex[c >> 4];
                *p++ = hex[c & 15];
        }
        *p = '\0';
        return escaped;
}
