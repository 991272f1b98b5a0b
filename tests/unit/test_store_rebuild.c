/* The catalog is not a single point of ruin: the head files give it back. */
#include "rebuild_kit.h"
#include "store/document.h"
#include "store/head_file.h"
#include "store/internal.h"

#include <errno.h>

static bool cannot_put_aside; /* a rename to catalog.mdb.damaged-TIME fails */

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

int __wrap_rename(const char *from, const char *to)
{
    if (cannot_put_aside && strstr(to, "catalog.mdb.damaged-")) {
        errno = ENOSPC;
        return -1;
    }
    return __real_rename(from, to);
}

static char prepared[64]; /* a data directory, closed, that nobody changes */

static void shell(const char *fmt, const char *a, const char *b)
{
    char command[3 * FS_PATH_MAX];

    snprintf(command, sizeof command, fmt, a, b);
    assert_int_equal(system(command), 0);
}

static int prepare(void **state)
{
    struct kit kit;

    (void)state;
    kit_new(&kit);
    publish_six(&kit);
    kit_close(&kit);
    strcpy(prepared, kit.dir);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    kit_ok(fs_remove_tree(prepared));
    return 0;
}

/* A copy of its own for each test. */
static void copy_of_prepared(struct kit *kit)
{
    *kit = (struct kit){.dir = "/tmp/everline-rebuild-XXXXXX"};
    assert_non_null(mkdtemp(kit->dir));
    shell("cp -a %s/. %s", prepared, kit->dir);
}

static json_int_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* ---- rebuilding ---- */

static void a_missing_catalog_is_not_made_anew_but_rebuilt(void **state)
{
    char path[FS_PATH_MAX];
    struct kit kit;

    (void)state;
    copy_of_prepared(&kit);
    catalog_path(path, &kit);
    assert_int_equal(unlink(path), 0);
    assert_true(tells_the_way_out(open_it(&kit)));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(damage_in_child(rebuild_and_use, &kit), SERVES);
    kit_free(&kit);
}

static void what_is_rebuilt_is_what_was_there(void **state)
{
    struct kit kit, rebuilt;
    char path[FS_PATH_MAX];
    json_t *before = NULL, *after = NULL, *report = NULL;
    struct store_tenant was, is;
    bool more;

    (void)state;
    copy_of_prepared(&kit);
    kit_open(&kit);
    kit_ok(store_tenant_get(&was, kit.store, "acme"));
    was.enabled = false; /* a tenant that was disabled stays so */
    was.max_datasets = 7;
    kit_ok(store_tenant_put(kit.store, &was));
    kit_ok(store_version_list(&before, &more, kit.store, "acme", "things", 0, SIZE_MAX));
    kit_close(&kit);
    catalog_path(path, &kit);
    assert_int_equal(unlink(path), 0);
    rebuilt = kit;
    kit_ok(rebuild(&rebuilt, &report, false));
    assert_int_equal(number(report, "tenants"), 1);
    assert_int_equal(number(report, "datasets"), 2);
    assert_true(json_is_null(json_object_get(report, "aside")));
    assert_int_equal(json_array_size(json_object_get(report, "made")), 0);
    assert_true(json_array_size(json_object_get(report, "not_restored")) > 0);
    json_decref(report);

    kit_open(&rebuilt);
    kit_ok(store_tenant_get(&is, rebuilt.store, "acme"));
    assert_memory_equal(&is, &was, sizeof is);
    kit_ok(store_version_list(&after, &more, rebuilt.store, "acme", "things", 0, SIZE_MAX));
    assert_int_equal(json_array_size(after), json_array_size(before));
    for (size_t i = 0; i < json_array_size(before); i++) {
        json_t *a = json_array_get(before, i), *b = json_array_get(after, i);
        const char *version_state = json_string_value(json_object_get(a, "state"));
        bool kept = strcmp(version_state, "RETIRED") != 0; /* else only the head knows it */
        assert_string_equal(json_string_value(json_object_get(b, "state")), version_state);
        assert_int_equal(number(a, "version"), number(b, "version"));
        assert_true(!kept || json_equal(a, b));
    }
    json_decref(before);
    json_decref(after);
    kit_free(&rebuilt);
}

static void a_build_that_was_under_way_has_failed(void **state)
{
    struct kit kit;
    char path[FS_PATH_MAX];
    json_t *row = NULL;

    (void)state;
    copy_of_prepared(&kit);
    pid_t pid = fork();
    if (pid == 0) {
        struct store_lease lease;
        kit_is_child = true;
        kit_open(&kit);
        kit_lease(&lease, &kit, "things");
        kit_build(&kit, &lease, KIT_THINGS, "green");
        _exit(0); /* and dies */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    catalog_path(path, &kit);
    assert_int_equal(truncate(path, 3 * DAMAGE_PAGE), 0);
    rebuild_quietly(&kit);
    kit_open(&kit);
    assert_true(kit_state_is(&kit, 7, "FAILED"));
    kit_ok(store_version_get(&row, kit.store, "acme", "things", 7));
    const json_t *error = json_object_get(row, "error");
    assert_string_equal(json_string_value(json_object_get(error, "code")), "REBUILT");
    json_decref(row);
    kit_publish(&kit, KIT_THINGS, "green");
    assert_int_equal(kit_current(&kit, "things"), 8);
    kit_free(&kit);
}

static void a_whole_catalog_and_one_in_use_are_left_alone(void **state)
{
    struct kit kit;
    json_t *report = NULL;
    int ready[2], done[2], status;
    char byte = 0, path[FS_PATH_MAX];

    (void)state;
    copy_of_prepared(&kit);
    assert_int_equal(rebuild(&kit, &report, false), ST_CONFLICT);
    assert_string_equal(st_code(), "CATALOG_WHOLE");

    assert_int_equal(pipe(ready) | pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        kit_is_child = true;
        kit_open(&kit);
        assert_int_equal(write(ready[1], "", 1), 1);
        _exit(read(done[0], &byte, 1) == 1 ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    catalog_path(path, &kit);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rebuild(&kit, &report, false), ST_CONFLICT);
    assert_string_equal(st_code(), "IN_USE");
    assert_int_equal(write(done[1], "", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    rebuild_quietly(&kit);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(done[i]);
    }
    kit_free(&kit);
}

static void nobody_opens_the_directory_during_a_rebuild(void **state)
{
    struct run_entry entry;
    struct kit kit;
    char run_dir[FS_PATH_MAX];

    (void)state;
    copy_of_prepared(&kit);
    kit_ok(fs_path(run_dir, "%s/run", kit.dir));
    kit_ok(run_register(&entry, run_dir, RUN_REBUILD));
    assert_int_equal(open_it(&kit), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "REBUILDING");
    run_unregister(&entry, run_dir);
    kit_ok(open_it(&kit));
    kit_free(&kit);
}

static void an_older_copy_of_the_catalog_is_rebuilt(void **state)
{
    struct kit kit;
    char path[FS_PATH_MAX], old[FS_PATH_MAX];

    (void)state;
    copy_of_prepared(&kit);
    catalog_path(path, &kit);
    kit_ok(fs_path(old, "%s/catalog.mdb", prepared));
    kit_open(&kit);
    kit_publish(&kit, KIT_THINGS, "green");
    kit_publish(&kit, KIT_THINGS, "blue");
    kit_close(&kit);
    shell("cp %s %s", old, path);
    rebuild_quietly(&kit);
    kit_open(&kit);
    assert_int_equal(kit_current(&kit, "things"), 8);
    kit_free(&kit);
}

/* It is all that there is of what a rebuild does not restore. */
static void a_damaged_catalog_that_cannot_be_put_aside_stays(void **state)
{
    struct kit kit;
    char path[FS_PATH_MAX];
    json_t *report = NULL;

    (void)state;
    copy_of_prepared(&kit);
    catalog_path(path, &kit);
    assert_int_equal(truncate(path, 4096), 0);
    cannot_put_aside = true;
    assert_int_equal(rebuild(&kit, &report, false), ST_FULL);
    cannot_put_aside = false;
    assert_null(report);
    assert_int_equal(access(path, F_OK), 0);
    kit_ok(rebuild(&kit, &report, false));
    const char *aside = json_string_value(json_object_get(report, "aside"));
    assert_non_null(aside);
    assert_int_equal(access(aside, F_OK), 0);
    json_decref(report);
    kit_ok(fs_remove_tree(kit.dir));
}

/* Its checksum holds: it is whole, and nobody here knows what it says. */
static void a_head_file_of_another_format_is_refused_with_both_numbers(void **state)
{
    struct kit kit;
    struct head head;
    char heads[FS_PATH_MAX], path[FS_PATH_MAX];
    json_t *document = NULL;

    (void)state;
    copy_of_prepared(&kit);
    kit_ok(fs_path(heads, "%s/heads", kit.dir));
    kit_ok(fs_path(path, "%s/acme/people.json", heads));
    for (int format = 0; format < 3; format++) {
        kit_ok(document_read(&document, path));
        assert_int_equal(json_object_set_new(document, "format", json_integer(format)), 0);
        kit_ok(document_write(path, document, 0600));
        json_decref(document);
        enum st st = head_file_read_head(&head, heads, "acme", "people");
        assert_int_equal(st, format == 1 ? ST_OK : ST_CORRUPT);
        head_release(&head);
        if (st) {
            assert_string_equal(st_code(), "HEAD_FORMAT");
            assert_non_null(strstr(st_message(), format ? "has format 2" : "has format 0"));
            assert_non_null(strstr(st_message(), "reads format 1"));
            assert_true(st_hint_text()[0]);
        }
    }
    kit_ok(fs_remove_tree(kit.dir));
}

static void a_damaged_head_file_is_not_passed_over_in_silence(void **state)
{
    struct kit kit;
    char catalog[FS_PATH_MAX], path[FS_PATH_MAX], lost[FS_PATH_MAX];
    json_t *report = NULL;

    (void)state;
    copy_of_prepared(&kit);
    catalog_path(catalog, &kit);
    kit_ok(fs_path(path, "%s/heads/acme/people.json", kit.dir));
    kit_ok(fs_path(lost, "%s/heads/acme.json", kit.dir));
    damage_do(&(struct damage){"", 0, 200, DAMAGE_FLIP, 1}, path);
    assert_int_equal(unlink(catalog), 0);
    assert_int_equal(unlink(lost), 0);
    assert_int_equal(rebuild(&kit, &report, false), ST_CORRUPT);
    assert_string_equal(st_code(), "HEADS_DAMAGED");
    assert_int_equal(json_array_size(json_object_get(report, "damaged")), 1);
    assert_int_equal(access(catalog, F_OK), -1); /* nothing was done */
    json_decref(report);

    kit_ok(rebuild(&kit, &report, true));
    assert_int_equal(number(report, "datasets"), 1);
    assert_int_equal(json_array_size(json_object_get(report, "made")), 1);
    json_decref(report);
    kit_open(&kit);
    assert_int_equal(kit_current(&kit, "things"), 6);
    struct store_tenant tenant;
    kit_ok(store_tenant_get(&tenant, kit.store, "acme"));
    assert_false(tenant.enabled); /* nobody knows whether it was */
    assert_true(tenant.hmac_key_id[0]);
    kit_close(&kit);

    /* Brought back from a backup, it is taken in. */
    damage_do(&(struct damage){"", 0, 200, DAMAGE_FLIP, 1}, path);
    rebuild_quietly(&kit);
    kit_open(&kit);
    assert_int_equal(kit_current(&kit, "people"), 1);
    kit_free(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_catalog_is_not_made_anew_but_rebuilt),
        cmocka_unit_test(what_is_rebuilt_is_what_was_there),
        cmocka_unit_test(a_build_that_was_under_way_has_failed),
        cmocka_unit_test(a_whole_catalog_and_one_in_use_are_left_alone),
        cmocka_unit_test(nobody_opens_the_directory_during_a_rebuild),
        cmocka_unit_test(an_older_copy_of_the_catalog_is_rebuilt),
        cmocka_unit_test(a_damaged_catalog_that_cannot_be_put_aside_stays),
        cmocka_unit_test(a_head_file_of_another_format_is_refused_with_both_numbers),
        cmocka_unit_test(a_damaged_head_file_is_not_passed_over_in_silence),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
