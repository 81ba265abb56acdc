/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"

#include <errno.h>
#include <stdint.h>

int grow_array(void **p, size_t *allocated, size_t need, size_t size)
{
        size_t n;
        void *q;

        if (need <= *allocated)
                return 0;

        n = MAX(need, *allocated > SIZE_MAX / 2 ? need : *allocated * 2);
        q = reallocarray(*p, n, size);
        if (!q)
                return -ENOMEM;

        *p = q;
        *allocated = n;
        return 0;
}

void *memdup_suffix0(const void *p, size_t n)
{
        char *copy;

        if (n == SIZE_MAX)
                return NULL;
        copy = malloc(n + 1);
        if (!copy)
                return NULL;
        if (n > 0)
                memcpy(copy, p, n);
        copy[n] = '\0';
        return copy;
}

char *erase_and_free_string(char *s)
{
        if (s)
                explicit_bzero(s, strlen(s));
        free(s);
        return NULL;
}
