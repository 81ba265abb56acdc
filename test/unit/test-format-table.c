/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format-table.h"

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

        cr_assert_eq(table_new(legend, /* colour= */ false, &table), 0);
        cr_assert(table_is_empty(table));
        cr_assert_eq(table_add_column(table, "NAME", 0), 0);
        cr_assert_eq(table_add_column(table, "N", TABLE_RIGHT), 0);
        cr_assert_eq(table_add_column(table, "LAST", TABLE_TRUNCATE), 0);
        return table;
}

static void add_row(Table *table, const char *a, const char *b, const char *c)
{
        cr_assert_eq(table_add_row(table), 0);
        cr_assert_eq(table_set_cell(table, 0, a, "green"), 0);
        cr_assert_eq(table_set_cell(table, 1, b, NULL), 0);
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
