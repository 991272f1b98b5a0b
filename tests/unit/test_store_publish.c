/* Publishing, rolling back and promoting, on a real data directory. */
#include "json_memory_kit.h"
#include "store_kit.h"

#include "store/offer.h"
#include "store/publish_internal.h"

#include <dirent.h>

static int setup(void **state)
{
    struct kit *kit = malloc(sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    kit_dataset(kit, KIT_THINGS);
    *state = kit;
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

/* Files (not directories) below DATA/<name>. */
static size_t files_below(const char *directory)
{
    DIR *d = opendir(directory);
    size_t count = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[FS_PATH_MAX];
        if (e->d_name[0] == '.')
            continue;
        kit_ok(fs_path(path, "%s/%s", directory, e->d_name));
        count += e->d_type == DT_DIR ? files_below(path) : 1;
    }
    closedir(d);
    return count;
}

static size_t segments(const struct kit *kit)
{
    char path[FS_PATH_MAX];

    kit_ok(fs_path(path, "%s/segments", kit->dir));
    return files_below(path);
}

static void assert_no_builds(const struct kit *kit)
{
    struct fs_list list;
    char path[FS_PATH_MAX];

    kit_ok(fs_path(path, "%s/build", kit->dir));
    kit_ok(fs_list_dir(&list, path));
    size_t count = list.count;
    fs_list_free(&list);
    assert_int_equal(count, 0);
}

static struct store_move move(uint64_t from, uint64_t to)
{
    return (struct store_move){
        .tenant = "acme", .dataset = "things", .from = from, .to = to, .actor = KIT_ACTOR};
}

static void roll_back(struct kit *kit, uint64_t from)
{
    struct store_move m = move(from, 0);
    json_t *head = NULL;

    kit_ok(store_rollback(&head, kit->store, &m));
    json_decref(head);
}

static void refuse_rollback(struct kit *kit, const struct store_move *m, enum st status,
                            const char *code)
{
    json_t *head = NULL;

    assert_int_equal(store_rollback(&head, kit->store, m), status);
    assert_string_equal(st_code(), code);
    assert_null(head);
}

static void publishing_flips_to_the_new_version(void **state)
{
    struct kit *kit = *state;

    assert_int_equal(kit_publish(kit, KIT_THINGS, "red"), STORE_FLIPPED);
    assert_int_equal(kit_current(kit, "things"), 1);
    assert_int_equal(kit_publish(kit, KIT_THINGS, "blue"), STORE_FLIPPED);
    assert_int_equal(kit_current(kit, "things"), 2);
    assert_true(kit_state_is(kit, 1, "SUCCEEDED"));
    assert_true(kit_state_is(kit, 2, "SUCCEEDED"));
    assert_int_equal(segments(kit), 2);
    assert_no_builds(kit);
}

static void a_build_is_in_progress_and_not_served_until_it_is_published(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;

    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "red");
    assert_int_equal(store_build_version(b), 1);
    assert_int_equal(kit_current(kit, "things"), 0);
    assert_true(kit_state_is(kit, 1, "IN_PROGRESS"));
    assert_int_equal(kit_finish(kit, &lease, b), STORE_FLIPPED);
    assert_int_equal(kit_current(kit, "things"), 1);
}

static void a_failed_build_leaves_its_row_and_no_files(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    json_t *row = NULL;

    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "red");
    assert_int_equal(segments(kit), 1);
    kit_ok(store_build_fail(b, st_fail(ST_INVALID, "BAD_LINE", "line 7 is wrong")));
    store_build_free(b);
    assert_true(kit_state_is(kit, 1, "FAILED"));
    assert_int_equal(segments(kit), 0);
    assert_no_builds(kit);
    kit_ok(store_version_get(&row, kit->store, "acme", "things", 1));
    assert_string_equal(json_string_value(json_object_get(json_object_get(row, "error"), "code")),
                        "BAD_LINE");
    json_decref(row);
    assert_int_equal(kit_current(kit, "things"), 0);
}

static void freeing_an_unpublished_build_fails_it(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;

    kit_lease(&lease, kit, "things");
    store_build_free(kit_build(kit, &lease, KIT_THINGS, "red"));
    assert_true(kit_state_is(kit, 1, "FAILED"));
    assert_int_equal(segments(kit), 0);
    assert_no_builds(kit);
}

static void a_failed_build_leaves_the_file_that_the_current_version_shares(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    json_t *report = NULL;

    assert_int_equal(kit_publish(kit, KIT_THINGS, "red"), STORE_FLIPPED);
    kit_lease(&lease, kit, "things");
    store_build_free(kit_build(kit, &lease, KIT_THINGS, "red"));
    assert_true(kit_state_is(kit, 2, "FAILED"));
    assert_int_equal(segments(kit), 1);
    kit_ok(store_verify(&report, kit->store, true));
    json_decref(report);
}

static void an_identical_build_does_not_flip(void **state)
{
    struct kit *kit = *state;

    assert_int_equal(kit_publish(kit, KIT_THINGS, "red"), STORE_FLIPPED);
    assert_int_equal(kit_publish(kit, KIT_THINGS, "red"), STORE_IDENTICAL);
    assert_int_equal(kit_current(kit, "things"), 1);
    assert_true(kit_state_is(kit, 2, "SUCCEEDED"));
    assert_int_equal(segments(kit), 1);
}

static void a_build_older_than_the_current_version_is_superseded(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;

    assert_int_equal(kit_publish(kit, KIT_THINGS, "red"), STORE_FLIPPED);
    kit_lease(&lease, kit, "things");
    lease.order = 0; /* as if it had been enqueued before the first */
    assert_int_equal(kit_finish(kit, &lease, kit_build(kit, &lease, KIT_THINGS, "blue")),
                     STORE_SUPERSEDED);
    assert_int_equal(kit_current(kit, "things"), 1);
    assert_true(kit_state_is(kit, 2, "SUCCEEDED"));
}

static void a_job_leased_before_a_rollback_is_held(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;

    kit_publish(kit, KIT_THINGS, "red");
    kit_publish(kit, KIT_THINGS, "blue");
    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "green");
    roll_back(kit, 2);
    assert_int_equal(kit_finish(kit, &lease, b), STORE_HELD_BACK);
    assert_int_equal(kit_current(kit, "things"), 1);
    assert_true(kit_state_is(kit, 3, "HELD"));
}

static void the_same_bytes_as_a_quarantined_version_are_held(void **state)
{
    struct kit *kit = *state;

    kit_publish(kit, KIT_THINGS, "red");
    kit_publish(kit, KIT_THINGS, "blue");
    roll_back(kit, 2);
    assert_int_equal(kit_publish(kit, KIT_THINGS, "blue"), STORE_HELD_BACK);
    assert_int_equal(kit_publish(kit, KIT_THINGS, "green"), STORE_FLIPPED);
    assert_int_equal(kit_current(kit, "things"), 4);
}

static void the_same_bytes_as_another_kept_version_flip(void **state)
{
    struct kit *kit = *state;

    kit_publish(kit, KIT_THINGS, "red");
    kit_publish(kit, KIT_THINGS, "blue");
    assert_int_equal(kit_publish(kit, KIT_THINGS, "red"), STORE_FLIPPED);
    assert_int_equal(kit_current(kit, "things"), 3);
    assert_true(kit_state_is(kit, 1, "SUCCEEDED"));
    assert_int_equal(segments(kit), 2);
}

/* The gate of a version, as its row has it. */
static json_t *gate_of(struct kit *kit, uint64_t version)
{
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", "things", version));
    json_t *gate = json_incref(json_array_get(json_object_get(row, "gates"), 0));
    assert_non_null(gate);
    json_decref(row);
    return gate;
}

static enum store_outcome publish_measured(struct kit *kit, struct store_lease *lease,
                                           struct store_build *b, int rows)
{
    json_t *report =
        json_pack("{s:{s:i}, s:[{s:s, s:s, s:i, s:f}]}", "rows", "accepted", rows, "gates", "name",
                  "drift", "metric", "count(*)", "value", rows, "max_change_ratio", 0.2);

    kit_ok(store_build_set_report(b, report));
    enum store_outcome outcome = kit_finish(kit, lease, b);
    json_decref(report);
    return outcome;
}

static void gates_are_judged_against_what_is_current_when_it_would_flip(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    const int rows[] = {100, 110};

    for (size_t i = 0; i < 2; i++) {
        kit_lease(&lease, kit, "things");
        struct store_build *b = kit_build(kit, &lease, KIT_THINGS, i ? "blue" : "red");
        assert_int_equal(publish_measured(kit, &lease, b, rows[i]), STORE_FLIPPED);
    }
    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "green");
    roll_back(kit, 2); /* 125 is near to 110, and not to 100 */
    assert_int_equal(publish_measured(kit, &lease, b, 125), STORE_HELD_BACK);
    json_t *gate = gate_of(kit, 3);
    assert_int_equal(json_integer_value(json_object_get(gate, "previous")), 100);
    assert_string_equal(json_string_value(json_object_get(gate, "state")), "held");
    json_decref(gate);
}

/* Whichever allocation fails. */
static void without_memory_a_report_is_taken_whole_or_not_at_all(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    json_t *report = json_pack("{s:{s:i, s:[{s:s, s:[{s:s}, {s:s}]}]}, s:[{s:s}]}", "rows",
                               "accepted", 9, "sources", "name", "things", "files", "file", "a.csv",
                               "file", "b.csv", "gates", "name", "drift");
    enum st st = ST_NOMEM;

    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "red");
    for (long n = 0, failed = 1; failed; n++) {
        json_fail_after(n);
        st = store_build_set_report(b, report);
        failed = json_heal();
        assert_int_equal(st, failed ? ST_NOMEM : ST_OK);
        assert_true((b->report == NULL) == failed);
    }
    assert_int_equal(json_array_size(json_object_get(b->report, "gates")), 1);
    const json_t *files = json_object_get(b->report, "sources");
    assert_int_equal(json_array_size(files), 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(json_object_size(json_array_get(files, i)), 2);
    json_decref(report);
    store_build_free(b);
}

/* Whichever allocation fails. */
static void without_memory_no_row_of_a_version_says_less(void **state)
{
    const struct head h = {.event_us = 1};
    struct kit *kit = *state;
    struct store_lease lease;
    json_t *report =
        json_pack("{s:{s:i}, s:{s:i, s:i, s:[s], s:[i]}}", "rows", "accepted", 9, "rejects",
                  "unparsable", 1, "rejected", 2, "rules", "a", "places", 7);

    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "red");
    kit_ok(store_build_set_report(b, report));
    for (long n = 0, failed = 1; failed; n++) {
        struct catalog_txn t;
        catalog_begin_write(&t, &kit->store->catalog);
        json_fail_after(n);
        build_finish_row(&t, b, &h, "flipped", NULL);
        failed = json_heal();
        assert_int_equal(t.status, failed ? ST_NOMEM : ST_OK);
        if (!failed) {
            json_t *row = store_row_load(&t, "acme", "things", b->version);
            const json_t *segment = json_array_get(json_object_get(row, "segments"), 0);
            assert_int_equal(json_object_size(segment), 2);
            assert_int_equal(json_object_size(json_object_get(row, "rejects")), 4);
            json_decref(row);
        }
        assert_int_equal(catalog_end(&t), failed ? ST_NOMEM : ST_OK);
    }
    json_decref(report);
    store_build_free(b);
}

/* Whichever allocation fails. */
static void without_memory_no_offer_names_fewer_files(void **state)
{
    struct store_segment_ref files[] = {{.bytes = 1}, {.bytes = 2}};
    const struct offer o = {.tenant = "acme",
                            .dataset = "things",
                            .owner = "job",
                            .version = 1,
                            .segments = files,
                            .segment_count = 2};
    struct kit *kit = *state;

    for (long n = 0, failed = 1; failed; n++) {
        char key[CATALOG_KEY_SIZE] = "";
        struct catalog_txn t;
        catalog_begin_write(&t, &kit->store->catalog);
        json_fail_after(n);
        offer_write(&t, &o);
        failed = json_heal();
        assert_int_equal(t.status, failed ? ST_NOMEM : ST_OK);
        if (!failed) {
            json_t *row = catalog_after(&t, CATALOG_CANDIDATES, "", key);
            assert_int_equal(json_array_size(json_object_get(row, "segments")), 2);
            json_decref(row);
        }
        assert_int_equal(catalog_end(&t), failed ? ST_NOMEM : ST_OK);
    }
}

static void a_fenced_lease_publishes_nothing(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    enum store_outcome outcome;

    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "red");
    kit_ok(store_lease_finish(kit->store, &lease, "canceled", NULL));
    assert_int_equal(store_build_publish(&outcome, b, 0, NULL, NULL), ST_FENCED);
    store_build_free(b);
    assert_int_equal(kit_current(kit, "things"), 0);
    assert_no_builds(kit);
}

static void a_lease_that_ran_out_leaves_no_version_in_progress(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease, again;
    json_t *spec = NULL;

    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "red");
    kit_ok(store_lease_extend(kit->store, &lease, 0));
    store_build_free(b); /* too late to record anything */
    assert_true(kit_state_is(kit, 1, "IN_PROGRESS"));
    kit_ok(store_job_lease(&again, &spec, kit->store, NULL, STORE_LEASE_MS));
    json_decref(spec);
    assert_string_equal(again.job, lease.job);
    assert_int_equal(again.attempt, 2);
    assert_int_equal(again.order, lease.order);
    assert_true(kit_state_is(kit, 1, "FAILED"));
    assert_int_equal(kit_finish(kit, &again, kit_build(kit, &again, KIT_THINGS, "red")),
                     STORE_FLIPPED);
    assert_int_equal(kit_current(kit, "things"), 2);
}

static void a_fenced_lease_seals_and_begins_nothing(void **state)
{
    struct kit *kit = *state;
    struct store_definition *d = kit_definition(KIT_THINGS);
    struct store_build *b = NULL, *another = NULL;
    struct store_lease lease;
    json_t *sources = json_array(), *row = NULL;

    kit_lease(&lease, kit, "things");
    b = kit_begin(kit, &lease, KIT_THINGS);
    kit_segment(kit, b, KIT_THINGS, "x", "red");
    kit_ok(store_lease_finish(kit->store, &lease, "canceled", NULL));
    assert_int_equal(store_build_seal(b, "x", NULL, NULL), ST_FENCED);
    assert_int_equal(segments(kit), 0);
    assert_int_equal(store_build_begin(&another, kit->store, &lease, d, sources), ST_FENCED);
    assert_null(another);
    assert_int_equal(store_version_get(&row, kit->store, "acme", "things", 2), ST_NOT_FOUND);
    store_build_free(b);
    json_decref(sources);
    store_definition_free(d);
}

static enum st stop_now(void *ctx)
{
    (void)ctx;
    return st_fail(ST_FENCED, NULL, "stop");
}

static void a_version_that_requires_promotion_is_held_until_promoted(void **state)
{
    struct kit *kit = *state;
    struct store_move m = move(0, 1);
    json_t *head = NULL;

    kit_dataset(kit, KIT_PROMOTED);
    assert_int_equal(kit_publish(kit, KIT_PROMOTED, "red"), STORE_HELD_BACK);
    assert_int_equal(kit_current(kit, "things"), 0);
    assert_true(kit_state_is(kit, 1, "HELD"));
    m.actor.reason = NULL;
    assert_int_equal(store_promote(&head, kit->store, &m), ST_INVALID);
    assert_string_equal(st_code(), "REASON_REQUIRED");
    assert_int_equal(kit_current(kit, "things"), 0);
    m.actor.reason = "looked at it";
    kit_ok(store_promote(&head, kit->store, &m));
    assert_int_equal(json_integer_value(json_object_get(head, "current")), 1);
    json_decref(head);
    assert_int_equal(kit_current(kit, "things"), 1);
    assert_true(kit_state_is(kit, 1, "SUCCEEDED"));
}

static void rolling_back_twice_from_the_same_version_goes_back_once(void **state)
{
    struct kit *kit = *state;
    struct store_move m = move(3, 0);

    kit_publish(kit, KIT_THINGS, "red");
    kit_publish(kit, KIT_THINGS, "blue");
    kit_publish(kit, KIT_THINGS, "green");
    roll_back(kit, 3);
    assert_int_equal(kit_current(kit, "things"), 2);
    refuse_rollback(kit, &m, ST_PRECONDITION, "HEAD_MOVED");
    assert_int_equal(kit_current(kit, "things"), 2);
    assert_true(kit_state_is(kit, 3, "QUARANTINED"));
    assert_true(kit_state_is(kit, 2, "SUCCEEDED"));
}

static void a_rollback_says_what_it_leaves_and_why(void **state)
{
    struct kit *kit = *state;
    struct store_move m = move(0, 0);

    kit_publish(kit, KIT_THINGS, "red");
    kit_publish(kit, KIT_THINGS, "blue");
    refuse_rollback(kit, &m, ST_PRECONDITION_REQUIRED, "FROM_REQUIRED");
    m.if_head = (struct store_if){.sequences = {999}, .count = 1};
    refuse_rollback(kit, &m, ST_PRECONDITION, "HEAD_MOVED");
    m = move(2, 0);
    m.actor.reason = NULL;
    refuse_rollback(kit, &m, ST_INVALID, "REASON_REQUIRED");
    m.actor.reason = "";
    refuse_rollback(kit, &m, ST_INVALID, "REASON_REQUIRED");
    assert_int_equal(kit_current(kit, "things"), 2);
}

static void there_is_a_conflict_when_there_is_nothing_to_roll_back_to(void **state)
{
    struct kit *kit = *state;
    struct store_move m = move(1, 0);

    kit_publish(kit, KIT_THINGS, "red");
    refuse_rollback(kit, &m, ST_CONFLICT, "NOTHING_TO_ROLL_BACK_TO");
    assert_int_equal(kit_current(kit, "things"), 1);
    assert_true(kit_state_is(kit, 1, "SUCCEEDED"));
}

static void a_rollback_to_a_version_whose_file_is_gone_is_refused(void **state)
{
    struct kit *kit = *state;
    struct store_move m = move(2, 1);
    json_t *row = NULL;
    char path[FS_PATH_MAX];

    kit_publish(kit, KIT_THINGS, "red");
    kit_publish(kit, KIT_THINGS, "blue");
    kit_ok(store_version_get(&row, kit->store, "acme", "things", 1));
    json_t *segment = json_array_get(json_object_get(row, "segments"), 0);
    kit_ok(store_segment_path(path, kit->store,
                              json_string_value(json_object_get(segment, "sha256"))));
    json_decref(row);
    assert_int_equal(unlink(path), 0);
    refuse_rollback(kit, &m, ST_CONFLICT, "NOT_SERVABLE");
    assert_int_equal(kit_current(kit, "things"), 2);
    assert_true(kit_state_is(kit, 2, "SUCCEEDED"));
}

static void without_servers_publishing_waits_for_nobody(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    enum store_outcome outcome = STORE_HELD_BACK;

    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "red");
    kit_ok(store_build_publish(&outcome, b, 600000, stop_now, NULL));
    assert_int_equal(outcome, STORE_FLIPPED);
    store_build_free(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(publishing_flips_to_the_new_version),
        TEST(a_build_is_in_progress_and_not_served_until_it_is_published),
        TEST(a_failed_build_leaves_its_row_and_no_files),
        TEST(freeing_an_unpublished_build_fails_it),
        TEST(a_failed_build_leaves_the_file_that_the_current_version_shares),
        TEST(an_identical_build_does_not_flip),
        TEST(a_build_older_than_the_current_version_is_superseded),
        TEST(a_job_leased_before_a_rollback_is_held),
        TEST(the_same_bytes_as_a_quarantined_version_are_held),
        TEST(the_same_bytes_as_another_kept_version_flip),
        TEST(gates_are_judged_against_what_is_current_when_it_would_flip),
        TEST(without_memory_a_report_is_taken_whole_or_not_at_all),
        TEST(without_memory_no_row_of_a_version_says_less),
        TEST(without_memory_no_offer_names_fewer_files),
        TEST(a_fenced_lease_publishes_nothing),
        TEST(a_lease_that_ran_out_leaves_no_version_in_progress),
        TEST(a_fenced_lease_seals_and_begins_nothing),
        TEST(a_version_that_requires_promotion_is_held_until_promoted),
        TEST(rolling_back_twice_from_the_same_version_goes_back_once),
        TEST(a_rollback_says_what_it_leaves_and_why),
        TEST(there_is_a_conflict_when_there_is_nothing_to_roll_back_to),
        TEST(a_rollback_to_a_version_whose_file_is_gone_is_refused),
        TEST(without_servers_publishing_waits_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
