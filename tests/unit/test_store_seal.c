/* What is remembered of a file whose hash held: nothing that was not read. */
#include "store_kit.h"

#include "store/internal.h"
#include "store/seal.h"

#include "base/clock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define BYTES ((size_t)3 << 20) /* in several pieces */

static char path[] = "/tmp/everline-seal-XXXXXX";

static int make(void **state)
{
    static char zeros[BYTES];
    int fd = mkstemp(path);

    (void)state;
    bool made = fd >= 0 && write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros;
    close(fd);
    return made ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    return unlink(path);
}

static int open_it(void)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* Changes one byte; the mtime stays what it was. */
static void change(int fd, off_t at)
{
    struct timespec times[2];
    struct stat sb;
    char byte;

    assert_int_equal(fstat(fd, &sb), 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    times[0] = sb.st_atim;
    times[1] = sb.st_mtim;
    assert_int_equal(futimens(fd, times), 0);
}

static struct store_segment_ref ref_of(int fd)
{
    unsigned char digest[DIGEST_BYTES];
    struct store_segment_ref ref;

    kit_ok(digest_file(digest, &ref.bytes, fd));
    digest_hex(ref.sha256, digest, sizeof digest);
    return ref;
}

static void a_file_that_stays_as_it_was_is_remembered(void **state)
{
    int fd = open_it();
    struct store_segment_ref ref = ref_of(fd);
    struct seal seal;

    (void)state;
    kit_ok(store_segment_file_verify(&seal, path, &ref, NULL));
    assert_true(seal.holds);
    json_t *document = seal_to_json(&seal);
    assert_true(seal_document_holds(document, path));
    change(fd, 17);
    assert_false(seal_document_holds(document, path));
    json_decref(document);
    close(fd);
}

static enum st change_behind(uint64_t bytes, void *ctx)
{
    int *fd = ctx;

    if (bytes == BYTES)
        change(*fd, 0); /* which was read long ago */
    return ST_OK;
}

static void a_byte_that_changes_after_it_was_read_is_not_remembered(void **state)
{
    int fd = open_it();
    unsigned char digest[DIGEST_BYTES];
    struct seal seal;
    uint64_t size;

    (void)state;
    kit_ok(seal_begin(&seal, fd));
    kit_ok(digest_file_told(digest, &size, fd, change_behind, &fd));
    seal_end(&seal, fd);
    assert_false(seal.holds);
    close(fd);
}

/* What is written down is what was read, and not what stat says by then. */
static void a_file_that_changes_before_its_seal_is_written_is_hashed_again(void **state)
{
    int fd = open_it();
    struct store_segment_ref ref = ref_of(fd);
    struct catalog_txn t;
    struct seal seal;
    struct kit kit;

    (void)state;
    kit_new(&kit);
    kit_ok(store_segment_file_verify(&seal, path, &ref, NULL));
    change(fd, 0);
    catalog_begin_write(&t, &kit.store->catalog);
    store_seal_write(&t, ref.sha256, &seal);
    assert_false(store_seal_holds(&t, ref.sha256, path));
    kit_ok(catalog_commit(&t));
    kit_free(&kit);
    close(fd);
}

static void a_file_that_has_just_changed_is_read_in_another_tick_of_the_clock(void **state)
{
    int fd = open_it();
    struct timespec now;
    struct seal seal;

    (void)state;
    for (int i = 0; i < 50; i++) {
        change(fd, i);
        kit_ok(seal_begin(&seal, fd));
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        assert_true((int64_t)now.tv_sec * 1000000000 + now.tv_nsec > seal.ctime_ns);
        assert_true(seal.holds);
    }
    close(fd);
}

static void a_new_name_is_no_change_but_a_byte_is(void **state)
{
    char other[sizeof path + 2];
    int fd = open_it();
    struct seal seal;

    (void)state;
    snprintf(other, sizeof other, "%s.x", path);
    kit_ok(seal_begin(&seal, fd));
    seal_end(&seal, fd);
    assert_int_equal(rename(path, other), 0);
    seal_renamed(&seal, fd);
    assert_true(seal.holds);
    json_t *document = seal_to_json(&seal);
    assert_true(seal_document_holds(document, other));
    json_decref(document);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    assert_int_equal(rename(other, path), 0);
    seal_renamed(&seal, fd);
    assert_false(seal.holds);
    close(fd);
}

/* ---- the scrub's way of reading ---- */

static size_t cached_pages(int fd)
{
    unsigned char pages[BYTES / 4096];
    void *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    size_t count = 0;

    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, BYTES, pages), 0);
    munmap(map, BYTES);
    for (size_t i = 0; i < sizeof pages; i++)
        count += pages[i] & 1;
    return count;
}

static void scrubbing_reads_the_disk_and_not_the_page_cache(void **state)
{
    const _Atomic bool stopping = false;
    int fd = open_it();
    struct store_segment_ref ref = ref_of(fd);
    struct pace pace;
    struct seal seal;

    (void)state;
    assert_int_equal(fdatasync(fd), 0); /* what is not written yet cannot be dropped */
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    size_t before = cached_pages(fd);
    if (before) /* a file system that has its files in memory */
        skip();
    pace_begin_rate(&pace, UINT64_MAX, &stopping);
    kit_ok(store_segment_file_scrub(&seal, path, &ref, &pace));
    assert_int_equal(cached_pages(fd), 0);
    assert_true(seal.holds);
    kit_ok(store_segment_file_verify(&seal, path, &ref, NULL));
    assert_true(cached_pages(fd) > 0); /* how many stay is the system's affair */
    change(fd, 4097);
    assert_int_equal(store_segment_file_scrub(&seal, path, &ref, &pace), ST_CORRUPT);
    assert_string_equal(st_code(), "SEGMENT_DAMAGED");
    assert_true(seal.inode != 0);
    close(fd);
}

static void scrubbing_keeps_to_its_rate_and_ends_at_once_when_the_process_stops(void **state)
{
    _Atomic bool stopping = false;
    int fd = open_it();
    struct store_segment_ref ref = ref_of(fd);
    uint64_t began_ns = clock_steady_ns();
    struct pace pace;
    struct seal seal;

    (void)state;
    pace_begin_rate(&pace, 10 * BYTES, &stopping);
    kit_ok(store_segment_file_scrub(&seal, path, &ref, &pace));
    assert_true(clock_steady_ns() - began_ns >= 100000000);
    stopping = true;
    pace_begin_rate(&pace, 1, &stopping);
    assert_int_equal(store_segment_file_scrub(&seal, path, &ref, &pace), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "STOPPING");
    close(fd);
}

/* What the catalog says of a file that was found bad, until it is another one. */
static void a_file_that_was_found_bad_is_broken_until_it_changes(void **state)
{
    int fd = open_it();
    struct store_segment_ref ref = ref_of(fd);
    struct catalog_txn t;
    struct seal seal;
    struct kit kit;

    (void)state;
    kit_new(&kit);
    kit_ok(store_segment_file_verify(&seal, path, &ref, NULL));
    catalog_begin_write(&t, &kit.store->catalog);
    assert_int_equal(store_seal_checked_us(&t, ref.sha256, path), 0);
    store_seal_note(&t, ref.sha256, &seal, NULL);
    assert_true(store_seal_holds(&t, ref.sha256, path));
    assert_false(store_seal_is_broken(&t, ref.sha256, path));
    assert_int_equal(store_seal_checked_us(&t, ref.sha256, path), seal.checked_us);

    store_seal_note(&t, ref.sha256, &seal, "SEGMENT_DAMAGED");
    assert_false(store_seal_holds(&t, ref.sha256, path));
    assert_true(store_seal_is_broken(&t, ref.sha256, path));
    assert_true(store_seal_condemns(&t, ref.sha256, path, (uint64_t)seal.inode));
    assert_false(store_seal_condemns(&t, ref.sha256, path, (uint64_t)seal.inode + 1));
    assert_true(store_seal_condemns(&t, ref.sha256, "/nowhere", (uint64_t)seal.inode));
    assert_int_equal(store_seal_checked_us(&t, ref.sha256, path), seal.checked_us);
    change(fd, 1);
    assert_false(store_seal_is_broken(&t, ref.sha256, path));
    assert_false(store_seal_condemns(&t, ref.sha256, path, (uint64_t)seal.inode));
    assert_int_equal(store_seal_checked_us(&t, ref.sha256, path), 0);

    seal = (struct seal){.checked_us = 7}; /* missing */
    store_seal_note(&t, ref.sha256, &seal, "SEGMENT_MISSING");
    assert_true(store_seal_is_broken(&t, ref.sha256, "/nowhere"));
    assert_int_equal(store_seal_checked_us(&t, ref.sha256, "/nowhere"), 7);
    assert_false(store_seal_is_broken(&t, ref.sha256, path));
    kit_ok(catalog_commit(&t));
    kit_free(&kit);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test(fn)
        TEST(a_file_that_stays_as_it_was_is_remembered),
        TEST(a_byte_that_changes_after_it_was_read_is_not_remembered),
        TEST(a_file_that_changes_before_its_seal_is_written_is_hashed_again),
        TEST(a_file_that_has_just_changed_is_read_in_another_tick_of_the_clock),
        TEST(a_new_name_is_no_change_but_a_byte_is),
        TEST(scrubbing_reads_the_disk_and_not_the_page_cache),
        TEST(scrubbing_keeps_to_its_rate_and_ends_at_once_when_the_process_stops),
        TEST(a_file_that_was_found_bad_is_broken_until_it_changes),
    };

    return cmocka_run_group_tests(tests, make, drop);
}
