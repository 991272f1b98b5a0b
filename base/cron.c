#include "base/cron.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SEARCH_DAYS 146097 /* 400 years, after which the calendar repeats, weekdays and all */
#define MINUTE_US 60000000
#define DAY_US (1440ll * MINUTE_US)

static const char *const MONTHS[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                     "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const WEEKDAYS[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct field {
    const char *name;
    unsigned min, max;
    const char *const *words; /* of min, min + 1, ...; or NULL */
} FIELDS[] = {{"minute", 0, 59, NULL},
              {"hour", 0, 23, NULL},
              {"day of the month", 1, 31, NULL},
              {"month", 1, 12, MONTHS},
              {"day of the week", 0, 7, WEEKDAYS}}; /* 7: Sunday too */
enum { FIELD_COUNT = sizeof FIELDS / sizeof FIELDS[0] };

static enum st refuse(const struct field *f, const char *text)
{
    return st_hint(st_fail(ST_INVALID, "INVALID_SCHEDULE", "\"%.40s\" is no %s", text, f->name),
                   "five fields, as in \"30 4 * * 1-5\": minute 0-59, hour 0-23, day 1-31, month "
                   "1-12 or jan, weekday 0-7 or mon; lists 1,2, ranges 1-5, steps */15");
}

static bool read_number(unsigned *out, const char **at, const struct field *f)
{
    char *end;

    for (unsigned i = 0; f->words && f->words[i]; i++)
        if (strncasecmp(*at, f->words[i], 3) == 0) {
            *out = f->min + i;
            *at += 3;
            return true;
        }
    if (**at < '0' || **at > '9')
        return false;
    unsigned long number = strtoul(*at, &end, 10);
    *at = end;
    *out = (unsigned)number;
    return number <= 1000;
}

/* NUMBER, FIRST-LAST, *; each with /STEP. Moves *at behind it. */
static bool read_part(uint64_t *bits, const char **at, const struct field *f)
{
    unsigned first = f->min, last = f->max, step = 1;

    if (**at == '*') {
        ++*at;
    } else {
        if (!read_number(&first, at, f))
            return false;
        last = first;
        if (**at == '-') {
            ++*at;
            if (!read_number(&last, at, f))
                return false;
        } else if (**at == '/') {
            last = f->max;
        }
    }
    if (**at == '/') {
        ++*at;
        if (**at < '1' || **at > '9' || !read_number(&step, at, &FIELDS[0]))
            return false;
    }
    if (first < f->min || last > f->max || first > last)
        return false;
    for (unsigned i = first; i <= last; i += step)
        *bits |= 1ull << i;
    return true;
}

static enum st read_field(uint64_t *bits, const struct field *f, const char *text)
{
    const char *at = text;

    *bits = 0;
    while (read_part(bits, &at, f)) {
        if (*at == '\0')
            return ST_OK;
        if (*at++ != ',')
            break;
    }
    return refuse(f, text);
}

enum st cron_parse(struct cron *out, const char *text)
{
    char copy[200], *rest = NULL;
    uint64_t bits[FIELD_COUNT];
    bool any[FIELD_COUNT];
    size_t count = 0;

    if (strlen(text) >= sizeof copy)
        return st_fail(ST_INVALID, "INVALID_SCHEDULE", "a schedule has at most %zu characters",
                       sizeof copy - 1);
    strcpy(copy, text);
    for (char *word = strtok_r(copy, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        if (count == FIELD_COUNT)
            return st_fail(ST_INVALID, "INVALID_SCHEDULE", "a schedule has five fields, not more");
        enum st st = read_field(&bits[count], &FIELDS[count], word);
        if (st)
            return st;
        any[count++] = word[0] == '*';
    }
    if (count < FIELD_COUNT)
        return st_fail(ST_INVALID, "INVALID_SCHEDULE", "a schedule has five fields, not %zu",
                       count);
    *out = (struct cron){.minutes = bits[0],
                         .hours = (uint32_t)bits[1],
                         .days = (uint32_t)bits[2],
                         .months = (uint16_t)bits[3],
                         .weekdays = (uint8_t)((bits[4] | bits[4] >> 7) & 0x7f),
                         .any_day = any[2],
                         .any_weekday = any[4]};
    return cron_next(out, 0) ? ST_OK
                             : st_fail(ST_INVALID, "INVALID_SCHEDULE", "that day never comes");
}

static bool is_on(const struct cron *c, int32_t day)
{
    unsigned month, of_month, weekday = (unsigned)(((day + 4) % 7 + 7) % 7); /* 1970: a Thursday */
    int year;

    clock_civil_from_days(day, &year, &month, &of_month);
    bool by_day = c->days >> of_month & 1, by_weekday = c->weekdays >> weekday & 1;
    return (c->months >> month & 1) &&
           (c->any_day || c->any_weekday ? by_day && by_weekday : by_day || by_weekday);
}

int64_t cron_next(const struct cron *c, int64_t after_us)
{
    int64_t at_us = (after_us / MINUTE_US + 1) * MINUTE_US;
    int32_t day = (int32_t)(at_us / DAY_US), last = day + SEARCH_DAYS;
    unsigned minute = (unsigned)(at_us % DAY_US / MINUTE_US);

    for (; day <= last; day++, minute = 0)
        for (; is_on(c, day) && minute < 1440; minute++)
            if ((c->hours >> minute / 60 & 1) && (c->minutes >> minute % 60 & 1))
                return (int64_t)day * DAY_US + (int64_t)minute * MINUTE_US;
    return 0;
}
