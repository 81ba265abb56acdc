/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "macro.h"

#define new(type, n) ((type *) reallocarray(NULL, (n), sizeof(type)))
#define new0(type, n) ((type *) calloc((n), sizeof(type)))

#define free_and_replace(a, b)                                                                              \
        ({                                                                                                  \
                __typeof__(a) *_a = &(a);                                                                   \
                __typeof__(b) *_b = &(b);                                                                   \
                free(*_a);                                                                                  \
                *_a = *_b;                                                                                  \
                *_b = NULL;                                                                                 \
                0;                                                                                          \
        })

static inline void *mfree(void *p)
{
        free(p);
        return NULL;
}

/* Makes room for `need` elements of `size` bytes in *p, at least doubling; *allocated counts elements.
 * 0, or -ENOMEM with everything unchanged. */
int grow_array(void **p, size_t *allocated, size_t need, size_t size);
#define GROW_ARRAY(p, allocated, need) grow_array((void **) &(p), &(allocated), (need), sizeof(*(p)))

/* A copy of n bytes with a NUL behind them; NULL without memory. */
void *memdup_suffix0(const void *p, size_t n);

/* Secrets: overwrite in a way that the compiler keeps. */
static inline void erase(void *p, size_t n)
{
        if (p)
                explicit_bzero(p, n);
}

/* Frees a NUL-terminated secret after overwriting it; returns NULL. */
char *erase_and_free_string(char *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(char *, erase_and_free_string);
#define _cleanup_erase_free_ _cleanup_(erase_and_free_stringp)
