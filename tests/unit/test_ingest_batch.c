/* Jobs of the command line, with real children: this program is its own. */
#include "json_memory_kit.h"
#include "store_kit.h"

#include "base/clock.h"
#include "ingest/batch.h"
#include "ingest/child.h"
#include "ingest/dry_run.h"
#include "store/internal.h"

#include <signal.h>

#define DEFINITION                                                                                 \
    "{\"name\":\"things\",\"sources\":{\"things\":{\"format\":\"csv\"}},"                          \
    "\"prepare\":\"SELECT id, colour FROM things\","                                               \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},\"record\":{\"colour\":\"VARCHAR\"}}"

struct fixture {
    struct kit kit;
    /* called once for each change of phase */
    void (*hook)(struct fixture *f, const char *phase);
    const char *phase;
    struct store_lease earlier;
    uint64_t mark_ms;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    kit_new(&f->kit);
    kit_dataset(&f->kit, DEFINITION);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    kit_free(&f->kit);
    free(f);
    return 0;
}

static void tell(const char *phase, uint64_t rows, uint64_t total, void *ctx)
{
    struct fixture *f = ctx;

    (void)rows;
    (void)total;
    if (f->phase && strcmp(f->phase, phase) == 0)
        return;
    f->phase = phase;
    if (f->hook)
        f->hook(f, phase);
}

/* A task of this text. */
static void prepare(struct task *t, struct fixture *f, const char *text)
{
    char path[FS_PATH_MAX];

    *t = (struct task){.memory_bytes = 256u << 20, .threads = 1};
    f->phase = NULL;
    kit_ok(fs_path(path, "%s/things.csv", f->kit.dir));
    kit_ok(fs_write_atomic(path, text, strlen(text), 0600));
    kit_ok(batch_define(t, f->kit.store, "acme", "things"));
    kit_ok(batch_add_source(t, path));
}

/* Ingests this text; the batch is left in *b. */
static enum st ingest(struct batch *b, struct fixture *f, const char *text)
{
    struct ingest_progress progress = {.fn = tell, .ctx = f};
    struct task t;

    *b = (struct batch){.store = f->kit.store,
                        .tenant = "acme",
                        .dataset = "things",
                        .lease_ms = STORE_LEASE_MS,
                        .progress = &progress};
    prepare(&t, f, text);
    enum st st = batch_run(b, &t);
    task_release(&t);
    b->progress = NULL;
    return st;
}

static json_t *job_row(struct fixture *f, unsigned number)
{
    char name[STORE_JOB_ID_SIZE];
    json_t *row = NULL;

    snprintf(name, sizeof name, "job-%012u", number);
    kit_ok(store_job_get(&row, f->kit.store, "acme", name));
    return row;
}

/* `code` NULL: it did not fail. */
static void assert_ended(struct fixture *f, unsigned number, const char *state, int version,
                         const char *code)
{
    json_t *row = job_row(f, number), *error = json_object_get(row, "error");

    assert_string_equal(json_string_value(json_object_get(row, "state")), state);
    if (code) {
        assert_int_equal(json_integer_value(json_object_get(row, "version")), version);
        assert_string_equal(json_string_value(json_object_get(error, "code")), code);
        assert_true(strlen(json_string_value(json_object_get(error, "message"))) > 5);
    } else {
        assert_true(json_is_null(error));
    }
    json_decref(row);
}

static void a_job_says_how_it_ended(void **state)
{
    struct fixture *f = *state;
    struct batch b;

    kit_ok(ingest(&b, f, "id,colour\n1,red\n"));
    assert_int_equal(b.version, 1);
    assert_ended(f, 1, "succeeded", 1, NULL);
    assert_int_equal(ingest(&b, f, "id,colour\n1,red\n2\n"), ST_INVALID);
    assert_ended(f, 2, "failed", 2, "CSV_SHORT_ROW");
    assert_int_equal(ingest(&b, f, "id,price\n1,2\n"), ST_INVALID);
    assert_int_equal(b.version, 0);
    assert_ended(f, 3, "failed", 0, "SQL");
    kit_ok(ingest(&b, f, "id,colour\n1,red\n"));
    assert_int_equal(b.version, 3);
    assert_ended(f, 4, "succeeded", 3, NULL);
}

static void interrupt_when_reading(struct fixture *f, const char *phase)
{
    (void)f;
    if (strcmp(phase, "reading") == 0)
        assert_int_equal(raise(SIGTERM), 0);
}

static void a_signal_cancels_the_job(void **state)
{
    struct fixture *f = *state;
    struct batch b;

    f->hook = interrupt_when_reading;
    assert_int_equal(ingest(&b, f, "id,colour\n1,red\n"), ST_CONFLICT);
    assert_string_equal(st_code(), "CANCELED");
    assert_ended(f, 1, "canceled", 1, "CANCELED");
}

/* An earlier job of the dataset, as somebody else would have it. */
static void occupy(struct fixture *f)
{
    kit_lease(&f->earlier, &f->kit, "things");
}

static void finish_earlier(struct fixture *f, const char *phase)
{
    if (strcmp(phase, "waiting") == 0)
        kit_ok(store_lease_finish(f->kit.store, &f->earlier, "succeeded", NULL));
}

static void a_job_waits_for_the_one_before_it(void **state)
{
    struct fixture *f = *state;
    struct batch b;

    occupy(f);
    f->hook = finish_earlier;
    kit_ok(ingest(&b, f, "id,colour\n1,red\n"));
    assert_int_equal(b.version, 1);
    assert_ended(f, 2, "succeeded", 1, NULL);
}

static void interrupt_when_waiting(struct fixture *f, const char *phase)
{
    (void)f;
    if (strcmp(phase, "waiting") == 0)
        assert_int_equal(raise(SIGINT), 0);
}

static void a_job_that_waits_can_be_cancelled(void **state)
{
    struct fixture *f = *state;
    struct batch b;

    occupy(f);
    f->hook = interrupt_when_waiting;
    assert_int_equal(ingest(&b, f, "id,colour\n1,red\n"), ST_CONFLICT);
    assert_string_equal(st_code(), "CANCELED");
    assert_int_equal(b.version, 0);
}

static void define_when_waiting(struct fixture *f, const char *phase)
{
    if (strcmp(phase, "waiting") != 0)
        return;
    kit_dataset(&f->kit, KIT_PROMOTED);
    finish_earlier(f, phase);
}

static void a_definition_that_changes_while_a_job_waits_ends_it(void **state)
{
    struct fixture *f = *state;
    struct batch b;

    occupy(f);
    f->hook = define_when_waiting;
    assert_int_equal(ingest(&b, f, "id,colour\n1,red\n"), ST_CONFLICT);
    assert_string_equal(st_code(), "DEFINITION_CHANGED");
    assert_ended(f, 2, "failed", 0, "DEFINITION_CHANGED");
}

static void look_at_lease(struct fixture *f, const char *phase)
{
    if (strcmp(phase, "building") == 0)
        f->mark_ms = clock_boot_ms();
    if (strcmp(phase, "warming") != 0)
        return;
    struct catalog_txn t;
    catalog_begin_read(&t, &f->kit.store->catalog);
    json_t *row = catalog_get(&t, CATALOG_JOBS, "job-000000000001");
    kit_ok(catalog_end(&t));
    json_t *until = json_object_get(json_object_get(row, "lease"), "until_ms");
    assert_true(f->mark_ms > 0);
    assert_true((uint64_t)json_integer_value(until) >= f->mark_ms + STORE_LEASE_MS);
    f->mark_ms = 0;
    json_decref(row);
}

static void the_lease_is_whole_when_the_segment_is_hashed(void **state)
{
    struct fixture *f = *state;
    struct batch b;

    f->hook = look_at_lease;
    f->mark_ms = 1;
    kit_ok(ingest(&b, f, "id,colour\n1,red\n"));
    assert_int_equal(f->mark_ms, 0);
}

/* ---- dry runs ---- */

static enum st cancel_when_comparing(void *ctx)
{
    struct fixture *f = ctx;

    return f->phase && strcmp(f->phase, "comparing") == 0
               ? st_fail(ST_CONFLICT, "CANCELED", "cancelled by a test")
               : ST_OK;
}

/* *report is what it found; `tick_fn` as of struct dry_run. */
static enum st dry(json_t **report, struct fixture *f, const char *text, spawn_tick_fn tick_fn)
{
    struct ingest_progress progress = {.fn = tell, .ctx = f};
    const struct dry_run d = {.store = f->kit.store,
                              .tenant = "acme",
                              .dataset = "things",
                              .progress = &progress,
                              .tick_fn = tick_fn,
                              .ctx = f};
    struct fs_list left;
    struct task t;
    bool held;

    prepare(&t, f, text);
    enum st st = dry_run_make(report, &held, &d, &t);
    assert_false(held);
    task_release(&t);
    kit_ok(fs_list_dir(&left, f->kit.store->build_dir));
    assert_int_equal(left.count, 0);
    fs_list_free(&left);
    return st;
}

static void a_dry_run_can_be_cancelled_while_it_compares(void **state)
{
    struct fixture *f = *state;
    json_t *report = NULL;
    struct batch b;

    kit_ok(ingest(&b, f, "id,colour\n1,red\n"));
    assert_int_equal(dry(&report, f, "id,colour\n1,blue\n", cancel_when_comparing), ST_CONFLICT);
    assert_string_equal(st_code(), "CANCELED");
    assert_null(report);
    assert_string_equal(f->phase, "comparing"); /* it did not go on to the rollups */
}

/* Whichever allocation fails. */
static void without_memory_a_dry_run_has_no_report_rather_than_half_of_one(void **state)
{
    json_t *whole = json_pack("{s:i, s:{s:i, s:i}}", "rows", 3, "rejects", "rules", 1, "places", 2);

    (void)state;
    assert_non_null(whole);
    for (long n = 0, failed = 1; failed; n++) {
        json_t *report = json_deep_copy(whole);
        json_fail_after(n);
        enum st st = dry_run_compose(report, "things", 7, NULL, NULL);
        failed = json_heal();
        assert_int_equal(st, failed ? ST_NOMEM : ST_OK);
        assert_int_equal(json_object_size(report) == 8, !failed);
        json_decref(report);
    }
    for (long n = 0, failed = 1; failed; n++) {
        json_fail_after(n);
        json_t *brief = dry_run_brief(whole);
        failed = json_heal();
        assert_int_equal(brief == NULL, failed);
        if (brief)
            assert_int_equal(json_integer_value(json_object_get(brief, "rows")), 3);
        json_decref(brief);
    }
    json_decref(whole);
}

static void a_dry_run_compares_rollups_where_keys_cannot_be(void **state)
{
    struct fixture *f = *state;
    json_t *report = NULL;
    struct batch b;

    kit_ok(ingest(&b, f, "id,colour\n1,red\n"));
    kit_dataset(&f->kit,
                "{\"name\":\"things\",\"sources\":{\"things\":{\"format\":\"csv\"}},"
                "\"prepare\":\"SELECT id, colour FROM things\",\"key\":{\"fields\":[\"id\"],"
                "\"normalize\":{\"id\":\"person_name\"},\"protect\":\"none\"},"
                "\"record\":{\"colour\":\"VARCHAR\"}}");
    kit_ok(dry(&report, f, "id,colour\n1,blue\n", NULL));
    json_t *diff = json_object_get(report, "diff");
    assert_int_equal(json_integer_value(json_object_get(diff, "from")), 1);
    assert_true(json_is_null(json_object_get(diff, "records")));
    json_decref(report);
}

static void what_a_job_keeps_of_a_dry_run_is_small_and_names_no_row(void **state)
{
    json_t *gates = json_array(), *report, *brief;
    struct buf text;

    (void)state;
    report =
        json_pack("{s:{s:i, s:[{s:s, s:[]}]}, s:o, s:{s:[], s:[s]}, s:{s:i, s:{}}, s:{}}", "rows",
                  "read", 7, "sources", "name", "things", "files", "gates", gates, "rejects",
                  "rules", "places", "x.csv:7", "diff", "from", 1, "samples", "used");
    assert_non_null(report);
    brief = dry_run_brief(report);
    char *kept = jx_text(brief, false);
    assert_string_equal(kept, "{\"rows\":{\"read\":7,\"sources\":[{\"name\":\"things\"}]},"
                              "\"gates\":[],\"rejects\":{\"rules\":[]},\"diff\":{\"from\":1}}");
    free(kept);
    json_decref(brief);
    assert_non_null(json_object_get(json_object_get(report, "rejects"), "places"));
    for (int i = 0; i < 5000; i++)
        json_array_append_new(gates, json_pack("{s:s}", "name", "a_gate_of_many"));
    brief = dry_run_brief(report);
    buf_init(&text, DRY_RUN_BRIEF_MAX);
    jx_write(&text, brief, false);
    kit_ok(buf_status(&text));
    assert_true(json_is_null(json_object_get(brief, "diff")));
    assert_true(json_is_null(json_object_get(brief, "gates")));
    assert_true(json_is_object(json_object_get(brief, "rows")));
    buf_release(&text);
    json_decref(brief);
    json_decref(report);
}

#define batch_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        batch_test(a_job_says_how_it_ended),
        batch_test(a_signal_cancels_the_job),
        batch_test(a_job_waits_for_the_one_before_it),
        batch_test(a_job_that_waits_can_be_cancelled),
        batch_test(a_definition_that_changes_while_a_job_waits_ends_it),
        batch_test(the_lease_is_whole_when_the_segment_is_hashed),
        batch_test(a_dry_run_can_be_cancelled_while_it_compares),
        batch_test(a_dry_run_compares_rollups_where_keys_cannot_be),
        cmocka_unit_test(without_memory_a_dry_run_has_no_report_rather_than_half_of_one),
        cmocka_unit_test(what_a_job_keeps_of_a_dry_run_is_small_and_names_no_row),
    };
    int exit_code;

    if (child_main(argc, argv, &exit_code))
        return exit_code;
    return cmocka_run_group_tests_name("ingest_batch", tests, NULL, NULL);
}
