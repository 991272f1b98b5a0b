/* DuckDB writes the Parquet file: it reads a relation of text whose rows are the records, and casts
 * it to the declared types. Its threads take some records at a time, one after the other, and write
 * them out as text side by side. */
#include "ingest/duck.h"
#include "ingest/export.h"
#include "ingest/job.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX (1u << 20)
#define ROWS_BYTES (4u << 20) /* of records that a thread takes: about so many */
#define TEXT_MAX 64           /* of a value that is no text */

struct parquet {
    struct store_export *e;
    const struct store_definition *definition;
    const struct ingest_progress *progress;
    pthread_mutex_t lock; /* of what follows, and of the reading */
    uint64_t count, total;
    bool ended;
};

/* One thread's. */
struct writer {
    struct parquet *parquet;
    struct buf rows, text; /* the records' bytes; the values of one of them */
    size_t count, max;
    struct taken {
        unsigned char key[STORE_KEY_BYTES];
        size_t start, len;
    } taken[];
};

static enum st begin(void **reading, void *ctx)
{
    *reading = ctx;
    return ST_OK;
}

static void end(void *reading)
{
    (void)reading;
}

static void close_writer(void *worker)
{
    struct writer *w = worker;
    if (!w)
        return;
    buf_release(&w->rows);
    buf_release(&w->text);
    free(w);
}

static enum st open_writer(void **worker, void *reading)
{
    size_t max = duck_rows_max();
    struct writer *w = calloc(1, sizeof *w + max * sizeof *w->taken);
    *worker = w;
    if (!w)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    w->parquet = reading;
    w->max = max;
    buf_init(&w->rows, ROWS_BYTES + STORE_ROW_MAX);
    buf_init(&w->text, STORE_FIELDS_MAX * TEXT_MAX);
    return buf_reserve(&w->text, STORE_FIELDS_MAX * TEXT_MAX) ? ST_OK : buf_status(&w->text);
}

static enum st take(const unsigned char key[STORE_KEY_BYTES], const void *row, size_t row_len,
                    void *ctx)
{
    struct writer *w = ctx;
    struct taken *t = &w->taken[w->count++];
    memcpy(t->key, key, STORE_KEY_BYTES);
    t->start = w->rows.len;
    t->len = row_len;
    buf_add(&w->rows, row, row_len);
    if (w->rows.status)
        return buf_status(&w->rows);
    return w->count == w->max || w->rows.len >= ROWS_BYTES ? ST_END : ST_OK;
}

static enum st take_some(struct writer *w)
{
    struct parquet *p = w->parquet;
    enum st st = ST_END;
    w->count = 0;
    buf_reset(&w->rows);
    pthread_mutex_lock(&p->lock);
    if (!p->ended && !(st = job_check_interrupted()))
        st = store_export_each(p->e, take, w);
    p->ended = st && (st != ST_END || (w->count < w->max && w->rows.len < ROWS_BYTES));
    p->count += w->count;
    if (w->count)
        ingest_tell(p->progress, "exporting", p->count, p->total);
    pthread_mutex_unlock(&p->lock);
    return st == ST_END ? ST_OK : st;
}

/* The text of a value; what is not in the row as it is stands in w->text, which never moves. */
static struct store_text text_of(struct writer *w, enum store_type type,
                                 const struct store_value *v)
{
    size_t start = w->text.len;
    if (v->null)
        return (struct store_text){NULL, 0};
    if (store_type_is_text(type))
        return (struct store_text){v->as.text.len ? v->as.text.bytes : "", v->as.text.len};
    store_export_value(&w->text, type, v);
    return (struct store_text){w->text.data + start, w->text.len - start};
}

static enum st put(struct duck_rows *rows, size_t row, struct writer *w)
{
    const struct store_definition *def = w->parquet->definition;
    const struct taken *t = &w->taken[row];
    struct store_value values[STORE_FIELDS_MAX];
    struct store_text fields[STORE_FIELDS_MAX + 1];
    char hash[2 * STORE_KEY_BYTES + 1];
    size_t n = 0;
    enum st st =
        store_row_decode(values, def->row, def->row_count, w->rows.data + t->start, t->len);
    if (st)
        return st;
    buf_reset(&w->text);
    if (store_export_hash_name(w->parquet->e)) {
        digest_hex(hash, t->key, STORE_KEY_BYTES);
        fields[n++] = (struct store_text){hash, sizeof hash - 1};
    }
    for (size_t i = 0; i < def->row_count; i++)
        fields[n++] = text_of(w, def->row[i].type, &values[i]);
    if (w->text.status)
        return buf_status(&w->text);
    duck_rows_put(rows, row, fields, 0);
    return ST_OK;
}

static enum st fill(size_t *count, struct duck_rows *rows, void *worker)
{
    struct writer *w = worker;
    enum st st = take_some(w);
    for (size_t i = 0; !st && i < w->count; i++)
        st = put(rows, i, w);
    *count = w->count;
    return st;
}

static void add_column(struct buf *sql, size_t i, const struct store_field *field)
{
    bool list = STORE_TYPE_BASE(field->type) == STORE_LIST;
    buf_addf(sql, "%sCAST(%s\"#%zu\"%s AS %s) AS ", i ? ", " : "", list ? "CAST(" : "", i,
             list ? " AS JSON)" : "", store_type_name(field->type));
    duck_add_name(sql, field->name);
}

static enum st copy(uint64_t *count, struct duck *d, const struct parquet *p, const char *path)
{
    const char *hash = store_export_hash_name(p->e);
    struct buf sql;
    int64_t written = 0;
    size_t n = 0;
    buf_init(&sql, SQL_MAX);
    buf_addstr(&sql, "COPY (SELECT ");
    if (hash)
        buf_addf(&sql, "\"#%zu\" AS %s", n++, hash);
    for (size_t i = 0; i < p->definition->row_count; i++)
        add_column(&sql, n++, &p->definition->row[i]);
    buf_addstr(&sql, " FROM \"#read\"(0)) TO ");
    duck_add_literal(&sql, path);
    buf_addstr(&sql, " (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)");
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_feed_failure(d, 0, duck_count(&written, d, "writing Parquet", sql.data));
    buf_release(&sql);
    *count = (uint64_t)written;
    return st;
}

enum st export_parquet(uint64_t *count, struct store_export *e, const char *path, unsigned threads,
                       const struct ingest_progress *progress)
{
    char *const files[] = {(char *)(uintptr_t)path};
    struct parquet p = {.e = e,
                        .definition = store_export_definition(e),
                        .progress = progress,
                        .total = store_export_records(e)};
    const struct duck_feed feed = {.columns = p.definition->row_count +
                                              (store_export_hash_name(e) ? 1 : 0),
                                   .rows = p.total,
                                   .ctx = &p,
                                   .begin_fn = begin,
                                   .end_fn = end,
                                   .open_fn = open_writer,
                                   .fill_fn = fill,
                                   .close_fn = close_writer};
    struct duck *d = NULL;
    pthread_mutex_init(&p.lock, NULL);
    enum st st =
        duck_open(&d, &(struct duck_options){.threads = threads, .files = files, .file_count = 1});
    if (!st) {
        duck_feed(d, 0, &feed);
        st = copy(count, d, &p, path);
    }
    duck_close(d);
    pthread_mutex_destroy(&p.lock);
    if (!st && *count != p.count)
        st = st_fail(ST_CORRUPT, "EXPORT_COUNT", "%llu records were read and %llu written",
                     (unsigned long long)p.count, (unsigned long long)*count);
    return st;
}
