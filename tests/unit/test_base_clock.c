#include "base/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void a_time_survives_formatting_and_parsing(void **state)
{
    static const int64_t TIMES[] = {0, 1, 951825600123456, 1795244400000000, 253402300799999999};

    (void)state;
    for (size_t i = 0; i < sizeof TIMES / sizeof TIMES[0]; i++) {
        char text[CLOCK_TEXT_SIZE];
        int64_t back = -1;
        clock_format(text, TIMES[i]);
        assert_int_equal(clock_parse(&back, text), ST_OK);
        assert_int_equal(back, TIMES[i]);
    }
}

/* gmtime_r is glibc's; the names are RFC 9110's. */
static void a_date_of_http_is_what_the_c_library_makes_of_it(void **state)
{
    static const int64_t TIMES[] = {0, 784111777, 951782400, 1795244400, 253402300799};

    (void)state;
    for (int i = 0; i < 400 + (int)(sizeof TIMES / sizeof TIMES[0]); i++) {
        char text[CLOCK_HTTP_DATE_SIZE], expected[CLOCK_HTTP_DATE_SIZE];
        int64_t at_s = i < 400 ? 1795244400 + i * 90061LL : TIMES[i - 400]; /* a day, 01:01:01 */
        struct tm tm;
        time_t t = at_s;
        assert_non_null(gmtime_r(&t, &tm));
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        clock_format_http(text, at_s);
        assert_string_equal(text, expected);
    }
    char text[CLOCK_HTTP_DATE_SIZE];
    clock_format_http(text, 784111777);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static void an_offset_is_taken_into_account(void **state)
{
    int64_t utc, other;

    (void)state;
    assert_int_equal(clock_parse(&utc, "2026-01-31T23:30:00Z"), ST_OK);
    assert_int_equal(clock_parse(&other, "2026-02-01T01:00:00.000+01:30"), ST_OK);
    assert_int_equal(other, utc);
    assert_int_equal(utc, 1769902200000000);
    assert_int_equal(clock_parse(&utc, "9999-12-31T23:59:59.999999Z"), ST_OK);
    assert_int_equal(clock_parse(&other, "9999-12-31T22:59:59.999999-01:00"), ST_OK);
    assert_int_equal(other, utc);
}

static void what_is_not_a_time_is_refused(void **state)
{
    static const char *const BAD[] = {
        "",
        "2026-01-31",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T00:60:00Z",
        "2026-01-31T00:00:00",
        "2026-01-31T00:00:00Zx",
        "2026-01-31T00:00:00.Z",
        "2026-01-31T00:00:00+25:00",
        "0000-01-01T00:59:59+01:00",
        "9999-12-31T23:00:00-01:00",
    };

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        int64_t us;
        if (clock_parse(&us, BAD[i]) != ST_INVALID)
            fail_msg("accepted: %s", BAD[i]);
    }
}

static void days_and_dates_agree_over_four_hundred_years(void **state)
{
    int32_t last = clock_days_from_civil(2100, 1, 1);

    (void)state;
    for (int32_t day = clock_days_from_civil(1700, 1, 1); day < last; day++) {
        int year;
        unsigned month, of_month;
        clock_civil_from_days(day, &year, &month, &of_month);
        assert_true(clock_date_exists(year, month, of_month));
        assert_int_equal(clock_days_from_civil(year, month, of_month), day);
    }
    assert_int_equal(clock_days_from_civil(1970, 1, 1), 0);
    assert_int_equal(clock_days_from_civil(2000, 3, 1), 11017);
    assert_false(clock_date_exists(1900, 2, 29));
    assert_true(clock_date_exists(2000, 2, 29));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_survives_formatting_and_parsing),
        cmocka_unit_test(a_date_of_http_is_what_the_c_library_makes_of_it),
        cmocka_unit_test(an_offset_is_taken_into_account),
        cmocka_unit_test(what_is_not_a_time_is_refused),
        cmocka_unit_test(days_and_dates_agree_over_four_hundred_years),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
