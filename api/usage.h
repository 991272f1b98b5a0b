/* Metering: request threads count, and every interval what has been counted is added up in the
 * catalog. A kill loses at most the last interval; nothing is counted twice. */
#ifndef EVERLINE_API_USAGE_H
#define EVERLINE_API_USAGE_H

#include "store/keeper.h"
#include "store/usage.h"

struct api_usage;

/* `slots`: request threads. */
enum st api_usage_start(struct api_usage **out, struct store_keeper *keeper, unsigned slots,
                        uint64_t interval_ms) ST_MUST_USE;
/* Adds up what is left; before the keeper stops. Accepts NULL. */
void api_usage_stop(struct api_usage *u);

/* `count` is one request, and gets the day of `now_us`. What cannot be remembered for want of
 * memory is told in the log. `u` may be NULL. */
void api_usage_count(struct api_usage *u, unsigned slot, struct store_usage *count, int64_t now_us);

#endif
