/* What people see of work that takes long. */
#include "base/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define COLUMNS_MAX 200

static const struct progress_view VIEW = {.what = "flights", .unit = "rows", .phase = "preparing"};

static void assert_line(uint64_t done, uint64_t total, uint64_t ns, size_t columns,
                        const char *wanted)
{
    char line[512];

    progress_view_line(line, sizeof line, &VIEW, done, total, ns, columns);
    assert_string_equal(line, wanted);
}

static void a_line_has_phase_rows_rate_and_the_time_that_is_left(void **state)
{
    (void)state;
    assert_line(500, 2000, 5 * SECOND, 100,
                "flights preparing  [######                  ] 500 rows, 100 rows/s, 16s left");
    assert_line(500, 2000, 5 * SECOND, 0, "flights: preparing, 500 rows, 100 rows/s, 16s left");
    assert_line(100, 100000, 100 * SECOND, 0,
                "flights: preparing, 100 rows, 1 rows/s, 27h45m left");
    assert_line(100, 200, 100 * SECOND, 0, "flights: preparing, 100 rows, 1 rows/s, 1m41s left");
}

static void what_is_not_known_is_not_said(void **state)
{
    (void)state;
    assert_line(500, 0, 5 * SECOND, 100, "flights preparing  500 rows, 100 rows/s");
    assert_line(0, 0, 75 * SECOND, 100, "flights preparing  1m15s");
    assert_line(0, 0, 75 * SECOND, 0, "flights: preparing, 1m15s");
    assert_line(500, 2000, SECOND / 10, 0, "flights: preparing, 500 rows");
    assert_line(2001, 2000, 5 * SECOND, 0, "flights: preparing, 2001 rows, 400 rows/s");
}

static void in_a_narrow_window_bar_and_rate_give_way_and_no_line_breaks(void **state)
{
    char line[512];

    (void)state;
    assert_line(500, 2000, 5 * SECOND, 61,
                "flights preparing  [##      ] 500 rows, 100 rows/s, 16s left");
    assert_line(500, 2000, 5 * SECOND, 60, "flights preparing  500 rows, 100 rows/s, 16s left");
    assert_line(500, 2000, 5 * SECOND, 40, "flights preparing  500 rows, 16s left");
    for (size_t columns = 1; columns < COLUMNS_MAX; columns++) {
        progress_view_line(line, sizeof line, &VIEW, 500, 2000, 5 * SECOND, columns);
        assert_true(strlen(line) < columns);
    }
}

static void what_goes_on_is_not_full(void **state)
{
    (void)state;
    for (uint64_t done = 2000; done <= 2001; done++)
        for (size_t columns = 60; columns <= 100; columns += 40) {
            char line[512];
            progress_view_line(line, sizeof line, &VIEW, done, 2000, SECOND / 10, columns);
            assert_non_null(strstr(line, "# ] "));
        }
    assert_int_equal(progress_percent(0, 2000), 0);
    assert_int_equal(progress_percent(1999, 2000), 99);
    assert_int_equal(progress_percent(2000, 2000), 99);
    assert_int_equal(progress_percent(2001, 2000), 99);
}

/* The rows of some more files than were thought, and what they are estimated at by then. */
static void an_estimate_goes_never_back(void **state)
{
    static const uint64_t told[][3] = {{10, 100, 100}, {20, 100, 100}, {30, 200, 150},
                                       {40, 200, 200}, {41, 100, 100}, {42, 0, 0},
                                       {99, 99, 99},   {100, 200, 100}};
    double share = 0;

    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        assert_int_equal(progress_total(&share, told[i][0], told[i][1]), told[i][2]);
}

static uint64_t now_ns;

uint64_t __wrap_clock_steady_ns(void);
uint64_t __wrap_clock_steady_ns(void)
{
    return now_ns;
}

/* What is told on stderr, which is a file, while 1000 rows a second are prepared for so long. */
static void tell(char *out, size_t size, unsigned seconds)
{
    char path[] = "/tmp/everline-progress-XXXXXX";
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    struct progress_view v;

    assert_true(file >= 0 && before >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    now_ns = 0;
    progress_view_init(&v, "flights");
    for (unsigned ms = 0; ms <= seconds * 1000; ms += 100) {
        now_ns = ms * (SECOND / 1000);
        progress_view_tell(VIEW.phase, ms, 20000, &v);
    }
    progress_view_end(&v);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    ssize_t len = pread(file, out, size - 1, 0);
    assert_true(len >= 0);
    out[len] = '\0';
    close(before);
    close(file);
}

static void where_there_is_no_terminal_a_line_is_told_every_three_seconds(void **state)
{
    char told[4096];

    (void)state;
    tell(told, sizeof told, 2);
    assert_string_equal(told, "");
    tell(told, sizeof told, 10);
    assert_string_equal(told, "flights: preparing, 3000 rows, 1000 rows/s, 18s left\n"
                              "flights: preparing, 6000 rows, 1000 rows/s, 15s left\n"
                              "flights: preparing, 9000 rows, 1000 rows/s, 12s left\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_phase_rows_rate_and_the_time_that_is_left),
        cmocka_unit_test(what_is_not_known_is_not_said),
        cmocka_unit_test(in_a_narrow_window_bar_and_rate_give_way_and_no_line_breaks),
        cmocka_unit_test(what_goes_on_is_not_full),
        cmocka_unit_test(an_estimate_goes_never_back),
        cmocka_unit_test(where_there_is_no_terminal_a_line_is_told_every_three_seconds),
    };

    return cmocka_run_group_tests_name("base_progress", tests, NULL, NULL);
}
