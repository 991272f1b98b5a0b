#include "store/backup.h"
#include "store/backup_internal.h"
#include "store/document.h"
#include "store/opening.h"
#include "store/revive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The order that makes a directory whole or not one:
 *
 *   1  DATA/FORMAT says that a restore has not ended: nobody opens the directory
 *   2  segments and catalog, each hashed as it is copied
 *   3  in one transaction: what made sense only where the backup came from ends; head files are
 *      written again from the catalog
 *   4  DATA/FORMAT says which format the directory has
 *
 * After a failure everything that was made is removed. After a crash it stays, and DATA/FORMAT says
 * what it is. */

struct restore {
    const struct store_restore_options *options;
    char root[FS_PATH_MAX], dir[FS_PATH_MAX]; /* of the backups; of this one */
    struct store *store;
    json_t *manifest;
    json_t *keys;  /* [{"tenant","id","state"}] */
    json_t *seals; /* sha256 -> seal of its copy */
    bool made;     /* the directory itself */
    bool marked;
    uint64_t bytes;
};

/* ---- the backup ---- */

static enum st damaged(const char *path, const char *what)
{
    return st_hint(st_fail(ST_CORRUPT, "BACKUP_DAMAGED", "%s %s", path, what),
                   "restore an older backup: --from BACKUPS/TIME");
}

static bool has_manifest(const char *directory)
{
    char path[FS_PATH_MAX];

    return fs_path(path, "%s/" BACKUP_MANIFEST, directory) == ST_OK && access(path, F_OK) == 0;
}

static enum st newest(char out[FS_PATH_MAX], const char *root)
{
    struct fs_list list;
    bool found = false, incomplete = false;
    enum st st = fs_list_dir(&list, root);

    for (size_t i = list.count; !st && !found && i-- > 0;) {
        if (!backup_is_time(list.names[i]))
            continue;
        st = fs_path(out, "%s/%s", root, list.names[i]);
        found = !st && has_manifest(out);
        incomplete |= !found;
    }
    fs_list_free(&list);
    if (st || found)
        return st;
    return incomplete
               ? st_fail(ST_CORRUPT, "BACKUP_INCOMPLETE",
                         "%s has no whole backup: none got its " BACKUP_MANIFEST, root)
               : st_hint(st_fail(ST_NOT_FOUND, "NO_BACKUP", "there is no backup in %s", root),
                         "make one: everline backup --data DIR --to %s", root);
}

/* `from` is one backup, or the directory of all. */
static enum st find_backup(struct restore *r)
{
    char from[FS_PATH_MAX];

    if (!realpath(r->options->from, from))
        return st_fail_errno(errno, "backup %s", r->options->from);
    const char *slash = strrchr(from, '/');
    if (!backup_is_time(slash + 1)) {
        strcpy(r->root, from);
        return newest(r->dir, r->root);
    }
    strcpy(r->dir, from);
    memcpy(r->root, from, (size_t)(slash - from));
    r->root[slash - from] = '\0';
    if (has_manifest(r->dir))
        return ST_OK;
    return st_hint(st_fail(ST_CORRUPT, "BACKUP_INCOMPLETE",
                           "%s is not a whole backup: it has no " BACKUP_MANIFEST, r->dir),
                   "restore another one: --from %s takes the newest that is whole", r->root);
}

static enum st read_manifest(struct restore *r)
{
    char path[FS_PATH_MAX];
    int64_t format, data_format;
    enum st st = fs_path(path, "%s/" BACKUP_MANIFEST, r->dir);

    if (!st)
        st = document_read(&r->manifest, path);
    if (st)
        return st == ST_CORRUPT ? damaged(path, "is damaged") : st;
    if (jx_need_integer(&format, r->manifest, "", "format", 1, INT64_MAX) ||
        jx_need_integer(&data_format, r->manifest, "", "data_format", 1, INT64_MAX))
        return damaged(path, "lacks a number");
    if (format != BACKUP_FORMAT || data_format != STORE_DATA_FORMAT)
        return st_hint(st_fail(ST_CONFLICT, "DATA_FORMAT",
                               "%s has backup format %lld and data format %lld; this program reads "
                               "%d and %d",
                               r->dir, (long long)format, (long long)data_format, BACKUP_FORMAT,
                               STORE_DATA_FORMAT),
                       "use the everline that wrote it");
    return ST_OK;
}

/* ---- the directory ---- */

static enum st make_directory(struct restore *r)
{
    r->made = access(r->options->data_dir, F_OK) != 0;
    enum st st = fs_mkdir_all(r->options->data_dir, 0700);
    if (!st)
        st = opening_check_empty(r->options->data_dir);
    if (!st)
        st = opening_mark_unfinished(r->options->data_dir);
    r->marked = !st;
    return st;
}

/* Only what this restore has made: the directory was empty. */
static void take_back(struct restore *r)
{
    static const char *const MADE[] = {"catalog.mdb",
                                       "catalog.mdb-lock",
                                       "catalog.mdb-writer",
                                       "segments",
                                       "heads",
                                       "build",
                                       "run",
                                       "spool",
                                       "FORMAT"};
    char path[FS_PATH_MAX];

    for (size_t i = 0; r->marked && i < sizeof MADE / sizeof MADE[0]; i++)
        if (fs_path(path, "%s/%s", r->options->data_dir, MADE[i]) == ST_OK)
            (void)(fs_remove_tree(path) == ST_OK);
    if (r->made)
        (void)rmdir(r->options->data_dir);
}

/* ---- the files ---- */

static enum st copy(struct seal *seal, const char *to, const char *from,
                    const struct store_segment_ref *ref, mode_t mode)
{
    enum st st = backup_copy(seal, to, from, ref, mode);

    return st == ST_CORRUPT ? damaged(from, "is missing, or not what was saved") : st;
}

/* The catalog, and the files that are there only in case it is needed without the catalog: all are
 * held against the manifest, since a backup is whole or none. */
static enum st copy_files(struct restore *r)
{
    json_t *files = NULL, *item;
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    bool found = false;
    size_t i;
    enum st st = jx_array(&files, r->manifest, "", "files");

    json_array_foreach(files, i, item)
    {
        struct store_segment_ref ref, now;
        struct seal unused;
        const char *path = NULL;

        if (st)
            break;
        st = jx_need_string(&path, item, "", "path");
        if (!st)
            st = backup_ref_from_json(&ref, item);
        if (!st)
            st = fs_path(from, "%s/%s", r->dir, path);
        if (!st)
            st = fs_path(to, "%s/catalog.mdb", r->store->data_dir);
        bool catalog = !st && strcmp(path, "catalog.mdb") == 0;
        found |= catalog;
        if (!st && catalog) {
            st = copy(&unused, to, from, &ref, 0600);
        } else if (!st) {
            st = backup_file_ref(&now, from);
            if (st == ST_NOT_FOUND ||
                (!st && (now.bytes != ref.bytes || strcmp(now.sha256, ref.sha256) != 0)))
                st = damaged(from, "is missing, or not what was saved");
        }
    }
    return st || found ? st : damaged(r->dir, "has a manifest without a catalog");
}

static enum st copy_segment(struct restore *r, const json_t *item)
{
    struct store_segment_ref ref;
    struct seal seal;
    char from_dir[FS_PATH_MAX], from[FS_PATH_MAX], to[FS_PATH_MAX];
    enum st st = backup_ref_from_json(&ref, item);

    if (!st)
        st = fs_path(from_dir, "%s/segments", r->root);
    if (!st)
        st = backup_segment_path(from, from_dir, ref.sha256);
    if (!st)
        st = backup_segment_path(to, r->store->segments_dir, ref.sha256);
    if (!st)
        st = backup_make_shard(r->store->segments_dir, ref.sha256);
    if (!st)
        st = copy(&seal, to, from, &ref, 0440);
    if (!st && seal.holds && json_object_set_new(r->seals, ref.sha256, seal_to_json(&seal)) != 0)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    r->bytes += st ? 0 : ref.bytes;
    return st;
}

static enum st copy_segments(struct restore *r)
{
    uint64_t all = (uint64_t)json_integer_value(json_object_get(r->manifest, "bytes"));
    json_t *segments = NULL, *item;
    size_t i;
    enum st st = jx_array(&segments, r->manifest, "", "segments");

    json_array_foreach(segments, i, item)
    {
        if (st)
            break;
        st = copy_segment(r, item);
        if (!st && r->options->tell_fn)
            r->options->tell_fn("copying", r->bytes, all, r->options->ctx);
    }
    return st;
}

/* ---- the catalog ---- */

/* What was just hashed need not be hashed again at the first start. */
static void seal_segments(struct catalog_txn *t, const struct restore *r)
{
    const char *sha256;
    json_t *seal;

    json_object_foreach(r->seals, sha256, seal) catalog_put(t, CATALOG_SEALS, sha256, seal);
}

static enum st revive(struct restore *r, struct revival *revival)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &r->store->catalog);
    revive_all(&t, revival);
    seal_segments(&t, r);
    return catalog_commit(&t);
}

/* ---- keys ---- */

static enum st note_key(struct restore *r, const char *tenant, const char *id, const char *state)
{
    json_t *item;
    size_t i;

    json_array_foreach(r->keys, i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "tenant")), tenant) != 0 ||
            strcmp(json_string_value(json_object_get(item, "id")), id) != 0)
            continue;
        if (strcmp(state, "present") != 0 &&
            json_object_set_new(item, "state", json_string(state)) != 0)
            return st_fail(ST_NOMEM, NULL, "out of memory");
        return ST_OK;
    }
    item = json_pack("{s:s, s:s, s:s}", "tenant", tenant, "id", id, "state", state);
    return json_array_append_new(r->keys, item) == 0 ? ST_OK
                                                     : st_fail(ST_NOMEM, NULL, "out of memory");
}

/* Every version's first segment must be there, and its key fit. */
static enum st check_segment(struct restore *r, const struct head *h, const struct head_version *v,
                             const struct store_segment_ref *ref)
{
    struct store_definition *definition = NULL;
    struct store_segment *segment = NULL, *checked = NULL;
    char path[FS_PATH_MAX];
    json_t *row = NULL;
    struct secret key = {0};
    const char *state = "present";
    enum st st = store_segment_path(path, r->store, ref->sha256);

    if (!st)
        st = store_segment_file_check(path, ref);
    if (!st)
        st = store_segment_open(&segment, path, h->tenant, h->dataset, 1);
    if (st == ST_CORRUPT)
        st = damaged(r->dir, "lacks a segment that its catalog names");
    if (st || !*store_segment_key_id(segment))
        goto done;
    char id[STORE_NAME_SIZE];
    snprintf(id, sizeof id, "%s", store_segment_key_id(segment));
    store_segment_close(segment); /* a file is open once in a process */
    segment = NULL;
    st = store_version_get(&row, r->store, h->tenant, h->dataset, v->version);
    if (!st)
        st = store_definition_parse(&definition, json_object_get(row, "definition"));
    if (!st && store_hmac_key_read(&key, r->store->keys_dir, h->tenant, id))
        state = "missing";
    else if (!st && store_segment_open_checked(&checked, path, r->store->keys_dir, h->tenant,
                                               definition, 1))
        state = "wrong";
    if (!st)
        st = note_key(r, h->tenant, id, state);
done:
    secret_release(&key);
    store_segment_close(checked);
    store_segment_close(segment);
    store_definition_free(definition);
    json_decref(row);
    return st;
}

static enum st check_versions(struct restore *r)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *heads = json_array(), *document;
    size_t i;

    catalog_begin_read(&t, &r->store->catalog);
    while ((document = catalog_after(&t, CATALOG_HEADS, "", key)))
        if (json_array_append_new(heads, document) != 0)
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
    enum st st = catalog_end(&t);
    json_array_foreach(heads, i, document)
    {
        struct head h = {0};
        if (!st)
            st = head_from_json(&h, document);
        for (size_t j = 0; !st && j < h.version_count; j++)
            for (size_t k = 0; !st && k < h.versions[j].segment_count; k++)
                st = check_segment(r, &h, &h.versions[j], &h.versions[j].segments[k]);
        head_release(&h);
    }
    json_decref(heads);
    return st;
}

/* ---- the whole ---- */

static enum st fill(struct restore *r, struct revival *revival)
{
    struct store_options options = {.data_dir = r->options->data_dir,
                                    .keys_dir = r->options->keys_dir};
    enum st st = opening_paths(&r->store, &options);

    if (!st)
        st = opening_register(r->store, RUN_REBUILD);
    if (!st)
        st = copy_segments(r);
    if (!st)
        st = copy_files(r);
    if (!st)
        st = opening_catalog(r->store);
    revival->store = r->store;
    if (!st)
        st = check_versions(r);
    if (!st)
        st = revive(r, revival);
    return st;
}

static enum st make_report(json_t **report, const struct restore *r, const struct revival *revival)
{
    json_int_t segments = (json_int_t)json_array_size(json_object_get(r->manifest, "segments"));

    *report = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:O}", "backup", r->dir, "data",
                        r->options->data_dir, "datasets", (json_int_t)revival->datasets, "versions",
                        (json_int_t)revival->versions, "failed", (json_int_t)revival->failed,
                        "segments", segments, "bytes", (json_int_t)r->bytes, "keys", r->keys);
    return *report ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

enum st store_restore(json_t **report, const struct store_restore_options *options)
{
    static const char WHY[] = "it was being built when the backup was made";
    struct store_actor actor = {.name = options->actor};
    struct revival revival = {.event = "restored", .code = "RESTORED", .why = WHY, .actor = &actor};
    struct restore r = {.options = options, .keys = json_array(), .seals = json_object()};
    struct st_report failure;
    enum st st = r.keys && r.seals ? find_backup(&r) : st_fail(ST_NOMEM, NULL, "out of memory");

    *report = NULL;
    if (!st)
        st = read_manifest(&r);
    if (!st)
        actor.reason = strrchr(r.dir, '/') + 1; /* which backup it was stays with the events */
    if (!st)
        st = make_directory(&r);
    if (!st)
        st = fill(&r, &revival);
    st_save(&failure, st);
    store_close(r.store);
    if (!st) {
        st = opening_mark_finished(options->data_dir);
        st_save(&failure, st);
    }
    if (st)
        take_back(&r);
    st = st ? st_restore(&failure) : make_report(report, &r, &revival);
    json_decref(r.manifest);
    json_decref(r.keys);
    json_decref(r.seals);
    return st;
}
