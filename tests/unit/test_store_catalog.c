/* The catalog's transactions: who waits for whom, what shares a commit, what becomes of a commit
 * that fails, and what processes that died leave behind. */
#include "store_kit.h"

#include "base/clock.h"
#include "store/catalog_check.h"
#include "store/catalog_internal.h"
#include "store/internal.h"
#include "store/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a disk that fails: LMDB's writes come here ---- */

static enum disk {
    DISK_WELL,
    DISK_REFUSES_DATA,    /* a data page is not written, once */
    DISK_REFUSES_META,    /* the meta page is not written, once */
    DISK_LOSES_ANSWER,    /* the meta page is written, and the answer is an error, once */
    DISK_REFUSES_META_ALL /* no meta page is written any more */
} disk;
static bool answer_was_lost;

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (disk == DISK_REFUSES_DATA) {
        disk = DISK_WELL;
        errno = EIO;
        return -1;
    }
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    bool meta =
        (fcntl(fd, F_GETFL) & O_DSYNC) != 0; /* LMDB writes it through a descriptor of its own */

    if (answer_was_lost &&
        !meta) { /* LMDB puts the old meta page back, and does not look whether it could */
        answer_was_lost = false;
        return (ssize_t)len;
    }
    if ((disk == DISK_REFUSES_DATA && !meta) || (disk == DISK_REFUSES_META && meta) ||
        (disk == DISK_REFUSES_META_ALL && meta)) {
        disk = disk == DISK_REFUSES_META_ALL ? disk : DISK_WELL;
        errno = EIO;
        return -1;
    }
    ssize_t n = syscall(SYS_pwrite64, fd, bytes, len, at);
    if (disk == DISK_LOSES_ANSWER && meta) {
        disk = DISK_WELL;
        answer_was_lost = true;
        errno = EIO;
        return -1;
    }
    return n;
}

/* ---- the fixture ---- */

static int setup(void **state)
{
    struct kit *kit = malloc(sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    disk = DISK_WELL;
    *state = kit;
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

static void put(struct catalog_txn *t, const char *key, int value)
{
    json_t *row = json_pack("{s:i}", "value", value);

    catalog_put(t, CATALOG_JOBS, key, row);
    json_decref(row);
}

static enum st put_one(struct catalog *c, const char *key, int value)
{
    struct catalog_txn t;

    catalog_begin_write(&t, c);
    put(&t, key, value);
    return catalog_commit(&t);
}

/* 0: there is none. */
static int get_one(struct catalog *c, const char *key)
{
    struct catalog_txn t;

    catalog_begin_read(&t, c);
    json_t *row = catalog_get(&t, CATALOG_JOBS, key);
    int value = (int)json_integer_value(json_object_get(row, "value"));
    json_decref(row);
    kit_ok(catalog_end(&t));
    return value;
}

static uint64_t last_transaction(struct catalog *c)
{
    struct catalog_txn t;

    catalog_begin_read(&t, c);
    uint64_t id = catalog_txn_id(&t);
    kit_ok(catalog_end(&t));
    return id;
}

/* A process that has the catalog open and does `run_fn`, which ends it. The kit's own is closed. */
static pid_t other(struct kit *kit, void (*run_fn)(struct catalog *c))
{
    kit_close(kit);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        kit_is_child = true;
        alarm(60);
        kit_open(kit);
        run_fn(&kit->store->catalog);
        _exit(0);
    }
    return pid;
}

static void await_stop(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

static void await_end(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* ---- the writers' lock ---- */

static void write_and_stop(struct catalog *c)
{
    struct catalog_txn t;

    catalog_begin_write(&t, c);
    put(&t, "a", 1);
    raise(SIGSTOP);
    kit_ok(catalog_commit(&t));
}

static void a_writer_that_is_stopped_is_named_to_who_waits_and_nobody_else_waits(void **state)
{
    struct kit *kit = *state;
    pid_t pid = other(kit, write_and_stop);
    char text[32];

    await_stop(pid);
    kit_open(kit);
    struct catalog *c = &kit->store->catalog;
    assert_int_equal(get_one(c, "a"), 0);
    c->lock.wait_ms = 50;
    uint64_t start_ms = clock_boot_ms();
    assert_int_equal(put_one(c, "b", 1), ST_TIMEOUT);
    assert_in_range(clock_boot_ms() - start_ms, 50, 5000);
    assert_string_equal(st_code(), "CATALOG_BUSY");
    snprintf(text, sizeof text, "process %ld (", (long)pid);
    assert_non_null(strstr(st_message(), text));
    assert_non_null(strstr(st_message(), ", stopped)"));
    assert_int_equal(get_one(c, "b"), 0);
    c->lock.wait_ms = 60000;
    kill(pid, SIGCONT);
    kit_ok(put_one(c, "b", 1));
    assert_int_equal(get_one(c, "a"), 1); /* it went on, and what it wrote is there */
    await_end(pid);
}

static void the_death_of_a_stopped_writer_frees_the_lock(void **state)
{
    struct kit *kit = *state;
    pid_t pid = other(kit, write_and_stop);

    await_stop(pid);
    kit_open(kit);
    kill(pid, SIGKILL);
    kit_ok(put_one(&kit->store->catalog, "b", 2));
    assert_int_equal(get_one(&kit->store->catalog, "a"), 0);
    assert_int_equal(get_one(&kit->store->catalog, "b"), 2);
    await_end(pid);
}

static void nobody_is_waited_for_once_the_process_is_to_stop(void **state)
{
    struct kit *kit = *state;
    pid_t pid = other(kit, write_and_stop);
    static const volatile sig_atomic_t stop = 1;

    await_stop(pid);
    kit_open(kit);
    kit->store->catalog.lock.stop = &stop;
    kit->store->catalog.lock.wait_ms = 3600000;
    assert_int_equal(put_one(&kit->store->catalog, "b", 2), ST_TIMEOUT);
    kill(pid, SIGKILL);
    await_end(pid);
}

/* ---- groups ---- */

static void a_group_is_one_commit_and_what_was_given_up_is_not_in_it(void **state)
{
    struct catalog *c = &((struct kit *)*state)->store->catalog;
    uint64_t before = last_transaction(c);
    struct catalog_txn t;

    catalog_group_begin(c);
    kit_ok(put_one(c, "a", 1));
    catalog_begin_write(&t, c);
    put(&t, "a", 99);
    put(&t, "b", 99);
    catalog_fail(&t, st_fail(ST_CONFLICT, NULL, "no"));
    assert_int_equal(catalog_commit(&t), ST_CONFLICT);
    kit_ok(put_one(c, "c", 3));
    assert_int_equal(c->group.written, 2);
    assert_int_equal(get_one(c, "c"), 0); /* who reads sees what is committed */
    kit_ok(catalog_group_end(c));
    assert_int_equal(last_transaction(c), before + 1);
    assert_int_equal(get_one(c, "a"), 1);
    assert_int_equal(get_one(c, "b"), 0);
    assert_int_equal(get_one(c, "c"), 3);
}

static void a_group_in_which_nobody_wrote_commits_nothing(void **state)
{
    struct catalog *c = &((struct kit *)*state)->store->catalog;
    uint64_t before = last_transaction(c);
    struct catalog_txn t;

    catalog_group_begin(c);
    catalog_begin_write(&t, c);
    put(&t, "a", 1);
    kit_ok(catalog_end(&t));
    kit_ok(catalog_group_end(c));
    assert_int_equal(last_transaction(c), before);
    kit_ok(put_one(c, "a", 2)); /* the lock was given back */
}

static void a_head_is_changed_once_in_a_group(void **state)
{
    struct kit *kit = *state;
    struct catalog *c = &kit->store->catalog;
    struct store_definition *d = kit_definition(KIT_THINGS);

    kit_dataset(kit, KIT_THINGS);
    catalog_group_begin(c);
    kit_ok(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    assert_int_equal(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                                       &(struct store_put){.actor = &KIT_ACTOR}),
                     ST_TIMEOUT);
    assert_string_equal(st_code(), "CATALOG_BUSY");
    kit_dataset(kit, KIT_PEOPLE); /* another one's */
    kit_ok(catalog_group_end(c));
    kit_ok(store_dataset_put(NULL, NULL, kit->store, "acme", d,
                             &(struct store_put){.actor = &KIT_ACTOR}));
    store_definition_free(d);
}

static void when_a_groups_commit_fails_nothing_of_it_happened(void **state)
{
    struct catalog *c = &((struct kit *)*state)->store->catalog;

    catalog_group_begin(c);
    kit_ok(put_one(c, "a", 1));
    kit_ok(put_one(c, "b", 2));
    disk = DISK_REFUSES_DATA;
    assert_int_equal(catalog_group_end(c), ST_IO);
    assert_int_equal(get_one(c, "a"), 0);
    kit_ok(put_one(c, "b", 3));
}

/* ---- parts of a group ---- */

static void a_part_that_is_not_kept_leaves_no_trace_and_the_rest_of_its_group_stays(void **state)
{
    struct catalog *c = &((struct kit *)*state)->store->catalog;
    uint64_t before = last_transaction(c);

    catalog_group_begin(c);
    kit_ok(put_one(c, "a", 1));
    catalog_part_begin(c);
    kit_ok(put_one(c, "a", 2));
    kit_ok(put_one(c, "b", 2));
    kit_ok(catalog_part_end(c, false));
    assert_int_equal(c->group.written, 1);
    catalog_part_begin(c);
    kit_ok(put_one(c, "c", 3));
    kit_ok(put_one(c, "d", 4));
    kit_ok(catalog_part_end(c, true));
    assert_int_equal(c->group.written, 2);
    kit_ok(catalog_group_end(c));
    assert_int_equal(last_transaction(c), before + 1);
    assert_int_equal(get_one(c, "a"), 1);
    assert_int_equal(get_one(c, "b"), 0);
    assert_int_equal(get_one(c, "c"), 3);
    assert_int_equal(get_one(c, "d"), 4);
}

static void a_group_of_which_nothing_is_kept_commits_nothing(void **state)
{
    struct catalog *c = &((struct kit *)*state)->store->catalog;
    uint64_t before = last_transaction(c);
    struct catalog_txn t;

    catalog_group_begin(c);
    catalog_part_begin(c);
    kit_ok(put_one(c, "a", 1));
    kit_ok(catalog_part_end(c, false));
    catalog_part_begin(c);
    catalog_begin_write(&t, c); /* who has only looked */
    assert_int_equal(catalog_sum(&t, CATALOG_JOBS, "a").rows, 0);
    kit_ok(catalog_end(&t));
    kit_ok(catalog_part_end(c, true));
    catalog_part_begin(c); /* and who has not even looked */
    kit_ok(catalog_part_end(c, true));
    kit_ok(catalog_group_end(c));
    assert_int_equal(last_transaction(c), before);
    kit_ok(put_one(c, "a", 2)); /* the lock was given back */
}

static void rows_and_bytes_are_summed_by_the_beginning_of_their_keys(void **state)
{
    struct catalog *c = &((struct kit *)*state)->store->catalog;
    static const char *const KEYS[] = {"a", "a/1", "a/2", "a/3", "b/1"};
    static const struct {
        const char *prefix;
        size_t rows;
    } CASES[] = {{"a/", 3}, {"a", 4}, {"b/", 1}, {"c/", 0}, {"b/1", 1}};
    struct catalog_sum one, sum;
    struct catalog_txn t;

    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++)
        kit_ok(put_one(c, KEYS[i], 1));
    catalog_begin_read(&t, c);
    one = catalog_sum(&t, CATALOG_JOBS, "b/1");
    assert_true(one.bytes > CATALOG_CHECKSUM_BYTES);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        sum = catalog_sum(&t, CATALOG_JOBS, CASES[i].prefix);
        assert_int_equal(sum.rows, CASES[i].rows);
        assert_int_equal(sum.bytes, CASES[i].rows * one.bytes);
    }
    kit_ok(catalog_end(&t));
}

/* ---- commits that fail ---- */

static void data_that_cannot_be_written_is_a_commit_that_did_not_happen(void **state)
{
    struct catalog *c = &((struct kit *)*state)->store->catalog;

    kit_ok(put_one(c, "a", 1));
    disk = DISK_REFUSES_DATA;
    assert_int_equal(put_one(c, "a", 2), ST_IO);
    assert_int_equal(get_one(c, "a"), 1);
    kit_ok(put_one(c, "a", 3));
    assert_int_equal(get_one(c, "a"), 3);
}

static void a_meta_page_that_was_not_written_is_a_commit_that_did_not_happen(void **state)
{
    struct kit *kit = *state;
    struct catalog *c = &kit->store->catalog;

    kit_ok(put_one(c, "a", 1));
    disk = DISK_REFUSES_META;
    assert_int_equal(put_one(c, "a", 2), ST_IO);
    assert_int_equal(get_one(c, "a"), 1);
    kit_close(kit);
    kit_open(kit);
    assert_int_equal(get_one(&kit->store->catalog, "a"), 1);
}

static void a_meta_page_that_was_written_is_a_commit_that_happened(void **state)
{
    struct kit *kit = *state;
    struct catalog *c = &kit->store->catalog;

    disk = DISK_LOSES_ANSWER;
    kit_ok(put_one(c, "a", 2)); /* it was read back */
    assert_false(answer_was_lost);
    assert_int_equal(get_one(c, "a"), 2);
    kit_close(kit);
    kit_open(kit);
    assert_int_equal(get_one(&kit->store->catalog, "a"), 2);
}

static void read_and_stop(struct catalog *c)
{
    struct catalog_txn t;

    raise(SIGSTOP);
    catalog_begin_read(&t, c);
    json_t *row = catalog_get(&t, CATALOG_JOBS, "a");
    int value = (int)json_integer_value(json_object_get(row, "value"));
    json_decref(row);
    kit_ok(catalog_end(&t));
    _exit(value);
}

/* LMDB counts for all processes that are there: what one of them was told is what the others see.
 */
static void who_has_it_open_sees_what_was_answered(void **state)
{
    struct kit *kit = *state;
    pid_t pid = other(kit, read_and_stop);
    int status;

    await_stop(pid);
    kit_open(kit);
    disk = DISK_LOSES_ANSWER;
    int said = put_one(&kit->store->catalog, "a", 2) ? 0 : 2;
    assert_int_equal(get_one(&kit->store->catalog, "a"), said);
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), said);
    kit_close(kit);
    kit_open(kit);
    assert_int_equal(get_one(&kit->store->catalog, "a"), said);
}

static void an_outcome_that_cannot_be_read_back_is_said_to_be_unknown(void **state)
{
    struct catalog *c = &((struct kit *)*state)->store->catalog;

    disk = DISK_REFUSES_META_ALL;
    assert_int_equal(put_one(c, "a", 1), ST_UNKNOWN_OUTCOME);
    assert_int_not_equal(put_one(c, "a", 1), ST_OK);
    disk = DISK_WELL;
    kit_ok(put_one(c, "a", 2));
    assert_int_equal(get_one(c, "a"), 2);
}

/* ---- readers ---- */

/* Its slots are in use until it dies. */
static void read_with_every_slot(struct catalog *c)
{
    static struct catalog_txn all[CATALOG_READERS];
    int count = 0;

    while (count < CATALOG_READERS) {
        catalog_begin_read(&all[count], c);
        if (all[count++].status)
            break;
    }
    raise(SIGSTOP);
    _exit(1);
}

static void a_full_table_of_readers_is_an_error_until_they_are_dead(void **state)
{
    struct kit *kit = *state;
    struct catalog_txn t;

    pid_t pid = other(kit, read_with_every_slot);
    await_stop(pid);
    struct store *s = NULL;
    enum st st = store_open(&s, &(struct store_options){.data_dir = kit->dir});
    assert_int_equal(st, ST_UNAVAILABLE);
    assert_string_equal(st_code(), "TOO_MANY_READERS");
    kill(pid, SIGKILL);
    await_end(pid);
    kit_open(kit);
    catalog_begin_read(&t, &kit->store->catalog);
    kit_ok(catalog_end(&t));
}

static void read_and_stop_inside(struct catalog *c)
{
    struct catalog_txn t;

    catalog_begin_read(&t, c);
    raise(SIGSTOP);
    _exit(1);
}

static size_t file_bytes(struct catalog *c)
{
    MDB_envinfo info;

    assert_int_equal(mdb_env_info(c->env, &info), 0);
    return info.me_last_pgno;
}

static void a_reader_that_was_killed_does_not_make_the_file_grow(void **state)
{
    struct kit *kit = *state;
    pid_t pid = other(kit, read_and_stop_inside);

    await_stop(pid);
    kit_open(kit);
    struct catalog *c = &kit->store->catalog;
    for (int i = 1; i < 20; i++)
        kit_ok(put_one(c, "a", i));
    size_t held = file_bytes(c);
    for (int i = 1; i < 20; i++)
        kit_ok(put_one(c, "a", i));
    assert_true(file_bytes(c) > held); /* it might still look at the old pages */
    kill(pid, SIGKILL);
    await_end(pid);
    catalog_check_readers(c);
    for (int i = 1; i < 5; i++)
        kit_ok(put_one(c, "a", i));
    held = file_bytes(c);
    for (int i = 1; i < 40; i++)
        kit_ok(put_one(c, "a", i));
    assert_int_equal(file_bytes(c), held);
}

/* ---- the map ---- */

#define SMALL_MAP ((size_t)1 << 20)

static void write_more_than_a_small_map(struct catalog *c)
{
    char key[CATALOG_KEY_SIZE];

    if (mdb_env_set_mapsize(c->env, SMALL_MAP))
        _exit(1);
    raise(SIGSTOP); /* the other one takes a small map too */
    for (int i = 0; i < 2000; i++) {
        json_t *row = json_pack(
            "{s:s%}", "text",
            "a value that fills the pages of the catalog, and its map, bit by bit", (size_t)60);
        struct catalog_txn t;
        snprintf(key, sizeof key, "row-%d", i);
        catalog_begin_write(&t, c);
        for (int j = 0; j < 20; j++) {
            snprintf(key, sizeof key, "row-%d-%d", i, j);
            catalog_put(&t, CATALOG_JOBS, key, row);
        }
        json_decref(row);
        kit_ok(catalog_commit(&t));
        if (file_bytes(c) * 4096 > 4 * SMALL_MAP)
            break;
    }
}

static void the_map_grows_before_it_is_full_and_other_processes_follow(void **state)
{
    struct kit *kit = *state;
    pid_t pid = other(kit, write_more_than_a_small_map);
    MDB_envinfo info;
    int status;

    await_stop(pid);
    kit_open(kit);
    struct catalog *c = &kit->store->catalog;
    kit_ok(put_one(c, "a", 1));
    assert_int_equal(mdb_env_set_mapsize(c->env, SMALL_MAP), 0);
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(get_one(c, "a"), 1);
    assert_int_equal(mdb_env_info(c->env, &info), 0);
    assert_true(info.me_mapsize > 4 * SMALL_MAP);
    kit_ok(put_one(c, "a", 2));
}

/* ---- a map that has grown ---- */

enum { META_MAP_BYTES = 32, META_LAST_PAGE = 136, META_PAGE_BYTES = 4096 };

static void set_metas(const char *path, uint64_t map_bytes, uint64_t last_page)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    for (off_t page = 0; page < 2; page++) {
        off_t at = page * META_PAGE_BYTES;
        assert_int_equal(pwrite(fd, &map_bytes, 8, at + META_MAP_BYTES), 8);
        assert_int_equal(pwrite(fd, &last_page, 8, at + META_LAST_PAGE), 8);
    }
    close(fd);
}

static void the_file_says_how_large_the_map_has_become(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    uint64_t many = ((uint64_t)4 << 30) / META_PAGE_BYTES + 5;

    kit_ok(put_one(&kit->store->catalog, "a", 1));
    kit_close(kit);
    kit_ok(fs_path(path, "%s/catalog.mdb", kit->dir));
    set_metas(path, (uint64_t)8 << 30, many);
    kit_ok(catalog_check_beginning(path));
    set_metas(path, (uint64_t)4 << 30, many);
    assert_int_equal(catalog_check_beginning(path), ST_CORRUPT);
    set_metas(path, (uint64_t)2 << 40, many);
    assert_int_equal(catalog_check_beginning(path), ST_CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- another format ---- */

static void put_format(struct kit *kit, json_t *document)
{
    struct catalog_txn t;

    kit_open(kit);
    catalog_begin_write(&t, &kit->store->catalog);
    if (document)
        catalog_put(&t, CATALOG_COUNTERS, "format", document);
    else
        catalog_delete(&t, CATALOG_COUNTERS, "format");
    kit_ok(catalog_commit(&t));
    json_decref(document);
    kit_close(kit);
}

static void a_catalog_of_another_format_is_refused_with_both_numbers(void **state)
{
    struct store_options options = {0};
    struct store *s = NULL;
    json_t *report = NULL;
    struct kit kit;

    (void)state;
    kit_new(&kit);
    kit_dataset(&kit, KIT_THINGS);
    kit_close(&kit);
    options.data_dir = kit.dir;
    put_format(&kit, NULL); /* as it was before there was a number */
    put_format(&kit, json_pack("{s:i}", "format", CATALOG_FORMAT + 1));
    assert_int_equal(store_open(&s, &options), ST_CONFLICT);
    assert_string_equal(st_code(), "CATALOG_FORMAT");
    assert_non_null(strstr(st_message(), "has catalog format 2"));
    assert_non_null(strstr(st_message(), "reads and writes format 1"));
    assert_non_null(strstr(st_hint_text(), "newer everline"));
    /* Nor is it taken for a damaged one. */
    assert_int_equal(store_rebuild(&report, &(struct store_rebuild_options){.data_dir = kit.dir,
                                                                            .actor = "cli:test"}),
                     ST_CONFLICT);
    assert_string_equal(st_code(), "CATALOG_FORMAT");
    assert_null(report);
    kit_free(&kit);
}

static void a_new_catalog_says_its_format(void **state)
{
    struct catalog_txn t;
    struct kit kit;

    (void)state;
    kit_new(&kit);
    catalog_begin_read(&t, &kit.store->catalog);
    json_t *document = catalog_get(&t, CATALOG_COUNTERS, "format");
    kit_ok(catalog_end(&t));
    assert_int_equal(json_integer_value(json_object_get(document, "format")), CATALOG_FORMAT);
    json_decref(document);
    kit_free(&kit);
}

static void a_walk_over_keys_that_are_out_of_order_ends_and_tells(void **state)
{
    struct kit *kit = *state;
    struct catalog *c = &kit->store->catalog;
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    unsigned steps = 0;
    json_t *row;

    kit_ok(put_one(c, "first", 1));
    kit_ok(put_one(c, "second", 2));
    kit_ok(put_one(c, "third", 3));
    kit_turn(kit, "second", 0, 0x80);
    catalog_begin_read(&t, c);
    while (steps < 10 && catalog_after_any(&row, &t, CATALOG_JOBS, "", key)) {
        json_decref(row);
        steps++;
    }
    assert_true(steps < 4);
    assert_int_equal(catalog_end(&t), ST_CORRUPT);
}

/* The last one: the order holds, and nothing but the value's checksum would tell. */
static void
a_tenant_whose_name_cannot_be_is_left_out_of_lists_and_told_by_a_verification(void **state)
{
    struct kit *kit = *state;
    struct store_tenant tenant;
    json_t *items = NULL, *report = NULL;

    store_tenant_init(&tenant, "zulu-tango");
    kit_ok(store_tenant_put(kit->store, &tenant));
    kit_turn(kit, "zulu-tango", 0, 0x80);
    kit_ok(store_tenant_list(&items, kit->store));
    assert_int_equal(json_array_size(items), 1);
    assert_int_equal(store_verify(&report, kit->store, false), ST_CORRUPT);
    assert_int_equal(json_array_size(json_object_get(report, "problems")), 1);
    json_decref(items);
    json_decref(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_writer_that_is_stopped_is_named_to_who_waits_and_nobody_else_waits),
        TEST(the_death_of_a_stopped_writer_frees_the_lock),
        TEST(nobody_is_waited_for_once_the_process_is_to_stop),
        TEST(a_group_is_one_commit_and_what_was_given_up_is_not_in_it),
        TEST(a_group_in_which_nobody_wrote_commits_nothing),
        TEST(a_head_is_changed_once_in_a_group),
        TEST(a_part_that_is_not_kept_leaves_no_trace_and_the_rest_of_its_group_stays),
        TEST(a_group_of_which_nothing_is_kept_commits_nothing),
        TEST(rows_and_bytes_are_summed_by_the_beginning_of_their_keys),
        TEST(when_a_groups_commit_fails_nothing_of_it_happened),
        TEST(data_that_cannot_be_written_is_a_commit_that_did_not_happen),
        TEST(a_meta_page_that_was_not_written_is_a_commit_that_did_not_happen),
        TEST(a_meta_page_that_was_written_is_a_commit_that_happened),
        TEST(who_has_it_open_sees_what_was_answered),
        TEST(an_outcome_that_cannot_be_read_back_is_said_to_be_unknown),
        TEST(a_full_table_of_readers_is_an_error_until_they_are_dead),
        TEST(a_reader_that_was_killed_does_not_make_the_file_grow),
        TEST(a_new_catalog_says_its_format),
        TEST(a_catalog_of_another_format_is_refused_with_both_numbers),
        TEST(the_map_grows_before_it_is_full_and_other_processes_follow),
        TEST(the_file_says_how_large_the_map_has_become),
        TEST(a_walk_over_keys_that_are_out_of_order_ends_and_tells),
        TEST(a_tenant_whose_name_cannot_be_is_left_out_of_lists_and_told_by_a_verification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
