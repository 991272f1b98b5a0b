#include "base/memory.h"

#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

static char root[] = "/tmp/everline-memory-XXXXXX";

static void put(const char *path, const char *text)
{
    char full[FS_PATH_MAX];

    assert_int_equal(fs_path(full, "%s/%s", root, path), ST_OK);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        assert_int_equal(fs_mkdir(full, 0700), ST_OK);
        *at = '/';
    }
    assert_int_equal(fs_write_atomic(full, text, strlen(text), 0600), ST_OK);
}

/* 1000 MiB available, 300 MiB of files mapped. */
static int setup(void **state)
{
    (void)state;
    put("proc/meminfo", "MemTotal: 4096000 kB\nMemAvailableX: 1 kB\nMemAvailable:  1024000 kB\n");
    put("proc/self/status", "Name:\teverline\nRssAnon:\t 99 kB\nRssFile:\t  307200 kB\n");
    put("proc/self/cgroup", "9:name=systemd:/\n0::/a/b\n");
    return 0;
}

static void what_is_mapped_here_is_not_spare(void **state)
{
    (void)state;
    assert_true(memory_spare_bytes_below(root) == 700 * MIB);
}

static void the_tightest_cgroup_above_decides(void **state)
{
    (void)state;
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    put("sys/fs/cgroup/a/b/memory.current", "104857600\n");
    assert_true(memory_spare_bytes_below(root) == 700 * MIB);
    put("sys/fs/cgroup/a/memory.max", "943718400\n");     /* 900 MiB */
    put("sys/fs/cgroup/a/memory.current", "524288000\n"); /* 500 MiB, of which ... */
    put("sys/fs/cgroup/a/memory.stat",
        "anon 104857600\nactive_file 209715200\ninactive_file 209715200\n");
    assert_true(memory_spare_bytes_below(root) == (900 - 100 - 300) * MIB);
    put("sys/fs/cgroup/a/memory.max", "314572800\n"); /* 300 MiB: less than is mapped */
    assert_true(memory_spare_bytes_below(root) == 0);
}

static void a_kernel_that_does_not_say_sets_no_limit(void **state)
{
    (void)state;
    put("proc/meminfo", "MemTotal: 4096000 kB\n");
    assert_true(memory_spare_bytes_below(root) == UINT64_MAX);
}

static void this_machine_has_some(void **state)
{
    (void)state;
    uint64_t spare = memory_spare_bytes();
    assert_true(spare > 0 && spare < UINT64_MAX / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_mapped_here_is_not_spare, setup),
        cmocka_unit_test_setup(the_tightest_cgroup_above_decides, setup),
        cmocka_unit_test_setup(a_kernel_that_does_not_say_sets_no_limit, setup),
        cmocka_unit_test(this_machine_has_some),
    };

    if (!mkdtemp(root))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return fs_remove_tree(root) == ST_OK ? failed : 1;
}
