/* The catalog is not a single point of ruin: damage is told before LMDB could die of it, and the
 * head files give the catalog back. */
#include "store/catalog_check.h"
#include "store/internal.h"
#include "store/rebuild.h"
#include "store_kit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAGE 4096

/* Exit codes of children. */
enum { SERVES = 0, FAILED = 1, REFUSES = 2 };

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
    kit_dataset(&kit, KIT_PEOPLE);
    kit_publish(&kit, KIT_PEOPLE, "red");
    kit_dataset(&kit, KIT_THINGS);
    for (int i = 0; i < 6; i++)
        kit_publish(&kit, KIT_THINGS, (const char *[]){"red", "blue"}[i % 2]);
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

static void catalog_path(char out[FS_PATH_MAX], const struct kit *kit)
{
    kit_ok(fs_path(out, "%s/catalog.mdb", kit->dir));
}

static enum st open_it(struct kit *kit)
{
    return store_open(&kit->store, &(struct store_options){.data_dir = kit->dir, .create = true});
}

static enum st rebuild(struct kit *kit, json_t **report, bool skip_damaged)
{
    return store_rebuild(report, &(struct store_rebuild_options){.data_dir = kit->dir,
                                                                 .actor = "cli:test",
                                                                 .skip_damaged = skip_damaged});
}

static void rebuild_quietly(struct kit *kit)
{
    json_t *report = NULL;

    kit_ok(rebuild(kit, &report, false));
    json_decref(report);
}

static json_int_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* ---- damage ---- */

static bool tells_the_way_out(enum st st)
{
    return st == ST_CORRUPT && strstr(st_hint_text(), "everline catalog rebuild --data ");
}

/* Reads all there is and writes some; says which kind of end it came to. */
static int use(struct kit *kit)
{
    json_t *items = NULL, *report = NULL;
    enum store_outcome outcome;
    struct store_lease lease;
    json_t *spec = json_object(), *leased = NULL;
    char job[STORE_JOB_ID_SIZE];
    bool more;
    enum st st = open_it(kit);

    if (!st)
        st = store_verify(&report, kit->store, true);
    if (!st)
        st = store_version_list(&items, &more, kit->store, "acme", "things", 0, SIZE_MAX);
    if (!st)
        st = store_event_list(&items, &more, kit->store, "acme", "things", 0, SIZE_MAX);
    if (!st)
        st = store_job_enqueue(job, kit->store, "acme", "things", spec, false, &KIT_ACTOR);
    if (!st)
        st = store_job_lease(&lease, &leased, kit->store, job, STORE_LEASE_MS);
    if (!st) {
        struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "green");
        st = store_build_publish(&outcome, b, 20000, NULL, NULL);
    }
    if (!st && kit_current(kit, "things") == 0)
        return FAILED;
    if (st && !tells_the_way_out(st)) {
        print_error("%s: %s (%s; %s)\n", st_name(st), st_message(), st_code(), st_hint_text());
        return FAILED;
    }
    return st ? REFUSES : SERVES;
}

/* Rebuilds, and does what could not be done. */
static int rebuild_and_use(struct kit *kit)
{
    rebuild_quietly(kit);
    kit_open(kit);
    if (kit_current(kit, "things") != 6 || kit_current(kit, "people") != 1 ||
        kit_publish(kit, KIT_THINGS, "green") != STORE_FLIPPED || kit_current(kit, "things") != 7 ||
        !kit_state_is(kit, 5, "SUCCEEDED"))
        return FAILED;
    return SERVES;
}

/* LMDB may kill the process, so that each try has one of its own. */
static int in_child(int (*fn)(struct kit *kit), struct kit *kit)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        kit_is_child = true;
        _exit(fn(kit)); /* what it leaves open is not looked at */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        print_error("ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

struct damage {
    const char *name;
    off_t page, at; /* where */
    int kind;       /* CUT, FILL: `value` is the byte; FLIP: `value` is the bit */
    int value;
};
enum { CUT, FILL, FLIP };

static void do_damage(const struct damage *d, const char *path)
{
    unsigned char page[PAGE];
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    if (d->kind == CUT) {
        assert_int_equal(ftruncate(fd, d->page * PAGE + d->at), 0);
    } else if (d->kind == FILL) {
        memset(page, d->value, sizeof page);
        assert_int_equal(pwrite(fd, page, sizeof page, d->page * PAGE), PAGE);
    } else {
        assert_int_equal(pread(fd, page, 1, d->page * PAGE + d->at), 1);
        page[0] = (unsigned char)(page[0] ^ 1u << d->value);
        assert_int_equal(pwrite(fd, page, 1, d->page * PAGE + d->at), 1);
    }
    close(fd);
}

/* True: it was told. What is not told must have done no harm. */
static bool try_damage(const struct damage *d)
{
    char path[FS_PATH_MAX];
    struct kit kit;

    copy_of_prepared(&kit);
    catalog_path(path, &kit);
    do_damage(d, path);
    int end = in_child(use, &kit);
    if (end == REFUSES)
        end = in_child(rebuild_and_use, &kit) == SERVES ? REFUSES : FAILED;
    if (end != SERVES && end != REFUSES)
        fail_msg("%s, page %lld, byte %lld, value %d", d->name, (long long)d->page,
                 (long long)d->at, d->value);
    kit_free(&kit);
    return end == REFUSES;
}

static off_t pages(void)
{
    struct kit kit;
    char path[FS_PATH_MAX];
    struct stat sb;

    snprintf(kit.dir, sizeof kit.dir, "%s", prepared);
    catalog_path(path, &kit);
    assert_int_equal(stat(path, &sb), 0);
    assert_true(sb.st_size > 8 * PAGE);
    return sb.st_size / PAGE;
}

static void a_catalog_that_is_cut_is_refused_and_rebuilt(void **state)
{
    static const off_t ODD[] = {1, 100, 2048, 4095};
    off_t told = 0;

    (void)state;
    for (off_t i = 0; i < pages(); i++)
        told += try_damage(&(struct damage){"cut at a page", i, 0, CUT, 0});
    assert_true(told > pages() / 2); /* free pages at the end need not be there */
    for (size_t i = 0; i < sizeof ODD / sizeof ODD[0]; i++)
        assert_true(try_damage(&(struct damage){"cut in a page", (off_t)i * 2, ODD[i], CUT, 0}));
}

static void a_page_that_is_gone_is_told_or_not_needed(void **state)
{
    unsigned told = 0;

    (void)state;
    for (off_t i = 0; i < pages(); i++) {
        told += try_damage(&(struct damage){"zeroed", i, 0, FILL, 0});
        told += try_damage(&(struct damage){"overwritten", i, 0, FILL, 0xff});
    }
    assert_true(told >= 8); /* at least both meta pages, and a table */
}

static void a_flipped_bit_is_told_or_does_no_harm(void **state)
{
    unsigned told = 0;

    (void)state;
    for (off_t i = 0; i < pages(); i++) {
        static const off_t HEADER[] = {0, 8, 10, 12, 14, 16, 18};
        for (size_t j = (size_t)i % 2; j < sizeof HEADER / sizeof HEADER[0]; j += 2)
            told += try_damage(&(struct damage){"flipped in a header", i, HEADER[j], FLIP,
                                                (int)(i + (off_t)j) % 8});
        told += try_damage(&(struct damage){"flipped", i, 4000, FLIP, 3});
    }
    for (off_t at = 16; at < 160; at += 8) /* what the meta pages say */
        told += try_damage(&(struct damage){"flipped in meta", at / 8 % 2, at, FLIP, 2});
    assert_true(told >= 20);
}

/* Random work, checked in between: a whole catalog must never be called damaged. */
static void whole_catalogs_are_whole(void **state)
{
    char path[FS_PATH_MAX], text[9000], key[64];
    struct catalog c = {0};
    struct catalog_txn t, reader;
    bool reading = false;

    (void)state;
    memset(text, 'x', sizeof text);
    kit_ok(fs_path(path, "%s/other.mdb", prepared));
    kit_ok(catalog_open(&c, path));
    srandom(20260131);
    for (int round = 0; round < 120; round++) {
        catalog_begin_write(&t, &c);
        for (int i = 0; i < 200; i++) {
            enum catalog_table table = (enum catalog_table)(random() % CATALOG_TABLES);
            size_t len = (size_t)(random() % 12 == 0 ? random() % 8999 : random() % 300);
            snprintf(key, sizeof key, "%0*ld", (int)(random() % 40) + 1, random() % 400);
            if (random() % 3 == 0) {
                catalog_delete(&t, table, key);
                continue;
            }
            json_t *value = json_pack("{s:s#}", "text", text, (int)len);
            catalog_put(&t, table, key, value);
            json_decref(value);
        }
        if (round % 9 == 0)
            kit_ok(catalog_end(&t)); /* given up */
        else
            kit_ok(catalog_commit(&t));
        if (round % 20 == 3) { /* a reader keeps pages from being used again */
            catalog_begin_read(&reader, &c);
            reading = true;
        } else if (round % 20 == 13) {
            kit_ok(catalog_end(&reader));
            reading = false;
        }
        kit_ok(catalog_check(&c, round % 4 == 0));
    }
    if (reading)
        kit_ok(catalog_end(&reader));
    catalog_close(&c);
    kit_ok(catalog_check_file(path));
    assert_int_equal(unlink(path), 0);
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
    assert_int_equal(in_child(rebuild_and_use, &kit), SERVES);
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
    assert_int_equal(truncate(path, 3 * PAGE), 0);
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
    do_damage(&(struct damage){"", 0, 200, FLIP, 1}, path);
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
    do_damage(&(struct damage){"", 0, 200, FLIP, 1}, path);
    rebuild_quietly(&kit);
    kit_open(&kit);
    assert_int_equal(kit_current(&kit, "people"), 1);
    kit_free(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_catalogs_are_whole),
        cmocka_unit_test(a_catalog_that_is_cut_is_refused_and_rebuilt),
        cmocka_unit_test(a_page_that_is_gone_is_told_or_not_needed),
        cmocka_unit_test(a_flipped_bit_is_told_or_does_no_harm),
        cmocka_unit_test(a_missing_catalog_is_not_made_anew_but_rebuilt),
        cmocka_unit_test(what_is_rebuilt_is_what_was_there),
        cmocka_unit_test(a_build_that_was_under_way_has_failed),
        cmocka_unit_test(a_whole_catalog_and_one_in_use_are_left_alone),
        cmocka_unit_test(nobody_opens_the_directory_during_a_rebuild),
        cmocka_unit_test(an_older_copy_of_the_catalog_is_rebuilt),
        cmocka_unit_test(a_damaged_head_file_is_not_passed_over_in_silence),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
