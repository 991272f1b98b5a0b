#include "store/series.h"

#include "store/segment_internal.h"

#include <stdlib.h>
#include <string.h>

/* As store/scan.c, in either direction, and within one key: each segment has a leg that stands on
 * the record which it would give next. */

struct leg {
    struct store_segment *segment;
    MDB_cursor *cursor; /* owned */
    struct store_record at;
    bool ended, used; /* used: `at` was given, or is hidden by what was given */
};

struct walk {
    const struct store_series_range *range;
    unsigned char key[STORE_KEY_BYTES];
    store_series_fn fn;
    void *ctx;
    unsigned slot;
    struct store_segment *reading; /* what a guard that is left was in */
    size_t count;
    struct leg legs[];
};

static bool is_inside(const struct walk *w, const struct store_record *r)
{
    int64_t sort = store_sort_decode(r->key + STORE_KEY_BYTES);

    return memcmp(r->key, w->key, STORE_KEY_BYTES) == 0 && sort >= w->range->from &&
           sort <= w->range->to;
}

static enum st arrived(const struct walk *w, struct leg *leg, enum st st)
{
    if (st == ST_CORRUPT)
        return segment_unreadable(leg->segment);
    leg->used = false;
    leg->ended = st == ST_END || (!st && !is_inside(w, &leg->at));
    return st == ST_END ? ST_OK : st;
}

static enum st start(struct walk *w, struct leg *leg)
{
    unsigned char key[STORE_RECORD_KEY_MAX];
    w->reading = leg->segment;
    enum st st = segment_cursor_open(&leg->cursor, leg->segment, w->slot);

    if (st)
        return st;
    memcpy(key, w->key, STORE_KEY_BYTES);
    store_sort_encode(key + STORE_KEY_BYTES, w->range->back ? w->range->to : w->range->from);
    st = segment_cursor_seek(&leg->at, leg->cursor, leg->segment, key, w->range->back);
    return arrived(w, leg, st);
}

/* The leg whose record comes first, the newest of those that have it; the others have it behind
 * them. NULL: all are at their end. */
static struct leg *first_leg(struct walk *w)
{
    struct leg *first = NULL;

    for (size_t i = 0; i < w->count; i++) {
        struct leg *leg = &w->legs[i];

        if (leg->ended)
            continue;
        int order = first ? memcmp(leg->at.key, first->at.key, STORE_RECORD_KEY_MAX) : -1;
        if (first && w->range->back)
            order = -order;
        if (order == 0)
            leg->used = true;
        else if (order < 0)
            first = leg;
    }
    return first;
}

/* Inside a guard: what it opens hangs on the walk. */
static enum st walk(void *ctx)
{
    struct walk *w = ctx;
    struct leg *first;
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < w->count; i++)
        st = start(w, &w->legs[i]);
    while (!st && (first = first_leg(w)) != NULL) {
        first->used = true;
        w->reading = first->segment;
        if (first->at.row)
            st = w->fn(store_sort_decode(first->at.key + STORE_KEY_BYTES), first->at.row,
                       first->at.row_len, w->ctx);
        for (size_t i = 0; !st && i < w->count; i++) {
            struct leg *leg = &w->legs[i];
            if (leg->ended || !leg->used)
                continue;
            w->reading = leg->segment;
            st = segment_cursor_step(&leg->at, leg->cursor, leg->segment, w->range->back);
            st = arrived(w, leg, st);
        }
    }
    return st == ST_END ? ST_OK : st;
}

enum st store_series_each(struct store_segment *const *segments, size_t count, unsigned slot,
                          const unsigned char key[STORE_KEY_BYTES],
                          const struct store_series_range *range, store_series_fn fn, void *ctx)
{
    struct walk *w = calloc(1, sizeof *w + count * sizeof w->legs[0]);

    if (!w)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    *w = (struct walk){.range = range, .fn = fn, .ctx = ctx, .slot = slot, .count = count};
    memcpy(w->key, key, STORE_KEY_BYTES);
    for (size_t i = 0; i < count; i++)
        w->legs[i].segment = segments[i];
    enum st st = guard_call(walk, w);
    if (st == ST_UNAVAILABLE && w->reading)
        st = segment_unreadable(w->reading);
    for (size_t i = 0; i < count; i++)
        if (w->legs[i].cursor)
            mdb_cursor_close(w->legs[i].cursor);
    free(w);
    return st;
}

/* ---- the last one ---- */

struct last {
    struct buf *row;
    bool found;
};

static enum st take_last(int64_t sort, const void *row, size_t row_len, void *ctx)
{
    struct last *last = ctx;

    (void)sort;
    buf_reset(last->row);
    buf_add(last->row, row, row_len);
    last->found = true;
    return last->row->status ? buf_status(last->row) : ST_END;
}

enum st store_series_last(struct store_segment *const *segments, size_t count, unsigned slot,
                          const unsigned char key[STORE_KEY_BYTES], const void **row,
                          size_t *row_len)
{
    static const struct store_series_range ALL = {INT64_MIN, INT64_MAX, true};
    struct last last = {0};

    *row = NULL;
    *row_len = 0;
    if (!count)
        return ST_NOT_FOUND;
    last.row = &segments[0]->slots[slot].row;
    enum st st = store_series_each(segments, count, slot, key, &ALL, take_last, &last);
    if (!st && !last.found)
        return ST_NOT_FOUND;
    if (!st) {
        *row = last.row->data;
        *row_len = last.row->len;
    }
    return st;
}
