/* The files of the audit: when a chain begins a new one, which of them go, and that what is left is
 * still whole. */
#include "auth/audit_chain.h"
#include "auth/audit_prune.h"
#include "auth/audit_search.h"
#include "auth/audit_verify.h"
#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TENANT "dev"
#define START_US INT64_C(1800000000000000)
#define DAY_US INT64_C(86400000000)
#define ROTATE 2000 /* bytes; a line here has about 180 */

static char directory[64];
static bool disk_fails, directory_fails;
static unsigned directories_synced;
static off_t let_go_bytes;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

/* What was written may be there all the same. */
int __wrap_fdatasync(int fd)
{
    if (!disk_fails)
        return __real_fdatasync(fd);
    errno = EIO;
    return -1;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);

/* Of directories: nothing else here is synced so. */
int __wrap_fsync(int fd)
{
    if (directory_fails) {
        errno = EIO;
        return -1;
    }
    directories_synced++;
    return __real_fsync(fd);
}

int __real_posix_fadvise(int fd, off_t offset, off_t len, int advice);
int __wrap_posix_fadvise(int fd, off_t offset, off_t len, int advice);

/* What the page cache was told to forget last; it cannot while it is not on the disk. */
int __wrap_posix_fadvise(int fd, off_t offset, off_t len, int advice)
{
    assert_int_equal(offset, 0);
    assert_true(len > 0 && advice == POSIX_FADV_DONTNEED);
    let_go_bytes = len;
    return __real_posix_fadvise(fd, offset, len, advice);
}

static int set_up(void **state)
{
    (void)state;
    disk_fails = directory_fails = false;
    let_go_bytes = 0;
    strcpy(directory, "/tmp/everline-audit-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(directory) == ST_OK ? 0 : -1;
}

static void add_line(struct audit_chain *c, int64_t at_us)
{
    struct audit_record r = {.at_us = at_us, .event = "lookup", .dataset = "people"};

    assert_int_equal(audit_chain_add(c, &r, NULL), ST_OK);
    assert_int_equal(audit_chain_commit(c), ST_OK);
}

/* `count` lines to the end of a chain, from `at_us` on, a commit each. */
static struct audit_head write_lines(unsigned chain, struct audit_head anchor, unsigned count,
                                     int64_t at_us)
{
    struct audit_chain *c = NULL;

    assert_int_equal(audit_chain_open(&c, directory, TENANT, chain, &anchor, ROTATE), ST_OK);
    for (unsigned i = 0; i < count; i++)
        add_line(c, at_us + i);
    anchor = *audit_chain_head(c);
    audit_chain_close(c);
    return anchor;
}

static struct audit_names list(unsigned chain)
{
    char path[FS_PATH_MAX];
    struct audit_names names;

    assert_int_equal(fs_path(path, "%s/" TENANT, directory), ST_OK);
    assert_int_equal(audit_names_list(&names, path, chain), ST_OK);
    return names;
}

static size_t count_files(unsigned chain)
{
    struct audit_names names = list(chain);
    size_t count = names.count;

    audit_names_release(&names);
    return count;
}

static off_t bytes_of(unsigned chain, uint64_t first)
{
    char path[FS_PATH_MAX];
    struct stat sb;

    assert_int_equal(fs_path(path, "%s/" TENANT "/" AUDIT_FILE_FORMAT, directory, chain,
                             (unsigned long long)first),
                     ST_OK);
    assert_int_equal(stat(path, &sb), 0);
    return sb.st_size;
}

static void set_file_written(unsigned chain, uint64_t first, int64_t at_s)
{
    const struct timespec times[2] = {{.tv_sec = at_s}, {.tv_sec = at_s}};
    char path[FS_PATH_MAX];

    assert_int_equal(fs_path(path, "%s/" TENANT "/" AUDIT_FILE_FORMAT, directory, chain,
                             (unsigned long long)first),
                     ST_OK);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* All files of a chain were last written then. */
static void set_written(unsigned chain, int64_t at_s)
{
    struct audit_names names = list(chain);

    for (size_t i = 0; i < names.count; i++)
        set_file_written(chain, names.list[i].first, at_s);
    audit_names_release(&names);
}

static void count_fault(const char *file, uint64_t line, const char *what, void *ctx)
{
    (void)file, (void)line, (void)what;
    ++*(unsigned *)ctx;
}

static unsigned faults(const struct audit_anchor *anchors, size_t count, uint64_t *lines)
{
    unsigned n = 0;

    *lines = 0;
    assert_int_equal(audit_verify(lines, directory, TENANT, anchors, count, count_fault, &n),
                     ST_OK);
    return n;
}

/* Removes what is found, as a server does; the anchor of its chain learns where that begins. */
static size_t prune(struct audit_anchor *anchors, int64_t before_s, uint64_t max_bytes)
{
    struct audit_doomed *doomed = NULL;
    size_t count = 0;

    assert_int_equal(audit_prune_find(&doomed, &count, directory, TENANT, before_s, max_bytes),
                     ST_OK);
    for (size_t i = 0; i < count; i++) {
        struct audit_anchor *anchor = &anchors[doomed[i].chain - 1];
        anchor->first = doomed[i].kept_first ? doomed[i].kept_first : anchor->head.sequence + 1;
        assert_int_equal(audit_prune_remove(directory, TENANT, &doomed[i]), ST_OK);
    }
    free(doomed);
    return count;
}

static void a_file_gets_no_more_lines_when_it_is_large(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    uint64_t lines;
    (void)state;
    for (int run = 0; run < 3; run++) /* each goes on where the one before left off */
        anchor.head = write_lines(1, anchor.head, 20, START_US + run);
    struct audit_names names = list(1);
    assert_in_range(names.count, 4, 10);
    for (size_t i = 0; i < names.count; i++) {
        off_t bytes = bytes_of(1, names.list[i].first);
        assert_in_range(bytes, i + 1 < names.count ? ROTATE : 1, ROTATE + 400);
    }
    audit_names_release(&names);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(lines, 60);
}

static void a_file_gets_no_more_lines_a_month_after_its_first(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    uint64_t lines;
    (void)state;
    anchor.head = write_lines(1, anchor.head, 2, START_US);
    anchor.head = write_lines(1, anchor.head, 1, START_US + 29 * DAY_US);
    assert_int_equal(count_files(1), 1);
    anchor.head = write_lines(1, anchor.head, 1, START_US + 31 * DAY_US);
    assert_int_equal(count_files(1), 2);
    anchor.head = write_lines(1, anchor.head, 1, START_US + 60 * DAY_US);
    assert_int_equal(count_files(1), 2);
    anchor.head = write_lines(1, anchor.head, 1, START_US + 400 * DAY_US);
    assert_int_equal(count_files(1), 3);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(lines, 6);
}

static void files_that_are_too_old_go_and_the_rest_is_whole(void **state)
{
    struct audit_anchor anchors[2] = {{.chain = 1, .first = 1}, {.chain = 2, .first = 1}};
    uint64_t lines, all;
    (void)state;
    anchors[0].head = write_lines(1, anchors[0].head, 40, START_US);
    set_written(1, 1000);
    anchors[0].head = write_lines(1, anchors[0].head, 15, START_US + DAY_US);
    anchors[1].head = write_lines(2, anchors[1].head, 3, START_US); /* not too old */
    size_t files = count_files(1);
    assert_int_equal(faults(anchors, 2, &all), 0);
    assert_int_equal(all, 58);
    assert_int_equal(prune(anchors, 1000, 0), 0); /* written then, not before */
    assert_int_equal(prune(anchors, 0, 0), 0);

    struct audit_anchor unknowing = anchors[0];
    size_t gone = prune(anchors, 1001, 0);
    assert_in_range(gone, 2, files - 1);
    assert_int_equal(count_files(1), files - gone);
    assert_true(anchors[0].first > 1 && anchors[1].first == 1);
    assert_int_equal(faults(anchors, 2, &lines), 0);
    assert_int_equal(lines, all - (anchors[0].first - 1));
    assert_true(faults(&unknowing, 1, &lines) >
                0); /* without a word to the catalog it is a fault */

    anchors[0].head = write_lines(1, anchors[0].head, 5, START_US + 2 * DAY_US);
    assert_int_equal(faults(anchors, 2, &lines), 0);
}

/* A server that was killed between telling the catalog and removing the file. */
static void a_file_that_was_to_go_and_is_still_there_is_no_fault(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    uint64_t lines;
    (void)state;
    anchor.head = write_lines(1, anchor.head, 40, START_US);
    struct audit_names names = list(1);
    assert_true(names.count > 2);
    anchor.first = names.list[2].first;
    audit_names_release(&names);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    anchor.first = anchor.head.sequence + 1; /* the newest was to go, too */
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(lines, 40);
}

static void what_is_cut_off_before_the_oldest_line_that_is_kept_is_found(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    struct audit_file file;
    struct audit_text line;
    char path[FS_PATH_MAX];
    uint64_t lines;
    (void)state;
    anchor.head = write_lines(1, anchor.head, 40, START_US);
    assert_true(prune(&anchor, 0, 2 * ROTATE + 400) > 0);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(fs_path(path, "%s/" TENANT, directory), ST_OK);
    assert_int_equal(audit_file_read(&file, path, 1, anchor.first), ST_OK);
    assert_true(audit_file_next(&line, &file));
    assert_int_equal(fs_path(path, "%s/" TENANT "/" AUDIT_FILE_FORMAT, directory, 1,
                             (unsigned long long)anchor.first),
                     ST_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fs_write_new(path, file.text.data + file.at, file.text.len - file.at, 0600),
                     ST_OK);
    audit_file_release(&file);
    assert_int_equal(faults(&anchor, 1, &lines), 1);
}

static void a_chain_that_was_written_anew_is_not_the_one_that_the_catalog_knows(void **state)
{
    const struct audit_head none = {0};
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    char path[FS_PATH_MAX];
    uint64_t lines;
    (void)state;
    anchor.head = write_lines(1, none, 3, START_US);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(fs_path(path, "%s/" TENANT, directory), ST_OK);
    assert_int_equal(fs_remove_tree(path), ST_OK);
    (void)write_lines(1, none, 3, START_US + 1);
    assert_int_equal(faults(NULL, 0, &lines), 0); /* each line follows the one before it */
    assert_int_equal(faults(&anchor, 1, &lines), 1);
}

static void a_chain_of_which_nothing_is_left_is_missed(void **state)
{
    const struct audit_head none = {0};
    struct audit_anchor anchors[2] = {{.chain = 1, .first = 1}, {.chain = 2, .first = 1}};
    char path[FS_PATH_MAX];
    uint64_t lines;
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        anchors[i].head = write_lines(i + 1, none, 3, START_US);
    assert_int_equal(faults(anchors, 2, &lines), 0);
    assert_int_equal(fs_path(path, "%s/" TENANT "/" AUDIT_FILE_FORMAT, directory, 2, 1ull), ST_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(faults(anchors, 2, &lines), 1);
}

static void the_newest_file_of_a_chain_goes_for_its_age_only(void **state)
{
    struct audit_anchor anchors[2] = {{.chain = 1, .first = 1}, {.chain = 2, .first = 1}};
    uint64_t lines;
    (void)state;
    for (unsigned chain = 1; chain <= 2; chain++) {
        anchors[chain - 1].head = write_lines(chain, anchors[chain - 1].head, 40, START_US);
        set_written(chain, 1000 * chain);
    }
    assert_true(prune(anchors, 0, 1) > 2);
    assert_int_equal(count_files(1), 1);
    assert_int_equal(count_files(2), 1);
    assert_int_equal(faults(anchors, 2, &lines), 0);
    assert_int_equal(prune(anchors, 1001, 0), 1);
    assert_int_equal(count_files(1), 0);
    assert_int_equal(faults(anchors, 2, &lines), 0);
    for (unsigned chain = 1; chain <= 2; chain++)
        anchors[chain - 1].head = write_lines(chain, anchors[chain - 1].head, 1, START_US + DAY_US);
    assert_int_equal(faults(anchors, 2, &lines), 0);
}

/* A process that has appended for longer than lines are kept. */
static void a_file_that_rests_may_go_and_the_chain_goes_on_in_another(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    struct audit_head origin = {0};
    struct audit_chain *chain;
    uint64_t lines;
    (void)state;
    assert_int_equal(audit_chain_open(&chain, directory, TENANT, 1, &origin, ROTATE), ST_OK);
    add_line(chain, START_US);
    set_written(1, 1000);
    assert_true(audit_chain_rest(chain, 1000)); /* written then, not before */
    add_line(chain, START_US + 1);
    assert_int_equal(count_files(1), 1);
    set_written(1, 1000);
    assert_true(audit_chain_rest(chain, 1001));
    anchor.head = *audit_chain_head(chain);
    assert_int_equal(prune(&anchor, 1001, 0), 1);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    add_line(chain, START_US + 2);
    assert_int_equal(count_files(1), 1);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(lines, 1);
    anchor.head = *audit_chain_head(chain);
    audit_chain_close(chain);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
}

/* A line, and another whose commit fails when all of it is in the file. */
static struct audit_chain *begin_torn(void)
{
    const struct audit_record r = {.at_us = START_US + 1, .event = "lookup", .dataset = "people"};
    struct audit_head origin = {0};
    struct audit_chain *chain;

    assert_int_equal(audit_chain_open(&chain, directory, TENANT, 1, &origin, ROTATE), ST_OK);
    add_line(chain, START_US);
    disk_fails = true;
    assert_int_equal(audit_chain_add(chain, &r, NULL), ST_OK);
    assert_int_equal(audit_chain_commit(chain), ST_IO);
    set_written(1, 1000);
    return chain;
}

static void a_file_that_could_not_be_written_may_go_and_no_line_goes_with_it(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    struct audit_chain *chain = begin_torn();
    uint64_t lines;
    (void)state;
    assert_false(audit_chain_rest(chain, 1001)); /* who prunes now would take an open file */
    disk_fails = false;
    set_written(1, 1000);
    assert_true(audit_chain_rest(chain, 1001));
    anchor.head = *audit_chain_head(chain);
    assert_int_equal(anchor.head.sequence, 1);
    assert_int_equal(prune(&anchor, 1001, 0), 1);
    assert_int_equal(count_files(1), 0);
    assert_int_equal(audit_chain_commit(chain), ST_OK);
    anchor.head = *audit_chain_head(chain);
    assert_int_equal(anchor.head.sequence, 2);
    assert_int_equal(count_files(1), 1);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(lines, 1);
    audit_chain_close(chain);
}

static void a_line_that_is_written_again_is_there_once(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    struct audit_chain *chain = begin_torn();
    uint64_t lines;
    (void)state;
    disk_fails = false;
    assert_true(audit_chain_rest(chain, 1001));
    assert_int_equal(audit_chain_commit(chain), ST_OK);
    add_line(chain, START_US + 2);
    anchor.head = *audit_chain_head(chain);
    audit_chain_close(chain);
    assert_int_equal(count_files(1), 2);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(lines, 3);
}

static void what_is_committed_has_its_files_name_on_the_disk(void **state)
{
    const struct audit_record r = {.at_us = START_US, .event = "lookup"};
    const struct audit_head none = {0};
    struct audit_chain *c = NULL;
    (void)state;
    assert_int_equal(audit_chain_open(&c, directory, TENANT, 1, &none, ROTATE), ST_OK);
    assert_int_equal(audit_chain_add(c, &r, NULL), ST_OK);
    directory_fails = true;
    assert_int_equal(audit_chain_commit(c), ST_IO);
    directory_fails = false;
    directories_synced = 0;
    assert_int_equal(audit_chain_commit(c), ST_OK);
    assert_int_equal(directories_synced, 1);
    assert_int_equal(count_files(1), 1);
    audit_chain_close(c);
}

/* The disk was full when it was begun, or the machine lost power. */
static void a_chain_goes_on_behind_a_file_that_nothing_was_written_to(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    char path[FS_PATH_MAX];
    uint64_t lines;
    (void)state;
    anchor.head = write_lines(1, anchor.head, 3, START_US);
    assert_int_equal(fs_path(path, "%s/" TENANT "/" AUDIT_FILE_FORMAT, directory, 1u, 4ULL), ST_OK);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    anchor.head = write_lines(1, anchor.head, 2, START_US + 10);
    assert_int_equal(anchor.head.sequence, 5);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(lines, 5);
}

/* The clock was set back while a chain was written. */
static void a_file_goes_after_those_before_it_whatever_the_clock_said(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    uint64_t lines;
    (void)state;
    anchor.head = write_lines(1, anchor.head, 40, START_US);
    struct audit_names names = list(1);
    size_t files = names.count;
    assert_in_range(files, 4, 10);
    set_written(1, 3000);
    set_file_written(1, names.list[0].first, 2000);
    set_file_written(1, names.list[2].first, 1000);
    set_file_written(1, names.list[files - 1].first, 1000);
    audit_names_release(&names);

    assert_int_equal(prune(&anchor, 1001, 0), 0); /* the first is not too old */
    assert_int_equal(prune(&anchor, 2001, 0), 1);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(prune(&anchor, 0, 2 * (uint64_t)ROTATE), files - 3);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
    assert_int_equal(prune(&anchor, 3001, 0), 2);
    assert_int_equal(anchor.first, anchor.head.sequence + 1);
    assert_int_equal(faults(&anchor, 1, &lines), 0);
}

static void the_oldest_files_go_until_the_rest_fits_the_tenants_bytes(void **state)
{
    struct audit_anchor anchors[2] = {{.chain = 1, .first = 1}, {.chain = 2, .first = 1}};
    uint64_t bytes = 0, lines;
    (void)state;
    for (unsigned chain = 1; chain <= 2; chain++)
        anchors[chain - 1].head = write_lines(chain, anchors[chain - 1].head, 40, START_US);
    set_written(1, 2000); /* chain 2 is the older one */
    set_written(2, 1000);
    for (unsigned chain = 1; chain <= 2; chain++) {
        struct audit_names names = list(chain);
        for (size_t i = 0; i < names.count; i++)
            bytes += (uint64_t)bytes_of(chain, names.list[i].first);
        audit_names_release(&names);
    }
    size_t files[2] = {count_files(1), count_files(2)};
    assert_int_equal(prune(anchors, 0, bytes), 0);
    assert_int_equal(prune(anchors, 0, bytes - 1), 1);
    assert_int_equal(count_files(2), files[1] - 1);
    assert_int_equal(prune(anchors, 0, bytes - 2 * (uint64_t)ROTATE), 1);
    assert_int_equal(count_files(1), files[0]);
    assert_int_equal(count_files(2), files[1] - 2);
    assert_int_equal(faults(anchors, 2, &lines), 0);
}

static bool sees_all(const char *dataset, void *ctx)
{
    (void)dataset, (void)ctx;
    return true;
}

static enum st go_on(void *ctx)
{
    (void)ctx;
    return ST_OK;
}

static void a_search_finds_what_is_left_and_nothing_else(void **state)
{
    struct audit_anchor anchor = {.chain = 1, .first = 1};
    const struct audit_query query = {
        .event = "lookup", .limit = 1000, .max_bytes = AUDIT_SEARCH_BYTES, .sees_fn = sees_all};
    struct audit_place place = {.at = ""};
    json_t *items = NULL;
    bool more;
    (void)state;
    anchor.head = write_lines(1, anchor.head, 40, START_US);
    set_written(1, 1000);
    anchor.head = write_lines(1, anchor.head, 5, START_US + DAY_US);
    assert_true(prune(&anchor, 2000, 0) > 0);
    assert_int_equal(audit_search(&items, &more, &place, directory, TENANT, &query, go_on, NULL),
                     ST_OK);
    assert_false(more);
    assert_int_equal(json_array_size(items), 45 - (anchor.first - 1));
    const json_t *oldest = json_array_get(items, json_array_size(items) - 1);
    assert_int_equal(json_integer_value(json_object_get(oldest, "seq")), anchor.first);
    json_decref(items);
}

static void what_is_on_the_disk_is_let_go_but_for_the_last_page(void **state)
{
    struct audit_record r = {.at_us = START_US, .event = "lookup", .dataset = "people"};
    struct audit_head anchor = {0};
    struct audit_chain *c = NULL;
    (void)state;
    assert_int_equal(audit_chain_open(&c, directory, TENANT, 1, &anchor, 1 << 20), ST_OK);
    add_line(c, START_US);
    assert_int_equal(let_go_bytes, 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(audit_chain_add(c, &r, NULL), ST_OK);
    disk_fails = true;
    assert_int_equal(audit_chain_commit(c), ST_IO);
    assert_int_equal(let_go_bytes, 0);
    disk_fails = false;
    assert_int_equal(audit_chain_commit(c), ST_OK);
    assert_true(bytes_of(1, 1) > 2 * 4096);
    assert_int_equal(let_go_bytes, bytes_of(1, 1) / 4096 * 4096);
    audit_chain_close(c);
}

static uint64_t blocks_of(unsigned chain, uint64_t first)
{
    struct stat info;
    char path[128];

    snprintf(path, sizeof path, "%s/" TENANT "/" AUDIT_FILE_FORMAT, directory, chain,
             (unsigned long long)first);
    assert_int_equal(stat(path, &info), 0);
    return (uint64_t)info.st_blocks * 512;
}

static bool room_can_be_kept(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/room", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool can = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, AUDIT_ROOM_BYTES) == 0;

    close(fd);
    unlink(path);
    return can;
}

static void the_newest_file_has_room_for_more_lines_and_no_other(void **state)
{
    struct audit_head origin = {0};
    struct audit_chain *chain;

    (void)state;
    if (!room_can_be_kept())
        skip();
    assert_int_equal(audit_chain_open(&chain, directory, TENANT, 1, &origin, ROTATE), ST_OK);
    add_line(chain, START_US);
    assert_true(bytes_of(1, 1) < ROTATE);
    assert_true(blocks_of(1, 1) >= AUDIT_ROOM_BYTES);
    audit_chain_close(chain);
    assert_int_equal(audit_chain_open(&chain, directory, TENANT, 1, &origin, ROTATE), ST_OK);
    assert_true(blocks_of(1, 1) >= AUDIT_ROOM_BYTES);
    while (bytes_of(1, 1) < ROTATE)
        add_line(chain, START_US);
    assert_true(blocks_of(1, 1) < AUDIT_ROOM_BYTES);
    audit_chain_close(chain);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_gets_no_more_lines_when_it_is_large),
        TEST(a_file_gets_no_more_lines_a_month_after_its_first),
        TEST(files_that_are_too_old_go_and_the_rest_is_whole),
        TEST(a_file_that_was_to_go_and_is_still_there_is_no_fault),
        TEST(what_is_cut_off_before_the_oldest_line_that_is_kept_is_found),
        TEST(a_chain_that_was_written_anew_is_not_the_one_that_the_catalog_knows),
        TEST(a_chain_of_which_nothing_is_left_is_missed),
        TEST(the_newest_file_of_a_chain_goes_for_its_age_only),
        TEST(a_file_that_rests_may_go_and_the_chain_goes_on_in_another),
        TEST(a_file_that_could_not_be_written_may_go_and_no_line_goes_with_it),
        TEST(a_line_that_is_written_again_is_there_once),
        TEST(the_newest_file_has_room_for_more_lines_and_no_other),
        TEST(what_is_committed_has_its_files_name_on_the_disk),
        TEST(a_chain_goes_on_behind_a_file_that_nothing_was_written_to),
        TEST(a_file_goes_after_those_before_it_whatever_the_clock_said),
        TEST(the_oldest_files_go_until_the_rest_fits_the_tenants_bytes),
        TEST(what_is_on_the_disk_is_let_go_but_for_the_last_page),
        TEST(a_search_finds_what_is_left_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
