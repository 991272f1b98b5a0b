/* The file of auth/limits.h, and its two tables. Room-private. */
#ifndef EVERLINE_AUTH_LIMITS_FILE_H
#define EVERLINE_AUTH_LIMITS_FILE_H

#include "auth/limits.h"

#include <stdatomic.h>

#define LIMITS_BUCKETS (1u << 16)
#define LIMITS_GUESSES (1u << 20)
#define LIMITS_VALUES 7

struct limits_bucket {
    _Atomic uint64_t owner;   /* hash of tenant and subject; 0: nobody's */
    _Atomic uint64_t full_us; /* when it will be full again: GCRA's theoretical arrival time */
    _Atomic uint64_t today;   /* the day in the upper 16 bits, what was taken in the others */
    uint64_t unused;
};

/* A word of another day is an empty one: nothing is ever cleared. */
struct limits_guess {
    _Atomic uint64_t tag;                   /* day, and 48 bits of the base's hash */
    _Atomic uint64_t values[LIMITS_VALUES]; /* day, and 48 bits of a key's hash */
};

struct limits_file {
    char magic[16];
    uint64_t seed;
    char unused[40];
    struct limits_bucket buckets[LIMITS_BUCKETS];
    struct limits_guess guesses[LIMITS_GUESSES];
};

struct auth_limits {
    struct limits_file *file; /* mapped, shared */
};

static inline uint64_t limits_day(int64_t now_us)
{
    return (uint64_t)(now_us / 86400000000) & 0xffff;
}

/* MurmurHash3's finaliser: every bit of the result depends on every bit of `x`. */
static inline uint64_t limits_mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

#endif
