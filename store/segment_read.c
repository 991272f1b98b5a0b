#include "store/env.h"
#include "store/segment_internal.h"

#include <assert.h>
#include <string.h>

enum st segment_unreadable(struct store_segment *s)
{
    atomic_store(&s->unreadable, true);
    return guard_unreadable();
}

/* Pages that contradict each other, beneath a file that looks as it did, are as bad as none. */
static enum st reading_failed(struct store_segment *s, int rc)
{
    enum st st = store_env_fail(rc, "reading a segment");

    return st == ST_CORRUPT ? segment_unreadable(s) : st;
}

bool store_segment_is_unreadable(const struct store_segment *s)
{
    return atomic_load_explicit(&s->unreadable, memory_order_relaxed);
}

static enum st enter(struct store_segment *s, unsigned slot, struct reader_slot **out)
{
    struct reader_slot *r = &s->slots[slot];

    assert(slot < s->slot_count);
    if (atomic_load_explicit(&s->unreadable, memory_order_relaxed))
        return guard_unreadable();
    int rc = r->txn ? 0 : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &r->txn);
    if (rc != 0)
        return reading_failed(s, rc);
    *out = r;
    return ST_OK;
}

/* A record without its kind byte; a tombstone has a NULL row. */
static enum st open_record(const void **row, size_t *row_len, const MDB_val *v)
{
    const unsigned char *bytes = v->mv_data;

    if (v->mv_size > 0 && bytes[0] == SEGMENT_ROW) {
        *row = bytes + 1;
        *row_len = v->mv_size - 1;
        return ST_OK;
    }
    *row = NULL;
    *row_len = 0;
    return v->mv_size == 1 && bytes[0] == SEGMENT_TOMBSTONE
               ? ST_OK
               : segment_damaged("has a record of unknown kind");
}

/* Copies the row, so that whoever uses it needs no guard. */
static enum st find(struct store_segment *s, unsigned slot,
                    const unsigned char key[STORE_KEY_BYTES], const void **row, size_t *row_len)
{
    MDB_val k = {STORE_KEY_BYTES, (void *)(uintptr_t)key}, v;
    struct reader_slot *r;
    enum st st = enter(s, slot, &r);

    if (st)
        return st;
    segment_ask_ahead(s, key);
    /* No cursor: it first looks whether the key is in the page it stands on, which is seldom near.
     */
    int rc = mdb_get(r->txn, s->records, &k, &v);
    if (rc == MDB_NOTFOUND)
        return ST_NOT_FOUND;
    if (rc != 0)
        return reading_failed(s, rc);
    st = open_record(row, row_len, &v);
    if (!st && !*row) {
        *row = "";
        return ST_NOT_FOUND;
    }
    if (st)
        return st;
    buf_reset(&r->row);
    buf_add(&r->row, *row, *row_len);
    *row = r->row.data;
    return r->row.status ? buf_status(&r->row) : ST_OK;
}

enum st store_segment_get(struct store_segment *s, unsigned slot,
                          const unsigned char key[STORE_KEY_BYTES], const void **row,
                          size_t *row_len)
{
    struct guard g;

    *row = NULL;
    *row_len = 0;
    if (!guard_begin(&g)) {
        *row = NULL;
        return segment_unreadable(s);
    }
    enum st st = find(s, slot, key, row, row_len);
    guard_end(&g);
    return st;
}

typedef enum st (*pair_fn)(const MDB_val *k, const MDB_val *v, void *ctx);

static enum st walk(MDB_cursor *volatile *out, struct store_segment *s, unsigned slot, MDB_dbi db,
                    const void *from, size_t from_len, pair_fn fn, void *ctx)
{
    MDB_val k = {from_len, (void *)(uintptr_t)from}, v;
    struct reader_slot *r;
    MDB_cursor *cursor;
    enum st st = enter(s, slot, &r);

    if (st)
        return st;
    int rc = mdb_cursor_open(r->txn, db, &cursor);
    if (rc != 0)
        return reading_failed(s, rc);
    *out = cursor;
    rc = mdb_cursor_get(cursor, &k, &v, from_len ? MDB_SET_RANGE : MDB_FIRST);
    while (rc == 0 && !st) {
        st = fn(&k, &v, ctx);
        if (!st)
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    if (st)
        return st == ST_END ? ST_OK : st;
    return rc == MDB_NOTFOUND ? ST_OK : reading_failed(s, rc);
}

static enum st each_pair(struct store_segment *s, unsigned slot, MDB_dbi db, const void *from,
                         size_t from_len, pair_fn fn, void *ctx)
{
    MDB_cursor *volatile cursor = NULL;
    struct guard g;

    if (!guard_begin(&g)) {
        if (cursor)
            mdb_cursor_close(cursor);
        return segment_unreadable(s);
    }
    enum st st = walk(&cursor, s, slot, db, from, from_len, fn, ctx);
    guard_end(&g);
    if (cursor)
        mdb_cursor_close(cursor);
    return st;
}

static enum st open_pair(struct store_record *r, const struct store_segment *s, const MDB_val *k,
                         const MDB_val *v)
{
    r->key = k->mv_data;
    if (k->mv_size != s->key_bytes)
        return segment_damaged("has a key of another length");
    return open_record(&r->row, &r->row_len, v);
}

struct record_visit {
    const struct store_segment *segment;
    store_record_fn fn;
    void *ctx;
};

static enum st visit_record(const MDB_val *k, const MDB_val *v, void *ctx)
{
    const struct record_visit *visit = ctx;
    struct store_record r;
    enum st st = open_pair(&r, visit->segment, k, v);

    return st ? st : visit->fn(r.key, r.row, r.row_len, visit->ctx);
}

enum st store_segment_each_record(struct store_segment *s, unsigned slot, store_record_fn fn,
                                  void *ctx)
{
    return each_pair(s, slot, s->records, NULL, 0, visit_record,
                     &(struct record_visit){s, fn, ctx});
}

struct cell_visit {
    store_cell_fn fn;
    void *ctx;
};

static enum st visit_cell(const MDB_val *k, const MDB_val *v, void *ctx)
{
    const struct cell_visit *visit = ctx;

    return visit->fn(k->mv_data, k->mv_size, v->mv_data, v->mv_size, visit->ctx);
}

enum st store_segment_each_cell(struct store_segment *s, unsigned slot,
                                const struct store_rollup *set, const void *from, size_t from_len,
                                store_cell_fn fn, void *ctx)
{
    char name[SEGMENT_DB_NAME_SIZE];

    segment_rollup_name(name, set);
    for (size_t i = 0; i < s->rollup_count; i++)
        if (strcmp(s->rollup_names[i], name) == 0)
            return each_pair(s, slot, s->rollups[i], from, from_len, visit_cell,
                             &(struct cell_visit){fn, ctx});
    return segment_damaged("lacks a rollup of its dataset");
}

enum st segment_cursor_open(MDB_cursor **out, struct store_segment *s, unsigned slot)
{
    struct reader_slot *r;
    enum st st = enter(s, slot, &r);

    *out = NULL;
    if (st)
        return st;
    int rc = mdb_cursor_open(r->txn, s->records, out);
    return rc ? reading_failed(s, rc) : ST_OK;
}

static enum st open_at(struct store_record *r, const struct store_segment *s, int rc,
                       const MDB_val *k, const MDB_val *v)
{
    if (rc == MDB_NOTFOUND)
        return ST_END;
    return rc ? store_env_fail(rc, "reading a segment") : open_pair(r, s, k, v);
}

enum st segment_cursor_step(struct store_record *r, MDB_cursor *cursor,
                            const struct store_segment *s, bool back)
{
    MDB_val k, v;
    int rc = mdb_cursor_get(cursor, &k, &v, back ? MDB_PREV : MDB_NEXT);

    return open_at(r, s, rc, &k, &v);
}

enum st segment_cursor_seek(struct store_record *r, MDB_cursor *cursor,
                            const struct store_segment *s, const unsigned char *key, bool back)
{
    MDB_val k = {s->key_bytes, (void *)(uintptr_t)key}, v;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);

    if (back && rc == MDB_NOTFOUND)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    else if (back && rc == 0 && (k.mv_size != s->key_bytes || memcmp(k.mv_data, key, k.mv_size)))
        rc = mdb_cursor_get(cursor, &k, &v, MDB_PREV);
    return open_at(r, s, rc, &k, &v);
}
