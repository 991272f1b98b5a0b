#include "store/seal.h"

#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Verified segment files. Hashing fifty million records takes seconds, so that a verified file is
 * remembered by size, inode, mtime and ctime: whoever changes a byte through the file system
 * changes at least the ctime. What changes under the file system is for the background scrub. */

json_t *seal_stat(const char *path)
{
    struct stat sb;

    if (stat(path, &sb) != 0)
        return NULL;
    return json_pack("{s:I, s:I, s:I, s:I}", "bytes", (json_int_t)sb.st_size, "inode",
                     (json_int_t)sb.st_ino, "mtime_ns",
                     (json_int_t)sb.st_mtim.tv_sec * 1000000000 + sb.st_mtim.tv_nsec, "ctime_ns",
                     (json_int_t)sb.st_ctim.tv_sec * 1000000000 + sb.st_ctim.tv_nsec);
}

enum st store_seal_write(struct catalog_txn *t, const char *sha256, const char *path)
{
    json_t *seal = seal_stat(path);

    if (!seal)
        return st_fail_errno(errno, "segment %s", path);
    catalog_put(t, CATALOG_SEALS, sha256, seal);
    json_decref(seal);
    return t->status;
}

bool store_seal_holds(struct catalog_txn *t, const char *sha256, const char *path)
{
    json_t *seal = catalog_get(t, CATALOG_SEALS, sha256);
    json_t *now = seal ? seal_stat(path) : NULL;
    bool holds = now && json_equal(seal, now);

    json_decref(seal);
    json_decref(now);
    return holds;
}

static enum st rest(uint64_t bytes, void *ctx)
{
    (void)bytes;
    return pace_rest(ctx) ? ST_OK : st_fail(ST_UNAVAILABLE, "STOPPING", "the process is stopping");
}

enum st store_segment_file_check(const char *path, const struct store_segment_ref *ref, bool hash)
{
    return store_segment_file_check_paced(path, ref, hash, NULL);
}

enum st store_segment_file_check_paced(const char *path, const struct store_segment_ref *ref,
                                       bool hash, struct pace *pace)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    uint64_t size = 0;
    struct stat sb;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* of a FIFO too it returns at once */
    enum st st = ST_OK;

    if (fd < 0 || fstat(fd, &sb) != 0) {
        st = errno == ENOENT
                 ? st_fail(ST_CORRUPT, "SEGMENT_MISSING", "segment %.12s is missing", ref->sha256)
                 : st_fail_errno(errno, "segment %.12s", ref->sha256);
        goto done;
    }
    if (!S_ISREG(sb.st_mode)) {
        st = st_fail(ST_CORRUPT, "SEGMENT_DAMAGED", "segment %.12s is not a file", ref->sha256);
        goto done;
    }
    if ((uint64_t)sb.st_size != ref->bytes) {
        st = st_fail(ST_CORRUPT, "SEGMENT_DAMAGED", "segment %.12s has %llu bytes instead of %llu",
                     ref->sha256, (unsigned long long)sb.st_size, (unsigned long long)ref->bytes);
        goto done;
    }
    if (hash) {
        st = digest_file_told(digest, &size, fd, rest, pace);
        if (st)
            goto done;
        digest_hex(hex, digest, sizeof digest);
        if (strcmp(hex, ref->sha256) != 0)
            st = st_fail(ST_CORRUPT, "SEGMENT_DAMAGED", "segment %.12s does not have its SHA-256",
                         ref->sha256);
    }
done:
    fs_close(&fd);
    return st;
}

enum st store_segment_open_checked(struct store_segment **out, const char *path,
                                   const char *keys_dir, const char *tenant,
                                   const struct store_definition *definition, unsigned slots)
{
    bool protected = definition->key.protect != STORE_PROTECT_NONE;
    unsigned char check[STORE_KEY_BYTES];
    struct store_segment *segment = NULL;
    struct store_hasher *hasher = NULL;
    struct secret key = {0};
    enum st st = store_segment_open(&segment, path, tenant, definition->name, slots);

    if (!st && protected)
        st = store_hmac_key_read(&key, keys_dir, tenant, store_segment_key_id(segment));
    if (!st)
        st = store_hasher_new(&hasher, &definition->key, tenant, definition->name,
                              protected ? &key : NULL);
    if (!st)
        st = store_hasher_check_value(check, hasher);
    if (!st)
        st = store_segment_check(segment, store_segment_key_id(segment), check);
    store_hasher_free(hasher);
    secret_release(&key);
    if (st) {
        store_segment_close(segment);
        segment = NULL;
    }
    *out = segment;
    return st;
}
