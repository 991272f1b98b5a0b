/* What upkeep says of failures: once, and then less and less often until a whole round had none;
 * and that one keeps nothing else waiting. */
#include "damage_kit.h"

#include "base/clock.h"
#include "store/upkeep.h"

#define STEP_MS 250
#define QUERY "SELECT * FROM a"
#define TURNED "RELECT * FROM a"

static void put_dataset(struct kit *kit, const char *name)
{
    char text[512];

    snprintf(text, sizeof text,
             "{\"name\":\"%s\",\"sources\":{\"a\":{\"format\":\"csv\"}},\"prepare\":\"" QUERY "\","
             "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},"
             "\"record\":{\"colour\":\"VARCHAR\"}}",
             name);
    struct store_definition *d = kit_definition(text);
    kit_ok(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
}

static void step(struct upkeep *u, struct kit *kit, uint64_t *now_ms)
{
    (void)upkeep_step(u, kit->store, *now_ms);
    *now_ms += STEP_MS;
}

/* Looks at each dataset, and once more, when there is none left. */
static void round_of_two(struct upkeep *u, struct kit *kit, uint64_t *now_ms)
{
    for (int i = 0; i < 3; i++)
        step(u, kit, now_ms);
    assert_string_equal(u->key, "");
}

static void a_failure_is_said_less_often_until_a_whole_round_had_none(void **state)
{
    struct kit *kit = *state;
    struct upkeep u = {0};
    uint64_t now_ms = 1;

    round_of_two(&u, kit, &now_ms);
    assert_int_equal(u.said, 0);
    kit_turn(kit, QUERY, 0, 1);
    for (int i = 0; i < 16; i++) /* 4 s: at once, and after 0.5, 1.5 and 3.5 s */
        step(&u, kit, &now_ms);
    assert_int_equal(u.said, 4);
    kit_turn(kit, TURNED, 0, 1);
    while (u.failed) /* to the end of the round that had failures */
        step(&u, kit, &now_ms);
    assert_int_equal(u.said, 4);
    round_of_two(&u, kit, &now_ms);
    assert_int_equal(u.said, 0);
    upkeep_release(&u);
}

#define DAILY "{\"cron\":\"30 4 * * *\",\"sources\":{\"a\":\"in/*.csv\"}}"

/* A definition with a schedule, put at this time; its record may be of another program's making. */
static void write_schedule(struct kit *kit, const char *key, const char *updated_at,
                           const char *record)
{
    struct catalog_txn t;
    json_t *schedule = NULL;

    kit_ok(jx_parse_object(&schedule, DAILY, strlen(DAILY)));
    catalog_begin_write(&t, &kit->store->catalog);
    json_t *row = catalog_get(&t, CATALOG_DEFINITIONS, "acme/things");
    json_t *definition = json_object_get(row, "definition");
    json_object_set_new(definition, "name", json_string(strchr(key, '/') + 1));
    json_object_set_new(definition, "schedule", schedule);
    json_object_set_new(row, "updated_at", json_string(updated_at));
    if (record)
        json_object_set_new(definition, "record", json_string(record));
    catalog_put(&t, CATALOG_DEFINITIONS, key, row);
    json_decref(row);
    kit_ok(catalog_commit(&t));
}

/* As a newer program may have written them: their checksums hold. */
static void a_definition_that_cannot_be_read_keeps_no_other_from_being_started(void **state)
{
    struct kit *kit = *state;
    struct store_starters list = {0};
    bool changed;

    write_schedule(kit, "acme/people", "2026-01-01T00:00:00Z", "newer");
    write_schedule(kit, "acme/rain", "soon", NULL);
    write_schedule(kit, "acme/things", "2026-01-01T00:00:00Z", NULL);
    kit_ok(store_starters_refresh(&changed, &list, kit->store, clock_wall_us()));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].dataset, "things");
    assert_int_equal(list.bad.status, ST_CORRUPT); /* of the last of them: upkeep tells */
    store_starters_free(&list);
}

/* A file that nobody names. */
static void write_orphan(char path[FS_PATH_MAX], struct kit *kit)
{
    char sha256[DIGEST_HEX_SIZE];

    memset(sha256, 'a', sizeof sha256 - 1);
    sha256[sizeof sha256 - 1] = '\0';
    kit_ok(fs_path(path, "%s/segments/aa", kit->dir));
    kit_ok(fs_mkdir_all(path, 0700));
    kit_ok(store_segment_path(path, kit->store, sha256));
    kit_ok(fs_write_new(path, "", 0, 0600));
}

/* A schedule that cannot be read, again in each step. */
static void a_failure_keeps_nothing_else_from_being_done(void **state)
{
    struct kit *kit = *state;
    struct upkeep u = {0};
    char path[FS_PATH_MAX];
    uint64_t now_ms = 1;

    write_orphan(path, kit);
    write_schedule(kit, "acme/rain", "soon", NULL);
    for (int i = 0; i < 3; i++)
        step(&u, kit, &now_ms);
    assert_true(u.failed);
    assert_int_equal(access(path, F_OK), -1);
    upkeep_release(&u);
}

/* Also when nothing of the catalog has changed. */
static void a_sweep_that_failed_is_done_with_the_next_round(void **state)
{
    struct kit *kit = *state;
    struct upkeep u = {0};
    char path[FS_PATH_MAX], segments[FS_PATH_MAX], away[FS_PATH_MAX];
    uint64_t now_ms = 1;

    write_orphan(path, kit);
    kit_ok(fs_path(segments, "%s/segments", kit->dir));
    kit_ok(fs_path(away, "%s/away", kit->dir));
    assert_int_equal(rename(segments, away), 0);
    round_of_two(&u, kit, &now_ms);
    assert_int_equal(u.said, 1);
    assert_int_equal(rename(away, segments), 0);
    round_of_two(&u, kit, &now_ms);
    assert_int_equal(access(path, F_OK), -1);
    upkeep_release(&u);
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    put_dataset(kit, "people");
    put_dataset(kit, "things");
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failure_is_said_less_often_until_a_whole_round_had_none,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_definition_that_cannot_be_read_keeps_no_other_from_being_started, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_keeps_nothing_else_from_being_done, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_sweep_that_failed_is_done_with_the_next_round, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
