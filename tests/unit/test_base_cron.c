#include "base/clock.h"
#include "base/cron.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What follows after a time, for each expression; the days are those of a calendar. */
static const struct {
    const char *cron, *after, *next;
} NEXT[] = {
    {"* * * * *", "2026-11-21T07:00:00Z", "2026-11-21T07:01:00.000000Z"},
    {"* * * * *", "2026-11-21T07:00:59.999999Z", "2026-11-21T07:01:00.000000Z"},
    {"30 4 * * *", "2026-11-21T04:29:59Z", "2026-11-21T04:30:00.000000Z"},
    {"30 4 * * *", "2026-11-21T04:30:00Z", "2026-11-22T04:30:00.000000Z"},
    {"*/20 * * * *", "2026-11-21T04:41:00Z", "2026-11-21T05:00:00.000000Z"},
    {"5/20 * * * *", "2026-11-21T04:26:00Z", "2026-11-21T04:45:00.000000Z"},
    {"10-30/10,59 * * * *", "2026-11-21T04:30:00Z", "2026-11-21T04:59:00.000000Z"},
    {"0 0 1 jan *", "2026-11-21T04:30:00Z", "2027-01-01T00:00:00.000000Z"},
    {"0 0 29 2 *", "2026-11-21T04:30:00Z", "2028-02-29T00:00:00.000000Z"},
    {"0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00.000000Z"},
    {"0 0 29 2 */7", "2096-02-29T00:00:00Z", "2128-02-29T00:00:00.000000Z"}, /* a Sunday */
    {"0 0 29 2 */7", "2032-02-29T00:00:00Z", "2060-02-29T00:00:00.000000Z"},
    {"0 9 * * mon-fri", "2026-11-20T09:00:00Z", "2026-11-23T09:00:00.000000Z"}, /* a Friday */
    {"0 9 * * 7", "2026-11-21T09:00:00Z", "2026-11-22T09:00:00.000000Z"},
    {"0 9 * * 0", "2026-11-21T09:00:00Z", "2026-11-22T09:00:00.000000Z"},
    {"0 9 25 * sun", "2026-11-21T09:00:00Z", "2026-11-22T09:00:00.000000Z"}, /* either */
    {"0 9 25 * sun", "2026-11-22T09:00:00Z", "2026-11-25T09:00:00.000000Z"},
    {"0 9 25 * *", "2026-11-22T09:00:00Z", "2026-11-25T09:00:00.000000Z"},
    {"0 0 31 * *", "2026-11-21T00:00:00Z", "2026-12-31T00:00:00.000000Z"},
    {"59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00.000000Z"},
};

static void test_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof NEXT / sizeof NEXT[0]; i++) {
        char text[CLOCK_TEXT_SIZE];
        struct cron c;
        int64_t after_us;

        assert_int_equal(cron_parse(&c, NEXT[i].cron), ST_OK);
        assert_int_equal(clock_parse(&after_us, NEXT[i].after), ST_OK);
        clock_format(text, cron_next(&c, after_us));
        if (strcmp(text, NEXT[i].next) != 0)
            fail_msg("%s after %s: %s, not %s", NEXT[i].cron, NEXT[i].after, text, NEXT[i].next);
    }
}

/* Every minute of two years, told one by one. */
static void test_agrees_with_a_walk(void **state)
{
    struct cron c;
    int64_t at_us = 1764547200000000; /* 2025-12-01 */
    unsigned found = 0;

    (void)state;
    assert_int_equal(cron_parse(&c, "7,37 */6 1-7 * tue"), ST_OK);
    for (int64_t next = cron_next(&c, at_us); at_us < 1764547200000000 + 731ll * 86400000000;) {
        at_us += 60000000;
        int64_t minute = at_us / 60000000;
        int year;
        unsigned month, day;
        clock_civil_from_days((int32_t)(minute / 1440), &year, &month, &day);
        bool is = (minute % 60 == 7 || minute % 60 == 37) && minute / 60 % 24 % 6 == 0 &&
                  (day <= 7 || (minute / 1440 + 4) % 7 == 2);
        assert_int_equal(is, at_us == next);
        if (is)
            next = cron_next(&c, at_us);
        found += is;
    }
    assert_true(found > 1000);
}

/* Schedules are in UTC: where clocks are put forward and back, an hour is neither skipped nor there
 * twice. The days are those of 2026 in that zone, and the ones around them. */
static void test_no_zone_moves_it(void **state)
{
    static const struct {
        const char *zone, *from;
    } CHANGES[] = {{"America/New_York", "2026-03-06T00:00:00Z"},
                   {"America/New_York", "2026-10-30T00:00:00Z"},
                   {"EST5EDT,M3.2.0,M11.1.0", "2026-03-06T00:00:00Z"},
                   {"EST5EDT,M3.2.0,M11.1.0", "2026-10-30T00:00:00Z"},
                   {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-27T00:00:00Z"},
                   {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-23T00:00:00Z"}};
    struct cron hourly, nightly;

    (void)state;
    assert_int_equal(cron_parse(&hourly, "0 * * * *"), ST_OK);
    assert_int_equal(cron_parse(&nightly, "30 2 * * *"), ST_OK);
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        int64_t hour_us, night_us;
        assert_int_equal(setenv("TZ", CHANGES[i].zone, 1), 0);
        tzset();
        assert_int_equal(clock_parse(&hour_us, CHANGES[i].from), ST_OK);
        night_us = hour_us + 150 * 60000000ll - 86400000000ll;
        for (int day = 0; day < 5; day++) {
            assert_int_equal(cron_next(&nightly, night_us), night_us + 86400000000ll);
            night_us += 86400000000ll;
            for (int hour = 0; hour < 24; hour++, hour_us += 3600000000ll)
                assert_int_equal(cron_next(&hourly, hour_us), hour_us + 3600000000ll);
        }
    }
    unsetenv("TZ");
    tzset();
}

static void test_refused(void **state)
{
    static const char *const WRONG[][2] = {
        {"", "five"},           {"* * * *", "five"},       {"* * * * * *", "five"},
        {"60 * * * *", "min"},  {"* 24 * * *", "hour"},    {"* * 0 * *", "day of the month"},
        {"* * * 13 *", "mon"},  {"* * * * 8", "week"},     {"*/0 * * * *", "minute"},
        {"5-1 * * * *", "min"}, {"1, * * * *", "minute"},  {",1 * * * *", "minute"},
        {"1;2 * * * *", "min"}, {"-1 * * * *", "minute"},  {"* * 30 feb *", "never"},
        {"* * * * mo", "week"}, {"1- * * * *", "minute"},  {"99999999999999999999 * * * *", "min"},
        {"@daily", "minute"},   {"* * * janx *", "month"}, {"*1 * * * *", "minute"},
    };
    char longest[300];
    struct cron c;

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        assert_int_equal(cron_parse(&c, WRONG[i][0]), ST_INVALID);
        if (!strstr(st_message(), WRONG[i][1]))
            fail_msg("%s: %s", WRONG[i][0], st_message());
    }
    memset(longest, '*', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(cron_parse(&c, longest), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_agrees_with_a_walk),
        cmocka_unit_test(test_no_zone_moves_it),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
