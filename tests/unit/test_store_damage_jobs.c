/* Rows of jobs that are damaged: what is of other jobs goes on. */
#include "damage_kit.h"

#include "store/queue.h"
#include "store/retention.h"

static int set_up(void **state)
{
    int failed = kit_set_up(state);

    if (!failed)
        kit_dataset(*state, KIT_THINGS);
    return failed;
}

static void lists(struct kit *kit, const char *newest, const char *oldest)
{
    struct store_job_filter filter = {.tenant = "acme"};
    char next[STORE_JOB_ID_SIZE];
    json_t *items = NULL;

    kit_ok(store_job_list(&items, next, kit->store, &filter, NULL, 10));
    assert_string_equal(next, "");
    assert_int_equal(json_array_size(items), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *job = json_object_get(json_array_get(items, i), "job");
        assert_string_equal(json_string_value(job), i ? oldest : newest);
    }
    json_decref(items);
}

static void a_damaged_job_keeps_no_other_from_being_listed(void **state)
{
    struct kit *kit = *state;
    struct store_lease leases[3];
    char key[CATALOG_KEY_SIZE];

    for (size_t i = 0; i < 3; i++) {
        kit_lease(&leases[i], kit, "things");
        kit_ok(store_lease_finish(kit->store, &leases[i], "failed", NULL));
    }
    damage_row(kit, CATALOG_JOBS, leases[1].job);
    lists(kit, leases[2].job, leases[0].job);
    store_dataset_key(key, "acme", leases[0].job);
    damage_row(kit, CATALOG_TENANT_JOBS, key);
    lists(kit, leases[2].job, leases[0].job);
}

/* What it has pinned stays: nobody knows whether it runs. */
static void a_damaged_job_keeps_nothing_else_from_being_swept(void **state)
{
    struct kit *kit = *state;
    char sha256[DIGEST_HEX_SIZE], path[FS_PATH_MAX], key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    struct store_lease lease;
    bool aside = false;

    kit_lease(&lease, kit, "things");
    struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "red"); /* it has pinned its file */
    damage_row(kit, CATALOG_JOBS, lease.job);
    catalog_begin_read(&t, &kit->store->catalog);
    json_decref(catalog_after(&t, CATALOG_PINS, "", key));
    kit_ok(catalog_end(&t));
    snprintf(sha256, sizeof sha256, "%.64s", key);
    kit_ok(store_segment_path(path, kit->store, sha256));
    assert_int_equal(access(path, F_OK), 0);

    memcpy(sha256 + 2, "0123456789", 10);
    kit_ok(store_segment_path(path, kit->store, sha256));
    kit_ok(fs_write_new(path, "", 0, 0600)); /* that nobody names */
    kit_ok(store_sweep(&aside, kit->store));
    assert_true(aside);
    assert_int_not_equal(access(path, F_OK), 0);
    memcpy(sha256, key, sizeof sha256 - 1);
    kit_ok(store_segment_path(path, kit->store, sha256));
    assert_int_equal(access(path, F_OK), 0);
    store_build_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_damaged_job_keeps_no_other_from_being_listed, set_up,
                                        kit_tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_job_keeps_nothing_else_from_being_swept, set_up,
                                        kit_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
