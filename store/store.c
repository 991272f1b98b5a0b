#include "store/opening.h"

#include "store/catalog_internal.h"
#include "store/offer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* DATA/FORMAT says which version of Everline's formats the directory holds; it is read before
 * anything else of it is touched. */
#define FORMAT_PREFIX "everline data "
#define FORMAT_UNFINISHED "everline restore unfinished\n"

static const struct {
    unsigned long magic;
    const char *name;
} REMOTE_FILE_SYSTEMS[] = {
    {0x6969, "NFS"},    {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB2"},
    {0x01021997, "9p"}, {0x00C36400, "Ceph"}, {0x0BD00BD0, "Lustre"},
};

static enum st check_file_system(const char *data_dir)
{
    struct statfs fs;

    if (statfs(data_dir, &fs) != 0)
        return st_fail_errno(errno, "data directory %s", data_dir);
    for (size_t i = 0; i < sizeof REMOTE_FILE_SYSTEMS / sizeof REMOTE_FILE_SYSTEMS[0]; i++)
        if ((unsigned long)fs.f_type == REMOTE_FILE_SYSTEMS[i].magic)
            return st_hint(st_fail(ST_UNAVAILABLE, "REMOTE_FILE_SYSTEM",
                                   "data directory %s is on %s; LMDB's locks need a local one",
                                   data_dir, REMOTE_FILE_SYSTEMS[i].name),
                           "put --data on a local disk");
    return ST_OK;
}

/* What a start that was killed leaves of DATA/FORMAT. */
static bool is_format_temporary(const char *name)
{
    size_t len = strlen(name);

    return strncmp(name, "FORMAT.", 7) == 0 && len > 11 && strcmp(name + len - 4, ".tmp") == 0;
}

enum st opening_check_empty(const char *data_dir)
{
    struct fs_list list;
    enum st st = fs_list_dir(&list, data_dir);

    for (size_t i = 0; !st && i < list.count; i++)
        if (strcmp(list.names[i], "keys") != 0 && strcmp(list.names[i], "lost+found") != 0 &&
            !is_format_temporary(list.names[i]))
            st = st_hint(st_fail(ST_CONFLICT, "NOT_EMPTY",
                                 "%s is no data directory and is not empty", data_dir),
                         "give --data a directory that is new or empty");
    fs_list_free(&list);
    return st;
}

static enum st format_path(char out[FS_PATH_MAX], const char *data_dir)
{
    return fs_path(out, "%s/FORMAT", data_dir);
}

enum st opening_mark_finished(const char *data_dir)
{
    char path[FS_PATH_MAX], text[64];
    int n = snprintf(text, sizeof text, FORMAT_PREFIX "%u\n", STORE_DATA_FORMAT);
    enum st st = format_path(path, data_dir);

    return st ? st : fs_write_atomic(path, text, (size_t)n, 0644);
}

enum st opening_mark_unfinished(const char *data_dir)
{
    char path[FS_PATH_MAX];
    enum st st = format_path(path, data_dir);

    return st ? st : fs_write_new(path, FORMAT_UNFINISHED, strlen(FORMAT_UNFINISHED), 0644);
}

static enum st check_format_text(const char *path, const char *data_dir, const struct buf *text)
{
    unsigned format;

    if (text->data && strcmp(text->data, FORMAT_UNFINISHED) == 0)
        return st_hint(st_fail(ST_CONFLICT, "DATA_FORMAT",
                               "%s is not whole: a restore into it has not ended", data_dir),
                       "empty it and restore again, if nobody is doing it now");
    if (!text->data || sscanf(text->data, FORMAT_PREFIX "%u", &format) != 1)
        return st_fail(ST_CONFLICT, "DATA_FORMAT", "%s does not say which format the directory has",
                       path);
    if (format != STORE_DATA_FORMAT)
        return st_hint(st_fail(ST_CONFLICT, "DATA_FORMAT",
                               "%s has data format %u; this program reads and writes format %u",
                               data_dir, format, STORE_DATA_FORMAT),
                       format > STORE_DATA_FORMAT ? "use the newer everline that wrote it"
                                                  : "use the everline that wrote it");
    return ST_OK;
}

enum st opening_check_format(const char *data_dir, bool create)
{
    char path[FS_PATH_MAX], catalog[FS_PATH_MAX];
    struct buf text;
    enum st st = format_path(path, data_dir);

    buf_init(&text, 256);
    if (!st)
        st = fs_path(catalog, "%s/catalog.mdb", data_dir);
    if (!st)
        st = fs_read(&text, path);
    if (st == ST_NOT_FOUND && create && access(catalog, F_OK) != 0) {
        st = opening_check_empty(data_dir);
        if (!st)
            st = opening_mark_finished(data_dir);
    } else if (st == ST_NOT_FOUND) {
        st = st_hint(st_fail(ST_NOT_FOUND, "NO_DATA_DIRECTORY",
                             "%s is not a data directory: it has no file FORMAT", data_dir),
                     "make one: everline tenant put NAME --data %s", data_dir);
    } else if (!st) {
        st = check_format_text(path, data_dir, &text);
    } else if (access(path, R_OK) != 0 && errno == EACCES) {
        st = st_hint(st, "a data directory is its owner's alone: run this as that user (ls -ld %s)",
                     data_dir);
    }
    buf_release(&text);
    return st;
}

enum st opening_paths(struct store **out, const struct store_options *options)
{
    struct store *s = calloc(1, sizeof *s);
    enum st st = ST_OK;

    *out = NULL;
    if (!s)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    s->run.fd = -1;
    s->catalog.lock.wait_ms = options->write_wait_ms ? options->write_wait_ms : STORE_WRITE_WAIT_MS;
    s->catalog.lock.stop = options->stop;
    if (!realpath(options->data_dir, s->data_dir)) {
        st = st_fail_errno(errno, "data directory %s", options->data_dir);
        if (st == ST_NOT_FOUND)
            st = st_hint(st, "make one: everline tenant put NAME --data %s", options->data_dir);
    }
    if (!st)
        st = options->keys_dir ? fs_path(s->keys_dir, "%s", options->keys_dir)
                               : fs_path(s->keys_dir, "%s/keys", s->data_dir);
    if (!st)
        st = fs_path(s->run_dir, "%s/run", s->data_dir);
    if (!st)
        st = fs_path(s->segments_dir, "%s/segments", s->data_dir);
    if (!st)
        st = fs_path(s->build_dir, "%s/build", s->data_dir);
    if (!st)
        st = fs_path(s->heads_dir, "%s/heads", s->data_dir);
    if (!st)
        st = fs_path(s->spool_dir, "%s/spool", s->data_dir);
    if (!st)
        st = check_file_system(s->data_dir);
    if (st) {
        store_close(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

static enum st refuse_during_rebuild(const struct store *s)
{
    struct fs_list rebuilds;
    enum st st = run_list(&rebuilds, s->run_dir, RUN_REBUILD);

    if (!st && rebuilds.count)
        st = st_hint(st_fail(ST_UNAVAILABLE, "REBUILDING", "the catalog of %s is being rebuilt",
                             s->data_dir),
                     "try again when that has ended");
    fs_list_free(&rebuilds);
    return st;
}

static bool is_read_only(const char *path)
{
    struct statvfs fs;

    return statvfs(path, &fs) == 0 && (fs.f_flag & ST_RDONLY);
}

/* Both sides make their entry first and look for the other's then: one of them at least sees it. */
enum st opening_register(struct store *s, enum run_kind kind)
{
    static const mode_t PRIVATE = 0700;
    enum st st = fs_mkdir(s->run_dir, PRIVATE);

    if (!st)
        st = fs_mkdir(s->segments_dir, PRIVATE);
    if (!st)
        st = fs_mkdir(s->build_dir, PRIVATE);
    if (!st)
        st = fs_mkdir(s->heads_dir, PRIVATE);
    if (!st)
        st = fs_mkdir(s->spool_dir, PRIVATE);
    if (!st)
        st = run_register(&s->run, s->run_dir, kind);
    if (st && kind == RUN_PROCESS && (st == ST_FULL || is_read_only(s->run_dir))) {
        s->catalog.lock.refused = true; /* reading goes on */
        st = ST_OK;
    }
    return !st && kind != RUN_REBUILD ? refuse_during_rebuild(s) : st;
}

/* An empty catalog is not made in the place of one that was lost. */
static enum st refuse_lost_catalog(const struct store *s, const char *path)
{
    struct fs_list heads;

    if (access(path, F_OK) == 0)
        return ST_OK;
    enum st st = fs_list_dir(&heads, s->heads_dir);
    if (!st && heads.count)
        st = catalog_damaged(path, "%s is missing", path);
    fs_list_free(&heads);
    return st;
}

enum st opening_catalog(struct store *s)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/catalog.mdb", s->data_dir);

    if (!st)
        st = refuse_lost_catalog(s, path);
    if (!st)
        st = catalog_open(&s->catalog, path);
    return st ? st : fs_sync_dir(s->data_dir); /* LMDB never does */
}

enum st store_open(struct store **out, const struct store_options *options)
{
    struct store *s = NULL;
    enum st st = options->create ? fs_mkdir_all(options->data_dir, 0700) : ST_OK;

    *out = NULL;
    if (!st)
        st = opening_paths(&s, options);
    if (!st)
        st = opening_check_format(s->data_dir, options->create);
    if (!st)
        st = opening_register(s, RUN_PROCESS);
    if (!st)
        st = opening_catalog(s);
    if (st) {
        store_close(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    offers_close(s);
    catalog_close(&s->catalog);
    run_unregister(&s->run, s->run_dir);
    free(s);
}

const char *store_data_dir(const struct store *s)
{
    return s->data_dir;
}

const char *store_keys_dir(const struct store *s)
{
    return s->keys_dir;
}

enum st store_segment_path(char out[FS_PATH_MAX], const struct store *s, const char *sha256)
{
    return fs_path(out, "%s/%.2s/%s.mdb", s->segments_dir, sha256, sha256);
}

bool store_changed(struct store *s)
{
    return catalog_moved(&s->catalog, s->seen);
}

void store_dataset_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *dataset)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s", tenant, dataset);
}

void store_numbered_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *dataset,
                        uint64_t number)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s/%020llu", tenant, dataset, (unsigned long long)number);
}

void store_order_key(char out[CATALOG_KEY_SIZE], uint64_t order)
{
    snprintf(out, CATALOG_KEY_SIZE, "%020llu", (unsigned long long)order);
}

void store_set(struct catalog_txn *t, json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
}
