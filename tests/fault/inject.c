#include "inject_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A library for LD_PRELOAD that stands between a program and the files below one directory. It
 * counts the calls that change what a disk holds, lets one of them go wrong, or records them all.
 *
 *   EVERLINE_FAULT_ROOT   the directory, as the program's paths have it after realpath
 *   EVERLINE_FAULT_STATE  a file of zeros that all processes of the run share (struct shared)
 *   EVERLINE_FAULT_LOG    gets one line for each call; see note()
 *   EVERLINE_FAULT        what is to happen:
 *
 *   count          nothing
 *   record         nothing; the log has what was written, in the order in which it was
 *   kill:N         before the N-th call the process is killed
 *   killafter:N    after it
 *   crash:N        before it this process and the one that was first are killed
 *   short:N        half of what the N-th call would write is written; then it is killed
 *   stop:N         before it this process is stopped (SIGSTOP)
 *   stop:PATH      likewise, before the first call of the first process to what begins with PATH
 *   stop:NAME PATH likewise, of the calls of that name
 *   eio:N          the N-th call fails
 *   enospc:N       likewise, if it needs room
 *   enospc-from:N  every call that needs room fails from the N-th on
 *   warm           when the test arms it, a process stops in the middle of warming a segment
 *   warm-stop      likewise, and once more at the call with which it begins its acknowledgement
 *   warm-kill      likewise, but it is killed after the call that commits its acknowledgement
 *   memory         allocations fail, as the state file says: inject_memory.c
 *
 * The number is counted over all processes of the run: execve hands the variables on, also to a
 * program that is given an environment of its own. Nothing here allocates, locks or asks libc for
 * the call it replaces: each hook makes its system call itself, so that hooks can run before any
 * constructor, in any thread, and between fork and exec. */

#define EXPORT __attribute__((visibility("default")))
#define ENVIRONMENT_MAX 1024

/* ---- calls that write ---- */

static bool enter_write(struct call *c, int fd)
{
    c->is_synced = (syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC) != 0; /* O_SYNC has that bit too */
    return call_enter(c, CALL_NEEDS_ROOM | CALL_PUTS_BYTES);
}

static long long position(int fd)
{
    struct stat sb;

    if ((syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND) && fstat(fd, &sb) == 0)
        return sb.st_size;
    return syscall(SYS_lseek, fd, 0, SEEK_CUR);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t len)
{
    struct call c = {.name = "write"};
    struct iovec part = {(void *)(uintptr_t)bytes, len};

    if (!call_resolve_fd(c.path, fd))
        return syscall(SYS_write, fd, bytes, len);
    long long at = position(fd);
    if (!enter_write(&c, fd))
        return -1;
    return call_leave_with(&c, syscall(SYS_write, fd, bytes, call_cut(&c, len)), at, 0, &part, 1);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    struct call c = {.name = "pwrite"};
    struct iovec part = {(void *)(uintptr_t)bytes, len};

    if (!call_resolve_fd(c.path, fd))
        return syscall(SYS_pwrite64, fd, bytes, len, at);
    if (!enter_write(&c, fd))
        return -1;
    return call_leave_with(&c, syscall(SYS_pwrite64, fd, bytes, call_cut(&c, len), at), at, 0,
                           &part, 1);
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return pwrite(fd, bytes, len, at);
}

/* Gathered writes: a cut one writes the first half of its parts' bytes, one part after the other.
 */
static long write_parts(const struct call *c, int fd, const struct iovec *parts, int count,
                        long long at)
{
    size_t total = 0, left;
    long done = 0;

    for (int i = 0; i < count; i++)
        total += parts[i].iov_len;
    left = call_cut(c, total);
    if (left == total)
        return syscall(SYS_pwritev, fd, parts, count, at, 0);
    for (int i = 0; i < count && left > 0; i++) {
        size_t len = parts[i].iov_len < left ? parts[i].iov_len : left;
        done += syscall(SYS_pwrite64, fd, parts[i].iov_base, len, at + done);
        left -= len;
    }
    return done;
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct call c = {.name = "writev"};

    if (!call_resolve_fd(c.path, fd))
        return syscall(SYS_writev, fd, parts, count);
    long long at = position(fd);
    if (!enter_write(&c, fd))
        return -1;
    long n = write_parts(&c, fd, parts, count, at);
    if (n > 0)
        syscall(SYS_lseek, fd, at + n, SEEK_SET);
    return call_leave_with(&c, n, at, 0, parts, (size_t)count);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    struct call c = {.name = "pwritev"};

    if (!call_resolve_fd(c.path, fd))
        return syscall(SYS_pwritev, fd, parts, count, at, 0);
    if (!enter_write(&c, fd))
        return -1;
    return call_leave_with(&c, write_parts(&c, fd, parts, count, at), at, 0, parts, (size_t)count);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    return pwritev(fd, parts, count, at);
}

/* Copies inside the kernel become a read and a write, so that they can be cut and recorded. At most
 * one buffer at a time, which their callers must expect anyway. */
static ssize_t copy(const char *name, int to_fd, off64_t *to, int from_fd, off64_t *from,
                    size_t len)
{
    static __thread char buffer[65536];
    struct call c = {.name = name};
    struct iovec part = {buffer, 0};

    if (!call_resolve_fd(c.path, to_fd))
        return -2;
    long n = len < sizeof buffer ? (long)len : (long)sizeof buffer;
    n = from ? syscall(SYS_pread64, from_fd, buffer, n, *from)
             : syscall(SYS_read, from_fd, buffer, n);
    if (n <= 0)
        return n;
    part.iov_len = (size_t)n;
    long long at = to ? *to : position(to_fd);
    if (!enter_write(&c, to_fd)) {
        if (!from)
            syscall(SYS_lseek, from_fd, -n, SEEK_CUR);
        return -1;
    }
    n = to ? syscall(SYS_pwrite64, to_fd, buffer, call_cut(&c, part.iov_len), at)
           : syscall(SYS_write, to_fd, buffer, call_cut(&c, part.iov_len));
    if (from && n > 0)
        *from += n;
    if (to && n > 0)
        *to += n;
    return call_leave_with(&c, n, at, 0, &part, 1);
}

EXPORT ssize_t copy_file_range(int from_fd, off64_t *from, int to_fd, off64_t *to, size_t len,
                               unsigned flags)
{
    ssize_t n = copy("copy_file_range", to_fd, to, from_fd, from, len);

    return n != -2 ? n : syscall(SYS_copy_file_range, from_fd, from, to_fd, to, len, flags);
}

EXPORT ssize_t sendfile(int to_fd, int from_fd, off_t *from, size_t len)
{
    ssize_t n = copy("sendfile", to_fd, NULL, from_fd, from, len);

    return n != -2 ? n : syscall(SYS_sendfile, to_fd, from_fd, from, len);
}

EXPORT ssize_t sendfile64(int to_fd, int from_fd, off64_t *from, size_t len)
{
    return sendfile(to_fd, from_fd, from, len);
}

EXPORT int ftruncate(int fd, off_t len)
{
    struct call c = {.name = "ftruncate"};

    if (!call_resolve_fd(c.path, fd))
        return (int)syscall(SYS_ftruncate, fd, len);
    if (!call_enter(&c, CALL_NEEDS_ROOM))
        return -1;
    return (int)call_leave_with(&c, syscall(SYS_ftruncate, fd, len), len, 0, NULL, 0);
}

EXPORT int ftruncate64(int fd, off64_t len)
{
    return ftruncate(fd, len);
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t len)
{
    struct call c = {.name = mode == FALLOC_FL_KEEP_SIZE ? "reserve" : "fallocate"};

    if (!call_resolve_fd(c.path, fd))
        return (int)syscall(SYS_fallocate, fd, mode, at, len);
    if (!call_enter(&c, CALL_NEEDS_ROOM))
        return -1;
    return (int)call_leave_with(&c, syscall(SYS_fallocate, fd, mode, at, len), at, len, NULL, 0);
}

EXPORT int fallocate64(int fd, int mode, off64_t at, off64_t len)
{
    return fallocate(fd, mode, at, len);
}

/* ---- calls that sync ---- */

EXPORT int fsync(int fd)
{
    struct call c = {.name = "fsync"};

    if (!call_resolve_fd(c.path, fd))
        return (int)syscall(SYS_fsync, fd);
    return call_enter(&c, 0) ? (int)call_leave(&c, syscall(SYS_fsync, fd)) : -1;
}

EXPORT int fdatasync(int fd)
{
    struct call c = {.name = "fdatasync"};

    if (!call_resolve_fd(c.path, fd))
        return (int)syscall(SYS_fdatasync, fd);
    return call_enter(&c, 0) ? (int)call_leave(&c, syscall(SYS_fdatasync, fd)) : -1;
}

/* Which file an address belongs to is not known here: every one that waits counts. */
EXPORT int msync(void *address, size_t len, int flags)
{
    struct call c = {.name = "msync", .path = "?"};

    if (!call_watching() || !(flags & MS_SYNC))
        return (int)syscall(SYS_msync, address, len, flags);
    return call_enter(&c, 0) ? (int)call_leave(&c, syscall(SYS_msync, address, len, flags)) : -1;
}

/* ---- calls on names ---- */

static int rename_between(int from_fd, const char *from, int to_fd, const char *to)
{
    struct call c = {.name = "rename"};
    bool is_ours = call_resolve(c.path, from_fd, from);

    if (!call_resolve(c.to, to_fd, to) && !is_ours)
        return (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
    if (!call_enter(&c, CALL_NEEDS_ROOM))
        return -1;
    return (int)call_leave(&c, syscall(SYS_renameat, from_fd, from, to_fd, to));
}

EXPORT int rename(const char *from, const char *to)
{
    return rename_between(AT_FDCWD, from, AT_FDCWD, to);
}

EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return rename_between(from_fd, from, to_fd, to);
}

EXPORT int unlinkat(int dir_fd, const char *path, int flags)
{
    struct call c = {.name = flags & AT_REMOVEDIR ? "rmdir" : "unlink"};

    if (!call_resolve(c.path, dir_fd, path))
        return (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    return call_enter(&c, 0) ? (int)call_leave(&c, syscall(SYS_unlinkat, dir_fd, path, flags)) : -1;
}

EXPORT int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

EXPORT int mkdirat(int dir_fd, const char *path, mode_t mode)
{
    struct call c = {.name = "mkdir"};
    struct stat sb;

    if (!call_resolve(c.path, dir_fd, path) || fstatat(dir_fd, path, &sb, 0) == 0)
        return (int)syscall(SYS_mkdirat, dir_fd, path, mode);
    if (!call_enter(&c, CALL_NEEDS_ROOM))
        return -1;
    return (int)call_leave_with(&c, syscall(SYS_mkdirat, dir_fd, path, mode), mode, 0, NULL, 0);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

static int link_between(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    struct call c = {.name = "link"};
    bool is_ours = call_resolve(c.path, from_fd, from);

    if (!call_resolve(c.to, to_fd, to) && !is_ours)
        return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    if (!call_enter(&c, CALL_NEEDS_ROOM))
        return -1;
    return (int)call_leave(&c, syscall(SYS_linkat, from_fd, from, to_fd, to, flags));
}

EXPORT int link(const char *from, const char *to)
{
    return link_between(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return link_between(from_fd, from, to_fd, to, flags);
}

EXPORT int fchmod(int fd, mode_t mode)
{
    struct call c = {.name = "fchmod"};

    if (!call_resolve_fd(c.path, fd))
        return (int)syscall(SYS_fchmod, fd, mode);
    return call_enter(&c, 0)
               ? (int)call_leave_with(&c, syscall(SYS_fchmod, fd, mode), mode, 0, NULL, 0)
               : -1;
}

/* Opening counts when it makes the file or empties it; making what is there already does not. */
static int open_at(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct call c = {.name = "create"};
    struct stat sb;

    if (!(flags & (O_CREAT | O_TRUNC)) || !call_resolve(c.path, dir_fd, path))
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    bool exists = fstatat(dir_fd, path, &sb, 0) == 0;
    if (exists && (flags & O_EXCL))
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    if (exists && !((flags & O_TRUNC) && sb.st_size > 0))
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    if (!call_enter(&c, CALL_NEEDS_ROOM))
        return -1;
    int fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    return (int)call_leave_with(&c, fd, mode, 0, NULL, 0);
}

static mode_t mode_argument(int flags, va_list args)
{
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(args, unsigned) : 0;
}

#define OPEN(name)                                                                                 \
    EXPORT int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        va_list args;                                                                              \
                                                                                                   \
        va_start(args, flags);                                                                     \
        mode_t mode = mode_argument(flags, args);                                                  \
        va_end(args);                                                                              \
        return open_at(AT_FDCWD, path, flags, mode);                                               \
    }
#define OPENAT(name)                                                                               \
    EXPORT int name(int dir_fd, const char *path, int flags, ...)                                  \
    {                                                                                              \
        va_list args;                                                                              \
                                                                                                   \
        va_start(args, flags);                                                                     \
        mode_t mode = mode_argument(flags, args);                                                  \
        va_end(args);                                                                              \
        return open_at(dir_fd, path, flags, mode);                                                 \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

EXPORT int creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* ---- what could get past us ---- */

/* A store through a shared mapping is seen by nobody: the log says that there is one. */
EXPORT void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t at)
{
    struct call c = {.name = "map"};

    if (call_memory_fails())
        return MAP_FAILED;
    void *map = (void *)syscall(SYS_mmap, address, len, protection, flags, fd, at);

    if (map != MAP_FAILED && fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) &&
        call_resolve_fd(c.path, fd))
        call_mention(&c);
    return map;
}

EXPORT void *mmap64(void *address, size_t len, int protection, int flags, int fd, off64_t at)
{
    return mmap(address, len, protection, flags, fd, at);
}

/* Pages are mapped before they are needed: that is warming. */
EXPORT int madvise(void *address, size_t len, int advice)
{
    if (advice == MADV_POPULATE_READ)
        call_warm();
    return (int)syscall(SYS_madvise, address, len, advice);
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    char *handed[ENVIRONMENT_MAX + CALL_ENVIRONMENT_MAX + 1];
    size_t count = 0;

    if (!call_environment(handed))
        return (int)syscall(SYS_execve, path, argv, envp);
    for (size_t i = 0; envp[i]; i++) {
        if (strncmp(envp[i], "LD_PRELOAD=", strlen("LD_PRELOAD=")) == 0 ||
            strncmp(envp[i], "EVERLINE_FAULT", strlen("EVERLINE_FAULT")) == 0)
            continue;
        if (count == ENVIRONMENT_MAX) {
            errno = E2BIG;
            return -1;
        }
        handed[count++] = envp[i];
    }
    count += call_environment(handed + count);
    handed[count] = NULL;
    return (int)syscall(SYS_execve, path, argv, handed);
}
