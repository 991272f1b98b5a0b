#include "store/backup_write.h"

#include "base/log.h"
#include "store/document.h"

#include <errno.h>
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

static const char *const REPORTED[] = {"created_at", "datasets", "versions", "bytes", "keys"};

enum st backup_no_memory(void)
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
        backup_load_verified(b);
    return st;
}

/* ---- the whole ---- */

static enum st write_manifest(struct backup *b)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/" BACKUP_MANIFEST, b->dir);

    if (!st && json_object_set_new(b->manifest, "bytes", json_integer((json_int_t)b->bytes)) != 0)
        st = backup_no_memory();
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
    return backup_no_memory();
}

enum st store_backup(json_t **report, struct store *s, const struct store_backup_options *options)
{
    struct backup b = {.store = s, .options = options, .lock_fd = -1, .segments = json_object()};
    struct st_report failure;
    enum st st = b.segments ? open_root(&b) : backup_no_memory();

    *report = NULL;
    if (!st)
        st = backup_take_snapshot(&b);
    if (!st)
        st = backup_save_segments(&b);
    if (!st)
        st = backup_list_keys(&b);
    if (!st)
        st = write_manifest(&b);
    st_save(&failure, st);
    if (b.pinned)
        backup_give_back_pins(&b);
    if (st && b.made && fs_remove_tree(b.dir))
        log_failure(LOG_LEVEL_WARN, "backup", "an incomplete backup stays until the next one");
    fs_close(&b.lock_fd);
    st = st ? st_restore(&failure) : make_report(report, &b);
    json_decref(b.segments);
    json_decref(b.verified);
    json_decref(b.manifest);
    return st;
}
