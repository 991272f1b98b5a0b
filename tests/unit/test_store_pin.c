/* Which kept versions are open, when more are asked for than can be. */
#include "store/keeper_internal.h"
#include "store_kit.h"

#include "base/clock.h"

#define TURNS 100

static uint64_t now_ms = 1000000;

uint64_t __wrap_clock_steady_ns(void);
uint64_t __wrap_clock_steady_ns(void)
{
    return now_ms * 1000000u;
}

struct fixture {
    struct store_keeper keeper;
    struct store_view view; /* in which nothing is open yet */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    atomic_store(&f->keeper.current, &f->view);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static enum st ask(struct fixture *f, const char *tenant, uint64_t version)
{
    struct store_wait wait = {.version = version};

    snprintf(wait.tenant, sizeof wait.tenant, "%s", tenant);
    strcpy(wait.dataset, "things");
    return keeper_add_pin(&f->keeper, &wait);
}

static size_t count(const struct fixture *f, const char *tenant)
{
    size_t theirs = 0;

    for (size_t i = 0; i < f->keeper.pin_count; i++)
        theirs += strcmp(f->keeper.pins[i].tenant, tenant) == 0;
    return theirs;
}

static bool has(const struct fixture *f, const char *tenant, uint64_t version)
{
    for (size_t i = 0; i < f->keeper.pin_count; i++)
        if (strcmp(f->keeper.pins[i].tenant, tenant) == 0 && f->keeper.pins[i].version == version)
            return true;
    return false;
}

static void a_tenant_alone_has_them_all_and_the_one_that_was_read_last_goes_last(void **state)
{
    struct fixture *f = *state;

    for (uint64_t v = 1; v <= STORE_PINS_MAX; v++, now_ms++)
        kit_ok(ask(f, "acme", v));
    assert_int_equal(ask(f, "acme", 99), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "TOO_MANY_VERSIONS");
    now_ms += 1000;
    kit_ok(ask(f, "acme", 1));
    kit_ok(ask(f, "acme", 99));
    assert_true(has(f, "acme", 1));
    assert_false(has(f, "acme", 2));
}

static void who_reads_many_keeps_nobody_from_reading_one(void **state)
{
    struct fixture *f = *state;

    for (uint64_t v = 1; v <= STORE_PINS_MAX; v++)
        kit_ok(ask(f, "greedy", v));
    kit_ok(ask(f, "acme", 1));
    for (uint64_t v = 100; v < 100 + TURNS; v++) {
        now_ms += 2000;
        kit_ok(ask(f, "greedy", v));
        assert_true(has(f, "acme", 1));
    }
}

static void those_that_want_more_than_there_are_have_equally_many(void **state)
{
    struct fixture *f = *state;

    for (uint64_t v = 1; v <= TURNS; v++, now_ms += 2000) {
        kit_ok(ask(f, "greedy", v));
        kit_ok(ask(f, "greedy", TURNS + v));
        kit_ok(ask(f, "other", v));
    }
    assert_in_range(count(f, "greedy"), STORE_PINS_MAX / 2, STORE_PINS_MAX / 2 + 1);
    assert_int_equal(count(f, "greedy") + count(f, "other"), STORE_PINS_MAX);
    /* Busy ones of who has no more are not taken away, and so nobody takes them to and fro. */
    for (uint64_t v = 1000; v < 1000 + TURNS; v++)
        (void)ask(f, "greedy", v);
    assert_int_equal(ask(f, "greedy", 1), ST_UNAVAILABLE);
    assert_in_range(count(f, "other"), STORE_PINS_MAX / 2 - 1, STORE_PINS_MAX / 2);
}

/* A request does not wait for the thread that decides. */
static void one_that_was_read_a_moment_ago_is_busy_also_when_that_was_after_the_look(void **state)
{
    struct fixture *f = *state;
    struct serving all[STORE_PINS_MAX] = {0}, *open[STORE_PINS_MAX];

    for (uint64_t v = 1; v <= STORE_PINS_MAX; v++) {
        struct serving *s = open[v - 1] = &all[v - 1];
        s->served.version = v;
        strcpy(s->tenant, "acme");
        strcpy(s->dataset, "things");
        atomic_store(&s->used_ms, now_ms + 1);
        kit_ok(ask(f, "acme", v));
    }
    f->view.pinned = open;
    f->view.pinned_count = STORE_PINS_MAX;
    assert_int_equal(ask(f, "acme", 99), ST_UNAVAILABLE);
    keeper_close_idle_pin(&f->keeper);
    assert_int_equal(f->keeper.pin_count, STORE_PINS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_tenant_alone_has_them_all_and_the_one_that_was_read_last_goes_last, setup, teardown),
        cmocka_unit_test_setup_teardown(who_reads_many_keeps_nobody_from_reading_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(those_that_want_more_than_there_are_have_equally_many,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            one_that_was_read_a_moment_ago_is_busy_also_when_that_was_after_the_look, setup,
            teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
