/* Backup and restore of a data directory that is used meanwhile. */
#include "store/backup.h"
#include "store/document.h"
#include "store/internal.h"
#include "store/retention.h"
#include "store_kit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct fixture {
    struct kit kit, restored;
    char backups[48];
    json_t *report; /* of the last backup or restore */
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){.backups = "/tmp/everline-backups-XXXXXX"};
    kit_new(&f->kit);
    assert_non_null(mkdtemp(f->backups));
    snprintf(f->restored.dir, sizeof f->restored.dir, "%s/new", f->backups);
    kit_dataset(&f->kit, KIT_THINGS);
}

static void teardown(struct fixture *f)
{
    kit_close(&f->restored);
    kit_free(&f->kit);
    kit_ok(fs_remove_tree(f->backups));
    json_decref(f->report);
}

static enum st back_up_told(struct fixture *f, store_tell_fn tell_fn, void *ctx)
{
    json_decref(f->report);
    return store_backup(&f->report, f->kit.store,
                        &(struct store_backup_options){f->backups, tell_fn, ctx});
}

static enum st back_up(struct fixture *f)
{
    return back_up_told(f, NULL, NULL);
}

static enum st restore_from(struct fixture *f, const char *from)
{
    char keys[FS_PATH_MAX];

    kit_ok(fs_path(keys, "%s/keys", f->kit.dir));
    json_decref(f->report);
    return store_restore(
        &f->report, &(struct store_restore_options){
                        .from = from, .data_dir = f->restored.dir, .keys_dir = keys, .actor = "t"});
}

static enum st restore(struct fixture *f)
{
    return restore_from(f, f->backups);
}

static void open_restored(struct fixture *f)
{
    char keys[FS_PATH_MAX];

    kit_ok(fs_path(keys, "%s/keys", f->kit.dir));
    kit_ok(store_open(&f->restored.store,
                      &(struct store_options){.data_dir = f->restored.dir, .keys_dir = keys}));
}

static json_int_t number(const json_t *object, const char *name)
{
    assert_true(json_is_integer(json_object_get(object, name)));
    return json_integer_value(json_object_get(object, name));
}

/* The directory of the last backup. */
static void last_backup(char out[FS_PATH_MAX], const struct fixture *f)
{
    kit_ok(fs_path(out, "%s", json_string_value(json_object_get(f->report, "backup"))));
}

static void segment_of(char sha256[DIGEST_HEX_SIZE], struct kit *kit, uint64_t version)
{
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", "things", version));
    const json_t *segment = json_array_get(json_object_get(row, "segments"), 0);
    strcpy(sha256, json_string_value(json_object_get(segment, "sha256")));
    json_decref(row);
}

static void saved_path(char out[FS_PATH_MAX], const struct fixture *f, const char *sha256)
{
    kit_ok(fs_path(out, "%s/segments/%.2s/%s.mdb", f->backups, sha256, sha256));
}

static void flip(const char *path, off_t at)
{
    unsigned char byte;

    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static size_t count(struct store *s, enum catalog_table table)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *value;
    size_t n = 0;

    catalog_begin_read(&t, &s->catalog);
    while ((value = catalog_after(&t, table, "", key))) {
        json_decref(value);
        n++;
    }
    kit_ok(catalog_end(&t));
    return n;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- tests ---- */

static void a_restored_directory_serves_what_the_other_served(void **state)
{
    struct fixture f;
    json_t *report = NULL, *events = NULL;
    bool more;

    (void)state;
    setup(&f);
    kit_dataset(&f.kit, KIT_PEOPLE);
    kit_publish(&f.kit, KIT_PEOPLE, "red");
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_publish(&f.kit, KIT_THINGS, "blue");
    kit_ok(back_up(&f));
    assert_int_equal(number(f.report, "datasets"), 2);
    assert_int_equal(number(f.report, "versions"), 3);
    assert_int_equal(number(f.report, "copied"), 3);
    assert_int_equal(json_array_size(json_object_get(f.report, "keys")), 1);
    kit_ok(restore(&f));
    assert_int_equal(number(f.report, "failed"), 0);
    const json_t *key = json_array_get(json_object_get(f.report, "keys"), 0);
    assert_string_equal(json_string_value(json_object_get(key, "state")), "present");

    open_restored(&f);
    assert_int_equal(kit_current(&f.restored, "things"), 2);
    assert_int_equal(kit_current(&f.restored, "people"), 1);
    kit_ok(store_verify(&report, f.restored.store, true));
    assert_int_equal(number(report, "versions"), 3);
    kit_ok(store_event_list(&events, &more, f.restored.store, "acme", "things", 0, 1));
    const json_t *event = json_array_get(events, 0);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "restored");
    assert_int_equal(kit_publish(&f.restored, KIT_THINGS, "green"), STORE_FLIPPED);
    assert_int_equal(kit_current(&f.restored, "things"), 3);
    json_decref(events);
    json_decref(report);
    teardown(&f);
}

static void what_was_being_built_has_failed_and_what_was_locked_is_free(void **state)
{
    struct fixture f;
    struct store_lease lease;
    json_t *row = NULL;

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_lease(&lease, &f.kit, "things");
    struct store_build *b = kit_build(&f.kit, &lease, KIT_THINGS, "blue");
    kit_ok(back_up(&f));
    assert_int_equal(kit_finish(&f.kit, &lease, b), STORE_FLIPPED); /* the ingest went on */
    kit_ok(restore(&f));
    assert_int_equal(number(f.report, "failed"), 1);

    open_restored(&f);
    assert_int_equal(kit_current(&f.restored, "things"), 1);
    assert_true(kit_state_is(&f.restored, 2, "FAILED"));
    kit_ok(store_version_get(&row, f.restored.store, "acme", "things", 2));
    const json_t *error = json_object_get(row, "error");
    assert_string_equal(json_string_value(json_object_get(error, "code")), "RESTORED");
    json_decref(row);
    kit_ok(store_job_get(&row, f.restored.store, "acme", lease.job));
    assert_string_equal(json_string_value(json_object_get(row, "state")), "failed");
    assert_true(json_is_string(json_object_get(row, "ended_at")));
    json_decref(row);
    assert_int_equal(count(f.restored.store, CATALOG_QUEUE), 0);
    assert_int_equal(count(f.restored.store, CATALOG_PINS), 0);
    assert_int_equal(kit_publish(&f.restored, KIT_THINGS, "blue"), STORE_FLIPPED);
    assert_int_equal(kit_current(&f.restored, "things"), 3); /* numbers are never reused */
    teardown(&f);
}

static void the_next_backup_copies_only_what_is_new(void **state)
{
    struct fixture f;
    char sha256[DIGEST_HEX_SIZE], path[FS_PATH_MAX];

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_ok(back_up(&f));
    kit_publish(&f.kit, KIT_THINGS, "blue");
    kit_ok(back_up(&f));
    assert_int_equal(number(f.report, "segments"), 2);
    assert_int_equal(number(f.report, "copied"), 1);

    /* A file that is not remembered is hashed, and kept when it is whole. */
    segment_of(sha256, &f.kit, 1);
    saved_path(path, &f, sha256);
    assert_int_equal(chmod(path, 0600), 0); /* changes its ctime */
    kit_ok(back_up(&f));
    assert_int_equal(number(f.report, "copied"), 0);
    flip(path, 5000);
    kit_ok(back_up(&f));
    assert_int_equal(number(f.report, "copied"), 1);
    kit_ok(restore(&f));
    teardown(&f);
}

static void a_damaged_segment_is_not_saved_as_if_it_were_whole(void **state)
{
    struct fixture f;
    char sha256[DIGEST_HEX_SIZE], path[FS_PATH_MAX];
    struct fs_list list;

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    segment_of(sha256, &f.kit, 1);
    kit_ok(store_segment_path(path, f.kit.store, sha256));
    flip(path, 5000);
    assert_int_equal(back_up(&f), ST_CORRUPT);
    assert_string_equal(st_code(), "FILE_DAMAGED");
    assert_non_null(strstr(st_message(), "acme/things version 1"));
    assert_int_equal(count(f.kit.store, CATALOG_PINS), 0);
    kit_ok(fs_list_dir(&list, f.backups)); /* lock, segments, verified.json */
    assert_int_equal(list.count, 3);
    fs_list_free(&list);
    assert_int_equal(restore(&f), ST_NOT_FOUND);
    assert_false(is_there(f.restored.dir));
    teardown(&f);
}

static void retire_and_sweep(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    struct fixture *f = ctx;
    struct store_move move = {.tenant = "acme", .dataset = "things", .to = 1, .actor = KIT_ACTOR};
    json_t *head = NULL;

    (void)phase;
    (void)done;
    (void)total;
    if (!kit_state_is(&f->kit, 1, "RETIRED")) {
        kit_ok(store_retire(&head, f->kit.store, &move));
        json_decref(head);
    }
    kit_ok(store_sweep(NULL, f->kit.store));
}

static void retention_waits_for_the_backup(void **state)
{
    struct fixture f;
    char sha256[DIGEST_HEX_SIZE], path[FS_PATH_MAX];

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_publish(&f.kit, KIT_THINGS, "blue");
    kit_publish(&f.kit, KIT_THINGS, "green");
    segment_of(sha256, &f.kit, 1);
    kit_ok(back_up_told(&f, retire_and_sweep, &f));
    assert_int_equal(number(f.report, "versions"), 3);
    kit_ok(store_segment_path(path, f.kit.store, sha256));
    assert_true(is_there(path));
    kit_ok(store_sweep(NULL, f.kit.store));
    assert_false(is_there(path));
    kit_ok(restore(&f));
    open_restored(&f);
    assert_true(kit_state_is(&f.restored, 1, "SUCCEEDED"));
    teardown(&f);
}

static void die(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    (void)phase;
    (void)done;
    (void)total;
    (void)ctx;
    _exit(0);
}

static void a_backup_that_died_is_none_and_leaves_nothing_for_long(void **state)
{
    struct fixture f;
    struct fs_list list;
    int status;

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_close(&f.kit); /* an LMDB environment does not survive fork */
    pid_t pid = fork();
    if (pid == 0) {
        kit_is_child = true;
        kit_open(&f.kit);
        kit_ok(back_up_told(&f, die, NULL));
        _exit(2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    assert_int_equal(restore(&f), ST_CORRUPT);
    assert_string_equal(st_code(), "BACKUP_INCOMPLETE");
    kit_open(&f.kit);
    assert_int_equal(count(f.kit.store, CATALOG_PINS), 1);
    kit_ok(store_sweep(NULL, f.kit.store));
    assert_int_equal(count(f.kit.store, CATALOG_PINS), 0);
    kit_ok(back_up(&f));
    assert_int_equal(number(f.report, "copied"), 0); /* it had got that far */
    kit_ok(fs_list_dir(&list, f.backups));           /* the backup, lock, segments, verified.json */
    assert_int_equal(list.count, 4);
    fs_list_free(&list);
    teardown(&f);
}

static void without_its_manifest_a_backup_is_refused_and_the_one_before_is_taken(void **state)
{
    struct fixture f;
    char path[FS_PATH_MAX], first[FS_PATH_MAX], second[FS_PATH_MAX];

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_ok(back_up(&f));
    last_backup(first, &f);
    kit_publish(&f.kit, KIT_THINGS, "blue");
    kit_ok(back_up(&f));
    last_backup(second, &f);
    kit_ok(fs_path(path, "%s/backup.json", second));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(restore_from(&f, second), ST_CORRUPT);
    assert_string_equal(st_code(), "BACKUP_INCOMPLETE");
    kit_ok(restore(&f));
    assert_string_equal(json_string_value(json_object_get(f.report, "backup")), first);
    open_restored(&f);
    assert_int_equal(kit_current(&f.restored, "things"), 1);
    teardown(&f);
}

static void refused(struct fixture *f, const char *path, const char *what)
{
    enum st st = restore(f);

    if (st != ST_CORRUPT || strcmp(st_code(), "BACKUP_DAMAGED") != 0)
        fail_msg("%s %s: %s %s %s", path, what, st_name(st), st_code(), st_message());
    assert_false(is_there(f->restored.dir)); /* as it was */
}

/* Flips a bit here and there, cuts, empties and removes the file; each time it is put back. */
static void damage(struct fixture *f, const char *path)
{
    char aside[FS_PATH_MAX];
    struct stat sb;

    kit_ok(fs_path(aside, "%s.aside", path));
    assert_int_equal(stat(path, &sb), 0);
    for (int i = 0; i < 5; i++) {
        off_t at = sb.st_size * i / 5;
        flip(path, at);
        refused(f, path, "with a bit flipped");
        flip(path, at);
    }
    kit_ok(fs_copy(aside, path, 0600));
    const off_t sizes[] = {sb.st_size - 1, sb.st_size / 2, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        refused(f, path, "cut");
    }
    assert_int_equal(unlink(path), 0);
    if (!strstr(path, "backup.json")) /* then it would not even be incomplete but none */
        refused(f, path, "missing");
    assert_int_equal(rename(aside, path), 0);
}

static void a_damaged_backup_is_refused_whatever_is_damaged(void **state)
{
    struct fixture f;
    char dir[FS_PATH_MAX], path[FS_PATH_MAX], sha256[DIGEST_HEX_SIZE];
    static const char *const FILES[] = {"catalog.mdb", "heads/acme.json", "heads/acme/things.json",
                                        "backup.json"};

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_publish(&f.kit, KIT_THINGS, "blue");
    kit_ok(back_up(&f));
    last_backup(dir, &f);
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        kit_ok(fs_path(path, "%s/%s", dir, FILES[i]));
        damage(&f, path);
    }
    segment_of(sha256, &f.kit, 1);
    saved_path(path, &f, sha256);
    damage(&f, path);
    kit_ok(restore(&f));
    teardown(&f);
}

static void a_directory_that_is_used_is_not_written_over(void **state)
{
    struct fixture f;
    struct store *s = NULL;
    char path[FS_PATH_MAX];

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_ok(back_up(&f));
    kit_ok(fs_mkdir(f.restored.dir, 0700));
    kit_ok(fs_path(path, "%s/something", f.restored.dir));
    kit_ok(fs_write_new(path, "x", 1, 0600));
    assert_int_equal(restore(&f), ST_CONFLICT);
    assert_string_equal(st_code(), "NOT_EMPTY");
    assert_true(is_there(path));
    assert_int_equal(unlink(path), 0);
    kit_ok(fs_path(path, "%s/keys", f.restored.dir)); /* these may be there already */
    kit_ok(fs_mkdir(path, 0700));
    kit_ok(restore(&f));
    assert_int_equal(restore(&f), ST_CONFLICT);

    /* As a restore that was killed leaves it. */
    kit_ok(fs_path(path, "%s/FORMAT", f.restored.dir));
    kit_ok(fs_write_atomic(path, "everline restore unfinished\n", 28, 0600));
    assert_int_equal(
        store_open(&s, &(struct store_options){.data_dir = f.restored.dir, .create = true}),
        ST_CONFLICT);
    assert_string_equal(st_code(), "DATA_FORMAT");
    teardown(&f);
}

/* Its checksum holds: it is whole, and this program does not know what it says. */
static void a_backup_of_another_format_is_refused_with_both_numbers(void **state)
{
    static const char *const MEMBERS[] = {"format", "data_format"};
    static const char *const SAID[] = {"has backup format 9 and data format 1",
                                       "has backup format 1 and data format 9"};
    struct fixture f;
    char path[FS_PATH_MAX];

    (void)state;
    setup(&f);
    kit_publish(&f.kit, KIT_THINGS, "red");
    kit_ok(back_up(&f));
    kit_ok(fs_path(path, "%s/backup.json", json_string_value(json_object_get(f.report, "backup"))));
    for (size_t i = 0; i < 2; i++) {
        json_t *manifest = NULL, *whole = NULL;

        kit_ok(document_read(&manifest, path));
        whole = json_deep_copy(manifest);
        assert_int_equal(json_object_set_new(manifest, MEMBERS[i], json_integer(9)), 0);
        kit_ok(document_write(path, manifest, 0600));
        assert_int_equal(restore(&f), ST_CONFLICT);
        assert_string_equal(st_code(), "DATA_FORMAT");
        assert_non_null(strstr(st_message(), SAID[i]));
        assert_non_null(strstr(st_message(), "this program reads 1 and 1"));
        assert_false(is_there(f.restored.dir));
        kit_ok(document_write(path, whole, 0600));
        json_decref(manifest);
        json_decref(whole);
    }
    kit_ok(restore(&f));
    teardown(&f);
}

static void a_missing_or_wrong_key_is_told(void **state)
{
    struct fixture f;
    char path[FS_PATH_MAX];

    (void)state;
    setup(&f);
    kit_dataset(&f.kit, KIT_PEOPLE);
    kit_publish(&f.kit, KIT_PEOPLE, "red");
    kit_ok(back_up(&f));
    const json_t *key = json_array_get(json_object_get(f.report, "keys"), 0);
    kit_ok(fs_path(path, "%s/keys/acme/hmac/%s.key", f.kit.dir,
                   json_string_value(json_object_get(key, "id"))));
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            flip(path, 0); /* hex or not, it is another key */
        else
            assert_int_equal(unlink(path), 0);
        kit_ok(restore(&f));
        key = json_array_get(json_object_get(f.report, "keys"), 0);
        assert_string_equal(json_string_value(json_object_get(key, "state")),
                            i == 0 ? "wrong" : "missing");
        kit_ok(fs_remove_tree(f.restored.dir));
    }
    teardown(&f);
}

static void a_backup_inside_the_data_directory_or_beside_another_is_refused(void **state)
{
    struct fixture f;
    char path[FS_PATH_MAX];
    int fd = -1;

    (void)state;
    setup(&f);
    kit_ok(fs_path(path, "%s/backups", f.kit.dir));
    assert_int_equal(
        store_backup(&f.report, f.kit.store, &(struct store_backup_options){.to = path}),
        ST_INVALID);
    assert_string_equal(st_code(), "BACKUP_INSIDE_DATA");
    kit_ok(fs_path(path, "%s/lock", f.backups));
    kit_ok(fs_lock(&fd, path));
    assert_int_equal(back_up(&f), ST_CONFLICT);
    assert_string_equal(st_code(), "LOCKED");
    fs_close(&fd);
    kit_ok(back_up(&f));
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restored_directory_serves_what_the_other_served),
        cmocka_unit_test(what_was_being_built_has_failed_and_what_was_locked_is_free),
        cmocka_unit_test(the_next_backup_copies_only_what_is_new),
        cmocka_unit_test(a_damaged_segment_is_not_saved_as_if_it_were_whole),
        cmocka_unit_test(retention_waits_for_the_backup),
        cmocka_unit_test(a_backup_that_died_is_none_and_leaves_nothing_for_long),
        cmocka_unit_test(without_its_manifest_a_backup_is_refused_and_the_one_before_is_taken),
        cmocka_unit_test(a_damaged_backup_is_refused_whatever_is_damaged),
        cmocka_unit_test(a_directory_that_is_used_is_not_written_over),
        cmocka_unit_test(a_backup_of_another_format_is_refused_with_both_numbers),
        cmocka_unit_test(a_missing_or_wrong_key_is_told),
        cmocka_unit_test(a_backup_inside_the_data_directory_or_beside_another_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
