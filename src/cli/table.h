/*
 * Aligned columns for people: cells are collected, then printed as wide as they need. Nothing is
 * cut. Our own instead of libsmartcols: the command is the agent too, and only to link that library
 * adds 216 KiB to the memory of every agent.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16

struct table {
    const char *heads[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX]; /* numbers: aligned to the right */
    size_t columns_n;
    char **cells;
    const char **colors; /* of a cell, or NULL */
    size_t cells_n, cells_cap;
    bool failed; /* memory was short: printing says so */
};

/* @spec: headings separated by spaces, ">" before one aligns to the right: "NAME STATUS >CPUS".
 * Borrowed, static. */
void table_init(struct table *table, const char *spec);
void table_deinit(struct table *table);
/* Adds a cell, row by row; control characters are replaced. @color is one of the TABLE_* below or
 * NULL. */
void table_cell(struct table *table, const char *color, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Prints to @file; 0 or KITH_E_MEMORY. */
int table_print(const struct table *table, FILE *file, bool heads);

#define TABLE_GREEN  "32"
#define TABLE_YELLOW "33"
#define TABLE_RED    "31"
#define TABLE_DIM    "2"

/* True if @file is a terminal that wants colour (NO_COLOR, TERM=dumb). */
bool table_colors(FILE *file);
/* Columns that @text takes on a terminal: its UTF-8 characters. */
size_t table_width(const char *text);

#endif
