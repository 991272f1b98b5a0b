/* CSV and NDJSON, from files to a table. DuckDB's own readers are not used: they guess, and one
 * that loses its way loses rows without a word.
 *
 * Under one lock a thread takes the next piece of the files: it reads, inflates and hashes, and the
 * scan counts the records in it and says where the last whole one ends; what is behind it begins
 * the next piece. Outside the lock it splits its piece into fields. So the scan has seen every byte
 * in order, and what the threads make of the pieces is held against its count. Values are cast by
 * DuckDB, on their way into the table.
 */
#include "ingest/source_internal.h"

#include "base/utf8.h"
#include "ingest/csv.h"
#include "ingest/ndjson.h"
#include "ingest/reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PIECE_BYTES (1u << 20)
#define PIECE_MAX (PIECE_BYTES + 2 * RECORD_MAX) /* with a record that begins at its end */
#define LINE_BITS 40                             /* of a place; the file is above */

struct text {
    const struct store_source *source;
    const struct task_source *files;
    struct source_ledger *ledger;
    const struct ingest_progress *progress;
    struct duck_statement *columns; /* of the table */
    size_t column_count;
    bool *integers;
    size_t **orders; /* by file: which column its i-th is; NULL: the i-th */

    pthread_mutex_t lock; /* of what follows, and of the ledger */
    bool failed;
    size_t file; /* that is read, or will be next */
    struct reader *reader;
    struct digest_stream *digest;
    struct csv_scan csv;
    struct ndjson_scan ndjson;
    char *rest; /* the beginning of the next piece */
    size_t rest_len;
};

struct worker {
    struct text *text;
    char *piece;
    size_t file;
    struct record_reader reader;
};

/* ---- the scan, whatever the format ---- */

struct scan_state {
    uint64_t records, record_offset, record_line, body_offset;
};

static struct scan_state scan_state(const struct text *t)
{
    if (t->source->format == STORE_NDJSON)
        return (struct scan_state){t->ndjson.records, t->ndjson.record_offset,
                                   t->ndjson.record_line, t->ndjson.body_offset};
    return (struct scan_state){t->csv.records, t->csv.record_offset, t->csv.record_line,
                               t->csv.body_offset};
}

static void scan_begin(struct text *t, const char *file)
{
    if (t->source->format == STORE_NDJSON)
        ndjson_scan_init(&t->ndjson, file);
    else
        csv_scan_init(&t->csv, file, &t->source->dialect);
}

static enum st scan_feed(struct text *t, const char *bytes, size_t len)
{
    return t->source->format == STORE_NDJSON ? ndjson_scan_feed(&t->ndjson, bytes, len)
                                             : csv_scan_feed(&t->csv, bytes, len);
}

static enum st scan_finish(struct text *t)
{
    if (t->source->format != STORE_NDJSON)
        return csv_scan_finish(&t->csv);
    ndjson_scan_finish(&t->ndjson);
    return ST_OK;
}

/* ---- pieces; under the lock ---- */

static enum st open_next_file(struct text *t)
{
    const struct task_file *f = &t->files->files[t->file];
    enum st st = digest_stream_new(&t->digest);
    if (!st)
        st = reader_open(&t->reader, f, t->digest);
    scan_begin(t, f->label);
    t->rest_len = 0;
    return st;
}

static void close_file(struct text *t)
{
    reader_close(t->reader);
    t->reader = NULL;
    digest_stream_free(t->digest);
    t->digest = NULL;
    if (t->source->format == STORE_CSV)
        csv_scan_release(&t->csv);
}

static enum st finish_file(struct text *t)
{
    unsigned char sum[DIGEST_BYTES];
    enum st st = reader_check(t->reader);
    if (!st)
        st = digest_stream_sum(sum, t->digest);
    if (!st)
        st = source_note_file(t->ledger, &t->files->files[t->file], sum);
    t->ledger->read += scan_state(t).records;
    close_file(t);
    t->file++;
    return st;
}

/* Which columns of the table the file's are. Binding saw to it that they are the same. */
static enum st note_order(struct text *t)
{
    if (t->source->format != STORE_CSV || t->source->dialect.name_count || t->orders[t->file] ||
        !t->csv.columns)
        return ST_OK;
    size_t *order = calloc(t->column_count, sizeof *order);
    if (!order)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    t->orders[t->file] = order;
    for (size_t i = 0; i < t->column_count; i++) {
        while (i < t->csv.columns && order[i] < t->column_count &&
               strcasecmp(csv_scan_name(&t->csv, i), duck_statement_name(t->columns, order[i])))
            order[i]++;
        if (t->csv.columns != t->column_count || order[i] == t->column_count)
            return st_fail(ST_CONFLICT, "SOURCE_CHANGED", "%s changed while it was read",
                           t->files->files[t->file].label);
    }
    return ST_OK;
}

static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t lines = 0;
    for (const char *end = bytes + len; (bytes = memchr(bytes, '\n', (size_t)(end - bytes)));
         bytes++)
        lines++;
    return lines;
}

/* The next piece of the open file: whole records, perhaps none. */
static enum st read_piece(struct text *t, struct worker *w)
{
    struct scan_state before = scan_state(t), after = before;
    size_t len = t->rest_len, n = 1, whole, skip = 0;
    enum st st = ST_OK;
    memcpy(w->piece, t->rest, len);
    while (!st && n && (len < PIECE_BYTES || after.record_offset == before.record_offset)) {
        st = reader_read(&n, t->reader, w->piece + len, PIECE_MAX - len);
        if (!st)
            st = n ? scan_feed(t, w->piece + len, n) : scan_finish(t);
        len += n;
        after = scan_state(t);
    }
    if (!st)
        st = note_order(t);
    if (st)
        return st;
    whole = n ? (size_t)(after.record_offset - before.record_offset) : len;
    if (after.body_offset > before.record_offset)
        skip = (size_t)(after.body_offset - before.record_offset);
    skip = skip < whole ? skip : whole;
    t->rest_len = len - whole;
    memcpy(t->rest, w->piece + whole, t->rest_len);
    w->file = t->file;
    w->reader.order = t->orders[t->file];
    w->reader.at = w->piece + skip;
    w->reader.end = w->piece + whole;
    w->reader.next_line = before.record_line + count_lines(w->piece, skip);
    ingest_tell(t->progress, "reading", t->ledger->read + after.records, 0);
    return n ? ST_OK : finish_file(t);
}

/* A piece with something in it; w->reader is at its end when there is none. */
static enum st next_piece(struct text *t, struct worker *w)
{
    enum st st = ST_OK;
    pthread_mutex_lock(&t->lock);
    while (!st && !t->failed && w->reader.at == w->reader.end &&
           (t->reader || t->file < t->files->file_count)) {
        if (!t->reader)
            st = open_next_file(t);
        if (!st)
            st = read_piece(t, w);
    }
    t->failed = t->failed || st;
    pthread_mutex_unlock(&t->lock);
    if (!st)
        w->reader.valid_utf8 = utf8_is_valid(w->reader.at, (size_t)(w->reader.end - w->reader.at));
    return st;
}

/* ---- rows ---- */

static void close_worker(void *worker)
{
    struct worker *w = worker;
    free(w->piece);
    free(w->reader.fields);
    free(w->reader.seen);
    free(w->reader.scratch);
    free(w);
}

static enum st open_worker(void **out, void *ctx)
{
    struct text *t = ctx;
    struct worker *w = calloc(1, sizeof *w);
    *out = w;
    if (!w)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    w->text = t;
    w->piece = malloc(PIECE_MAX);
    w->reader = (struct record_reader){
        .source = t->source,
        .columns = t->column_count,
        .integers = t->integers,
        .at = w->piece,
        .end = w->piece,
        .fields = calloc(t->column_count, sizeof *w->reader.fields),
        .scratch = malloc(RECORD_MAX),
        .seen = calloc(t->column_count, sizeof *w->reader.seen),
    };
    if (w->piece && w->reader.fields && w->reader.scratch && w->reader.seen)
        return ST_OK;
    close_worker(w);
    return st_fail(ST_NOMEM, NULL, "out of memory");
}

static void add_reject(struct text *t, const struct reject *reject)
{
    pthread_mutex_lock(&t->lock);
    rejects_add(&t->ledger->rejects, reject);
    pthread_mutex_unlock(&t->lock);
}

/* The declared column that is the file's i-th (from 1), or NULL. */
static const struct store_column *declared(const struct text *t, const size_t *order, size_t i)
{
    if (!i || i > t->column_count)
        return NULL;
    return source_declared(t->source,
                           duck_statement_name(t->columns, order ? order[i - 1] : i - 1));
}

static void reject_record(struct worker *w)
{
    const struct record_reader *r = &w->reader;
    add_reject(w->text, &(struct reject){w->file, r->line, r->column, r->fault,
                                         declared(w->text, r->order, r->column)});
}

/* A value that DuckDB could not cast; `column` of the table, from 1. */
static void reject_cast(int64_t place, int32_t column, void *ctx)
{
    struct text *t = ctx;
    struct reject reject = {(size_t)(place >> LINE_BITS),
                            (uint64_t)place & (((uint64_t)1 << LINE_BITS) - 1), (size_t)column,
                            RECORD_CAST, NULL};
    const size_t *order = t->orders[reject.file];
    for (size_t i = 0; order && i < t->column_count; i++)
        if (order[i] == (size_t)column - 1)
            reject.column = i + 1;
    reject.declared = declared(t, order, reject.column);
    add_reject(t, &reject);
}

static bool split(struct worker *w)
{
    const struct store_source *s = w->text->source;
    return s->format == STORE_NDJSON ? ndjson_split(&w->reader)
                                     : csv_split(&w->reader, &s->dialect);
}

static enum st fill_rows(size_t *count, struct duck_rows *rows, void *worker)
{
    struct worker *w = worker;
    size_t max = duck_rows_max();
    *count = 0;
    while (*count < max) {
        if (w->reader.at == w->reader.end) {
            enum st st = next_piece(w->text, w);
            if (st || w->reader.at == w->reader.end)
                return st;
        }
        if (!split(w))
            continue;
        if (w->reader.fault)
            reject_record(w);
        else
            duck_rows_put(rows, (*count)++, w->reader.fields,
                          (int64_t)(w->file << LINE_BITS | w->reader.line));
    }
    return ST_OK;
}

/* ---- the table ---- */

static bool is_text(const char *type)
{
    return !strcasecmp(type, "VARCHAR") || !strcasecmp(type, "TEXT") || !strcasecmp(type, "STRING");
}

static bool is_integer(const char *type)
{
    static const char *const TYPES[] = {"TINYINT",  "SMALLINT", "INTEGER",   "INT",      "BIGINT",
                                        "HUGEINT",  "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
                                        "UHUGEINT", "LONG",     "SHORT",     "INT1",     "INT2",
                                        "INT4",     "INT8",     "SIGNED"};
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (!strcasecmp(type, TYPES[i]))
            return true;
    return false;
}

/* Of NDJSON, in which it is JSON by now. */
static bool is_list(const struct text *t, const char *type)
{
    return t->source->format == STORE_NDJSON && strchr(type, '[');
}

static const char *column_type(const struct text *t, size_t i)
{
    return source_type(t->source, duck_statement_name(t->columns, i));
}

/* A list's cast leaves null where an element's failed. */
static void add_bad(struct buf *sql, const struct text *t, size_t i)
{
    buf_addf(sql, " WHEN \"#%zu\" IS NOT NULL AND (\"#c%zu\" IS NULL", i, i);
    if (is_list(t, column_type(t, i)))
        buf_addf(sql,
                 " OR list_count(\"#c%zu\") <> "
                 "list_count(TRY_CAST(TRY_CAST(\"#%zu\" AS JSON) AS VARCHAR[]))",
                 i, i);
    buf_addf(sql, ") THEN %zu", i + 1);
}

static void add_cast(struct buf *sql, const struct text *t, size_t i)
{
    const char *type = column_type(t, i);
    if (is_text(type))
        buf_addf(sql, ", \"#%zu\"", i);
    else if (is_list(t, type))
        buf_addf(sql, ", TRY_CAST(TRY_CAST(\"#%zu\" AS JSON) AS %s)", i, type);
    else
        buf_addf(sql, ", TRY_CAST(\"#%zu\" AS %s)", i, type);
    buf_addf(sql, " AS \"#c%zu\"", i);
}

/* INSERT INTO source SELECT ... of what "#read"() gives, without those that cannot be cast. */
static void add_insert(struct buf *sql, const struct text *t)
{
    bool casts = false;
    buf_addstr(sql, "INSERT INTO ");
    duck_add_name(sql, t->source->name);
    buf_addstr(sql, " SELECT ");
    for (size_t i = 0; i < t->column_count; i++)
        buf_addf(sql, "%s\"#c%zu\"", i ? ", " : "", i);
    buf_addstr(sql, " FROM (SELECT *, CASE WHEN false THEN 0");
    for (size_t i = 0; i < t->column_count; i++)
        if (!is_text(column_type(t, i))) {
            add_bad(sql, t, i);
            casts = true;
        }
    buf_addstr(sql, " ELSE 0 END::INTEGER AS \"#bad\" FROM (SELECT *");
    for (size_t i = 0; i < t->column_count; i++)
        add_cast(sql, t, i);
    buf_addstr(sql, " FROM \"#read\"()))");
    if (casts)
        buf_addstr(sql, " WHERE \"#keep\"(\"#bad\", \"#place\")");
}

static enum st prepare(struct text *t, struct duck *d)
{
    struct buf sql;
    buf_init(&sql, 1024);
    buf_addstr(&sql, "SELECT * FROM ");
    duck_add_name(&sql, t->source->name);
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_prepare(&t->columns, d, sql.data);
    buf_release(&sql);
    if (st)
        return st;
    t->column_count = duck_statement_columns(t->columns);
    t->integers = calloc(t->column_count, sizeof *t->integers);
    t->orders = calloc(t->files->file_count, sizeof *t->orders);
    t->rest = malloc(PIECE_MAX);
    if (!t->integers || !t->orders || !t->rest)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < t->column_count; i++) /* asked for here, by one thread */
        t->integers[i] = is_integer(column_type(t, i));
    return ST_OK;
}

static enum st check_ledger(const struct source_ledger *l, const struct store_source *s)
{
    if (l->read == l->parsed + l->unparsable)
        return ST_OK;
    return st_fail(ST_INVALID, "LEDGER",
                   "the source %s has %llu records, but %llu were parsed and %llu refused: rows "
                   "would be lost",
                   s->name, (unsigned long long)l->read, (unsigned long long)l->parsed,
                   (unsigned long long)l->unparsable);
}

enum st source_text_load(struct source_ledger *ledger, struct duck *d, const struct store_source *s,
                         const struct task_source *files, const struct ingest_progress *progress)
{
    struct text t = {.source = s, .files = files, .ledger = ledger, .progress = progress};
    struct duck_feed feed = {0, &t, open_worker, fill_rows, close_worker, reject_cast};
    struct buf sql;
    int64_t parsed = 0;
    pthread_mutex_init(&t.lock, NULL);
    buf_init(&sql, 4u << 20);
    enum st st = prepare(&t, d);
    if (!st) {
        feed.columns = t.column_count;
        add_insert(&sql, &t);
        st = buf_status(&sql);
    }
    if (!st)
        st = duck_feed(&parsed, d, &feed, "loading a source", sql.data);
    ledger->parsed = (uint64_t)parsed;
    ledger->unparsable = ledger->rejects.count;
    rejects_sort(&ledger->rejects);
    if (!st)
        st = check_ledger(ledger, s);
    if (!st && (double)ledger->unparsable > s->max_reject_ratio * (double)ledger->read)
        st = rejects_fail(&ledger->rejects, s, files, ledger->read);
    for (size_t i = 0; !st && i < files->file_count; i++)
        st = task_file_check(&files->files[i]);
    close_file(&t);
    for (size_t i = 0; t.orders && i < files->file_count; i++)
        free(t.orders[i]);
    free(t.orders);
    free(t.integers);
    free(t.rest);
    duck_statement_free(t.columns);
    buf_release(&sql);
    pthread_mutex_destroy(&t.lock);
    return st;
}
