/* Each CSV file is read twice: by our scanner, which counts and checks, then by DuckDB, which is
 * told everything (dialect, header, types) and guesses nothing but the line end. (Told that lines
 * end with CR LF, 1.4.4 silently reads no row; left to find out, it is right.) Then the two counts
 * must agree, whatever DuckDB believes.
 */
#include "ingest/source_internal.h"

#include "ingest/csv.h"
#include "ingest/reader.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PIECE_BYTES (1u << 20)
#define REJECTS_MAX 100000 /* remembered per file */

/* Feeds the file to its end, and to `digest`; without one, until the header is known. */
static enum st scan_file(bool *gzip, struct csv_scan *scan, const struct task_file *f,
                         struct digest_stream *digest, const struct ingest_progress *progress,
                         uint64_t rows_before)
{
    bool header_only = !digest;
    struct reader *reader = NULL;
    char *piece = malloc(PIECE_BYTES);
    size_t n = 1;
    enum st st = piece ? reader_open(&reader, f, digest) : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st)
        *gzip = reader_is_gzip(reader);
    while (!st && n && !(header_only && scan->columns)) {
        st = reader_read(&n, reader, piece, PIECE_BYTES);
        if (!st)
            st = n ? csv_scan_feed(scan, piece, n) : csv_scan_finish(scan);
        ingest_tell(progress, "reading", rows_before + scan->records, 0);
    }
    /* The header is good; a later record's fault is found when all are read. */
    if (header_only && scan->columns)
        st = ST_OK;
    if (!st)
        st = reader_check(reader);
    reader_close(reader);
    free(piece);
    return st;
}

static enum st check_header(const struct store_source *s, const struct task_file *f,
                            const struct csv_scan *scan)
{
    for (size_t i = 0; i < s->column_count; i++) {
        size_t c = 0;
        while (c < scan->columns && strcasecmp(csv_scan_name(scan, c), s->columns[i].name) != 0)
            c++;
        if (c == scan->columns)
            return st_place(st_fail(ST_INVALID, "CSV_HEADER",
                                    "%s has no column \"%s\", which the source %s declares",
                                    f->label, s->columns[i].name, s->name),
                            "%s:1", f->label);
    }
    for (size_t c = 0; s->columns_complete && c < scan->columns; c++)
        if (!source_declared(s, csv_scan_name(scan, c)))
            return st_place(st_fail(ST_INVALID, "CSV_HEADER",
                                    "%s has a column that the source %s does not declare", f->label,
                                    s->name),
                            "%s:1:%zu", f->label, c + 1);
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
    return st_place(st_fail(ST_INVALID, "CSV_HEADER", "%s has other columns than %s",
                            files->files[i].label, files->files[0].label),
                    "%s:1", files->files[i].label);
}

enum st source_csv_bind(struct duck *d, const struct store_source *s,
                        const struct task_source *files)
{
    enum st st = ST_OK;
    struct csv_scan first, scan;
    struct buf sql;
    bool gzip;
    buf_init(&sql, 1u << 20);
    csv_scan_init(&first, files->files[0].label);
    for (size_t i = 0; !st && i < files->file_count; i++) {
        csv_scan_init(&scan, files->files[i].label);
        st = scan_file(&gzip, i ? &scan : &first, &files->files[i], NULL, NULL, 0);
        if (!st)
            st = check_header(s, &files->files[i], i ? &scan : &first);
        if (!st && i)
            st = same_columns(&first, &scan, files, i);
        csv_scan_release(&scan);
    }
    if (st)
        goto done;
    buf_addstr(&sql, "CREATE TABLE ");
    duck_add_name(&sql, s->name);
    for (size_t c = 0; c < first.columns; c++) {
        buf_addstr(&sql, c ? ", " : " (");
        duck_add_name(&sql, csv_scan_name(&first, c));
        buf_addf(&sql, " %s", source_type(s, csv_scan_name(&first, c)));
    }
    buf_addch(&sql, ')');
    st = source_run(d, s, &sql);
done:
    csv_scan_release(&first);
    buf_release(&sql);
    return st;
}

static enum st insert_csv(int64_t *parsed, struct duck *d, const struct store_source *s,
                          const struct task_file *f, const struct csv_scan *scan, bool gzip)
{
    struct buf sql;
    buf_init(&sql, 1u << 20);
    buf_addstr(&sql, "INSERT INTO ");
    duck_add_name(&sql, s->name);
    buf_addstr(&sql, " BY NAME SELECT * FROM read_csv(");
    duck_add_literal(&sql, f->path);
    buf_addf(&sql,
             ", compression='%s', hive_partitioning=false, union_by_name=false, filename=false, "
             "auto_detect=false, delim=',', quote='\"', escape='\"', header=true, "
             "nullstr='', strict_mode=true, max_line_size=%u, store_rejects=true, "
             "rejects_table='everline_rejects', rejects_scan='everline_scans', rejects_limit=%d, "
             "columns={",
             gzip ? "gzip" : "none", 2 * CSV_RECORD_MAX, REJECTS_MAX);
    for (size_t c = 0; c < scan->columns; c++) {
        buf_addstr(&sql, c ? ", " : "");
        duck_add_literal(&sql, csv_scan_name(scan, c));
        buf_addstr(&sql, ": ");
        duck_add_literal(&sql, source_type(s, csv_scan_name(scan, c)));
    }
    buf_addstr(&sql, "})");
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_count(parsed, d, "loading a CSV file", sql.data);
    buf_release(&sql);
    return st ? st_place(st, "%s", f->label) : ST_OK;
}

/* The line (from 1) of a byte of the file: DuckDB numbers records, people look for lines. It may
 * point at what is left of the line end before (between CR and LF), which is skipped. */
static uint64_t line_at(const struct task_file *f, uint64_t offset)
{
    uint64_t line = 1, at = 0;
    struct reader *reader = NULL;
    char piece[4096];
    size_t n = 1;
    enum st st = reader_open(&reader, f, NULL);
    for (bool found = false; !st && n && !found;) {
        st = reader_read(&n, reader, piece, sizeof piece);
        for (size_t i = 0; !st && i < n && !found; i++, at++) {
            found = at >= offset && piece[i] != '\r' && piece[i] != '\n';
            line += !found && piece[i] == '\n';
        }
    }
    reader_close(reader);
    return line;
}

/* Records that DuckDB refused: how many, and the first as a failure. csv_line and error_message
 * quote values and are not read. */
static enum st count_rejects(int64_t *rejects, struct duck *d, const struct store_source *s,
                             const struct task_file *f)
{
    enum st st = duck_count(rejects, d, "counting rejects",
                            "SELECT count(DISTINCT line_byte_position) FROM everline_rejects");
    if (st || !*rejects)
        return st;
    struct buf text;
    buf_init(&text, 1u << 16);
    size_t rows, columns;
    st = duck_text(&text, &rows, &columns, d, "reading rejects",
                   "SELECT line_byte_position::VARCHAR, column_idx::VARCHAR, column_name::VARCHAR "
                   "FROM everline_rejects ORDER BY line_byte_position, column_idx LIMIT 1");
    if (!st && rows == 1) {
        const char *position = text.data;
        const char *column = position + strlen(position) + 1;
        const char *name = column + strlen(column) + 1;
        uint64_t offset = strtoull(position, NULL, 10);
        uint64_t line = line_at(f, offset ? offset - 1 : 0);
        const struct store_column *c = source_declared(s, name);
        if (c)
            st = st_fail(ST_INVALID, "CSV_CAST",
                         "%s line %llu: the column \"%s\" is not %s %s; %lld record(s) of this "
                         "file cannot be read as declared",
                         f->label, (unsigned long long)line, c->name,
                         strchr("AEIOUaeiou", c->type[0]) ? "an" : "a", c->type,
                         (long long)*rejects);
        else
            st = st_fail(ST_INVALID, "CSV_CAST",
                         "%s line %llu: the column %s cannot be read as text; %lld record(s) of "
                         "this file cannot be read",
                         f->label, (unsigned long long)line, column, (long long)*rejects);
        st = st_place(st, "%s:%llu:%s", f->label, (unsigned long long)line, column);
    }
    buf_release(&text);
    return st;
}

static bool is_integer(const char *column, void *ctx)
{
    static const char *const TYPES[] = {"TINYINT",  "SMALLINT", "INTEGER",   "INT",      "BIGINT",
                                        "HUGEINT",  "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
                                        "UHUGEINT", "LONG",     "SHORT",     "INT1",     "INT2",
                                        "INT4",     "INT8",     "SIGNED"};
    const struct store_column *c = source_declared(ctx, column);

    for (size_t i = 0; c && i < sizeof TYPES / sizeof *TYPES; i++)
        if (strcasecmp(c->type, TYPES[i]) == 0)
            return true;
    return false;
}

static enum st load_file(struct source_ledger *ledger, struct duck *d, const struct store_source *s,
                         const struct task_file *f, const struct ingest_progress *progress)
{
    struct csv_scan scan;
    struct digest_stream *digest = NULL;
    unsigned char sum[DIGEST_BYTES];
    int64_t parsed = 0, rejects = 0;
    bool gzip = false;
    csv_scan_init(&scan, f->label);
    scan.is_integer_fn = is_integer;
    scan.ctx = (void *)(uintptr_t)s;
    enum st st = digest_stream_new(&digest);
    if (!st)
        st = scan_file(&gzip, &scan, f, digest, progress, ledger->read);
    if (!st)
        st = digest_stream_sum(sum, digest);
    if (!st)
        st = source_note_file(ledger, f, sum);
    if (!st)
        st = insert_csv(&parsed, d, s, f, &scan, gzip);
    if (st)
        goto done;
    st = count_rejects(&rejects, d, s, f);
    ledger->read += scan.records;
    ledger->parsed += (uint64_t)parsed;
    ledger->unparsable += (uint64_t)rejects;
    if (st)
        goto done;
    if ((uint64_t)parsed + (uint64_t)rejects != scan.records) {
        st = st_fail(ST_INVALID, "LEDGER",
                     "%s has %llu records, but %lld were parsed and %lld refused: rows would be "
                     "lost",
                     f->label, (unsigned long long)scan.records, (long long)parsed,
                     (long long)rejects);
        st = st_place(st, "%s", f->label);
        goto done;
    }
    st = task_file_check(f);
done:
    digest_stream_free(digest);
    csv_scan_release(&scan);
    return st;
}

enum st source_csv_load(struct source_ledger *ledger, struct duck *d, const struct store_source *s,
                        const struct task_source *files, const struct ingest_progress *progress)
{
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < files->file_count; i++)
        st = load_file(ledger, d, s, &files->files[i], progress);
    return st;
}
