#include "store/catalog_internal.h"

#include "store/catalog_check.h"
#include "store/env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const catalog_table_names[CATALOG_TABLES] = {
    [CATALOG_COUNTERS] = "counters",
    [CATALOG_TENANTS] = "tenants",
    [CATALOG_DEFINITIONS] = "definitions",
    [CATALOG_HEADS] = "heads",
    [CATALOG_VERSIONS] = "versions",
    [CATALOG_EVENTS] = "events",
    [CATALOG_JOBS] = "jobs",
    [CATALOG_QUEUE] = "queue",
    [CATALOG_PINS] = "pins",
    [CATALOG_CANDIDATES] = "candidates",
    [CATALOG_ACKS] = "acks",
    [CATALOG_SEALS] = "seals",
    [CATALOG_REVOCATIONS] = "revocations",
};

static int open_tables_in(struct catalog *c, unsigned txn_flags, unsigned table_flags)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, txn_flags, &txn);

    for (int i = 0; rc == 0 && i < CATALOG_TABLES; i++)
        rc = mdb_dbi_open(txn, catalog_table_names[i], table_flags, &c->tables[i]);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

/* Reading first: who starts must not wait for a writer that is stopped. */
static enum st open_tables(struct catalog *c)
{
    int rc = open_tables_in(c, MDB_RDONLY, 0);

    if (rc == MDB_NOTFOUND)
        rc = open_tables_in(c, 0, MDB_CREATE);
    return rc == 0 ? ST_OK : store_env_fail(rc, "opening the tables of the catalog");
}

static enum st open_env(struct catalog *c, const char *path, unsigned flags)
{
    int rc = mdb_env_create(&c->env);

    if (rc == 0)
        rc = mdb_env_set_maxdbs(c->env, CATALOG_TABLES);
    if (rc == 0)
        rc = mdb_env_set_mapsize(c->env, CATALOG_MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(c->env, 510);
    if (rc == 0)
        rc = mdb_env_open(c->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
    if (rc == 0)
        return ST_OK;
    catalog_close(c);
    return store_env_fail(rc, "opening the catalog");
}

/* A catalog that was half made when its maker was stopped would be refused for ever. So it is made
 * under another name, and takes its own when it is whole; unless somebody else was faster. */
static enum st make_catalog(const char *path)
{
    char temporary[FS_PATH_MAX];
    struct catalog c = {0};
    enum st st = fs_temporary(temporary, path);

    if (st)
        return st;
    st = open_env(&c, temporary, MDB_NOLOCK);
    if (!st)
        st = open_tables(&c);
    catalog_close(&c);
    if (st) {
        (void)unlink(temporary);
        return st;
    }
    st = fs_name_new(temporary, path);
    return st == ST_CONFLICT ? ST_OK : st;
}

static enum st open_whole(struct catalog *c)
{
    enum st st = catalog_check_beginning(c->path);

    if (!st)
        st = open_env(c, c->path, 0);
    if (st)
        return st;
    catalog_check_readers(c);
    st = catalog_check(c, false);
    if (!st)
        st = open_tables(c);
    if (st)
        catalog_close(c);
    return st;
}

enum st catalog_open(struct catalog *c, const char *path)
{
    enum st st = fs_path(c->path, "%s", path);

    if (!st && access(path, F_OK) != 0)
        st = make_catalog(path);
    return st ? st : open_whole(c);
}

void catalog_close(struct catalog *c)
{
    if (c->env)
        mdb_env_close(c->env);
    c->env = NULL;
}

/* After a failed write of its meta page LMDB refuses everything until the environment is opened
 * again; the disk may be well by then. Whether that commit happened is what the file says. */
static void begin(struct catalog_txn *t, struct catalog *c, unsigned flags)
{
    int rc = MDB_PANIC;

    *t = (struct catalog_txn){.catalog = c};
    if (c->env)
        rc = mdb_txn_begin(c->env, NULL, flags, &t->txn);
    if (rc == MDB_PANIC && c->open_txns == 0) {
        catalog_close(c);
        t->status = open_whole(c);
        if (!t->status)
            rc = mdb_txn_begin(c->env, NULL, flags, &t->txn);
    }
    if (rc == 0)
        c->open_txns++;
    else
        t->txn = NULL;
    if (rc != 0 && !t->status)
        t->status = store_env_fail(rc, "opening a transaction of the catalog");
}

void catalog_begin_read(struct catalog_txn *t, struct catalog *c)
{
    begin(t, c, MDB_RDONLY);
}

void catalog_begin_write(struct catalog_txn *t, struct catalog *c)
{
    begin(t, c, 0);
}

uint64_t catalog_txn_id(const struct catalog_txn *t)
{
    return t->txn ? mdb_txn_id(t->txn) : 0;
}

void catalog_fail(struct catalog_txn *t, enum st status)
{
    if (t->status == ST_OK)
        t->status = status;
}

static enum st damaged(const struct catalog_txn *t, enum catalog_table table, const char *what,
                       const char *key)
{
    return catalog_damaged(t->catalog->path, "table %s, \"%s\": %s", catalog_table_names[table],
                           key, what);
}

static json_t *decode(struct catalog_txn *t, enum catalog_table table, const char *key,
                      const MDB_val *value)
{
    json_t *document = NULL;
    enum st st = catalog_value_check(key, strlen(key), value->mv_data, value->mv_size);

    if (st == ST_CORRUPT)
        st = damaged(t, table, "a value's checksum does not hold", key);
    if (!st) {
        st = jx_parse_object(&document, (const char *)value->mv_data + CATALOG_CHECKSUM_BYTES,
                             value->mv_size - CATALOG_CHECKSUM_BYTES);
        if (st == ST_INVALID)
            st = damaged(t, table, "a value is not JSON", key);
    }
    catalog_fail(t, st);
    return document;
}

void catalog_forgive(struct catalog_txn *t)
{
    t->status = ST_OK;
}

json_t *catalog_get(struct catalog_txn *t, enum catalog_table table, const char *key)
{
    if (t->status)
        return NULL;

    MDB_val k = {strlen(key), (void *)(uintptr_t)key};
    MDB_val v;
    int rc = mdb_get(t->txn, t->catalog->tables[table], &k, &v);
    if (rc == MDB_NOTFOUND)
        return NULL;
    if (rc != 0) {
        catalog_fail(t, store_env_fail(rc, "reading the catalog"));
        return NULL;
    }
    return decode(t, table, key, &v);
}

void catalog_put(struct catalog_txn *t, enum catalog_table table, const char *key,
                 const json_t *value)
{
    struct buf stored;

    if (t->status)
        return;
    buf_init(&stored, CATALOG_CHECKSUM_BYTES + CATALOG_VALUE_MAX);
    catalog_value_make(&stored, key, value);
    enum st st = buf_status(&stored);
    if (!st) {
        MDB_val k = {strlen(key), (void *)(uintptr_t)key};
        MDB_val v = {stored.len, stored.data};
        int rc = mdb_put(t->txn, t->catalog->tables[table], &k, &v, 0);
        if (rc != 0)
            st = store_env_fail(rc, "writing to the catalog");
    }
    buf_release(&stored);
    catalog_fail(t, st);
}

void catalog_delete(struct catalog_txn *t, enum catalog_table table, const char *key)
{
    if (t->status)
        return;

    MDB_val k = {strlen(key), (void *)(uintptr_t)key};
    int rc = mdb_del(t->txn, t->catalog->tables[table], &k, NULL);
    if (rc != 0 && rc != MDB_NOTFOUND)
        catalog_fail(t, store_env_fail(rc, "deleting from the catalog"));
}

static json_t *take(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                    char key[CATALOG_KEY_SIZE], int rc, const MDB_val *k, const MDB_val *v)
{
    size_t prefix_len = strlen(prefix);

    if (rc == MDB_NOTFOUND)
        return NULL;
    if (rc != 0) {
        catalog_fail(t, store_env_fail(rc, "reading the catalog"));
        return NULL;
    }
    if (k->mv_size < prefix_len || memcmp(k->mv_data, prefix, prefix_len) != 0)
        return NULL;
    if (k->mv_size >= CATALOG_KEY_SIZE) {
        catalog_fail(t, damaged(t, table, "the key after it is too long", key));
        return NULL;
    }
    memcpy(key, k->mv_data, k->mv_size);
    key[k->mv_size] = '\0';
    return decode(t, table, key, v);
}

json_t *catalog_after(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                      char key[CATALOG_KEY_SIZE])
{
    const char *from = key[0] ? key : prefix;
    MDB_cursor *cursor = NULL;
    MDB_val k = {strlen(from), (void *)(uintptr_t)from};
    MDB_val v;

    if (t->status)
        return NULL;
    int rc = mdb_cursor_open(t->txn, t->catalog->tables[table], &cursor);
    if (rc == 0 && k.mv_size == 0)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    else if (rc == 0)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    if (rc == 0 && key[0] && k.mv_size == strlen(key) && memcmp(k.mv_data, key, k.mv_size) == 0)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);

    json_t *value = take(t, table, prefix, key, rc, &k, &v);
    if (cursor)
        mdb_cursor_close(cursor);
    return value;
}

json_t *catalog_before(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                       char key[CATALOG_KEY_SIZE])
{
    /* '\xff' is greater than any byte of a key. */
    char end[CATALOG_KEY_SIZE + 1];
    MDB_cursor *cursor = NULL;
    MDB_val k, v;

    if (t->status)
        return NULL;
    size_t len = strlen(key[0] ? key : prefix);
    memcpy(end, key[0] ? key : prefix, len);
    if (!key[0])
        end[len++] = '\xff';
    k = (MDB_val){len, end};
    int rc = mdb_cursor_open(t->txn, t->catalog->tables[table], &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        rc = rc == MDB_NOTFOUND ? mdb_cursor_get(cursor, &k, &v, MDB_LAST)
             : rc == 0          ? mdb_cursor_get(cursor, &k, &v, MDB_PREV)
                                : rc;
    }

    json_t *value = take(t, table, prefix, key, rc, &k, &v);
    if (cursor)
        mdb_cursor_close(cursor);
    return value;
}

uint64_t catalog_next_number(struct catalog_txn *t, const char *counter)
{
    json_t *row = catalog_get(t, CATALOG_COUNTERS, counter);
    json_int_t next = row ? json_integer_value(json_object_get(row, "next")) : 1;

    json_decref(row);
    row = json_pack("{s:I}", "next", next + 1);
    if (!row)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    else
        catalog_put(t, CATALOG_COUNTERS, counter, row);
    json_decref(row);
    return (uint64_t)next;
}

enum st catalog_commit(struct catalog_txn *t)
{
    if (t->status)
        return catalog_end(t);

    int rc = mdb_txn_commit(t->txn);
    t->txn = NULL; /* gone, whatever rc says */
    t->catalog->open_txns--;
    if (rc == ENOSPC || rc == MDB_MAP_FULL)
        t->status = store_env_fail(rc, "committing to the catalog");
    else if (rc != 0)
        t->status = st_fail(ST_UNKNOWN_OUTCOME, NULL,
                            "the commit to the catalog failed at its end (%s); whether it happened "
                            "shows when the catalog is read again",
                            mdb_strerror(rc));
    return t->status;
}

enum st catalog_end(struct catalog_txn *t)
{
    if (t->txn) {
        mdb_txn_abort(t->txn);
        t->catalog->open_txns--;
    }
    t->txn = NULL;
    return t->status;
}

bool catalog_moved(const struct catalog *c, uint64_t seen)
{
    MDB_envinfo info;

    return !c->env || (mdb_env_info(c->env, &info) == 0 && info.me_last_txnid != seen);
}

enum st catalog_touch(struct catalog *c)
{
    struct catalog_txn t;

    catalog_begin_write(&t, c);
    return catalog_end(&t);
}

void catalog_check_readers(struct catalog *c)
{
    int dead;

    if (c->env)
        (void)mdb_reader_check(c->env, &dead); /* best effort: a slot that stays costs only space */
}
