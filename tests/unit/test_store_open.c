/* Which data directories are not opened: those on file systems without locks of their own, and
 * those that processes use of which nobody can see whether they live. */
#include "store_kit.h"

#include "store/internal.h"

#include <sys/vfs.h>

static long pretended_type; /* of every file system, unless 0 */

int __real_statfs(const char *path, struct statfs *out);
int __wrap_statfs(const char *path, struct statfs *out);
int __wrap_statfs(const char *path, struct statfs *out)
{
    int rc = __real_statfs(path, out);

    if (rc == 0 && pretended_type)
        out->f_type = pretended_type;
    return rc;
}

static void assert_refused(struct kit *kit, const char *code)
{
    const struct store_options options = {.data_dir = kit->dir, .create = true};

    assert_int_equal(store_open(&kit->store, &options), ST_UNAVAILABLE);
    assert_string_equal(st_code(), code);
    assert_true(st_hint_text()[0]);
    assert_null(kit->store);
}

static void a_directory_on_a_remote_file_system_is_refused(void **state)
{
    static const long remote[] = {0x6969,     0xFF534D42, 0xFE534D42,
                                  0x01021997, 0x00C36400, 0x0BD00BD0};
    struct kit *kit = *state;

    kit_close(kit);
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++) {
        pretended_type = remote[i];
        assert_refused(kit, "REMOTE_FILE_SYSTEM");
    }
    pretended_type = 0;
    kit_open(kit);
}

static void a_directory_that_another_pid_namespace_uses_is_refused(void **state)
{
    static const char theirs[] = "pidns 1\npid 1\n";
    struct kit *kit = *state;
    struct run_entry entry;
    char run_dir[FS_PATH_MAX];

    kit_close(kit);
    kit_ok(fs_path(run_dir, "%s/run", kit->dir));
    kit_ok(run_register(&entry, run_dir, RUN_SERVER));
    assert_int_equal(ftruncate(entry.fd, 0), 0);
    assert_int_equal(pwrite(entry.fd, theirs, sizeof theirs - 1, 0), sizeof theirs - 1);
    assert_refused(kit, "PID_NAMESPACE");
    run_unregister(&entry, run_dir); /* it has ended */
    kit_open(kit);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_set_up, kit_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_directory_on_a_remote_file_system_is_refused),
        TEST(a_directory_that_another_pid_namespace_uses_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
