#include "ingest/inbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel resolves every path, below the tenant's directory and through no symbolic link, also
 * those that a glob looks at: `.*` matches `..`, and what is found elsewhere would be told. The
 * task then takes the file by its name, and must have got the same one. */

static int glob_root; /* the tenant's directory, while its files are matched: glob passes nothing */

static enum st name_it(enum st st)
{
    return st_hint(
        st, "name it by its path below the tenant's directory, without .. or symbolic links");
}

static enum st refuse(const char *path)
{
    return name_it(st_fail(ST_INVALID, "INBOX_PATH", "%s is not a file below the inbox", path));
}

static enum st add_one(struct task *t, size_t source, int root, const char *directory,
                       const char *path)
{
    char full[FS_PATH_MAX];
    struct stat meant;
    int fd = fs_open_below(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return errno == ENOENT
                   ? name_it(st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "there is no file %s", path))
                   : refuse(path);
    int rc = fstat(fd, &meant);
    fs_close(&fd);
    if (rc != 0)
        return st_fail_errno(errno, "cannot read %s", path);
    enum st st = fs_path(full, "%s/%s", directory, path);
    if (!st)
        st = task_add_file(t, source, full, path);
    if (st)
        return st;
    const struct task_source *s = &t->sources[source];
    const struct task_stamp *got = &s->files[s->file_count - 1].stamp;
    return got->device == meant.st_dev && got->inode == meant.st_ino ? ST_OK : refuse(path);
}

static void *glob_opendir(const char *path)
{
    int fd = fs_open_below(glob_root, path, O_RDONLY | O_DIRECTORY);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

    if (!directory)
        fs_close(&fd);
    return directory;
}

static struct dirent *glob_readdir(void *directory)
{
    return readdir(directory);
}

static void glob_closedir(void *directory)
{
    closedir(directory);
}

static int glob_stat(const char *path, struct stat *out)
{
    int fd = fs_open_below(glob_root, path, O_PATH | O_NOFOLLOW);
    int rc = fd >= 0 ? fstat(fd, out) : -1;

    fs_close(&fd);
    return rc;
}

static enum st add_matching(struct task *t, size_t source, int root, const char *directory,
                            const char *pattern)
{
    glob_t found = {.gl_opendir = glob_opendir,
                    .gl_readdir = glob_readdir,
                    .gl_closedir = glob_closedir,
                    .gl_stat = glob_stat,
                    .gl_lstat = glob_stat};
    enum st st = ST_OK;

    glob_root = root;
    if (glob(pattern, GLOB_ALTDIRFUNC, NULL, &found) != 0)
        st = name_it(st_fail(ST_NOT_FOUND, "MISSING_SOURCE", "no file matches %s", pattern));
    for (size_t i = 0; !st && i < found.gl_pathc; i++)
        st = add_one(t, source, root, directory, found.gl_pathv[i]);
    globfree(&found);
    return st;
}

enum st inbox_add(struct task *t, size_t source, const char *inbox, const char *tenant,
                  const char *path)
{
    char directory[FS_PATH_MAX];
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
        st = strpbrk(path, "*?[") ? add_matching(t, source, root, resolved, path)
                                  : add_one(t, source, root, resolved, path);
    fs_close(&root);
    free(resolved);
    return st;
}
