/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "terminal-util.h"

#include <langinfo.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "parse-util.h"
#include "string-util.h"

/* Beyond that it is a mistake. */
#define SIZE_LIMIT 65535

static size_t size_from_environment(const char *name)
{
        const char *value = getenv(name);
        uint64_t n;

        return value && parse_u64(value, 1, SIZE_LIMIT, &n) >= 0 ? (size_t) n : 0;
}

static struct winsize ask_terminal(void)
{
        struct winsize size = {};

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ? (struct winsize) {} : size;
}

/* A terminal that does not know its own size has what terminals always had. */
static size_t choose_size(const char *name, size_t from_terminal, size_t otherwise)
{
        size_t n = size_from_environment(name);

        if (n > 0)
                return n;
        if (from_terminal > 0)
                return from_terminal;
        return isatty(STDOUT_FILENO) ? otherwise : SIZE_MAX;
}

size_t terminal_columns(void)
{
        return choose_size("COLUMNS", ask_terminal().ws_col, 80);
}

size_t terminal_lines(void)
{
        return choose_size("LINES", ask_terminal().ws_row, 24);
}

/* As systemd(1) documents it; "auto-16" and the like leave the decision to us. */
static bool colours_from_systemd(bool *ret)
{
        const char *value = getenv("SYSTEMD_COLORS");

        if (!value)
                return false;
        if (streq(value, "16") || streq(value, "256") || streq(value, "24bit")) {
                *ret = true;
                return true;
        }
        return parse_boolean(value, ret) >= 0;
}

bool terminal_wants_colours(void)
{
        const char *term = getenv("TERM");
        bool wanted;

        if (colours_from_systemd(&wanted))
                return wanted;
        return isatty(STDOUT_FILENO) && isempty(getenv("NO_COLOR")) && !isempty(term) &&
               !streq(term, "dumb");
}

bool terminal_has_utf8(void)
{
        const char *value = getenv("SYSTEMD_UTF8");
        bool utf8;

        if (value && parse_boolean(value, &utf8) >= 0)
                return utf8;
        return streq(nl_langinfo(CODESET), "UTF-8");
}

const char *glyph_ellipsis(void)
{
        return terminal_has_utf8() ? "…" : "...";
}

const char *glyph_arrow(void)
{
        return terminal_has_utf8() ? "→" : "->";
}
