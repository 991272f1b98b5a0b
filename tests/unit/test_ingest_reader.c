/* Files that are compressed, or pretend to be. */
#include "ingest_kit.h"

#include "ingest/reader.h"

#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

static size_t gzip(unsigned char *out, size_t room, const char *text, size_t len)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)text,
                  .avail_in = (uInt)len,
                  .next_out = out,
                  .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = z.total_out;
    deflateEnd(&z);
    return n;
}

static size_t zstd(unsigned char *out, size_t room, const char *text, size_t len)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    assert_non_null(c);
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)));
    size_t n = ZSTD_compress2(c, out, room, text, len);
    assert_false(ZSTD_isError(n));
    ZSTD_freeCCtx(c);
    return n;
}

static size_t (*const compressors[])(unsigned char *, size_t, const char *, size_t) = {gzip, zstd};

/* Writes a file and reads it to its end, `step` bytes at once. *text is to be freed. */
static enum st read_back(char **text, size_t *len, struct kit *kit, const void *bytes, size_t count,
                         size_t step, unsigned ratio)
{
    struct task_file f = {.label = (char *)(uintptr_t) "a.csv", .inflate_ratio = ratio};
    struct reader *r = NULL;
    struct task t = {0};
    struct buf out;
    char path[FS_PATH_MAX];
    size_t n = 1;
    kit_write_bytes(kit, "a.csv", bytes, count);
    kit_path(path, kit, "a.csv");
    kit_ok(task_add_file(&t, 0, path, NULL));
    f.path = path;
    f.stamp = t.sources[0].files[0].stamp;
    buf_init(&out, 256u << 20);
    enum st st = reader_open(&r, &f, NULL);
    while (!st && n) {
        char *room = buf_reserve(&out, step);
        assert_non_null(room);
        st = reader_read(&n, r, room, step);
        out.len += st ? 0 : n;
    }
    reader_close(r);
    task_release(&t);
    *len = out.len;
    *text = st ? NULL : buf_take(&out);
    buf_release(&out);
    return st;
}

static const char lines[] = "id,name\n1,Zoe\n2,Li\n3,Zoe\n4,Li\n";

static void what_is_compressed_is_read_as_what_is_in_it(void **state)
{
    static const size_t steps[] = {1, 7, 4096};
    struct kit *kit = *state;
    unsigned char packed[1000];
    for (size_t c = 0; c < 2; c++)
        for (size_t i = 0; i < 3; i++) {
            char *text;
            size_t len, n = compressors[c](packed, sizeof packed, lines, 14);
            /* Of several members, as after cat a.gz b.gz. */
            n += compressors[c](packed + n, sizeof packed - n, lines + 14, sizeof lines - 1 - 14);
            kit_ok(read_back(&text, &len, kit, packed, n, steps[i], 0));
            assert_int_equal(len, sizeof lines - 1);
            assert_memory_equal(text, lines, len);
            free(text);
        }
}

/* Of which pzstd puts one before each frame (RFC 8878 section 3.1.2). */
static void frames_that_are_to_be_skipped_are(void **state)
{
    static const char skipped[] = "\x5f\x2a\x4d\x18\3\0\0\0abc";
    struct kit *kit = *state;
    unsigned char packed[1000];
    for (size_t step = 1; step < 20; step++) {
        size_t n = 0, len;
        char *text;
        for (unsigned i = 0; i < 2; i++) {
            memcpy(packed + n, skipped, sizeof skipped - 1);
            packed[n] = (unsigned char)(0x50 + step % 16);
            n += sizeof skipped - 1;
            n += zstd(packed + n, sizeof packed - n, lines, sizeof lines - 1);
        }
        memcpy(packed + n, skipped, sizeof skipped - 1);
        n += sizeof skipped - 1;
        kit_ok(read_back(&text, &len, kit, packed, n, step, 0));
        assert_int_equal(len, 2 * (sizeof lines - 1));
        assert_memory_equal(text + sizeof lines - 1, lines, sizeof lines - 1);
        free(text);
        kit_fails(read_back(&text, &len, kit, packed, n - 1, step, 0), "COMPRESSION", "a.csv",
                  NULL);
    }
}

static void a_file_that_is_cut_anywhere_is_refused(void **state)
{
    struct kit *kit = *state;
    unsigned char packed[1000];
    for (size_t c = 0; c < 2; c++) {
        size_t len, n = compressors[c](packed, sizeof packed, lines, sizeof lines - 1);
        for (size_t cut = 4; cut < n; cut++) {
            char *text;
            kit_fails(read_back(&text, &len, kit, packed, cut, 4096, 0), "COMPRESSION", "a.csv",
                      "Zoe");
        }
    }
}

static void a_file_that_is_damaged_is_refused(void **state)
{
    struct kit *kit = *state;
    unsigned char packed[1000];
    for (size_t c = 0; c < 2; c++) {
        char *text;
        size_t len, n = compressors[c](packed, sizeof packed, lines, sizeof lines - 1);
        packed[n - 5 + c] ^= 1; /* in its checksum */
        kit_fails(read_back(&text, &len, kit, packed, n, 4096, 0), "COMPRESSION", "a.csv", "Zoe");
        packed[n - 5 + c] ^= 1;
        memcpy(packed + n, "rubbish behind it", 17);
        kit_fails(read_back(&text, &len, kit, packed, n + 17, 4096, 0), "COMPRESSION", "a.csv",
                  "Zoe");
    }
}

static void what_is_packed_otherwise_is_refused_by_name(void **state)
{
    static const struct {
        const char *bytes, *name;
    } files[] = {{"PK\003\004\024", " zip"}, {"\3757zXZ", " xz"}};
    struct kit *kit = *state;
    char *text;
    size_t len;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        kit_fails(read_back(&text, &len, kit, files[i].bytes, 5, 4096, 0), "COMPRESSION", "a.csv",
                  NULL);
        assert_non_null(strstr(st_message(), files[i].name));
    }
}

static void a_bomb_is_refused_while_it_is_read(void **state)
{
    struct kit *kit = *state;
    size_t room = 1u << 20, bytes = READER_INFLATE_FREE + (16u << 20);
    unsigned char *packed = malloc(room);
    char *zeros = calloc(1, bytes);
    assert_true(packed && zeros);
    for (size_t c = 0; c < 2; c++) {
        char *text;
        size_t len, n = compressors[c](packed, room, zeros, bytes);
        kit_fails(read_back(&text, &len, kit, packed, n, 1u << 16, 0), "INFLATE_RATIO", "a.csv",
                  NULL);
        assert_true(len < READER_INFLATE_FREE + (1u << 17));
        kit_ok(read_back(&text, &len, kit, packed, n, 1u << 16, 1000000));
        assert_int_equal(len, bytes);
        free(text);
        n = compressors[c](packed, room, zeros, READER_INFLATE_FREE);
        kit_ok(read_back(&text, &len, kit, packed, n, 1u << 16, 1));
        free(text);
    }
    free(packed);
    free(zeros);
}

/* Opening one waits for whoever writes to it. */
static void a_file_that_has_become_a_fifo_is_refused(void **state)
{
    struct kit *kit = *state;
    struct reader *reader = NULL;
    char path[FS_PATH_MAX];
    kit_add(kit, 0, "a.csv", lines);
    kit_path(path, kit, "a.csv");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    kit_fails(reader_open(&reader, &kit->task.sources[0].files[0], NULL), "SOURCE_FILE", "", NULL);
    assert_null(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(what_is_compressed_is_read_as_what_is_in_it),
        kit_test(frames_that_are_to_be_skipped_are),
        kit_test(a_file_that_is_cut_anywhere_is_refused),
        kit_test(a_file_that_is_damaged_is_refused),
        kit_test(what_is_packed_otherwise_is_refused_by_name),
        kit_test(a_bomb_is_refused_while_it_is_read),
        kit_test(a_file_that_has_become_a_fifo_is_refused),
    };
    return cmocka_run_group_tests_name("ingest_reader", tests, NULL, NULL);
}
