#include "store/build_dir.h"

#include "base/log.h"
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The lock of a build's directory, the caller's to close; -1 with errno when there is none or
 * somebody holds it (EWOULDBLOCK). */
static int lock_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
        fs_close(&fd);
    return fd;
}

/* JOB.ATTEMPT */
static bool is_build_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return strncmp(name, "job-", 4) == 0 && dot && dot[1] &&
           strspn(dot + 1, "0123456789") == strlen(dot + 1);
}

/* Is one dead? `visit_fn` (may be NULL) is called for each, under its lock. */
static bool each_dead(const char *parent, void (*visit_fn)(const char *path))
{
    struct fs_list list;
    char path[FS_PATH_MAX];
    bool any = false;

    if (fs_list_dir(&list, parent))
        return false;
    for (size_t i = 0; i < list.count && (visit_fn || !any); i++) {
        if (!is_build_name(list.names[i]) || fs_path(path, "%s/%s", parent, list.names[i]) != ST_OK)
            continue;
        int fd = lock_directory(path);
        any |= fd >= 0;
        if (fd >= 0 && visit_fn)
            visit_fn(path);
        fs_close(&fd);
    }
    fs_list_free(&list);
    return any;
}

bool build_dir_any_dead(const char *parent)
{
    return each_dead(parent, NULL);
}

static void remove_dead(const char *path)
{
    if (fs_remove_tree(path) != ST_OK)
        log_failure(LOG_LEVEL_WARN, "build_sweep", "a dead build's directory stays");
}

void build_dir_sweep(const char *parent)
{
    (void)each_dead(parent, remove_dead);
}

/* A sweep can take the directory between its making and its locking: then it is made again. */
enum st build_dir_make(int *fd, const char *path)
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

enum st build_dir_make_leased(char path[FS_PATH_MAX], int *fd, const struct store *s,
                              const struct store_lease *lease)
{
    enum st st = fs_path(path, "%s/%s.%u", s->build_dir, lease->job, lease->attempt);

    return st ? st : build_dir_make(fd, path);
}

enum st build_dir_make_unpublished(char path[FS_PATH_MAX], int *fd, struct store *s,
                                   const struct store_lease *lease)
{
    *fd = -1;
    build_dir_sweep(s->build_dir);
    if (lease)
        return build_dir_make_leased(path, fd, s, lease);
    enum st st = fs_path(path, "%s/job-dry-run.%ld", s->build_dir, (long)getpid());
    return st ? st : build_dir_make(fd, path);
}

void build_dir_remove(const char *path, int *fd)
{
    if (*fd >= 0 && fs_remove_tree(path) != ST_OK)
        log_failure(LOG_LEVEL_WARN, "build_remove", "the build directory stays");
    fs_close(fd);
}
