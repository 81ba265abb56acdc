/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Lists of strings, with NULL behind the last; NULL is an empty one. The list owns its strings. */

void strv_clear(char ***l);
size_t strv_length(char **l);

/* A copy of s at the end. -ENOMEM. */
int strv_append(char ***l, const char *s);

/* Copies of all strings of l behind those of *p; on failure some may be there. -ENOMEM. */
int strv_copy(char ***p, char **l);

/* The same strings in the same order? */
bool strv_equal(char **a, char **b);
