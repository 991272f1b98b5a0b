/* A Parquet file says its own types, and DuckDB reads it where it lies: the relation is a view, so
 * that its rows come out of the file while the batch is prepared. What holds the batch together is
 * each file's stamp: it is compared before the file is opened first, and again when all rows were
 * collected (source_check), because a file that is replaced in between is opened again by name.
 */
#include "ingest/parquet_pages.h"
#include "ingest/source_internal.h"

#include <strings.h>

/* Nothing of a file's path or place becomes a column. */
static void add_files(struct buf *sql, const char *function, const struct task_file *files,
                      size_t count)
{
    buf_addf(sql, "%s([", function);
    for (size_t i = 0; i < count; i++) {
        buf_addstr(sql, i ? ", " : "");
        duck_add_literal(sql, files[i].path);
    }
    buf_addch(sql, ']');
}

static void add_from(struct buf *sql, const struct task_file *files, size_t count)
{
    buf_addstr(sql, " FROM ");
    add_files(sql, "read_parquet", files, count);
    buf_addstr(sql, ", hive_partitioning=false, union_by_name=false, filename=false)");
}

static void add_read(struct buf *sql, const struct task_file *files, size_t count)
{
    buf_addstr(sql, "SELECT *");
    add_from(sql, files, count);
}

static enum st fail_file(enum st st, const struct task_file *f)
{
    if (st == ST_INVALID)
        st = st_hint(st_fail(st, "PARQUET", "%s cannot be read as a Parquet file", f->label),
                     "is it whole? write or transfer it again");
    else if (st == ST_TOO_LARGE)
        st = st_hint(st_wrap(st, "%s", f->label), "leave out what the definition does not use");
    return st ? st_place(st, "%s", f->label) : ST_OK;
}

/* The columns of one file. What DuckDB says of a file that is none may quote what is in it. */
static enum st open_file(struct duck_statement **out, struct duck *d, const struct task_file *f)
{
    struct buf sql;
    *out = NULL;
    buf_init(&sql, 1u << 16);
    add_read(&sql, f, 1);
    enum st st = task_file_check(f);
    if (!st)
        st = buf_status(&sql);
    if (!st)
        st = fail_file(duck_prepare(out, d, sql.data), f);
    buf_release(&sql);
    return st;
}

/* Its index, or how many columns there are. */
static size_t find_column(struct duck_statement *s, const char *name)
{
    size_t i = 0;
    while (i < duck_statement_columns(s) && strcasecmp(duck_statement_name(s, i), name) != 0)
        i++;
    return i;
}

static bool has_column(struct duck_statement *s, const char *name)
{
    return find_column(s, name) < duck_statement_columns(s);
}

/* Names of a file's columns are its own, and are not said (duck_guard). */
static enum st check_columns(const struct store_source *s, const struct task_file *f,
                             struct duck_statement *columns)
{
    for (size_t i = 0; i < s->column_count; i++)
        if (!has_column(columns, s->columns[i].name))
            return st_hint(st_place(st_fail(ST_INVALID, "PARQUET_COLUMNS",
                                            "%s has no column \"%s\", which the source %s declares",
                                            f->label, s->columns[i].name, s->name),
                                    "/sources/%s/columns/%s", s->name, s->columns[i].name),
                           "is it another file than it should be?");
    for (size_t i = 0; s->columns_complete && i < duck_statement_columns(columns); i++)
        if (!source_declared(s, duck_statement_name(columns, i)))
            return st_hint(
                st_place(st_fail(ST_INVALID, "PARQUET_COLUMNS",
                                 "column %zu of %s is one that the source %s does not declare",
                                 i + 1, f->label, s->name),
                         "%s", f->label),
                "declare it in \"columns\", or leave out \"columns_complete\"");
    return ST_OK;
}

/* DuckDB casts what another file has to the first one's types, and rounds. */
static enum st same_columns(struct duck_statement *first, struct duck_statement *other,
                            const struct task_file *a, const struct task_file *b)
{
    bool same = duck_statement_columns(first) == duck_statement_columns(other);
    for (size_t i = 0; same && i < duck_statement_columns(other); i++)
        same = has_column(first, duck_statement_name(other, i));
    if (!same)
        return st_hint(st_place(st_fail(ST_INVALID, "PARQUET_COLUMNS",
                                        "%s has other columns than %s", b->label, a->label),
                                "%s", b->label),
                       "the files of a source have the same columns");
    for (size_t i = 0; i < duck_statement_columns(other); i++) {
        size_t j = find_column(first, duck_statement_name(other, i));
        if (!duck_statement_same_type(other, i, first, j))
            return st_hint(st_place(st_fail(ST_INVALID, "PARQUET_COLUMNS",
                                            "column %zu of %s (%s) has another type in %s (%s)",
                                            i + 1, b->label, duck_statement_type(other, i),
                                            a->label, duck_statement_type(first, j)),
                                    "%s", b->label),
                           "the files of a source have the same types: write them again with one "
                           "schema");
    }
    return ST_OK;
}

static enum st check_files(struct duck *d, const struct store_source *s,
                           const struct task_source *files)
{
    struct duck_statement *first = NULL;
    enum st st = open_file(&first, d, &files->files[0]);
    if (!st)
        st = check_columns(s, &files->files[0], first);
    for (size_t i = 1; !st && i < files->file_count; i++) {
        struct duck_statement *other;
        st = open_file(&other, d, &files->files[i]);
        if (!st)
            st = same_columns(first, other, &files->files[0], &files->files[i]);
        duck_statement_free(other);
    }
    duck_statement_free(first);
    return st;
}

static enum st check_type(struct duck *d, const struct store_source *s,
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
        buf_addstr(&sql, "SELECT count(*) FROM duckdb_columns() WHERE NOT internal AND "
                         "lower(table_name) = lower(");
        duck_add_literal(&sql, s->name);
        buf_addstr(&sql, ") AND lower(column_name) = lower(");
        duck_add_literal(&sql, c->name);
        buf_addf(&sql, ") AND data_type = typeof(CAST(NULL AS %s))", c->type);
        st = buf_status(&sql);
        if (!st)
            st = duck_count(&same, d, "comparing types", sql.data);
        if (!st && !same)
            st = st_hint(st_fail(ST_INVALID, "SOURCE_TYPE",
                                 "the column \"%s\" is %s in the file, not %s", c->name,
                                 duck_statement_type(statement, 0), c->type),
                         "a Parquet file says its own types; cast in prepare");
    }
    duck_statement_free(statement);
    buf_release(&sql);
    return st ? st_place(st, "/sources/%s/columns/%s", s->name, c->name) : ST_OK;
}

enum st source_parquet_bind(struct duck *d, const struct store_source *s,
                            const struct task_source *files)
{
    struct buf sql;
    buf_init(&sql, 16u << 20);
    enum st st = check_files(d, s, files);
    if (!st) {
        buf_addstr(&sql, "CREATE VIEW ");
        duck_add_name(&sql, s->name);
        buf_addstr(&sql, " AS ");
        add_read(&sql, files->files, files->file_count);
        st = source_run(d, s, &sql);
    }
    buf_release(&sql);
    for (size_t i = 0; !st && i < s->column_count; i++)
        st = check_type(d, s, &s->columns[i]);
    return st;
}

/* DuckDB has columns for it that no star gives, unless the files have some of their names. */
enum st source_parquet_add_placed(struct buf *sql, struct duck *d, const struct task_source *files,
                                  const char *column)
{
    struct duck_statement *first = NULL;
    enum st st = open_file(&first, d, &files->files[0]);
    if (!st && (has_column(first, "file_index") || has_column(first, "file_row_number")))
        st = ST_NOT_FOUND;
    duck_statement_free(first);
    buf_addf(sql, "SELECT *, (file_index::BIGINT << %d) + file_row_number + 1 AS ",
             SOURCE_LINE_BITS);
    duck_add_name(sql, column);
    add_from(sql, files->files, files->file_count);
    return st;
}

/* Its pages are compared and counted, and it is hashed, while it is what its stamp says. `ledger`
 * NULL: no count and no hash is wanted. */
static enum st check_file(struct source_ledger *ledger, struct duck *d, const struct task_file *f)
{
    unsigned char sum[DIGEST_BYTES];
    uint64_t size, rows;
    int fd;
    enum st st = task_file_open(&fd, f);
    if (!st)
        st = parquet_pages_check(&rows, d, f, fd);
    if (!st && ledger)
        st = digest_file(sum, &size, fd);
    if (!st)
        st = task_stamp_check(f, fd);
    if (!st && ledger)
        st = source_note_file(ledger, f, sum);
    if (!st && ledger)
        ledger->read += rows;
    fs_close(&fd);
    return st;
}

/* Reads every value: only to find out whether it can be. */
static enum st read_values(struct duck *d, const struct task_file *f)
{
    struct buf sql;
    buf_init(&sql, 1u << 16);
    buf_addstr(&sql, "SELECT bit_xor(hash(\"#t\")) FROM (");
    add_read(&sql, f, 1);
    buf_addstr(&sql, ") AS \"#t\"");
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_run(d, "reading a Parquet file", sql.data);
    if (st == ST_INVALID || st == ST_IO) { /* not for want of memory, or interrupted */
        st =
            st_fail(ST_INVALID, "PARQUET", "%s is damaged: it cannot be read to its end", f->label);
        st = st_place(st_hint(st, "write or transfer it again"), "%s", f->label);
    }
    buf_release(&sql);
    return st;
}

enum st source_parquet_blame(struct duck *d, const struct task_source *files, bool unread)
{
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < files->file_count; i++) {
        st = check_file(NULL, d, &files->files[i]);
        if (!st && unread)
            st = read_values(d, &files->files[i]);
    }
    return st;
}

enum st source_parquet_load(struct source_ledger *ledger, struct duck *d,
                            const struct store_source *s, const struct task_source *files,
                            const struct ingest_progress *progress)
{
    int64_t rows = 0;
    struct buf sql;
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < files->file_count; i++) {
        st = check_file(ledger, d, &files->files[i]);
        ingest_tell(progress, "reading", 0, 0);
    }
    if (st)
        return st;
    buf_init(&sql, 4096);
    buf_addstr(&sql, "SELECT count(*) FROM ");
    duck_add_name(&sql, s->name);
    st = buf_status(&sql);
    if (!st)
        st = duck_count(&rows, d, "counting rows", sql.data);
    buf_release(&sql);
    if (st)
        return st;
    ledger->parsed = (uint64_t)rows;
    if (ledger->read == ledger->parsed)
        return ST_OK;
    return st_hint(st_fail(ST_INVALID, "LEDGER",
                           "the source %s has pages of %llu rows, but %lld were read: rows would "
                           "be lost",
                           s->name, (unsigned long long)ledger->read, (long long)rows),
                   SOURCE_LEDGER_HINT);
}
