/* Ingests that start by themselves: each start is one job, whoever looks and however often. */
#include "damage_kit.h"
#include "json_memory_kit.h"

#include "base/clock.h"
#include "store/start.h"

#define MINUTE_US 60000000ll

static void put_dataset(struct kit *kit, const char *more)
{
    char text[1024];

    snprintf(text, sizeof text,
             "{\"name\":\"things\",\"sources\":{\"a\":{\"format\":\"csv\"}},"
             "\"prepare\":\"SELECT * FROM a\",\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},"
             "\"record\":{\"colour\":\"VARCHAR\"}%s}",
             more);
    struct store_definition *d = kit_definition(text);
    kit_ok(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    struct store_tenant tenant;

    assert_non_null(kit);
    kit_new(kit);
    store_tenant_init(&tenant, "acme");
    kit_ok(store_tenant_put(kit->store, &tenant));
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

static json_t *jobs(struct kit *kit)
{
    struct store_job_filter filter = {.tenant = "acme"};
    json_t *items = NULL;
    char next[STORE_JOB_ID_SIZE];

    kit_ok(store_job_list(&items, next, kit->store, &filter, NULL, 100));
    return items;
}

static unsigned times_looked_for;

int64_t __real_cron_next(const struct cron *c, int64_t after_us);
int64_t __wrap_cron_next(const struct cron *c, int64_t after_us);
int64_t __wrap_cron_next(const struct cron *c, int64_t after_us)
{
    times_looked_for++;
    return __real_cron_next(c, after_us);
}

static size_t job_count(struct kit *kit)
{
    json_t *items = jobs(kit);
    size_t count = json_array_size(items);

    json_decref(items);
    return count;
}

static void refresh(struct store_starters *list, struct kit *kit)
{
    bool changed;

    kit_ok(store_starters_refresh(&changed, list, kit->store, clock_wall_us()));
}

#define DAILY                                                                                      \
    ",\"schedule\":{\"cron\":\"30 4 * * *\",\"sources\":{\"a\":[\"in/*.csv\",\"more.csv\"]}}"

static void a_schedule_starts_once_at_its_time(void **state)
{
    struct kit *kit = *state;
    struct store_starters mine = {0}, theirs = {0};
    int64_t before_us = clock_wall_us();

    put_dataset(kit, DAILY);
    refresh(&mine, kit);
    refresh(&theirs, kit);
    assert_int_equal(mine.count, 1);
    int64_t due_us = mine.items[0].due_us;
    assert_true(due_us > before_us);
    assert_int_equal(due_us / MINUTE_US % 1440, 4 * 60 + 30);

    store_start_due(kit->store, &mine, due_us - 1);
    assert_int_equal(job_count(kit), 0);
    store_start_due(kit->store, &mine, due_us);
    assert_int_equal(job_count(kit), 1);
    store_start_due(kit->store, &mine, due_us + MINUTE_US);
    store_start_due(kit->store, &theirs, due_us + MINUTE_US); /* another server, which was slow */
    refresh(&theirs, kit);
    store_start_due(kit->store, &theirs, due_us + MINUTE_US);
    assert_int_equal(job_count(kit), 1);

    json_t *items = jobs(kit), *job = json_array_get(items, 0);
    assert_string_equal(json_string_value(json_object_get(job, "actor")), "schedule");
    const json_t *sources = json_object_get(job, "sources");
    assert_int_equal(json_array_size(sources), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(sources, 0), "path")),
                        "in/*.csv");
    json_decref(items);
    store_starters_free(&mine);
    store_starters_free(&theirs);
}

static void what_was_missed_is_started_once(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0}, late = {0};

    put_dataset(kit, DAILY);
    refresh(&list, kit);
    refresh(&late, kit);
    int64_t due_us = list.items[0].due_us, week_us = due_us + 7 * 1440 * MINUTE_US;
    store_start_due(kit->store, &list, week_us + 5 * MINUTE_US);
    assert_int_equal(job_count(kit), 1);
    assert_true(list.items[0].due_us > week_us + 5 * MINUTE_US);
    /* One that had stood still, and still believes in the first time. */
    store_start_due(kit->store, &late, due_us + MINUTE_US);
    assert_int_equal(job_count(kit), 1);
    refresh(&late, kit);
    assert_int_equal(late.items[0].due_us, list.items[0].due_us);
    store_starters_free(&list);
    store_starters_free(&late);
}

static void a_clock_that_is_set_back_stops_no_schedule(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};

    put_dataset(kit, DAILY);
    refresh(&list, kit);
    int64_t due_us = list.items[0].due_us;
    store_start_due(kit->store, &list, due_us + 30 * 1440 * MINUTE_US);
    assert_int_equal(job_count(kit), 1);
    refresh(&list, kit);
    store_start_due(kit->store, &list, due_us - MINUTE_US);
    assert_int_equal(job_count(kit), 1);
    refresh(&list, kit); /* what was due meanwhile is not lost */
    store_start_due(kit->store, &list, due_us + 1);
    store_start_due(kit->store, &list, due_us + MINUTE_US);
    refresh(&list, kit);
    store_start_due(kit->store, &list, due_us + MINUTE_US);
    assert_int_equal(job_count(kit), 2);
    store_starters_free(&list);
}

static void while_the_clock_goes_forwards_no_schedule_is_looked_for(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};

    put_dataset(kit, DAILY);
    refresh(&list, kit);
    int64_t due_us = list.items[0].due_us, start_us = due_us - 10 * MINUTE_US;
    store_start_due(kit->store, &list, start_us);
    times_looked_for = 0;
    for (int64_t now_us = start_us; now_us < due_us; now_us += MINUTE_US / 60)
        store_start_due(kit->store, &list, now_us);
    assert_int_equal(times_looked_for, 0);
    store_start_due(kit->store, &list, start_us - MINUTE_US);
    assert_int_equal(times_looked_for, 1);
    store_starters_free(&list);
}

static void a_schedule_put_by_a_clock_that_was_ahead_starts_at_its_time(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};
    bool changed;

    put_dataset(kit, DAILY);
    refresh(&list, kit);
    int64_t due_us = list.items[0].due_us - 30 * 1440 * MINUTE_US;
    store_start_due(kit->store, &list, due_us - MINUTE_US);
    assert_int_equal(list.items[0].due_us, due_us);
    kit_ok(store_starters_refresh(&changed, &list, kit->store, due_us - MINUTE_US));
    assert_true(changed);
    assert_int_equal(list.items[0].due_us, due_us);
    store_start_due(kit->store, &list, due_us - MINUTE_US);
    kit_ok(store_starters_refresh(&changed, &list, kit->store, due_us));
    assert_false(changed); /* that was written once */
    store_start_due(kit->store, &list, due_us);
    assert_int_equal(job_count(kit), 1);
    store_starters_free(&list);
}

static void a_clock_that_is_set_back_keeps_no_retry_waiting(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};
    struct store_tenant tenant;

    put_dataset(kit, DAILY);
    store_tenant_init(&tenant, "acme");
    tenant.max_queued_jobs = 1;
    kit_ok(store_tenant_put(kit->store, &tenant));
    refresh(&list, kit);
    int64_t due_us = list.items[0].due_us, month_us = due_us + 30 * 1440 * MINUTE_US;
    store_start_due(kit->store, &list, due_us);
    store_start_due(kit->store, &list, month_us); /* the first has not ended: in a minute again */
    tenant.max_queued_jobs = 2;
    kit_ok(store_tenant_put(kit->store, &tenant));
    store_start_due(kit->store, &list, due_us + MINUTE_US);
    store_start_due(kit->store, &list, due_us + 1440 * MINUTE_US);
    assert_int_equal(job_count(kit), 2);
    store_starters_free(&list);
}

static void a_new_definition_begins_anew(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};

    put_dataset(kit, DAILY);
    put_dataset(kit, "");
    refresh(&list, kit);
    assert_int_equal(list.count, 0);
    put_dataset(kit, ",\"schedule\":{\"cron\":\"* * * * *\",\"sources\":{\"a\":\"x.csv\"}}");
    refresh(&list, kit);
    assert_int_equal(list.count, 1);
    assert_true(list.items[0].due_us > clock_wall_us() - 2 * MINUTE_US);
    store_starters_free(&list);
}

static void what_cannot_be_enqueued_is_tried_again(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};
    struct store_tenant tenant;

    put_dataset(kit, DAILY);
    store_tenant_init(&tenant, "acme");
    tenant.max_queued_jobs = 1;
    kit_ok(store_tenant_put(kit->store, &tenant));
    refresh(&list, kit);
    int64_t due_us = list.items[0].due_us, next_us = due_us + 1440 * MINUTE_US;
    store_start_due(kit->store, &list, due_us);
    store_start_due(kit->store, &list, next_us); /* the first has not ended */
    assert_int_equal(job_count(kit), 1);
    assert_int_equal(list.items[0].due_us, next_us + MINUTE_US);
    tenant.max_queued_jobs = 2;
    kit_ok(store_tenant_put(kit->store, &tenant));
    store_start_due(kit->store, &list, next_us + MINUTE_US);
    assert_int_equal(job_count(kit), 2);
    store_starters_free(&list);
}

/* Whichever allocation fails. */
static void without_memory_no_schedule_has_fewer_files(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};
    bool changed;

    put_dataset(kit, DAILY);
    for (long n = 0, failed = 1; failed; n++) {
        json_fail_after(n);
        enum st st = store_starters_refresh(&changed, &list, kit->store, clock_wall_us());
        failed = json_heal();
        assert_int_equal(st, failed ? ST_NOMEM : ST_OK);
        assert_int_equal(list.count, failed ? 0 : 1);
        if (!failed)
            assert_int_equal(json_array_size(list.items[0].sources), 2);
        store_starters_free(&list);
    }
}

static void a_batch_starts_once(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};
    struct store_batch batches[2] = {{.name = "old", .complete_ns = 1, .inode = 5},
                                     {.name = "new", .complete_ns = 2, .inode = 6}};
    json_t *sources = json_pack("[{s:s, s:s}]", "source", "a", "path", "things/new/x.csv");
    bool first, started;

    put_dataset(kit, ",\"watch_inbox\":true");
    refresh(&list, kit);
    assert_true(list.items[0].watched);
    assert_string_equal(list.items[0].source, "a");
    kit_ok(store_batches_look(&first, kit->store, &list.items[0], batches, 2));
    assert_true(first && !batches[0].started && !batches[1].started);

    kit_ok(store_batch_start(&started, kit->store, &list.items[0], &batches[0], NULL));
    assert_false(started);
    kit_ok(store_batch_start(&started, kit->store, &list.items[0], &batches[1], sources));
    assert_true(started);
    kit_ok(store_batch_start(&started, kit->store, &list.items[0], &batches[1], sources));
    assert_false(started);
    assert_int_equal(job_count(kit), 1);
    kit_ok(store_batches_look(&first, kit->store, &list.items[0], batches, 2));
    assert_true(!first && batches[0].started && batches[1].started);

    batches[1].inode = 7; /* its marker is another one */
    kit_ok(store_batches_look(&first, kit->store, &list.items[0], batches, 2));
    assert_true(batches[0].started && !batches[1].started);
    kit_ok(store_batch_start(&started, kit->store, &list.items[0], &batches[1], sources));
    assert_true(started);
    assert_int_equal(job_count(kit), 2);
    json_decref(sources);
    store_starters_free(&list);
}

static void a_damaged_definition_keeps_no_other_from_being_started(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};

    kit_dataset(kit, KIT_PEOPLE);
    put_dataset(kit, DAILY);
    damage_row(kit, CATALOG_DEFINITIONS, "acme/people");
    refresh(&list, kit);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].dataset, "things");
    store_starters_free(&list);
}

/* Nobody knows what was started: the schedule's next job begins a new mark, a batch is not ingested
 * a second time. */
static void a_damaged_mark_stops_no_schedule_and_starts_no_batch_again(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};
    struct store_batch batches[2] = {{.name = "one", .complete_ns = 1, .inode = 5},
                                     {.name = "two", .complete_ns = 2, .inode = 6}};
    json_t *sources = json_pack("[{s:s, s:s}]", "source", "a", "path", "things/one/x.csv");
    bool first, started;

    put_dataset(kit, DAILY);
    refresh(&list, kit);
    int64_t due_us = list.items[0].due_us;
    store_start_due(kit->store, &list, due_us);
    kit_ok(store_batch_start(&started, kit->store, &list.items[0], &batches[0], sources));
    assert_int_equal(job_count(kit), 2);
    damage_row(kit, CATALOG_STARTS, "acme/things/schedule");
    damage_row(kit, CATALOG_STARTS, "acme/things/inbox/one");

    refresh(&list, kit);
    assert_int_equal(list.count, 1);
    store_start_due(kit->store, &list, due_us + 1440 * MINUTE_US);
    assert_int_equal(job_count(kit), 3);
    refresh(&list, kit);
    assert_true(list.items[0].due_us > due_us + 1440 * MINUTE_US);

    kit_ok(store_batches_look(&first, kit->store, &list.items[0], batches, 2));
    assert_true(!first && batches[0].started && !batches[1].started);
    kit_ok(store_batch_start(&started, kit->store, &list.items[0], &batches[0], sources));
    assert_false(started);
    assert_int_equal(job_count(kit), 3);
    json_decref(sources);
    store_starters_free(&list);
}

/* Of the longest names no two batches are the same one. */
static void a_batch_of_a_long_name_is_not_another_ones(void **state)
{
    struct kit *kit = *state;
    struct store_starter starter = {.watched = true};
    struct store_batch batches[2] = {{.complete_ns = 1}, {.complete_ns = 1}};
    bool first, started;

    memset(starter.tenant, 't', sizeof starter.tenant - 1);
    memset(starter.dataset, 'd', sizeof starter.dataset - 1);
    for (int i = 0; i < 2; i++) {
        memset(batches[i].name, 'b', sizeof batches[i].name - 1);
        batches[i].name[sizeof batches[i].name - 2] = (char)('0' + i);
    }
    kit_ok(store_batch_start(&started, kit->store, &starter, &batches[0], NULL));
    kit_ok(store_batches_look(&first, kit->store, &starter, batches, 2));
    assert_true(batches[0].started && !batches[1].started);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_schedule_starts_once_at_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_missed_is_started_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_that_is_set_back_stops_no_schedule, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(while_the_clock_goes_forwards_no_schedule_is_looked_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_schedule_put_by_a_clock_that_was_ahead_starts_at_its_time,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_that_is_set_back_keeps_no_retry_waiting, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_new_definition_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_enqueued_is_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_no_schedule_has_fewer_files, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_batch_starts_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_of_a_long_name_is_not_another_ones, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_definition_keeps_no_other_from_being_started,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_mark_stops_no_schedule_and_starts_no_batch_again,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
