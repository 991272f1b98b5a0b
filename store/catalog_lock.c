#include "store/catalog_lock.h"

#include "base/clock.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 1

static enum st open_file(struct catalog_lock *l, const char *catalog_path)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s-writer", catalog_path);

    if (st || l->open)
        return st;
    l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (l->fd < 0 && errno == EROFS)
        return st_fail(ST_UNAVAILABLE, "READ_ONLY", "the disk of %s can only be read",
                       catalog_path);
    if (l->fd < 0)
        return st_fail_errno(errno, "opening %s", path);
    l->open = true;
    return ST_OK;
}

/* From "PID (name) S ...": what the process is called, and whether it is stopped. */
static void describe(char *out, size_t size, pid_t pid)
{
    char path[64], text[256] = "";
    int fd;

    snprintf(out, size, "process %ld", (long)pid);
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fs_close(&fd);
    char *name = n > 0 ? strchr(text, '(') : NULL, *end = name ? strrchr(text, ')') : NULL;
    if (!end)
        return;
    bool stopped = end[1] == ' ' && (end[2] == 'T' || end[2] == 't');
    snprintf(out, size, "process %ld (%.*s%s)", (long)pid, (int)(end - name - 1), name + 1,
             stopped ? ", stopped" : "");
}

static enum st busy(const struct catalog_lock *l, uint64_t waited_ms)
{
    struct flock other = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char who[96] = "another process";

    if (fcntl(l->fd, F_GETLK, &other) == 0 && other.l_type != F_UNLCK && other.l_pid > 0)
        describe(who, sizeof who, other.l_pid);
    return st_hint(
        st_fail(ST_TIMEOUT, "CATALOG_BUSY",
                "the catalog's write lock could not be had for %llu.%llu s: %s has it",
                (unsigned long long)waited_ms / 1000, (unsigned long long)waited_ms % 1000 / 100,
                who),
        "try again; a process that is stopped can be continued (kill -CONT PID) or ended");
}

enum st catalog_lock_take(struct catalog_lock *l, const char *catalog_path)
{
    const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    uint64_t start_ms = clock_boot_ms(), waited_ms = 0;
    enum st st = l->refused ? st_fail(ST_UNAVAILABLE, "READ_ONLY",
                                      "the disk of %s was full or could only be read when this "
                                      "process began",
                                      catalog_path)
                            : open_file(l, catalog_path);

    while (!st && fcntl(l->fd, F_SETLK, &whole) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return st_fail_errno(errno, "taking the catalog's write lock");
        waited_ms = clock_boot_ms() - start_ms;
        if (waited_ms >= l->wait_ms || (l->stop && *l->stop))
            return busy(l, waited_ms);
        (void)poll(NULL, 0, POLL_MS);
    }
    l->held = !st;
    return st;
}

void catalog_lock_give_back(struct catalog_lock *l)
{
    const struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    if (l->held)
        (void)fcntl(l->fd, F_SETLK, &whole);
    l->held = false;
}

void catalog_lock_close(struct catalog_lock *l)
{
    if (l->open)
        fs_close(&l->fd);
    l->open = l->held = false;
}
