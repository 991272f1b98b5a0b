/* Damage to one file of a data directory: what is done, where, and a process of its own for whoever
 * uses the directory then, because LMDB may take it along. */
#ifndef EVERLINE_TESTS_DAMAGE_KIT_H
#define EVERLINE_TESTS_DAMAGE_KIT_H

#include "base/fs.h"
#include "base/log.h"
#include "store/catalog_internal.h"
#include "store/internal.h"
#include "store_kit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DAMAGE_PAGE 4096

enum damage_kind { DAMAGE_CUT, DAMAGE_FILL, DAMAGE_FLIP };

struct damage {
    const char *name;
    off_t page, at; /* where */
    enum damage_kind kind;
    int value; /* FILL: the byte; FLIP: the bit */
};

static inline void damage_do(const struct damage *d, const char *path)
{
    unsigned char page[DAMAGE_PAGE];
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    if (d->kind == DAMAGE_CUT) {
        assert_int_equal(ftruncate(fd, d->page * DAMAGE_PAGE + d->at), 0);
    } else if (d->kind == DAMAGE_FILL) {
        memset(page, d->value, sizeof page);
        assert_int_equal(pwrite(fd, page, sizeof page, d->page * DAMAGE_PAGE), DAMAGE_PAGE);
    } else {
        assert_int_equal(pread(fd, page, 1, d->page * DAMAGE_PAGE + d->at), 1);
        page[0] = (unsigned char)(page[0] ^ 1u << d->value);
        assert_int_equal(pwrite(fd, page, 1, d->page * DAMAGE_PAGE + d->at), 1);
    }
    close(fd);
}

/* What is done at the `point`th of a file's pages, quarters of pages and halves of fillings. */
static inline struct damage damage_cut_at_page(size_t point)
{
    return (struct damage){"cut at a page", (off_t)point, 0, DAMAGE_CUT, 0};
}

static inline struct damage damage_cut_in_page(size_t point)
{
    static const off_t ODD[] = {1, 100, 2048, 4095};

    return (struct damage){"cut in a page", (off_t)(point / 4), ODD[point % 4], DAMAGE_CUT, 0};
}

static inline struct damage damage_overwritten(size_t point)
{
    return (struct damage){"overwritten", (off_t)(point / 2), 0, DAMAGE_FILL, point % 2 ? 0xff : 0};
}

/* Memory, where there is such a file system: what is damaged here need not be synced. */
static inline void damage_directory(struct kit *kit)
{
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    *kit = (struct kit){.store = NULL};
    snprintf(kit->dir, sizeof kit->dir, "%s/everline-damage-XXXXXX", parent);
    assert_non_null(mkdtemp(kit->dir));
}

static inline void damage_copy_file(const char *from, const char *to, mode_t mode)
{
    char bytes[65536];
    ssize_t n;
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, mode);

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)n), n);
    assert_int_equal(n, 0);
    close(in);
    close(out);
}

/* Both are directories; `to` is empty. */
static inline void damage_copy_tree(const char *from, const char *to)
{
    char source[FS_PATH_MAX], target[FS_PATH_MAX];
    struct fs_list list;
    struct stat sb;

    kit_ok(fs_list_dir(&list, from));
    for (size_t i = 0; i < list.count; i++) {
        kit_ok(fs_path(source, "%s/%s", from, list.names[i]));
        kit_ok(fs_path(target, "%s/%s", to, list.names[i]));
        assert_int_equal(stat(source, &sb), 0);
        if (S_ISDIR(sb.st_mode)) {
            assert_int_equal(mkdir(target, 0700), 0);
            damage_copy_tree(source, target);
        } else {
            damage_copy_file(source, target, sb.st_mode & 0777);
        }
    }
    fs_list_free(&list);
}

/* A copy of its own for each try. */
static inline void damage_copy(struct kit *kit, const char *prepared)
{
    damage_directory(kit);
    damage_copy_tree(prepared, kit->dir);
}

/* What became of the process: fn's result, or DIED. */
enum { DAMAGE_DIED = 99 };

static inline int damage_in_child(int (*fn)(struct kit *kit), struct kit *kit)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        kit_is_child = true;
        log_configure(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT); /* thousands of lines otherwise */
        alarm(60);
        _exit(fn(kit)); /* what it leaves open is not looked at */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        print_error("ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : DAMAGE_DIED;
}

/* All points with EVERLINE_FAULT_ALL=1; with EVERLINE_FAULT_PART=K/N too each Nth of them from the
 * Kth on, unless that is less than `count`; else `count` of them, evenly spread: calls fn for each
 * and prints how many were tried. fn gives true when the damage was told, false when it did no
 * harm. */
static inline size_t damage_try(const char *name, size_t points, size_t count,
                                bool (*fn)(size_t point, void *ctx), void *ctx)
{
    const char *all = getenv("EVERLINE_FAULT_ALL"), *some = getenv("EVERLINE_FAULT_PART");
    size_t part = 1, parts = 1, tried = 0, told = 0;

    assert_true(!some || sscanf(some, "%zu/%zu", &part, &parts) == 2);
    assert_true(part >= 1 && part <= parts);
    if (all && strcmp(all, "1") == 0) {
        if (points < count * parts)
            part = parts = 1;
        for (size_t i = part - 1; i < points; i += parts, tried++)
            told += fn(i, ctx);
    } else {
        for (count = count < points ? count : points; tried < count; tried++)
            told += fn((2 * tried + 1) * points / (2 * count), ctx);
    }
    print_message("%s: %zu points, tried %zu, told %zu\n", name, points, tried, told);
    return told;
}

/* The row's checksum does not hold from now on. Unlike kit_turn this is a commit, and finds no text
 * that LMDB has left behind in a page of something else. */
static inline void damage_row(const struct kit *kit, enum catalog_table table, const char *key)
{
    MDB_val k = {strlen(key), (void *)(uintptr_t)key}, v;
    MDB_dbi dbi = kit->store->catalog.tables[table];
    struct catalog_txn t;
    struct buf bytes;

    buf_init(&bytes, CATALOG_CHECKSUM_BYTES + CATALOG_VALUE_MAX);
    catalog_begin_write(&t, &kit->store->catalog);
    assert_int_equal(mdb_get(t.txn, dbi, &k, &v), 0);
    buf_add(&bytes, v.mv_data, v.mv_size);
    kit_ok(buf_status(&bytes));
    bytes.data[0] = (char)(bytes.data[0] ^ 1);
    v.mv_data = bytes.data;
    assert_int_equal(mdb_put(t.txn, dbi, &k, &v, 0), 0);
    kit_ok(catalog_commit(&t));
    buf_release(&bytes);
}

#endif
