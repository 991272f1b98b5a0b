/* Usage in the catalog: sums are exact, and a tenant's subjects are not told apart without end. */
#include "json_memory_kit.h"
#include "store_kit.h"

#include "store/usage.h"

#define DAY "2026-11-21"

static void put_tenant(struct kit *kit, const char *name, uint32_t most)
{
    struct store_tenant tenant;

    store_tenant_init(&tenant, name);
    tenant.max_usage_subjects = most;
    kit_ok(store_tenant_put(kit->store, &tenant));
}

static struct store_usage use(const char *tenant, const char *day, const char *subject,
                              const char *operation)
{
    struct store_usage u = {.operation = operation, .requests = 1, .keys = 2};

    snprintf(u.tenant, sizeof u.tenant, "%s", tenant);
    snprintf(u.day, sizeof u.day, "%s", day);
    snprintf(u.subject, sizeof u.subject, "%s", subject);
    return u;
}

static void add(struct kit *kit, const char *tenant, const char *day, const char *subject,
                const char *operation)
{
    struct store_usage u = use(tenant, day, subject, operation);

    kit_ok(store_usage_add(kit->store, &u, 1));
}

struct found {
    size_t rows;
    json_int_t requests, shared; /* of all rows, and of those of the subject "*" */
};

static struct found find(struct kit *kit, const char *tenant, const char *day)
{
    struct found f = {.rows = 0};
    json_t *items = NULL, *row;
    char next[256];
    size_t i;

    kit_ok(store_usage_list(&items, next, kit->store, tenant, day, day, "", 100000));
    f.rows = json_array_size(items);
    json_array_foreach(items, i, row)
    {
        const char *subject = json_string_value(json_object_get(row, "subject"));
        json_int_t requests = json_integer_value(json_object_get(row, "requests"));
        assert_int_equal(json_integer_value(json_object_get(row, "keys")), 2 * requests);
        f.requests += requests;
        f.shared += subject && strcmp(subject, STORE_USAGE_OTHERS) == 0 ? requests : 0;
    }
    json_decref(items);
    return f;
}

static void subjects_over_the_tenants_number_share_rows_and_sums_are_exact(void **state)
{
    struct kit *kit = *state;
    static const char *const SUBJECTS[] = {"ada", "bob", "cy", "dan", "", "eve"};

    put_tenant(kit, "acme", 2);
    for (int n = 0; n < 3; n++)
        for (size_t i = 0; i < sizeof SUBJECTS / sizeof SUBJECTS[0]; i++) {
            add(kit, "acme", DAY, SUBJECTS[i], "getRecord");
            add(kit, "acme", DAY, SUBJECTS[i], "lookup");
        }
    /* ada, bob, nobody and "*", of two operations */
    struct found f = find(kit, "acme", DAY);
    assert_int_equal(f.rows, 8);
    assert_int_equal(f.requests, 36);
    assert_int_equal(f.shared, 18);
    /* Who has rows gets more of them. */
    add(kit, "acme", DAY, "bob", "lookupBatch");
    add(kit, "acme", DAY, "eve", "lookupBatch");
    f = find(kit, "acme", DAY);
    assert_int_equal(f.rows, 10);
    assert_int_equal(f.shared, 19);
}

static void a_day_and_a_tenant_have_their_own_number(void **state)
{
    struct kit *kit = *state;

    put_tenant(kit, "acme", 1);
    put_tenant(kit, "bravo", 1);
    add(kit, "acme", DAY, "ada", "lookup");
    add(kit, "acme", DAY, "bob", "lookup");
    add(kit, "acme", "2026-11-22", "bob", "lookup");
    add(kit, "bravo", DAY, "bob", "lookup");
    assert_int_equal(find(kit, "acme", DAY).shared, 1);
    assert_int_equal(find(kit, "acme", "2026-11-22").shared, 0);
    assert_int_equal(find(kit, "bravo", DAY).shared, 0);
    put_tenant(kit, "acme", 2);
    add(kit, "acme", DAY, "cy", "lookup");
    assert_int_equal(find(kit, "acme", DAY).shared, 1);
}

/* A subject is whatever a token says: one that is called as the rest is one of them. */
static void who_is_called_as_the_rest_takes_no_place(void **state)
{
    struct kit *kit = *state;

    put_tenant(kit, "acme", 1);
    add(kit, "acme", DAY, STORE_USAGE_OTHERS, "lookup");
    add(kit, "acme", DAY, "ada", "lookup");
    add(kit, "acme", DAY, "bob", "lookup");
    struct found f = find(kit, "acme", DAY);
    assert_int_equal(f.rows, 2);
    assert_int_equal(f.shared, 2);
}

static void a_tenant_that_says_nothing_has_ten_thousand(void **state)
{
    struct kit *kit = *state;
    size_t count = STORE_USAGE_SUBJECTS + 5;
    struct store_usage *rows = calloc(count, sizeof *rows);
    char subject[32];

    assert_non_null(rows);
    put_tenant(kit, "acme", 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(subject, sizeof subject, "subject-%zu", i);
        rows[i] = use("acme", DAY, subject, "lookup");
    }
    kit_ok(store_usage_add(kit->store, rows, count));
    struct found f = find(kit, "acme", DAY);
    assert_int_equal(f.rows, STORE_USAGE_SUBJECTS + 1);
    assert_int_equal(f.requests, count);
    assert_int_equal(f.shared, 5);
    free(rows);
}

static void a_damaged_row_is_told_of_and_hides_no_other(void **state)
{
    struct kit *kit = *state;
    size_t unreadable = 0, i;
    json_t *items = NULL, *row;
    char next[256];

    put_tenant(kit, "acme", 0);
    add(kit, "acme", "2026-11-20", "ada", "lookup");
    add(kit, "acme", DAY, "zulu-tango", "lookup");
    add(kit, "acme", DAY, "bob", "lookup");
    add(kit, "acme", "2026-11-22", "ada", "lookup");
    kit_turn(kit, "zulu-tango", 0, 0x80);
    struct found f = find(kit, "acme", DAY);
    assert_int_equal(f.rows, 2);
    assert_int_equal(f.requests, 1);
    kit_ok(store_usage_list(&items, next, kit->store, "acme", NULL, NULL, "", 10));
    assert_int_equal(json_array_size(items), 4);
    json_array_foreach(items, i, row)
    {
        if (!json_is_true(json_object_get(row, "incomplete")))
            continue;
        unreadable++;
        assert_string_equal(json_string_value(json_object_get(row, "day")), DAY);
        assert_string_equal(json_string_value(json_object_get(row, "operation")), "unreadable");
        assert_null(json_object_get(row, "subject"));
    }
    assert_int_equal(unreadable, 1);
    json_decref(items);
}

static void the_last_page_is_known_as_the_last(void **state)
{
    struct kit *kit = *state;
    json_t *items = NULL;
    char next[256];

    put_tenant(kit, "acme", 0);
    add(kit, "acme", DAY, "ada", "lookup");
    add(kit, "acme", "2026-11-22", "ada", "lookup");
    kit_ok(store_usage_list(&items, next, kit->store, "acme", NULL, DAY, "", 1));
    assert_int_equal(json_array_size(items), 1);
    assert_string_equal(next, "");
    json_decref(items);
    kit_ok(store_usage_list(&items, next, kit->store, "acme", NULL, NULL, "", 1));
    assert_string_not_equal(next, "");
    json_decref(items);
}

/* Whichever allocation fails. */
static void without_memory_no_row_forgets_what_it_is_of(void **state)
{
    struct kit *kit = *state;
    struct store_usage u = use("acme", DAY, "ada", "lookup");
    json_t *items = NULL;
    char next[256];
    enum st st = ST_NOMEM;

    snprintf(u.dataset, sizeof u.dataset, "things");
    for (long n = 0, failed = 1; st && failed; n++) {
        json_fail_after(n);
        st = store_usage_add(kit->store, &u, 1);
        failed = json_heal();
    }
    kit_ok(st);
    kit_ok(store_usage_list(&items, next, kit->store, "acme", DAY, DAY, "", 10));
    const json_t *row = json_array_get(items, 0);
    assert_string_equal(json_string_value(json_object_get(row, "dataset")), "things");
    assert_string_equal(json_string_value(json_object_get(row, "subject")), "ada");
    json_decref(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            subjects_over_the_tenants_number_share_rows_and_sums_are_exact, kit_set_up,
            kit_tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_row_is_told_of_and_hides_no_other, kit_set_up,
                                        kit_tear_down),
        cmocka_unit_test_setup_teardown(without_memory_no_row_forgets_what_it_is_of, kit_set_up,
                                        kit_tear_down),
        cmocka_unit_test_setup_teardown(the_last_page_is_known_as_the_last, kit_set_up,
                                        kit_tear_down),
        cmocka_unit_test_setup_teardown(a_day_and_a_tenant_have_their_own_number, kit_set_up,
                                        kit_tear_down),
        cmocka_unit_test_setup_teardown(who_is_called_as_the_rest_takes_no_place, kit_set_up,
                                        kit_tear_down),
        cmocka_unit_test_setup_teardown(a_tenant_that_says_nothing_has_ten_thousand, kit_set_up,
                                        kit_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
