/* What lies in a watched folder. */
#include "api/watch_batch.h"
#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/everline-watch-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(directory) == ST_OK ? 0 : -1;
}

/* A batch that was complete in that second; 0: it is not. */
static void put_batch(const char *name, int64_t complete_s)
{
    const struct timespec times[] = {{.tv_sec = complete_s}, {.tv_sec = complete_s}};
    char path[FS_PATH_MAX];

    assert_int_equal(fs_path(path, "%s/%s", directory, name), ST_OK);
    assert_int_equal(fs_mkdir(path, 0700), ST_OK);
    assert_int_equal(fs_path(path, "%s/%s/_SUCCESS", directory, name), ST_OK);
    if (!complete_s)
        return;
    assert_int_equal(fs_write_new(path, "", 0, 0600), ST_OK);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void of_more_batches_than_are_looked_at_the_newest_are(void **state)
{
    struct store_batch *batches = NULL;

    (void)state;
    put_batch("a", 40);
    put_batch("b", 10);
    put_batch("c", 0);
    put_batch("d", 30);
    put_batch("e", 20);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        events = inotify_init1(IN_CLOEXEC);
    assert_true(fd >= 0 && events >= 0);
    for (size_t max = 0; max <= 5; max++) {
        static const char *const NAMES[] = {"b", "e", "d", "a"};
        size_t count = watch_list_batches(&batches, max, fd, events, IN_CREATE);
        assert_int_equal(count, max < 4 ? max : 4);
        for (size_t i = 0; i < count; i++)
            assert_string_equal(batches[i].name, NAMES[4 - count + i]);
        free(batches);
    }
    close(events);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_more_batches_than_are_looked_at_the_newest_are, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("api_watch", tests, NULL, NULL);
}
