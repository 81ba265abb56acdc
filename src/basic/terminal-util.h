/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The terminal that stdout is, if it is one: ask before anything else becomes stdout. */

/* What $COLUMNS and $LINES say, or the terminal itself; SIZE_MAX: there is none, so there is no limit. */
size_t terminal_columns(void);
size_t terminal_lines(void);

/* $SYSTEMD_COLORS if it is a boolean or a number of colours, otherwise whether stdout is a terminal that has
 * some, and nobody said no by $NO_COLOR (https://no-color.org). */
bool terminal_wants_colours(void);

/* $SYSTEMD_UTF8 if it is a boolean, otherwise whether the locale is one of UTF-8. */
bool terminal_has_utf8(void);

/* "…" and "→", or what comes close to them in ASCII. */
const char *glyph_ellipsis(void);
const char *glyph_arrow(void);

/* To be printed where colours are wanted. */
#define ANSI_NORMAL "\033[0m"
#define ANSI_BOLD "\033[0;1m"
#define ANSI_UNDERLINE "\033[0;4m"
#define ANSI_RED "\033[0;1;31m"
#define ANSI_GREEN "\033[0;1;32m"
#define ANSI_YELLOW "\033[0;1;33m"
#define ANSI_GREY "\033[0;90m"
