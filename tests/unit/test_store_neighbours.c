/* What one tenant's uploads and jobs cost another, on the thread that is everybody's. */
#include "store_kit.h"

#include "store/internal.h"
#include "store/upload.h"

#define MANY 300

static unsigned rows_read[CATALOG_TABLES];

bool __real_catalog_after_any(json_t **out, struct catalog_txn *t, enum catalog_table table,
                              const char *prefix, char key[CATALOG_KEY_SIZE]);
bool __wrap_catalog_after_any(json_t **out, struct catalog_txn *t, enum catalog_table table,
                              const char *prefix, char key[CATALOG_KEY_SIZE]);
bool __wrap_catalog_after_any(json_t **out, struct catalog_txn *t, enum catalog_table table,
                              const char *prefix, char key[CATALOG_KEY_SIZE])
{
    bool found = __real_catalog_after_any(out, t, table, prefix, key);

    rows_read[table] += found;
    return found;
}

static void put_tenant(struct kit *kit, const char *name, uint32_t max_queued_jobs)
{
    struct store_definition *d = kit_definition(KIT_THINGS);
    struct store_tenant tenant;

    store_tenant_init(&tenant, name);
    tenant.max_queued_jobs = max_queued_jobs;
    kit_ok(store_tenant_put(kit->store, &tenant));
    kit_ok(store_dataset_put(NULL, NULL, kit->store, name, d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    put_tenant(kit, "acme", 2);
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

static enum st enqueue(char job[STORE_JOB_ID_SIZE], struct kit *kit, const char *tenant)
{
    json_t *spec = json_object();
    enum st st = store_job_enqueue(
        job, NULL, NULL, kit->store,
        &(struct store_job_request){
            .tenant = tenant, .dataset = "things", .spec = spec, .actor = KIT_ACTOR});

    json_decref(spec);
    return st;
}

static void put_uploads(struct kit *kit, const char *tenant)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &kit->store->catalog);
    for (unsigned i = 0; i < MANY; i++) {
        char id[STORE_UPLOAD_ID_SIZE], key[CATALOG_KEY_SIZE];
        snprintf(id, sizeof id, "up-%024u", i);
        snprintf(key, sizeof key, "%s/%s", tenant, id);
        json_t *row = json_pack("{s:s, s:i, s:n, s:b}", "upload", id, "bytes", 1, "job", "gone", 0);
        catalog_put(&t, CATALOG_UPLOADS, key, row);
        json_decref(row);
    }
    kit_ok(catalog_commit(&t));
}

static void the_end_of_a_job_reads_no_uploads_but_its_own(void **state)
{
    struct kit *kit = *state;
    char job[STORE_JOB_ID_SIZE];

    put_uploads(kit, "acme");
    put_uploads(kit, "bravo");
    kit_ok(enqueue(job, kit, "acme"));
    rows_read[CATALOG_UPLOADS] = 0;
    kit_ok(store_job_cancel(NULL, kit->store, "acme", job, &KIT_ACTOR));
    assert_int_equal(rows_read[CATALOG_UPLOADS], 0);
}

/* Its row is of before there were marks, by which who removes files finds it. */
static void an_upload_given_up_long_ago_is_found(void **state)
{
    struct kit *kit = *state;
    struct catalog_txn t;
    json_t *row = json_pack("{s:s, s:I, s:b}", "upload", "up-x", "at_us", INT64_MAX / 2, "gone", 1);

    catalog_begin_write(&t, &kit->store->catalog);
    catalog_put(&t, CATALOG_UPLOADS, "acme/up-x", row);
    kit_ok(catalog_commit(&t));
    json_decref(row);
    kit_ok(store_uploads_expire(kit->store));
    catalog_begin_read(&t, &kit->store->catalog);
    assert_int_equal(catalog_sum(&t, CATALOG_UPLOADS, "acme/").rows, 0);
    assert_int_equal(catalog_sum(&t, CATALOG_UPLOADS, ":").rows, 0);
    kit_ok(catalog_end(&t));
}

static void a_limit_of_jobs_reads_no_other_tenants(void **state)
{
    struct kit *kit = *state;
    char job[STORE_JOB_ID_SIZE];

    for (unsigned i = 0; i < MANY; i++)
        kit_ok(enqueue(job, kit, "bravo"));
    rows_read[CATALOG_QUEUE] = 0;
    kit_ok(enqueue(job, kit, "acme"));
    kit_ok(enqueue(job, kit, "acme"));
    assert_int_equal(enqueue(job, kit, "acme"), ST_FULL);
    assert_int_equal(rows_read[CATALOG_QUEUE], 0);
}

static enum st upload(char spec[200], struct kit *kit, const char *bytes)
{
    struct store_incoming in;
    json_t *row = NULL;

    kit_ok(store_incoming_open(&in, kit->dir, kit->store->run.name, "x.csv"));
    kit_ok(store_incoming_add(&in, bytes, strlen(bytes)));
    kit_ok(store_incoming_finish(&in));
    enum st st = store_upload_add(&row, kit->store, "acme", &in);
    if (!st) {
        store_incoming_keep(&in);
        snprintf(spec, 200, "{\"sources\":[{\"source\":\"things\",\"upload\":\"%s\"}]}",
                 json_string_value(json_object_get(row, "upload")));
    }
    store_incoming_release(&in);
    json_decref(row);
    return st;
}

static void may_upload(struct kit *kit, uint64_t bytes)
{
    struct store_tenant tenant;

    kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
    tenant.max_upload_bytes = bytes;
    kit_ok(store_tenant_put(kit->store, &tenant));
}

static void end_job_of(struct kit *kit, const char *spec_text)
{
    char job[STORE_JOB_ID_SIZE];
    json_t *spec = json_loads(spec_text, 0, NULL);

    kit_ok(store_job_enqueue(
        job, NULL, NULL, kit->store,
        &(struct store_job_request){
            .tenant = "acme", .dataset = "things", .spec = spec, .actor = KIT_ACTOR}));
    kit_ok(store_job_cancel(NULL, kit->store, "acme", job, &KIT_ACTOR));
    json_decref(spec);
}

/* It is exact, whatever becomes of them; they are read when there is no sum that holds. */
static void a_quota_of_upload_bytes_does_not_read_all_uploads_each_time(void **state)
{
    struct kit *kit = *state;
    char spec[200];

    put_uploads(kit, "acme");
    may_upload(kit, MANY + 9);
    kit_ok(upload(spec, kit, "123"));
    rows_read[CATALOG_UPLOADS] = 0;
    kit_ok(upload(spec, kit, "123456"));
    assert_int_equal(upload(spec, kit, "1"), ST_FULL);
    assert_int_equal(rows_read[CATALOG_UPLOADS], 0);
    end_job_of(kit, spec);
    rows_read[CATALOG_UPLOADS] = 0;
    assert_int_equal(upload(spec, kit, "1234567"), ST_FULL);
    assert_int_equal(rows_read[CATALOG_UPLOADS], 0);
    may_upload(kit, 0);
    kit_ok(upload(spec, kit, "12"));
    may_upload(kit, MANY + 9);
    assert_int_equal(upload(spec, kit, "12345"), ST_FULL);
    kit_ok(upload(spec, kit, "1234"));
    assert_int_equal(upload(spec, kit, "1"), ST_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_end_of_a_job_reads_no_uploads_but_its_own, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_upload_given_up_long_ago_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_limit_of_jobs_reads_no_other_tenants, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_quota_of_upload_bytes_does_not_read_all_uploads_each_time,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
