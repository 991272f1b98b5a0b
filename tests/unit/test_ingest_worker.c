/* What a worker makes of the job's document that a server wrote. Its children are this program. */
#include "json_memory_kit.h"
#include "store_kit.h"

#include "ingest/child.h"
#include "ingest/job.h"
#include "ingest/worker.h"
#include "store/internal.h"

#define SOURCE "{\"sources\":[{\"source\":\"things\",\"path\":\"things.csv\"}]"

static int set_up(void **state)
{
    static const char BATCH[] = "id,colour\n1,red\n";
    char path[FS_PATH_MAX];
    int failed = kit_set_up(state);
    struct kit *kit = *state;

    kit_dataset(kit, KIT_THINGS);
    kit_ok(fs_path(path, "%s/inbox", kit->dir));
    kit_ok(fs_mkdir(path, 0700));
    kit_ok(fs_path(path, "%s/inbox/acme", kit->dir));
    kit_ok(fs_mkdir(path, 0700));
    kit_ok(fs_path(path, "%s/inbox/acme/things.csv", kit->dir));
    kit_ok(fs_write_atomic(path, BATCH, sizeof BATCH - 1, 0600));
    return failed;
}

static void enqueue(char job[STORE_JOB_ID_SIZE], struct kit *kit, const char *text)
{
    json_t *spec = NULL;

    kit_ok(jx_parse_object(&spec, text, strlen(text)));
    kit_ok(store_job_enqueue(
        job, NULL, NULL, kit->store,
        &(struct store_job_request){
            .tenant = "acme", .dataset = "things", .spec = spec, .actor = KIT_ACTOR}));
    json_decref(spec);
}

/* As a server would write it whose format is this one. */
static void set_format(struct kit *kit, const char *job, int format)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &kit->store->catalog);
    json_t *row = catalog_get(&t, CATALOG_JOBS, job);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(row, "spec"), "format")),
                     STORE_JOB_FORMAT);
    json_object_set_new(json_object_get(row, "spec"), "format", json_integer(format));
    catalog_put(&t, CATALOG_JOBS, job, row);
    kit_ok(catalog_commit(&t));
    json_decref(row);
}

/* A worker takes all jobs that there are; the catalog is open once in a process. */
static void work(struct kit *kit)
{
    char inbox[FS_PATH_MAX];
    struct worker_options options = {.store = {.data_dir = kit->dir},
                                     .inbox = inbox,
                                     .memory_bytes = 256u << 20,
                                     .threads = 1,
                                     .lease_ms = STORE_LEASE_MS,
                                     .idle_exit_ms = 1};

    kit_ok(fs_path(inbox, "%s/inbox", kit->dir));
    kit_close(kit);
    kit_ok(worker_run(&options));
    kit_open(kit);
}

/* `code` NULL: it succeeded. */
static void assert_ended(struct kit *kit, const char *job, const char *code)
{
    json_t *row = NULL;

    kit_ok(store_job_get(&row, kit->store, "acme", job));
    const char *error = json_string_value(json_object_get(json_object_get(row, "error"), "code"));
    assert_string_equal(json_string_value(json_object_get(row, "state")),
                        code ? "failed" : "succeeded");
    assert_string_equal(error ? error : "", code ? code : "");
    json_decref(row);
}

static void a_job_of_a_later_server_is_refused_and_publishes_nothing(void **state)
{
    static const char *const LATER[] = {SOURCE ",\"rehearsal\":true}",
                                        SOURCE ",\"dry_run\":false,\"only\":[1]}",
                                        "{\"sources\":[{\"path\":\"things.csv\",\"skip\":1}]}"};
    const size_t count = sizeof LATER / sizeof LATER[0];
    char jobs[sizeof LATER / sizeof LATER[0] + 1][STORE_JOB_ID_SIZE];

    for (size_t i = 0; i < count; i++)
        enqueue(jobs[i], *state, LATER[i]);
    enqueue(jobs[count], *state, SOURCE "}");
    set_format(*state, jobs[count], STORE_JOB_FORMAT + 1);
    work(*state);
    for (size_t i = 0; i <= count; i++)
        assert_ended(*state, jobs[i], "WORKER_TOO_OLD");
    assert_int_equal(kit_current(*state, "things"), 0);
}

static void a_job_of_this_server_or_an_earlier_one_is_done(void **state)
{
    char now[STORE_JOB_ID_SIZE], earlier[STORE_JOB_ID_SIZE];

    enqueue(now, *state, SOURCE "}");
    enqueue(earlier, *state, SOURCE ",\"dry_run\":false}");
    set_format(*state, earlier, 0);
    work(*state);
    assert_ended(*state, now, NULL);
    assert_ended(*state, earlier, NULL);
    assert_int_equal(kit_current(*state, "things"), 1);
}

static bool runs(struct kit *kit, const char *job)
{
    json_t *row = NULL;

    kit_ok(store_job_get(&row, kit->store, "acme", job));
    bool running = strcmp(json_string_value(json_object_get(row, "state")), "running") == 0;
    const json_t *error = json_object_get(row, "error");
    if (!running) {
        assert_true(json_is_object(error));
        assert_string_equal(json_string_value(json_object_get(error, "code")), "BAD_SOURCE");
        assert_string_equal(json_string_value(json_object_get(error, "message")), "it is no file");
        assert_null(json_object_get(error, "status"));
    }
    json_decref(row);
    return running;
}

/* Whichever allocation fails: its lease ends, and it is tried again. */
static void without_memory_no_job_ends_without_its_error(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    char job[STORE_JOB_ID_SIZE] = "";
    json_t *spec = NULL;

    for (long n = 0, failed = 1; failed; n++) {
        if (!*job || !runs(kit, job)) {
            enqueue(job, kit, SOURCE "}");
            kit_ok(store_job_lease(&lease, &spec, kit->store, job, STORE_LEASE_MS));
            json_decref(spec);
        }
        enum st st = st_fail(ST_INVALID, "BAD_SOURCE", "it is no file");
        json_fail_after(n);
        assert_int_equal(job_refuse(kit->store, &lease, st), ST_INVALID);
        failed = json_heal();
    }
    assert_false(runs(kit, job));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_of_a_later_server_is_refused_and_publishes_nothing,
                                        set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(without_memory_no_job_ends_without_its_error, set_up,
                                        kit_tear_down),
        cmocka_unit_test_setup_teardown(a_job_of_this_server_or_an_earlier_one_is_done, set_up,
                                        kit_tear_down),
    };
    int exit_code;

    if (child_main(argc, argv, &exit_code))
        return exit_code;
    return cmocka_run_group_tests_name("ingest_worker", tests, NULL, NULL);
}
