#include "base/fs.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char directory[] = "/tmp/everline-fs-XXXXXX";
static ino_t synced; /* the last directory that was */
static int failure;  /* of the sync of a directory: errno, or 0 */

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
    struct stat sb = {0};

    if (fstat(fd, &sb) == 0 && S_ISDIR(sb.st_mode))
        synced = sb.st_ino;
    if (failure && S_ISDIR(sb.st_mode)) {
        errno = failure;
        return -1;
    }
    return __real_fsync(fd);
}

static void a_new_file_is_not_written_over_and_an_atomic_one_is(void **state)
{
    char path[FS_PATH_MAX];
    struct buf b;

    (void)state;
    assert_int_equal(fs_path(path, "%s/%s", directory, "file"), ST_OK);
    assert_int_equal(fs_write_new(path, "one", 3, 0600), ST_OK);
    assert_int_equal(fs_write_new(path, "two", 3, 0600), ST_CONFLICT);
    buf_init(&b, 5);
    assert_int_equal(fs_read(&b, path), ST_OK);
    assert_string_equal(b.data, "one");
    assert_int_equal(fs_write_atomic(path, "three3", 6, 0600), ST_OK);
    buf_reset(&b);
    assert_int_equal(fs_read(&b, path), ST_TOO_LARGE);
    buf_release(&b);
    struct fs_list list;
    assert_int_equal(fs_list_dir(&list, directory), ST_OK);
    assert_int_equal(list.count, 1); /* no temporary file stays */
    fs_list_free(&list);
    assert_int_equal(unlink(path), 0);
}

/* Else a loss of power takes the name back. */
static void a_name_is_on_the_disk_once_it_is_given(void **state)
{
    char path[FS_PATH_MAX], other[FS_PATH_MAX];
    struct stat sb;

    (void)state;
    assert_int_equal(stat(directory, &sb), 0);
    assert_int_equal(fs_path(path, "%s/file", directory), ST_OK);
    assert_int_equal(fs_path(other, "%s/other", directory), ST_OK);
    synced = 0;
    assert_int_equal(fs_write_new(path, "one", 3, 0600), ST_OK);
    assert_int_equal(synced, sb.st_ino);
    synced = 0;
    assert_int_equal(fs_write_atomic(path, "two", 3, 0600), ST_OK);
    assert_int_equal(synced, sb.st_ino);
    synced = 0;
    assert_int_equal(fs_mkdir(other, 0700), ST_OK);
    assert_int_equal(synced, sb.st_ino);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(other), 0);
}

/* Whoever made it failed, or died, before its name was on the disk: it is no better the second
 * time. A file system that does not sync directories is none that fails. */
static void a_directory_that_is_there_is_not_there_when_its_name_cannot_be_synced(void **state)
{
    char path[FS_PATH_MAX];

    (void)state;
    assert_int_equal(fs_path(path, "%s/made", directory), ST_OK);
    failure = EIO;
    assert_int_equal(fs_mkdir(path, 0700), ST_IO);
    assert_int_equal(fs_mkdir(path, 0700), ST_IO);
    failure = ENOSPC;
    assert_int_equal(fs_mkdir(path, 0700), ST_FULL);
    failure = EINVAL;
    assert_int_equal(fs_mkdir(path, 0700), ST_OK);
    failure = 0;
    assert_int_equal(fs_mkdir(path, 0700), ST_OK);
    assert_int_equal(rmdir(path), 0);
}

static void a_path_that_is_too_long_is_none(void **state)
{
    char path[FS_PATH_MAX] = "before", name[FS_PATH_MAX];

    (void)state;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(fs_path(path, "%s", name), ST_OK);
    assert_int_equal(fs_path(path, "/%s", name), ST_TOO_LARGE);
    assert_string_equal(path, "");
}

#define SECRET "a secret that nobody may find in memory afterwards"
#define STACK_BYTES (1u << 20)

static void *read_secret(void *path)
{
    struct buf b;

    buf_init(&b, 100);
    enum st st = fs_read(&b, path);
    bool whole = st == ST_OK && b.len == strlen(SECRET);
    buf_release_secret(&b);
    return whole ? path : NULL;
}

/* Keys and tokens are read so. */
static void what_was_read_does_not_stay_on_the_stack(void **state)
{
    char path[FS_PATH_MAX], *stack = aligned_alloc(4096, STACK_BYTES);
    pthread_attr_t attributes;
    pthread_t thread;
    void *whole = NULL;

    (void)state;
    assert_non_null(stack);
    memset(stack, 0, STACK_BYTES);
    assert_int_equal(fs_path(path, "%s/secret", directory), ST_OK);
    assert_int_equal(fs_write_new(path, SECRET, strlen(SECRET), 0600), ST_OK);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attributes, read_secret, path), 0);
    assert_int_equal(pthread_join(thread, &whole), 0);
    assert_non_null(whole);
    assert_null(memmem(stack, STACK_BYTES, SECRET, strlen(SECRET)));
    pthread_attr_destroy(&attributes);
    free(stack);
    assert_int_equal(unlink(path), 0);
}

static void removing_a_tree_does_not_follow_links(void **state)
{
    char deep[FS_PATH_MAX], link[FS_PATH_MAX], tree[FS_PATH_MAX], kept[FS_PATH_MAX];

    (void)state;
    assert_int_equal(fs_path(tree, "%s/tree", directory), ST_OK);
    assert_int_equal(fs_path(deep, "%s/a/b", tree), ST_OK);
    assert_int_equal(fs_path(link, "%s/link", deep), ST_OK);
    assert_int_equal(fs_path(kept, "%s/kept", directory), ST_OK);
    assert_int_equal(fs_mkdir_all(deep, 0700), ST_OK);
    assert_int_equal(fs_mkdir_all(deep, 0700), ST_OK);
    assert_int_equal(fs_mkdir(kept, 0700), ST_OK);
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(fs_remove_tree(tree), ST_OK);
    assert_int_equal(fs_remove_tree(tree), ST_OK);
    assert_int_not_equal(access(tree, F_OK), 0);
    assert_int_equal(access(kept, F_OK), 0);
}

static void a_lock_has_one_holder(void **state)
{
    char path[FS_PATH_MAX];
    int first = -1, second = -1;

    (void)state;
    assert_int_equal(fs_path(path, "%s/lock", directory), ST_OK);
    assert_false(fs_is_locked(path));
    assert_int_equal(fs_lock(&first, path), ST_OK);
    assert_true(fs_is_locked(path));
    assert_int_equal(fs_lock(&second, path), ST_CONFLICT);
    fs_close(&first);
    assert_int_equal(first, -1);
    assert_false(fs_is_locked(path));
    assert_int_equal(fs_remove_tree(directory), ST_OK);
}

int main(void)
{
    if (!mkdtemp(directory))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_file_is_not_written_over_and_an_atomic_one_is),
        cmocka_unit_test(a_name_is_on_the_disk_once_it_is_given),
        cmocka_unit_test(a_directory_that_is_there_is_not_there_when_its_name_cannot_be_synced),
        cmocka_unit_test(a_path_that_is_too_long_is_none),
        cmocka_unit_test(what_was_read_does_not_stay_on_the_stack),
        cmocka_unit_test(removing_a_tree_does_not_follow_links),
        cmocka_unit_test(a_lock_has_one_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
