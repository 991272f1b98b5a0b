#include "base/fs.h"

#include "base/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_CHUNK 65536
#define COPY_PIECE ((size_t)64 << 20)

enum st fs_path(char out[FS_PATH_MAX], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(out, FS_PATH_MAX, fmt, args);
    va_end(args);
    if (n >= 0 && n < FS_PATH_MAX)
        return ST_OK;
    out[0] = '\0'; /* the start of a path is another one */
    return st_fail(ST_TOO_LARGE, NULL, "a path is longer than %d bytes", FS_PATH_MAX - 1);
}

int fs_open_below(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};

    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

void fs_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

enum st fs_sync_fd(int fd, const char *what)
{
    return fsync(fd) == 0 ? ST_OK : st_fail_errno(errno, "fsync of %s", what);
}

/* Returns errno, or 0. */
static int sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) != 0 ? errno : 0;

    fs_close(&fd);
    return err;
}

enum st fs_sync_dir(const char *path)
{
    int err = sync_dir(path);

    return err ? st_fail_errno(err, "fsync of directory %s", path) : ST_OK;
}

static enum st parent_of(char out[FS_PATH_MAX], const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    return len ? fs_path(out, "%.*s", (int)len, path) : fs_path(out, ".");
}

/* A new name is on the disk once its directory is synced. */
static enum st sync_parent(const char *path)
{
    char parent[FS_PATH_MAX];
    enum st st = parent_of(parent, path);

    return st ? st : fs_sync_dir(parent);
}

/* Also of one that is there: whoever made it may have died before this. Where that cannot be asked
 * for (a parent that may be searched but not read, a file system without it), it did not change. */
enum st fs_mkdir(const char *path, mode_t mode)
{
    char parent[FS_PATH_MAX];
    struct stat sb;
    int err = mkdir(path, mode) == 0 ? 0 : errno;

    if (err && (err != EEXIST || stat(path, &sb) != 0 || !S_ISDIR(sb.st_mode)))
        return st_fail_errno(err == EEXIST ? ENOTDIR : err, "making directory %s", path);
    enum st st = parent_of(parent, path);
    if (st)
        return st;
    int unsynced = sync_dir(parent);
    bool failed = unsynced == EIO || unsynced == ENOSPC || unsynced == EDQUOT;
    return unsynced && (failed || !err) ? st_fail_errno(unsynced, "fsync of directory %s", parent)
                                        : ST_OK;
}

enum st fs_mkdir_all(const char *path, mode_t mode)
{
    char partial[FS_PATH_MAX];
    enum st st = fs_path(partial, "%s", path);

    for (char *p = partial + 1; !st && partial[0] && *p; p++)
        if (*p == '/' && p[-1] != '/') {
            *p = '\0';
            st = fs_mkdir(partial, mode);
            *p = '/';
        }
    return st ? st : fs_mkdir(path, mode);
}

enum st fs_read(struct buf *out, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum st st = ST_OK;

    if (fd < 0)
        return st_fail_errno(errno, "%s", path);
    for (;;) {
        char chunk[READ_CHUNK];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = st_fail_errno(errno, "%s", path);
        if (n <= 0)
            break;
        buf_add(out, chunk, (size_t)n);
        explicit_bzero(chunk, (size_t)n); /* it may be a key */
        if (out->status)
            break;
    }
    close(fd);
    if (!st)
        st = buf_status(out);
    return st == ST_TOO_LARGE ? st_wrap(st, "%s", path) : st;
}

static enum st write_all(int fd, const char *path, const void *bytes, size_t len)
{
    const char *p = bytes;

    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return st_fail_errno(errno, "writing %s", path);
        p += n;
        len -= (size_t)n;
    }
    return ST_OK;
}

static enum st create(int *fd, const char *path, mode_t mode)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (*fd < 0)
        return errno == EEXIST ? st_fail(ST_CONFLICT, "EXISTS", "%s exists already", path)
                               : st_fail_errno(errno, "creating %s", path);
    return fchmod(*fd, mode) == 0 ? ST_OK : st_fail_errno(errno, "%s", path);
}

/* Ends what create began: the bytes are on disk, or the file is gone. */
static enum st finish(int fd, const char *path, enum st st)
{
    if (!st)
        st = fs_sync_fd(fd, path);
    if (close(fd) != 0 && !st)
        st = st_fail_errno(errno, "closing %s", path);
    if (st)
        (void)unlink(path);
    return st;
}

/* Creates `path`, which must not exist, with these bytes on disk; removes it again on failure. */
static enum st create_synced(const char *path, const void *bytes, size_t len, mode_t mode)
{
    int fd;
    enum st st = create(&fd, path, mode);

    if (fd < 0)
        return st;
    if (!st)
        st = write_all(fd, path, bytes, len);
    return finish(fd, path, st);
}

static enum st copy_bytes(int to, int from, const char *path)
{
    bool share = true;

    for (;;) {
        ssize_t n = share ? copy_file_range(from, NULL, to, NULL, COPY_PIECE, 0)
                          : sendfile(to, from, NULL, COPY_PIECE);
        if (n == 0)
            return ST_OK;
        if (n > 0 || errno == EINTR)
            continue;
        if (!share || (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP))
            return st_fail_errno(errno, "copying to %s", path);
        share = false; /* these two file systems, or this kernel, cannot */
    }
}

enum st fs_copy(const char *to, const char *from, mode_t mode)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out;

    if (in < 0)
        return st_fail_errno(errno, "%s", from);
    enum st st = create(&out, to, mode);
    if (!st)
        st = copy_bytes(out, in, to);
    if (out >= 0)
        st = finish(out, to, st);
    close(in);
    return st;
}

enum st fs_temporary(char out[FS_PATH_MAX], const char *path)
{
    unsigned char tail[8];
    char hex[sizeof tail * 2 + 1];
    enum st st = digest_random(tail, sizeof tail);

    if (st)
        return st;
    digest_hex(hex, tail, sizeof tail);
    return fs_path(out, "%s.%s.tmp", path, hex);
}

enum st fs_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode)
{
    char temporary[FS_PATH_MAX];
    enum st st = fs_temporary(temporary, path);

    if (!st)
        st = create_synced(temporary, bytes, len, mode);
    return st ? st : fs_name_over(temporary, path);
}

enum st fs_name_over(const char *temporary, const char *path)
{
    if (rename(temporary, path) != 0) {
        enum st st = st_fail_errno(errno, "renaming to %s", path);
        (void)unlink(temporary);
        return st;
    }
    return sync_parent(path);
}

enum st fs_name_new(const char *temporary, const char *path)
{
    enum st st = ST_OK;

    if (link(temporary, path) != 0)
        st = errno == EEXIST ? st_fail(ST_CONFLICT, "EXISTS", "%s exists already", path)
                             : st_fail_errno(errno, "creating %s", path);
    (void)unlink(temporary);
    return st ? st : sync_parent(path);
}

enum st fs_write_new(const char *path, const void *bytes, size_t len, mode_t mode)
{
    char temporary[FS_PATH_MAX];
    enum st st = fs_temporary(temporary, path);

    if (!st)
        st = create_synced(temporary, bytes, len, mode);
    return st ? st : fs_name_new(temporary, path);
}

static int remove_below(int dir_fd, const char *name)
{
    int fd, rc = 0;
    DIR *dir;
    struct dirent *entry;

    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -1;
    }
    while (rc == 0 && (errno = 0, entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = remove_below(fd, entry->d_name);
    if (rc == 0 && errno != 0)
        rc = -1;
    int err = errno;
    closedir(dir);
    errno = err;
    return rc == 0 ? unlinkat(dir_fd, name, AT_REMOVEDIR) : rc;
}

enum st fs_remove_tree(const char *path)
{
    return remove_below(AT_FDCWD, path) == 0 ? ST_OK : st_fail_errno(errno, "removing %s", path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum st fs_list_dir(struct fs_list *out, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    enum st st = ST_OK;

    *out = (struct fs_list){0};
    if (!dir)
        return st_fail_errno(errno, "%s", path);
    while (!st && (errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char **grown = reallocarray(out->names, out->count + 1, sizeof *grown);
        if (grown)
            out->names = grown;
        char *name = grown ? strdup(entry->d_name) : NULL;
        if (name)
            out->names[out->count++] = name;
        else
            st = st_fail(ST_NOMEM, NULL, "out of memory");
    }
    if (!st && errno != 0)
        st = st_fail_errno(errno, "reading directory %s", path);
    closedir(dir);
    if (st)
        fs_list_free(out);
    else if (out->count > 1)
        qsort(out->names, out->count, sizeof *out->names, by_name);
    return st;
}

void fs_list_free(struct fs_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct fs_list){0};
}

enum st fs_lock(int *fd, const char *path)
{
    *fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0)
        return st_fail_errno(errno, "opening lock file %s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return ST_OK;

    int err = errno;
    fs_close(fd);
    return err == EWOULDBLOCK
               ? st_fail(ST_CONFLICT, "LOCKED", "%s is locked by another process", path)
               : st_fail_errno(err, "locking %s", path);
}

bool fs_is_locked(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno != ENOENT; /* what cannot be looked at may be locked */
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return locked;
}
