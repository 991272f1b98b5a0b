#include "store/upload_internal.h"

#include "base/clock.h"
#include "store/queue_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A file is received in spool/incoming/OWNER.RANDOM/NAME, synced there, and renamed to
 * spool/TENANT/UPLOAD/NAME; then its row is committed: {"upload","name","bytes","sha256","at_us",
 * "job","gone"}. Who ends a job marks the rows of its uploads as gone, in the same transaction;
 * their files are removed after the commit, and the rows after the files, so that whoever dies in
 * between leaves a row by which somebody else finds them: UPLOAD_GONE and its key, so that nobody
 * looks for it among all tenants' uploads. The row UPLOAD_SUM and the tenant says what those of a
 * tenant with a quota of bytes have: {"rows","bytes"}. */

/* ---- the spool ---- */

void upload_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *upload)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%.*s", tenant, STORE_UPLOAD_ID_SIZE, upload);
}

enum st upload_dir(char out[FS_PATH_MAX], const struct store *s, const char *tenant,
                   const char *upload)
{
    return fs_path(out, "%s/%s/%s", s->spool_dir, tenant, upload);
}

/* ---- what a tenant has ---- */

static void sum_key(char out[CATALOG_KEY_SIZE], const char *tenant)
{
    snprintf(out, CATALOG_KEY_SIZE, UPLOAD_SUM "%s", tenant);
}

static void put_sum(struct catalog_txn *t, const char *tenant, json_int_t rows, uint64_t bytes)
{
    char key[CATALOG_KEY_SIZE];
    json_t *sum = json_object();

    sum_key(key, tenant);
    store_set(t, sum, "rows", json_integer(rows));
    store_set(t, sum, "bytes", json_integer((json_int_t)bytes));
    catalog_put(t, CATALOG_UPLOADS, key, sum);
    json_decref(sum);
}

/* As the tenant's sum says, if that is of as many `rows`; else whoever has taken one away or added
 * one did not tell it, and they are all read. */
static uint64_t bytes_of(struct catalog_txn *t, const char *tenant, json_int_t rows)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE];
    uint64_t bytes;
    json_t *upload;

    sum_key(key, tenant);
    json_t *sum = catalog_get_whole(t, CATALOG_UPLOADS, key);
    bool holds = sum && queue_number(sum, "rows") == rows;
    bytes = holds ? (uint64_t)queue_number(sum, "bytes") : 0;
    json_decref(sum);
    snprintf(prefix, sizeof prefix, "%s/", tenant);
    *key = '\0';
    while (!holds && catalog_after_any(&upload, t, CATALOG_UPLOADS, prefix, key)) {
        bytes += (uint64_t)queue_number(upload, "bytes");
        json_decref(upload);
    }
    return bytes;
}

void upload_forget(struct catalog_txn *t, const char *key)
{
    char tenant[STORE_NAME_SIZE], sum_at[CATALOG_KEY_SIZE];
    json_t *row = catalog_get_whole(t, CATALOG_UPLOADS, key);

    snprintf(tenant, sizeof tenant, "%.*s", (int)strcspn(key, "/"), key);
    sum_key(sum_at, tenant);
    json_t *sum = catalog_get_whole(t, CATALOG_UPLOADS, sum_at);
    if (row && queue_number(sum, "rows") > 1)
        put_sum(t, tenant, queue_number(sum, "rows") - 1,
                (uint64_t)(queue_number(sum, "bytes") - queue_number(row, "bytes")));
    else if (row && sum)
        catalog_delete(t, CATALOG_UPLOADS, sum_at);
    catalog_delete(t, CATALOG_UPLOADS, key);
    json_decref(row);
    json_decref(sum);
}

/* And counts the one that comes. */
static void check_quota(struct catalog_txn *t, const char *tenant, uint64_t bytes)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE];
    json_t *row = catalog_get(t, CATALOG_TENANTS, tenant);
    uint64_t most = (uint64_t)queue_number(json_object_get(row, "limits"), "max_upload_bytes");

    json_decref(row);
    snprintf(prefix, sizeof prefix, "%s/", tenant);
    uint64_t rows = catalog_sum(t, CATALOG_UPLOADS, prefix).rows;
    if (rows >= STORE_UPLOADS_MAX)
        catalog_fail(t, st_hint(st_fail(ST_FULL, "QUOTA", "the tenant may have %d uploads",
                                        STORE_UPLOADS_MAX),
                                "wait until jobs that use uploads have ended"));
    if (!most) {
        sum_key(key, tenant);
        catalog_delete(t, CATALOG_UPLOADS, key); /* it would not be told of this one */
        return;
    }
    bytes += bytes_of(t, tenant, (json_int_t)rows);
    if (bytes > most)
        catalog_fail(
            t, st_hint(st_fail(ST_FULL, "QUOTA", "the tenant's uploads may have %llu bytes in all",
                               (unsigned long long)most),
                       "wait until jobs that use uploads have ended"));
    put_sum(t, tenant, (json_int_t)rows + 1, bytes);
}

/* ---- taking one ---- */

static enum st move_in(char id[STORE_UPLOAD_ID_SIZE], struct store *s, const char *tenant,
                       struct store_incoming *in)
{
    char parent[FS_PATH_MAX], to[FS_PATH_MAX], hex[25];
    unsigned char random[12];
    enum st st = digest_random(random, sizeof random);

    if (st)
        return st;
    digest_hex(hex, random, sizeof random);
    snprintf(id, STORE_UPLOAD_ID_SIZE, "up-%s", hex);
    st = fs_path(parent, "%s/%s", s->spool_dir, tenant);
    if (!st)
        st = fs_mkdir(parent, 0700);
    if (!st)
        st = upload_dir(to, s, tenant, id);
    if (!st && rename(in->directory, to) != 0)
        st = st_fail_errno(errno, "taking an upload into the spool");
    if (st)
        return st;
    snprintf(in->directory, sizeof in->directory, "%s", to); /* the caller's until the commit */
    return fs_sync_dir(parent);
}

enum st store_upload_add(json_t **out, struct store *s, const char *tenant,
                         struct store_incoming *in)
{
    char id[STORE_UPLOAD_ID_SIZE], key[CATALOG_KEY_SIZE], hex[DIGEST_HEX_SIZE];
    int64_t now_us = clock_wall_us();
    struct catalog_txn t;

    *out = NULL;
    enum st st = move_in(id, s, tenant, in);
    if (st)
        return st;
    digest_hex(hex, in->sha256, sizeof in->sha256);
    upload_key(key, tenant, id);
    catalog_begin_write(&t, &s->catalog);
    check_quota(&t, tenant, in->bytes);
    json_t *row = json_pack("{s:s, s:s, s:I, s:s, s:I, s:n, s:b}", "upload", id, "name",
                            strrchr(in->path, '/') + 1, "bytes", (json_int_t)in->bytes, "sha256",
                            hex, "at_us", (json_int_t)now_us, "job", "gone", 0);
    if (row)
        catalog_put(&t, CATALOG_UPLOADS, key, row);
    else
        catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
    json_decref(row);
    st = catalog_commit(&t);
    if (st)
        return st;
    in->taken = true;
    *out = json_pack("{s:s, s:s, s:I, s:s, s:o, s:o}", "upload", id, "name",
                     strrchr(in->path, '/') + 1, "bytes", (json_int_t)in->bytes, "sha256", hex,
                     "created_at", store_time_json(now_us), "expires_at",
                     store_time_json(now_us + STORE_UPLOAD_HOURS * 3600000000));
    return *out ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

static enum st unknown_upload(void)
{
    return st_hint(st_fail(ST_NOT_FOUND, "UNKNOWN_UPLOAD", "there is no such upload"),
                   "uploads are gone when their job has ended, and after %d hours",
                   STORE_UPLOAD_HOURS);
}

/* The row of one that is there; NULL: it is not, or was never, or its row is damaged. */
static json_t *find(struct catalog_txn *t, const char *tenant, const char *upload)
{
    char key[CATALOG_KEY_SIZE];

    upload_key(key, tenant, upload);
    json_t *row = catalog_get_whole(t, CATALOG_UPLOADS, key);
    if (!json_is_true(json_object_get(row, "gone")))
        return row;
    json_decref(row);
    return NULL;
}

enum st store_upload_path(char out[FS_PATH_MAX], struct store *s, const char *tenant,
                          const char *upload)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &s->catalog);
    json_t *row = find(&t, tenant, upload);
    enum st st = catalog_end(&t);
    if (!st)
        st = row ? fs_path(out, "%s/%s/%s/%s", s->spool_dir, tenant, queue_text(row, "upload"),
                           queue_text(row, "name"))
                 : unknown_upload();
    json_decref(row);
    return st;
}

/* ---- jobs ---- */

static const char *upload_of(const json_t *spec, size_t i)
{
    const json_t *sources = json_object_get(spec, "sources");

    return json_string_value(json_object_get(json_array_get(sources, i), "upload"));
}

void upload_claim(struct catalog_txn *t, const char *tenant, const json_t *spec, const char *job)
{
    size_t count = json_array_size(json_object_get(spec, "sources"));
    char key[CATALOG_KEY_SIZE];

    for (size_t i = 0; !t->status && i < count; i++) {
        const char *upload = upload_of(spec, i);
        json_t *row = upload ? find(t, tenant, upload) : NULL;
        if (upload && !row && !t->status)
            catalog_fail(t, st_place(unknown_upload(), "/sources/%zu/upload", i));
        else if (row && json_is_string(json_object_get(row, "job")))
            catalog_fail(t,
                         st_place(st_fail(ST_CONFLICT, "UPLOAD_USED",
                                          "the upload is that of another job, or is there twice"),
                                  "/sources/%zu/upload", i));
        else if (row) {
            upload_key(key, tenant, upload);
            store_set(t, row, "job", json_string(job));
            catalog_put(t, CATALOG_UPLOADS, key, row);
        }
        json_decref(row);
    }
}

void upload_set_gone(struct catalog_txn *t, const char *key, json_t *row)
{
    char gone[CATALOG_KEY_SIZE];
    json_t *empty = json_object();

    store_set(t, row, "gone", json_true());
    catalog_put(t, CATALOG_UPLOADS, key, row);
    snprintf(gone, sizeof gone, UPLOAD_GONE "%s", key);
    catalog_put(t, CATALOG_UPLOADS, gone, empty);
    json_decref(empty);
}

void upload_give_up(struct catalog_txn *t, const char *tenant, const json_t *spec)
{
    size_t count = json_array_size(json_object_get(spec, "sources"));
    char key[CATALOG_KEY_SIZE];

    for (size_t i = 0; i < count; i++) {
        const char *upload = upload_of(spec, i);
        json_t *row = upload ? find(t, tenant, upload) : NULL;
        if (row) {
            upload_key(key, tenant, upload);
            upload_set_gone(t, key, row);
        }
        json_decref(row);
    }
}

bool upload_all_there(struct catalog_txn *t, const char *tenant, const json_t *spec)
{
    size_t count = json_array_size(json_object_get(spec, "sources"));
    bool all = true;

    for (size_t i = 0; all && i < count; i++) {
        const char *upload = upload_of(spec, i);
        json_t *row = upload ? find(t, tenant, upload) : NULL;
        all = !upload || row;
        json_decref(row);
    }
    return all;
}
