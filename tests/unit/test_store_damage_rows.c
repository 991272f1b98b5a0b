/* Rows of versions and heads that are damaged: what else the tenant has goes on. */
#include "damage_kit.h"

#include "store/head_file.h"

#define OTHERS                                                                                     \
    "{\"name\":\"others\",\"sources\":{\"things\":{\"format\":\"csv\"}},"                          \
    "\"prepare\":\"SELECT * FROM things\","                                                        \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},\"record\":{\"colour\":\"VARCHAR\"}}"

static int set_up(void **state)
{
    int failed = kit_set_up(state);

    if (!failed)
        kit_dataset(*state, KIT_THINGS);
    return failed;
}

static void head_file_has(const struct kit *kit, size_t versions)
{
    struct head_file f;

    kit_ok(head_file_read(&f, kit->store->heads_dir, "acme", "things"));
    assert_int_equal(json_array_size(f.versions), versions);
    assert_int_equal(f.head.current, kit_current((struct kit *)kit, "things"));
    head_file_release(&f);
}

/* And the head file, by which a rebuild makes it whole, keeps what it has of it. */
static void a_damaged_row_of_a_kept_version_stops_neither_flips_nor_rollbacks(void **state)
{
    struct store_move move = {
        .tenant = "acme", .dataset = "things", .from = 4, .to = 2, .actor = KIT_ACTOR};
    struct kit *kit = *state;
    char key[CATALOG_KEY_SIZE];
    json_t *head = NULL;

    for (size_t i = 0; i < 3; i++)
        kit_publish(kit, KIT_THINGS, (const char *[]){"red", "green", "blue"}[i]);
    store_numbered_key(key, "acme", "things", 1);
    damage_row(kit, CATALOG_VERSIONS, key);
    assert_int_equal(kit_publish(kit, KIT_THINGS, "white"), STORE_FLIPPED);
    head_file_has(kit, 4);
    kit_ok(store_rollback(&head, kit->store, &move));
    json_decref(head);
    assert_int_equal(kit_current(kit, "things"), 2);
    head_file_has(kit, 4);
}

/* What its file does not have either would be lost with a new one. */
static void a_row_that_nobody_has_stops_the_head(void **state)
{
    struct kit *kit = *state;
    char key[CATALOG_KEY_SIZE], path[FS_PATH_MAX];
    struct store_definition *d = kit_definition(KIT_THINGS);

    kit_publish(kit, KIT_THINGS, "red");
    kit_publish(kit, KIT_THINGS, "green");
    store_numbered_key(key, "acme", "things", 1);
    damage_row(kit, CATALOG_VERSIONS, key);
    kit_ok(fs_path(path, "%s/acme/things.json", kit->store->heads_dir));
    assert_int_equal(unlink(path), 0);
    enum st st = store_dataset_put(NULL, NULL, kit->store, "acme", d,
                                   &(struct store_put){.actor = &KIT_ACTOR, .force = true});
    assert_int_equal(st, ST_CORRUPT);
    assert_int_not_equal(access(path, F_OK), 0);
    store_definition_free(d);
}

static void may_keep(const struct kit *kit, uint64_t bytes)
{
    struct store_tenant tenant;

    kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
    tenant.max_stored_bytes = bytes;
    kit_ok(store_tenant_put(kit->store, &tenant));
}

static enum st begins(struct kit *kit, const struct store_lease *lease)
{
    struct store_definition *d = kit_definition(OTHERS);
    struct store_build *b = NULL;
    json_t *sources = json_array();
    enum st st = store_build_begin(&b, kit->store, lease, d, sources);

    json_decref(sources);
    store_definition_free(d);
    store_build_free(b);
    return st;
}

static void a_damaged_head_keeps_no_other_dataset_from_its_builds(void **state)
{
    struct kit *kit = *state;
    char key[CATALOG_KEY_SIZE];

    kit_dataset(kit, OTHERS);
    kit_publish(kit, KIT_THINGS, "red");
    store_dataset_key(key, "acme", "things");
    damage_row(kit, CATALOG_HEADS, key);
    may_keep(kit, 1u << 30);
    assert_int_equal(kit_publish(kit, OTHERS, "green"), STORE_FLIPPED);
}

/* As its file has them; where that is damaged as well, nobody knows them. */
static void the_bytes_of_a_damaged_head_count(void **state)
{
    struct kit *kit = *state;
    char key[CATALOG_KEY_SIZE], path[FS_PATH_MAX];
    struct store_lease lease;

    kit_dataset(kit, OTHERS);
    kit_publish(kit, KIT_THINGS, "red");
    store_dataset_key(key, "acme", "things");
    damage_row(kit, CATALOG_HEADS, key);
    may_keep(kit, 1);
    kit_lease(&lease, kit, "others");
    assert_int_equal(begins(kit, &lease), ST_FULL);
    kit_ok(fs_path(path, "%s/acme/things.json", kit->store->heads_dir));
    assert_int_equal(unlink(path), 0);
    kit_ok(begins(kit, &lease));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_damaged_row_of_a_kept_version_stops_neither_flips_nor_rollbacks, set_up,
            kit_tear_down),
        cmocka_unit_test_setup_teardown(a_row_that_nobody_has_stops_the_head, set_up,
                                        kit_tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_head_keeps_no_other_dataset_from_its_builds,
                                        set_up, kit_tear_down),
        cmocka_unit_test_setup_teardown(the_bytes_of_a_damaged_head_count, set_up, kit_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
