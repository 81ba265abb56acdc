/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "macro.h"

/* Text for people: what may meet a terminal, how much room it takes, how it is made shorter. All of it takes
 * UTF-8 and anything else; a byte that is no UTF-8 counts as one column. Columns are as wcwidth(3) of the
 * locale counts them. Strings that are returned are the caller's; NULL without memory. */

/* A copy with control characters, and characters that reorder or hide text, written as escapes. */
char *terminal_escape(const char *s);

/* In columns. */
size_t text_width(const char *s);

/* At most `width` columns, with `ellipsis` where something was left out: at the end, or behind the first
 * `head` columns, so that the last ones remain. If there is not even room for the head and the ellipsis,
 * what comes behind the head is left out. */
char *text_cut_end(const char *s, size_t width, const char *ellipsis);
char *text_cut_middle(const char *s, size_t width, size_t head, const char *ellipsis);

/* Lines of at most `width` columns (a longer word is a line of its own), each begun with `indent` spaces
 * that count. At most `max` lines (0: as many as it takes); the last one ends in `ellipsis` if there is
 * more. No newline at the end. */
char *text_wrap(const char *s, size_t width, size_t indent, size_t max, const char *ellipsis);

/* How many single characters are to be inserted, removed, replaced, or swapped with the next one to make b
 * of a (the restricted Damerau-Levenshtein distance), letters' case aside. SIZE_MAX without memory. */
size_t text_distance(const char *a, const char *b);
