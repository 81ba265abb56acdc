/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "macro.h"

static inline bool streq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

/* NULL equals only NULL. */
static inline bool streq_ptr(const char *a, const char *b)
{
        return a && b ? streq(a, b) : a == b;
}

static inline bool isempty(const char *s)
{
        return !s || !*s;
}

static inline const char *strna(const char *s)
{
        return s ?: "n/a";
}

static inline const char *strempty(const char *s)
{
        return s ?: "";
}

/* The rest of s behind prefix, or NULL. */
static inline char *startswith(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? (char *) s + n : NULL;
}

/* Replaces *p by a copy of s (NULL is allowed). 1 if it changed, 0 if it was equal, -ENOMEM with *p
 * unchanged. */
int free_and_strdup(char **p, const char *s);

/* A new string from a format; NULL without memory. */
char *asprintf_safe(const char *format, ...) _printf_(1, 2);

/* A copy of s with every byte that a terminal or a log could take amiss written as \xNN; NULL without
 * memory. */
char *cescape(const char *s, size_t size);
