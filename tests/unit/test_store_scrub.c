/* The scrub beside what it cannot look at: everything else is read all the same. */
#include "damage_kit.h"

#include "base/clock.h"
#include "store/scrub.h"
#include "store/seal.h"

#include <sched.h>

#define STEP_MS 250
#define DEADLINE_NS (20 * 1000000000ull)

static const struct store_scrub_options ALWAYS = {.bytes_per_s = 1u << 30};

/* Three versions of things, whose last one is looked at first, and one of people before them. */
static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    kit_dataset(kit, KIT_THINGS);
    kit_dataset(kit, KIT_PEOPLE);
    kit_publish(kit, KIT_THINGS, "red");
    kit_publish(kit, KIT_THINGS, "green");
    kit_publish(kit, KIT_THINGS, "blue");
    kit_publish(kit, KIT_PEOPLE, "grey");
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

static void sha256_of(char out[DIGEST_HEX_SIZE], struct kit *kit, const char *dataset,
                      uint64_t version)
{
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", dataset, version));
    const json_t *segment = json_array_get(json_object_get(row, "segments"), 0);
    snprintf(out, DIGEST_HEX_SIZE, "%s", json_string_value(json_object_get(segment, "sha256")));
    json_decref(row);
}

static int64_t checked_us(struct kit *kit, const char *sha256)
{
    char path[FS_PATH_MAX];
    struct catalog_txn t;

    kit_ok(store_segment_path(path, kit->store, sha256));
    catalog_begin_read(&t, &kit->store->catalog);
    int64_t at_us = store_seal_checked_us(&t, sha256, path);
    kit_ok(catalog_end(&t));
    return at_us;
}

/* Steps until the segment has been read again. */
static void await_reading(struct scrub *sc, struct kit *kit, const char *sha256, uint64_t *now_ms)
{
    int64_t before_us = checked_us(kit, sha256);
    uint64_t end_ns = clock_steady_ns() + DEADLINE_NS;

    while (checked_us(kit, sha256) == before_us) {
        if (clock_steady_ns() > end_ns)
            fail_msg("segment %.12s is not read", sha256);
        *now_ms += STEP_MS;
        scrub_step(sc, kit->store, *now_ms);
        sched_yield();
    }
}

static void a_file_that_cannot_be_opened_keeps_no_other_from_being_read(void **state)
{
    struct kit *kit = *state;
    char sha256[DIGEST_HEX_SIZE], path[FS_PATH_MAX];
    struct scrub *sc = NULL;
    uint64_t now_ms = 1;

    for (uint64_t version = 2; version <= 3; version++) { /* links to themselves */
        sha256_of(sha256, kit, "things", version);
        kit_ok(store_segment_path(path, kit->store, sha256));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink(path, path), 0);
    }
    kit_ok(scrub_start(&sc, &ALWAYS, NULL));
    sha256_of(sha256, kit, "things", 1);
    for (int round = 0; round < 2; round++)
        await_reading(sc, kit, sha256, &now_ms);
    sha256_of(sha256, kit, "people", 1);
    await_reading(sc, kit, sha256, &now_ms);
    scrub_stop(sc, kit->store);
}

static void
a_head_that_is_damaged_while_its_file_is_read_keeps_no_other_from_being_read(void **state)
{
    struct kit *kit = *state;
    char sha256[DIGEST_HEX_SIZE];
    struct scrub *sc = NULL;
    uint64_t now_ms = 1;

    kit_ok(scrub_start(&sc, &ALWAYS, NULL));
    scrub_step(sc, kit->store, now_ms); /* gives that of people to be read */
    damage_row(kit, CATALOG_HEADS, "acme/people");
    sha256_of(sha256, kit, "things", 1);
    await_reading(sc, kit, sha256, &now_ms);
    scrub_stop(sc, kit->store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_opened_keeps_no_other_from_being_read,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_head_that_is_damaged_while_its_file_is_read_keeps_no_other_from_being_read, set_up,
            tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
