/* Under one lock a thread takes the next piece of the files: it reads, inflates and hashes, and the
 * scan counts the records in it and says where the last whole one ends; what is behind it begins
 * the next piece. Outside the lock it splits its piece into fields. So the scan has seen every byte
 * in order, and what the threads make of the pieces is held against its count.
 */
#include "ingest/text_internal.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PIECE_BYTES (1u << 20)
#define PIECE_MAX (PIECE_BYTES + 2 * RECORD_MAX) /* with a record that begins at its end */

struct reading {
    struct source_text *text;
    bool counts;          /* what it sees goes into the ledger */
    pthread_mutex_t lock; /* of what follows */
    bool failed;
    size_t file; /* that is read, or will be next */
    struct reader *reader;
    uint64_t told_bytes; /* of the file, as the progress knows it */
    struct digest_stream *digest;
    struct csv_scan csv;
    struct ndjson_scan ndjson;
    char *rest; /* the beginning of the next piece */
    size_t rest_len;
};

struct worker {
    struct reading *reading;
    char *piece;
    size_t file;
    struct record_reader reader;
};

/* ---- the scan, whatever the format ---- */

struct scan_state {
    uint64_t records, record_offset, record_line, body_offset;
};

static struct scan_state scan_state(const struct reading *r)
{
    if (r->text->source->format == STORE_NDJSON)
        return (struct scan_state){r->ndjson.records, r->ndjson.record_offset,
                                   r->ndjson.record_line, r->ndjson.body_offset};
    return (struct scan_state){r->csv.records, r->csv.record_offset, r->csv.record_line,
                               r->csv.body_offset};
}

static void scan_begin(struct reading *r, const char *file)
{
    if (r->text->source->format == STORE_NDJSON)
        ndjson_scan_init(&r->ndjson, file);
    else
        csv_scan_init(&r->csv, file, &r->text->source->dialect);
}

static enum st scan_feed(struct reading *r, const char *bytes, size_t len)
{
    return r->text->source->format == STORE_NDJSON ? ndjson_scan_feed(&r->ndjson, bytes, len)
                                                   : csv_scan_feed(&r->csv, bytes, len);
}

static enum st scan_finish(struct reading *r)
{
    if (r->text->source->format != STORE_NDJSON)
        return csv_scan_finish(&r->csv);
    ndjson_scan_finish(&r->ndjson);
    return ST_OK;
}

/* ---- pieces; under the lock ---- */

static enum st open_next_file(struct reading *r)
{
    const struct task_file *f = &r->text->files->files[r->file];
    enum st st = r->counts ? digest_stream_new(&r->digest) : ST_OK;
    if (!st)
        st = reader_open(&r->reader, f, r->digest);
    scan_begin(r, f->label);
    r->told_bytes = 0;
    r->rest_len = 0;
    return st;
}

static void close_file(struct reading *r)
{
    reader_close(r->reader);
    r->reader = NULL;
    digest_stream_free(r->digest);
    r->digest = NULL;
    csv_scan_release(&r->csv); /* of NDJSON it is zeroed */
}

static enum st finish_file(struct reading *r)
{
    struct source_text *t = r->text;
    unsigned char sum[DIGEST_BYTES];
    enum st st = reader_check(r->reader);
    if (!st && r->counts) {
        st = digest_stream_sum(sum, r->digest);
        pthread_mutex_lock(&t->lock);
        if (!st)
            st = source_note_file(&t->counted, &t->files->files[r->file], sum);
        t->counted.read += scan_state(r).records;
        t->ended = r->file + 1 == t->files->file_count;
        pthread_mutex_unlock(&t->lock);
    }
    close_file(r);
    r->file++;
    return st;
}

/* Which columns of the relation the file's are. Binding saw to it that they are the same. */
static enum st make_order(size_t **out, const struct reading *r)
{
    const struct source_text *t = r->text;
    size_t *order = calloc(t->column_count, sizeof *order);
    if (!order)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < t->column_count; i++) {
        while (i < r->csv.columns && order[i] < t->column_count &&
               strcasecmp(csv_scan_name(&r->csv, i), duck_statement_name(t->columns, order[i])))
            order[i]++;
        if (r->csv.columns != t->column_count || order[i] == t->column_count) {
            free(order);
            return st_hint(st_fail(ST_CONFLICT, "SOURCE_CHANGED", "%s changed while it was read",
                                   t->files->files[r->file].label),
                           "ingest files that nobody writes to any more: rename them into place");
        }
    }
    *out = order;
    return ST_OK;
}

/* Of the file that is open, once its header was seen. Every reading finds the same. */
static enum st find_order(const size_t **out, struct reading *r)
{
    struct source_text *t = r->text;
    enum st st = ST_OK;
    pthread_mutex_lock(&t->lock);
    if (t->source->format == STORE_CSV && !t->source->dialect.name_count && !t->orders[r->file] &&
        r->csv.columns)
        st = make_order(&t->orders[r->file], r);
    *out = t->orders[r->file];
    pthread_mutex_unlock(&t->lock);
    return st;
}

static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t lines = 0;
    for (const char *end = bytes + len; (bytes = memchr(bytes, '\n', (size_t)(end - bytes)));
         bytes++)
        lines++;
    return lines;
}

/* Only of the reading that counts: a source may be read more than once. */
static void tell_extent(struct reading *r)
{
    const struct ingest_progress *p = r->text->progress;
    uint64_t bytes = reader_bytes(r->reader);
    if (r->counts && p && p->extent)
        atomic_fetch_add(&p->extent->read, bytes - r->told_bytes);
    r->told_bytes = bytes;
}

/* The next piece of the open file: whole records, perhaps none. */
static enum st read_piece(struct reading *r, struct worker *w)
{
    struct scan_state before = scan_state(r), after = before;
    size_t len = r->rest_len, n = 1, whole, skip = 0;
    enum st st = ST_OK;
    memcpy(w->piece, r->rest, len);
    while (!st && n && (len < PIECE_BYTES || after.record_offset == before.record_offset)) {
        st = reader_read(&n, r->reader, w->piece + len, PIECE_MAX - len);
        if (!st)
            st = n ? scan_feed(r, w->piece + len, n) : scan_finish(r);
        len += n;
        after = scan_state(r);
    }
    tell_extent(r);
    if (!st)
        st = find_order(&w->reader.order, r);
    if (st)
        return st;
    whole = n ? (size_t)(after.record_offset - before.record_offset) : len;
    if (after.body_offset > before.record_offset)
        skip = (size_t)(after.body_offset - before.record_offset);
    skip = skip < whole ? skip : whole;
    r->rest_len = len - whole;
    memcpy(r->rest, w->piece + whole, r->rest_len);
    w->file = r->file;
    w->reader.at = w->piece + skip;
    w->reader.end = w->piece + whole;
    w->reader.window = NULL;
    w->reader.next_line = before.record_line + count_lines(w->piece, skip);
    return n ? ST_OK : finish_file(r);
}

/* A piece with something in it; w->reader is at its end when there is none. */
static enum st next_piece(struct reading *r, struct worker *w)
{
    enum st st = ST_OK;
    pthread_mutex_lock(&r->lock);
    while (!st && !r->failed && w->reader.at == w->reader.end &&
           (r->reader || r->file < r->text->files->file_count)) {
        if (!r->reader)
            st = open_next_file(r);
        if (!st)
            st = read_piece(r, w);
    }
    r->failed = r->failed || st;
    pthread_mutex_unlock(&r->lock);
    if (!st)
        w->reader.valid_utf8 = utf8_is_valid(w->reader.at, (size_t)(w->reader.end - w->reader.at));
    return st;
}

/* ---- readings ---- */

enum st text_reading_begin(void **out, void *source)
{
    struct source_text *t = source;
    struct reading *r = *out = calloc(1, sizeof *r);
    if (r) {
        r->text = t;
        pthread_mutex_init(&r->lock, NULL);
        r->rest = malloc(PIECE_MAX);
    }
    if (!r || !r->rest) {
        text_reading_end(r);
        *out = NULL;
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    pthread_mutex_lock(&t->lock);
    r->counts = !t->is_counting;
    t->is_counting = true;
    pthread_mutex_unlock(&t->lock);
    return ST_OK;
}

/* DuckDB may do this on another thread after its query, when the source is closed: nothing is
 * looked at but the reading itself. */
void text_reading_end(void *reading)
{
    struct reading *r = reading;
    if (!r)
        return;
    close_file(r);
    pthread_mutex_destroy(&r->lock);
    free(r->rest);
    free(r);
}

void text_worker_close(void *worker)
{
    struct worker *w = worker;
    if (!w)
        return;
    free(w->piece);
    free(w->reader.fields);
    free(w->reader.seen);
    free(w->reader.scratch);
    free(w);
}

enum st text_worker_open(void **out, void *reading)
{
    struct reading *r = reading;
    const struct source_text *t = r->text;
    struct worker *w = calloc(1, sizeof *w);
    *out = w;
    if (!w)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    w->reading = r;
    w->piece = malloc(PIECE_MAX);
    w->reader = (struct record_reader){
        .source = t->source,
        .columns = t->column_count,
        .shapes = t->shapes,
        .at = w->piece,
        .end = w->piece,
        .fields = calloc(t->column_count, sizeof *w->reader.fields),
        .scratch = malloc(RECORD_SCRATCH_MAX),
        .seen = calloc(t->column_count, sizeof *w->reader.seen),
    };
    if (w->piece && w->reader.fields && w->reader.scratch && w->reader.seen)
        return ST_OK;
    text_worker_close(w);
    *out = NULL;
    return st_fail(ST_NOMEM, NULL, "out of memory");
}

/* ---- rows ---- */

static void reject_record(struct worker *w)
{
    const struct record_reader *r = &w->reader;
    struct source_text *t = w->reading->text;
    if (!w->reading->counts)
        return;
    pthread_mutex_lock(&t->lock);
    rejects_add(&t->counted.rejects,
                &(struct reject){.file = w->file,
                                 .line = r->line,
                                 .column = r->column,
                                 .fault = r->fault,
                                 .declared = text_declared(t, r->order, r->column)});
    pthread_mutex_unlock(&t->lock);
}

static bool split(struct worker *w)
{
    const struct store_source *s = w->reading->text->source;
    return s->format == STORE_NDJSON ? ndjson_split(&w->reader)
                                     : csv_split(&w->reader, &s->dialect);
}

enum st text_worker_fill(size_t *count, struct duck_rows *rows, void *worker)
{
    struct worker *w = worker;
    size_t max = duck_rows_max();
    int64_t mark = w->reading->counts ? 0 : TEXT_UNCOUNTED;
    *count = 0;
    while (*count < max) {
        if (w->reader.at == w->reader.end) {
            enum st st = next_piece(w->reading, w);
            if (st || w->reader.at == w->reader.end)
                return st;
        }
        if (!split(w))
            continue;
        if (w->reader.fault)
            reject_record(w);
        else
            duck_rows_put(rows, (*count)++, w->reader.fields,
                          (int64_t)(w->file << SOURCE_LINE_BITS | w->reader.line) | mark);
    }
    return ST_OK;
}
