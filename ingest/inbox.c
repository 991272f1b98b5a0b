#include "ingest/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel resolves the path, below the tenant's directory and through no symbolic link; the task
 * then takes the file by its name, and must have got the same one. */

static enum st refuse(const char *path)
{
    return st_hint(
        st_fail(ST_INVALID, "INBOX_PATH", "%s is not a file below the inbox", path),
        "name it by its path below the tenant's directory, without .. or symbolic links");
}

static enum st add_one(struct task *t, size_t source, int root, const char *path, const char *full)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    struct stat meant;
    int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);

    if (fd < 0)
        return errno == ENOENT
                   ? st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "there is no file %s", path)
                   : refuse(path);
    int rc = fstat(fd, &meant);
    fs_close(&fd);
    if (rc != 0)
        return st_fail_errno(errno, "cannot read %s", path);
    enum st st = task_add_file(t, source, full);
    if (st)
        return st;
    const struct task_source *s = &t->sources[source];
    const struct task_stamp *got = &s->files[s->file_count - 1].stamp;
    return got->device == meant.st_dev && got->inode == meant.st_ino ? ST_OK : refuse(path);
}

static enum st add_matching(struct task *t, size_t source, int root, const char *directory,
                            const char *pattern)
{
    size_t skip = strlen(directory) + 1;
    glob_t found = {0};
    enum st st = ST_OK;

    if (glob(pattern, 0, NULL, &found) != 0)
        st = st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "no file matches %s", pattern + skip);
    for (size_t i = 0; !st && i < found.gl_pathc; i++)
        st = add_one(t, source, root, found.gl_pathv[i] + skip, found.gl_pathv[i]);
    globfree(&found);
    return st;
}

enum st inbox_add(struct task *t, size_t source, const char *inbox, const char *tenant,
                  const char *path)
{
    char directory[FS_PATH_MAX], full[FS_PATH_MAX];
    char *resolved = NULL;
    int root = -1;
    enum st st;

    if (!inbox)
        return st_hint(st_fail(ST_INVALID, "NO_INBOX", "this server has no inbox"),
                       "upload the file, or start the server with --inbox DIR");
    st = fs_path(directory, "%s/%s", inbox, tenant);
    if (st)
        return st;
    resolved = realpath(directory, NULL);
    root = resolved ? open(resolved, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (root < 0)
        st = st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "the inbox has no directory of this tenant");
    if (!st)
        st = fs_path(full, "%s/%s", resolved, path);
    if (!st)
        st = strpbrk(path, "*?[") ? add_matching(t, source, root, resolved, full)
                                  : add_one(t, source, root, path, full);
    fs_close(&root);
    free(resolved);
    return st;
}
