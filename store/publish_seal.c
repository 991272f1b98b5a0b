#include "store/publish_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sealing: a built file gets its place in segments/ under its hash. Its pin is written before, so
 * that removal leaves it alone, and given back with the change that names it, or gives it up. */

static void pin_key(char out[CATALOG_KEY_SIZE], const struct store_build *b, const char *sha256)
{
    snprintf(out, CATALOG_KEY_SIZE, "%s/%s", sha256, b->lease.job);
}

static enum st pin(struct store_build *b, const char *sha256)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    json_t *empty = json_object();

    pin_key(key, b, sha256);
    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    catalog_put(&t, CATALOG_PINS, key, empty);
    json_decref(empty);
    return catalog_commit(&t);
}

/* A file of that name that is there already, whole, is the same file. */
static enum st move_into_place(struct seal *seal, struct store_build *b, const char *from, int fd,
                               const struct store_segment_ref *ref)
{
    struct seal there;
    char to[FS_PATH_MAX], directory[FS_PATH_MAX];
    enum st st = store_segment_path(to, b->store, ref->sha256);

    if (!st)
        st = fs_path(directory, "%s/%.2s", b->store->segments_dir, ref->sha256);
    if (!st)
        st = fs_mkdir(directory, 0700);
    bool whole =
        !st && access(to, F_OK) == 0 && store_segment_file_verify(&there, to, ref, NULL) == ST_OK;
    if (!st && whole && unlink(from) != 0)
        st = st_fail_errno(errno, "removing a segment's second copy");
    if (!st && !whole && rename(from, to) != 0)
        st = st_fail_errno(errno, "moving a segment into place");
    if (!st && whole)
        *seal = there;
    else if (!st)
        seal_renamed(seal, fd);
    return st ? st : fs_sync_dir(directory); /* also of one whose maker may have died before */
}

struct hashing {
    enum st (*tick_fn)(void *ctx);
    void *ctx;
};

static enum st tick_while_hashing(uint64_t bytes, void *ctx)
{
    const struct hashing *h = ctx;

    (void)bytes;
    return h->tick_fn ? h->tick_fn(h->ctx) : ST_OK;
}

enum st store_build_seal(struct store_build *b, const char *file, enum st (*tick_fn)(void *ctx),
                         void *ctx)
{
    struct hashing hashing = {tick_fn, ctx};
    unsigned char digest[DIGEST_BYTES];
    struct store_segment_ref ref;
    struct seal seal = {0};
    char path[FS_PATH_MAX];
    int fd = -1;
    enum st st = ST_OK;

    if (b->segment_count == BUILD_SEGMENTS_MAX)
        return st_fail(ST_TOO_LARGE, NULL, "a version has at most %d segments", BUILD_SEGMENTS_MAX);
    st = fs_path(path, "%s/%s", b->directory, file);
    if (!st) {
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            st = st_fail_errno(errno, "opening the built segment");
    }
    if (!st && fchmod(fd, 0440) != 0)
        st = st_fail_errno(errno, "protecting the built segment");
    if (!st)
        st = fs_sync_fd(fd, "the built segment");
    if (!st)
        st = seal_begin(&seal, fd);
    if (!st)
        st = digest_file_told(digest, &ref.bytes, fd, tick_while_hashing, &hashing);
    if (!st) {
        seal_end(&seal, fd);
        digest_hex(ref.sha256, digest, sizeof digest);
        st = pin(b, ref.sha256);
    }
    if (!st)
        st = move_into_place(&seal, b, path, fd, &ref);
    if (!st) {
        b->seals[b->segment_count] = seal;
        b->segments[b->segment_count++] = ref;
    }
    fs_close(&fd);
    return st;
}

void build_give_back_pins(struct catalog_txn *t, const struct store_build *b)
{
    char key[CATALOG_KEY_SIZE];

    for (size_t i = 0; i < b->segment_count; i++) {
        pin_key(key, b, b->segments[i].sha256);
        catalog_delete(t, CATALOG_PINS, key);
    }
}

void build_note_verified(struct catalog_txn *t, const struct store_build *b)
{
    for (size_t i = 0; i < b->segment_count; i++)
        store_seal_write(t, b->segments[i].sha256, &b->seals[i]);
}
