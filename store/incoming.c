#include "store/upload_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITEBACK_BYTES (8u << 20)

enum st store_upload_name_check(const char *name)
{
    static const char CHARS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);

    return len > 0 && len < STORE_UPLOAD_NAME_SIZE && strspn(name, CHARS) == len &&
                   !strchr("._-", name[0])
               ? ST_OK
               : st_hint(st_fail(ST_INVALID, "INVALID_FILE_NAME", "this is no name of a file"),
                         "up to %d letters, digits, dots, dashes and underscores; the first is a "
                         "letter or digit",
                         STORE_UPLOAD_NAME_SIZE - 1);
}

enum st store_incoming_open(struct store_incoming *in, const char *data_dir, const char *owner,
                            const char *name)
{
    char parent[FS_PATH_MAX], hex[17];
    unsigned char id[8];
    enum st st = store_upload_name_check(name);

    *in = (struct store_incoming){.fd = -1};
    if (!st)
        st = digest_random(id, sizeof id);
    if (!st) {
        digest_hex(hex, id, sizeof id);
        st = fs_path(parent, "%s/spool/" UPLOAD_INCOMING, data_dir);
    }
    if (!st)
        st = fs_mkdir(parent, 0700);
    if (!st)
        st = fs_path(in->directory, "%s/%s.%s", parent, owner, hex);
    if (!st && mkdir(in->directory, 0700) != 0)
        st = st_fail_errno(errno, "making the upload's directory");
    if (!st)
        st = fs_path(in->path, "%s/%s", in->directory, name);
    if (!st) {
        in->fd = open(in->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (in->fd < 0)
            st = st_fail_errno(errno, "making the upload's file");
    }
    return st ? st : digest_stream_new(&in->digest);
}

enum st store_incoming_add(struct store_incoming *in, const void *bytes, size_t len)
{
    const char *at = bytes;
    enum st st = digest_stream_add(in->digest, bytes, len);

    while (!st && len) {
        ssize_t n = write(in->fd, at, len);
        if (n < 0 && errno != EINTR)
            st = st_fail_errno(errno, "writing an upload");
        if (n <= 0)
            continue;
        uint64_t before = in->bytes;
        at += n;
        len -= (size_t)n;
        in->bytes += (uint64_t)n;
        /* Written back as it comes, so that the last sync is short. */
        if (before / WRITEBACK_BYTES != in->bytes / WRITEBACK_BYTES)
            (void)sync_file_range(in->fd, (off_t)(before / WRITEBACK_BYTES * WRITEBACK_BYTES),
                                  WRITEBACK_BYTES, SYNC_FILE_RANGE_WRITE);
    }
    return st;
}

enum st store_incoming_finish(struct store_incoming *in)
{
    enum st st = fs_sync_fd(in->fd, "an upload");

    fs_close(&in->fd);
    if (!st)
        st = digest_stream_sum(in->sha256, in->digest);
    return st ? st : fs_sync_dir(in->directory);
}

void store_incoming_keep(struct store_incoming *in)
{
    fs_close(&in->fd);
    digest_stream_free(in->digest);
    memset(in, 0, sizeof *in);
    in->fd = -1;
}

void store_incoming_release(struct store_incoming *in)
{
    if (!in->directory[0])
        return;
    fs_close(&in->fd);
    digest_stream_free(in->digest);
    if (fs_remove_tree(in->directory)) {
        /* it is swept when this process has ended */
    }
    memset(in, 0, sizeof *in);
    in->fd = -1;
}
