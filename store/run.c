#include "store/run.h"

#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const KIND_PREFIX[] = {
    [RUN_PROCESS] = "process-",
    [RUN_SERVER] = "server-",
    [RUN_REBUILD] = "rebuild-",
};

static unsigned long long pid_namespace(void)
{
    struct stat sb;

    return stat("/proc/self/ns/pid", &sb) == 0 ? (unsigned long long)sb.st_ino : 0;
}

/* A lock on a file that was unlinked meanwhile (by a process that found it unlocked) guards
 * nothing: true when `fd` is still what `path` names. */
static bool is_named(int fd, const char *path)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

static enum st check_namespaces(const char *run_dir)
{
    struct fs_list list;
    char path[FS_PATH_MAX];
    enum st st = fs_list_dir(&list, run_dir);

    for (size_t i = 0; !st && i < list.count; i++) {
        unsigned long long theirs = 0;
        struct buf text;

        buf_init(&text, 256);
        st = fs_path(path, "%s/%s", run_dir, list.names[i]);
        if (!st && fs_is_locked(path) && fs_read(&text, path) == ST_OK && text.data &&
            sscanf(text.data, "pidns %llu", &theirs) == 1 && theirs != pid_namespace())
            st = st_hint(st_fail(ST_UNAVAILABLE, "PID_NAMESPACE",
                                 "a process of another PID namespace uses this data directory"),
                         "run all processes of one data directory in one PID namespace "
                         "(containers: --pid)");
        buf_release(&text);
    }
    fs_list_free(&list);
    return st;
}

enum st run_register(struct run_entry *out, const char *run_dir, enum run_kind kind)
{
    unsigned char id[8];
    char hex[sizeof id * 2 + 1];
    char path[FS_PATH_MAX];
    char text[64];

    out->fd = -1;
    enum st st = check_namespaces(run_dir);
    while (!st) {
        st = digest_random(id, sizeof id);
        if (st)
            break;
        digest_hex(hex, id, sizeof id);
        snprintf(out->name, sizeof out->name, "%s%s", KIND_PREFIX[kind], hex);
        st = fs_path(path, "%s/%s", run_dir, out->name);
        if (!st)
            st = fs_lock(&out->fd, path);
        if (!st && is_named(out->fd, path))
            break;
        fs_close(&out->fd);
        if (st == ST_CONFLICT) /* somebody looks whether it is alive: another name */
            st = ST_OK;
    }
    if (!st) {
        int n =
            snprintf(text, sizeof text, "pidns %llu\npid %ld\n", pid_namespace(), (long)getpid());
        /* On a full disk the lock alone says that we live. */
        if (pwrite(out->fd, text, (size_t)n, 0) != n && errno != ENOSPC && errno != EDQUOT)
            st = st_fail_errno(errno, "writing to the run directory");
    }
    if (st)
        fs_close(&out->fd);
    return st;
}

enum st run_claim(struct run_entry *out, const char *run_dir, const char *what)
{
    char path[FS_PATH_MAX];
    enum st st = fs_path(path, "%s/%s", run_dir, what);

    out->fd = -1;
    snprintf(out->name, sizeof out->name, "%s", what);
    if (!st)
        st = fs_lock(&out->fd, path);
    if (!st && !is_named(out->fd, path)) { /* somebody took it for one of the dead */
        fs_close(&out->fd);
        st = st_fail(ST_CONFLICT, "LOCKED", "%s was being removed", path);
    }
    return st;
}

void run_unregister(struct run_entry *e, const char *run_dir)
{
    char path[FS_PATH_MAX];

    if (e->fd >= 0 && fs_path(path, "%s/%s", run_dir, e->name) == ST_OK)
        (void)unlink(path);
    fs_close(&e->fd);
}

bool run_alive(const char *run_dir, const char *name)
{
    char path[FS_PATH_MAX];

    return fs_path(path, "%s/%s", run_dir, name) == ST_OK && fs_is_locked(path);
}

/* Takes the lock before unlinking, so that an owner about to lock sees that its file is gone. */
static void remove_dead(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_named(fd, path))
        (void)unlink(path);
    fs_close(&fd);
}

enum st run_list(struct fs_list *out, const char *run_dir, enum run_kind kind)
{
    char path[FS_PATH_MAX];
    enum st st = fs_list_dir(out, run_dir);
    size_t kept = 0;

    for (size_t i = 0; !st && i < out->count; i++) {
        st = fs_path(path, "%s/%s", run_dir, out->names[i]);
        bool alive = !st && fs_is_locked(path);
        if (!st && !alive)
            remove_dead(path);
        if (alive && strncmp(out->names[i], KIND_PREFIX[kind], strlen(KIND_PREFIX[kind])) == 0) {
            char *name = out->names[kept];
            out->names[kept++] = out->names[i];
            out->names[i] = name;
        }
    }
    if (st) {
        fs_list_free(out);
        return st;
    }
    for (size_t i = kept; i < out->count; i++)
        free(out->names[i]);
    out->count = kept;
    return ST_OK;
}
