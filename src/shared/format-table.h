/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "macro.h"

/* Tables for people, on libsmartcols: columns as wide as the terminal allows, cut where they may be. What
 * libsmartcols is given is escaped by it, so cells may hold what others said. */

typedef struct Table Table;

typedef enum TableColumnFlags {
        TABLE_RIGHT = 1 << 0,    /* numbers */
        TABLE_TRUNCATE = 1 << 1, /* may be cut on a narrow terminal */
} TableColumnFlags;

/* -ENOMEM. legend: with a line of headings. */
int table_new(bool legend, bool colour, Table **ret);
Table *table_free(Table *table);
DEFINE_TRIVIAL_CLEANUP_FUNC(Table *, table_free);

int table_add_column(Table *table, const char *name, TableColumnFlags flags);

/* A row below the others; cells are then set in the last row. NULL text: "-". colour: a name ("green",
 * "red", "yellow", "gray") or NULL. */
int table_add_row(Table *table);
int table_set_cell(Table *table, unsigned column, const char *text, const char *colour);

bool table_is_empty(const Table *table);
/* To stdout. -EIO. */
int table_print(Table *table);
