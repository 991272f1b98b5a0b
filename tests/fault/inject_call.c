#include "inject_call.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fault {
    FAULT_NONE,
    FAULT_COUNT,
    FAULT_RECORD,
    FAULT_KILL,
    FAULT_KILL_AFTER,
    FAULT_CRASH,
    FAULT_SHORT,
    FAULT_STOP,
    FAULT_EIO,
    FAULT_ENOSPC,
    FAULT_ENOSPC_FROM,
    FAULT_MEMORY,
    FAULT_WARM,
    FAULT_WARM_STOP,
    FAULT_WARM_KILL,
};

static const char *const FAULT_NAMES[] = {
    [FAULT_COUNT] = "count",         [FAULT_RECORD] = "record",
    [FAULT_KILL] = "kill",           [FAULT_KILL_AFTER] = "killafter",
    [FAULT_CRASH] = "crash",         [FAULT_SHORT] = "short",
    [FAULT_STOP] = "stop",           [FAULT_EIO] = "eio",
    [FAULT_ENOSPC] = "enospc",       [FAULT_ENOSPC_FROM] = "enospc-from",
    [FAULT_MEMORY] = "memory",       [FAULT_WARM] = "warm",
    [FAULT_WARM_STOP] = "warm-stop", [FAULT_WARM_KILL] = "warm-kill",
};

/* At the beginning of the state file. The test reads count and fired. */
struct shared {
    _Atomic uint64_t count;
    _Atomic uint64_t fired; /* how often the fault happened */
    _Atomic int first_pid;
    _Atomic int locked; /* while recording: a call and its line are one */
    struct memory_plan memory;
};

static struct {
    enum fault fault;
    uint64_t number;
    char stop_at[64]; /* FAULT_STOP without a number: how the path begins; "" when it was stopped */
    char root[PATH_MAX];
    size_t root_len;
    struct shared *shared;
    atomic_bool was_warming; /* it was stopped there, and its acknowledgement follows */
    int log_fd;
    char *environment[CALL_ENVIRONMENT_MAX];
    size_t environment_count;
} self = {.log_fd = -1};

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
    if (self.fault == FAULT_STOP && colon && !self.number)
        snprintf(self.stop_at, sizeof self.stop_at, "%s", colon + 1);
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

struct memory_plan *call_memory_plan(void)
{
    return self.fault == FAULT_MEMORY && self.shared->first_pid == (int)getpid()
               ? &self.shared->memory
               : NULL;
}

/* The signal is for this thread, so that it does not leave this call before it is stopped. One for
 * the process may go to another thread, and this one would go on until that one gets a turn. */
static void stop_here(void)
{
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP);
}

void call_warm(void)
{
    if ((self.fault != FAULT_WARM && self.fault != FAULT_WARM_STOP &&
         self.fault != FAULT_WARM_KILL) ||
        !__atomic_exchange_n(&self.shared->memory.armed, 0, __ATOMIC_SEQ_CST))
        return;
    atomic_store(&self.was_warming, true);
    __atomic_add_fetch(&self.shared->fired, 1, __ATOMIC_SEQ_CST);
    stop_here();
}

size_t call_environment(char **out)
{
    memcpy(out, self.environment, self.environment_count * sizeof *out);
    return self.environment_count;
}

/* ---- which file ---- */

bool call_watching(void)
{
    return self.fault != FAULT_NONE && self.fault != FAULT_MEMORY && self.fault != FAULT_WARM;
}

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

bool call_resolve(char out[2 * PATH_MAX], int dir_fd, const char *path)
{
    char whole[2 * PATH_MAX], base[PATH_MAX];

    if (!call_watching())
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

bool call_resolve_fd(char out[2 * PATH_MAX], int fd)
{
    char path[PATH_MAX];

    return call_watching() && path_of_fd(path, fd) && path[0] == '/' &&
           call_resolve(out, AT_FDCWD, path);
}

/* ---- one call ---- */

/* A line of the log: number, name, path, the other path, the two numbers of the call, whether the
 * descriptor writes through, whether the process is not the first, and how many bytes follow. */
static void note(const struct call *c, long long a, long long b, const struct iovec *bytes,
                 size_t bytes_count, size_t len)
{
    char line[5 * PATH_MAX];
    struct iovec parts[IOV_MAX];
    size_t count = 1, total = len;
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
    if (syscall(SYS_writev, self.log_fd, parts, count) != n + (long)total || len > 0) {
        fprintf(stderr, "fault: the log cannot be written\n");
        abort();
    }
}

void call_mention(const struct call *c)
{
    note(c, 0, 0, NULL, 0, 0);
}

static void die(void)
{
    __atomic_add_fetch(&self.shared->fired, 1, __ATOMIC_SEQ_CST);
    if (self.fault == FAULT_CRASH)
        kill(self.shared->first_pid, SIGKILL);
    for (;;)
        kill(getpid(), SIGKILL);
}

/* "PATH", or "NAME PATH" for calls of that name alone. */
static bool is_stop_at(const struct call *c)
{
    const char *space = strchr(self.stop_at, ' '), *at = space ? space + 1 : self.stop_at;
    size_t len = strlen(at), name_len = space ? (size_t)(space - self.stop_at) : 0;

    if (!len || self.shared->first_pid != (int)getpid() ||
        strncmp(c->name, self.stop_at, name_len) != 0 ||
        (strncmp(c->path, at, len) != 0 && strncmp(c->to, at, len) != 0))
        return false;
    self.stop_at[0] = '\0';
    return true;
}

/* LMDB ends a commit with a synchronous write of its meta page. */
static bool is_acknowledgement(const struct call *c)
{
    return (self.fault == FAULT_WARM_STOP || (self.fault == FAULT_WARM_KILL && c->is_synced)) &&
           strcmp(c->path, "catalog.mdb") == 0 && atomic_exchange(&self.was_warming, false);
}

bool call_enter(struct call *c, unsigned traits)
{
    c->traits = traits;
    if (self.fault == FAULT_RECORD)
        while (__atomic_exchange_n(&self.shared->locked, 1, __ATOMIC_ACQUIRE))
            sched_yield();
    c->number = __atomic_add_fetch(&self.shared->count, 1, __ATOMIC_SEQ_CST);
    c->hit = c->number == self.number || is_stop_at(c) || is_acknowledgement(c);
    if (self.fault != FAULT_RECORD)
        note(c, (long long)traits, 0, NULL, 0, 0);
    if (self.fault == FAULT_ENOSPC_FROM && c->number > self.number)
        c->hit = true;
    if (!c->hit)
        return true;
    if (self.fault == FAULT_KILL || self.fault == FAULT_CRASH)
        die();
    if (self.fault == FAULT_STOP || self.fault == FAULT_WARM_STOP) {
        __atomic_add_fetch(&self.shared->fired, 1, __ATOMIC_SEQ_CST);
        stop_here();
        return true;
    }
    bool no_space = (self.fault == FAULT_ENOSPC || self.fault == FAULT_ENOSPC_FROM) &&
                    (traits & CALL_NEEDS_ROOM);
    if (!no_space && self.fault != FAULT_EIO)
        return true;
    __atomic_add_fetch(&self.shared->fired, 1, __ATOMIC_SEQ_CST);
    errno = no_space ? ENOSPC : EIO;
    return false;
}

size_t call_cut(const struct call *c, size_t len)
{
    return c->hit && self.fault == FAULT_SHORT ? len / 2 : len;
}

long call_leave_with(const struct call *c, long result, long long a, long long b,
                     const struct iovec *bytes, size_t bytes_count)
{
    int error = errno;

    if (self.fault == FAULT_RECORD) {
        if (result >= 0)
            note(c, a, b, bytes, bytes_count, bytes ? (size_t)result : 0);
        __atomic_store_n(&self.shared->locked, 0, __ATOMIC_RELEASE);
    }
    if (c->hit && (self.fault == FAULT_KILL_AFTER || self.fault == FAULT_WARM_KILL ||
                   (self.fault == FAULT_SHORT && (c->traits & CALL_PUTS_BYTES))))
        die();
    errno = error;
    return result;
}

long call_leave(const struct call *c, long result)
{
    return call_leave_with(c, result, 0, 0, NULL, 0);
}
