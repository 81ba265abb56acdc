/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "format-table.h"

#include <stdio.h>

#include "alloc-util.h"
#include "terminal-util.h"
#include "text-util.h"

/* Less than that says nothing. */
#define LEAST 4

typedef struct Column {
        char *name; /* owned */
        TableColumnFlags flags;
        size_t least, head;
        size_t natural; /* how wide its widest cell is */
        size_t width;   /* as printed */
        bool shown;
} Column;

typedef struct Cell {
        char *text; /* owned, escaped */
        const char *colour;
} Cell;

struct Table {
        size_t width;
        bool legend, colour;
        Column *columns;
        size_t n_columns, columns_allocated;
        Cell *cells; /* row by row */
        size_t n_rows, cells_allocated;
};

int table_new(size_t width, bool legend, bool colour, Table **ret)
{
        Table *t = new0(Table, 1);

        if (!t)
                return -ENOMEM;
        *t = (Table) { .width = width, .legend = legend, .colour = colour };
        *ret = t;
        return 0;
}

Table *table_free(Table *t)
{
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_rows * t->n_columns; i++)
                free(t->cells[i].text);
        free(t->cells);
        for (size_t i = 0; i < t->n_columns; i++)
                free(t->columns[i].name);
        free(t->columns);
        return mfree(t);
}

int table_add_column(Table *t, const char *name, TableColumnFlags flags)
{
        char *copy;
        int r;

        assert(t->n_rows == 0);
        r = GROW_ARRAY(t->columns, t->columns_allocated, t->n_columns + 1);
        if (r < 0)
                return r;
        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        t->columns[t->n_columns++] = (Column) { .name = copy, .flags = flags, .least = LEAST };
        return 0;
}

void table_set_least(Table *t, size_t least, size_t head)
{
        assert(t->n_columns > 0);
        t->columns[t->n_columns - 1].least = least;
        t->columns[t->n_columns - 1].head = head;
}

int table_add_row(Table *t)
{
        size_t n = t->n_rows * t->n_columns;
        int r;

        assert(t->n_columns > 0);
        r = GROW_ARRAY(t->cells, t->cells_allocated, n + t->n_columns);
        if (r < 0)
                return r;
        memset(t->cells + n, 0, t->n_columns * sizeof(Cell));
        t->n_rows++;
        return 0;
}

int table_set_cell(Table *t, unsigned column, const char *text, const char *colour)
{
        Cell *cell = &t->cells[(t->n_rows - 1) * t->n_columns + column];

        assert(t->n_rows > 0 && column < t->n_columns);
        free(cell->text);
        *cell = (Cell) { .text = terminal_escape(text ?: "-"), .colour = colour };
        return cell->text ? 0 : -ENOMEM;
}

bool table_is_empty(const Table *t)
{
        return t->n_rows == 0;
}

/* ---- How wide ---- */

static void measure(Table *t)
{
        for (size_t i = 0; i < t->n_columns; i++) {
                Column *c = &t->columns[i];

                c->shown = true;
                c->natural = t->legend ? text_width(c->name) : 0;
                for (size_t row = 0; row < t->n_rows; row++) {
                        const char *text = t->cells[row * t->n_columns + i].text;

                        c->natural = MAX(c->natural, text ? text_width(text) : 1);
                }
                c->width = c->natural;
        }
}

/* Its heading is kept whole. */
static size_t least_width(const Table *t, const Column *c)
{
        size_t least = MAX(c->least, t->legend ? text_width(c->name) : 1);

        return c->flags & TABLE_TRUNCATE ? MIN(least, c->natural) : c->natural;
}

/* What a line has, with columns as they are or as narrow as they can be. */
static size_t line_width(const Table *t, bool least)
{
        size_t width = 0;

        for (size_t i = 0; i < t->n_columns; i++)
                if (t->columns[i].shown)
                        width += (width > 0) +
                                 (least ? least_width(t, &t->columns[i]) : t->columns[i].width);
        return width;
}

static void leave_out_columns(Table *t, TableColumnFlags which)
{
        for (size_t i = t->n_columns; i > 0 && line_width(t, /* least= */ true) > t->width; i--)
                if (t->columns[i - 1].flags & which)
                        t->columns[i - 1].shown = false;
}

/* The one that has most to give. */
static Column *find_widest(Table *t, bool even_less)
{
        Column *widest = NULL;
        size_t most = 0;

        for (size_t i = 0; i < t->n_columns; i++) {
                Column *c = &t->columns[i];
                size_t least = even_less ? MIN((size_t) LEAST, c->natural) : least_width(t, c);

                if (!c->shown || !(c->flags & TABLE_TRUNCATE) || c->width <= least ||
                    c->width - least <= most)
                        continue;
                widest = c;
                most = c->width - least;
        }
        return widest;
}

static void make_fit(Table *t)
{
        size_t excess;
        Column *c;

        measure(t);
        leave_out_columns(t, TABLE_LUXURY);
        leave_out_columns(t, TABLE_OPTIONAL);
        excess = line_width(t, /* least= */ false);
        excess = excess > t->width ? excess - t->width : 0;
        for (; excess > 0; excess--) {
                c = find_widest(t, /* even_less= */ false) ?: find_widest(t, /* even_less= */ true);
                if (!c)
                        break;
                c->width--;
        }
}

/* ---- Printing ---- */

static char *cut(const Column *c, const char *text)
{
        size_t spare = c->width > c->least ? c->width - c->least : 0;

        if (!(c->flags & TABLE_TRUNCATE))
                return strdup(text);
        if (c->head == 0)
                return text_cut_end(text, c->width, glyph_ellipsis());
        /* What is more than the least goes to both sides. */
        return text_cut_middle(text, c->width, c->head + spare / 2, glyph_ellipsis());
}

/* No spaces at the end of a line. */
static bool is_last(const Table *t, size_t column)
{
        for (size_t i = column + 1; i < t->n_columns; i++)
                if (t->columns[i].shown)
                        return false;
        return true;
}

static int print_cell(const Table *t, size_t column, const char *text, const char *colour)
{
        const Column *c = &t->columns[column];
        _cleanup_free_ char *fitting = cut(c, text);
        size_t width = fitting ? text_width(fitting) : 0, space = c->width > width ? c->width - width : 0;

        if (!fitting)
                return -ENOMEM;
        if (c->flags & TABLE_RIGHT)
                printf("%*s", (int) space, "");
        printf("%s%s%s", t->colour && colour ? colour : "", fitting, t->colour && colour ? ANSI_NORMAL : "");
        if (!is_last(t, column))
                printf("%*s", (int) (c->flags & TABLE_RIGHT ? 0 : space) + 1, "");
        return 0;
}

/* cells: NULL: the headings. */
static int print_row(const Table *t, const Cell *cells)
{
        for (size_t i = 0; i < t->n_columns; i++) {
                int r = 0;

                if (t->columns[i].shown)
                        r = cells ? print_cell(t, i, cells[i].text ?: "-", cells[i].colour)
                                  : print_cell(t, i, t->columns[i].name, ANSI_UNDERLINE);
                if (r < 0)
                        return r;
        }
        return putchar('\n') == EOF ? -EIO : 0;
}

int table_print(Table *t)
{
        int r = 0;

        make_fit(t);
        if (t->legend)
                r = print_row(t, /* cells= */ NULL);
        for (size_t row = 0; row < t->n_rows && r >= 0; row++)
                r = print_row(t, t->cells + row * t->n_columns);
        return r;
}
