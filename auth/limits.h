/* What callers may do at most, counted over all server processes of a data directory: requests a
 * second and a day, by tenant and by subject; and how many values of a guessed field may be tried
 * for one person a day.
 *
 * The counts are in one file that every process maps: what one of them counts, the others see at
 * once. Every change is one compare-and-swap of a word, so that a process which is killed leaves
 * nothing half done, and nobody waits for anybody. What a crash of the machine loses is at most
 * what the kernel had not written back. */
#ifndef EVERLINE_AUTH_LIMITS_H
#define EVERLINE_AUTH_LIMITS_H

#include "base/status.h"

#include <stdint.h>

struct auth_limits;

/* Makes the file, with all of its blocks, when it is missing. ST_CORRUPT: it is another one. */
enum st auth_limits_open(struct auth_limits **out, const char *path) ST_MUST_USE;
void auth_limits_close(struct auth_limits *l);

/* 0: no limit. */
struct auth_rate {
    uint32_t per_second, burst; /* burst 0: per_second */
    uint64_t per_day;           /* UTC */
    uint32_t most;              /* that are taken at once; 0: no more than the burst */
};

struct auth_quota {
    bool limited;     /* there is a limit */
    bool by_day;      /* what follows is of the day, which is used up, or has no other beside it */
    uint64_t left;    /* requests that would pass now */
    uint32_t reset_s; /* until all of them would */
    uint32_t retry_s; /* when it was refused: until it would pass */
};

/* Takes `count` requests of a caller (`subject` "" for the tenant as a whole) at `now_us` (wall
 * clock). False: refused, and nothing was taken. More than the burst at once pass when nothing else
 * has been taken, and are paid for afterwards. A clock that is set back by more than a minute makes
 * the second forget what was taken, so that it keeps nobody out until it is where it was. */
bool auth_limits_take(struct auth_quota *out, struct auth_limits *l, const char *tenant,
                      const char *subject, const struct auth_rate *rate, uint64_t count,
                      int64_t now_us);
/* Gives back what was taken, when something else refuses the request. */
void auth_limits_return(struct auth_limits *l, const char *tenant, const char *subject,
                        const struct auth_rate *rate, uint64_t count, int64_t now_us);

#define AUTH_GUESS_BYTES 16
#define AUTH_GUESSES_MAX 70

/* Notes that `key` was asked for; `base` stands for its other fields. ST_LIMITED: it would be more
 * than `limit` different keys of this base today (UTC), and is not noted; those that were asked for
 * before pass. ST_FULL, GUESS_TABLE_FULL: the tenant has asked for too many others today, and no
 * other tenant feels it. */
enum st auth_limits_guess(struct auth_limits *l, const char *tenant,
                          const unsigned char base[AUTH_GUESS_BYTES],
                          const unsigned char key[AUTH_GUESS_BYTES], unsigned limit,
                          int64_t now_us) ST_MUST_USE;

#endif
