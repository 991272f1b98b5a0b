/* Time: wall clock in microseconds since the epoch (UTC), steady clock in nanoseconds, RFC 3339. */
#ifndef EVERLINE_BASE_CLOCK_H
#define EVERLINE_BASE_CLOCK_H

#include "base/status.h"

#include <stdint.h>

#define CLOCK_TEXT_SIZE 28      /* "2026-11-21T07:00:00.123456Z" and the NUL */
#define CLOCK_HTTP_DATE_SIZE 30 /* "Sat, 21 Nov 2026 07:00:00 GMT" and the NUL */

int64_t clock_wall_us(void);
int64_t clock_wall_s(void);     /* at the last tick of the timer */
uint64_t clock_steady_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_coarse_ns(void); /* the same at the last tick of the timer, at most 10 ms ago */
uint64_t clock_boot_ms(void);   /* CLOCK_BOOTTIME: goes on while the machine sleeps */

/* The kernel's boot id, so that a CLOCK_BOOTTIME value of another boot is recognised. Borrowed,
 * static; "unknown" where there is none. */
const char *clock_boot_id(void);

void clock_format(char out[CLOCK_TEXT_SIZE], int64_t wall_us);          /* of the years 0 to 9999 */
void clock_format_http(char out[CLOCK_HTTP_DATE_SIZE], int64_t wall_s); /* of 1970 to 9999 */
enum st clock_parse(int64_t *wall_us, const char *text) ST_MUST_USE;    /* RFC 3339, any offset */

/* Proleptic Gregorian calendar: days since 1970-01-01, and back. */
int32_t clock_days_from_civil(int year, unsigned month, unsigned day);
void clock_civil_from_days(int32_t days, int *year, unsigned *month, unsigned *day);
bool clock_date_exists(int year, unsigned month, unsigned day);

#endif
