#include "store/backup_write.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/catalog_copy.h"
#include "store/head_file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define SNAPSHOT_TRIES 20

/* What is nothing to another directory or another day. */
static const bool LEFT_OUT[CATALOG_TABLES] = {
    [CATALOG_QUEUE] = true,   [CATALOG_PINS] = true,    [CATALOG_CANDIDATES] = true,
    [CATALOG_ACKS] = true,    [CATALOG_SEALS] = true,   [CATALOG_UPLOADS] = true,
    [CATALOG_REPEATS] = true, [CATALOG_ANCHORS] = true,
};

static enum st make_directory(struct backup *b)
{
    char text[CLOCK_TEXT_SIZE], name[CLOCK_TEXT_SIZE];
    size_t n = 0;

    clock_format(text, clock_wall_us());
    for (size_t i = 0; text[i]; i++)
        if (text[i] != '-' && text[i] != ':')
            name[n++] = text[i];
    name[n] = '\0';
    enum st st = fs_path(b->dir, "%s/%s", b->root, name);
    if (!st && mkdir(b->dir, 0700) != 0)
        st = st_fail_errno(errno, "making %s", b->dir);
    b->made = !st;
    return st ? st : fs_sync_dir(b->root);
}

static void gather_head(struct backup *b, struct catalog_txn *t, const struct head *h,
                        json_int_t *versions)
{
    for (size_t i = 0; i < h->version_count && !t->status; i++) {
        const struct head_version *v = &h->versions[i];
        *versions += head_keeps(v);
        for (size_t j = 0; head_keeps(v) && j < v->segment_count; j++)
            store_set(t, b->segments, v->segments[j].sha256,
                      json_pack("{s:I, s:s, s:s, s:I}", "bytes", (json_int_t)v->segments[j].bytes,
                                "tenant", h->tenant, "dataset", h->dataset, "version",
                                (json_int_t)v->version));
    }
}

static void gather(struct backup *b, struct catalog_txn *t)
{
    char key[CATALOG_KEY_SIZE] = "", created_at[CLOCK_TEXT_SIZE];
    json_int_t datasets = 0, versions = 0;
    json_t *document;

    json_object_clear(b->segments);
    while ((document = catalog_after(t, CATALOG_HEADS, "", key))) {
        struct head h = {0};
        catalog_fail(t, head_from_json(&h, document));
        gather_head(b, t, &h, &versions);
        datasets += !h.deleted;
        head_release(&h);
        json_decref(document);
    }
    clock_format(created_at, clock_wall_us());
    json_decref(b->manifest);
    b->manifest = json_pack("{s:i, s:i, s:s, s:s, s:I, s:I}", "format", BACKUP_FORMAT,
                            "data_format", STORE_DATA_FORMAT, "everline", EVERLINE_VERSION,
                            "created_at", created_at, "datasets", datasets, "versions", versions);
    if (!b->manifest)
        catalog_fail(t, backup_no_memory());
}

static json_t *named_now(struct catalog_txn *t)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_t *named = json_object(), *document;

    while ((document = catalog_after(t, CATALOG_HEADS, "", key))) {
        struct head h = {0};
        catalog_fail(t, head_from_json(&h, document));
        for (size_t i = 0; i < h.version_count; i++)
            for (size_t j = 0; j < h.versions[i].segment_count; j++)
                store_set(t, named, h.versions[i].segments[j].sha256, json_true());
        head_release(&h);
        json_decref(document);
    }
    return named;
}

static void pin_key(char out[CATALOG_KEY_SIZE], const struct backup *b, const char *sha256)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s", sha256, b->store->run.name);
}

/* *gone: one of the segments is named by no head any more. */
static enum st pin(bool *gone, struct backup *b)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    const char *sha256;
    json_t *unused, *empty = json_object();

    *gone = false;
    catalog_begin_write(&t, &b->store->catalog);
    json_t *named = named_now(&t);
    json_object_foreach(b->segments, sha256, unused)
    {
        *gone |= json_object_get(named, sha256) == NULL;
        pin_key(key, b, sha256);
        catalog_put(&t, CATALOG_PINS, key, empty);
    }
    json_decref(named);
    json_decref(empty);
    enum st st = *gone ? catalog_end(&t) : catalog_commit(&t);
    b->pinned = !st && !*gone;
    return st;
}

void backup_give_back_pins(const struct backup *b)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    const char *sha256;
    json_t *unused;

    catalog_begin_write(&t, &b->store->catalog);
    json_object_foreach(b->segments, sha256, unused)
    {
        pin_key(key, b, sha256);
        catalog_delete(&t, CATALOG_PINS, key);
    }
    if (catalog_commit(&t))
        log_failure(LOG_LEVEL_WARN, "backup", "the pins stay until this process has ended");
}

/* ---- catalog and heads ---- */

static void add_file(struct backup *b, struct catalog_txn *t, json_t *files, const char *path)
{
    struct store_segment_ref ref;
    char full[FS_PATH_MAX];

    if (!t->status)
        catalog_fail(t, fs_path(full, "%s/%s", b->dir, path));
    if (!t->status)
        catalog_fail(t, backup_file_ref(&ref, full));
    if (!t->status &&
        json_array_append_new(files, json_pack("{s:s, s:s, s:I}", "path", path, "sha256",
                                               ref.sha256, "bytes", (json_int_t)ref.bytes)) != 0)
        catalog_fail(t, backup_no_memory());
}

static void save_tenants(struct backup *b, struct catalog_txn *t, const char *heads_dir,
                         json_t *files)
{
    char key[CATALOG_KEY_SIZE] = "", path[FS_PATH_MAX];
    json_t *row;

    while ((row = catalog_after(t, CATALOG_TENANTS, "", key))) {
        head_file_write_tenant(t, heads_dir, key, row);
        json_decref(row);
        catalog_fail(t, fs_path(path, "heads/%s.json", key));
        add_file(b, t, files, path);
    }
}

static void save_heads(struct backup *b, struct catalog_txn *t, const char *heads_dir,
                       json_t *files)
{
    char key[CATALOG_KEY_SIZE] = "", path[FS_PATH_MAX];
    json_t *document;

    while ((document = catalog_after(t, CATALOG_HEADS, "", key))) {
        struct head h = {0};
        catalog_fail(t, head_from_json(&h, document));
        if (!t->status)
            head_file_write(t, heads_dir, &h, document);
        head_release(&h);
        json_decref(document);
        catalog_fail(t, fs_path(path, "heads/%s.json", key)); /* the key is TENANT/DATASET */
        add_file(b, t, files, path);
    }
}

static enum st save_state(struct backup *b, struct catalog_txn *t)
{
    char catalog[FS_PATH_MAX], heads_dir[FS_PATH_MAX];
    json_t *files = json_array();
    enum st st = make_directory(b);

    if (!st)
        st = fs_path(catalog, "%s/catalog.mdb", b->dir);
    if (!st)
        st = fs_path(heads_dir, "%s/heads", b->dir);
    if (!st)
        st = fs_mkdir(heads_dir, 0700);
    if (!st)
        st = catalog_copy(catalog, t, LEFT_OUT);
    catalog_fail(t, st);
    add_file(b, t, files, "catalog.mdb");
    save_tenants(b, t, heads_dir, files);
    save_heads(b, t, heads_dir, files);
    store_set(t, b->manifest, "files", files);
    return t->status;
}

enum st backup_take_snapshot(struct backup *b)
{
    bool gone = true;
    enum st st = ST_OK;

    for (int i = 0; !st && gone && i < SNAPSHOT_TRIES; i++) {
        struct catalog_txn t;

        catalog_begin_read(&t, &b->store->catalog);
        gather(b, &t);
        st = t.status ? t.status : pin(&gone, b);
        if (!st && !gone)
            st = save_state(b, &t);
        enum st ended = catalog_end(&t);
        st = st ? st : ended;
    }
    if (!st && gone)
        st = st_hint(st_fail(ST_UNAVAILABLE, "RETENTION",
                             "versions are retired faster than they can be saved"),
                     "try again");
    return st;
}
