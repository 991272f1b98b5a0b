/* Each CSV file is read twice: by our scanner, which counts and checks, then by DuckDB, which is
 * told everything (dialect, header, types) and guesses nothing but the line end. (Told that lines
 * end with CR LF, 1.4.4 silently reads no row; left to find out, it is right.) Then the two counts
 * must agree, whatever DuckDB believes.
 */
#include "ingest/source.h"

#include "ingest/csv.h"
#include "ingest/syntax.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (1u << 20)
#define REJECTS_MAX 100000 /* remembered per file */

void ingest_tell(const struct ingest_progress *p, const char *phase, uint64_t rows, uint64_t total)
{
    if (p && p->fn)
        p->fn(phase, rows, total, p->ctx);
}

static const struct store_column *declared(const struct store_source *s, const char *name)
{
    for (size_t i = 0; i < s->column_count; i++)
        if (!strcasecmp(s->columns[i].name, name))
            return &s->columns[i];
    return NULL;
}

static const char *type_of(const struct store_source *s, const char *name)
{
    const struct store_column *c = declared(s, name);
    return c ? c->type : "VARCHAR";
}

static enum st check_types(struct duck *d, const struct store_source *s)
{
    char pointer[256];
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < s->column_count; i++) {
        snprintf(pointer, sizeof pointer, "/sources/%s/columns/%s", s->name, s->columns[i].name);
        st = syntax_check_type(d, s->columns[i].type, pointer);
        if (st)
            break;
        struct duck_statement *statement = NULL;
        struct buf sql;
        buf_init(&sql, 4096);
        buf_addf(&sql, "SELECT CAST(NULL AS %s)", s->columns[i].type);
        st = buf_status(&sql);
        if (!st && (st = duck_prepare(&statement, d, sql.data)))
            st = st_place(st, "%s", pointer);
        duck_statement_free(statement);
        buf_release(&sql);
    }
    return st;
}

static enum st run(struct duck *d, const struct store_source *s, struct buf *sql)
{
    char what[STORE_NAME_SIZE + 32];
    snprintf(what, sizeof what, "loading the source %s", s->name);
    enum st st = buf_status(sql);
    return st ? st : duck_run(d, what, sql->data);
}

enum st source_declare(struct duck *d, const struct task *t)
{
    const struct store_definition *def = t->definition;
    bool complete = true;
    for (size_t i = 0; i < def->source_count; i++) {
        enum st st = check_types(d, &def->sources[i]);
        if (st)
            return st;
        complete = complete && def->sources[i].columns_complete;
    }
    if (!complete)
        return ST_NOT_FOUND;
    for (size_t i = 0; i < def->source_count; i++) {
        const struct store_source *s = &def->sources[i];
        struct buf sql;
        buf_init(&sql, 1u << 20);
        buf_addstr(&sql, "CREATE TABLE ");
        duck_add_name(&sql, s->name);
        for (size_t c = 0; c < s->column_count; c++) {
            buf_addstr(&sql, c ? ", " : " (");
            duck_add_name(&sql, s->columns[c].name);
            buf_addf(&sql, " %s", s->columns[c].type);
        }
        buf_addch(&sql, ')');
        enum st st = run(d, s, &sql);
        buf_release(&sql);
        if (st)
            return st_place(st, "/sources/%s/columns", s->name);
    }
    return ST_OK;
}

/* ---- CSV ---- */

/* Feeds the file, to its end or until the header is known. */
static enum st scan_file(struct csv_scan *scan, const struct task_file *f, bool header_only,
                         const struct ingest_progress *progress, uint64_t rows_before)
{
    enum st st = ST_OK;
    char *piece = malloc(PIECE_BYTES);
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (!piece || fd < 0) {
        st = st_fail_errno(errno, "cannot read %s", f->label);
        goto done;
    }
    st = task_stamp_check(f, fd);
    while (!st) {
        ssize_t n = read(fd, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = st_fail_errno(errno, "cannot read %s", f->label);
        else
            st = n ? csv_scan_feed(scan, piece, (size_t)n) : csv_scan_finish(scan);
        if (!n || (header_only && scan->columns))
            break;
        ingest_tell(progress, "reading", rows_before + scan->records, 0);
    }
    /* A later record's fault is found when all are read. */
    if (header_only && scan->columns)
        st = ST_OK;
    if (!st)
        st = task_stamp_check(f, fd);
done:
    fs_close(&fd);
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
        if (!declared(s, csv_scan_name(scan, c)))
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

static enum st bind_csv(struct duck *d, const struct store_source *s,
                        const struct task_source *files)
{
    enum st st = ST_OK;
    struct csv_scan first, scan;
    struct buf sql;
    buf_init(&sql, 1u << 20);
    csv_scan_init(&first, files->files[0].label);
    for (size_t i = 0; !st && i < files->file_count; i++) {
        csv_scan_init(&scan, files->files[i].label);
        st = scan_file(i ? &scan : &first, &files->files[i], true, NULL, 0);
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
        buf_addf(&sql, " %s", type_of(s, csv_scan_name(&first, c)));
    }
    buf_addch(&sql, ')');
    st = run(d, s, &sql);
done:
    csv_scan_release(&first);
    buf_release(&sql);
    return st;
}

static enum st insert_csv(int64_t *parsed, struct duck *d, const struct store_source *s,
                          const struct task_file *f, const struct csv_scan *scan)
{
    struct buf sql;
    buf_init(&sql, 1u << 20);
    buf_addstr(&sql, "INSERT INTO ");
    duck_add_name(&sql, s->name);
    buf_addstr(&sql, " BY NAME SELECT * FROM read_csv(");
    duck_add_literal(&sql, f->path);
    buf_addf(&sql,
             ", auto_detect=false, delim=',', quote='\"', escape='\"', header=true, "
             "nullstr='', strict_mode=true, max_line_size=%u, store_rejects=true, "
             "rejects_table='everline_rejects', rejects_scan='everline_scans', rejects_limit=%d, "
             "columns={",
             2 * CSV_RECORD_MAX, REJECTS_MAX);
    for (size_t c = 0; c < scan->columns; c++) {
        buf_addstr(&sql, c ? ", " : "");
        duck_add_literal(&sql, csv_scan_name(scan, c));
        buf_addstr(&sql, ": ");
        duck_add_literal(&sql, type_of(s, csv_scan_name(scan, c)));
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
    FILE *file = fopen(f->path, "re");
    for (int c; file && (c = getc_unlocked(file)) != EOF; at++) {
        if (at >= offset && c != '\r' && c != '\n')
            break;
        line += c == '\n';
    }
    if (file)
        fclose(file);
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
        st = st_fail(ST_INVALID, "CSV_CAST",
                     "%s line %llu: the column \"%s\" is not %s %s; %lld record(s) of this file "
                     "cannot be read as declared",
                     f->label, (unsigned long long)line, name,
                     strchr("AEIOUaeiou", type_of(s, name)[0]) ? "an" : "a", type_of(s, name),
                     (long long)*rejects);
        st = st_place(st, "%s:%llu:%s", f->label, (unsigned long long)line, column);
    }
    buf_release(&text);
    return st;
}

static enum st load_csv(struct source_ledger *ledger, struct duck *d, const struct store_source *s,
                        const struct task_file *f, const struct ingest_progress *progress)
{
    struct csv_scan scan;
    int64_t parsed = 0, rejects = 0;
    int fd = -1;
    csv_scan_init(&scan, f->label);
    enum st st = scan_file(&scan, f, false, progress, ledger->read);
    if (st)
        goto done;
    st = insert_csv(&parsed, d, s, f, &scan);
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
    fd = open(f->path, O_RDONLY | O_CLOEXEC);
    st = fd < 0 ? st_fail_errno(errno, "cannot read %s", f->label) : task_stamp_check(f, fd);
done:
    fs_close(&fd);
    csv_scan_release(&scan);
    return st;
}

/* ---- Parquet ---- */

static void add_files(struct buf *sql, const struct task_source *files)
{
    for (size_t i = 0; i < files->file_count; i++) {
        buf_addstr(sql, i ? ", " : "[");
        duck_add_literal(sql, files->files[i].path);
    }
    buf_addch(sql, ']');
}

static enum st check_parquet_type(struct duck *d, const struct store_source *s,
                                  const struct store_column *c)
{
    struct buf sql;
    struct duck_statement *statement = NULL;
    int64_t same = 0;
    buf_init(&sql, 1u << 16);
    buf_addstr(&sql, "SELECT ");
    duck_add_name(&sql, c->name);
    buf_addstr(&sql, " FROM ");
    duck_add_name(&sql, s->name);
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_prepare(&statement, d, sql.data);
    if (!st) {
        buf_reset(&sql);
        buf_addstr(&sql, "SELECT count(*) FROM duckdb_columns() WHERE lower(table_name) = lower(");
        duck_add_literal(&sql, s->name);
        buf_addstr(&sql, ") AND lower(column_name) = lower(");
        duck_add_literal(&sql, c->name);
        buf_addf(&sql, ") AND data_type = typeof(CAST(NULL AS %s))", c->type);
        st = buf_status(&sql);
        if (!st)
            st = duck_count(&same, d, "comparing types", sql.data);
        if (!st && !same)
            st = st_hint(st_fail(ST_INVALID, "SOURCE_TYPE",
                                 "the column \"%s\" is %s in the file, "
                                 "not %s",
                                 c->name, duck_statement_type(statement, 0), c->type),
                         "a Parquet file says its own types; cast in prepare");
    }
    duck_statement_free(statement);
    buf_release(&sql);
    return st ? st_place(st, "/sources/%s/columns/%s", s->name, c->name) : ST_OK;
}

/* Says which file is no Parquet file, or that they differ. */
static enum st parquet_refused(struct duck *d, const struct store_source *s,
                               const struct task_source *files)
{
    for (size_t i = 0; i < files->file_count; i++) {
        const struct task_file *f = &files->files[i];
        struct duck_statement *statement = NULL;
        struct buf sql;
        buf_init(&sql, 1u << 16);
        buf_addstr(&sql, "SELECT * FROM read_parquet(");
        duck_add_literal(&sql, f->path);
        buf_addch(&sql, ')');
        enum st st = buf_status(&sql);
        bool refused = !st && duck_prepare(&statement, d, sql.data);
        duck_statement_free(statement);
        buf_release(&sql);
        if (st)
            return st;
        if (refused)
            return st_place(
                st_fail(ST_INVALID, "PARQUET", "%s cannot be read as a Parquet file", f->label),
                "%s", f->label);
    }
    return st_fail(ST_INVALID, "PARQUET",
                   "the Parquet files of the source %s do not have the same columns", s->name);
}

static enum st bind_parquet(struct duck *d, const struct store_source *s,
                            const struct task_source *files)
{
    struct buf sql;
    struct duck_statement *statement = NULL;
    buf_init(&sql, 16u << 20);
    buf_addstr(&sql, "SELECT * FROM read_parquet(");
    add_files(&sql, files);
    buf_addch(&sql, ')');
    enum st st = buf_status(&sql);
    if (!st && duck_prepare(&statement, d, sql.data))
        st = parquet_refused(d, s, files);
    duck_statement_free(statement);
    if (!st) {
        buf_reset(&sql);
        buf_addstr(&sql, "CREATE VIEW ");
        duck_add_name(&sql, s->name);
        buf_addstr(&sql, " AS SELECT * FROM read_parquet(");
        add_files(&sql, files);
        buf_addch(&sql, ')');
        st = run(d, s, &sql);
    }
    buf_release(&sql);
    for (size_t i = 0; !st && i < s->column_count; i++)
        st = check_parquet_type(d, s, &s->columns[i]);
    return st;
}

static enum st load_parquet(struct source_ledger *ledger, struct duck *d,
                            const struct store_source *s, const struct task_source *files)
{
    int64_t groups = 0, rows = 0;
    struct buf sql;
    buf_init(&sql, 16u << 20);
    buf_addstr(&sql, "SELECT coalesce(sum(n), 0)::BIGINT FROM (SELECT DISTINCT file_name, "
                     "row_group_id, row_group_num_rows AS n FROM parquet_metadata(");
    add_files(&sql, files);
    buf_addstr(&sql, "))");
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_count(&groups, d, "reading Parquet metadata", sql.data);
    if (!st) {
        buf_reset(&sql);
        buf_addstr(&sql, "SELECT count(*) FROM ");
        duck_add_name(&sql, s->name);
        st = duck_count(&rows, d, "counting rows", sql.data);
    }
    buf_release(&sql);
    if (st)
        return st;
    ledger->read = (uint64_t)groups;
    ledger->parsed = (uint64_t)rows;
    return groups == rows ? ST_OK
                          : st_fail(ST_INVALID, "LEDGER",
                                    "the source %s has row groups of %lld rows, but %lld "
                                    "were read",
                                    s->name, (long long)groups, (long long)rows);
}

enum st source_bind(struct duck *d, const struct task *t)
{
    for (size_t i = 0; i < t->definition->source_count; i++) {
        const struct store_source *s = &t->definition->sources[i];
        if (!t->sources[i].file_count)
            return st_fail(ST_INVALID, "MISSING_SOURCE", "the source %s has no file", s->name);
        enum st st = check_types(d, s);
        if (!st)
            st = s->format == STORE_CSV ? bind_csv(d, s, &t->sources[i])
                                        : bind_parquet(d, s, &t->sources[i]);
        if (st)
            return st;
    }
    return ST_OK;
}

enum st source_load(struct source_ledger *ledgers, struct duck *d, const struct task *t,
                    const struct ingest_progress *progress)
{
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < t->definition->source_count; i++) {
        const struct store_source *s = &t->definition->sources[i];
        ledgers[i] = (struct source_ledger){0};
        if (s->format == STORE_PARQUET)
            st = load_parquet(&ledgers[i], d, s, &t->sources[i]);
        for (size_t j = 0; !st && s->format == STORE_CSV && j < t->sources[i].file_count; j++)
            st = load_csv(&ledgers[i], d, s, &t->sources[i].files[j], progress);
    }
    return st;
}
