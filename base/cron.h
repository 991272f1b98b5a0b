/* Times that repeat, as crontab(5) writes them: minute, hour, day of the month, month, day of the
 * week; each a list of numbers, names, ranges and steps, or `*`. In UTC. */
#ifndef EVERLINE_BASE_CRON_H
#define EVERLINE_BASE_CRON_H

#include "base/status.h"

#include <stdint.h>

struct cron {
    uint64_t minutes; /* bit n: at n */
    uint32_t hours, days;
    uint16_t months;
    uint8_t weekdays; /* 0: Sunday */
    /* When both days are restricted, either of them will do (POSIX crontab). */
    bool any_day, any_weekday;
};

/* ST_INVALID says which field is wrong, and also when it never comes (30 February). */
enum st cron_parse(struct cron *out, const char *text) ST_MUST_USE;

/* The first time after `after_us`, both in microseconds since the epoch. */
int64_t cron_next(const struct cron *c, int64_t after_us);

#endif
