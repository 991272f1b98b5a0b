/* Retention: what is retired and what never is; files go when nothing names them, and only then. */
#include "damage_kit.h"

#include "store/head.h"
#include "store/internal.h"
#include "store/keeper.h"
#include "store/offer.h"
#include "store/queue.h"
#include "store/retention.h"
#include "store/seal.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KEEP(count)                                                                                \
    "{\"name\":\"things\",\"sources\":{\"things\":{\"format\":\"csv\"}},"                          \
    "\"prepare\":\"SELECT * FROM things\",\"retention\":{\"keep_versions\":" count                 \
    ",\"keep_days\":30},"                                                                          \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},\"record\":{\"colour\":\"VARCHAR\"}}"
#define KEEP_TWO KEEP("2")
#define KEEP_THREE KEEP("3")

static int setup(void **state)
{
    struct kit *kit = malloc(sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    kit_dataset(kit, KEEP_TWO);
    *state = kit;
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

static void publish(struct kit *kit, const char *colour)
{
    struct store_lease lease;

    kit_lease(&lease, kit, "things");
    kit_finish(kit, &lease, kit_build(kit, &lease, KEEP_TWO, colour));
}

static const char *state_of(struct kit *kit, uint64_t version)
{
    static char name[32];
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", "things", version));
    snprintf(name, sizeof name, "%s", json_string_value(json_object_get(row, "state")));
    json_decref(row);
    return name;
}

/* Is the segment of this version's row on the disk? */
static void segment_path(char path[FS_PATH_MAX], struct kit *kit, uint64_t version)
{
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", "things", version));
    const json_t *segment = json_array_get(json_object_get(row, "segments"), 0);
    const char *sha256 = json_string_value(json_object_get(segment, "sha256"));
    assert_non_null(sha256);
    kit_ok(store_segment_path(path, kit->store, sha256));
    json_decref(row);
}

static bool has_file(struct kit *kit, uint64_t version)
{
    char path[FS_PATH_MAX];

    segment_path(path, kit, version);
    return access(path, F_OK) == 0;
}

/* ---- which: pure ---- */

#define DAY 86400000000LL

static void serve(struct head *h, uint64_t version, int64_t at_us)
{
    kit_ok(head_apply(h, MOVE_BEGIN, version, 0, at_us));
    kit_ok(head_apply(h, MOVE_SUCCEED, version, version, at_us));
}

static void expect(const struct head *h, unsigned keep, int64_t since_us, const char *expected)
{
    uint64_t versions[16];
    char text[128] = "";
    size_t at = 0, n = head_expired(versions, 16, h, head_rollback_step(h, &at), keep, since_us);

    for (size_t i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%llu ",
                 (unsigned long long)versions[i]);
    assert_string_equal(text, expected);
}

static void count_and_age_decide_but_never_what_is_served(void **state)
{
    struct head h = {0};

    (void)state;
    for (uint64_t v = 1; v <= 6; v++)
        serve(&h, v, (int64_t)v * DAY);
    expect(&h, 100, 0, "");
    expect(&h, 4, 0, "1 2 ");
    expect(&h, 2, 0, "1 2 3 4 ");
    expect(&h, 1, 0, "1 2 3 4 "); /* 5 is where a rollback goes */
    /* Version 3 was served until 4 came, on day 4. */
    expect(&h, 100, 3 * DAY + DAY / 2, "1 2 ");
    expect(&h, 100, 4 * DAY + DAY / 2, "1 2 3 ");
    expect(&h, 100, 100 * DAY, "1 2 3 4 ");
    /* Going back to 2 leaves 1 as the way back from there, and 6 quarantined. */
    kit_ok(head_apply(&h, MOVE_ROLL_BACK, 6, 2, 7 * DAY));
    expect(&h, 1, 0, "3 4 5 ");
    expect(&h, 1, 100 * DAY, "3 4 5 6 ");
    /* FAILED and IN_PROGRESS ones are not counted and not taken. */
    kit_ok(head_apply(&h, MOVE_BEGIN, 7, 0, 8 * DAY));
    kit_ok(head_apply(&h, MOVE_FAIL, 7, 0, 8 * DAY));
    kit_ok(head_apply(&h, MOVE_BEGIN, 8, 0, 8 * DAY));
    expect(&h, 1, 100 * DAY, "3 4 5 6 ");
    expect(&h, 6, 0, "");
    kit_ok(head_apply(&h, MOVE_RETIRE, 3, 0, 9 * DAY));
    expect(&h, 5, 0, "");
    expect(&h, 1, 0, "4 5 ");
    head_release(&h);
}

static void what_was_served_at_a_moment_is_known(void **state)
{
    struct head h = {0};

    (void)state;
    serve(&h, 1, 100);
    serve(&h, 2, 200);
    kit_ok(head_apply(&h, MOVE_ROLL_BACK, 2, 1, 300));
    int64_t first = h.turns[0].at_us, second = h.turns[1].at_us;
    assert_int_equal(head_as_of(&h, first - 1), 0);
    assert_int_equal(head_as_of(&h, first), 1);
    assert_int_equal(head_as_of(&h, second - 1), 1);
    assert_int_equal(head_as_of(&h, second), 2);
    assert_int_equal(head_as_of(&h, 1000000), 1);
    head_release(&h);
}

/* ---- doing it ---- */

static size_t count_seals(struct kit *kit)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *seal;
    size_t count = 0;

    catalog_begin_read(&t, &kit->store->catalog);
    for (; (seal = catalog_after(&t, CATALOG_SEALS, "", key)); count++)
        json_decref(seal);
    kit_ok(catalog_end(&t));
    return count;
}

static void publishing_retires_what_is_too_many(void **state)
{
    static const char *const COLOURS[] = {"red", "green", "blue", "white", "black"};
    struct kit *kit = *state;
    json_t *report = NULL;

    for (size_t i = 0; i < 5; i++)
        publish(kit, COLOURS[i]);
    for (uint64_t v = 1; v <= 3; v++) {
        assert_string_equal(state_of(kit, v), "RETIRED");
        assert_false(has_file(kit, v));
    }
    for (uint64_t v = 4; v <= 5; v++) {
        assert_string_equal(state_of(kit, v), "SUCCEEDED");
        assert_true(has_file(kit, v));
    }
    assert_int_equal(count_seals(kit), 2);
    kit_ok(store_verify(&report, kit->store, true));
    json_decref(report);
}

static void a_file_that_a_kept_version_shares_stays(void **state)
{
    struct kit *kit = *state;

    publish(kit, "red");
    publish(kit, "green");
    publish(kit, "red"); /* version 3 has the file of version 1 */
    publish(kit, "blue");
    assert_string_equal(state_of(kit, 1), "RETIRED");
    assert_true(has_file(kit, 1));
    publish(kit, "white");
    assert_string_equal(state_of(kit, 3), "RETIRED");
    assert_false(has_file(kit, 1));
}

static enum st retire(struct kit *kit, uint64_t version, const char *reason)
{
    json_t *head = NULL;
    enum st st = store_retire(&head, kit->store,
                              &(struct store_move){.tenant = "acme",
                                                   .dataset = "things",
                                                   .to = version,
                                                   .actor = {"cli:test", reason, NULL}});
    json_decref(head);
    return st;
}

static void people_retire_one_with_a_reason(void **state)
{
    struct kit *kit = *state;
    json_t *events = NULL;
    bool more;

    publish(kit, "red");
    publish(kit, "green");
    assert_int_equal(retire(kit, 1, ""), ST_INVALID);
    assert_int_equal(retire(kit, 2, "no"), ST_CONFLICT); /* current */
    assert_int_equal(retire(kit, 1, "no"), ST_CONFLICT); /* the way back */
    assert_int_equal(retire(kit, 9, "no"), ST_NOT_FOUND);
    json_t *head = NULL;
    kit_ok(
        store_rollback(&head, kit->store,
                       &(struct store_move){
                           .tenant = "acme", .dataset = "things", .from = 2, .actor = KIT_ACTOR}));
    json_decref(head);
    kit_ok(retire(kit, 2, "the agency asked"));
    assert_string_equal(state_of(kit, 2), "RETIRED");
    assert_true(has_file(kit, 2));
    kit_ok(store_sweep(NULL, kit->store));
    assert_false(has_file(kit, 2));
    assert_int_equal(retire(kit, 2, "again"), ST_CONFLICT);
    kit_ok(store_event_list(&events, &more, kit->store, "acme", "things", 0, 1));
    const json_t *event = json_array_get(events, 0);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "retired");
    assert_string_equal(json_string_value(json_object_get(event, "reason")), "the agency asked");
    json_decref(events);
}

/* Called when verification comes to its first file; NULL: not this time. */
static void (*before_verify)(void);
static struct kit *verified;

enum st __real_store_segment_file_verify(struct seal *seal, const char *path,
                                         const struct store_segment_ref *ref, struct pace *pace);
enum st __wrap_store_segment_file_verify(struct seal *seal, const char *path,
                                         const struct store_segment_ref *ref, struct pace *pace);

enum st __wrap_store_segment_file_verify(struct seal *seal, const char *path,
                                         const struct store_segment_ref *ref, struct pace *pace)
{
    void (*meanwhile)(void) = before_verify;

    before_verify = NULL;
    if (meanwhile)
        meanwhile();
    return __real_store_segment_file_verify(seal, path, ref, pace);
}

static void retire_the_second(void)
{
    struct store_move m = {.tenant = "acme", .dataset = "things", .to = 2, .actor = KIT_ACTOR};
    json_t *head = NULL;

    kit_ok(store_retire(&head, verified->store, &m));
    json_decref(head);
    kit_ok(store_sweep(NULL, verified->store));
    assert_false(has_file(verified, 2));
}

static void verification_says_nothing_of_a_version_that_is_retired_meanwhile(void **state)
{
    struct kit *kit = verified = *state;
    struct store_move m = {.tenant = "acme", .dataset = "things", .from = 2, .actor = KIT_ACTOR};
    json_t *head = NULL, *report = NULL;

    publish(kit, "red");
    publish(kit, "blue");
    kit_ok(store_rollback(&head, kit->store, &m));
    json_decref(head);
    before_verify = retire_the_second;
    kit_ok(store_verify(&report, kit->store, true));
    assert_null(before_verify);
    assert_int_equal(json_integer_value(json_object_get(report, "versions")), 1);
    assert_int_equal(json_integer_value(json_object_get(report, "segments")), 1);
    assert_int_equal(json_array_size(json_object_get(report, "problems")), 0);
    json_decref(report);
}

static void what_a_build_has_pinned_is_not_swept(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    bool aside = true;

    publish(kit, "red");
    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KEEP_TWO, "green"); /* sealed: in segments/ */
    kit_ok(store_sweep(&aside, kit->store));
    assert_false(aside);
    kit_finish(kit, &lease, b);
    assert_true(has_file(kit, 2));
}

/* A candidate's files have a pin or a head that names them. */
static void a_damaged_candidate_keeps_nothing_from_being_swept(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    char path[FS_PATH_MAX], key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    bool aside = false;

    publish(kit, "red");
    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KEEP_TWO, "green");
    catalog_begin_write(&t, &kit->store->catalog);
    offer_write(&t, &(struct offer){
                        .tenant = "acme", .dataset = "things", .owner = lease.job, .version = 2});
    json_decref(catalog_after(&t, CATALOG_CANDIDATES, "", key));
    kit_ok(catalog_commit(&t));
    damage_row(kit, CATALOG_CANDIDATES, key);

    segment_path(path, kit, 1);
    memcpy(strrchr(path, '/') + 3, "0123456789", 10);
    kit_ok(fs_write_new(path, "", 0, 0600)); /* that nobody names */
    kit_ok(store_sweep(&aside, kit->store));
    assert_true(aside);
    assert_int_not_equal(access(path, F_OK), 0);
    kit_finish(kit, &lease, b);
    assert_true(has_file(kit, 2));
}

/* A worker that dies after it sealed: its version fails, its pins and files go. */
static void what_the_dead_left_is_swept(void **state)
{
    struct kit *kit = *state;
    struct fs_list list;
    char path[FS_PATH_MAX];
    bool aside = false, settled = false;

    publish(kit, "red");
    kit_close(kit);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_lease lease;
        kit_is_child = true;
        kit_open(kit);
        kit_lease(&lease, kit, "things");
        kit_build(kit, &lease, KEEP_TWO, "green");
        kit_ok(store_lease_extend(kit->store, &lease, 1)); /* ends at once */
        raise(SIGKILL);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    kit_open(kit);
    while (!settled)
        kit_ok(store_job_settle(&settled, kit->store));
    assert_string_equal(state_of(kit, 2), "FAILED");
    kit_ok(store_sweep(&aside, kit->store));
    assert_true(aside);
    store_purge(store_build_dir(kit->store));
    assert_false(store_purge_due(store_build_dir(kit->store)));
    kit_ok(fs_path(path, "%s/removed-00", store_build_dir(kit->store)));
    kit_ok(fs_write_new(path, "x", 1, 0600)); /* of who died before it was unlinked */
    assert_true(store_purge_due(store_build_dir(kit->store)));
    store_purge(store_build_dir(kit->store));
    assert_false(store_purge_due(store_build_dir(kit->store)));
    kit_ok(fs_path(path, "%s/segments", kit->dir));
    kit_ok(fs_list_dir(&list, path));
    size_t files = 0;
    for (size_t i = 0; i < list.count; i++) {
        struct fs_list shard;
        kit_ok(fs_path(path, "%s/segments/%s", kit->dir, list.names[i]));
        kit_ok(fs_list_dir(&shard, path));
        files += shard.count;
        fs_list_free(&shard);
    }
    fs_list_free(&list);
    assert_int_equal(files, 1);
    kit_ok(store_sweep(&aside, kit->store));
    assert_false(aside);
    /* The job was redelivered: its second attempt takes a number of its own. */
    struct store_lease lease;
    json_t *spec = NULL;
    kit_ok(store_job_lease(&lease, &spec, kit->store, NULL, STORE_LEASE_MS));
    json_decref(spec);
    assert_int_equal(lease.attempt, 2);
    kit_finish(kit, &lease, kit_build(kit, &lease, KEEP_TWO, "green"));
    assert_true(has_file(kit, 3));
}

/* The nearest version that can serve is where a rollback goes, and what is kept. */
static void a_damaged_version_is_not_kept_in_the_place_of_a_whole_one(void **state)
{
    struct kit *kit = *state;
    struct store_move move = {.tenant = "acme", .dataset = "things", .actor = KIT_ACTOR};
    struct store_definition *d = kit_definition(KEEP_THREE);
    json_t *answer = NULL;
    char path[FS_PATH_MAX];

    kit_ok(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
    for (int i = 0; i < 3; i++)
        publish(kit, (const char *const[]){"red", "green", "blue"}[i]);
    segment_path(path, kit, 2);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 4096), 0);
    move.to = 1;
    assert_int_equal(store_retire(&answer, kit->store, &move), ST_CONFLICT);
    assert_non_null(strstr(st_message(), "a rollback would go to it"));
    move.to = 2;
    kit_ok(store_retire(&answer, kit->store, &move));
    json_decref(answer);
    move.to = 0;
    move.from = 3;
    kit_ok(store_rollback(&answer, kit->store, &move));
    assert_int_equal(json_integer_value(json_object_get(answer, "current")), 1);
    json_decref(answer);
}

/* An older copy of the catalog comes back: nothing is served, swept or numbered by it. */
static void an_older_catalog_is_refused_and_removes_nothing(void **state)
{
    struct kit *kit = *state;
    char catalog[FS_PATH_MAX], path[FS_PATH_MAX];
    struct store_keeper *k = NULL;
    struct store_build *b = NULL;
    struct store_lease lease;
    struct buf copy, after;
    json_t *sources = json_array();

    publish(kit, "red");
    kit_close(kit);
    kit_ok(fs_path(catalog, "%s/catalog.mdb", kit->dir));
    buf_init(&copy, 64u << 20);
    kit_ok(fs_read(&copy, catalog));
    kit_open(kit);
    publish(kit, "green");
    segment_path(path, kit, 2);
    kit_close(kit);
    kit_ok(fs_write_atomic(catalog, copy.data, copy.len, 0600));
    buf_release(&copy);

    struct store_keeper_options options = {.store.data_dir = kit->dir, .slots = 1};
    assert_int_equal(store_keeper_start(&k, &options), ST_CORRUPT);
    assert_string_equal(st_code(), "CATALOG_OLD");
    kit_open(kit);
    assert_int_equal(store_sweep(NULL, kit->store), ST_CORRUPT);
    kit_lease(&lease, kit, "things");
    struct store_definition *d = kit_definition(KEEP_TWO);
    assert_int_equal(store_build_begin(&b, kit->store, &lease, d, sources), ST_CORRUPT);
    assert_string_equal(st_code(), "CATALOG_OLD");
    json_decref(sources);
    assert_int_equal(access(path, F_OK), 0);
    /* Nor is the file overwritten that knows better. */
    kit_ok(fs_path(catalog, "%s/acme/things.json", kit->store->heads_dir));
    buf_init(&copy, 1u << 20);
    buf_init(&after, 1u << 20);
    kit_ok(fs_read(&copy, catalog));
    store_definition_free(d);
    d = kit_definition(KEEP_THREE);
    assert_int_equal(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                                       &(struct store_put){.actor = &KIT_ACTOR}),
                     ST_CORRUPT);
    assert_string_equal(st_code(), "CATALOG_OLD");
    store_definition_free(d);
    kit_ok(fs_read(&after, catalog));
    assert_int_equal(after.len, copy.len);
    assert_memory_equal(after.data, copy.data, copy.len);
    buf_release(&copy);
    buf_release(&after);
}

/* Servers read all heads with every commit, those of datasets that were deleted too. */
static void names_that_were_deleted_count_when_datasets_have_a_quota(void **state)
{
    struct kit *kit = *state;
    struct store_tenant tenant;
    uint64_t sequence;
    enum st st = ST_OK;
    char text[600], name[24];
    unsigned names = 0;

    kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
    tenant.max_datasets = 2;
    kit_ok(store_tenant_put(kit->store, &tenant));
    for (unsigned i = 0; !st && i < 1000; i++) {
        snprintf(name, sizeof name, "other%u", i);
        snprintf(text, sizeof text, "{\"name\":\"%s\"%s", name, strchr(KIT_THINGS, ','));
        struct store_definition *d = kit_definition(text);
        st = store_dataset_put(NULL, NULL, kit->store, "acme", d,
                               &(struct store_put){.actor = &KIT_ACTOR});
        store_definition_free(d);
        if (st)
            break;
        names++;
        kit_ok(store_dataset_delete(
            &sequence, kit->store,
            &(struct store_move){.tenant = "acme", .dataset = name, .actor = KIT_ACTOR}));
    }
    assert_int_equal(st, ST_FULL);
    assert_string_equal(st_code(), "QUOTA");
    assert_in_range(names, 100, 120);
    struct store_definition *again = kit_definition(text);
    snprintf(again->name, sizeof again->name, "other0");
    kit_ok(store_dataset_put(NULL, NULL, kit->store, "acme", again,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(again);
}

static void strange_files_are_left_alone(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    bool aside = true;

    publish(kit, "red");
    kit_ok(fs_path(path, "%s/segments/README", kit->dir));
    kit_ok(fs_write_new(path, "x", 1, 0600));
    kit_ok(store_sweep(&aside, kit->store));
    assert_false(aside);
    assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(count_and_age_decide_but_never_what_is_served),
        cmocka_unit_test(what_was_served_at_a_moment_is_known),
        TEST(publishing_retires_what_is_too_many),
        TEST(a_file_that_a_kept_version_shares_stays),
        TEST(people_retire_one_with_a_reason),
        TEST(verification_says_nothing_of_a_version_that_is_retired_meanwhile),
        TEST(what_a_build_has_pinned_is_not_swept),
        TEST(a_damaged_candidate_keeps_nothing_from_being_swept),
        TEST(what_the_dead_left_is_swept),
        TEST(a_damaged_version_is_not_kept_in_the_place_of_a_whole_one),
        TEST(an_older_catalog_is_refused_and_removes_nothing),
        TEST(names_that_were_deleted_count_when_datasets_have_a_quota),
        TEST(strange_files_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
