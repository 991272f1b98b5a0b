#include "store/backup.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/backup_internal.h"
#include "store/catalog_copy.h"
#include "store/document.h"
#include "store/head_file.h"
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The order that makes a backup whole or not there:
 *
 *   1  a reading transaction: the state that is saved
 *   2  a pin on every segment its manifests name, owned by this process (one commit). One that no
 *      head names any more may be on its way out: then from 1 again
 *   3  of that transaction: a copy of the catalog, and head files
 *   4  the segments that are not there yet, each hashed, synced, and renamed into place
 *   5  the manifest, with the hash of everything, by an atomic rename
 *
 * Before 5 there is a directory without a manifest, which the next backup removes. Pins of a
 * process that died are swept (store/retention.c). */

#define SNAPSHOT_TRIES 20

static const char *const REPORTED[] = {"created_at", "datasets", "versions", "bytes", "keys"};

/* What is nothing to another directory or another day. */
static const bool LEFT_OUT[CATALOG_TABLES] = {
    [CATALOG_QUEUE] = true,   [CATALOG_PINS] = true,  [CATALOG_CANDIDATES] = true,
    [CATALOG_ACKS] = true,    [CATALOG_SEALS] = true, [CATALOG_UPLOADS] = true,
    [CATALOG_REPEATS] = true,
};

struct backup {
    struct store *store;
    const struct store_backup_options *options;
    char root[FS_PATH_MAX], segments_dir[FS_PATH_MAX], dir[FS_PATH_MAX];
    int lock_fd;
    json_t *segments; /* sha256 -> {"bytes","tenant","dataset","version"} */
    json_t *verified; /* sha256 -> seal */
    json_t *manifest;
    bool pinned, made; /* what is to be taken back */
    uint64_t copied, copied_bytes, bytes, done_bytes;
};

static enum st no_memory(void)
{
    return st_fail(ST_NOMEM, NULL, "out of memory");
}

/* ---- the directory of backups ---- */

static enum st refuse_inside_data(const struct backup *b)
{
    size_t len = strlen(b->store->data_dir);

    if (strncmp(b->root, b->store->data_dir, len) != 0 || (b->root[len] && b->root[len] != '/'))
        return ST_OK;
    return st_hint(st_fail(ST_INVALID, "BACKUP_INSIDE_DATA",
                           "%s is inside the data directory that it should save", b->root),
                   "give --to a directory elsewhere, best on another disk");
}

/* Directories of backups that were broken off, and temporary files. The lock says that nobody is
 * writing them. */
static enum st sweep_interrupted(const struct backup *b)
{
    char path[FS_PATH_MAX], manifest[FS_PATH_MAX];
    struct fs_list list, files;
    enum st st = fs_list_dir(&list, b->root);

    for (size_t i = 0; !st && i < list.count; i++) {
        if (!backup_is_time(list.names[i]))
            continue;
        st = fs_path(path, "%s/%s", b->root, list.names[i]);
        if (!st)
            st = fs_path(manifest, "%s/" BACKUP_MANIFEST, path);
        if (!st && access(manifest, F_OK) != 0 && errno == ENOENT)
            st = fs_remove_tree(path);
    }
    fs_list_free(&list);
    if (!st)
        st = fs_list_dir(&list, b->segments_dir);
    for (size_t i = 0; !st && i < list.count; i++) {
        if (fs_path(path, "%s/%s", b->segments_dir, list.names[i]) || fs_list_dir(&files, path))
            continue;
        for (size_t j = 0; j < files.count; j++) {
            const char *end = strrchr(files.names[j], '.');
            if (end && strcmp(end, ".tmp") == 0 &&
                fs_path(path, "%s/%s/%s", b->segments_dir, list.names[i], files.names[j]) == ST_OK)
                (void)unlink(path);
        }
        fs_list_free(&files);
    }
    fs_list_free(&list);
    return st;
}

/* Without the memory of hashes, or with a damaged one, files are hashed again. */
static void load_verified(struct backup *b)
{
    char path[FS_PATH_MAX];

    if (fs_path(path, "%s/verified.json", b->root) || document_read(&b->verified, path))
        b->verified = json_object();
}

static enum st save_verified(const struct backup *b)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/verified.json", b->root);

    return st ? st : document_write(path, b->verified, 0600);
}

static enum st open_root(struct backup *b)
{
    char path[FS_PATH_MAX];
    enum st st = fs_mkdir_all(b->options->to, 0700);

    if (!st && !realpath(b->options->to, b->root))
        st = st_fail_errno(errno, "%s", b->options->to);
    if (!st)
        st = refuse_inside_data(b);
    if (!st)
        st = fs_path(path, "%s/lock", b->root);
    if (!st)
        st = fs_lock(&b->lock_fd, path);
    if (st == ST_CONFLICT)
        st = st_hint(st, "another backup is being made there: wait for it");
    if (!st)
        st = fs_path(b->segments_dir, "%s/segments", b->root);
    if (!st)
        st = fs_mkdir(b->segments_dir, 0700);
    if (!st)
        st = sweep_interrupted(b);
    if (!st)
        load_verified(b);
    return st;
}

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

/* ---- the state ---- */

static bool has_files(const struct head_version *v)
{
    return v->state == VERSION_SUCCEEDED || v->state == VERSION_HELD ||
           v->state == VERSION_QUARANTINED;
}

static void gather_head(struct backup *b, struct catalog_txn *t, const struct head *h,
                        json_int_t *versions)
{
    for (size_t i = 0; i < h->version_count && !t->status; i++) {
        const struct head_version *v = &h->versions[i];
        *versions += has_files(v);
        for (size_t j = 0; has_files(v) && j < v->segment_count; j++)
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
        head_release(&h);
        json_decref(document);
        datasets++;
    }
    clock_format(created_at, clock_wall_us());
    json_decref(b->manifest);
    b->manifest = json_pack("{s:i, s:i, s:s, s:s, s:I, s:I}", "format", BACKUP_FORMAT,
                            "data_format", STORE_DATA_FORMAT, "everline", EVERLINE_VERSION,
                            "created_at", created_at, "datasets", datasets, "versions", versions);
    if (!b->manifest)
        catalog_fail(t, no_memory());
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

static void give_back_pins(const struct backup *b)
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
        catalog_fail(t, no_memory());
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

static enum st take_snapshot(struct backup *b)
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

/* ---- segments ---- */

static enum st remember(struct backup *b, const char *sha256, const struct seal *seal)
{
    bool kept = !seal->holds || json_object_set_new(b->verified, sha256, seal_to_json(seal)) == 0;

    return kept ? ST_OK : no_memory();
}

static enum st save_segment(struct backup *b, const char *sha256, const json_t *about)
{
    struct store_segment_ref ref = {
        .bytes = (uint64_t)json_integer_value(json_object_get(about, "bytes"))};
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    struct seal seal;
    enum st st = store_segment_path(from, b->store, sha256);

    memcpy(ref.sha256, sha256, DIGEST_HEX_SIZE);
    if (!st)
        st = backup_segment_path(to, b->segments_dir, sha256);
    if (st || seal_document_holds(json_object_get(b->verified, sha256), to))
        return st;
    if (access(to, F_OK) == 0 && store_segment_file_verify(&seal, to, &ref, NULL) == ST_OK)
        return remember(b, sha256, &seal);
    st = backup_make_shard(b->segments_dir, sha256);
    if (!st)
        st = backup_copy(&seal, to, from, &ref, 0440);
    if (st == ST_CORRUPT)
        st = st_hint(st_wrap(st, "%s/%s version %lld",
                             json_string_value(json_object_get(about, "tenant")),
                             json_string_value(json_object_get(about, "dataset")),
                             (long long)json_integer_value(json_object_get(about, "version"))),
                     "a backup with it would be none: ingest its batch again, or retire that "
                     "version (everline verify --deep lists all that are damaged)");
    if (!st) {
        b->copied++;
        b->copied_bytes += ref.bytes;
        st = remember(b, sha256, &seal);
    }
    return st;
}

static enum st save_segments(struct backup *b)
{
    json_t *list = json_array(), *about;
    const char *sha256;
    enum st st = ST_OK;

    json_object_foreach(b->segments, sha256, about) b->bytes +=
        (uint64_t)json_integer_value(json_object_get(about, "bytes"));
    json_object_foreach(b->segments, sha256, about)
    {
        json_t *bytes = json_object_get(about, "bytes");
        if (st)
            break;
        st = save_segment(b, sha256, about);
        b->done_bytes += (uint64_t)json_integer_value(bytes);
        if (!st && json_array_append_new(
                       list, json_pack("{s:s, s:O}", "sha256", sha256, "bytes", bytes)) != 0)
            st = no_memory();
        if (!st && b->options->tell_fn)
            b->options->tell_fn("copying", b->done_bytes, b->bytes, b->options->ctx);
    }
    /* Also after a failure: what was copied need not be copied again. */
    enum st saved = save_verified(b);
    st = st ? st : saved;
    if (json_object_set_new(b->manifest, "segments", list) != 0 && !st)
        st = no_memory();
    return st;
}

/* ---- which keys it needs ---- */

static enum st add_key(json_t *keys, const char *tenant, const char *id)
{
    json_t *item;
    size_t i;

    json_array_foreach(
        keys, i,
        item) if (strcmp(json_string_value(json_object_get(item, "tenant")), tenant) == 0 &&
                  strcmp(json_string_value(json_object_get(item, "id")), id) == 0) return ST_OK;
    item = json_pack("{s:s, s:s}", "tenant", tenant, "id", id);
    return json_array_append_new(keys, item) == 0 ? ST_OK : no_memory();
}

/* The copies are opened, not the files that are served: those were hashed when they were copied. */
static enum st list_keys(struct backup *b)
{
    json_t *keys = json_array(), *about;
    char path[FS_PATH_MAX];
    const char *sha256;
    enum st st = ST_OK;

    json_object_foreach(b->segments, sha256, about)
    {
        const char *tenant = json_string_value(json_object_get(about, "tenant"));
        struct store_segment *segment = NULL;
        if (st)
            break;
        st = backup_segment_path(path, b->segments_dir, sha256);
        if (!st)
            st = store_segment_open(&segment, path, tenant,
                                    json_string_value(json_object_get(about, "dataset")), 1);
        if (!st && *store_segment_key_id(segment))
            st = add_key(keys, tenant, store_segment_key_id(segment));
        store_segment_close(segment);
    }
    if (json_object_set_new(b->manifest, "keys", keys) != 0 && !st)
        st = no_memory();
    return st;
}

/* ---- the whole ---- */

static enum st write_manifest(struct backup *b)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/" BACKUP_MANIFEST, b->dir);

    if (!st && json_object_set_new(b->manifest, "bytes", json_integer((json_int_t)b->bytes)) != 0)
        st = no_memory();
    return st ? st : document_write(path, b->manifest, 0600);
}

static enum st make_report(json_t **report, const struct backup *b)
{
    int failed = 0;

    *report = json_pack("{s:s, s:I, s:I, s:I}", "backup", b->dir, "segments",
                        (json_int_t)json_object_size(b->segments), "copied", (json_int_t)b->copied,
                        "copied_bytes", (json_int_t)b->copied_bytes);
    for (size_t i = 0; *report && i < sizeof REPORTED / sizeof REPORTED[0]; i++)
        failed |= json_object_set(*report, REPORTED[i], json_object_get(b->manifest, REPORTED[i]));
    if (*report && !failed)
        return ST_OK;
    json_decref(*report);
    *report = NULL;
    return no_memory();
}

enum st store_backup(json_t **report, struct store *s, const struct store_backup_options *options)
{
    struct backup b = {.store = s, .options = options, .lock_fd = -1, .segments = json_object()};
    struct st_report failure;
    enum st st = b.segments ? open_root(&b) : no_memory();

    *report = NULL;
    if (!st)
        st = take_snapshot(&b);
    if (!st)
        st = save_segments(&b);
    if (!st)
        st = list_keys(&b);
    if (!st)
        st = write_manifest(&b);
    st_save(&failure, st);
    if (b.pinned)
        give_back_pins(&b);
    if (st && b.made && fs_remove_tree(b.dir))
        log_failure(LOG_LEVEL_WARN, "backup", "an incomplete backup stays until the next one");
    fs_close(&b.lock_fd);
    st = st ? st_restore(&failure) : make_report(report, &b);
    json_decref(b.segments);
    json_decref(b.verified);
    json_decref(b.manifest);
    return st;
}
