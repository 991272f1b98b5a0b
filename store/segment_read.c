#include "store/env.h"
#include "store/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading a segment. The file never changes, so that it is opened without locks, and each slot keeps
 * one read transaction and one cursor for the segment's life: what they point at stays valid until the
 * segment is closed. The map is as large as the file, not as the writer's constant: a process may have
 * hundreds open. */

#define WARM_CHUNK ((size_t)64 << 20)

struct reader_slot {
    _Alignas(64) MDB_txn *txn;
    MDB_cursor *cursor;
};

struct store_segment {
    MDB_env *env;
    MDB_dbi records;
    char (*rollup_names)[STORE_NAME_SIZE];
    MDB_dbi *rollups;
    size_t rollup_count;
    char key_id[STORE_NAME_SIZE];
    char check[STORE_KEY_BYTES * 2 + 1];
    uint64_t record_count;
    json_t *rollup_meta;
    struct reader_slot *slots;
    unsigned slot_count;
};

static enum st damaged(const char *what)
{
    return st_fail(ST_CORRUPT, "SEGMENT_DAMAGED", "a segment %s", what);
}

/* LMDB trusts what it opens. The hash was checked before; this keeps a stray file out. */
static enum st check_size(size_t *bytes, const char *path)
{
    struct stat sb;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (stat(path, &sb) != 0)
        return st_fail_errno(errno, "opening a segment");
    *bytes = (size_t)sb.st_size;
    return *bytes < 2 * page || *bytes % page ? damaged("has an impossible size") : ST_OK;
}

static enum st read_meta(struct store_segment *s, MDB_txn *txn, const char *tenant,
                         const char *dataset)
{
    MDB_val k = {strlen(SEGMENT_META_KEY), (void *)(uintptr_t)SEGMENT_META_KEY}, v;
    const char *its_tenant, *its_dataset, *key_id, *check;
    int64_t format, records;
    json_t *meta = NULL, *key;
    MDB_dbi db;
    int rc = mdb_dbi_open(txn, SEGMENT_META, 0, &db);
    enum st st = ST_OK;

    if (rc == 0)
        rc = mdb_get(txn, db, &k, &v);
    if (rc == 0)
        rc = mdb_dbi_open(txn, SEGMENT_RECORDS, 0, &s->records);
    if (rc != 0 || jx_parse_object(&meta, v.mv_data, v.mv_size))
        return damaged("has no meta");
    if (jx_integer(&format, meta, "", "format", 0, 0, INT64_MAX) ||
        jx_need_string(&its_tenant, meta, "", "tenant") ||
        jx_need_string(&its_dataset, meta, "", "dataset") ||
        jx_integer(&records, meta, "", "records", -1, 0, INT64_MAX) ||
        jx_object(&key, meta, "", "key") || !key || jx_need_string(&key_id, key, "", "id") ||
        jx_need_string(&check, key, "", "check"))
        st = damaged("has a wrong meta");
    else if (format != STORE_SEGMENT_FORMAT)
        st = st_fail(ST_CORRUPT, "SEGMENT_FORMAT", "a segment has format %lld; this program reads %d",
                     (long long)format, STORE_SEGMENT_FORMAT);
    else if (strcmp(its_tenant, tenant) != 0 || strcmp(its_dataset, dataset) != 0)
        st = st_fail(ST_CORRUPT, "SEGMENT_FOREIGN", "a segment belongs to another dataset");
    if (!st) {
        s->record_count = (uint64_t)records;
        snprintf(s->key_id, sizeof s->key_id, "%s", key_id);
        snprintf(s->check, sizeof s->check, "%s", check);
        s->rollup_meta = json_incref(json_object_get(meta, "rollups"));
    }
    json_decref(meta);
    return st;
}

/* Opens every rollup's database under its short name: "rollup:<name>:<set>". */
static enum st open_rollups(struct store_segment *s, MDB_txn *txn)
{
    size_t count = json_object_size(s->rollup_meta);
    const char *name;
    json_t *value;

    s->rollups = calloc(count + 1, sizeof *s->rollups);
    s->rollup_names = calloc(count + 1, sizeof *s->rollup_names);
    if (!s->rollups || !s->rollup_names)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach(s->rollup_meta, name, value) {
        if (sscanf(name, "rollup:%63[^:]:", s->rollup_names[s->rollup_count]) != 1 ||
            mdb_dbi_open(txn, name, 0, &s->rollups[s->rollup_count]) != 0)
            return damaged("lacks a rollup");
        s->rollup_count++;
    }
    return ST_OK;
}

enum st store_segment_open(struct store_segment **out, const char *path, const char *tenant,
                           const char *dataset, unsigned slots)
{
    static const unsigned FLAGS = MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS | MDB_NOSUBDIR;
    struct store_segment *s = NULL;
    MDB_txn *txn = NULL;
    size_t bytes = 0;
    int rc;
    enum st st = check_size(&bytes, path);

    *out = NULL;
    if (st)
        return st;
    s = calloc(1, sizeof *s);
    if (s)
        s->slots = aligned_alloc(64, slots * sizeof *s->slots);
    if (!s || !s->slots) {
        free(s);
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    memset(s->slots, 0, slots * sizeof *s->slots);
    s->slot_count = slots;
    rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, STORE_ROLLUPS_MAX + 2);
    if (rc == 0)
        rc = mdb_env_open(s->env, path, FLAGS, 0);
    if (rc == 0)
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        st = store_env_fail(rc, "opening a segment");
    if (!st)
        st = read_meta(s, txn, tenant, dataset);
    if (!st)
        st = open_rollups(s, txn);
    if (!st) {
        rc = mdb_txn_commit(txn); /* keeps the databases open */
        txn = NULL;
        if (rc != 0)
            st = store_env_fail(rc, "opening a segment");
    }
    if (txn)
        mdb_txn_abort(txn);
    if (st) {
        store_segment_close(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void store_segment_close(struct store_segment *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->slot_count; i++) {
        if (s->slots[i].cursor)
            mdb_cursor_close(s->slots[i].cursor);
        if (s->slots[i].txn)
            mdb_txn_abort(s->slots[i].txn);
    }
    if (s->env)
        mdb_env_close(s->env);
    json_decref(s->rollup_meta);
    free(s->rollups);
    free(s->rollup_names);
    free(s->slots);
    free(s);
}

enum st store_segment_check(const struct store_segment *s, const char *key_id,
                            const unsigned char check_value[STORE_KEY_BYTES])
{
    char check[STORE_KEY_BYTES * 2 + 1];

    digest_hex(check, check_value, STORE_KEY_BYTES);
    if (strcmp(key_id, s->key_id) == 0 && strcmp(check, s->check) == 0)
        return ST_OK;
    return st_hint(st_fail(ST_CORRUPT, "KEY_MISMATCH",
                           "the segment was built with another HMAC key, normaliser or Unicode "
                           "version than this process has"),
                   "put the key back that it names, or ingest the batch again");
}

const char *store_segment_key_id(const struct store_segment *s)
{
    return s->key_id;
}

uint64_t store_segment_records(const struct store_segment *s)
{
    return s->record_count;
}

static enum st enter(struct store_segment *s, unsigned slot, MDB_txn **txn)
{
    struct reader_slot *r = &s->slots[slot];

    if (!r->cursor) {
        int rc = r->txn ? 0 : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &r->txn);
        if (rc == 0)
            rc = mdb_cursor_open(r->txn, s->records, &r->cursor);
        if (rc != 0)
            return store_env_fail(rc, "reading a segment");
    }
    *txn = r->txn;
    return ST_OK;
}

enum st store_segment_get(struct store_segment *s, unsigned slot,
                          const unsigned char key[STORE_KEY_BYTES], const void **row, size_t *row_len)
{
    MDB_val k = {STORE_KEY_BYTES, (void *)(uintptr_t)key}, v;
    MDB_txn *txn;
    enum st st = enter(s, slot, &txn);

    if (st)
        return st;
    /* A cursor skips the descent when the key is in the page it stands on. */
    int rc = mdb_cursor_get(s->slots[slot].cursor, &k, &v, MDB_SET);
    if (rc == MDB_NOTFOUND)
        return ST_NOT_FOUND;
    if (rc != 0)
        return store_env_fail(rc, "reading a segment");
    const unsigned char *bytes = v.mv_data;
    if (v.mv_size == 0 || bytes[0] != SEGMENT_ROW)
        return damaged("has a record of unknown kind");
    *row = bytes + 1;
    *row_len = v.mv_size - 1;
    return ST_OK;
}

typedef enum st (*pair_fn)(const MDB_val *k, const MDB_val *v, void *ctx);

static enum st each_pair(struct store_segment *s, unsigned slot, MDB_dbi db, const void *from,
                         size_t from_len, pair_fn fn, void *ctx)
{
    MDB_val k = {from_len, (void *)(uintptr_t)from}, v;
    MDB_cursor *cursor = NULL;
    MDB_txn *txn;
    enum st st = enter(s, slot, &txn);

    if (st)
        return st;
    int rc = mdb_cursor_open(txn, db, &cursor);
    if (rc == 0)
        rc = mdb_cursor_get(cursor, &k, &v, from_len ? MDB_SET_RANGE : MDB_FIRST);
    while (rc == 0 && !st) {
        st = fn(&k, &v, ctx);
        if (!st)
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    if (st)
        return st == ST_END ? ST_OK : st;
    return rc == MDB_NOTFOUND ? ST_OK : store_env_fail(rc, "reading a segment");
}

struct record_visit {
    store_record_fn fn;
    void *ctx;
};

static enum st visit_record(const MDB_val *k, const MDB_val *v, void *ctx)
{
    const struct record_visit *visit = ctx;
    const unsigned char *bytes = v->mv_data;

    if (k->mv_size != STORE_KEY_BYTES || v->mv_size == 0 || bytes[0] != SEGMENT_ROW)
        return damaged("has a record of unknown kind");
    return visit->fn(k->mv_data, bytes + 1, v->mv_size - 1, visit->ctx);
}

enum st store_segment_each_record(struct store_segment *s, unsigned slot, store_record_fn fn, void *ctx)
{
    return each_pair(s, slot, s->records, NULL, 0, visit_record, &(struct record_visit){fn, ctx});
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

enum st store_segment_each_cell(struct store_segment *s, unsigned slot, const char *rollup,
                                const void *from, size_t from_len, store_cell_fn fn, void *ctx)
{
    for (size_t i = 0; i < s->rollup_count; i++)
        if (strcmp(s->rollup_names[i], rollup) == 0)
            return each_pair(s, slot, s->rollups[i], from, from_len, visit_cell,
                             &(struct cell_visit){fn, ctx});
    return damaged("lacks a rollup of its dataset");
}

/* ---- warming ---- */

/* The mapping that holds `address`: LMDB does not tell where it mapped the file. */
static bool find_mapping(const void *address, char **start, size_t *len)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool found = false;

    while (maps && !found && fgets(line, sizeof line, maps)) {
        unsigned long low, high;
        if (sscanf(line, "%lx-%lx", &low, &high) == 2 && (uintptr_t)address >= low &&
            (uintptr_t)address < high) {
            *start = (char *)(uintptr_t)low;
            *len = high - low;
            found = true;
        }
    }
    if (maps)
        fclose(maps);
    return found;
}

void store_segment_warm(struct store_segment *s)
{
    MDB_val k = {strlen(SEGMENT_META_KEY), (void *)(uintptr_t)SEGMENT_META_KEY}, v;
    MDB_txn *txn = NULL;
    MDB_dbi db;
    char *start;
    size_t len;

    if (mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    bool found = mdb_dbi_open(txn, SEGMENT_META, 0, &db) == 0 && mdb_get(txn, db, &k, &v) == 0 &&
                 find_mapping(v.mv_data, &start, &len);
    for (size_t at = 0; found && at < len; at += WARM_CHUNK)
        if (madvise(start + at, len - at < WARM_CHUNK ? len - at : WARM_CHUNK, MADV_POPULATE_READ))
            break; /* an old kernel: pages come in as they are read */
    mdb_txn_abort(txn);
}

/* ---- deep verification ---- */

struct walk {
    const struct store_definition *definition;
    const struct store_rollup *rollup;
    unsigned char last[STORE_TUPLE_MAX];
    size_t last_len;
    uint64_t count, records;
};

static enum st walk_record(const unsigned char key[STORE_KEY_BYTES], const void *row, size_t row_len,
                           void *ctx)
{
    struct store_value values[STORE_FIELDS_MAX];
    struct walk *w = ctx;

    if (w->count && memcmp(w->last, key, STORE_KEY_BYTES) >= 0)
        return damaged("has keys out of order");
    memcpy(w->last, key, STORE_KEY_BYTES);
    w->count++;
    return store_row_decode(values, w->definition->row, w->definition->row_count, row, row_len);
}

static enum st walk_cell(const void *tuple, size_t tuple_len, const void *bytes, size_t len, void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct store_cell cell;
    struct walk *w = ctx;
    struct buf scratch;

    if (tuple_len > STORE_TUPLE_MAX)
        return damaged("has a tuple that is too long");
    size_t common = w->last_len < tuple_len ? w->last_len : tuple_len;
    int order = memcmp(w->last, tuple, common);
    if (w->count && (order > 0 || (order == 0 && w->last_len >= tuple_len)))
        return damaged("has cells out of order");
    memcpy(w->last, tuple, tuple_len);
    w->last_len = tuple_len;
    buf_init(&scratch, 2 * STORE_TUPLE_MAX);
    enum st st = store_tuple_decode(values, &scratch, w->rollup, tuple, tuple_len);
    buf_release(&scratch);
    if (!st)
        st = store_cell_decode(&cell, w->rollup, bytes, len);
    w->count++;
    w->records += st ? 0 : cell.records;
    return st;
}

enum st store_segment_verify(struct store_segment *s, unsigned slot,
                             const struct store_definition *definition)
{
    struct walk w = {.definition = definition};
    enum st st = store_segment_each_record(s, slot, walk_record, &w);

    if (!st && w.count != s->record_count)
        st = damaged("has another number of records than its meta says");
    for (size_t i = 0; !st && i < definition->rollup_count; i++) {
        char name[SEGMENT_DB_NAME_SIZE];
        struct walk cells = {.definition = definition, .rollup = &definition->rollups[i]};

        segment_rollup_name(name, cells.rollup);
        st = store_segment_each_cell(s, slot, cells.rollup->name, NULL, 0, walk_cell, &cells);
        uint64_t expected = (uint64_t)json_integer_value(
            json_object_get(json_object_get(s->rollup_meta, name), "cells"));
        if (!st && (cells.count != expected || cells.records != s->record_count))
            st = damaged("has a rollup whose totals are not those of its records");
    }
    return st;
}
