#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* A library for LD_PRELOAD that stands between a program and the files below one directory. It
 * counts the calls that change what a disk holds, lets one of them go wrong, or records them all.
 *
 *   EVERLINE_FAULT_ROOT   the directory, as the program's paths have it after realpath
 *   EVERLINE_FAULT_STATE  a file of zeros that all processes of the run share (struct shared)
 *   EVERLINE_FAULT_LOG    gets one line for each call; see note()
 *   EVERLINE_FAULT        what is to happen:
 *     count            nothing
 *     record           nothing; the log has what was written, in the order in which it was
 *     kill:N           before the N-th call the process is killed
 *     killafter:N      after it
 *     crash:N          before it this process and the one that was first are killed
 *     short:N          half of what the N-th call would write is written, then the process is
 * killed eio:N enospc:N   the N-th call fails enospc-from:N    every call that needs room fails
 * from the N-th on
 *
 * The number is counted over all processes of the run: execve hands the variables on, also to a
 * program that is given an environment of its own. Nothing here allocates, locks or asks libc for
 * the call it replaces: each hook makes its system call itself, so that hooks can run before any
 * constructor, in any thread, and between fork and exec. */

#define EXPORT __attribute__((visibility("default")))
#define ENV_MAX 1024

enum fault {
    FAULT_NONE,
    FAULT_COUNT,
    FAULT_RECORD,
    FAULT_KILL,
    FAULT_KILL_AFTER,
    FAULT_CRASH,
    FAULT_SHORT,
    FAULT_EIO,
    FAULT_ENOSPC,
    FAULT_ENOSPC_FROM,
};

static const char *const FAULT_NAMES[] = {
    [FAULT_COUNT] = "count",
    [FAULT_RECORD] = "record",
    [FAULT_KILL] = "kill",
    [FAULT_KILL_AFTER] = "killafter",
    [FAULT_CRASH] = "crash",
    [FAULT_SHORT] = "short",
    [FAULT_EIO] = "eio",
    [FAULT_ENOSPC] = "enospc",
    [FAULT_ENOSPC_FROM] = "enospc-from",
};

/* At the beginning of the state file. The test reads count and fired. */
struct shared {
    _Atomic uint64_t count;
    _Atomic uint64_t fired; /* how often the fault happened */
    _Atomic int first_pid;
    _Atomic int locked; /* while recording: a call and its line are one */
};

static struct {
    enum fault fault;
    uint64_t number;
    char root[PATH_MAX];
    size_t root_len;
    struct shared *shared;
    int log_fd;
    char *environment[ENV_MAX]; /* what execve hands on: our five variables */
    size_t environment_count;
} self = {.log_fd = -1};

/* What a call does to the disk. */
#define NEEDS_ROOM 1u
#define PUTS_BYTES 2u

struct call {
    const char *name;
    char path[2 * PATH_MAX], to[2 * PATH_MAX]; /* below the root, without it */
    unsigned traits;
    uint64_t number;
    bool hit;       /* the fault is for this call */
    bool is_synced; /* the descriptor is O_DSYNC or O_SYNC */
};

/* ---- beginning ---- */

static void hand_on(const char *name)
{
    char *value = getenv(name);

    if (value) /* the string "NAME=VALUE" stands in the environment, this much before its value */
        self.environment[self.environment_count++] = value - strlen(name) - 1;
}

static void parse(const char *text)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);

    for (size_t i = FAULT_COUNT; i < sizeof FAULT_NAMES / sizeof *FAULT_NAMES; i++)
        if (strlen(FAULT_NAMES[i]) == len && strncmp(FAULT_NAMES[i], text, len) == 0)
            self.fault = (enum fault)i;
    self.number = colon ? strtoull(colon + 1, NULL, 10) : 0;
}

static int open_raw(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

__attribute__((constructor)) static void begin(void)
{
    const char *fault = getenv("EVERLINE_FAULT"), *root = getenv("EVERLINE_FAULT_ROOT");
    const char *state = getenv("EVERLINE_FAULT_STATE"), *log = getenv("EVERLINE_FAULT_LOG");
    int none = 0;

    if (!fault || !root || !state || !log)
        return;
    hand_on("LD_PRELOAD");
    hand_on("EVERLINE_FAULT");
    hand_on("EVERLINE_FAULT_ROOT");
    hand_on("EVERLINE_FAULT_STATE");
    hand_on("EVERLINE_FAULT_LOG");
    self.root_len = (size_t)snprintf(self.root, sizeof self.root, "%s", root);
    int fd = open_raw(state, O_RDWR);
    void *map = (void *)syscall(SYS_mmap, NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                                MAP_SHARED, fd, 0);
    self.log_fd = open_raw(log, O_WRONLY | O_APPEND);
    if (fd < 0 || self.log_fd < 0 || map == MAP_FAILED) {
        fprintf(stderr, "fault: the state or the log cannot be opened\n");
        _exit(125);
    }
    close(fd);
    self.shared = map;
    __atomic_compare_exchange_n(&self.shared->first_pid, &none, (int)getpid(), false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    parse(fault);
    if (self.fault == FAULT_NONE) {
        fprintf(stderr, "fault: there is no fault \"%s\"\n", fault);
        _exit(125);
    }
}

/* ---- which file ---- */

static bool is_below(const char *path)
{
    return strncmp(path, self.root, self.root_len) == 0 &&
           (path[self.root_len] == '/' || path[self.root_len] == '\0');
}

static bool path_of_fd(char out[PATH_MAX], int fd)
{
    char link[64];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* What is below the root as it is named in the log; false: it is not. */
static bool resolve(char out[2 * PATH_MAX], int dir_fd, const char *path)
{
    char whole[2 * PATH_MAX], base[PATH_MAX];

    if (self.fault == FAULT_NONE)
        return false;
    if (path[0] == '/')
        snprintf(whole, sizeof whole, "%s", path);
    else if (dir_fd == AT_FDCWD ? syscall(SYS_getcwd, base, sizeof base) > 0
                                : path_of_fd(base, dir_fd))
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    else
        return false;
    if (!is_below(whole))
        return false;
    snprintf(out, 2 * PATH_MAX, "%s", whole[self.root_len] ? whole + self.root_len + 1 : ".");
    return true;
}

static bool resolve_fd(char out[2 * PATH_MAX], int fd)
{
    char path[PATH_MAX];

    return self.fault != FAULT_NONE && path_of_fd(path, fd) && path[0] == '/' &&
           resolve(out, AT_FDCWD, path);
}

/* ---- one call ---- */

/* A line of the log: number, name, path, the other path, the two numbers of the call, whether the
 * descriptor writes through, whether the process is not the first, and how many bytes follow. */
static void note(const struct call *c, long long a, long long b, const struct iovec *bytes,
                 size_t bytes_count, size_t len)
{
    char line[5 * PATH_MAX];
    struct iovec parts[IOV_MAX];
    size_t count = 1;
    int n = snprintf(line, sizeof line, "%llu\t%s\t%s\t%s\t%lld\t%lld\t%d\t%d\t%zu\n",
                     (unsigned long long)c->number, c->name, c->path, c->to, a, b, c->is_synced,
                     getpid() != self.shared->first_pid, len);

    parts[0] = (struct iovec){line, (size_t)n};
    for (size_t i = 0; i < bytes_count && len > 0 && count < IOV_MAX; i++) {
        parts[count] = bytes[i];
        if (parts[count].iov_len > len)
            parts[count].iov_len = len;
        len -= parts[count++].iov_len;
    }
    if (syscall(SYS_writev, self.log_fd, parts, count) < n || len > 0) {
        fprintf(stderr, "fault: the log cannot be written\n");
        abort();
    }
}

static void die(void)
{
    __atomic_add_fetch(&self.shared->fired, 1, __ATOMIC_SEQ_CST);
    if (self.fault == FAULT_CRASH)
        kill(self.shared->first_pid, SIGKILL);
    for (;;)
        kill(getpid(), SIGKILL);
}

/* Counts the call. False: it must fail, errno says how. `c` has name and paths. */
static bool enter(struct call *c, unsigned traits)
{
    c->traits = traits;
    if (self.fault == FAULT_RECORD)
        while (__atomic_exchange_n(&self.shared->locked, 1, __ATOMIC_ACQUIRE))
            sched_yield();
    c->number = __atomic_add_fetch(&self.shared->count, 1, __ATOMIC_SEQ_CST);
    c->hit = c->number == self.number;
    if (self.fault != FAULT_RECORD)
        note(c, (long long)traits, 0, NULL, 0, 0);
    if (self.fault == FAULT_ENOSPC_FROM && c->number > self.number)
        c->hit = true;
    if (!c->hit)
        return true;
    if (self.fault == FAULT_KILL || self.fault == FAULT_CRASH)
        die();
    bool no_space =
        (self.fault == FAULT_ENOSPC || self.fault == FAULT_ENOSPC_FROM) && (traits & NEEDS_ROOM);
    if (!no_space && self.fault != FAULT_EIO)
        return true;
    __atomic_add_fetch(&self.shared->fired, 1, __ATOMIC_SEQ_CST);
    errno = no_space ? ENOSPC : EIO;
    return false;
}

/* How much of `len` bytes this call writes. */
static size_t cut(const struct call *c, size_t len)
{
    return c->hit && self.fault == FAULT_SHORT ? len / 2 : len;
}

/* After the call, which returned `result`; a, b and bytes are what a replay needs. */
static long leave_with(const struct call *c, long result, long long a, long long b,
                       const struct iovec *bytes, size_t bytes_count)
{
    int error = errno;

    if (self.fault == FAULT_RECORD) {
        if (result >= 0)
            note(c, a, b, bytes, bytes_count, bytes ? (size_t)result : 0);
        __atomic_store_n(&self.shared->locked, 0, __ATOMIC_RELEASE);
    }
    if (c->hit &&
        (self.fault == FAULT_KILL_AFTER || (self.fault == FAULT_SHORT && (c->traits & PUTS_BYTES))))
        die();
    errno = error;
    return result;
}

static long leave(const struct call *c, long result)
{
    return leave_with(c, result, 0, 0, NULL, 0);
}

/* ---- calls that write ---- */

static bool enter_write(struct call *c, int fd)
{
    c->is_synced = (syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC) != 0; /* O_SYNC has that bit too */
    return enter(c, NEEDS_ROOM | PUTS_BYTES);
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

    if (!resolve_fd(c.path, fd))
        return syscall(SYS_write, fd, bytes, len);
    long long at = position(fd);
    if (!enter_write(&c, fd))
        return -1;
    return leave_with(&c, syscall(SYS_write, fd, bytes, cut(&c, len)), at, 0, &part, 1);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    struct call c = {.name = "pwrite"};
    struct iovec part = {(void *)(uintptr_t)bytes, len};

    if (!resolve_fd(c.path, fd))
        return syscall(SYS_pwrite64, fd, bytes, len, at);
    if (!enter_write(&c, fd))
        return -1;
    return leave_with(&c, syscall(SYS_pwrite64, fd, bytes, cut(&c, len), at), at, 0, &part, 1);
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
    left = cut(c, total);
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

    if (!resolve_fd(c.path, fd))
        return syscall(SYS_writev, fd, parts, count);
    long long at = position(fd);
    if (!enter_write(&c, fd))
        return -1;
    long n = write_parts(&c, fd, parts, count, at);
    if (n > 0)
        syscall(SYS_lseek, fd, at + n, SEEK_SET);
    return leave_with(&c, n, at, 0, parts, (size_t)count);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    struct call c = {.name = "pwritev"};

    if (!resolve_fd(c.path, fd))
        return syscall(SYS_pwritev, fd, parts, count, at, 0);
    if (!enter_write(&c, fd))
        return -1;
    return leave_with(&c, write_parts(&c, fd, parts, count, at), at, 0, parts, (size_t)count);
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

    if (!resolve_fd(c.path, to_fd))
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
    n = to ? syscall(SYS_pwrite64, to_fd, buffer, cut(&c, part.iov_len), at)
           : syscall(SYS_write, to_fd, buffer, cut(&c, part.iov_len));
    if (from && n > 0)
        *from += n;
    if (to && n > 0)
        *to += n;
    return leave_with(&c, n, at, 0, &part, 1);
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

    if (!resolve_fd(c.path, fd))
        return (int)syscall(SYS_ftruncate, fd, len);
    if (!enter(&c, NEEDS_ROOM))
        return -1;
    return (int)leave_with(&c, syscall(SYS_ftruncate, fd, len), len, 0, NULL, 0);
}

EXPORT int ftruncate64(int fd, off64_t len)
{
    return ftruncate(fd, len);
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t len)
{
    struct call c = {.name = "fallocate"};

    if (!resolve_fd(c.path, fd))
        return (int)syscall(SYS_fallocate, fd, mode, at, len);
    if (!enter(&c, NEEDS_ROOM))
        return -1;
    return (int)leave_with(&c, syscall(SYS_fallocate, fd, mode, at, len), at, len, NULL, 0);
}

EXPORT int fallocate64(int fd, int mode, off64_t at, off64_t len)
{
    return fallocate(fd, mode, at, len);
}

/* ---- calls that sync ---- */

EXPORT int fsync(int fd)
{
    struct call c = {.name = "fsync"};

    if (!resolve_fd(c.path, fd))
        return (int)syscall(SYS_fsync, fd);
    return enter(&c, 0) ? (int)leave(&c, syscall(SYS_fsync, fd)) : -1;
}

EXPORT int fdatasync(int fd)
{
    struct call c = {.name = "fdatasync"};

    if (!resolve_fd(c.path, fd))
        return (int)syscall(SYS_fdatasync, fd);
    return enter(&c, 0) ? (int)leave(&c, syscall(SYS_fdatasync, fd)) : -1;
}

/* Which file an address belongs to is not known here: every one that waits counts. */
EXPORT int msync(void *address, size_t len, int flags)
{
    struct call c = {.name = "msync", .path = "?"};

    if (self.fault == FAULT_NONE || !(flags & MS_SYNC))
        return (int)syscall(SYS_msync, address, len, flags);
    return enter(&c, 0) ? (int)leave(&c, syscall(SYS_msync, address, len, flags)) : -1;
}

/* ---- calls on names ---- */

static int rename_between(int from_fd, const char *from, int to_fd, const char *to)
{
    struct call c = {.name = "rename"};
    bool is_ours = resolve(c.path, from_fd, from);

    if (!resolve(c.to, to_fd, to) && !is_ours)
        return (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
    if (!enter(&c, NEEDS_ROOM))
        return -1;
    return (int)leave(&c, syscall(SYS_renameat, from_fd, from, to_fd, to));
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

    if (!resolve(c.path, dir_fd, path))
        return (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    return enter(&c, 0) ? (int)leave(&c, syscall(SYS_unlinkat, dir_fd, path, flags)) : -1;
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

    if (!resolve(c.path, dir_fd, path) || fstatat(dir_fd, path, &sb, 0) == 0)
        return (int)syscall(SYS_mkdirat, dir_fd, path, mode);
    if (!enter(&c, NEEDS_ROOM))
        return -1;
    return (int)leave_with(&c, syscall(SYS_mkdirat, dir_fd, path, mode), mode, 0, NULL, 0);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

static int link_between(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    struct call c = {.name = "link"};
    bool is_ours = resolve(c.path, from_fd, from);

    if (!resolve(c.to, to_fd, to) && !is_ours)
        return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    if (!enter(&c, NEEDS_ROOM))
        return -1;
    return (int)leave(&c, syscall(SYS_linkat, from_fd, from, to_fd, to, flags));
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

    if (!resolve_fd(c.path, fd))
        return (int)syscall(SYS_fchmod, fd, mode);
    return enter(&c, 0) ? (int)leave_with(&c, syscall(SYS_fchmod, fd, mode), mode, 0, NULL, 0) : -1;
}

/* Opening counts when it makes the file or empties it; making what is there already does not. */
static int open_at(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct call c = {.name = "create"};
    struct stat sb;

    if (!(flags & (O_CREAT | O_TRUNC)) || !resolve(c.path, dir_fd, path))
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    bool exists = fstatat(dir_fd, path, &sb, 0) == 0;
    if (exists && (flags & O_EXCL))
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    if (exists && !((flags & O_TRUNC) && sb.st_size > 0))
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    if (!enter(&c, NEEDS_ROOM))
        return -1;
    int fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    return (int)leave_with(&c, fd, mode, 0, NULL, 0);
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
    void *map = (void *)syscall(SYS_mmap, address, len, protection, flags, fd, at);
    struct call c = {.name = "map"};

    if (map != MAP_FAILED && fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) &&
        resolve_fd(c.path, fd))
        note(&c, 0, 0, NULL, 0, 0);
    return map;
}

EXPORT void *mmap64(void *address, size_t len, int protection, int flags, int fd, off64_t at)
{
    return mmap(address, len, protection, flags, fd, at);
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    char *handed[ENV_MAX + 1];
    size_t count = 0;

    for (size_t i = 0; envp[i] && count + self.environment_count < ENV_MAX; i++)
        if (strncmp(envp[i], "LD_PRELOAD=", 11) != 0 &&
            strncmp(envp[i], "EVERLINE_FAULT", strlen("EVERLINE_FAULT")) != 0)
            handed[count++] = envp[i];
    for (size_t i = 0; i < self.environment_count; i++)
        handed[count++] = self.environment[i];
    handed[count] = NULL;
    return (int)syscall(SYS_execve, path, argv, self.fault == FAULT_NONE ? envp : handed);
}
