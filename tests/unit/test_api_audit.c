/* The heads of the audit's chains get into the catalog, also when that fails at first. */
#include "store_kit.h"

#include "api/audit.h"
#include "base/fs.h"
#include "store/anchor.h"

#include <stdatomic.h>

#define TENANT "acme"

static _Atomic unsigned puts_begun, puts_to_fail;

enum st __real_store_anchor_put(struct store *s, const struct store_anchor *anchors, size_t count);
enum st __wrap_store_anchor_put(struct store *s, const struct store_anchor *anchors, size_t count);

enum st __wrap_store_anchor_put(struct store *s, const struct store_anchor *anchors, size_t count)
{
    enum st st = atomic_load(&puts_to_fail) ? st_fail(ST_FULL, NULL, "the disk is full")
                                            : __real_store_anchor_put(s, anchors, count);

    if (st)
        atomic_fetch_sub(&puts_to_fail, 1);
    atomic_fetch_add(&puts_begun, 1);
    return st;
}

static void an_anchor_that_could_not_be_put_is_put_at_the_end(void **state)
{
    const struct audit_record record = {
        .tenant = TENANT, .at_us = 1800000000000000, .event = "lookup", .dataset = "people"};
    struct store_keeper *keeper = NULL;
    struct api_audit *audit = NULL;
    struct metrics *metrics = NULL;
    struct store_anchor anchor;
    struct kit kit;

    (void)state;
    kit_new(&kit);
    kit_close(&kit);
    kit_ok(metrics_new(&metrics));
    kit_ok(store_keeper_start(
        &keeper, &(struct store_keeper_options){.store.data_dir = kit.dir, .slots = 1}));
    struct api_audit_options options = {.data_dir = kit.dir,
                                        .keys_dir = kit.dir,
                                        .interval_ms = 60000, /* it looks when it is told to stop */
                                        .slots = 1,
                                        .keeper = keeper,
                                        .metrics = metrics};
    atomic_store(&puts_to_fail, 1);
    kit_ok(api_audit_start(&audit, &options));
    kit_ok(api_audit_push(audit, 0, &record));
    api_audit_stop(audit);
    store_keeper_stop(keeper);
    metrics_free(metrics);
    assert_int_equal(puts_begun, 2);
    kit_open(&kit);
    kit_ok(store_anchor_get(&anchor, kit.store, TENANT, 1));
    assert_int_equal(anchor.sequence, 1);
    kit_free(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_anchor_that_could_not_be_put_is_put_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
