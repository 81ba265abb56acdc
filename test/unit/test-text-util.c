/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <locale.h>

#include "string-util.h"
#include "text-util.h"

static void expect_escaped(const char *s, const char *expected)
{
        _cleanup_free_ char *escaped = terminal_escape(s);

        cr_assert_str_eq(escaped, expected);
}

Test(text_util, terminal_escape)
{
        expect_escaped("plain text: 1 → 2, ü", "plain text: 1 → 2, ü");
        expect_escaped("\033[31mred\a\n", "\\x1b[31mred\\x07\\x0a");
        expect_escaped("\x7f", "\\x7f");
        expect_escaped("\xc2\x9b"
                       "31m",
                       "\\xc2\\x9b31m"); /* CSI as a C1 control */
        expect_escaped("a\xe2\x80\xae"
                       "b",
                       "a\\xe2\\x80\\xaeb");                                 /* right-to-left override */
        expect_escaped("\xff\xc3", "\\xff\\xc3");                            /* not UTF-8, cut short */
        expect_escaped("\xc0\xaf\xed\xa0\x80", "\\xc0\\xaf\\xed\\xa0\\x80"); /* overlong, surrogate */
        expect_escaped("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
        expect_escaped("", "");
}

static void use_utf8(void)
{
        cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

TestSuite(text_util, .init = use_utf8);

Test(text_util, width)
{
        cr_assert_eq(text_width(""), 0);
        cr_assert_eq(text_width("abc"), 3);
        cr_assert_eq(text_width("ü → …"), 5);
        cr_assert_eq(text_width("漢字"), 4);
        cr_assert_eq(text_width("\xff\xc3"), 2); /* not UTF-8, cut short */
}

static void expect_end(const char *s, size_t width, const char *ellipsis, const char *expected)
{
        _cleanup_free_ char *cut = text_cut_end(s, width, ellipsis);

        cr_assert_str_eq(cut, expected, "%zu: %s", width, cut);
}

Test(text_util, cut_at_the_end)
{
        expect_end("abcdef", 6, "…", "abcdef");
        expect_end("abcdef", 5, "…", "abcd…");
        expect_end("abcdef", 5, "...", "ab...");
        expect_end("abcdef", 3, "...", "...");
        expect_end("abcdef", 2, "...", "..");
        expect_end("abcdef", 0, "…", "");
        expect_end("漢字漢字", 6, "…", "漢字…"); /* there is no half of a character */
        expect_end("üöäüö", 3, "…", "üö…");
        expect_end("abcdef", SIZE_MAX, "…", "abcdef");
}

static void expect_middle(const char *s, size_t width, size_t head, const char *expected)
{
        _cleanup_free_ char *cut = text_cut_middle(s, width, head, "…");

        cr_assert_str_eq(cut, expected, "%zu, %zu: %s", width, head, cut);
}

Test(text_util, cut_in_the_middle)
{
        expect_middle("abcdefghij", 10, 4, "abcdefghij");
        expect_middle("abcdefghij", 9, 4, "abcd…ghij");
        expect_middle("abcdefghij", 6, 4, "abcd…j");
        expect_middle("abcdefghij", 5, 4, "abcd…");
        expect_middle("abcdefghij", 4, 4, "abc…");
        expect_middle("abcdefghij", 3, 0, "…ij");
}

static void expect_wrapped(const char *s, size_t width, size_t indent, size_t max, const char *expected)
{
        _cleanup_free_ char *wrapped = text_wrap(s, width, indent, max, "…");

        cr_assert_str_eq(wrapped, expected, "%s", wrapped);
}

Test(text_util, wrap)
{
        expect_wrapped("", 10, 2, 0, "");
        expect_wrapped("one two three", 20, 0, 0, "one two three");
        expect_wrapped("one two three", SIZE_MAX, 2, 0, "  one two three");
        expect_wrapped("one two three", 7, 0, 0, "one two\nthree");
        expect_wrapped("one two three", 8, 2, 0, "  one\n  two\n  three");
        expect_wrapped("one-two-three four", 8, 0, 0, "one-two-three\nfour");
        expect_wrapped("one two three", 7, 0, 1, "one tw…");
        expect_wrapped("one two three four", 7, 0, 2, "one two\nthree …");
        expect_wrapped("one two three", 7, 0, 2, "one two\nthree");
        expect_wrapped("one two", 2, 4, 0, "    one\n    two");
}

Test(text_util, distance)
{
        static const struct {
                const char *a, *b;
                size_t distance;
        } cases[] = {
                { "", "", 0 },
                { "", "abc", 3 },
                { "abc", "", 3 },
                { "status", "status", 0 },
                { "Status", "sTATUS", 0 },
                { "stauts", "status", 1 }, /* swapped */
                { "satus", "status", 1 },  /* left out */
                { "staatus", "status", 1 },
                { "stadus", "status", 1 },
                { "peer", "peers", 1 },
                { "monitor", "history", 5 },
                { "ca", "abc", 3 }, /* a letter that was swapped is not edited again */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_assert_eq(text_distance(cases[i].a, cases[i].b), cases[i].distance, "%s, %s: %zu",
                             cases[i].a, cases[i].b, text_distance(cases[i].a, cases[i].b));
}
