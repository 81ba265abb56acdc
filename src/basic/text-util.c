/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "text-util.h"

#include <ctype.h>
#include <stdio.h>
#include <wchar.h>

#include "alloc-util.h"
#include "string-util.h"

/* The character at s, if it is valid UTF-8 of more than one byte; 0 otherwise. */
static size_t decode_utf8(const unsigned char *s, uint32_t *ret)
{
        size_t n = (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : (s[0] & 0xf8) == 0xf0 ? 4 : 0;
        static const uint32_t least[] = { [2] = 0x80, [3] = 0x800, [4] = 0x10000 };
        uint32_t c;

        if (n == 0)
                return 0;
        c = s[0] & (0xffu >> (n + 1));
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return n;
}

/* C1 controls, marks without width, line separators, and what changes the direction of text. */
static bool is_treacherous(uint32_t c)
{
        return (c >= 0x80 && c < 0xa0) || c == 0xad || c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
               (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
               (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

char *terminal_escape(const char *s)
{
        const unsigned char *p = (const unsigned char *) s;
        char *escaped = malloc(strlen(s) * 4 + 1), *q = escaped;

        if (!escaped)
                return NULL;
        while (*p) {
                uint32_t c = 0;
                size_t n = decode_utf8(p, &c);

                if (n > 0 && !is_treacherous(c)) {
                        q = mempcpy(q, p, n);
                        p += n;
                } else if (n == 0 && *p >= ' ' && *p < 127)
                        *q++ = (char) *p++;
                else
                        for (n = MAX(n, (size_t) 1); n > 0; n--)
                                q += sprintf(q, "\\x%02x", *p++);
        }
        *q = '\0';
        return escaped;
}

/* How many bytes the character at s has, and how many columns. */
static size_t measure(const char *s, size_t *ret_columns)
{
        uint32_t c = 0;
        size_t n = decode_utf8((const unsigned char *) s, &c);
        int columns = n > 0 ? wcwidth((wchar_t) c) : 1;

        *ret_columns = columns < 0 ? 1 : (size_t) columns;
        return MAX(n, (size_t) 1);
}

size_t text_width(const char *s)
{
        size_t width = 0, columns;

        for (const char *p = s; *p; width += columns)
                p += measure(p, &columns);
        return width;
}

/* How many bytes of s fit into `width` columns. */
static size_t bytes_that_fit(const char *s, size_t width)
{
        const char *p = s;
        size_t used = 0, columns;

        for (size_t n; *p; p += n, used += columns) {
                n = measure(p, &columns);
                if (used + columns > width)
                        break;
        }
        return (size_t) (p - s);
}

char *text_cut_end(const char *s, size_t width, const char *ellipsis)
{
        size_t dots = text_width(ellipsis), n;

        if (text_width(s) <= width)
                return strdup(s);
        if (width < dots)
                return strndup(ellipsis, bytes_that_fit(ellipsis, width));
        n = bytes_that_fit(s, width - dots);
        return asprintf_safe("%.*s%s", (int) n, s, ellipsis);
}

char *text_cut_middle(const char *s, size_t width, size_t head, const char *ellipsis)
{
        size_t all = text_width(s), dots = text_width(ellipsis);

        if (all <= width)
                return strdup(s);
        if (width <= head + dots)
                return text_cut_end(s, width, ellipsis);
        return asprintf_safe("%.*s%s%s", (int) bytes_that_fit(s, head), s, ellipsis,
                             s + bytes_that_fit(s, all - (width - head - dots)));
}

/* How much of s makes a line of `width` columns: whole words, at least one. */
static size_t line_that_fits(const char *s, size_t width)
{
        size_t n = bytes_that_fit(s, width), end = n;

        if (!s[n] || s[n] == ' ')
                return n;
        while (end > 0 && s[end] != ' ')
                end--;
        return end > 0 ? end : strcspn(s, " ");
}

char *text_wrap(const char *s, size_t width, size_t indent, size_t max, const char *ellipsis)
{
        size_t room = width > indent ? width - indent : 1;
        _cleanup_free_ char *wrapped = strdup("");

        for (size_t line = 1; *s && wrapped; line++) {
                size_t n = line_that_fits(s, room);
                _cleanup_free_ char *last = line == max ? text_cut_end(s, room, ellipsis) : NULL;
                char *longer = asprintf_safe("%s%s%*s%.*s", wrapped, line > 1 ? "\n" : "", (int) indent, "",
                                             last ? (int) strlen(last) : (int) n, last ?: s);

                free(wrapped);
                wrapped = longer;
                if (line == max)
                        break;
                s += n;
                s += strspn(s, " ");
        }
        return TAKE_PTR(wrapped);
}

static bool same_letter(char a, char b)
{
        return tolower((unsigned char) a) == tolower((unsigned char) b);
}

/* One row of the matrix, from the two above it; j counts letters of b. */
static void fill_row(const char *a, size_t i, const char *b, size_t m, const size_t *older,
                     const size_t *old, size_t *row)
{
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
                size_t d = MIN(old[j], row[j - 1]) + 1;

                d = MIN(d, old[j - 1] + !same_letter(a[i - 1], b[j - 1]));
                if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
                        d = MIN(d, older[j - 2] + 1);
                row[j] = d;
        }
}

size_t text_distance(const char *a, const char *b)
{
        size_t m = strlen(b), result;
        size_t *rows = new0(size_t, 3 * (m + 1)), *older = rows, *old = rows + m + 1, *row = old + m + 1;

        if (!rows)
                return SIZE_MAX;
        for (size_t j = 0; j <= m; j++)
                row[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t *spare = older;

                older = old;
                old = row;
                row = spare;
                fill_row(a, i, b, m, older, old, row);
        }
        result = row[m];
        free(rows);
        return result;
}
