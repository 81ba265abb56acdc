/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "string-util.h"
#include "terminal-util.h"

static int terminal = -1; /* the other side of stdout, where that is a terminal */

static void clear_environment(void)
{
        static const char *const names[] = { "COLUMNS", "LINES", "NO_COLOR", "SYSTEMD_COLORS",
                                             "SYSTEMD_UTF8" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                cr_assert_eq(unsetenv(names[i]), 0);
        cr_assert_eq(setenv("TERM", "xterm", 1), 0);
}

/* From here on stdout is a terminal of that size. */
static void become_terminal(unsigned short rows, unsigned short columns)
{
        struct winsize size = { .ws_row = rows, .ws_col = columns };
        int fd;

        terminal = posix_openpt(O_RDWR | O_NOCTTY);
        cr_assert_geq(terminal, 0);
        cr_assert_eq(grantpt(terminal), 0);
        cr_assert_eq(unlockpt(terminal), 0);
        fd = open(ptsname(terminal), O_RDWR | O_NOCTTY);
        cr_assert_geq(fd, 0);
        cr_assert_eq(ioctl(fd, TIOCSWINSZ, &size), 0);
        cr_assert_geq(dup2(fd, STDOUT_FILENO), 0);
        close(fd);
}

static void become_file(void)
{
        int fd = open("/dev/null", O_WRONLY);

        cr_assert_geq(dup2(fd, STDOUT_FILENO), 0);
        close(fd);
}

TestSuite(terminal_util, .init = clear_environment);

Test(terminal_util, what_is_no_terminal_has_no_size)
{
        become_file();
        cr_assert_eq(terminal_columns(), SIZE_MAX);
        cr_assert_eq(terminal_lines(), SIZE_MAX);
        cr_assert_not(terminal_wants_colours());
}

Test(terminal_util, the_environment_goes_before_the_terminal)
{
        become_terminal(33, 111);
        cr_assert_eq(terminal_columns(), 111);
        cr_assert_eq(terminal_lines(), 33);
        setenv("COLUMNS", "60", 1);
        setenv("LINES", "10", 1);
        cr_assert_eq(terminal_columns(), 60);
        cr_assert_eq(terminal_lines(), 10);
        setenv("COLUMNS", "0", 1);
        setenv("LINES", "many", 1);
        cr_assert_eq(terminal_columns(), 111);
        cr_assert_eq(terminal_lines(), 33);
        become_file();
        setenv("COLUMNS", "60", 1);
        cr_assert_eq(terminal_columns(), 60);
}

Test(terminal_util, a_terminal_that_does_not_know_its_size)
{
        become_terminal(0, 0);
        cr_assert_eq(terminal_columns(), 80);
        cr_assert_eq(terminal_lines(), 24);
}

Test(terminal_util, colours)
{
        static const struct {
                bool terminal;
                const char *term, *no_color, *systemd_colors;
                bool wanted;
        } cases[] = {
                { true, "xterm", NULL, NULL, true },      { true, "dumb", NULL, NULL, false },
                { true, "", NULL, NULL, false },          { true, "xterm", "1", NULL, false },
                { true, "xterm", "", NULL, true },        { true, "xterm", NULL, "0", false },
                { true, "xterm", "1", "yes", true },      { true, "dumb", NULL, "256", true },
                { true, "xterm", NULL, "auto-16", true }, { true, "dumb", NULL, "auto-256", false },
                { false, "xterm", NULL, NULL, false },    { false, "xterm", NULL, "24bit", true },
                { false, "xterm", NULL, "true", true },   { false, "xterm", NULL, "nonsense", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                clear_environment();
                setenv("TERM", cases[i].term, 1);
                if (cases[i].no_color)
                        setenv("NO_COLOR", cases[i].no_color, 1);
                if (cases[i].systemd_colors)
                        setenv("SYSTEMD_COLORS", cases[i].systemd_colors, 1);
                if (cases[i].terminal)
                        become_terminal(24, 80);
                else
                        become_file();
                cr_assert_eq(terminal_wants_colours(), cases[i].wanted, "%zu", i);
        }
}

Test(terminal_util, glyphs_of_the_locale)
{
        cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
        cr_assert_str_eq(glyph_ellipsis(), "…");
        setenv("SYSTEMD_UTF8", "0", 1);
        cr_assert_str_eq(glyph_ellipsis(), "...");
        cr_assert_str_eq(glyph_arrow(), "->");
        unsetenv("SYSTEMD_UTF8");
        cr_assert_not_null(setlocale(LC_CTYPE, "C"));
        cr_assert_str_eq(glyph_arrow(), "->");
        setenv("SYSTEMD_UTF8", "1", 1);
        cr_assert_str_eq(glyph_arrow(), "→");
}
