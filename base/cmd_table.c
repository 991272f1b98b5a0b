#include "base/cmd.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 4096
#define COLUMNS_MAX 16

/* Headings and cells in one list of texts, row by row. */
struct cmd_table {
    size_t columns, widths[COLUMNS_MAX]; /* in bytes */
    char **cells;
    size_t count;
    enum st status;
};

static void add_cell(struct cmd_table *t, const char *text)
{
    char **grown = t->status ? NULL : reallocarray(t->cells, t->count + 1, sizeof *grown);

    if (grown)
        t->cells = grown;
    char *copy = grown ? strdup(text) : NULL;
    if (!copy) {
        t->status = ST_NOMEM;
        return;
    }
    utf8_blank_controls(copy);
    size_t len = strlen(copy), *width = &t->widths[t->count % t->columns];
    *width = len > *width ? len : *width;
    t->cells[t->count++] = copy;
}

enum st cmd_table_new(struct cmd_table **out, const char *const *headings)
{
    struct cmd_table *t = calloc(1, sizeof *t);

    *out = NULL;
    while (t && headings[t->columns])
        t->columns++;
    assert(!t || t->columns <= COLUMNS_MAX);
    for (size_t i = 0; t && i < t->columns; i++)
        add_cell(t, headings[i]);
    if (!t || t->status) {
        cmd_table_free(t);
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    *out = t;
    return ST_OK;
}

void cmd_table_cell(struct cmd_table *t, const char *fmt, ...)
{
    char text[CELL_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    add_cell(t, text);
}

enum st cmd_table_print(struct cmd_table *t, FILE *out)
{
    if (t->status)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < t->count; i++) {
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns;
        int pad = last ? 0 : (int)(t->widths[column] - strlen(t->cells[i]));

        fprintf(out, "%s%*s%s", t->cells[i], pad, "", last ? "\n" : "  ");
    }
    return ST_OK;
}

void cmd_table_free(struct cmd_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}
