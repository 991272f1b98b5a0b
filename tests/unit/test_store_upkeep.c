/* What upkeep says of failures: once, and then less and less often until a whole round had none. */
#include "store_kit.h"

#include "store/upkeep.h"

#define STEP_MS 250
#define QUERY "SELECT * FROM a"
#define TURNED "RELECT * FROM a"

static void put_dataset(struct kit *kit, const char *name)
{
    char text[512];

    snprintf(text, sizeof text,
             "{\"name\":\"%s\",\"sources\":{\"a\":{\"format\":\"csv\"}},\"prepare\":\"" QUERY "\","
             "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},"
             "\"record\":{\"colour\":\"VARCHAR\"}}",
             name);
    struct store_definition *d = kit_definition(text);
    kit_ok(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
}

static void step(struct upkeep *u, struct kit *kit, uint64_t *now_ms)
{
    (void)upkeep_step(u, kit->store, *now_ms);
    *now_ms += STEP_MS;
}

/* Looks at each dataset, and once more, when there is none left. */
static void round_of_two(struct upkeep *u, struct kit *kit, uint64_t *now_ms)
{
    for (int i = 0; i < 3; i++)
        step(u, kit, now_ms);
    assert_string_equal(u->key, "");
}

static void a_failure_is_said_less_often_until_a_whole_round_had_none(void **state)
{
    struct kit *kit = *state;
    struct upkeep u = {0};
    uint64_t now_ms = 1;

    round_of_two(&u, kit, &now_ms);
    assert_int_equal(u.said, 0);
    kit_turn(kit, QUERY, 0, 1);
    for (int i = 0; i < 16; i++) /* 4 s: at once, and after 0.5, 1.5 and 3.5 s */
        step(&u, kit, &now_ms);
    assert_int_equal(u.said, 4);
    kit_turn(kit, TURNED, 0, 1);
    while (u.failed) /* to the end of the round that had failures */
        step(&u, kit, &now_ms);
    assert_int_equal(u.said, 4);
    round_of_two(&u, kit, &now_ms);
    assert_int_equal(u.said, 0);
    upkeep_release(&u);
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    put_dataset(kit, "people");
    put_dataset(kit, "things");
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failure_is_said_less_often_until_a_whole_round_had_none,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
