#include "store/held.h"

#include "base/log.h"
#include "store/seal.h"
#include "store/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A segment that this process serves is mapped here a second time: without locks (MDB_NOLOCK) two
 * environments on one unchanging file have nothing in common. */

#define FD_PATH_SIZE 32

static void fd_path(char out[FD_PATH_SIZE], int fd)
{
    snprintf(out, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
}

/* ---- finding it: on the catalog thread ---- */

/* What is wrong is for the log: it names files. */
static enum st unavailable(const struct held_version *h)
{
    log_failure(LOG_LEVEL_ERROR, h->reader, "version %llu of %s/%s cannot be read",
                (unsigned long long)h->version, h->tenant, h->dataset);
    return st_hint(st_fail(ST_UNAVAILABLE, "VERSION_UNAVAILABLE",
                           "version %llu of \"%s\" is damaged and cannot be read",
                           (unsigned long long)h->version, h->dataset),
                   "everline verify --deep says what is wrong with it");
}

static enum st hold_files(struct held_version *h, struct catalog_txn *t, const struct store *s,
                          const struct head_version *v)
{
    char path[FS_PATH_MAX], held[FD_PATH_SIZE];

    h->files = calloc(v->segment_count + 1, sizeof *h->files);
    h->segments = calloc(v->segment_count + 1, sizeof(struct store_segment *));
    if (!h->files || !h->segments)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < v->segment_count; i++) {
        struct held_file *file = &h->files[i];
        enum st st = store_segment_path(path, s, v->segments[i].sha256);

        file->ref = v->segments[i];
        file->fd = st ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        h->count++;
        if (!st && file->fd < 0)
            st = st_fail_errno(errno, "segment %.12s", file->ref.sha256);
        if (st)
            return unavailable(h);
        fd_path(held, file->fd);
        file->sealed = store_seal_holds(t, file->ref.sha256, held);
    }
    return ST_OK;
}

static enum st check_state(const struct held_version *h, const struct head *head,
                           const struct head_version *v)
{
    unsigned long long number = h->version;

    if (head_is_gone(head, h->version))
        return st_hint(st_fail(ST_GONE, "VERSION_RETIRED",
                               "version %llu of \"%s\" is not kept "
                               "any more",
                               number, h->dataset),
                       "kept versions: everline versions %s", h->dataset);
    if (!v || v->state == VERSION_IN_PROGRESS || v->state == VERSION_FAILED)
        return st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION",
                       "version %llu of \"%s\" is %s: it has no records", number, h->dataset,
                       v ? version_state_name(v->state) : "not there");
    return ST_OK;
}

enum st held_find(struct held_version *h, struct catalog_txn *t, const struct store *s,
                  const struct head *head)
{
    const struct head_version *v = head_find(head, h->version);
    json_t *row = store_row_load(t, h->tenant, h->dataset, h->version);
    enum st st = t->status;

    if (!st && !row)
        st = st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION", "dataset \"%s\" has no version %llu",
                     h->dataset, (unsigned long long)h->version);
    if (!st)
        st = check_state(h, head, v);
    if (!st)
        st = store_definition_parse(&h->definition, json_object_get(row, "definition"));
    if (!st)
        st = hold_files(h, t, s, v);
    json_decref(row);
    return st;
}

enum st held_find_file(struct held_version *h, const json_t *definition, const char *path)
{
    struct stat sb;
    enum st st = store_definition_parse(&h->definition, (json_t *)(uintptr_t)definition);

    if (st)
        return st;
    h->files = calloc(1, sizeof *h->files);
    h->segments = calloc(1, sizeof(struct store_segment *));
    if (!h->files || !h->segments)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    h->files->fd = open(path, O_RDONLY | O_CLOEXEC);
    h->count = 1;
    if (h->files->fd < 0 || fstat(h->files->fd, &sb) != 0)
        return st_fail_errno(errno, "opening the built segment");
    h->files->ref.bytes = (uint64_t)sb.st_size;
    h->files->sealed = true;
    return ST_OK;
}

/* ---- opening it: on the thread that reads ---- */

struct telling {
    enum st (*tell_fn)(void *ctx);
    void *ctx;
    enum st stopped; /* what it returned */
};

static enum st tell_hashing(uint64_t bytes, void *ctx)
{
    struct telling *t = ctx;

    (void)bytes;
    return t->stopped = t->tell_fn(t->ctx);
}

static enum st check_hash(const struct held_file *file, struct telling *telling)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    uint64_t size;
    enum st st = digest_file_told(digest, &size, file->fd, tell_hashing, telling);

    if (st)
        return st;
    digest_hex(hex, digest, sizeof digest);
    return strcmp(hex, file->ref.sha256) == 0 ? ST_OK : segment_damaged("does not have its hash");
}

static enum st open_file(struct store_segment **out, const struct held_version *h,
                         const struct held_file *file, const char *keys_dir,
                         struct telling *telling)
{
    char path[FD_PATH_SIZE];

    fd_path(path, file->fd);
    enum st st = store_segment_file_check(path, &file->ref);
    if (!st && !file->sealed)
        st = check_hash(file, telling);
    return st ? st : store_segment_open_checked(out, path, keys_dir, h->tenant, h->definition, 1);
}

enum st held_open(struct held_version *h, const char *keys_dir, enum st (*tell_fn)(void *ctx),
                  void *ctx)
{
    struct telling telling = {tell_fn, ctx, ST_OK};

    for (size_t i = 0; i < h->count; i++) {
        enum st st = open_file(&h->segments[i], h, &h->files[i], keys_dir, &telling);
        if (st)
            return st == ST_NOMEM || telling.stopped ? st : unavailable(h);
    }
    return ST_OK;
}

void held_release(struct held_version *h)
{
    for (size_t i = 0; i < h->count; i++) {
        store_segment_close(h->segments[i]);
        fs_close(&h->files[i].fd);
    }
    free(h->segments);
    free(h->files);
    store_definition_free(h->definition);
    *h = (struct held_version){0};
}
