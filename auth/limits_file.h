/* The file of auth/limits.h, and its two tables. Room-private. */
#ifndef EVERLINE_AUTH_LIMITS_FILE_H
#define EVERLINE_AUTH_LIMITS_FILE_H

#include "auth/limits.h"

#include <stdatomic.h>
#include <stdbool.h>

#define LIMITS_BUCKETS (1u << 16)
/* The first of them are tenants'. Anybody can have many subjects; they crowd out no tenant. */
#define LIMITS_TENANTS (1u << 14)
#define LIMITS_GUESSES (1u << 22)
#define LIMITS_GUESSES_USED (LIMITS_GUESSES / 4 * 3) /* at most: a fuller table is slow */

struct limits_bucket {
    _Atomic uint64_t owner;   /* hash of tenant and subject; 0: nobody's */
    _Atomic uint64_t full_us; /* when it will be full again: GCRA's theoretical arrival time */
    _Atomic uint64_t today;   /* the day in the upper 16 bits, what was taken in the others */
    _Atomic uint64_t tenant;  /* hash of the owner's; may be of the one before for a moment */
};

/* One value of a base. A word of another day is an empty one: nothing is ever cleared. */
struct limits_guess {
    _Atomic uint64_t tag;   /* day, and 48 bits of a hash of the base and the value's number */
    _Atomic uint64_t value; /* day, and 48 bits of a key's hash */
};

struct limits_file {
    char magic[16];
    uint64_t seed;
    _Atomic uint64_t guesses_today; /* as in a bucket: entries that are in use */
    char unused[32];
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

#define LIMITS_COUNT_BITS 48

/* The bucket of a caller, a tenant's as a `whole` or a subject's. Of one that nobody takes from any
 * more, another caller may become the owner. A tenant has as many of a group of them as are left to
 * the others; where it would have more, a subject of it shares one with another of its own:
 * stricter than they need, and no other tenant feels it. The first subject of a tenant in a group
 * that is full gets one of the tenant that has most of it. */
struct limits_bucket *limits_bucket_of(const struct auth_limits *l, const char *tenant,
                                       const char *subject, bool whole, int64_t now_us);

/* MurmurHash3's finaliser: every bit of the result depends on every bit of `x`. */
static inline uint64_t limits_mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

#endif
