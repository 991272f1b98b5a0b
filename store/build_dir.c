#include "store/build_dir.h"

#include "base/fs.h"
#include "base/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

int build_dir_lock(const char *path)
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
        int fd = build_dir_lock(path);
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
