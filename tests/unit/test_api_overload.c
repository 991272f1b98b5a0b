/* When requests are refused because too many wait: not in a stall, not for ever, and not those of
 * who asks little. */
#include "api/overload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#define MAX_MS 250
#define S 1000000000ull
#define MS 1000000ull

static struct api_overload o;

static int set_up(void **state)
{
    (void)state;
    o = (struct api_overload){0};
    return 0;
}

/* A request, which takes a millisecond when it is answered. */
static enum st ask_once(int64_t waited_ms, const char *tenant, uint64_t now_ns)
{
    enum st st = api_overload_judge(&o, waited_ms, tenant, now_ns, MAX_MS);

    if (o.running)
        api_overload_ran(&o, now_ns + MS);
    return st;
}

/* Requests of "a", one a millisecond, that have each waited so long: how many are refused. */
static unsigned ask(uint64_t from_ns, uint64_t to_ns, int64_t waited_ms)
{
    unsigned refused = 0;

    for (uint64_t now = from_ns; now < to_ns; now += MS)
        refused += ask_once(waited_ms, "a", now) != ST_OK;
    return refused;
}

static void a_stall_is_no_overload(void **state)
{
    (void)state;
    assert_int_equal(ask(S, 2 * S, 0), 0);
    assert_int_equal(ask(5 * S, 5 * S + 900 * MS, 3000), 0); /* what it held up is answered */
    assert_int_equal(ask(6 * S, 8 * S, 1), 0);
    assert_false(o.is_overloaded);
}

static void what_has_waited_too_long_is_refused_under_overload(void **state)
{
    (void)state;
    assert_int_equal(ask(S, 2 * S, MAX_MS + 1), 0); /* a second, to be sure of it */
    assert_int_equal(ask(2 * S, 3 * S, MAX_MS + 1), 1000);
    assert_int_equal(api_overload_judge(&o, MAX_MS + 1, "a", 3 * S, MAX_MS), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "OVERLOADED");
    assert_int_equal(ask(3 * S, 3 * S + 10 * MS, MAX_MS / 10), 0); /* in time: answered */
    assert_int_equal(ask(3 * S + 10 * MS, 3 * S + 20 * MS, MAX_MS / 10 + 1), 10);
    assert_int_equal(api_overload_judge(&o, -1, "a", 4 * S, MAX_MS), ST_OK); /* nobody knows */
}

/* Of those that ask again at once some are answered, for as long as it takes to refuse the others.
 */
static void refusing_takes_no_more_time_than_answering(void **state)
{
    unsigned refused = 0;

    (void)state;
    ask(S, 3 * S, MAX_MS + 1);
    refused = ask(3 * S, 13 * S, MAX_MS + 1);
    assert_in_range(refused, 9000, 9800); /* 0.05 ms each; the others take 1 ms */
    assert_true(o.is_overloaded);
}

static void it_ends_when_none_has_waited_for_a_second(void **state)
{
    (void)state;
    ask(S, 3 * S, MAX_MS + 1);
    assert_true(o.is_overloaded);
    ask(3 * S, 5 * S, MAX_MS / 10 + 1); /* less than what began it */
    assert_true(o.is_overloaded);
    ask(5 * S, 6 * S + MS, MAX_MS / 10);
    assert_false(o.is_overloaded);
    assert_int_equal(ask(7 * S, 7 * S + 900 * MS, MAX_MS + 1), 0);
}

static void it_ends_when_nobody_asks_for_a_second(void **state)
{
    (void)state;
    ask(S, 3 * S, MAX_MS + 1);
    assert_true(o.is_overloaded);
    assert_int_equal(ask(60 * S, 60 * S + 900 * MS, MAX_MS + 1), 0); /* a stall, a minute later */
}

/* Two stalls, with nobody who asks between them. */
static void stalls_do_not_add_up(void **state)
{
    (void)state;
    assert_int_equal(ask(S, S + 900 * MS, MAX_MS + 1), 0);
    assert_int_equal(ask(60 * S, 60 * S + 900 * MS, MAX_MS + 1), 0);
}

/* Each takes more than a second, and the next one has waited for it. */
static void overload_is_seen_where_requests_take_seconds(void **state)
{
    (void)state;
    assert_int_equal(api_overload_judge(&o, 5000, "a", S, MAX_MS), ST_OK);
    api_overload_ran(&o, 4 * S);
    assert_int_equal(api_overload_judge(&o, 5000, "a", 4 * S + MS, MAX_MS), ST_UNAVAILABLE);
}

/* Eight in a second, of which each other one waits for the one before it: half of what there is. */
static void it_ends_where_requests_take_long_too(void **state)
{
    (void)state;
    ask(S, 3 * S, MAX_MS + 1);
    assert_true(o.is_overloaded);
    for (uint64_t now = 3 * S; now < 8 * S; now += 250 * MS)
        for (int i = 0; i < 2; i++)
            if (api_overload_judge(&o, i * 60, "a", now + (uint64_t)i * 60 * MS, MAX_MS) == ST_OK)
                api_overload_ran(&o, now + (uint64_t)(i + 1) * 60 * MS);
    assert_false(o.is_overloaded);
}

/* Of a short wait a tenth cannot be told from none: the kernel counts in ticks. */
static void what_has_waited_a_tick_is_answered_however_short_the_longest_wait_is(void **state)
{
    static const uint64_t max_ms[] = {20, 3};
    static const int64_t answered_ms[] = {5, 3};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        o = (struct api_overload){0};
        for (uint64_t now = S; now < 3 * S; now += MS)
            if (api_overload_judge(&o, 21, "a", now, max_ms[i]) == ST_OK)
                api_overload_ran(&o, now + MS);
        assert_true(o.is_overloaded);
        assert_int_equal(api_overload_judge(&o, answered_ms[i], "a", 3 * S, max_ms[i]), ST_OK);
        assert_int_equal(api_overload_judge(&o, answered_ms[i] + 1, "a", 3 * S, max_ms[i]),
                         ST_UNAVAILABLE);
    }
}

static void who_asks_little_is_answered(void **state)
{
    unsigned refused = 0;

    (void)state;
    ask(S, 3 * S, MAX_MS + 1);
    for (uint64_t now = 3 * S; now < 4 * S; now += MS) { /* "b" asks once for five of "a" */
        refused += ask_once(MAX_MS + 1, "a", now) != ST_OK;
        if (now / MS % 5 == 4)
            assert_int_equal(api_overload_judge(&o, MAX_MS + 1, "b", now, MAX_MS), ST_OK);
    }
    assert_true(refused > 950);
}

static void who_asks_more_than_half_as_much_bears_it_too(void **state)
{
    unsigned refused = 0;

    (void)state;
    ask(S, 3 * S, MAX_MS + 1);
    for (uint64_t now = 3 * S; now < 9 * S; now += MS) { /* "b" asks thrice for four of "a" */
        bool is_b = now / MS % 7 % 2;
        bool was_refused = ask_once(MAX_MS + 1, is_b ? "b" : "a", now) != ST_OK;
        refused += is_b && now >= 8 * S && was_refused;
    }
    assert_true(refused > 300); /* of 429 */
}

static void the_first_request_of_who_asks_little_is_answered(void **state)
{
    uint64_t now = S;

    (void)state;
    ask(now, 3 * S, MAX_MS + 1);
    for (now = 3 * S; now < 30 * S; now += 100 * MS) { /* whenever it comes */
        ask(now, now + MS, MAX_MS + 1);
        if (now / (100 * MS) % 7 == 0)
            assert_int_equal(api_overload_judge(&o, MAX_MS + 1, "b", now, MAX_MS), ST_OK);
        if (o.running)
            api_overload_ran(&o, now);
        ask(now + MS, now + 100 * MS, MAX_MS + 1);
    }
    assert_true(o.is_overloaded);
}

/* "a" asks four times a second, for a quarter of it; "b" ten times, for a millisecond. */
static void few_that_take_long_are_refused_and_many_short_ones_are_not(void **state)
{
    unsigned refused = 0;

    (void)state;
    for (uint64_t now = S; now < 6 * S; now += 250 * MS) {
        uint64_t at = now;
        if (api_overload_judge(&o, 2 * MAX_MS, "a", at, MAX_MS) == ST_OK)
            api_overload_ran(&o, at += 240 * MS);
        else
            refused++;
        for (int i = 0; i < 3; i++, at += MS) {
            assert_int_equal(api_overload_judge(&o, MAX_MS + 1, "b", at, MAX_MS), ST_OK);
            api_overload_ran(&o, at + MS);
        }
    }
    assert_true(refused > 10);
}

static void any_number_of_tenants_is_known_in_what_there_is(void **state)
{
    char name[STORE_NAME_SIZE];
    unsigned refused = 0;

    (void)state;
    ask(S, 3 * S, MAX_MS + 1);
    for (unsigned i = 0; i < 4 * API_OVERLOAD_TENANTS; i++) { /* each once: who floods is known */
        snprintf(name, sizeof name, "tenant-%u", i);
        assert_int_equal(api_overload_judge(&o, MAX_MS + 1, name, 3 * S, MAX_MS), ST_OK);
        assert_int_equal(api_overload_judge(&o, MAX_MS + 1, "a", 3 * S, MAX_MS), ST_UNAVAILABLE);
    }
    assert_int_equal(o.tenant_count, API_OVERLOAD_TENANTS);
    for (uint64_t now = 60 * S; now < 65 * S; now += MS) { /* all of them flood together */
        snprintf(name, sizeof name, "tenant-%u", (unsigned)(now / MS) % (4 * API_OVERLOAD_TENANTS));
        refused += ask_once(MAX_MS + 1, name, now) != ST_OK;
    }
    assert_true(refused > 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_stall_is_no_overload, set_up),
        cmocka_unit_test_setup(what_has_waited_too_long_is_refused_under_overload, set_up),
        cmocka_unit_test_setup(refusing_takes_no_more_time_than_answering, set_up),
        cmocka_unit_test_setup(it_ends_when_none_has_waited_for_a_second, set_up),
        cmocka_unit_test_setup(it_ends_when_nobody_asks_for_a_second, set_up),
        cmocka_unit_test_setup(stalls_do_not_add_up, set_up),
        cmocka_unit_test_setup(overload_is_seen_where_requests_take_seconds, set_up),
        cmocka_unit_test_setup(it_ends_where_requests_take_long_too, set_up),
        cmocka_unit_test_setup(what_has_waited_a_tick_is_answered_however_short_the_longest_wait_is,
                               set_up),
        cmocka_unit_test_setup(who_asks_little_is_answered, set_up),
        cmocka_unit_test_setup(who_asks_more_than_half_as_much_bears_it_too, set_up),
        cmocka_unit_test_setup(the_first_request_of_who_asks_little_is_answered, set_up),
        cmocka_unit_test_setup(few_that_take_long_are_refused_and_many_short_ones_are_not, set_up),
        cmocka_unit_test_setup(any_number_of_tenants_is_known_in_what_there_is, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
