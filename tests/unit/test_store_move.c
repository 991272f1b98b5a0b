/* Before a move: the servers are asked, waited for, and asked no longer. */
#include "store_kit.h"

#include "store/internal.h"
#include "store/offer.h"
#include "store/refresh.h"
#include "store/retention.h"

#include <sys/wait.h>

/* A server that lives, and does nothing by itself. */
static struct run_entry server;

static int setup(void **state)
{
    static const char *const COLOURS[] = {"red", "blue", "white", "green"};
    struct kit *kit = malloc(sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    kit_dataset(kit, KIT_THINGS);
    for (size_t i = 0; i < sizeof COLOURS / sizeof COLOURS[0]; i++)
        assert_int_equal(kit_publish(kit, KIT_THINGS, COLOURS[i]), STORE_FLIPPED);
    kit_ok(run_register(&server, kit->store->run_dir, RUN_SERVER));
    *state = kit;
    return 0;
}

static int teardown(void **state)
{
    struct kit *kit = *state;

    run_unregister(&server, kit->store->run_dir);
    kit_free(kit);
    free(kit);
    return 0;
}

static struct store_move to(uint64_t version)
{
    return (struct store_move){
        .tenant = "acme", .dataset = "things", .to = version, .actor = KIT_ACTOR};
}

static bool is_ready(struct kit *kit, struct store_move *m)
{
    bool ready;

    kit_ok(store_move_prepare(&ready, kit->store, m, false));
    return ready;
}

static size_t candidates(struct kit *kit, json_t *acks)
{
    char key[CATALOG_KEY_SIZE] = "", ack_key[2 * CATALOG_KEY_SIZE];
    struct catalog_txn t;
    json_t *candidate;
    size_t count = 0;

    catalog_begin_read(&t, &kit->store->catalog);
    for (; (candidate = catalog_after(&t, CATALOG_CANDIDATES, "", key)); count++) {
        snprintf(ack_key, sizeof ack_key, "%s/%s", key, server.name);
        if (acks)
            json_object_set_new(
                acks, ack_key,
                json_pack("{s:O, s:b}", "nonce", json_object_get(candidate, "nonce"), "ok", true));
        json_decref(candidate);
    }
    kit_ok(catalog_end(&t));
    return count;
}

/* The server has all that is offered. */
static void acknowledge(struct kit *kit)
{
    json_t *acks = json_object(), *verified = json_object();

    candidates(kit, acks);
    kit_ok(refresh_write(kit->store, acks, verified));
    json_decref(acks);
    json_decref(verified);
}

static void moves_of_one_dataset_wait_beside_each_other(void **state)
{
    struct kit *kit = *state;
    struct store_move first = to(1), second = to(2);
    json_t *head = NULL;

    for (int i = 0; i < 3; i++) {
        assert_false(is_ready(kit, &first));
        assert_false(is_ready(kit, &second));
    }
    assert_int_equal(candidates(kit, NULL), 2);
    acknowledge(kit);
    assert_true(is_ready(kit, &first));
    assert_true(is_ready(kit, &second));
    kit_ok(store_promote(&head, kit->store, &first));
    json_decref(head);
    assert_int_equal(candidates(kit, NULL), 1);
    assert_true(is_ready(kit, &second));
    kit_ok(store_promote(&head, kit->store, &second));
    json_decref(head);
    assert_int_equal(candidates(kit, NULL), 0);
}

static void a_server_has_its_time_from_the_first_call_on(void **state)
{
    struct kit *kit = *state;
    struct store_move m = to(1);

    assert_false(is_ready(kit, &m));
    assert_false(is_ready(kit, &m));
    m.progress.began_ms -= STORE_ADOPT_MS;
    assert_true(is_ready(kit, &m));
}

static void what_a_move_does_not_ask_for_any_more_is_withdrawn(void **state)
{
    struct kit *kit = *state;
    struct store_move left = to(1), waiting = to(2);

    assert_false(is_ready(kit, &left));
    assert_false(is_ready(kit, &waiting));
    kit_ok(offers_tidy(kit->store)); /* both were asked for since */
    assert_int_equal(candidates(kit, NULL), 2);
    assert_false(is_ready(kit, &waiting));
    kit_ok(offers_tidy(kit->store));
    assert_int_equal(candidates(kit, NULL), 1);
    acknowledge(kit);
    assert_true(is_ready(kit, &waiting));
}

static void what_a_process_offered_goes_with_it(void **state)
{
    struct kit *kit = *state;
    struct store_move m = to(1);

    assert_false(is_ready(kit, &m));
    kit_close(kit);
    kit_open(kit);
    assert_int_equal(candidates(kit, NULL), 0);
}

static size_t count_acks(struct kit *kit)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *ack;
    size_t count = 0;

    catalog_begin_read(&t, &kit->store->catalog);
    for (; (ack = catalog_after(&t, CATALOG_ACKS, "", key)); count++)
        json_decref(ack);
    kit_ok(catalog_end(&t));
    return count;
}

static void what_the_dead_offered_goes_with_its_answers(void **state)
{
    struct kit *kit = *state;
    bool aside;
    int status;

    kit_close(kit);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_move m = to(1);
        kit_is_child = true;
        kit_open(kit);
        _exit(is_ready(kit, &m)); /* without closing the store */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    kit_open(kit);
    assert_int_equal(candidates(kit, NULL), 1);
    acknowledge(kit);
    assert_int_equal(count_acks(kit), 1);
    kit_ok(store_sweep(&aside, kit->store));
    assert_int_equal(candidates(kit, NULL), 0);
    assert_int_equal(count_acks(kit), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(moves_of_one_dataset_wait_beside_each_other),
        TEST(a_server_has_its_time_from_the_first_call_on),
        TEST(what_a_move_does_not_ask_for_any_more_is_withdrawn),
        TEST(what_a_process_offered_goes_with_it),
        TEST(what_the_dead_offered_goes_with_its_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
