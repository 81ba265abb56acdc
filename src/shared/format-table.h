/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "macro.h"

/* Tables for people, that adapt to the room there is: what may be cut is cut, then columns that may be left
 * out are, and only then does a line become longer than it should. Cells may hold what others said: they are
 * escaped. */

typedef struct Table Table;

typedef enum TableColumnFlags {
        TABLE_RIGHT = 1 << 0,    /* numbers */
        TABLE_TRUNCATE = 1 << 1, /* may be cut at its end */
        TABLE_OPTIONAL = 1 << 2, /* may be left out; the last of them first */
        TABLE_LUXURY = 1 << 3,   /* is left out before these */
} TableColumnFlags;

/* width: how many columns of text a line may have; SIZE_MAX: as many as it needs. legend: with a line of
 * headings. -ENOMEM. */
int table_new(size_t width, bool legend, bool colour, Table **ret);
Table *table_free(Table *table);
DEFINE_TRIVIAL_CLEANUP_FUNC(Table *, table_free);

int table_add_column(Table *table, const char *name, TableColumnFlags flags);

/* The last column may be cut down to `least` columns of text, no further unless nothing else helps. head: of
 * these, how many are kept at the front, with the rest from the end of the text; 0: it is cut at its end. */
void table_set_least(Table *table, size_t least, size_t head);

/* A row below the others; cells are then set in the last row. NULL text: "-". colour: what makes a terminal
 * change to it (terminal-util.h), or NULL. */
int table_add_row(Table *table);
int table_set_cell(Table *table, unsigned column, const char *text, const char *colour);

bool table_is_empty(const Table *table);
/* To stdout. -EIO, -ENOMEM. */
int table_print(Table *table);
