#include "base/fs.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static char directory[] = "/tmp/everline-fs-XXXXXX";

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
        cmocka_unit_test(removing_a_tree_does_not_follow_links),
        cmocka_unit_test(a_lock_has_one_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
