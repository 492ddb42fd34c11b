/* See table.h. */
#include "cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/alloc.h"
#include "kith/error.h"

void table_init(struct table *table, const char *spec)
{
    *table = (struct table){0};
    while (*spec != '\0' && table->columns_n < TABLE_COLUMNS_MAX) {
        table->right[table->columns_n] = *spec == '>';
        table->heads[table->columns_n++] = spec + (*spec == '>');
        spec += strcspn(spec, " ");
        spec += strspn(spec, " ");
    }
}

void table_deinit(struct table *table)
{
    for (size_t i = 0; i < table->cells_n; i++)
        core_free(table->cells[i]);
    core_free(table->cells);
    core_free(table->colors);
    *table = (struct table){0};
}

static bool grow(struct table *table)
{
    size_t cap = table->cells_cap == 0 ? 64 : 2 * table->cells_cap;
    char **cells = core_realloc(table->cells, cap * sizeof(*cells));

    if (cells == NULL)
        return false;
    table->cells = cells;
    const char **colors = core_realloc(table->colors, cap * sizeof(*colors));
    if (colors == NULL)
        return false;
    table->colors = colors;
    table->cells_cap = cap;
    return true;
}

void table_cell(struct table *table, const char *color, const char *format, ...)
{
    char text[1024];
    char clean[1024];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    cli_clean(text, clean, sizeof(clean));
    if (table->cells_n == table->cells_cap && !grow(table)) {
        table->failed = true;
        return;
    }
    char *copy = core_strndup(clean, strlen(clean));
    if (copy == NULL) {
        table->failed = true;
        return;
    }
    table->cells[table->cells_n] = copy;
    table->colors[table->cells_n++] = color;
}

size_t table_width(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

bool table_colors(FILE *file)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    if (no_color != NULL && no_color[0] != '\0')
        return false;
    return isatty(fileno(file)) && (term == NULL || strcmp(term, "dumb") != 0);
}

static void pad(FILE *file, size_t n)
{
    while (n-- > 0)
        fputc(' ', file);
}

static void print_cell(
    FILE *file, const char *text, size_t len, const char *color, size_t gap, bool right, bool last)
{
    if (right)
        pad(file, gap);
    if (color != NULL)
        fprintf(file, "\033[%sm", color);
    (void)fwrite(text, 1, len, file);
    if (color != NULL)
        fputs("\033[0m", file);
    if (last)
        fputc('\n', file);
    else
        pad(file, (right ? 0 : gap) + 2);
}

static size_t head_len(const struct table *table, size_t column)
{
    return strcspn(table->heads[column], " ");
}

int table_print(const struct table *table, FILE *file, bool heads)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    size_t n = table->columns_n;
    bool color = table_colors(file);

    assert(n > 0);
    if (table->failed)
        return KITH_E_MEMORY;
    for (size_t c = 0; heads && c < n; c++)
        widths[c] = head_len(table, c);
    for (size_t i = 0; i < table->cells_n; i++) {
        size_t width = table_width(table->cells[i]);
        if (width > widths[i % n])
            widths[i % n] = width;
    }
    for (size_t c = 0; heads && c < n; c++)
        print_cell(file, table->heads[c], head_len(table, c), NULL, widths[c] - head_len(table, c),
                   table->right[c], c + 1 == n);
    for (size_t i = 0; i < table->cells_n; i++)
        print_cell(file, table->cells[i], strlen(table->cells[i]), color ? table->colors[i] : NULL,
                   widths[i % n] - table_width(table->cells[i]), table->right[i % n],
                   i % n + 1 == n);
    return 0;
}
