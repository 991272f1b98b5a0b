#include "store/env.h"
#include "store/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writing a segment: one pass of MDB_APPEND in key order.
 *
 * The same records must give the same bytes, because a segment is named by its hash. What decides
 * where LMDB puts a page is the order of puts and commits, and both meta pages keep the map size: so
 * the map size is a constant, a commit follows every COMMIT_BYTES of what was put (not of time or of
 * memory), nothing is put out of order, and `meta` has canonical JSON without version, job or time.
 * Pages are zeroed before use (no MDB_NOMEMINIT), so that no memory of the process gets to disk. No
 * MDB_WRITEMAP: a full disk must be an error, not a signal. Commits do not sync (MDB_NOSYNC): the file
 * is nobody's until the one sync at the end. */

#define MAP_BYTES ((size_t)256 << 30)
#define COMMIT_BYTES (32u << 20)

struct store_segment_writer {
    struct store_segment_info info;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta, records;
    MDB_dbi rollups[STORE_ROLLUPS_MAX];
    MDB_cursor *cursor; /* on the database that is being filled */
    MDB_dbi cursor_db;
    size_t uncommitted; /* bytes put since the last commit */
    uint64_t record_count;
    uint64_t cell_counts[STORE_ROLLUPS_MAX];
    struct buf value;
    char path[4096];
    enum st status; /* sticky */
};

void segment_rollup_name(char out[SEGMENT_DB_NAME_SIZE], const struct store_rollup *r)
{
    int n = snprintf(out, SEGMENT_DB_NAME_SIZE, "rollup:%s:", r->name);

    for (size_t i = 0; i < r->dimension_count; i++)
        n += snprintf(out + n, SEGMENT_DB_NAME_SIZE - (size_t)n, "%s%s", i ? "," : "",
                      r->dimensions[i].name);
}

static int open_databases(struct store_segment_writer *w)
{
    const struct store_definition *d = w->info.definition;
    char name[SEGMENT_DB_NAME_SIZE];
    int rc = mdb_dbi_open(w->txn, SEGMENT_META, MDB_CREATE, &w->meta);

    if (rc == 0)
        rc = mdb_dbi_open(w->txn, SEGMENT_RECORDS, MDB_CREATE, &w->records);
    for (size_t i = 0; rc == 0 && i < d->rollup_count; i++) {
        segment_rollup_name(name, &d->rollups[i]);
        rc = mdb_dbi_open(w->txn, name, MDB_CREATE, &w->rollups[i]);
    }
    return rc;
}

enum st store_segment_writer_open(struct store_segment_writer **out, const char *path,
                                  const struct store_segment_info *info)
{
    static const unsigned FLAGS = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC;
    struct store_segment_writer *w = calloc(1, sizeof *w);
    int rc;

    *out = NULL;
    if (!w)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    if (access(path, F_OK) == 0 || strlen(path) >= sizeof w->path) {
        free(w);
        return st_fail(ST_CONFLICT, "EXISTS", "a segment file of that name exists already");
    }
    w->info = *info;
    strcpy(w->path, path);
    buf_init(&w->value, STORE_ROW_MAX + 64);
    rc = mdb_env_create(&w->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(w->env, MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(w->env, STORE_ROLLUPS_MAX + 2);
    if (rc == 0)
        rc = mdb_env_open(w->env, path, FLAGS, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(w->env, NULL, 0, &w->txn);
    if (rc == 0)
        rc = open_databases(w);
    if (rc != 0) {
        store_segment_writer_free(w);
        return store_env_fail(rc, "creating a segment");
    }
    *out = w;
    return ST_OK;
}

static enum st failed(struct store_segment_writer *w, enum st st)
{
    w->status = st;
    return st;
}

static int commit(struct store_segment_writer *w)
{
    if (w->cursor)
        mdb_cursor_close(w->cursor);
    w->cursor = NULL;
    w->uncommitted = 0;
    int rc = mdb_txn_commit(w->txn);
    w->txn = NULL; /* gone, whatever rc says */
    return rc;
}

static int append(struct store_segment_writer *w, MDB_dbi db, const void *key, size_t key_len,
                  const void *value, size_t value_len)
{
    MDB_val k = {key_len, (void *)(uintptr_t)key};
    MDB_val v = {value_len, (void *)(uintptr_t)value};
    int rc = 0;

    if (w->uncommitted >= COMMIT_BYTES) {
        rc = commit(w);
        if (rc == 0)
            rc = mdb_txn_begin(w->env, NULL, 0, &w->txn);
    }
    if (rc == 0 && w->cursor && w->cursor_db != db) {
        mdb_cursor_close(w->cursor);
        w->cursor = NULL;
    }
    if (rc == 0 && !w->cursor)
        rc = mdb_cursor_open(w->txn, db, &w->cursor);
    w->cursor_db = db;
    if (rc == 0)
        rc = mdb_cursor_put(w->cursor, &k, &v, MDB_APPEND);
    w->uncommitted += key_len + value_len;
    return rc;
}

static enum st append_checked(struct store_segment_writer *w, MDB_dbi db, const void *key,
                              size_t key_len, const char *what)
{
    enum st st = buf_status(&w->value);

    if (st)
        return failed(w, st);
    int rc = append(w, db, key, key_len, w->value.data, w->value.len);
    if (rc == MDB_KEYEXIST)
        return failed(w, st_fail(ST_CONFLICT, "DUPLICATE_KEY", "%s are not strictly ascending", what));
    return rc ? failed(w, store_env_fail(rc, "writing a segment")) : ST_OK;
}

enum st store_segment_writer_add(struct store_segment_writer *w,
                                 const unsigned char key[STORE_KEY_BYTES], const void *row,
                                 size_t row_len)
{
    if (w->status)
        return w->status;
    buf_reset(&w->value);
    buf_addch(&w->value, SEGMENT_ROW);
    buf_add(&w->value, row, row_len);
    enum st st = append_checked(w, w->records, key, STORE_KEY_BYTES, "the keys of records");
    w->record_count += st == ST_OK;
    return st;
}

enum st store_segment_writer_cell(struct store_segment_writer *w, size_t rollup_index,
                                  const void *tuple, size_t tuple_len, const struct store_cell *cell)
{
    if (w->status)
        return w->status;
    buf_reset(&w->value);
    store_cell_encode(&w->value, &w->info.definition->rollups[rollup_index], cell);
    enum st st = append_checked(w, w->rollups[rollup_index], tuple, tuple_len, "the cells of a rollup");
    w->cell_counts[rollup_index] += st == ST_OK;
    return st;
}

/* ---- meta ---- */

static json_t *fields_json(const struct store_field *fields, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", fields[i].name, "type",
                                              store_type_name(fields[i].type)));
    return list;
}

static json_t *key_json(const struct store_segment_info *info)
{
    const struct store_key_spec *spec = &info->definition->key;
    bool is_protected = spec->protect != STORE_PROTECT_NONE;
    char check[STORE_KEY_BYTES * 2 + 1];
    json_t *fields = json_array();

    digest_hex(check, info->check_value, STORE_KEY_BYTES);
    for (size_t i = 0; i < spec->field_count; i++)
        json_array_append_new(
            fields, json_pack("{s:s, s:s, s:i}", "name", spec->fields[i].name, "normalizer",
                              store_normalizer_name(spec->fields[i].normalizer), "rules",
                              (int)store_normalizer_version(spec->fields[i].normalizer)));
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", info->key_id, "protect",
                     is_protected ? "hmac-sha256" : "none", "unicode", store_normalizer_unicode(),
                     "check", check, "fields", fields);
}

static json_t *rollups_json(const struct store_segment_writer *w)
{
    const struct store_definition *d = w->info.definition;
    json_t *all = json_object();

    for (size_t i = 0; i < d->rollup_count; i++) {
        const struct store_rollup *r = &d->rollups[i];
        char name[SEGMENT_DB_NAME_SIZE];

        segment_rollup_name(name, r);
        json_object_set_new(all, name,
                            json_pack("{s:I, s:o, s:i, s:i}", "cells", (json_int_t)w->cell_counts[i],
                                      "dimensions", fields_json(r->dimensions, r->dimension_count),
                                      "bucket", (int)r->bucket, "terms", (int)r->term_count));
    }
    return all;
}

static enum st write_meta(struct store_segment_writer *w)
{
    const struct store_definition *d = w->info.definition;
    MDB_val k = {strlen(SEGMENT_META_KEY), (void *)(uintptr_t)SEGMENT_META_KEY};
    json_t *meta = json_pack("{s:i, s:s, s:s, s:I, s:o, s:o, s:o}", "format", STORE_SEGMENT_FORMAT,
                             "tenant", w->info.tenant, "dataset", d->name, "records",
                             (json_int_t)w->record_count, "key", key_json(&w->info), "row",
                             fields_json(d->row, d->row_count), "rollups", rollups_json(w));
    struct buf text;

    buf_init(&text, SEGMENT_META_MAX);
    if (meta)
        jx_write(&text, meta, true);
    enum st st = meta ? buf_status(&text) : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st) {
        MDB_val v = {text.len, text.data};
        int rc = mdb_put(w->txn, w->meta, &k, &v, 0);
        if (rc)
            st = store_env_fail(rc, "writing a segment's meta");
    }
    buf_release(&text);
    json_decref(meta);
    return st;
}

static enum st sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return st_fail_errno(errno, "opening the built segment");
    enum st st = fsync(fd) == 0 ? ST_OK : st_fail_errno(errno, "fsync of the built segment");
    close(fd);
    return st;
}

enum st store_segment_writer_finish(struct store_segment_writer *w)
{
    if (w->status)
        return w->status;
    enum st st = write_meta(w);
    if (st)
        return failed(w, st);
    int rc = commit(w);
    if (rc == 0)
        rc = mdb_env_sync(w->env, 1);
    if (rc != 0)
        return failed(w, store_env_fail(rc, "finishing a segment"));
    mdb_env_close(w->env);
    w->env = NULL;
    return failed(w, sync_file(w->path)); /* ST_OK, too: nothing more can be added */
}

void store_segment_writer_free(struct store_segment_writer *w)
{
    if (!w)
        return;
    if (w->cursor)
        mdb_cursor_close(w->cursor);
    if (w->txn)
        mdb_txn_abort(w->txn);
    if (w->env)
        mdb_env_close(w->env);
    buf_release(&w->value);
    free(w);
}
