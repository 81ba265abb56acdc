/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"

#include <errno.h>

#include "alloc-util.h"
#include "string-util.h"

void strv_clear(char ***l)
{
        for (size_t i = 0; *l && (*l)[i]; i++)
                free((*l)[i]);
        *l = mfree(*l);
}

size_t strv_length(char **l)
{
        size_t n = 0;

        while (l && l[n])
                n++;
        return n;
}

int strv_append(char ***l, const char *s)
{
        size_t n = strv_length(*l);
        char **more, *copy = strdup(s);

        if (!copy)
                return -ENOMEM;
        more = reallocarray(*l, n + 2, sizeof(char *));
        if (!more) {
                free(copy);
                return -ENOMEM;
        }
        more[n] = copy;
        more[n + 1] = NULL;
        *l = more;
        return 0;
}

int strv_copy(char ***p, char **l)
{
        for (size_t i = 0; l && l[i]; i++) {
                int r = strv_append(p, l[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

bool strv_equal(char **a, char **b)
{
        size_t n = strv_length(a);

        if (strv_length(b) != n)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return true;
}
