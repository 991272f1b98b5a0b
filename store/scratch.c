#include "store/scratch.h"

#include "base/log.h"
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* JOB.ATTEMPT. */
static bool is_build_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return strncmp(name, "job-", 4) == 0 && dot && dot[1] &&
           strspn(dot + 1, "0123456789") == strlen(dot + 1);
}

/* The lock of a build's directory, or -1 when somebody holds it. */
static int lock_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
        fs_close(&fd);
    return fd;
}

void scratch_sweep(const struct store *s)
{
    struct fs_list list;
    char path[FS_PATH_MAX];

    if (fs_list_dir(&list, s->build_dir))
        return;
    for (size_t i = 0; i < list.count; i++) {
        if (!is_build_name(list.names[i]) ||
            fs_path(path, "%s/%s", s->build_dir, list.names[i]) != ST_OK)
            continue;
        int fd = lock_directory(path);
        if (fd >= 0 && fs_remove_tree(path) != ST_OK)
            log_failure(LOG_LEVEL_WARN, "build_sweep", "a dead build's directory stays");
        fs_close(&fd);
    }
    fs_list_free(&list);
}

/* A sweep can take the directory between its making and its locking: then it is made again. */
enum st scratch_make(int *fd, const char *path)
{
    struct stat opened, named;

    for (;;) {
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return st_fail_errno(errno, "making the build directory");
        *fd = lock_directory(path);
        if (*fd >= 0 && fstat(*fd, &opened) == 0 && stat(path, &named) == 0 &&
            opened.st_ino == named.st_ino)
            return ST_OK;
        if (*fd < 0 && errno != ENOENT && errno != EWOULDBLOCK)
            return st_fail_errno(errno, "locking the build directory");
        fs_close(fd);
    }
}

void store_scratch_close(const char *path, int *fd)
{
    if (*fd >= 0 && fs_remove_tree(path) != ST_OK)
        log_failure(LOG_LEVEL_WARN, "build_remove", "the build directory stays");
    fs_close(fd);
}

enum st store_scratch_open(char path[FS_PATH_MAX], int *fd, struct store *s)
{
    *fd = -1;
    scratch_sweep(s);
    enum st st = fs_path(path, "%s/job-dry-run.%ld", s->build_dir, (long)getpid());
    return st ? st : scratch_make(fd, path);
}
