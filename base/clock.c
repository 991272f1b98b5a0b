#include "base/clock.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_S 86400
#define DAY_US 86400000000LL

int64_t clock_wall_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_s(void)
{
    return time(NULL);
}

uint64_t clock_steady_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_coarse_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_boot_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static char boot_id[64] = "unknown";
static pthread_once_t boot_id_once = PTHREAD_ONCE_INIT;

static void read_boot_id(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, boot_id, sizeof boot_id - 1) : -1;

    if (n > 0)
        boot_id[strcspn(boot_id, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

const char *clock_boot_id(void)
{
    pthread_once(&boot_id_once, read_boot_id);
    return boot_id;
}

/* Days and civil dates: the era-based algorithm for the proleptic Gregorian calendar (a year that
 * begins in March puts the leap day at its end). */
int32_t clock_days_from_civil(int year, unsigned month, unsigned day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = (y >= 0 ? y : y - 399) / 400;
    int year_of_era = y - era * 400;
    int day_of_year = (153 * ((int)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int)day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

void clock_civil_from_days(int32_t days, int *year, unsigned *month, unsigned *day)
{
    int64_t z = (int64_t)days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* March = 0 */

    *day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2 ? 1 : 0));
}

bool clock_date_exists(int year, unsigned month, unsigned day)
{
    static const unsigned char DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month < 1 || month > 12 || day < 1)
        return false;
    if (day <= 28)
        return true;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= DAYS[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* The last `count` digits of a number, and what stands behind them; gives the end. */
static char *add_digits(char *out, unsigned count, int64_t value, char behind)
{
    for (unsigned i = count; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
    out[count] = behind;
    return out + count + 1;
}

void clock_format(char out[CLOCK_TEXT_SIZE], int64_t wall_us)
{
    int64_t days = wall_us / DAY_US, rest = wall_us % DAY_US;
    unsigned month, day;
    int year;

    if (rest < 0) {
        rest += DAY_US;
        days--;
    }
    clock_civil_from_days((int32_t)days, &year, &month, &day);
    int64_t s = rest / 1000000;
    out = add_digits(out, 4, year, '-');
    out = add_digits(out, 2, month, '-');
    out = add_digits(out, 2, day, 'T');
    out = add_digits(out, 2, s / 3600, ':');
    out = add_digits(out, 2, s / 60 % 60, ':');
    out = add_digits(out, 2, s % 60, '.');
    out = add_digits(out, 6, rest % 1000000, 'Z');
    *out = '\0';
}

/* RFC 9110 section 5.6.7. */
void clock_format_http(char out[CLOCK_HTTP_DATE_SIZE], int64_t wall_s)
{
    static const char DAYS[] = "Thu, Fri, Sat, Sun, Mon, Tue, Wed, "; /* from that of 1970-01-01 */
    static const char MONTHS[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
    int64_t days = wall_s / DAY_S, s = wall_s % DAY_S;
    unsigned month, day;
    int year;

    clock_civil_from_days((int32_t)days, &year, &month, &day);
    memcpy(out, DAYS + days % 7 * 5, 5);
    out = add_digits(out + 5, 2, day, ' ');
    memcpy(out, MONTHS + (month - 1) * 4, 4);
    out = add_digits(out + 4, 4, year, ' ');
    out = add_digits(out, 2, s / 3600, ':');
    out = add_digits(out, 2, s / 60 % 60, ':');
    out = add_digits(out, 2, s % 60, ' ');
    memcpy(out, "GMT", 4);
}

/* Exactly `count` digits at *p; moves on. */
static bool digits(const char **p, int count, int *out)
{
    *out = 0;
    for (int i = 0; i < count; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return false;
        *out = *out * 10 + (**p - '0');
    }
    return true;
}

static bool literal(const char **p, char upper, char lower)
{
    if (**p != upper && **p != lower)
        return false;
    (*p)++;
    return true;
}

static bool fraction(const char **p, int64_t *us)
{
    int64_t scale = 100000;

    *us = 0;
    if (**p != '.')
        return true;
    (*p)++;
    if (!isdigit((unsigned char)**p))
        return false;
    for (; isdigit((unsigned char)**p); (*p)++, scale /= 10)
        *us += (**p - '0') * scale;
    return true;
}

static bool offset(const char **p, int *minutes)
{
    int sign = **p == '-' ? -1 : 1, h, m;

    *minutes = 0;
    if (literal(p, 'Z', 'z'))
        return true;
    if (!literal(p, '+', '-') || !digits(p, 2, &h) || !literal(p, ':', ':') || !digits(p, 2, &m))
        return false;
    *minutes = sign * (h * 60 + m);
    return h < 24 && m < 60;
}

static enum st no_time(void)
{
    return st_fail(ST_INVALID, "INVALID_TIME", "not an RFC 3339 time such as 2026-01-31T08:00:00Z");
}

enum st clock_parse(int64_t *wall_us, const char *text)
{
    int year, month, day, hour, minute, second, minutes;
    int64_t us;
    const char *p = text;

    if (!digits(&p, 4, &year) || !literal(&p, '-', '-') || !digits(&p, 2, &month) ||
        !literal(&p, '-', '-') || !digits(&p, 2, &day) || !literal(&p, 'T', 't') ||
        !digits(&p, 2, &hour) || !literal(&p, ':', ':') || !digits(&p, 2, &minute) ||
        !literal(&p, ':', ':') || !digits(&p, 2, &second) || !fraction(&p, &us) ||
        !offset(&p, &minutes) || *p || !clock_date_exists(year, (unsigned)month, (unsigned)day) ||
        hour > 23 || minute > 59 || second > 59)
        return no_time();
    int64_t at_us = clock_days_from_civil(year, (unsigned)month, (unsigned)day) * DAY_US +
                    ((hour * 60 + minute - minutes) * 60LL + second) * 1000000 + us;
    if (at_us < clock_days_from_civil(0, 1, 1) * DAY_US ||
        at_us >= clock_days_from_civil(10000, 1, 1) * DAY_US)
        return no_time(); /* its offset leads to a year that has no four digits */
    *wall_us = at_us;
    return ST_OK;
}
