/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "format-table.h"

#include <libsmartcols.h>

#include "alloc-util.h"

struct Table {
        struct libscols_table *table;
        struct libscols_line *last; /* borrowed from the table */
};

int table_new(bool legend, bool colour, Table **ret)
{
        Table *t = new0(Table, 1);

        if (!t)
                return -ENOMEM;
        t->table = scols_new_table();
        if (!t->table) {
                free(t);
                return -ENOMEM;
        }
        (void) scols_table_enable_noheadings(t->table, !legend);
        (void) scols_table_enable_colors(t->table, colour);
        *ret = t;
        return 0;
}

Table *table_free(Table *table)
{
        if (!table)
                return NULL;
        scols_unref_table(table->table);
        return mfree(table);
}

int table_add_column(Table *table, const char *name, TableColumnFlags flags)
{
        int scols_flags = (flags & TABLE_RIGHT ? SCOLS_FL_RIGHT : 0) |
                          (flags & TABLE_TRUNCATE ? SCOLS_FL_TRUNC : 0);

        return scols_table_new_column(table->table, name, /* whint= */ 0, scols_flags) ? 0 : -ENOMEM;
}

int table_add_row(Table *table)
{
        table->last = scols_table_new_line(table->table, /* parent= */ NULL);
        return table->last ? 0 : -ENOMEM;
}

int table_set_cell(Table *table, unsigned column, const char *text, const char *colour)
{
        int r = scols_line_set_data(table->last, column, text ?: "-");

        if (r < 0 || !colour)
                return r;
        return scols_cell_set_color(scols_line_get_cell(table->last, column), colour);
}

bool table_is_empty(const Table *table)
{
        return scols_table_is_empty(table->table);
}

int table_print(Table *table)
{
        return scols_print_table(table->table) < 0 ? -EIO : 0;
}
