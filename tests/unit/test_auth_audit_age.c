/* Retention goes by when a file of the audit was written last: that is when it got its last line,
 * whoever opens or closes it later. */
#include "auth/audit_chain.h"
#include "auth/audit_file.h"
#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TENANT "dev"
#define START_US INT64_C(1800000000000000)
#define DAY_US INT64_C(86400000000)
#define LONG_AGO 1000 /* seconds */

static char directory[64];
static const struct audit_head origin;

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/everline-audit-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(directory) == ST_OK ? 0 : -1;
}

static struct audit_chain *open_chain(void)
{
    struct audit_chain *c;

    assert_int_equal(audit_chain_open(&c, directory, TENANT, 1, &origin, 1 << 20), ST_OK);
    return c;
}

static void add_line(struct audit_chain *c, int64_t at_us)
{
    struct audit_record r = {.at_us = at_us, .event = "lookup", .dataset = "people"};

    assert_int_equal(audit_chain_add(c, &r, NULL), ST_OK);
    assert_int_equal(audit_chain_commit(c), ST_OK);
}

static const char *path_of(char path[FS_PATH_MAX], unsigned long long first)
{
    assert_int_equal(fs_path(path, "%s/" TENANT "/" AUDIT_FILE_FORMAT, directory, 1u, first),
                     ST_OK);
    return path;
}

static struct stat look(unsigned long long first)
{
    char path[FS_PATH_MAX];
    struct stat info;

    assert_int_equal(stat(path_of(path, first), &info), 0);
    return info;
}

/* The file whose first line has this number got its last one long ago. */
static void age(unsigned long long first)
{
    const struct timespec times[2] = {{.tv_sec = LONG_AGO}, {.tv_sec = LONG_AGO}};
    char path[FS_PATH_MAX];

    assert_int_equal(utimensat(AT_FDCWD, path_of(path, first), times, 0), 0);
}

static void tear(unsigned long long first)
{
    char path[FS_PATH_MAX];

    assert_int_equal(truncate(path_of(path, first), look(first).st_size + 10), 0);
}

/* Who looks where it ends, to put it away, may be stopped before that is done. */
static void a_file_that_is_opened_is_as_old_as_it_was(void **state)
{
    struct audit_chain *c = open_chain();

    (void)state;
    add_line(c, START_US);
    audit_chain_close(c);
    age(1);
    audit_chain_close(open_chain());
    assert_int_equal(look(1).st_mtim.tv_sec, LONG_AGO);
    off_t bytes = look(1).st_size;
    tear(1);
    age(1);
    audit_chain_close(open_chain());
    assert_int_equal(look(1).st_mtim.tv_sec, LONG_AGO);
    assert_int_equal(look(1).st_size, bytes);
}

static void a_file_is_not_younger_than_its_last_line_when_the_next_one_begins(void **state)
{
    struct audit_chain *c = open_chain();

    (void)state;
    add_line(c, START_US);
    age(1);
    add_line(c, START_US + 40 * DAY_US);
    assert_int_equal(look(1).st_mtim.tv_sec, LONG_AGO);
    assert_true(look(2).st_mtim.tv_sec > LONG_AGO);
    audit_chain_close(c);
}

/* The room that the process before has left it, too. */
static void a_file_that_gets_no_more_lines_has_no_room(void **state)
{
    struct audit_chain *c = open_chain();

    (void)state;
    add_line(c, START_US);
    audit_chain_close(c);
    c = open_chain();
    add_line(c, START_US + 40 * DAY_US);
    assert_true(look(1).st_blocks * 512 < AUDIT_ROOM_BYTES / 2);
    audit_chain_close(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_opened_is_as_old_as_it_was),
        TEST(a_file_is_not_younger_than_its_last_line_when_the_next_one_begins),
        TEST(a_file_that_gets_no_more_lines_has_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
