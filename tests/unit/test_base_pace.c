/* Background work rests as long as it worked: at most half of a core is taken, as the clock says.
 */
#include "base/pace.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#define MS UINT64_C(1000000)

static uint64_t now_ns, rested_ns;

uint64_t __wrap_clock_steady_ns(void);
uint64_t __wrap_clock_steady_ns(void)
{
    return now_ns;
}

int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                           struct timespec *left);
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                           struct timespec *left)
{
    uint64_t ns = (uint64_t)time->tv_sec * 1000 * MS + (uint64_t)time->tv_nsec;
    assert_int_equal(clock, CLOCK_MONOTONIC);
    assert_int_equal(flags, 0);
    assert_null(left);
    now_ns += ns;
    rested_ns += ns;
    return 0;
}

static _Atomic bool resting, stopping;

static int set_up(void **state)
{
    (void)state;
    now_ns = 5 * MS;
    rested_ns = 0;
    resting = true;
    stopping = false;
    return 0;
}

static void a_step_is_followed_by_as_long_a_rest(void **state)
{
    static const uint64_t steps_ns[] = {1, MS / 10, 3 * MS, 2500 * MS};
    struct pace pace;
    uint64_t worked_ns = 0;
    (void)state;
    pace_begin(&pace, &resting, &stopping);
    for (size_t i = 0; i < sizeof steps_ns / sizeof *steps_ns; i++) {
        now_ns += steps_ns[i];
        worked_ns += steps_ns[i];
        assert_true(pace_rest(&pace));
        assert_int_equal(rested_ns, worked_ns);
    }
}

static void nobody_to_be_felt_by_is_no_reason_to_rest(void **state)
{
    struct pace pace;
    (void)state;
    resting = false;
    pace_begin(&pace, &resting, &stopping);
    now_ns += MS;
    assert_true(pace_rest(&pace));
    assert_int_equal(rested_ns, 0);
    resting = true;
    assert_true(pace_rest(&pace));
    assert_true(rested_ns > 0);
    assert_true(pace_rest(NULL));
}

static void what_is_not_wanted_any_more_ends_without_a_rest(void **state)
{
    struct pace pace;
    (void)state;
    pace_begin(&pace, &resting, &stopping);
    now_ns += MS;
    stopping = true;
    assert_false(pace_rest(&pace));
    assert_int_equal(rested_ns, 0);
}

static void a_rate_is_kept_within_a_nap(void **state)
{
    enum { RATE = 1000000 };
    const uint64_t nap_ns = PACE_NAP_MS * MS, begun_ns = now_ns;
    struct pace pace;
    (void)state;
    pace_begin_rate(&pace, RATE, &stopping);
    for (uint64_t bytes = 0; bytes <= 10 * RATE; bytes += RATE / 4) {
        uint64_t due_ns = bytes / (RATE / 1000) * MS;
        assert_true(pace_rest_after(&pace, bytes));
        assert_true(now_ns - begun_ns >= due_ns && now_ns - begun_ns < due_ns + nap_ns);
    }
    stopping = true;
    assert_false(pace_rest_after(&pace, 100 * RATE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_step_is_followed_by_as_long_a_rest, set_up),
        cmocka_unit_test_setup(nobody_to_be_felt_by_is_no_reason_to_rest, set_up),
        cmocka_unit_test_setup(what_is_not_wanted_any_more_ends_without_a_rest, set_up),
        cmocka_unit_test_setup(a_rate_is_kept_within_a_nap, set_up),
    };

    return cmocka_run_group_tests_name("base_pace", tests, NULL, NULL);
}
