/* What a server has counted between two flushes does not grow with the subjects of one tenant, and
 * takes nothing from another. */
#include "store_kit.h"

#include "api/usage.h"

#include <sched.h>
#include <stdatomic.h>

#define OVER 7u

static _Atomic unsigned adds_to_fail, adds_failed;

enum st __real_store_usage_add(struct store *s, const struct store_usage *rows, size_t count);
enum st __wrap_store_usage_add(struct store *s, const struct store_usage *rows, size_t count);

enum st __wrap_store_usage_add(struct store *s, const struct store_usage *rows, size_t count)
{
    if (!atomic_load(&adds_to_fail))
        return __real_store_usage_add(s, rows, count);
    atomic_fetch_sub(&adds_to_fail, 1);
    atomic_fetch_add(&adds_failed, 1);
    return st_fail(ST_FULL, NULL, "the disk is full");
}

static json_t *list(const struct kit *kit, const char *tenant)
{
    json_t *items = NULL;
    char next[256];

    kit_ok(store_usage_list(&items, next, kit->store, tenant, NULL, NULL, "", 100000));
    return items;
}

static json_int_t requests_of(const json_t *items, const char *subject)
{
    json_int_t requests = 0;
    const json_t *row;
    size_t i;

    json_array_foreach(items, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "subject"));
        if (!subject || (name && strcmp(name, subject) == 0))
            requests += json_integer_value(json_object_get(row, "requests"));
    }
    return requests;
}

static void one_tenants_subjects_do_not_fill_the_memory_nor_take_anothers(void **state)
{
    static const int64_t NOW_US = INT64_C(1800000000000000);
    struct store_keeper *keeper = NULL;
    struct api_usage *usage = NULL;
    struct store_tenant tenant;
    struct kit kit;

    (void)state;
    kit_new(&kit);
    for (int i = 0; i < 2; i++) {
        store_tenant_init(&tenant, i ? "bravo" : "acme");
        tenant.max_usage_subjects = 10 * STORE_USAGE_SUBJECTS;
        kit_ok(store_tenant_put(kit.store, &tenant));
    }
    kit_close(&kit);
    kit_ok(store_keeper_start(
        &keeper, &(struct store_keeper_options){.store.data_dir = kit.dir, .slots = 1}));
    kit_ok(api_usage_start(&usage, keeper, 1, 3600000));
    for (unsigned i = 0; i < STORE_USAGE_SUBJECTS + OVER; i++) {
        struct store_usage u = {.tenant = "acme", .operation = "lookup", .requests = 1};
        snprintf(u.subject, sizeof u.subject, "subject-%u", i);
        api_usage_count(usage, 0, &u, NOW_US);
        api_usage_count(usage, 0, &u, NOW_US);
    }
    struct store_usage u = {.tenant = "bravo", .operation = "lookup", .requests = 1};
    strcpy(u.subject, "ada");
    api_usage_count(usage, 0, &u, NOW_US);
    api_usage_stop(usage);
    store_keeper_stop(keeper);
    kit_open(&kit);
    json_t *acme = list(&kit, "acme"), *bravo = list(&kit, "bravo");
    assert_int_equal(json_array_size(acme), STORE_USAGE_SUBJECTS + 1);
    assert_int_equal(requests_of(acme, NULL), 2 * (STORE_USAGE_SUBJECTS + OVER));
    assert_int_equal(requests_of(acme, STORE_USAGE_OTHERS), 2 * OVER);
    assert_int_equal(json_array_size(bravo), 1);
    assert_int_equal(requests_of(bravo, "ada"), 1);
    json_decref(acme);
    json_decref(bravo);
    kit_free(&kit);
}

static void what_could_not_be_added_up_is_added_up_later(void **state)
{
    static const int64_t NOW_US = INT64_C(1800000000000000);
    struct store_usage u = {
        .tenant = "acme", .operation = "lookup", .subject = "ada", .requests = 1};
    struct store_keeper *keeper = NULL;
    struct api_usage *usage = NULL;
    struct kit kit;

    (void)state;
    kit_new(&kit);
    kit_close(&kit);
    kit_ok(store_keeper_start(
        &keeper, &(struct store_keeper_options){.store.data_dir = kit.dir, .slots = 1}));
    atomic_store(&adds_to_fail, 1);
    kit_ok(api_usage_start(&usage, keeper, 1, 1));
    api_usage_count(usage, 0, &u, NOW_US);
    while (!atomic_load(&adds_failed))
        (void)sched_yield();
    api_usage_count(usage, 0, &u, NOW_US);
    api_usage_stop(usage);
    store_keeper_stop(keeper);
    kit_open(&kit);
    json_t *items = list(&kit, "acme");
    assert_int_equal(requests_of(items, "ada"), 2);
    json_decref(items);
    kit_free(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_not_be_added_up_is_added_up_later),
        cmocka_unit_test(one_tenants_subjects_do_not_fill_the_memory_nor_take_anothers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
