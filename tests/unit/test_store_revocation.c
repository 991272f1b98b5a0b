/* Revocations: who is out, and that there is an end to them. What a view makes of them is tested
 * over HTTP (tests/api/auth.test.mjs). */
#include "json_memory_kit.h"
#include "store_kit.h"

#include "base/clock.h"
#include "store/internal.h"
#include "store/revocation.h"

static int setup(void **state)
{
    struct kit *kit = malloc(sizeof *kit);
    struct store_tenant other;

    assert_non_null(kit);
    kit_new(kit);
    store_tenant_init(&other, "other");
    kit_ok(store_tenant_put(kit->store, &other));
    *state = kit;
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

static void put_out(struct kit *kit, const char *token_id, const char *subject)
{
    const struct store_revocation r = {
        .tenant = "acme", .token_id = token_id, .subject = subject, .expires_us = 0};
    json_t *row = NULL;

    kit_ok(store_revoke(&row, kit->store, &r, &KIT_ACTOR));
    assert_true(json_is_string(json_object_get(row, "revoked_at")));
    assert_true(json_is_null(json_object_get(row, "expires_at")));
    json_decref(row);
}

static bool is_out(struct kit *kit, const char *tenant, const char *token_id, const char *subject,
                   int64_t issued_s)
{
    const struct store_token token = {tenant, token_id, subject, issued_s};
    bool revoked;

    kit_ok(store_is_revoked(&revoked, kit->store, &token));
    return revoked;
}

static int64_t now_s(void)
{
    return clock_wall_us() / 1000000;
}

static void a_token_is_out_by_its_id_whenever_it_was_issued(void **state)
{
    struct kit *kit = *state;

    assert_false(is_out(kit, "acme", "one", "ada", 0));
    put_out(kit, "one", NULL);
    assert_true(is_out(kit, "acme", "one", "ada", 0));
    assert_true(is_out(kit, "acme", "one", "", now_s() + 3600));
    assert_false(is_out(kit, "acme", "on", "ada", 0));
    assert_false(is_out(kit, "acme", "", "one", 0)); /* an id is no subject */
    assert_false(is_out(kit, "other", "one", "ada", 0));
}

static void a_subject_is_out_with_what_was_issued_until_then(void **state)
{
    struct kit *kit = *state;

    put_out(kit, NULL, "ada");
    assert_true(is_out(kit, "acme", "one", "ada", INT64_MIN));
    assert_true(is_out(kit, "acme", "", "ada", now_s() - 1));
    assert_false(is_out(kit, "acme", "one", "ada", now_s() + 3600));
    assert_false(is_out(kit, "acme", "ada", "", 0));
    assert_false(is_out(kit, "other", "one", "ada", 0));
}

static void it_says_what_is_revoked_and_until_a_time_to_come(void **state)
{
    struct kit *kit = *state;
    const struct store_revocation wrong[] = {
        {.tenant = "acme"},
        {.tenant = "acme", .token_id = "", .subject = ""},
        {.tenant = "acme", .token_id = "one", .subject = "ada"},
        {.tenant = "acme", .token_id = "one", .expires_us = 1},
    };
    json_t *row = NULL;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(store_revoke(&row, kit->store, &wrong[i], &KIT_ACTOR), ST_INVALID);
        assert_null(row);
    }
    const struct store_revocation nobody = {.tenant = "nobody", .token_id = "one"};
    assert_int_equal(store_revoke(&row, kit->store, &nobody, &KIT_ACTOR), ST_NOT_FOUND);
    assert_false(is_out(kit, "acme", "one", "", 0));
}

/* `count` rows as if they had been made before. */
static void fill(struct kit *kit, unsigned count, json_int_t expires_s)
{
    struct catalog_txn t;
    json_t *row = json_pack("{s:I, s:I}", "until_s", (json_int_t)0, "expires_s", expires_s);

    catalog_begin_write(&t, &kit->store->catalog);
    for (unsigned i = 0; i < count; i++) {
        char key[CATALOG_KEY_SIZE];
        snprintf(key, sizeof key, "acme/jti/%064u", i);
        catalog_put(&t, CATALOG_REVOCATIONS, key, row);
    }
    kit_ok(catalog_commit(&t));
    json_decref(row);
}

static unsigned count_rows(struct kit *kit)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    unsigned count = 0;
    json_t *row;

    catalog_begin_read(&t, &kit->store->catalog);
    for (; (row = catalog_after(&t, CATALOG_REVOCATIONS, "", key)); count++)
        json_decref(row);
    kit_ok(catalog_end(&t));
    return count;
}

static void what_has_expired_goes_when_another_comes(void **state)
{
    fill(*state, STORE_REVOCATIONS_MAX, now_s() - 1);
    put_out(*state, "one", NULL);
    assert_int_equal(count_rows(*state), 1);
}

static void a_tenant_has_so_many_and_no_more(void **state)
{
    struct kit *kit = *state;
    const struct store_revocation mine = {.tenant = "acme", .token_id = "one"};
    const struct store_revocation theirs = {.tenant = "other", .token_id = "one"};
    json_t *row = NULL;

    fill(kit, STORE_REVOCATIONS_MAX, 0);
    assert_int_equal(store_revoke(&row, kit->store, &mine, &KIT_ACTOR), ST_FULL);
    assert_string_equal(st_code(), "QUOTA");
    kit_ok(store_revoke(&row, kit->store, &theirs, &KIT_ACTOR));
    json_decref(row);
}

/* Whichever allocation fails. */
static void without_memory_no_revocation_forgets_its_reason(void **state)
{
    const struct store_revocation r = {.tenant = "acme", .token_id = "one"};
    char key[CATALOG_KEY_SIZE] = "";
    struct kit *kit = *state;
    json_t *row = NULL;
    struct catalog_txn t;
    enum st st = ST_NOMEM;

    for (long n = 0, failed = 1; st && failed; n++) {
        json_fail_after(n);
        st = store_revoke(&row, kit->store, &r, &KIT_ACTOR);
        failed = json_heal();
        if (st)
            assert_int_equal(st, ST_NOMEM);
    }
    kit_ok(st);
    json_decref(row);
    catalog_begin_read(&t, &kit->store->catalog);
    row = catalog_after(&t, CATALOG_REVOCATIONS, "", key);
    kit_ok(catalog_end(&t));
    assert_string_equal(json_string_value(json_object_get(row, "reason")), "a test");
    json_decref(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_is_out_by_its_id_whenever_it_was_issued, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_subject_is_out_with_what_was_issued_until_then, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(it_says_what_is_revoked_and_until_a_time_to_come, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_memory_no_revocation_forgets_its_reason, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_has_expired_goes_when_another_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tenant_has_so_many_and_no_more, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
