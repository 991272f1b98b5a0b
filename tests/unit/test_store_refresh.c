/* What a serving process makes of entries of the catalog that are damaged: each takes out what it
 * is of, and nothing else. */
#include "damage_kit.h"

#include "store/keeper.h"

#define VERSIONS 3

static const char *const COLOURS[VERSIONS] = {"red", "green", "blue"};

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    kit_dataset(kit, KIT_THINGS);
    for (size_t i = 0; i < VERSIONS; i++)
        assert_int_equal(kit_publish(kit, KIT_THINGS, COLOURS[i]), STORE_FLIPPED);
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

/* The catalog may be open once per process: the kit's handle is closed first. */
static struct store_keeper *start(struct kit *kit)
{
    struct store_keeper *k = NULL;

    kit_close(kit);
    kit_ok(store_keeper_start(
        &k, &(struct store_keeper_options){.store.data_dir = kit->dir, .slots = 1}));
    return k;
}

static void ask(struct store *s, struct store_wait *wait, void *ctx)
{
    (void)s;
    *wait = (struct store_wait){.version = *(uint64_t *)ctx};
    strcpy(wait->tenant, "acme");
    strcpy(wait->dataset, "things");
}

/* The version as it is served once somebody has asked for it. Until the slot leaves. */
static const struct store_served *open_version(struct store_keeper *k, uint64_t version)
{
    const struct store_served *d = NULL, *found = NULL;

    kit_ok(store_keeper_call(k, ask, &version));
    const struct store_view *v = store_view_enter(k, 0);
    kit_ok(store_view_dataset(&d, v, "acme", "things"));
    assert_int_equal(d->version, VERSIONS);
    kit_ok(store_served_ready(d));
    kit_ok(store_view_version(&found, v, d, version));
    return found;
}

static void check_all(struct store_keeper *k, uint64_t damaged)
{
    for (uint64_t version = 1; version <= VERSIONS; version++) {
        const struct store_served *d = open_version(k, version);
        if (version == damaged) {
            assert_int_equal(store_served_ready(d), ST_UNAVAILABLE);
            assert_string_equal(st_code(), "VERSION_UNAVAILABLE");
        } else {
            kit_ok(store_served_ready(d));
        }
        store_view_leave(k, 0);
    }
}

/* Also the row of the one that a rollback would go to, which is kept open. */
static void a_damaged_row_of_a_kept_version_takes_out_that_version_only(void **state)
{
    struct kit *kit = *state;

    for (uint64_t damaged = 1; damaged < VERSIONS; damaged++) {
        char key[CATALOG_KEY_SIZE];
        store_numbered_key(key, "acme", "things", damaged);
        damage_row(kit, CATALOG_VERSIONS, key);
        struct store_keeper *k = start(kit);
        assert_true(store_keeper_ready(k, NULL));
        check_all(k, damaged);
        check_all(k, damaged);
        store_keeper_stop(k);
        kit_open(kit);
        damage_row(kit, CATALOG_VERSIONS, key); /* and it is whole again */
    }
}

/* It says that the bytes were right, and they can be read again. */
static void a_damaged_seal_takes_nothing_out(void **state)
{
    struct kit *kit = *state;

    for (uint64_t version = 1; version <= VERSIONS; version++) {
        json_t *row = NULL;
        kit_ok(store_version_get(&row, kit->store, "acme", "things", version));
        const json_t *segment = json_array_get(json_object_get(row, "segments"), 0);
        damage_row(kit, CATALOG_SEALS, json_string_value(json_object_get(segment, "sha256")));
        json_decref(row);
    }
    struct store_keeper *k = start(kit);
    assert_true(store_keeper_ready(k, NULL));
    check_all(k, 0);
    store_keeper_stop(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_damaged_row_of_a_kept_version_takes_out_that_version_only,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_seal_takes_nothing_out, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
