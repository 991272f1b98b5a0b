/* The queue: whose turn it is, what the dead leave, and what people may do. */
#include "damage_kit.h"
#include "json_memory_kit.h"

#include "base/clock.h"
#include "store/queue_internal.h"
#include "store/repeat.h"
#include "store/upload.h"

#include <sys/wait.h>

#define THINGS(name)                                                                               \
    "{\"name\":\"" name "\",\"sources\":{\"things\":{\"format\":\"csv\"}},"                        \
    "\"prepare\":\"SELECT * FROM things\","                                                        \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},\"record\":{\"colour\":\"VARCHAR\"}}"

static void put_dataset(struct kit *kit, const char *tenant, const char *text)
{
    struct store_definition *d = kit_definition(text);

    kit_ok(store_dataset_put(NULL, NULL, kit->store, tenant, d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
}

static void put_tenant(struct kit *kit, const char *name, uint32_t concurrent)
{
    struct store_tenant tenant;

    store_tenant_init(&tenant, name);
    tenant.max_concurrent_jobs = concurrent;
    kit_ok(store_tenant_put(kit->store, &tenant));
    put_dataset(kit, name, THINGS("a"));
    put_dataset(kit, name, THINGS("b"));
    put_dataset(kit, name, THINGS("c"));
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    put_tenant(kit, "acme", 0);
    put_tenant(kit, "bravo", 0);
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

static enum st enqueue_with(char job[STORE_JOB_ID_SIZE], bool *repeated, struct kit *kit,
                            const char *tenant, const char *dataset, const char *spec_text,
                            struct store_job_request more)
{
    json_t *spec = NULL;

    kit_ok(jx_parse_object(&spec, spec_text, strlen(spec_text)));
    more.tenant = tenant;
    more.dataset = dataset;
    more.spec = spec;
    more.actor = KIT_ACTOR;
    enum st st = store_job_enqueue(job, NULL, repeated, kit->store, &more);
    json_decref(spec);
    return st;
}

static void enqueue(char job[STORE_JOB_ID_SIZE], struct kit *kit, const char *tenant,
                    const char *dataset, int priority)
{
    kit_ok(enqueue_with(job, NULL, kit, tenant, dataset, "{}",
                        (struct store_job_request){.priority = priority}));
}

static enum st lease_next(struct store_lease *lease, struct kit *kit)
{
    json_t *spec = NULL;
    enum st st = store_job_lease(lease, &spec, kit->store, NULL, STORE_LEASE_MS);

    json_decref(spec);
    return st;
}

static void assert_next(struct kit *kit, struct store_lease *lease, const char *job)
{
    kit_ok(lease_next(lease, kit));
    assert_string_equal(lease->job, job);
}

static void assert_nothing_to_lease(struct kit *kit)
{
    struct store_lease lease;

    assert_int_equal(lease_next(&lease, kit), ST_NOT_FOUND);
    assert_string_equal(st_code(), "NO_JOB");
}

static void finish(struct kit *kit, const struct store_lease *lease)
{
    kit_ok(store_lease_finish(kit->store, lease, "failed", NULL));
}

static void assert_state(struct kit *kit, const char *job, const char *state)
{
    json_t *row = NULL;

    kit_ok(store_job_get(&row, kit->store, NULL, job));
    assert_string_equal(json_string_value(json_object_get(row, "state")), state);
    json_decref(row);
}

typedef char job_id[STORE_JOB_ID_SIZE];

static void jobs_of_a_dataset_run_one_at_a_time_and_in_order(void **state)
{
    struct kit *kit = *state;
    struct store_lease first, second;
    job_id a, b;

    enqueue(a, kit, "acme", "a", 0);
    enqueue(b, kit, "acme", "a", 9);
    assert_next(kit, &first, a);
    assert_nothing_to_lease(kit);
    finish(kit, &first);
    assert_next(kit, &second, b);
    assert_true(second.order > first.order);
}

static void a_higher_priority_goes_first_and_takes_its_dataset_along(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    job_id a, b, c, behind_b;

    enqueue(a, kit, "acme", "a", 0);
    enqueue(b, kit, "acme", "b", -1);
    enqueue(c, kit, "acme", "c", 1);
    enqueue(behind_b, kit, "acme", "b", 5);
    assert_next(kit, &lease, b); /* so that the urgent one behind it can run soon */
    assert_next(kit, &lease, c);
    assert_next(kit, &lease, a);
}

static void tenants_take_turns_however_many_jobs_one_has(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    job_id flood[3], theirs;

    enqueue(flood[0], kit, "acme", "a", 9);
    enqueue(flood[1], kit, "acme", "b", 9);
    enqueue(flood[2], kit, "acme", "c", 9);
    enqueue(theirs, kit, "bravo", "a", -9);
    assert_next(kit, &lease, flood[0]);
    finish(kit, &lease);
    assert_next(kit, &lease, theirs); /* whose turn is longest ago */
    assert_next(kit, &lease, flood[1]);
    finish(kit, &lease);
    assert_next(kit, &lease, flood[2]); /* theirs still runs, and there is no other */
}

static void the_tenant_with_the_fewest_running_goes_first_whoever_waits_longest(void **state)
{
    struct kit *kit = *state;
    struct store_lease runs, lease;
    job_id mine[2], theirs[2];

    enqueue(mine[0], kit, "acme", "a", 0);
    assert_next(kit, &runs, mine[0]);
    enqueue(theirs[0], kit, "bravo", "a", 0);
    assert_next(kit, &lease, theirs[0]);
    finish(kit, &lease);
    enqueue(mine[1], kit, "acme", "b", 0);
    enqueue(theirs[1], kit, "bravo", "b", 0);
    assert_next(kit, &lease, theirs[1]); /* though its last turn is the later one */
    assert_next(kit, &lease, mine[1]);
}

static void the_oldest_that_waits_is_none_that_runs(void **state)
{
    struct kit *kit = *state;
    struct store_queue_stats before, now;
    struct store_lease lease;
    job_id a, b;

    enqueue(a, kit, "acme", "a", 0);
    enqueue(b, kit, "acme", "b", 0);
    kit_ok(store_queue_look(&before, kit->store));
    assert_int_equal(before.queued, 2);
    assert_next(kit, &lease, a);
    kit_ok(store_queue_look(&now, kit->store));
    assert_int_equal(now.running, 1);
    assert_int_equal(now.queued, 1);
    assert_true(now.oldest_us > before.oldest_us);
}

static void a_tenant_runs_no_more_jobs_than_it_may(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease, second;
    job_id a, b;

    put_tenant(kit, "small", 1);
    enqueue(a, kit, "small", "a", 0);
    enqueue(b, kit, "small", "b", 0);
    assert_next(kit, &lease, a);
    assert_nothing_to_lease(kit);
    finish(kit, &lease);
    assert_next(kit, &second, b);
}

/* Leases in a process of its own, which then dies. */
static void lease_and_die(struct kit *kit)
{
    int status;

    kit_close(kit);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_lease lease;
        kit_is_child = true;
        kit_open(kit);
        kit_ok(lease_next(&lease, kit));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    kit_open(kit);
}

static void a_job_of_a_killed_worker_is_redelivered_at_once_three_times_and_then_dead(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    json_t *row = NULL;
    job_id job;

    enqueue(job, kit, "acme", "a", 0);
    for (unsigned attempt = 1; attempt <= STORE_MAX_ATTEMPTS; attempt++) {
        bool settled;
        lease_and_die(kit);
        kit_ok(store_job_settle(&settled, kit->store));
        assert_true(settled);
        assert_state(kit, job, attempt < STORE_MAX_ATTEMPTS ? "queued" : "failed");
    }
    kit_ok(store_job_get(&row, kit->store, "acme", job));
    assert_string_equal(json_string_value(json_object_get(json_object_get(row, "error"), "code")),
                        "WORKER_LOST");
    json_decref(row);
    assert_nothing_to_lease(kit);
    kit_ok(store_job_retry(NULL, kit->store, "acme", job, &KIT_ACTOR));
    assert_next(kit, &lease, job);
    assert_int_equal(lease.attempt, STORE_MAX_ATTEMPTS + 1);
}

/* Sets a member of the lease of a job, whose owner lives. */
static void change_lease(struct kit *kit, const char *job, const char *member, json_t *value)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &kit->store->catalog);
    json_t *row = catalog_get(&t, CATALOG_JOBS, job);
    store_set(&t, json_object_get(row, "lease"), member, value);
    catalog_put(&t, CATALOG_JOBS, job, row);
    kit_ok(catalog_commit(&t));
    json_decref(row);
}

/* The clock of leases begins anew with the machine: what it said before says nothing. */
static void a_lease_ends_with_its_time_and_with_the_boot_it_is_of(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease, again;
    bool settled;
    job_id job;

    enqueue(job, kit, "acme", "a", 0);
    for (unsigned way = 0; way < 2; way++) {
        assert_next(kit, &lease, job);
        kit_ok(store_job_settle(&settled, kit->store));
        assert_false(settled);
        assert_nothing_to_lease(kit);
        if (way)
            change_lease(kit, job, "until_ms", json_integer((json_int_t)clock_boot_ms()));
        else
            change_lease(kit, job, "boot", json_string("an-earlier-one"));
        kit_ok(store_job_settle(&settled, kit->store));
        assert_true(settled);
        assert_state(kit, job, "queued");
        assert_int_equal(store_lease_check(kit->store, &lease), ST_FENCED);
    }
    assert_next(kit, &again, job);
    assert_int_equal(again.attempt, lease.attempt + 1);
}

static void a_released_job_is_somebody_elses_and_the_attempt_does_not_count(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    job_id job;

    enqueue(job, kit, "acme", "a", 0);
    for (unsigned i = 1; i <= 2 * STORE_MAX_ATTEMPTS; i++) {
        assert_next(kit, &lease, job);
        assert_int_equal(lease.attempt, i);
        kit_ok(store_lease_release(kit->store, &lease, NULL));
        assert_int_equal(store_lease_check(kit->store, &lease), ST_FENCED);
    }
    assert_state(kit, job, "queued");
}

static void a_job_released_with_an_error_is_dead_after_three_attempts(void **state)
{
    struct kit *kit = *state;
    struct st_report report;
    struct store_lease lease;
    job_id job;

    st_save(&report, st_fail(ST_UNAVAILABLE, "CHILD_DIED", "it died"));
    enqueue(job, kit, "acme", "a", 0);
    for (unsigned i = 1; i <= STORE_MAX_ATTEMPTS; i++) {
        assert_next(kit, &lease, job);
        kit_ok(store_lease_release(kit->store, &lease, &report));
    }
    assert_state(kit, job, "failed");
}

static void a_job_that_its_process_gives_up_while_it_waits_says_why(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    job_id ours, theirs;
    json_t *row = NULL, *why = json_pack("{s:{s:s}}", "error", "code", "TOO_LATE");

    enqueue(theirs, kit, "acme", "a", 0);
    kit_ok(enqueue_with(ours, NULL, kit, "acme", "a", "{}",
                        (struct store_job_request){.local = true}));
    kit_ok(store_job_give_up(kit->store, ours, "failed", why));
    kit_ok(store_job_settle(NULL, kit->store));
    assert_state(kit, ours, "failed");
    kit_ok(store_job_get(&row, kit->store, "acme", ours));
    assert_string_equal(json_string_value(json_object_get(json_object_get(row, "error"), "code")),
                        "TOO_LATE");
    json_decref(row);
    assert_next(kit, &lease, theirs);
    kit_ok(store_job_give_up(kit->store, theirs, "failed", why)); /* it does not wait any more */
    assert_state(kit, theirs, "running");
    json_decref(why);
}

static void cancelling(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    job_id waits, runs;

    enqueue(runs, kit, "acme", "a", 0);
    enqueue(waits, kit, "acme", "a", 0);
    assert_next(kit, &lease, runs);
    assert_int_equal(store_job_cancel(NULL, kit->store, "bravo", waits, &KIT_ACTOR), ST_NOT_FOUND);
    kit_ok(store_job_cancel(NULL, kit->store, "acme", waits, &KIT_ACTOR));
    assert_state(kit, waits, "canceled");
    kit_ok(store_lease_check(kit->store, &lease));
    kit_ok(store_job_cancel(NULL, kit->store, "acme", runs, &KIT_ACTOR));
    kit_ok(store_job_cancel(NULL, kit->store, "acme", runs, &KIT_ACTOR));
    assert_int_equal(store_lease_check(kit->store, &lease), ST_CONFLICT);
    assert_string_equal(st_code(), "CANCELED");
    kit_ok(store_lease_release(kit->store, &lease, NULL)); /* its worker is told to stop as well */
    assert_state(kit, runs, "canceled");
    kit_ok(store_job_cancel(NULL, kit->store, "acme", runs, &KIT_ACTOR));
    kit_ok(store_job_retry(NULL, kit->store, "acme", runs, &KIT_ACTOR));
    assert_next(kit, &lease, runs);
    finish(kit, &lease);
    assert_int_equal(store_job_cancel(NULL, kit->store, "acme", runs, &KIT_ACTOR), ST_CONFLICT);
    assert_string_equal(st_code(), "JOB_ENDED");
}

static void a_retried_job_keeps_its_place_in_the_order(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease, again;
    job_id first, second;

    enqueue(first, kit, "acme", "a", 0);
    enqueue(second, kit, "acme", "a", 0);
    assert_next(kit, &lease, first);
    finish(kit, &lease);
    kit_ok(store_job_retry(NULL, kit->store, "acme", first, &KIT_ACTOR));
    assert_next(kit, &again, first);
    assert_int_equal(again.order, lease.order);
    assert_int_equal(store_job_retry(NULL, kit->store, "acme", first, &KIT_ACTOR), ST_CONFLICT);
}

static void a_retry_is_a_job_that_has_not_ended(void **state)
{
    struct kit *kit = *state;
    struct store_tenant tenant;
    job_id canceled, queued;

    kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
    tenant.max_queued_jobs = 1;
    kit_ok(store_tenant_put(kit->store, &tenant));
    enqueue(canceled, kit, "acme", "a", 0);
    kit_ok(store_job_cancel(NULL, kit->store, "acme", canceled, &KIT_ACTOR));
    enqueue(queued, kit, "acme", "b", 0);
    assert_int_equal(store_job_retry(NULL, kit->store, "acme", canceled, &KIT_ACTOR), ST_FULL);
    assert_string_equal(st_code(), "QUOTA");
    assert_state(kit, canceled, "canceled");
    kit_ok(store_job_cancel(NULL, kit->store, "acme", queued, &KIT_ACTOR));
    kit_ok(store_job_retry(NULL, kit->store, "acme", canceled, &KIT_ACTOR));
    assert_state(kit, canceled, "queued");
}

static void upload_by(const char *tenant, struct kit *kit, char spec[200], job_id id,
                      const char *bytes)
{
    struct store_incoming in;
    json_t *row = NULL;

    kit_ok(store_incoming_open(&in, kit->dir, kit->store->run.name, "things.csv"));
    kit_ok(store_incoming_add(&in, bytes, strlen(bytes)));
    kit_ok(store_incoming_finish(&in));
    kit_ok(store_upload_add(&row, kit->store, tenant, &in));
    store_incoming_keep(&in);
    store_incoming_release(&in);
    snprintf(id, STORE_JOB_ID_SIZE, "%s", json_string_value(json_object_get(row, "upload")));
    snprintf(spec, 200, "{\"sources\":[{\"source\":\"things\",\"upload\":\"%s\"}]}", id);
    json_decref(row);
}

static void upload(struct kit *kit, char spec[200], job_id id, const char *bytes)
{
    upload_by("acme", kit, spec, id, bytes);
}

static void uploads_are_one_jobs_and_gone_when_it_has_ended(void **state)
{
    struct kit *kit = *state;
    char spec[200], path[FS_PATH_MAX];
    struct store_lease lease;
    job_id id, job, other;

    upload(kit, spec, id, "id,colour\n");
    assert_int_equal(
        enqueue_with(job, NULL, kit, "bravo", "a", spec, (struct store_job_request){0}),
        ST_NOT_FOUND);
    kit_ok(enqueue_with(job, NULL, kit, "acme", "a", spec, (struct store_job_request){0}));
    assert_int_equal(
        enqueue_with(other, NULL, kit, "acme", "b", spec, (struct store_job_request){0}),
        ST_CONFLICT);
    assert_string_equal(st_code(), "UPLOAD_USED");
    kit_ok(store_upload_path(path, kit->store, "acme", id));
    assert_int_equal(access(path, R_OK), 0);
    assert_next(kit, &lease, job);
    finish(kit, &lease);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(store_upload_path(path, kit->store, "acme", id), ST_NOT_FOUND);
    assert_int_equal(store_job_retry(NULL, kit->store, "acme", job, &KIT_ACTOR), ST_CONFLICT);
    assert_string_equal(st_code(), "UPLOADS_GONE");
}

/* It was sent very long ago. */
static void age(struct kit *kit, const char *id)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    store_dataset_key(key, "acme", id);
    catalog_begin_write(&t, &kit->store->catalog);
    json_t *row = catalog_get(&t, CATALOG_UPLOADS, key);
    store_set(&t, row, "at_us", json_integer(1));
    catalog_put(&t, CATALOG_UPLOADS, key, row);
    json_decref(row);
    kit_ok(catalog_commit(&t));
}

static void a_dead_letter_keeps_its_uploads_for_who_retries_it(void **state)
{
    struct kit *kit = *state;
    char spec[200], path[FS_PATH_MAX];
    job_id id, job;

    upload(kit, spec, id, "id,colour\n");
    kit_ok(enqueue_with(job, NULL, kit, "acme", "a", spec, (struct store_job_request){0}));
    for (unsigned i = 0; i < STORE_MAX_ATTEMPTS; i++) {
        lease_and_die(kit);
        kit_ok(store_job_settle(NULL, kit->store));
    }
    assert_state(kit, job, "failed");
    age(kit, id); /* its day begins when the job ended */
    kit_ok(store_uploads_expire(kit->store));
    kit_ok(store_upload_path(path, kit->store, "acme", id));
    assert_int_equal(access(path, R_OK), 0);
    kit_ok(store_job_retry(NULL, kit->store, "acme", job, &KIT_ACTOR));
}

/* Whichever allocation fails. */
static void without_memory_no_upload_is_passed_over(void **state)
{
    struct kit *kit = *state;
    char spec[200], path[FS_PATH_MAX];
    enum st st = ST_NOMEM;
    job_id id;

    upload(kit, spec, id, "id,colour\n");
    age(kit, id);
    kit_ok(store_upload_path(path, kit->store, "acme", id));
    for (long n = 0, failed = 1; st && failed; n++) {
        json_fail_after(n);
        st = store_uploads_expire(kit->store);
        failed = json_heal();
    }
    kit_ok(st);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* Its row is committed after its files are there. */
static void an_upload_that_has_no_row_yet_is_not_swept(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];

    kit_ok(fs_path(path, "%s/spool/acme/up-new", kit->dir));
    kit_ok(fs_mkdir_all(path, 0700));
    kit_ok(store_uploads_expire(kit->store));
    assert_int_equal(access(path, R_OK), 0);
}

static void an_upload_over_the_quota_leaves_nothing(void **state)
{
    struct kit *kit = *state;
    struct store_incoming in;
    struct store_tenant tenant;
    char spec[200], directory[FS_PATH_MAX];
    json_t *row = NULL;
    job_id id;

    upload(kit, spec, id, "12345");
    kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
    tenant.max_upload_bytes = 9;
    kit_ok(store_tenant_put(kit->store, &tenant));
    kit_ok(store_incoming_open(&in, kit->dir, kit->store->run.name, "x.csv"));
    kit_ok(store_incoming_add(&in, "12345", 5));
    kit_ok(store_incoming_finish(&in));
    assert_int_equal(store_upload_add(&row, kit->store, "acme", &in), ST_FULL);
    assert_string_equal(st_code(), "QUOTA");
    snprintf(directory, sizeof directory, "%s", in.directory);
    store_incoming_release(&in);
    assert_int_not_equal(access(directory, F_OK), 0);
}

/* They may be empty, and a quota of bytes is none for these. */
static void a_tenant_has_so_many_uploads_and_no_more(void **state)
{
    json_t *row = json_pack("{s:s, s:i, s:b}", "upload", "up-x", "bytes", 0, "gone", 0);
    struct kit *kit = *state;
    struct store_incoming in;
    char spec[200], key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    job_id id;

    catalog_begin_write(&t, &kit->store->catalog);
    for (unsigned i = 1; i < STORE_UPLOADS_MAX; i++) {
        snprintf(key, sizeof key, "acme/up-%05u", i);
        catalog_put(&t, CATALOG_UPLOADS, key, row);
    }
    kit_ok(catalog_commit(&t));
    json_decref(row);
    upload(kit, spec, id, "");
    kit_ok(store_incoming_open(&in, kit->dir, kit->store->run.name, "x.csv"));
    kit_ok(store_incoming_finish(&in));
    assert_int_equal(store_upload_add(&row, kit->store, "acme", &in), ST_FULL);
    assert_string_equal(st_code(), "QUOTA");
    store_incoming_release(&in);
    upload_by("bravo", kit, spec, id, "");
}

static void lists_are_the_tenants_own_newest_first(void **state)
{
    struct kit *kit = *state;
    struct store_job_filter filter = {.tenant = "acme"};
    json_t *items = NULL;
    job_id one, theirs, two, next;

    enqueue(one, kit, "acme", "a", 0);
    enqueue(theirs, kit, "bravo", "a", 0);
    enqueue(two, kit, "acme", "b", 0);
    kit_ok(store_job_list(&items, next, kit->store, &filter, NULL, 1));
    assert_string_equal(next, two);
    assert_string_equal(json_string_value(json_object_get(json_array_get(items, 0), "job")), two);
    json_decref(items);
    kit_ok(store_job_list(&items, next, kit->store, &filter, next, 5));
    assert_string_equal(next, "");
    assert_int_equal(json_array_size(items), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(items, 0), "job")), one);
    json_decref(items);
    filter.dataset = "b";
    kit_ok(store_job_list(&items, next, kit->store, &filter, NULL, 5));
    assert_int_equal(json_array_size(items), 1);
    json_decref(items);
}

static void a_page_of_jobs_has_a_bound_however_many_files_they_name(void **state)
{
    struct kit *kit = *state;
    struct store_job_filter filter = {.tenant = "acme", .state = "queued"};
    json_t *spec = json_object(), *sources = json_array(), *items = NULL;
    size_t pages = 0, seen = 0;
    job_id job, next = "";

    for (int i = 0; i < 1000; i++)
        json_array_append_new(sources, json_pack("{s:s}", "path", "a.csv"));
    json_object_set_new(spec, "sources", sources);
    char *text = jx_text(spec, false);
    for (int i = 0; i < 5; i++)
        kit_ok(enqueue_with(job, NULL, kit, "acme", "a", text, (struct store_job_request){0}));
    do {
        kit_ok(store_job_list(&items, next, kit->store, &filter, *next ? next : NULL, 1000));
        assert_in_range(json_array_size(items), 1, 2);
        seen += json_array_size(items);
        pages++;
        json_decref(items);
    } while (*next);
    assert_int_equal(seen, 5);
    assert_int_equal(pages, 3);
    free(text);
    json_decref(spec);
}

static size_t kept_answers(struct kit *kit)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &kit->store->catalog);
    size_t count = catalog_sum(&t, CATALOG_REPEATS, "acme/").rows;
    kit_ok(catalog_end(&t));
    return count;
}

static void a_job_is_forgotten_long_after_its_end_and_a_key_after_a_day(void **state)
{
    struct kit *kit = *state;
    struct queue_forgetting forgetting = {0};
    struct store_job_filter filter = {.tenant = "acme"};
    struct store_repeat repeat = {.tenant = "acme", .key = {1}};
    const int64_t now_us = clock_wall_us(), day_us = 86400000000;
    job_id ended, waits, next;
    struct store_lease lease;
    json_t *items = NULL, *answer = json_object();

    repeat.now_us = now_us;
    kit_ok(store_repeat_keep(kit->store, &repeat, answer));
    json_decref(answer);
    enqueue(ended, kit, "acme", "a", 0);
    assert_next(kit, &lease, ended);
    finish(kit, &lease);
    enqueue(waits, kit, "acme", "a", 0);
    kit_ok(queue_forget(&forgetting, kit->store, now_us + day_us - 1));
    assert_int_equal(kept_answers(kit), 1);
    kit_ok(queue_forget(&forgetting, kit->store, now_us + day_us));
    assert_int_equal(kept_answers(kit), 0);

    kit_ok(queue_forget(&forgetting, kit->store, now_us + (STORE_JOB_DAYS - 1) * day_us));
    assert_state(kit, ended, "failed");

    kit_ok(queue_forget(&forgetting, kit->store, now_us + (STORE_JOB_DAYS + 1) * day_us));
    assert_int_equal(store_job_get(&items, kit->store, "acme", ended), ST_NOT_FOUND);
    kit_ok(store_job_list(&items, next, kit->store, &filter, NULL, 9));
    assert_int_equal(json_array_size(items), 1);
    json_decref(items);
    assert_state(kit, waits, "queued");
}

static void a_damaged_row_keeps_no_other_from_being_forgotten(void **state)
{
    struct kit *kit = *state;
    struct queue_forgetting forgetting = {0};
    struct store_repeat repeat = {.tenant = "acme", .now_us = clock_wall_us()};
    const int64_t day_us = 86400000000;
    job_id damaged, waits;
    struct store_lease lease;
    json_t *row = NULL, *answer = json_pack("{s:s}", "body", "zulu-tango");

    kit_ok(enqueue_with(damaged, NULL, kit, "acme", "a", "{\"a\":\"golf-hotel\"}",
                        (struct store_job_request){0}));
    assert_next(kit, &lease, damaged);
    finish(kit, &lease);
    enqueue(waits, kit, "acme", "a", 0);
    assert_next(kit, &lease, waits);
    finish(kit, &lease);
    for (repeat.key[0] = 1; repeat.key[0] <= 2; repeat.key[0]++) {
        kit_ok(store_repeat_keep(kit->store, &repeat, answer));
        json_object_set_new(answer, "body", json_string("whole"));
    }
    json_decref(answer);
    kit_turn(kit, "zulu-tango", 0, 0x80);
    kit_ok(queue_forget(&forgetting, kit->store, repeat.now_us));
    assert_int_equal(kept_answers(kit), 2); /* nobody can be given the damaged one */
    kit_turn(kit, "golf-hotel", 0, 0x80);
    kit_ok(queue_forget(&forgetting, kit->store, repeat.now_us + (STORE_JOB_DAYS + 1) * day_us));
    assert_int_equal(kept_answers(kit), 0);
    assert_int_equal(store_job_get(&row, kit->store, "acme", waits), ST_NOT_FOUND);
    assert_int_equal(store_job_get(&row, kit->store, "acme", damaged), ST_CORRUPT);
}

static void a_damaged_turn_keeps_nobody_from_working(void **state)
{
    const char key[] = "turn/acme";
    struct kit *kit = *state;
    struct store_lease lease;
    job_id first, second, third;

    enqueue(first, kit, "acme", "a", 0);
    assert_next(kit, &lease, first);
    finish(kit, &lease);
    kit_turn(kit, key, sizeof key - 1 + CATALOG_CHECKSUM_BYTES + 1, 0x80);
    enqueue(second, kit, "bravo", "a", 0);
    enqueue(third, kit, "acme", "a", 0);
    assert_next(kit, &lease, second);
    assert_next(kit, &lease, third);
    finish(kit, &lease);
    enqueue(first, kit, "acme", "b", 0); /* its turn is there again */
    assert_next(kit, &lease, first);
}

static void a_damaged_job_keeps_no_other_from_being_leased(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    job_id damaged, runs, behind, other;

    kit_ok(enqueue_with(runs, NULL, kit, "acme", "a", "{\"a\":\"zulu-tango\"}",
                        (struct store_job_request){0}));
    assert_next(kit, &lease, runs);
    kit_ok(enqueue_with(damaged, NULL, kit, "acme", "b", "{\"a\":\"golf-hotel\"}",
                        (struct store_job_request){.priority = 9}));
    enqueue(behind, kit, "acme", "b", 0);
    enqueue(other, kit, "bravo", "a", 0);
    enqueue(other, kit, "acme", "c", 0);
    kit_turn(kit, "zulu-tango", 0, 0x80);
    kit_turn(kit, "golf-hotel", 0, 0x80);
    kit_ok(lease_next(&lease, kit));
    assert_string_equal(lease.tenant, "bravo");
    assert_next(kit, &lease, other);
    assert_nothing_to_lease(kit); /* what is behind them waits, as the catalog is rebuilt */
    kit_ok(store_job_settle(NULL, kit->store));
    assert_int_equal(store_job_lease(&lease, &(json_t *){NULL}, kit->store, damaged, 1000),
                     ST_CORRUPT);
}

/* Whichever allocation fails. */
static void without_memory_no_job_is_leased_without_its_document(void **state)
{
    struct kit *kit = *state;
    struct store_lease lease;
    json_t *spec = NULL;
    enum st st = ST_NOMEM;
    char job[STORE_JOB_ID_SIZE];

    enqueue(job, kit, "acme", "a", 0);
    for (long n = 0, failed = 1; st && failed; n++) {
        json_fail_after(n);
        st = store_job_lease(&lease, &spec, kit->store, NULL, STORE_LEASE_MS);
        failed = json_heal();
    }
    kit_ok(st);
    assert_non_null(spec);
    json_decref(spec);
}

/* The job's entry, not its row. */
static void damage_entry(const struct kit *kit, const char *job)
{
    char key[CATALOG_KEY_SIZE];

    store_order_key(key, strtoull(job + strlen("job-"), NULL, 10));
    kit_turn(kit, key, strlen(key) + CATALOG_CHECKSUM_BYTES + 1, 0x80);
}

static void a_damaged_entry_is_made_again_from_its_job(void **state)
{
    struct kit *kit = *state;
    struct store_queue_stats seen;
    struct store_lease lease, again;
    job_id first, second, other;

    enqueue(first, kit, "acme", "a", 0);
    enqueue(second, kit, "acme", "a", 0);
    enqueue(other, kit, "acme", "b", 5);
    damage_entry(kit, first);
    damage_entry(kit, other);
    kit_ok(store_job_settle(NULL, kit->store));
    kit_ok(store_queue_look(&seen, kit->store));
    assert_int_equal(seen.queued, 3);
    assert_next(kit, &lease, other); /* its priority is what it was */
    finish(kit, &lease);
    assert_next(kit, &lease, first);
    damage_entry(kit, first);
    assert_nothing_to_lease(kit); /* it runs still: what is behind it waits */
    kit_ok(store_queue_look(&seen, kit->store));
    assert_int_equal(seen.running, 1);
    finish(kit, &lease);
    assert_next(kit, &again, second);
}

static void a_damaged_entry_of_a_damaged_job_keeps_no_other_from_being_leased(void **state)
{
    struct kit *kit = *state;
    struct store_queue_stats seen;
    struct store_lease lease;
    job_id damaged, other;

    kit_ok(enqueue_with(damaged, NULL, kit, "acme", "a", "{\"a\":\"golf-hotel\"}",
                        (struct store_job_request){0}));
    enqueue(other, kit, "acme", "b", 0);
    damage_entry(kit, damaged);
    kit_turn(kit, "golf-hotel", 0, 0x80);
    kit_ok(store_job_settle(NULL, kit->store));
    assert_next(kit, &lease, other);
    finish(kit, &lease);
    assert_nothing_to_lease(kit);
    kit_ok(store_queue_look(&seen, kit->store));
    assert_int_equal(seen.queued, 0);
}

static void a_damaged_version_of_a_dead_attempt_keeps_no_other_from_being_leased(void **state)
{
    struct kit *kit = *state;
    struct store_definition *d = kit_definition(THINGS("a"));
    json_t *sources = json_array();
    struct store_build *b = NULL;
    struct store_lease lease;
    job_id dead, other;

    enqueue(dead, kit, "acme", "a", 0);
    assert_next(kit, &lease, dead);
    kit_ok(store_build_begin(&b, kit->store, &lease, d, sources));
    change_lease(kit, dead, "boot", json_string("an-earlier-one"));
    damage_row(kit, CATALOG_VERSIONS, "acme/a/00000000000000000001");
    kit_ok(store_job_settle(NULL, kit->store));
    assert_state(kit, dead, "queued");
    enqueue(other, kit, "bravo", "a", 0);
    assert_next(kit, &lease, other);
    assert_next(kit, &lease, dead); /* acme's last turn was later */
    store_build_free(b);
    json_decref(sources);
    store_definition_free(d);
}

/* The row goes, and its file is one that nobody knows. */
static void a_damaged_upload_keeps_no_other_from_being_removed(void **state)
{
    struct kit *kit = *state;
    char spec[200], damaged_spec[200], path[FS_PATH_MAX], key[CATALOG_KEY_SIZE];
    struct store_lease lease;
    struct catalog_txn t;
    job_id id, damaged, job, other;

    upload(kit, damaged_spec, damaged, "id,colour\n");
    upload(kit, spec, id, "id,colour\n");
    kit_ok(enqueue_with(job, NULL, kit, "acme", "a", spec, (struct store_job_request){0}));
    kit_ok(
        enqueue_with(other, NULL, kit, "acme", "b", damaged_spec, (struct store_job_request){0}));
    kit_ok(store_upload_path(path, kit->store, "acme", id));
    store_dataset_key(key, "acme", damaged);
    damage_row(kit, CATALOG_UPLOADS, key);
    assert_next(kit, &lease, job);
    finish(kit, &lease);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_next(kit, &lease, other);
    finish(kit, &lease);
    assert_int_equal(store_upload_path(path, kit->store, "acme", damaged), ST_NOT_FOUND);
    kit_ok(store_uploads_expire(kit->store));
    catalog_begin_read(&t, &kit->store->catalog);
    assert_null(catalog_get(&t, CATALOG_UPLOADS, key));
    kit_ok(catalog_end(&t));
}

/* It is no reason for its job not to have ended, either. */
static void an_upload_that_cannot_be_removed_keeps_no_other_from_being_removed(void **state)
{
    struct kit *kit = *state;
    char stuck_spec[200], spec[200], path[FS_PATH_MAX], spool[FS_PATH_MAX], aside[FS_PATH_MAX];
    struct store_lease lease;
    job_id stuck, id, job, other;

    upload(kit, stuck_spec, stuck, "id,colour\n");
    upload_by("bravo", kit, spec, id, "id,colour\n");
    kit_ok(enqueue_with(job, NULL, kit, "acme", "a", stuck_spec, (struct store_job_request){0}));
    kit_ok(enqueue_with(other, NULL, kit, "bravo", "a", spec, (struct store_job_request){0}));
    kit_ok(store_upload_path(path, kit->store, "bravo", id));
    kit_ok(fs_path(spool, "%s/spool/acme", kit->dir));
    kit_ok(fs_path(aside, "%s.aside", spool));
    assert_int_equal(rename(spool, aside), 0);
    kit_ok(fs_write_new(spool, "", 0, 0600)); /* no directory: what is below it cannot be removed */
    assert_next(kit, &lease, job);
    finish(kit, &lease);
    assert_next(kit, &lease, other);
    finish(kit, &lease);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(store_uploads_purge(kit->store), ST_IO);
    assert_int_equal(unlink(spool), 0);
    assert_int_equal(rename(aside, spool), 0);
    kit_ok(store_uploads_purge(kit->store));
    kit_ok(fs_path(path, "%s/%s", spool, stuck));
    assert_int_not_equal(access(path, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_memory_no_job_is_leased_without_its_document),
        TEST(jobs_of_a_dataset_run_one_at_a_time_and_in_order),
        TEST(a_higher_priority_goes_first_and_takes_its_dataset_along),
        TEST(tenants_take_turns_however_many_jobs_one_has),
        TEST(the_tenant_with_the_fewest_running_goes_first_whoever_waits_longest),
        TEST(the_oldest_that_waits_is_none_that_runs),
        TEST(a_tenant_runs_no_more_jobs_than_it_may),
        TEST(a_job_of_a_killed_worker_is_redelivered_at_once_three_times_and_then_dead),
        TEST(a_lease_ends_with_its_time_and_with_the_boot_it_is_of),
        TEST(a_released_job_is_somebody_elses_and_the_attempt_does_not_count),
        TEST(a_job_released_with_an_error_is_dead_after_three_attempts),
        TEST(a_job_that_its_process_gives_up_while_it_waits_says_why),
        TEST(cancelling),
        TEST(a_retried_job_keeps_its_place_in_the_order),
        TEST(a_retry_is_a_job_that_has_not_ended),
        TEST(uploads_are_one_jobs_and_gone_when_it_has_ended),
        TEST(a_dead_letter_keeps_its_uploads_for_who_retries_it),
        TEST(without_memory_no_upload_is_passed_over),
        TEST(an_upload_that_has_no_row_yet_is_not_swept),
        TEST(an_upload_over_the_quota_leaves_nothing),
        TEST(a_tenant_has_so_many_uploads_and_no_more),
        TEST(lists_are_the_tenants_own_newest_first),
        TEST(a_page_of_jobs_has_a_bound_however_many_files_they_name),
        TEST(a_job_is_forgotten_long_after_its_end_and_a_key_after_a_day),
        TEST(a_damaged_turn_keeps_nobody_from_working),
        TEST(a_damaged_job_keeps_no_other_from_being_leased),
        TEST(a_damaged_entry_is_made_again_from_its_job),
        TEST(a_damaged_entry_of_a_damaged_job_keeps_no_other_from_being_leased),
        TEST(a_damaged_version_of_a_dead_attempt_keeps_no_other_from_being_leased),
        TEST(a_damaged_upload_keeps_no_other_from_being_removed),
        TEST(an_upload_that_cannot_be_removed_keeps_no_other_from_being_removed),
        TEST(a_damaged_row_keeps_no_other_from_being_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
