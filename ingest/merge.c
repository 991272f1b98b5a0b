/* A heap of the sources' first records. Each has its key's first eight bytes beside it, so that
 * comparing seldom leaves the heap. */
#include "ingest/merge.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

int record_compare(const struct record *a, const struct record *b)
{
    uint32_t ka = a->key_len, kb = b->key_len;
    int order = memcmp(a->bytes, b->bytes, ka < kb ? ka : kb);
    if (order || ka != kb)
        return order ? order : (ka > kb) - (ka < kb);
    uint32_t la = a->len - ka, lb = b->len - kb;
    order = memcmp(a->bytes + ka, b->bytes + kb, la < lb ? la : lb);
    return order ? order : (la > lb) - (la < lb);
}

enum st record_write(struct spill_writer *w, const struct record *r)
{
    uint32_t head = record_head(r->key_len, r->len);
    enum st st = spill_write(w, &head, sizeof head);
    return st ? st : spill_write(w, r->bytes, r->len);
}

enum st record_read(struct record *out, struct spill_reader *r)
{
    const void *bytes;
    enum st st = spill_read(&bytes, r, RECORD_HEAD_BYTES);
    if (st)
        return st;
    *out = record_at(bytes);
    st = spill_read(&bytes, r, out->len);
    out->bytes = bytes;
    return st;
}

struct source {
    uint64_t prefix;
    struct record record;
    merge_fn fn;
    void *ctx;
    struct spill_reader *reader; /* owned; NULL: the source is not a run */
};

struct merge {
    struct source *sources; /* a heap once it is started: the first is the least */
    size_t count, capacity;
    bool started;
};

enum st merge_new(struct merge **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

static void close_reader(struct source *s)
{
    if (s->reader)
        spill_reader_close(s->reader);
    free(s->reader);
    s->reader = NULL;
}

void merge_free(struct merge *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        close_reader(&m->sources[i]);
    free(m->sources);
    free(m);
}

enum st merge_add(struct merge *m, merge_fn fn, void *ctx)
{
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 8;
        struct source *sources = realloc(m->sources, capacity * sizeof *sources);
        if (!sources)
            return st_fail(ST_NOMEM, NULL, "out of memory");
        m->sources = sources;
        m->capacity = capacity;
    }
    m->sources[m->count++] = (struct source){.fn = fn, .ctx = ctx};
    return ST_OK;
}

static enum st next_of_run(struct record *out, void *ctx)
{
    return record_read(out, ctx);
}

enum st merge_add_run(struct merge *m, struct spill *s, const struct spill_run *run)
{
    struct spill_reader *reader = calloc(1, sizeof *reader);
    enum st st =
        reader ? spill_reader_open(reader, s, run) : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st)
        st = merge_add(m, next_of_run, reader);
    if (!st) {
        m->sources[m->count - 1].reader = reader;
        return ST_OK;
    }
    if (reader)
        spill_reader_close(reader);
    free(reader);
    return st;
}

/* The source's next record; without one the source is gone, and the last of the heap has its place.
 */
static enum st advance(struct merge *m, size_t i)
{
    struct source *s = &m->sources[i];
    enum st st = s->fn(&s->record, s->ctx);
    if (st == ST_END) {
        close_reader(s);
        *s = m->sources[--m->count];
        return ST_OK;
    }
    uint64_t prefix = 0;
    if (!st)
        memcpy(&prefix, s->record.bytes,
               s->record.key_len < sizeof prefix ? s->record.key_len : sizeof prefix);
    s->prefix = be64toh(prefix);
    return st;
}

static bool is_less(const struct source *a, const struct source *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix;
    return record_compare(&a->record, &b->record) < 0;
}

static void sift_down(struct merge *m, size_t i)
{
    struct source moved = m->sources[i];
    for (size_t child; (child = 2 * i + 1) < m->count; i = child) {
        if (child + 1 < m->count && is_less(&m->sources[child + 1], &m->sources[child]))
            child++;
        if (!is_less(&m->sources[child], &moved))
            break;
        m->sources[i] = m->sources[child];
    }
    m->sources[i] = moved;
}

static enum st start(struct merge *m)
{
    m->started = true;
    for (size_t i = m->count; i-- > 0;) {
        enum st st = advance(m, i);
        if (st)
            return st;
    }
    for (size_t i = m->count / 2; i-- > 0;)
        sift_down(m, i);
    return ST_OK;
}

enum st merge_next(struct record *out, struct merge *m)
{
    enum st st = m->started ? m->count ? advance(m, 0) : ST_OK : start(m);
    if (st)
        return st;
    if (!m->count)
        return ST_END;
    sift_down(m, 0);
    *out = m->sources[0].record;
    return ST_OK;
}

/* ---- runs ---- */

enum st run_list_add(struct spill_run **out, struct run_list *list)
{
    struct spill_run *runs = realloc(list->runs, (list->count + 1) * sizeof *runs);
    if (!runs)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    list->runs = runs;
    *out = &runs[list->count++];
    **out = (struct spill_run){0};
    return ST_OK;
}

void run_list_release(struct run_list *list, struct spill *s)
{
    for (size_t i = 0; i < list->count; i++)
        spill_run_release(&list->runs[i], s);
    free(list->runs);
    *list = (struct run_list){0};
}

static enum st merge_runs(struct spill_run *out, const struct run_list *list, struct spill *s,
                          size_t count)
{
    struct merge *m = NULL;
    struct spill_writer w = {0};
    struct record r;
    enum st st = merge_new(&m);
    for (size_t i = 0; !st && i < count; i++)
        st = merge_add_run(m, s, &list->runs[i]);
    if (!st)
        st = spill_writer_open(&w, s, out);
    while (!st && !(st = merge_next(&r, m)))
        st = record_write(&w, &r);
    if (st == ST_END)
        st = spill_writer_finish(&w);
    spill_writer_close(&w);
    merge_free(m);
    return st;
}

enum st run_list_reduce(struct run_list *list, struct spill *s, size_t most)
{
    enum st st = ST_OK;
    while (!st && list->count > most) {
        size_t count = list->count - most + 1 < most ? list->count - most + 1 : most;
        struct spill_run merged = {0};
        st = merge_runs(&merged, list, s, count);
        for (size_t i = 0; i < count; i++)
            spill_run_release(&list->runs[i], s);
        list->runs[0] = merged;
        memmove(&list->runs[1], &list->runs[count], (list->count - count) * sizeof *list->runs);
        list->count -= count - 1;
    }
    return st;
}
