/* One call that changes what a disk holds: which files it is about, its number, and what is to
 * happen to it. inject.c says what the library is for. */
#ifndef EVERLINE_FAULT_INJECT_CALL_H
#define EVERLINE_FAULT_INJECT_CALL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* What a call does to the disk. */
#define CALL_NEEDS_ROOM 1u
#define CALL_PUTS_BYTES 2u

struct call {
    const char *name;
    char path[2 * PATH_MAX], to[2 * PATH_MAX]; /* below the root, without it */
    unsigned traits;
    uint64_t number;
    bool hit;       /* the fault is for this call */
    bool is_synced; /* the descriptor is O_DSYNC or O_SYNC */
};

/* Is there a root, and are calls below it ours? */
bool call_watching(void);

/* A path as it is named in the log; false: it is not below the root. */
bool call_resolve(char out[2 * PATH_MAX], int dir_fd, const char *path);
bool call_resolve_fd(char out[2 * PATH_MAX], int fd);

/* Counts the call, which has its name and paths. False: it must fail, errno says how. */
bool call_enter(struct call *c, unsigned traits);

/* How much of `len` bytes this call writes. */
size_t call_cut(const struct call *c, size_t len);

/* After the call: passes `result` on. _with: a, b and as many of the bytes as `result` says are
 * what a replay needs. */
long call_leave(const struct call *c, long result);
long call_leave_with(const struct call *c, long result, long long a, long long b,
                     const struct iovec *bytes, size_t bytes_count);

/* Puts a line into the log for what is not counted. */
void call_mention(const struct call *c);

/* In the state file, when allocations are what fails; the test writes it.
 * While `armed`, they are counted, and those from number `from` (the first is 0) up to the one
 * before `until` fail. */
struct memory_plan {
    _Atomic uint64_t count, fired, armed, from, until;
};

/* NULL: allocations are not what fails, or this is not the first process of the run. */
struct memory_plan *call_memory_plan(void);
bool call_memory_fails(void);

/* A segment is being warmed: the process stops, if the fault is "warm" or one of its kinds and
 * `armed` is set, once. */
void call_warm(void);

/* The strings that a program which is given an environment of its own must have in it as well. */
size_t call_environment(char **out);
#define CALL_ENVIRONMENT_MAX 5

#endif
