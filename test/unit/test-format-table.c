/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format-table.h"
#include "terminal-util.h"

static char printed[4096];

/* What goes to stdout. */
static void print(Table *table)
{
        FILE *f = tmpfile();
        int before = dup(STDOUT_FILENO);

        cr_assert_not_null(f);
        cr_assert_geq(before, 0);
        fflush(stdout);
        cr_assert_geq(dup2(fileno(f), STDOUT_FILENO), 0);
        cr_assert_eq(table_print(table), 0);
        fflush(stdout);
        cr_assert_geq(dup2(before, STDOUT_FILENO), 0);
        close(before);
        rewind(f);
        printed[fread(printed, 1, sizeof(printed) - 1, f)] = '\0';
        fclose(f);
}

static Table *make_table(bool legend)
{
        Table *table;

        cr_assert_eq(table_new(SIZE_MAX, legend, /* colour= */ false, &table), 0);
        cr_assert(table_is_empty(table));
        cr_assert_eq(table_add_column(table, "NAME", 0), 0);
        cr_assert_eq(table_add_column(table, "N", TABLE_RIGHT), 0);
        cr_assert_eq(table_add_column(table, "LAST", TABLE_TRUNCATE), 0);
        return table;
}

static void add_row(Table *table, const char *a, const char *b, const char *c)
{
        cr_assert_eq(table_add_row(table), 0);
        cr_assert_eq(table_set_cell(table, 0, a, ANSI_GREEN), 0);
        cr_assert_eq(table_set_cell(table, 1, b, NULL), 0);
        if (c)
                cr_assert_eq(table_set_cell(table, 2, c, NULL), 0);
}

Test(format_table, columns)
{
        Table *table = make_table(/* legend= */ true);

        add_row(table, "a", "1", "x");
        add_row(table, "long name", "1000", NULL);
        cr_assert_not(table_is_empty(table));
        print(table);
        cr_assert_str_eq(printed, "NAME         N LAST\n"
                                  "a            1 x\n"
                                  "long name 1000 -\n");
        table_free(table);
}

Test(format_table, no_legend)
{
        Table *table = make_table(/* legend= */ false);

        add_row(table, "a", "1", "x");
        print(table);
        cr_assert_str_eq(printed, "a 1 x\n");
        table_free(table);
        cr_assert_null(table_free(NULL));
}

/* What others said stays in its cell, and tells the terminal nothing. */
Test(format_table, hostile_cells)
{
        Table *table = make_table(/* legend= */ false);

        add_row(table, "\033[31ma\n", "1", "x");
        print(table);
        cr_assert_null(strchr(printed, '\033'));
        cr_assert_eq(strchr(printed, '\n'), printed + strlen(printed) - 1);
        table_free(table);
}

/* ---- Narrow ---- */

static Table *make_narrow(size_t width)
{
        Table *table;

        cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
        cr_assert_eq(table_new(width, /* legend= */ true, /* colour= */ false, &table), 0);
        cr_assert_eq(table_add_column(table, "KEY", TABLE_TRUNCATE), 0);
        table_set_least(table, 7, /* head= */ 3);
        cr_assert_eq(table_add_column(table, "WHERE", TABLE_LUXURY), 0);
        cr_assert_eq(table_add_column(table, "AT", TABLE_TRUNCATE), 0);
        table_set_least(table, 6, /* head= */ 0);
        cr_assert_eq(table_add_column(table, "RX", TABLE_RIGHT | TABLE_OPTIONAL), 0);
        cr_assert_eq(table_add_column(table, "TX", TABLE_RIGHT | TABLE_OPTIONAL), 0);
        cr_assert_eq(table_add_row(table), 0);
        cr_assert_eq(table_set_cell(table, 0, "abcdefghijklmno=", NULL), 0);
        cr_assert_eq(table_set_cell(table, 1, "here", NULL), 0);
        cr_assert_eq(table_set_cell(table, 2, "192.0.2.1:7", NULL), 0);
        cr_assert_eq(table_set_cell(table, 3, "10", NULL), 0);
        cr_assert_eq(table_set_cell(table, 4, "20", NULL), 0);
        return table;
}

Test(format_table, gets_narrower_step_by_step)
{
        static const struct {
                size_t width;
                const char *printed;
        } cases[] = {
                { SIZE_MAX, "KEY              WHERE AT          RX TX\n"
                            "abcdefghijklmno= here  192.0.2.1:7 10 20\n" },
                { 40, "KEY              WHERE AT          RX TX\n"
                      "abcdefghijklmno= here  192.0.2.1:7 10 20\n" },
                { 30, "KEY       WHERE AT       RX TX\n"
                      "abcd…mno= here  192.0.2… 10 20\n" },
                { 25, "KEY       AT        RX TX\n"
                      "abcd…mno= 192.0.2.… 10 20\n" },
                { 20, "KEY     AT     RX TX\n"
                      "abc…no= 192.0… 10 20\n" },
                { 19, "KEY      AT      RX\n"
                      "abc…mno= 192.0.… 10\n" },
                { 14, "KEY     AT\n"
                      "abc…no= 192.0…\n" },
                { 11, "KEY   AT\n"
                      "abc…= 192.…\n" }, /* less than it should, but it fits */
                { 1, "KEY  AT\n"
                     "abc… 192…\n" }, /* no further than that */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Table *table = make_narrow(cases[i].width);

                print(table);
                cr_assert_str_eq(printed, cases[i].printed, "%zu:\n%s", cases[i].width, printed);
                table_free(table);
        }
}

Test(format_table, colours_take_no_room)
{
        Table *table;

        cr_assert_eq(table_new(SIZE_MAX, /* legend= */ true, /* colour= */ true, &table), 0);
        cr_assert_eq(table_add_column(table, "A", 0), 0);
        cr_assert_eq(table_add_column(table, "B", TABLE_RIGHT), 0);
        add_row(table, "x", "10", NULL);
        print(table);
        cr_assert_str_eq(printed, ANSI_UNDERLINE "A" ANSI_NORMAL "  " ANSI_UNDERLINE "B" ANSI_NORMAL
                                                 "\n" ANSI_GREEN "x" ANSI_NORMAL " 10\n");
        table_free(table);
}

Test(format_table, empty)
{
        Table *table = make_table(/* legend= */ true);

        print(table);
        cr_assert_str_eq(printed, "NAME N LAST\n");
        table_free(table);
}
