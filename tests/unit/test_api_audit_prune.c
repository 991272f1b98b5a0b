/* A round of putting the audit away, by the process that appends to a chain. */
#include "store_kit.h"

#include "api/audit_prune.h"
#include "auth/audit_chain.h"
#include "auth/audit_file.h"
#include "base/fs.h"
#include "store/anchor.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define TENANT "acme"
#define START_US INT64_C(1800000000000000)

struct catalog;
static _Atomic bool commits_fail;

enum st __real_catalog_group_end(struct catalog *c);
enum st __wrap_catalog_group_end(struct catalog *c);

/* What tasks of the catalog thread have changed is committed by it. */
enum st __wrap_catalog_group_end(struct catalog *c)
{
    enum st st = __real_catalog_group_end(c);

    return atomic_load(&commits_fail) ? st_fail(ST_FULL, NULL, "the disk is full") : st;
}

static size_t count_files(const char *directory, const char *tenant)
{
    struct audit_names names = {0};
    char path[FS_PATH_MAX];

    kit_ok(fs_path(path, "%s/%s", directory, tenant));
    kit_ok(audit_names_list(&names, path, 0));
    size_t count = names.count;
    audit_names_release(&names);
    return count;
}

/* One file of one line that was last written in the second 1000. */
static void write_old_file(const char *directory, const char *tenant, unsigned chain)
{
    const struct audit_record r = {.at_us = START_US, .event = "lookup", .dataset = "people"};
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    const struct audit_head origin = {0};
    struct audit_chain *c = NULL;
    char path[FS_PATH_MAX];

    kit_ok(audit_chain_open(&c, directory, tenant, chain, &origin, AUDIT_ROTATE_BYTES));
    kit_ok(audit_chain_add(c, &r, NULL));
    kit_ok(audit_chain_commit(c));
    audit_chain_close(c);
    kit_ok(fs_path(path, "%s/%s/" AUDIT_FILE_FORMAT, directory, tenant, chain, 1ULL));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void a_newest_file_stays_while_its_chain_may_write_to_it(void **state)
{
    struct store_keeper *keeper = NULL;
    struct store_anchor anchor;
    struct kit kit;
    char directory[FS_PATH_MAX];
    unsigned own = 0;
    int lock = -1;

    (void)state;
    kit_new(&kit);
    kit_close(&kit);
    kit_ok(fs_path(directory, "%s/audit", kit.dir));
    kit_ok(audit_chain_take(&lock, &own, directory));
    write_old_file(directory, TENANT, own);
    kit_ok(store_keeper_start(
        &keeper, &(struct store_keeper_options){.store.data_dir = kit.dir, .slots = 1}));
    kit_ok(api_audit_prune(keeper, directory, own, 1000)); /* written then, not before */
    assert_int_equal(count_files(directory, TENANT), 1);
    kit_ok(api_audit_prune(keeper, directory, 0, 1001)); /* it does not rest */
    assert_int_equal(count_files(directory, TENANT), 1);
    kit_ok(api_audit_prune(keeper, directory, own, 1001));
    assert_int_equal(count_files(directory, TENANT), 0);
    store_keeper_stop(keeper);
    fs_close(&lock);
    kit_open(&kit);
    kit_ok(store_anchor_get(&anchor, kit.store, TENANT, own));
    assert_int_equal(anchor.sequence, 1);
    assert_int_equal(anchor.first, 2);
    kit_free(&kit);
}

static void
one_tenant_that_fails_and_a_directory_of_nobody_keep_no_other_from_its_turn(void **state)
{
    static const char *const OTHERS[] = {"abel", "bravo", "acme.bak", "lost+found"};
    struct store_keeper *keeper = NULL;
    struct kit kit;
    char directory[FS_PATH_MAX], path[FS_PATH_MAX];

    (void)state;
    kit_new(&kit);
    kit_close(&kit);
    kit_ok(fs_path(directory, "%s/audit", kit.dir));
    kit_ok(fs_mkdir(directory, 0700));
    write_old_file(directory, TENANT, 7);
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        write_old_file(directory, OTHERS[i], 7);
    kit_ok(fs_path(path, "%s/abel/" AUDIT_FILE_FORMAT, directory, 7, 1ULL));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* is neither read nor removed */
    kit_ok(store_keeper_start(
        &keeper, &(struct store_keeper_options){.store.data_dir = kit.dir, .slots = 1}));
    kit_ok(api_audit_prune(keeper, directory, 0, INT64_MAX));
    store_keeper_stop(keeper);
    assert_int_equal(count_files(directory, "abel"), 1);
    assert_int_equal(count_files(directory, TENANT), 0);
    assert_int_equal(count_files(directory, "bravo"), 0);
    assert_int_equal(count_files(directory, "acme.bak"), 1);
    assert_int_equal(count_files(directory, "lost+found"), 1);
    kit_free(&kit);
}

static void a_file_goes_when_the_catalog_knows_and_not_before(void **state)
{
    struct store_keeper *keeper = NULL;
    struct kit kit;
    char directory[FS_PATH_MAX];

    (void)state;
    kit_new(&kit);
    kit_close(&kit);
    kit_ok(fs_path(directory, "%s/audit", kit.dir));
    kit_ok(fs_mkdir(directory, 0700));
    write_old_file(directory, TENANT, 7);
    kit_ok(store_keeper_start(
        &keeper, &(struct store_keeper_options){.store.data_dir = kit.dir, .slots = 1}));
    for (int fail = 1; fail >= 0; fail--) {
        atomic_store(&commits_fail, fail);
        kit_ok(api_audit_prune(keeper, directory, 0, INT64_MAX));
        assert_int_equal(count_files(directory, TENANT), fail);
    }
    store_keeper_stop(keeper);
    kit_free(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newest_file_stays_while_its_chain_may_write_to_it),
        cmocka_unit_test(
            one_tenant_that_fails_and_a_directory_of_nobody_keep_no_other_from_its_turn),
        cmocka_unit_test(a_file_goes_when_the_catalog_knows_and_not_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
