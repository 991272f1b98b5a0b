/* Segments on machines whose pages are larger than 4 KiB: LMDB takes its own size from theirs. */
#include "store_format_kit.h"

#include "base/digest.h"
#include "base/fs.h"
#include "store/segment_internal.h"

#include <fcntl.h>
#include <unistd.h>

#define RECORDS 30000

static char directory[] = "/tmp/everline-pages-XXXXXX";
static struct store_definition *definition;
static long page_bytes;     /* of this machine */
static bool always_appends; /* whatever the writer asks for */

long __sysconf(int name);

long sysconf(int name) /* LMDB finds it before the C library's */
{
    return name == _SC_PAGESIZE && page_bytes ? page_bytes : __sysconf(name);
}

int __real_mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags);
int __wrap_mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags);

int __wrap_mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags)
{
    return __real_mdb_cursor_put(cursor, key, data,
                                 always_appends ? MDB_APPEND | MDB_RESERVE : flags);
}

/* Of rows of all lengths up to more than a leaf takes; its size, and its hash. */
static off_t write_segment(char hex[DIGEST_HEX_SIZE])
{
    static const unsigned char row[20000];
    const struct store_segment_info info = {definition, "dev", "k1", {1, 2, 3}};
    unsigned char key[STORE_KEY_BYTES] = {0}, digest[DIGEST_BYTES];
    struct store_segment_writer *w = NULL;
    char path[FS_PATH_MAX];
    uint64_t size;

    assert_int_equal(fs_path(path, "%s/segment", directory), ST_OK);
    assert_int_equal(store_segment_writer_open(&w, path, &info), ST_OK);
    for (uint64_t i = 0; i < RECORDS; i++) {
        uint64_t some = i * 0x9E3779B97F4A7C15ull >> 40; /* no period that a page could have, too */
        for (int b = 0; b < 8; b++)
            key[b] = (unsigned char)(i >> (8 * (7 - b)));
        assert_int_equal(store_segment_writer_add(
                             w, key, row, some % 50 ? some / 50 % 400 : some / 50 % sizeof row),
                         ST_OK);
    }
    assert_int_equal(store_segment_writer_finish(w), ST_OK);
    store_segment_writer_free(w);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(digest_file(digest, &size, fd), ST_OK);
    close(fd);
    digest_hex(hex, digest, sizeof digest);
    assert_int_equal(unlink(path), 0);
    return (off_t)size;
}

static void pages_of_any_size_are_as_full_as_append_makes_them(void **state)
{
    static const long SIZES[] = {4096, 16384, 65536};
    char appended[DIGEST_HEX_SIZE], put[DIGEST_HEX_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        page_bytes = SIZES[i];
        always_appends = true;
        off_t size = write_segment(appended);
        always_appends = false;
        assert_int_equal(write_segment(put), size);
        assert_string_equal(put, appended);
    }
}

static int set_up(void **state)
{
    (void)state;
    definition = kit_definition(KIT_LIFELINE);
    return mkdtemp(directory) ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    page_bytes = 0;
    store_definition_free(definition);
    return fs_remove_tree(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_any_size_are_as_full_as_append_makes_them),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
