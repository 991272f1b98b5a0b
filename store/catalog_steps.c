#include "store/catalog_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* What is done inside a transaction. LMDB's calls run in a guard (catalog.c), and what they find is
 * copied there: outside of it nothing points into the file. */

struct step {
    struct catalog_txn *t;
    MDB_dbi table;
    MDB_val key, value;  /* of a get, put or delete */
    const char *prefix;  /* of a walk */
    const char *from;    /* its last key, or "" */
    bool up;             /* its direction */
    struct buf *out_key; /* of a walk */
    struct buf *out;     /* the value */
};

static enum st damaged(const struct catalog_txn *t, enum catalog_table table, const char *what,
                       const char *key)
{
    return catalog_damaged(t->catalog->path, "table %s, \"%s\": %s", catalog_table_names[table],
                           key, what);
}

static void copy_out(struct buf *out, const MDB_val *v)
{
    buf_reset(out);
    buf_add(out, v->mv_data, v->mv_size);
}

/* The value that the buffer holds. */
static json_t *decode(struct catalog_txn *t, enum catalog_table table, const char *key,
                      const struct buf *value)
{
    json_t *document = NULL;
    enum st st = catalog_value_check(key, strlen(key), value->data, value->len);

    if (st == ST_CORRUPT)
        st = damaged(t, table, "a value's checksum does not hold", key);
    if (!st) {
        st = jx_parse_object(&document, value->data + CATALOG_CHECKSUM_BYTES,
                             value->len - CATALOG_CHECKSUM_BYTES);
        if (st == ST_INVALID)
            st = damaged(t, table, "a value is not JSON", key);
    }
    catalog_fail(t, st);
    return document;
}

void catalog_forgive(struct catalog_txn *t)
{
    if (t->catalog->state == CATALOG_USABLE)
        t->status = ST_OK;
}

static int get(void *ctx)
{
    struct step *s = ctx;
    MDB_val v;
    int rc = mdb_get(s->t->txn, s->table, &s->key, &v);

    if (rc == 0)
        copy_out(s->out, &v);
    return rc;
}

json_t *catalog_get(struct catalog_txn *t, enum catalog_table table, const char *key)
{
    struct buf value;
    struct step s = {.t = t,
                     .table = t->catalog->tables[table],
                     .key = {strlen(key), (void *)(uintptr_t)key},
                     .out = &value};
    json_t *document = NULL;

    if (t->status)
        return NULL;
    buf_init(&value, CATALOG_CHECKSUM_BYTES + CATALOG_VALUE_MAX);
    int rc = catalog_guarded(t->catalog, get, &s);
    if (rc != 0 && rc != MDB_NOTFOUND)
        catalog_fail(t, catalog_lmdb_fail(t->catalog, rc, "reading the catalog"));
    else if (rc == 0 && value.status)
        catalog_fail(t, buf_status(&value));
    else if (rc == 0)
        document = decode(t, table, key, &value);
    buf_release(&value);
    return document;
}

bool catalog_get_any(json_t **document, struct catalog_txn *t, enum catalog_table table,
                     const char *key)
{
    bool failed = t->status != ST_OK;

    *document = catalog_get(t, table, key);
    bool damaged = !failed && t->status == ST_CORRUPT;
    if (damaged)
        catalog_forgive(t);
    return !damaged;
}

json_t *catalog_get_whole(struct catalog_txn *t, enum catalog_table table, const char *key)
{
    json_t *document;

    return catalog_get_any(&document, t, table, key) ? document : NULL;
}

static int put(void *ctx)
{
    struct step *s = ctx;

    return mdb_put(s->t->txn, s->table, &s->key, &s->value, 0);
}

void catalog_put(struct catalog_txn *t, enum catalog_table table, const char *key,
                 const json_t *value)
{
    struct buf stored;

    if (t->status)
        return;
    if (table == CATALOG_HEADS)
        catalog_group_note_head(t, key);
    buf_init(&stored, CATALOG_CHECKSUM_BYTES + CATALOG_VALUE_MAX);
    catalog_value_make(&stored, key, value);
    enum st st = buf_status(&stored);
    if (!st) {
        struct step s = {.t = t,
                         .table = t->catalog->tables[table],
                         .key = {strlen(key), (void *)(uintptr_t)key},
                         .value = {stored.len, stored.data}};
        int rc = catalog_guarded(t->catalog, put, &s);
        if (rc != 0)
            st = catalog_lmdb_fail(t->catalog, rc, "writing to the catalog");
    }
    buf_release(&stored);
    catalog_fail(t, st);
}

static int delete (void *ctx)
{
    struct step *s = ctx;

    return mdb_del(s->t->txn, s->table, &s->key, NULL);
}

void catalog_delete(struct catalog_txn *t, enum catalog_table table, const char *key)
{
    struct step s = {
        .t = t, .table = t->catalog->tables[table], .key = {strlen(key), (void *)(uintptr_t)key}};

    if (t->status)
        return;
    int rc = catalog_guarded(t->catalog, delete, &s);
    if (rc != 0 && rc != MDB_NOTFOUND)
        catalog_fail(t, catalog_lmdb_fail(t->catalog, rc, "deleting from the catalog"));
}

static int seek_up(MDB_cursor *cursor, MDB_val *k, MDB_val *v, const struct step *s)
{
    size_t from_len = strlen(s->from);

    *k = from_len ? (MDB_val){from_len, (void *)(uintptr_t)s->from}
                  : (MDB_val){strlen(s->prefix), (void *)(uintptr_t)s->prefix};
    if (k->mv_size == 0)
        return mdb_cursor_get(cursor, k, v, MDB_FIRST);
    int rc = mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
    if (rc == 0 && from_len == k->mv_size && memcmp(k->mv_data, s->from, from_len) == 0)
        rc = mdb_cursor_get(cursor, k, v, MDB_NEXT);
    return rc;
}

static int seek_down(MDB_cursor *cursor, MDB_val *k, MDB_val *v, const struct step *s)
{
    char end[CATALOG_KEY_SIZE + 1];
    const char *from = s->from[0] ? s->from : s->prefix;
    size_t len = strlen(from);

    memcpy(end, from, len);
    if (!s->from[0])
        end[len++] = '\xff'; /* greater than any byte of a key */
    *k = (MDB_val){len, end};
    int rc = mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
    return rc == MDB_NOTFOUND ? mdb_cursor_get(cursor, k, v, MDB_LAST)
           : rc == 0          ? mdb_cursor_get(cursor, k, v, MDB_PREV)
                              : rc;
}

static int walk(void *ctx)
{
    struct step *s = ctx;
    size_t prefix_len = strlen(s->prefix);
    MDB_cursor *cursor = NULL;
    MDB_val k, v;
    int rc = mdb_cursor_open(s->t->txn, s->table, &cursor);

    if (rc == 0)
        rc = (s->up ? seek_up : seek_down)(cursor, &k, &v, s);
    if (rc == 0 && (k.mv_size < prefix_len || memcmp(k.mv_data, s->prefix, prefix_len) != 0))
        rc = MDB_NOTFOUND;
    if (rc == 0) {
        copy_out(s->out_key, &k);
        copy_out(s->out, &v);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    return rc;
}

/* True: `key` and `value` hold what was found. */
static bool step(struct catalog_txn *t, enum catalog_table table, const char *prefix, bool up,
                 char key[CATALOG_KEY_SIZE], struct buf *value)
{
    struct buf found;
    struct step s = {.t = t,
                     .table = t->catalog->tables[table],
                     .prefix = prefix,
                     .from = key,
                     .up = up,
                     .out_key = &found,
                     .out = value};

    if (t->status)
        return false;
    buf_init(&found, CATALOG_KEY_SIZE - 1);
    int rc = catalog_guarded(t->catalog, walk, &s);
    if (rc != 0 && rc != MDB_NOTFOUND)
        catalog_fail(t, catalog_lmdb_fail(t->catalog, rc, "reading the catalog"));
    else if (rc == 0 && found.status == ST_NOMEM)
        catalog_fail(t, buf_status(&found));
    else if (rc == 0 && value->status)
        catalog_fail(t, buf_status(value));
    else if (rc == 0 && (found.status || memchr(found.data, '\0', found.len) ||
                         (*key && (strcmp(found.data, key) > 0) != up)))
        /* No way past it: whoever forgives would come here again, or go round for ever. */
        catalog_fail(t, catalog_lmdb_fail(t->catalog, MDB_CORRUPTED, "reading the catalog"));
    bool ok = rc == 0 && !t->status;
    if (ok)
        memcpy(key, found.data, found.len + 1);
    buf_release(&found);
    return ok;
}

static json_t *step_and_decode(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                               bool up, char key[CATALOG_KEY_SIZE])
{
    struct buf value;
    json_t *document = NULL;

    buf_init(&value, CATALOG_CHECKSUM_BYTES + CATALOG_VALUE_MAX);
    if (step(t, table, prefix, up, key, &value))
        document = decode(t, table, key, &value);
    buf_release(&value);
    return document;
}

json_t *catalog_after(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                      char key[CATALOG_KEY_SIZE])
{
    return step_and_decode(t, table, prefix, true, key);
}

bool catalog_after_any(json_t **document, struct catalog_txn *t, enum catalog_table table,
                       const char *prefix, char key[CATALOG_KEY_SIZE])
{
    struct buf value;

    *document = NULL;
    buf_init(&value, CATALOG_CHECKSUM_BYTES + CATALOG_VALUE_MAX);
    bool found = step(t, table, prefix, true, key, &value);
    if (found)
        *document = decode(t, table, key, &value);
    buf_release(&value);
    if (found && t->status == ST_CORRUPT)
        catalog_forgive(t);
    return found && !t->status;
}

json_t *catalog_before(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                       char key[CATALOG_KEY_SIZE])
{
    return step_and_decode(t, table, prefix, false, key);
}

struct sum {
    const struct catalog_txn *t;
    MDB_dbi table;
    const char *prefix;
    struct catalog_sum found;
};

static int sum_rows(void *ctx)
{
    struct sum *n = ctx;
    size_t len = strlen(n->prefix);
    MDB_cursor *cursor = NULL;
    MDB_val k = {len, (void *)(uintptr_t)n->prefix}, v;
    int rc = mdb_cursor_open(n->t->txn, n->table, &cursor);

    if (rc == 0)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && k.mv_size >= len && memcmp(k.mv_data, n->prefix, len) == 0) {
        n->found.rows++;
        n->found.bytes += v.mv_size;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    return rc;
}

struct catalog_sum catalog_sum(struct catalog_txn *t, enum catalog_table table, const char *prefix)
{
    struct sum n = {.t = t, .table = t->catalog->tables[table], .prefix = prefix};

    if (t->status)
        return n.found;
    int rc = catalog_guarded(t->catalog, sum_rows, &n);
    if (rc != 0 && rc != MDB_NOTFOUND)
        catalog_fail(t, catalog_lmdb_fail(t->catalog, rc, "reading the catalog"));
    return n.found;
}

bool catalog_next_stored(struct catalog_txn *t, enum catalog_table table,
                         char key[CATALOG_KEY_SIZE], struct buf *value)
{
    if (!step(t, table, "", true, key, value))
        return false;
    enum st st = catalog_value_check(key, strlen(key), value->data, value->len);
    if (st == ST_CORRUPT)
        st = damaged(t, table, "a value's checksum does not hold", key);
    catalog_fail(t, st);
    return st == ST_OK;
}

/* A damaged one goes on from the time, in microseconds: above all numbers that it has given. */
static json_int_t read_counter(struct catalog_txn *t, const char *counter)
{
    json_t *row;
    bool known = catalog_get_any(&row, t, CATALOG_COUNTERS, counter);
    json_int_t next = row ? json_integer_value(json_object_get(row, "next")) : 1;

    json_decref(row);
    if (known)
        return next;
    if (!t->status)
        log_event(LOG_LEVEL_ERROR, "counter_damaged",
                  "the counter \"%s\" is damaged: it goes on from the time", counter);
    return clock_wall_us();
}

uint64_t catalog_next_number(struct catalog_txn *t, const char *counter)
{
    json_int_t next = read_counter(t, counter);
    json_t *row = json_pack("{s:I}", "next", next + 1);

    if (!row)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    else
        catalog_put(t, CATALOG_COUNTERS, counter, row);
    json_decref(row);
    return (uint64_t)next;
}
