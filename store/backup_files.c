#include "store/backup_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool backup_is_time(const char *name)
{
    static const char SHAPE[] = "dddddddd dddddd.ddddddZ";

    for (size_t i = 0; i < sizeof SHAPE; i++) {
        bool digit = name[i] >= '0' && name[i] <= '9';
        char c = SHAPE[i] == ' ' ? 'T' : SHAPE[i];
        if (c == 'd' ? !digit : name[i] != c)
            return false;
    }
    return true;
}

/* The descriptor is the caller's, also after a failure. */
static enum st hash_file(struct store_segment_ref *out, struct seal *seal, int *fd,
                         const char *path)
{
    unsigned char digest[DIGEST_BYTES];

    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return st_fail_errno(errno, "%s", path);
    enum st st = seal_begin(seal, *fd);
    if (!st)
        st = digest_file(digest, &out->bytes, *fd);
    if (!st)
        digest_hex(out->sha256, digest, sizeof digest);
    seal_end(seal, *fd);
    (void)posix_fadvise(*fd, 0, 0, POSIX_FADV_DONTNEED); /* memory is for what is served */
    return st;
}

enum st backup_file_ref(struct store_segment_ref *out, const char *path)
{
    struct seal seal;
    int fd;
    enum st st = hash_file(out, &seal, &fd, path);

    fs_close(&fd);
    return st;
}

enum st backup_copy(struct seal *seal, const char *to, const char *from,
                    const struct store_segment_ref *ref, mode_t mode)
{
    struct store_segment_ref copied;
    char temporary[FS_PATH_MAX];
    int fd;
    enum st st = fs_temporary(temporary, to);

    if (!st)
        st = fs_copy(temporary, from, mode);
    if (st == ST_NOT_FOUND)
        st = st_fail(ST_CORRUPT, "FILE_MISSING", "%s is missing", from);
    if (st)
        return st;
    st = hash_file(&copied, seal, &fd, temporary);
    if (!st && (copied.bytes != ref->bytes || strcmp(copied.sha256, ref->sha256) != 0))
        st = st_fail(ST_CORRUPT, "FILE_DAMAGED", "%s does not have its size and SHA-256", from);
    if (st)
        (void)unlink(temporary);
    else
        st = fs_name_over(temporary, to);
    if (!st)
        seal_renamed(seal, fd);
    fs_close(&fd);
    return st;
}

enum st backup_ref_from_json(struct store_segment_ref *out, const json_t *item)
{
    unsigned char digest[DIGEST_BYTES];
    const char *sha256;
    int64_t bytes;

    if (jx_need_string(&sha256, item, "", "sha256") ||
        jx_need_integer(&bytes, item, "", "bytes", 0, INT64_MAX) ||
        digest_unhex(digest, sizeof digest, sha256))
        return st_wrap(ST_CORRUPT, "a file of the manifest");
    memcpy(out->sha256, sha256, DIGEST_HEX_SIZE);
    out->bytes = (uint64_t)bytes;
    return ST_OK;
}

enum st backup_segment_path(char out[FS_PATH_MAX], const char *directory, const char *sha256)
{
    return fs_path(out, "%s/%.2s/%s.mdb", directory, sha256, sha256);
}

enum st backup_make_shard(const char *directory, const char *sha256)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/%.2s", directory, sha256);

    return st ? st : fs_mkdir(path, 0700);
}
