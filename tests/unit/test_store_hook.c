/* Messages for webhooks: written with the job's end, kept until they are delivered or given up. */
#include "damage_kit.h"
#include "json_memory_kit.h"

#include "base/clock.h"
#include "store/hook.h"
#include "store/queue.h"

#define SECOND_US 1000000ll

static void put_tenant(struct kit *kit, const char *name, const char *url)
{
    struct store_tenant tenant;

    store_tenant_init(&tenant, name);
    snprintf(tenant.webhook, sizeof tenant.webhook, "%s", url);
    kit_ok(store_tenant_put(kit->store, &tenant));
}

static void put_dataset(struct kit *kit, const char *tenant)
{
    struct store_definition *d = kit_definition(
        "{\"name\":\"things\",\"sources\":{\"a\":{\"format\":\"csv\"}},"
        "\"prepare\":\"SELECT * FROM a\",\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},"
        "\"record\":{\"colour\":\"VARCHAR\"}}");

    kit_ok(store_dataset_put(NULL, NULL, kit->store, tenant, d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
}

/* A job that ends in `state`. */
static void end_job(struct kit *kit, const char *tenant, const char *state)
{
    json_t *spec = json_object(), *unused = NULL,
           *result = json_pack("{s:{s:s}}", "error", "code", "SOME_CODE");
    struct store_job_request request = {
        .tenant = tenant, .dataset = "things", .spec = spec, .actor = KIT_ACTOR};
    char job[STORE_JOB_ID_SIZE];
    struct store_lease lease;

    kit_ok(store_job_enqueue(job, NULL, NULL, kit->store, &request));
    kit_ok(store_job_lease(&lease, &unused, kit->store, job, STORE_LEASE_MS));
    kit_ok(store_lease_finish(kit->store, &lease, state, result));
    json_decref(result);
    json_decref(unused);
    json_decref(spec);
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    put_tenant(kit, "acme", "https://acme.example/hook");
    put_tenant(kit, "bravo", "https://bravo.example/hook");
    put_dataset(kit, "acme");
    put_dataset(kit, "bravo");
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

/* Whose message is taken at that time; "" when none is due. */
static const char *take(struct store_hook *hook, struct kit *kit, int64_t now_us)
{
    struct store_hook_round round = {0};
    enum st st = store_hook_take(hook, &round, kit->store, now_us);

    assert_true(st == ST_OK || st == ST_NOT_FOUND);
    return st ? "" : hook->tenant;
}

static void a_message_is_there_until_it_is_delivered(void **state)
{
    struct kit *kit = *state;
    struct store_hook hook, again;

    end_job(kit, "acme", "failed");
    int64_t now_us = clock_wall_us();
    assert_string_equal(take(&hook, kit, now_us), "acme");
    assert_string_equal(hook.url, "https://acme.example/hook");
    assert_string_equal(hook.id, "msg_job-000000000001_1_failed");
    assert_non_null(
        strstr(hook.payload, "\"text\":\"things: job job-000000000001 failed (SOME_CODE)\""));
    /* Who has it in hand may be dead: a minute later it is somebody else's. */
    assert_string_equal(take(&again, kit, now_us + 59 * SECOND_US), "");
    assert_string_equal(take(&again, kit, now_us + 60 * SECOND_US), "acme");
    assert_string_equal(again.id, hook.id);
    assert_int_equal(again.tries, 2);
    kit_ok(store_hook_delivered(kit->store, &hook, 0, 0));
    assert_string_equal(take(&(struct store_hook){0}, kit, INT64_MAX), "");
    store_hook_release(&hook);
    store_hook_release(&again);
}

/* Whichever allocation fails. */
static void without_memory_no_message_says_less(void **state)
{
    struct kit *kit = *state;
    struct store_job_request request = {
        .tenant = "acme", .dataset = "things", .spec = json_object(), .actor = KIT_ACTOR};
    json_t *result = json_pack("{s:i, s:{s:s}}", "version", 7, "error", "code", "SOME_CODE"),
           *unused = NULL;
    char job[STORE_JOB_ID_SIZE];
    struct store_lease lease;
    struct store_hook hook;
    enum st st = ST_NOMEM;

    kit_ok(store_job_enqueue(job, NULL, NULL, kit->store, &request));
    kit_ok(store_job_lease(&lease, &unused, kit->store, job, STORE_LEASE_MS));
    for (long n = 0, failed = 1; st && failed; n++) {
        json_fail_after(n);
        st = store_lease_finish(kit->store, &lease, "failed", result);
        failed = json_heal();
    }
    kit_ok(st);
    assert_string_equal(take(&hook, kit, INT64_MAX - 2 * SECOND_US * 60), "acme");
    static const char *const SAID[] = {"\"job\":",       "\"dataset\":", "\"actor\":",
                                       "\"ended_at\":",  "\"attempt\":", "\"version\":7",
                                       "\"SOME_CODE\"}", "\"text\":"};
    for (size_t i = 0; i < sizeof SAID / sizeof *SAID; i++)
        assert_non_null(strstr(hook.payload, SAID[i]));
    store_hook_release(&hook);
    json_decref(unused);
    json_decref(result);
    json_decref((json_t *)(uintptr_t)request.spec);
}

/* At once, then after what Standard Webhooks recommends, three days in all. */
static void it_is_tried_for_three_days_and_given_up(void **state)
{
    static const int64_t pauses_s[] = {0,        5,     5 * 60, 30 * 60, 2 * 3600,
                                       5 * 3600, 36000, 50400,  72000,   86400};
    enum { TRIES = sizeof pauses_s / sizeof *pauses_s };
    struct kit *kit = *state;
    struct store_hook hook;
    bool last = false;

    end_job(kit, "acme", "held");
    int64_t now_us = clock_wall_us();
    for (unsigned tries = 0; tries < TRIES; tries++) {
        assert_false(last);
        now_us += pauses_s[tries] * SECOND_US;
        if (pauses_s[tries])
            assert_string_equal(take(&hook, kit, now_us - 1), "");
        assert_string_equal(take(&hook, kit, now_us), "acme");
        assert_int_equal(hook.tries, tries + 1);
        kit_ok(store_hook_failed(&last, kit->store, &hook, now_us, 0));
        store_hook_release(&hook);
    }
    assert_true(last);
    assert_string_equal(take(&hook, kit, INT64_MAX), "");
}

static void who_does_not_answer_holds_up_nobody_else(void **state)
{
    struct kit *kit = *state;
    struct store_hook hook;
    bool last;

    for (int i = 0; i < 3; i++)
        end_job(kit, "acme", "failed");
    end_job(kit, "bravo", "failed");
    int64_t now_us = clock_wall_us();
    assert_string_equal(take(&hook, kit, now_us), "acme");
    kit_ok(store_hook_failed(&last, kit->store, &hook, now_us, 0));
    store_hook_release(&hook);
    assert_string_equal(take(&hook, kit, now_us), "bravo");
    kit_ok(store_hook_delivered(kit->store, &hook, 0, 0));
    store_hook_release(&hook);
    assert_string_equal(take(&hook, kit, now_us + 4 * SECOND_US), "");
    assert_string_equal(take(&hook, kit, now_us + 5 * SECOND_US), "acme"); /* the first, again */
    assert_int_equal(hook.tries, 2);
    store_hook_release(&hook);
}

static void after_each_failure_the_others_wait(void **state)
{
    struct kit *kit = *state;
    struct store_hook hook;
    bool last = false;

    for (int i = 0; i < 2; i++)
        end_job(kit, "acme", "failed");
    for (int64_t now_us = clock_wall_us(); !last; now_us += 86400 * SECOND_US) {
        assert_string_equal(take(&hook, kit, now_us), "acme");
        kit_ok(store_hook_failed(&last, kit->store, &hook, now_us, 0));
        store_hook_release(&hook);
        assert_string_equal(take(&hook, kit, now_us + 4 * SECOND_US), "");
        assert_string_equal(take(&hook, kit, now_us + 60 * SECOND_US), "acme");
        if (!last)
            kit_ok(store_hook_failed(&last, kit->store, &hook, now_us, 0));
        store_hook_release(&hook);
    }
}

static void a_clock_set_back_keeps_none_waiting(void **state)
{
    struct kit *kit = *state;
    struct store_hook_round round = {0};
    struct store_hook hook;
    int64_t now_us = clock_wall_us(), hour_us = 3600 * SECOND_US;
    bool last;

    end_job(kit, "acme", "failed");
    kit_ok(store_hook_take(&hook, &round, kit->store, now_us + hour_us));
    kit_ok(store_hook_failed(&last, kit->store, &hook, now_us + hour_us, 0));
    store_hook_release(&hook);
    assert_int_equal(store_hook_take(&hook, &round, kit->store, now_us + hour_us), ST_NOT_FOUND);
    kit_ok(store_hook_take(&hook, &round, kit->store, now_us));
    store_hook_release(&hook);
}

static void who_wants_none_has_none(void **state)
{
    struct kit *kit = *state;
    struct store_hook hook;

    end_job(kit, "acme", "canceled");
    put_tenant(kit, "bravo", "");
    end_job(kit, "bravo", "failed");
    assert_string_equal(take(&hook, kit, INT64_MAX), "");
}

static void a_look_costs_nothing_while_nothing_happens(void **state)
{
    struct kit *kit = *state;
    struct store_hook_round round = {0};
    struct store_hook hook;
    int64_t now_us = clock_wall_us();

    assert_int_equal(store_hook_take(&hook, &round, kit->store, now_us), ST_NOT_FOUND);
    assert_true(round.next_us == INT64_MAX);
    uint64_t seen = round.seen;
    assert_int_equal(store_hook_take(&hook, &round, kit->store, now_us), ST_NOT_FOUND);
    assert_int_equal(round.seen, seen);
    end_job(kit, "acme", "failed");
    kit_ok(store_hook_take(&hook, &round, kit->store, clock_wall_us()));
    store_hook_release(&hook);
}

/* As many as may wait, of jobs that have ended before any of the test's. */
static void fill(struct kit *kit, const char *tenant)
{
    json_t *message = json_pack("{s:s, s:i, s:i}", "payload", "{}", "tries", 0, "due_us", 0);
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    catalog_begin_write(&t, &kit->store->catalog);
    for (unsigned i = 0; i < STORE_HOOKS_MAX; i++) {
        snprintf(key, sizeof key, "%s/msg_job-000000000000_%04u_failed", tenant, i);
        catalog_put(&t, CATALOG_HOOKS, key, message);
    }
    kit_ok(catalog_commit(&t));
    json_decref(message);
}

static uint64_t waiting(struct kit *kit, const char *prefix)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &kit->store->catalog);
    uint64_t rows = catalog_sum(&t, CATALOG_HOOKS, prefix).rows;
    kit_ok(catalog_end(&t));
    return rows;
}

/* Every look for what is due reads all that waits, on the thread that is everybody's. */
static void who_does_not_answer_for_long_loses_the_oldest(void **state)
{
    struct kit *kit = *state;

    fill(kit, "acme");
    end_job(kit, "bravo", "failed");
    assert_int_equal(waiting(kit, "acme/"), STORE_HOOKS_MAX);
    end_job(kit, "acme", "failed");
    assert_int_equal(waiting(kit, "acme/"), STORE_HOOKS_MAX);
    assert_int_equal(waiting(kit, "acme/msg_job-000000000000_0000_"), 0);
    assert_int_equal(waiting(kit, "acme/msg_job-000000000002_1_failed"), 1);
    assert_int_equal(waiting(kit, "bravo/"), 1);
}

static void a_damaged_row_holds_up_nobody_else_and_its_message_waits(void **state)
{
    struct kit *kit = *state;
    struct store_hook hook;

    for (int i = 0; i < 3; i++)
        end_job(kit, "acme", "failed");
    end_job(kit, "bravo", "failed");
    int64_t now_us = clock_wall_us();
    kit_turn(kit, "\"tenant\":\"acme\",\"enabled\"", 1, 1);
    assert_string_equal(take(&hook, kit, now_us), "bravo");
    kit_ok(store_hook_delivered(kit->store, &hook, 0, 0));
    store_hook_release(&hook);
    assert_string_equal(take(&hook, kit, now_us + 59 * SECOND_US), "");
    put_tenant(kit, "acme", "https://acme.example/hook");
    assert_string_equal(take(&hook, kit, now_us + 60 * SECOND_US), "acme");
    assert_int_equal(hook.tries, 1);
    store_hook_release(&hook);
}

static void a_damaged_message_is_dropped_and_holds_up_no_other(void **state)
{
    struct kit *kit = *state;
    struct store_hook hook;
    bool last;

    for (int i = 0; i < 3; i++)
        end_job(kit, "acme", "failed");
    int64_t now_us = clock_wall_us();
    assert_string_equal(take(&hook, kit, now_us), "acme");
    damage_row(kit, CATALOG_HOOKS, "acme/msg_job-000000000001_1_failed");
    assert_int_equal(store_hook_failed(&last, kit->store, &hook, now_us, 0), ST_CORRUPT);
    store_hook_release(&hook);
    assert_string_equal(take(&hook, kit, now_us), "acme");
    assert_string_equal(hook.id, "msg_job-000000000002_1_failed");
    kit_ok(store_hook_failed(&last, kit->store, &hook, now_us, 0));
    store_hook_release(&hook);
    damage_row(kit, CATALOG_HOOKS, "acme/msg_job-000000000003_1_failed");
    assert_string_equal(take(&hook, kit, now_us + 60 * SECOND_US), "acme");
    kit_ok(store_hook_failed(&last, kit->store, &hook, now_us, 0)); /* puts off all of acme's */
    kit_ok(store_hook_delivered(kit->store, &hook, 0, 0));
    store_hook_release(&hook);
    assert_string_equal(take(&hook, kit, INT64_MAX - 60 * SECOND_US), "");
}

/* However many of one's wait, and since when. */
static void tenants_are_told_in_turns(void **state)
{
    struct kit *kit = *state;
    struct store_hook_round round = {0};
    struct store_hook hook;

    for (unsigned i = 0; i < 5; i++)
        end_job(kit, "acme", "failed");
    for (unsigned i = 0; i < 2; i++)
        end_job(kit, "bravo", "failed");
    for (unsigned i = 0; i < 7; i++) {
        kit_ok(store_hook_take(&hook, &round, kit->store, clock_wall_us()));
        assert_string_equal(hook.tenant, i == 1 || i == 3 ? "bravo" : "acme");
        kit_ok(store_hook_delivered(kit->store, &hook, 0, 0));
        store_hook_release(&hook);
    }
}

static void after_a_slow_answer_the_tenants_others_wait(void **state)
{
    struct kit *kit = *state;
    struct store_hook hook;

    for (unsigned i = 0; i < 2; i++)
        end_job(kit, "acme", "failed");
    end_job(kit, "bravo", "failed");
    int64_t now_us = clock_wall_us();
    assert_string_equal(take(&hook, kit, now_us), "acme");
    kit_ok(store_hook_delivered(kit->store, &hook, now_us, now_us + 90 * SECOND_US));
    store_hook_release(&hook);
    assert_string_equal(take(&hook, kit, now_us + 89 * SECOND_US), "bravo");
    kit_ok(store_hook_delivered(kit->store, &hook, 0, 0));
    store_hook_release(&hook);
    assert_string_equal(take(&hook, kit, now_us + 89 * SECOND_US), "");
    assert_string_equal(take(&hook, kit, now_us + 90 * SECOND_US), "acme");
    store_hook_release(&hook);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_is_there_until_it_is_delivered, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_memory_no_message_says_less, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_tried_for_three_days_and_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_answer_holds_up_nobody_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(after_each_failure_the_others_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_set_back_keeps_none_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tenants_are_told_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_a_slow_answer_the_tenants_others_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_row_holds_up_nobody_else_and_its_message_waits,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_message_is_dropped_and_holds_up_no_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_answer_for_long_loses_the_oldest, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_wants_none_has_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_look_costs_nothing_while_nothing_happens, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
