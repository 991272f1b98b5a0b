/* The header lines of a CSV source's files, before anything else is read of them. */
#include "ingest/source_internal.h"

#include "ingest/csv.h"
#include "ingest/reader.h"

#include <stdlib.h>
#include <strings.h>

#define PIECE_BYTES (64u << 10)

/* Reads until the columns are known. */
static enum st scan_header(struct csv_scan *scan, const struct task_file *f)
{
    struct reader *reader = NULL;
    char *piece = malloc(PIECE_BYTES);
    size_t n = 1;
    enum st st = piece ? reader_open(&reader, f, NULL) : st_fail(ST_NOMEM, NULL, "out of memory");
    while (!st && n && !scan->columns) {
        st = reader_read(&n, reader, piece, PIECE_BYTES);
        if (!st)
            st = n ? csv_scan_feed(scan, piece, n) : csv_scan_finish(scan);
        /* The header is good; a later record's fault is found when all are read. */
        if (scan->columns)
            st = ST_OK;
    }
    if (!st)
        st = reader_check(reader);
    reader_close(reader);
    free(piece);
    return st;
}

static enum st other_columns(enum st st)
{
    return st_hint(st, "is it another file than it should be, or are its fields delimited "
                       "otherwise? The first line names the columns");
}

static enum st check_header(const struct store_source *s, const struct task_file *f,
                            const struct csv_scan *scan)
{
    for (size_t i = 0; i < s->column_count; i++) {
        size_t c = 0;
        while (c < scan->columns && strcasecmp(csv_scan_name(scan, c), s->columns[i].name) != 0)
            c++;
        if (c == scan->columns)
            return other_columns(
                st_place(st_fail(ST_INVALID, "CSV_HEADER",
                                 "%s has no column \"%s\", which the source %s declares", f->label,
                                 s->columns[i].name, s->name),
                         "%s:1", f->label));
    }
    for (size_t c = 0; s->columns_complete && c < scan->columns; c++)
        if (!source_declared(s, csv_scan_name(scan, c)))
            return st_hint(st_place(st_fail(ST_INVALID, "CSV_HEADER",
                                            "%s has a column that the source %s does not declare",
                                            f->label, s->name),
                                    "%s:1:%zu", f->label, c + 1),
                           "declare it in \"columns\", or leave out \"columns_complete\"");
    return ST_OK;
}

static enum st same_columns(const struct csv_scan *first, const struct csv_scan *scan,
                            const struct task_source *files, size_t i)
{
    bool same = first->columns == scan->columns;
    for (size_t c = 0; same && c < scan->columns; c++) {
        size_t j = 0;
        while (j < first->columns && strcasecmp(csv_scan_name(first, j), csv_scan_name(scan, c)))
            j++;
        same = j < first->columns;
    }
    if (same)
        return ST_OK;
    return other_columns(st_place(st_fail(ST_INVALID, "CSV_HEADER", "%s has other columns than %s",
                                          files->files[i].label, files->files[0].label),
                                  "%s:1", files->files[i].label));
}

enum st source_csv_bind(struct duck *d, const struct store_source *s,
                        const struct task_source *files)
{
    enum st st = ST_OK;
    struct csv_scan first, scan;
    struct buf sql;
    buf_init(&sql, 1u << 20);
    csv_scan_init(&first, files->files[0].label, &s->dialect);
    for (size_t i = 0; !st && i < files->file_count; i++) {
        csv_scan_init(&scan, files->files[i].label, &s->dialect);
        st = scan_header(i ? &scan : &first, &files->files[i]);
        if (!st)
            st = check_header(s, &files->files[i], i ? &scan : &first);
        if (!st && i)
            st = same_columns(&first, &scan, files, i);
        csv_scan_release(&scan);
    }
    if (st)
        goto done;
    source_begin_table(&sql, s);
    for (size_t c = 0; c < first.columns; c++)
        source_add_column(&sql, c, csv_scan_name(&first, c),
                          source_type(s, csv_scan_name(&first, c)));
    buf_addch(&sql, ')');
    st = source_run(d, s, &sql);
done:
    csv_scan_release(&first);
    buf_release(&sql);
    return st;
}
