/* What a look for the message that is to be sent next costs, on the thread that is everybody's. */
#include "damage_kit.h"

#include "store/hook.h"
#include "store/queue_internal.h"

#define MESSAGES 100

static unsigned rows_read;

bool __real_catalog_after_any(json_t **out, struct catalog_txn *t, enum catalog_table table,
                              const char *prefix, char key[CATALOG_KEY_SIZE]);
bool __wrap_catalog_after_any(json_t **out, struct catalog_txn *t, enum catalog_table table,
                              const char *prefix, char key[CATALOG_KEY_SIZE]);
bool __wrap_catalog_after_any(json_t **out, struct catalog_txn *t, enum catalog_table table,
                              const char *prefix, char key[CATALOG_KEY_SIZE])
{
    bool found = __real_catalog_after_any(out, t, table, prefix, key);

    rows_read += found && table == CATALOG_HOOKS;
    assert_in_range(rows_read, 0, 100 * MESSAGES); /* a look that has no end */
    return found;
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    struct store_tenant tenant;

    assert_non_null(kit);
    kit_new(kit);
    store_tenant_init(&tenant, "acme");
    snprintf(tenant.webhook, sizeof tenant.webhook, "https://acme.example/hook");
    kit_ok(store_tenant_put(kit->store, &tenant));
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

/* The first is due at `first_us`, the others after it. */
static void put_messages(struct kit *kit, int64_t first_us)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;

    catalog_begin_write(&t, &kit->store->catalog);
    for (unsigned i = 0; i < MESSAGES; i++) {
        json_t *message =
            json_pack("{s:s, s:i, s:I}", "payload", "{}", "tries", 0, "due_us", first_us + i);
        snprintf(key, sizeof key, "acme/msg_job-%04u", i);
        catalog_put(&t, CATALOG_HOOKS, key, message);
        json_decref(message);
    }
    kit_ok(catalog_commit(&t));
}

/* And none while nobody else can write. */
static void each_message_is_read_once(void **state)
{
    struct store_hook_round round = {0};
    struct store_hook hook;

    put_messages(*state, 1);
    for (unsigned i = 0; i < MESSAGES / 10; i++) {
        char id[STORE_HOOK_ID_SIZE];
        snprintf(id, sizeof id, "msg_job-%04u", i);
        rows_read = 0;
        kit_ok(store_hook_take(&hook, &round, ((struct kit *)*state)->store, MESSAGES + 1));
        assert_string_equal(hook.id, id);
        assert_int_equal(rows_read, MESSAGES);
        store_hook_release(&hook);
    }
}

/* Also the message itself, whose second try is not far off otherwise. */
static void who_fails_slowly_waits_as_long_as_who_answers_slowly(void **state)
{
    struct store *s = ((struct kit *)*state)->store;
    struct store_hook_round round = {0};
    int64_t until_us = MESSAGES + 90000000;
    struct store_hook hook;
    bool last;

    put_messages(*state, 1);
    kit_ok(store_hook_take(&hook, &round, s, MESSAGES));
    kit_ok(store_hook_failed(&last, s, &hook, MESSAGES, until_us));
    store_hook_release(&hook);
    assert_int_equal(store_hook_take(&hook, &round, s, until_us - 1), ST_NOT_FOUND);
    kit_ok(store_hook_take(&hook, &round, s, until_us));
    store_hook_release(&hook);
}

#define MINUTE_US 60000000
#define DAY_US (1440ll * MINUTE_US)

/* It is due once the clock is right again. */
static void also_what_a_clock_that_was_ahead_has_dated_waits_after_a_failure(void **state)
{
    struct store *s = ((struct kit *)*state)->store;
    struct store_hook_round round = {0};
    struct store_hook hook;
    bool last;

    put_messages(*state, DAY_US);
    rows_read = 0;
    kit_ok(store_hook_take(&hook, &round, s, MESSAGES));
    kit_ok(store_hook_failed(&last, s, &hook, MESSAGES, 2 * MINUTE_US));
    store_hook_release(&hook);
    assert_int_equal(store_hook_take(&hook, &round, s, 2 * MINUTE_US - 1), ST_NOT_FOUND);
    kit_ok(store_hook_take(&hook, &round, s, 2 * MINUTE_US));
    kit_ok(store_hook_delivered(s, &hook, 2 * MINUTE_US, 4 * MINUTE_US));
    store_hook_release(&hook);
    assert_int_equal(store_hook_take(&hook, &round, s, 4 * MINUTE_US - 1), ST_NOT_FOUND);
}

static void a_look_ends_where_a_row_is_damaged_and_the_clock_was_set_back(void **state)
{
    struct store *s = ((struct kit *)*state)->store;
    struct store_hook_round round = {0};
    struct store_hook hook;

    put_messages(*state, DAY_US);
    kit_turn(*state, "\"tenant\":\"acme\",\"enabled\"", 1, 1);
    rows_read = 0;
    assert_int_equal(store_hook_take(&hook, &round, s, MESSAGES), ST_NOT_FOUND);
    assert_int_equal(store_hook_take(&hook, &round, s, MINUTE_US), ST_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_message_is_read_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_fails_slowly_waits_as_long_as_who_answers_slowly,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            also_what_a_clock_that_was_ahead_has_dated_waits_after_a_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_look_ends_where_a_row_is_damaged_and_the_clock_was_set_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
