/* Segments: written, read, warmed, refused, verified. One long file, because all of it stands on
 * the same few segments, which the tests above write for those below. */
#include "json_memory_kit.h"
#include "segment_kit.h"
#include "store_format_kit.h"

#include "base/fs.h"
#include "store/catalog_pages.h"
#include "store/seal.h"
#include "store/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/everline-segment-XXXXXX";
static struct store_definition *definition;
static struct store_segment_info info;
static struct buf row;

static const char *file(const char *name)
{
    static char path[FS_PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

/* The i-th key: ascending, with gaps. */
static void make_key(unsigned char key[STORE_KEY_BYTES], uint64_t i)
{
    memset(key, 0xA5, STORE_KEY_BYTES);
    for (int b = 0; b < 8; b++)
        key[b] = (unsigned char)((i * 3) >> (8 * (7 - b)));
}

static void make_row(uint64_t i, size_t text_len)
{
    static char text[STORE_ROW_MAX];
    struct store_value values[] = {KIT_INT(i % 2),
                                   {.as.text = {text, text_len}},
                                   KIT_INT((int64_t)(i % 20000)),
                                   KIT_INT((int64_t)i)};

    values[2].null = i % 5 == 0;
    memset(text, 'a' + (char)(i % 26), text_len);
    buf_reset(&row);
    assert_int_equal(store_row_encode(&row, definition->row, definition->row_count, values), ST_OK);
}

static enum st add(struct store_segment_writer *w, uint64_t i, size_t text_len)
{
    unsigned char key[STORE_KEY_BYTES];

    make_key(key, i);
    make_row(i, text_len);
    return store_segment_writer_add(w, key, row.data, row.len);
}

/* One cell of a rollup that stands for the records from `from` to before `to`. */
static enum st add_cell(struct store_segment_writer *w, size_t rollup, const char *state,
                        uint64_t from, uint64_t to)
{
    const struct store_rollup *r = &definition->rollups[rollup];
    struct store_value values[] = {{.null = !state}, KIT_TEXT("p"), KIT_INT(10957)};
    bool nulls[8] = {false};
    struct store_cell cell;

    if (state)
        values[0].as.text = (__typeof__(values[0].as.text)){state, strlen(state)};
    store_cell_init(&cell);
    for (uint64_t i = from; i < to; i++) { /* KIT_LIFELINE: eligible, visits */
        int64_t one = (int64_t)(i % 2), n = (int64_t)i, inputs[8] = {0, one, n, n, n, one, 0};
        assert_int_equal(store_cell_add(&cell, r, inputs, nulls, NULL), ST_OK);
    }
    buf_reset(&row);
    assert_int_equal(store_tuple_encode(&row, r, values), ST_OK);
    return store_segment_writer_cell(w, rollup, row.data, row.len, &cell);
}

static struct store_segment_writer *start(const char *name)
{
    struct store_segment_writer *w = NULL;

    if (store_segment_writer_open(&w, file(name), &info) != ST_OK)
        fail_msg("%s", st_message());
    return w;
}

static void finish(struct store_segment_writer *w)
{
    if (store_segment_writer_finish(w) != ST_OK)
        fail_msg("%s", st_message());
    store_segment_writer_free(w);
}

static void write_segment(const char *name, uint64_t records, size_t text_len)
{
    struct store_segment_writer *w = start(name);

    for (uint64_t i = 0; i < records; i++)
        assert_int_equal(add(w, i, text_len ? text_len : i % 40), ST_OK);
    assert_int_equal(add_cell(w, 0, NULL, 0, records / 2), ST_OK);
    assert_int_equal(add_cell(w, 0, "CA", records / 2, records), ST_OK);
    assert_int_equal(add_cell(w, 1, NULL, 0, records), ST_OK);
    finish(w);
}

static struct store_segment *open_segment(const char *name, unsigned slots)
{
    struct store_segment *s = NULL;

    if (store_segment_open(&s, file(name), "dev", "lifeline", slots) != ST_OK)
        fail_msg("%s", st_message());
    return s;
}

static void hash(char hex[DIGEST_HEX_SIZE], const char *name)
{
    unsigned char digest[DIGEST_BYTES];
    uint64_t size;
    int fd = open(file(name), O_RDONLY | O_CLOEXEC);

    assert_int_equal(digest_file(digest, &size, fd), ST_OK);
    assert_true(size > 0);
    digest_hex(hex, digest, sizeof digest);
    close(fd);
}

/* ---- writing ---- */

static void the_same_records_give_the_same_bytes(void **state)
{
    char first[DIGEST_HEX_SIZE], again[DIGEST_HEX_SIZE];

    (void)state;
    write_segment("a", 20000, 0);
    char *garbage[64];
    for (size_t i = 0; i < 64; i++) { /* another state of the heap */
        garbage[i] = malloc(4096 + 64 * i);
        memset(garbage[i], 0xEE, 4096 + 64 * i);
    }
    for (size_t i = 0; i < 64; i += 2)
        free(garbage[i]);
    write_segment("b", 20000, 0);
    for (size_t i = 1; i < 64; i += 2)
        free(garbage[i]);
    hash(first, "a");
    hash(again, "b");
    assert_string_equal(first, again);
    write_segment("c", 20001, 0);
    hash(again, "c");
    assert_string_not_equal(first, again);
}

/* Long rows, so that several commits are needed, and the freed pages of each are used again. */
static void the_same_records_give_the_same_bytes_over_many_commits(void **state)
{
    char first[DIGEST_HEX_SIZE], again[DIGEST_HEX_SIZE];

    (void)state;
    write_segment("long-a", 90000, 1200);
    write_segment("long-b", 90000, 1200);
    hash(first, "long-a");
    hash(again, "long-b");
    assert_string_equal(first, again);
    struct store_segment *s = open_segment("long-a", 1);
    assert_int_equal(store_segment_verify(s, 0, definition), ST_OK);
    store_segment_close(s);
    assert_int_equal(unlink(file("long-a")), 0);
    assert_int_equal(unlink(file("long-b")), 0);
}

static struct {
    bool always;               /* whatever the writer asks for */
    unsigned long asked, puts; /* how often the writer did */
} append;

int __real_mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags);
int __wrap_mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags);

int __wrap_mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags)
{
    append.puts++;
    append.asked += (flags & MDB_APPEND) != 0;
    return __real_mdb_cursor_put(cursor, key, data,
                                 append.always ? MDB_APPEND | MDB_RESERVE : flags);
}

/* Of all lengths around those at which a value leaves its leaf, and so many that pages above leaves
 * are split, too, in many commits. */
static void write_mixed_segment(const char *name)
{
    struct store_segment_writer *w = start(name);

    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t some = i * 0x9E3779B97F4A7C15ull >> 40; /* no period that a page could have, too */
        size_t len = some % 50 == 0 ? 1900 + some / 50 % 200 : some % 5 ? some / 5 % 83 : 900;
        assert_int_equal(add(w, i, len), ST_OK);
    }
    for (char state[3] = "AA"; state[0] <= 'Z'; state[0]++)
        for (state[1] = 'A'; state[1] <= 'Z'; state[1]++)
            assert_int_equal(add_cell(w, 0, state, 0, 3), ST_OK);
    assert_int_equal(add_cell(w, 1, NULL, 0, 9), ST_OK);
    finish(w);
}

static void pages_are_as_full_as_append_makes_them(void **state)
{
    char first[DIGEST_HEX_SIZE], again[DIGEST_HEX_SIZE];

    (void)state;
    memset(&append, 0, sizeof append);
    append.always = true;
    write_mixed_segment("append");
    hash(first, "append");
    memset(&append, 0, sizeof append);
    write_mixed_segment("put");
    hash(again, "put");
    assert_string_equal(first, again);
    assert_in_range(append.asked, 1, append.puts / 2); /* in small rows, two of a page */
    assert_int_equal(unlink(file("append")), 0);
    assert_int_equal(unlink(file("put")), 0);
}

static void what_names_a_segment_is_in_its_bytes(void **state)
{
    struct store_segment_info other = info;
    struct store_segment_writer *w;
    char first[DIGEST_HEX_SIZE], again[DIGEST_HEX_SIZE];

    (void)state;
    finish(start("n0"));
    hash(first, "n0");
    other.tenant = "acme";
    assert_int_equal(store_segment_writer_open(&w, file("n1"), &other), ST_OK);
    finish(w);
    hash(again, "n1");
    assert_string_not_equal(first, again);
    other = info;
    other.check_value[3] ^= 1;
    assert_int_equal(store_segment_writer_open(&w, file("n2"), &other), ST_OK);
    finish(w);
    hash(again, "n2");
    assert_string_not_equal(first, again);
}

static void keys_must_ascend(void **state)
{
    struct store_segment_writer *w = start("ascend");

    (void)state;
    assert_int_equal(add(w, 5, 3), ST_OK);
    assert_int_equal(add(w, 5, 4), ST_CONFLICT);
    assert_string_equal(st_code(), "DUPLICATE_KEY");
    assert_int_equal(add(w, 6, 3), ST_CONFLICT); /* sticky */
    assert_int_equal(store_segment_writer_finish(w), ST_CONFLICT);
    store_segment_writer_free(w);

    w = start("descend");
    assert_int_equal(add(w, 5, 3), ST_OK);
    assert_int_equal(add(w, 4, 3), ST_CONFLICT);
    store_segment_writer_free(w);

    w = start("between");
    for (uint64_t i = 0; i < 20; i += 2)
        assert_int_equal(add(w, i, 3), ST_OK);
    assert_int_equal(add(w, 9, 3), ST_CONFLICT);
    store_segment_writer_free(w);

    w = start("cells");
    assert_int_equal(add_cell(w, 0, "CA", 0, 1), ST_OK);
    assert_int_equal(add_cell(w, 0, "CA", 0, 1), ST_CONFLICT);
    store_segment_writer_free(w);
}

static void an_existing_file_is_never_written_to(void **state)
{
    struct store_segment_writer *w = (void *)1;
    struct stat sb;

    (void)state;
    assert_int_equal(fs_write_new(file("there"), "x", 1, 0600), ST_OK);
    assert_int_equal(store_segment_writer_open(&w, file("there"), &info), ST_CONFLICT);
    assert_null(w);
    assert_int_equal(stat(file("there"), &sb), 0);
    assert_int_equal(sb.st_size, 1);
    assert_int_equal(store_segment_writer_open(&w, file("no/such/directory"), &info), ST_NOT_FOUND);
    store_segment_writer_free(NULL);
}

static void a_file_that_cannot_grow_is_an_error_and_no_signal(void **state)
{
    struct rlimit before, small;
    struct store_segment_writer *w = start("limit");
    enum st st = ST_OK;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){1u << 16, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (uint64_t i = 0; i < 3000 && !st; i++)
        st = add(w, i, 200);
    if (!st)
        st = store_segment_writer_finish(w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(st, ST_IO);
    assert_int_equal(store_segment_writer_finish(w), ST_IO);
    store_segment_writer_free(w);
}

static void a_writer_can_be_left_at_any_point(void **state)
{
    struct store_segment_writer *w = start("left-0");

    (void)state;
    store_segment_writer_free(w);
    w = start("left-1");
    assert_int_equal(add(w, 1, 10), ST_OK);
    store_segment_writer_free(w);
}

/* ---- reading ---- */

#define RECORDS 5000

static void what_was_written_is_found_and_nothing_else(void **state)
{
    struct store_segment *s = open_segment("read", 2);
    unsigned char key[STORE_KEY_BYTES];
    const void *found;
    size_t len;
    uint64_t seed = 7;

    (void)state;
    assert_true(store_segment_records(s) == RECORDS);
    for (unsigned round = 0; round < 40000; round++) {
        uint64_t i = round < RECORDS ? round : (seed = seed * 6364136223846793005u + 1) >> 33;
        unsigned slot = round & 1;

        i %= RECORDS + RECORDS / 10;
        make_key(key, i);
        enum st st = store_segment_get(s, slot, key, &found, &len);
        assert_int_equal(st, i < RECORDS ? ST_OK : ST_NOT_FOUND);
        if (!st) {
            make_row(i, i % 40);
            assert_int_equal(len, row.len);
            assert_memory_equal(found, row.data, len);
        }
        key[15] ^= 1; /* just beside it */
        assert_int_equal(store_segment_get(s, slot, key, &found, &len), ST_NOT_FOUND);
        assert_null(found);
    }
    memset(key, 0, sizeof key);
    assert_int_equal(store_segment_get(s, 0, key, &found, &len), ST_NOT_FOUND);
    memset(key, 0xff, sizeof key);
    assert_int_equal(store_segment_get(s, 0, key, &found, &len), ST_NOT_FOUND);
    store_segment_close(s);
}

static void each_slot_keeps_its_row_until_its_next_get(void **state)
{
    struct store_segment *s = open_segment("read", 2);
    unsigned char key[STORE_KEY_BYTES];
    const void *first, *other;
    size_t len, other_len;

    (void)state;
    make_key(key, 39);
    assert_int_equal(store_segment_get(s, 0, key, &first, &len), ST_OK);
    for (uint64_t i = 0; i < RECORDS; i++) {
        make_key(key, i);
        assert_int_equal(store_segment_get(s, 1, key, &other, &other_len), ST_OK);
    }
    make_row(39, 39);
    assert_int_equal(len, row.len);
    assert_memory_equal(first, row.data, len);
    store_segment_close(s);
}

/* Of one leaf, of two levels, of three. */
static void a_lookup_asks_for_the_page_that_it_ends_in(void **state)
{
    static const struct {
        const char *name;
        uint64_t records;
        size_t text_len;
        unsigned depth;
    } ROWS[] = {{"flat", 20, 0, 1}, {"read", RECORDS, 0, 2}, {"deep", 1000, 1200, 3}};
    unsigned char key[STORE_KEY_BYTES];
    struct store_record r;
    MDB_cursor *cursor;

    (void)state;
    for (size_t row_i = 0; row_i < sizeof ROWS / sizeof ROWS[0]; row_i++) {
        if (access(file(ROWS[row_i].name), F_OK) != 0)
            write_segment(ROWS[row_i].name, ROWS[row_i].records, ROWS[row_i].text_len);
        struct store_segment *s = open_segment(ROWS[row_i].name, 1);
        assert_int_equal(s->depth, ROWS[row_i].depth);
        assert_int_equal(segment_cursor_open(&cursor, s, 0), ST_OK);
        for (uint64_t i = 0; i < ROWS[row_i].records; i++) {
            make_key(key, i);
            assert_int_equal(segment_cursor_seek(&r, cursor, s, key, false), ST_OK);
            const char *leaf = segment_leaf_of(s, key);
            assert_non_null(leaf);
            assert_in_range((const char *)r.row - leaf, 0, s->page_bytes - 1);
        }
        mdb_cursor_close(cursor);
        store_segment_close(s);
    }
}

/* What is behind the page may not be touched. */
static void a_damaged_branch_page_leads_to_no_address_behind_it(void **state)
{
    const size_t page_bytes = 4096, reach = 2 * 65536;
    char *page = mmap(NULL, page_bytes + reach, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct store_segment s = {
        .pages = page, .page_bytes = page_bytes, .bytes = page_bytes, .depth = 2};
    struct page_header header = {.flags = PAGE_BRANCH};
    unsigned char key[STORE_KEY_BYTES];

    (void)state;
    assert_ptr_not_equal(page, MAP_FAILED);
    assert_int_equal(mprotect(page, page_bytes, PROT_READ | PROT_WRITE), 0);
    memset(key, 0xFF, sizeof key);
    for (unsigned lower = 0; lower <= UINT16_MAX; lower++) {
        memset(page, 0xFF, page_bytes); /* offsets of 65535 */
        header.lower = (uint16_t)lower;
        memcpy(page, &header, sizeof header);
        assert_null(segment_leaf_of(&s, key));
    }
    for (unsigned offset = 0; offset <= UINT16_MAX; offset++) {
        for (size_t at = HEADER_BYTES; at < page_bytes; at += sizeof(uint16_t))
            memcpy(page + at, &(uint16_t){(uint16_t)offset}, sizeof(uint16_t));
        header.lower = (uint16_t)(HEADER_BYTES + 3 * sizeof(uint16_t));
        memcpy(page, &header, sizeof header);
        const char *leaf = segment_leaf_of(&s, key);
        assert_true(!leaf || leaf == page);
    }
    munmap(page, page_bytes + reach);
}

/* The root of the main tree, as the newer meta page has it. */
static uint64_t main_root(const char *path)
{
    uint64_t root = 0, newest = 0;
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    for (int i = 0; i < 2; i++) {
        uint64_t found[3]; /* root, last page, transaction */
        assert_int_equal(pread(fd, found, sizeof found, i * 4096 + 128), sizeof found);
        if (found[2] >= newest) {
            newest = found[2];
            root = found[0];
        }
    }
    close(fd);
    return root;
}

static void a_damaged_page_number_leads_to_no_address(void **state)
{
    unsigned char key[STORE_KEY_BYTES];
    struct store_record r;
    MDB_cursor *cursor;

    (void)state;
    write_segment("number", 1000, 0);
    for (size_t byte = 0; byte < 6; byte++) { /* an address has no more */
        const off_t at = (off_t)(main_root(file("number")) * 4096 + byte);
        unsigned char number;
        int fd = open(file("number"), O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &number, 1, at), 1);
        assert_int_equal(pwrite(fd, &(unsigned char){number ^ 0x40}, 1, at), 1);
        struct store_segment *s = open_segment("number", 1);
        assert_null(s->pages);
        make_key(key, 500);
        assert_int_equal(segment_cursor_open(&cursor, s, 0), ST_OK);
        assert_int_equal(segment_cursor_seek(&r, cursor, s, key, false), ST_OK);
        mdb_cursor_close(cursor);
        store_segment_close(s);
        assert_int_equal(pwrite(fd, &number, 1, at), 1);
        close(fd);
    }
    struct store_segment *s = open_segment("number", 1);
    assert_non_null(s->pages);
    store_segment_close(s);
}

struct visit {
    uint64_t seen, stop_at;
    enum st give;
    unsigned char last[STORE_TUPLE_MAX];
};

static enum st see_record(const unsigned char key[STORE_KEY_BYTES], const void *bytes, size_t len,
                          void *ctx)
{
    struct visit *v = ctx;

    assert_non_null(bytes);
    assert_true(len > 0);
    assert_true(v->seen == 0 || memcmp(v->last, key, STORE_KEY_BYTES) < 0);
    memcpy(v->last, key, STORE_KEY_BYTES);
    return ++v->seen == v->stop_at ? v->give : ST_OK;
}

static void all_records_come_in_order_until_the_caller_has_enough(void **state)
{
    struct store_segment *s = open_segment("read", 1);
    struct visit all = {0}, some = {.stop_at = 7, .give = ST_END}, failing = {.stop_at = 3};

    (void)state;
    assert_int_equal(store_segment_each_record(s, 0, see_record, &all), ST_OK);
    assert_true(all.seen == RECORDS);
    assert_int_equal(store_segment_each_record(s, 0, see_record, &some), ST_OK);
    assert_true(some.seen == 7);
    failing.give = ST_DENIED;
    assert_int_equal(store_segment_each_record(s, 0, see_record, &failing), ST_DENIED);
    assert_true(failing.seen == 3);
    store_segment_close(s);
}

struct cells {
    const struct store_rollup *rollup;
    uint64_t seen, records;
    char last_state[8];
};

static enum st see_cell(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                        void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct cells *c = ctx;
    struct store_cell cell;
    struct buf scratch;

    buf_init(&scratch, 1024);
    assert_int_equal(store_tuple_decode(values, &scratch, c->rollup, tuple, tuple_len), ST_OK);
    assert_int_equal(store_cell_decode(&cell, c->rollup, bytes, len), ST_OK);
    if (c->rollup->dimension_count)
        snprintf(c->last_state, sizeof c->last_state, "%.*s",
                 values[0].null ? 0 : (int)values[0].as.text.len,
                 values[0].null ? "" : values[0].as.text.bytes);
    c->seen++;
    c->records += cell.records;
    buf_release(&scratch);
    return ST_OK;
}

static void cells_come_from_where_they_are_asked_for(void **state)
{
    struct store_segment *s = open_segment("read", 1);
    struct cells c = {.rollup = &definition->rollups[0]};
    struct cells total = {.rollup = &definition->rollups[1]};

    (void)state;
    assert_int_equal(store_segment_each_cell(s, 0, &definition->sets[0], NULL, 0, see_cell, &c),
                     ST_OK);
    assert_true(c.seen == 2 && c.records == RECORDS);
    c = (struct cells){.rollup = &definition->rollups[0]};
    assert_int_equal(store_segment_each_cell(s, 0, &definition->sets[0], "\2CA", 3, see_cell, &c),
                     ST_OK);
    assert_true(c.seen == 1 && c.records == RECORDS - RECORDS / 2);
    assert_string_equal(c.last_state, "CA");
    c.seen = 0;
    assert_int_equal(store_segment_each_cell(s, 0, &definition->sets[0], "\2CB", 3, see_cell, &c),
                     ST_OK);
    assert_true(c.seen == 0);
    assert_int_equal(store_segment_each_cell(s, 0, &definition->sets[1], NULL, 0, see_cell, &total),
                     ST_OK);
    assert_true(total.seen == 1 && total.records == RECORDS);
    struct store_rollup other = definition->sets[0];
    other.name[0] = 'x';
    assert_int_equal(store_segment_each_cell(s, 0, &other, NULL, 0, see_cell, &c), ST_CORRUPT);
    store_segment_close(s);
}

static void an_empty_segment_is_one(void **state)
{
    struct visit v = {0};
    unsigned char key[STORE_KEY_BYTES] = {0};
    const void *found;
    uint64_t cold;
    size_t len;

    (void)state;
    finish(start("empty"));
    struct store_segment *s = open_segment("empty", 1);
    assert_true(store_segment_records(s) == 0);
    assert_int_equal(store_segment_get(s, 0, key, &found, &len), ST_NOT_FOUND);
    assert_int_equal(store_segment_each_record(s, 0, see_record, &v), ST_OK);
    assert_true(v.seen == 0);
    assert_int_equal(store_segment_verify(s, 0, definition), ST_OK);
    assert_int_equal(store_segment_warm(&cold, s, UINT64_MAX, NULL), ST_OK);
    store_segment_close(s);
    store_segment_close(NULL);
}

static void the_key_it_was_built_with_is_checked(void **state)
{
    struct store_segment *s = open_segment("read", 1);
    unsigned char check[STORE_KEY_BYTES];

    (void)state;
    memcpy(check, info.check_value, sizeof check);
    assert_string_equal(store_segment_key_id(s), "k1");
    assert_int_equal(store_segment_check(s, "k1", check), ST_OK);
    assert_int_equal(store_segment_check(s, "k2", check), ST_CORRUPT);
    assert_string_equal(st_code(), "KEY_MISMATCH");
    check[15] ^= 1;
    assert_int_equal(store_segment_check(s, "k1", check), ST_CORRUPT);
    assert_string_equal(st_code(), "KEY_MISMATCH");
    store_segment_close(s);
}

/* ---- what fails beneath (the linker puts __wrap_ functions in the place of these) ---- */

static int madvise_errno, dbi_open_rc; /* 0: it does not fail */
static const char *dbi_open_name;      /* fails for this one */

int __real_madvise(void *address, size_t len, int advice);
int __wrap_madvise(void *address, size_t len, int advice);
int __real_mdb_dbi_open(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *db);
int __wrap_mdb_dbi_open(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *db);

int __wrap_madvise(void *address, size_t len, int advice)
{
    if (!madvise_errno || advice != MADV_POPULATE_READ)
        return __real_madvise(address, len, advice);
    errno = madvise_errno;
    return -1;
}

int __wrap_mdb_dbi_open(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *db)
{
    if (dbi_open_rc && name && strncmp(name, dbi_open_name, strlen(dbi_open_name)) == 0)
        return dbi_open_rc;
    return __real_mdb_dbi_open(txn, name, flags, db);
}

static size_t resident_pages(const char *name)
{
    char line[FS_PATH_MAX + 128], *path;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    size_t kib = 0;
    bool inside = false;

    while (smaps && fgets(line, sizeof line, smaps)) {
        if ((path = strchr(line, '/')) && strchr(line, '-'))
            inside = strncmp(path, file(name), strlen(file(name))) == 0;
        if (inside && sscanf(line, "Rss: %zu kB", &kib) == 1)
            break;
    }
    if (smaps)
        fclose(smaps);
    return kib / 4;
}

/* The kernel takes pages back at any moment when memory is short: then it is tried again. */
#define TRIES 200

static bool warms_all(struct store_segment *s, struct pace *pace)
{
    uint64_t cold = 1;

    for (int i = 0; i < TRIES; i++) {
        assert_int_equal(store_segment_warm(&cold, s, UINT64_MAX, pace), ST_OK);
        assert_int_equal(cold, 0);
        if (resident_pages("large") == s->bytes / 4096)
            return true;
    }
    return false;
}

static void warming_maps_every_page(void **state)
{
    const _Atomic bool resting = true, stopping = false;
    struct store_segment *s;
    struct pace pace;

    (void)state;
    write_segment("large", 6 * RECORDS, 1000); /* several steps, and more than is read ahead */
    s = open_segment("large", 1);
    assert_true(warms_all(s, NULL));
    pace_begin(&pace, &resting, &stopping);
    store_segment_cool(s, &pace);
    assert_int_equal(resident_pages("large"), 0);
    assert_true(warms_all(s, &pace));
    store_segment_close(s);
}

static void a_page_that_cannot_be_read_makes_its_segment_unreadable(void **state)
{
    static const int errnos[] = {EFAULT, EHWPOISON};
    uint64_t cold;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct store_segment *s = open_segment("read", 1);
        madvise_errno = errnos[i];
        assert_int_equal(store_segment_warm(&cold, s, UINT64_MAX, NULL), ST_UNAVAILABLE);
        madvise_errno = 0;
        assert_true(store_segment_is_unreadable(s));
        store_segment_close(s);
    }
}

static void memory_that_is_short_leaves_a_segment_cold_and_no_worse(void **state)
{
    struct store_segment *s = open_segment("read", 1);
    unsigned char key[STORE_KEY_BYTES];
    const void *found;
    uint64_t cold = 0;
    size_t len;

    (void)state;
    make_key(key, 1);
    madvise_errno = ENOMEM;
    assert_int_equal(store_segment_warm(&cold, s, UINT64_MAX, NULL), ST_OK);
    assert_int_equal(cold, s->bytes);
    madvise_errno = 0;
    assert_int_equal(store_segment_get(s, 0, key, &found, &len), ST_OK);
    assert_false(store_segment_is_unreadable(s));
    store_segment_close(s);
}

/* A terabyte of nothing: who hashed it to its end would be here tomorrow. */
static void hashing_and_warming_end_at_once_when_the_process_stops(void **state)
{
    const _Atomic bool resting = false, stopping = true;
    struct store_segment_ref ref = {.bytes = 1ull << 40};
    struct store_segment *s;
    struct pace pace;
    uint64_t cold;
    int fd = open(file("endless"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1ll << 40), 0);
    close(fd);
    pace_begin(&pace, &resting, &stopping);
    assert_int_equal(store_segment_file_verify(NULL, file("endless"), &ref, &pace), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "STOPPING");
    assert_int_equal(unlink(file("endless")), 0);
    s = open_segment("large", 1);
    store_segment_cool(s, NULL);
    assert_int_equal(store_segment_warm(&cold, s, UINT64_MAX, &pace), ST_OK);
    assert_true(resident_pages("large") < 6 * RECORDS / 100);
    store_segment_close(s);
}

/* What is in the page cache needs no room. */
static void warming_brings_in_no_more_than_there_is_room_for(void **state)
{
    int fd = open(file("large"), O_RDONLY | O_CLOEXEC);
    struct store_segment *s;
    struct stat sb;
    uint64_t cold = 0;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &sb), 0);
    assert_int_equal(fdatasync(fd), 0); /* what is not written yet cannot be dropped */
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    s = open_segment("large", 1);
    assert_int_equal(store_segment_warm(&cold, s, 1 << 20, NULL), ST_OK);
    if (cold == 0) /* a file system that has its files in memory */
        skip();
    assert_true(cold < (uint64_t)sb.st_size);
    assert_true(resident_pages("large") < (size_t)sb.st_size / 4096);
    bool mapped = false;
    for (int i = 0; i < TRIES && !mapped; i++) {
        assert_true(warms_all(s, NULL));
        store_segment_cool(s, NULL);
        assert_int_equal(store_segment_warm(&cold, s, 0, NULL), ST_OK);
        mapped = cold == 0 && resident_pages("large") == s->bytes / 4096;
    }
    assert_true(mapped);
    store_segment_close(s);
    close(fd);
}

struct worker {
    struct store_segment *segment;
    unsigned slot;
    uint64_t found;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    unsigned char key[STORE_KEY_BYTES];
    const void *found;
    size_t len;

    for (uint64_t i = w->slot; i < RECORDS; i += 2) {
        make_key(key, i);
        w->found += store_segment_get(w->segment, w->slot, key, &found, &len) == ST_OK;
        struct cells c = {.rollup = &definition->rollups[0]};
        if (i % 500 < 2 && store_segment_each_cell(w->segment, w->slot, &definition->sets[0], NULL,
                                                   0, see_cell, &c))
            return NULL;
    }
    return NULL;
}

static void slots_read_at_the_same_time(void **state)
{
    struct store_segment *s = open_segment("read", 4);
    struct worker workers[4];
    pthread_t threads[4];
    uint64_t found = 0, cold;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){s, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    assert_int_equal(store_segment_warm(&cold, s, UINT64_MAX, NULL), ST_OK);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        found += workers[i].found;
    }
    assert_true(found == 2 * RECORDS - 2); /* slots 2 and 3 begin at the third and fourth record */
    store_segment_close(s);
}

/* ---- files that are not what they should be ---- */

static enum st open_status(const char *name, const char *tenant, const char *dataset)
{
    struct store_segment *s = NULL;
    enum st st = store_segment_open(&s, file(name), tenant, dataset, 1);

    assert_int_equal(st == ST_OK, s != NULL);
    store_segment_close(s);
    return st;
}

static void a_segment_of_another_dataset_is_refused(void **state)
{
    (void)state;
    assert_int_equal(open_status("read", "dev", "lifeline"), ST_OK);
    assert_int_equal(open_status("read", "dev", "flights"), ST_CORRUPT);
    assert_string_equal(st_code(), "SEGMENT_FOREIGN");
    assert_int_equal(open_status("read", "acme", "lifeline"), ST_CORRUPT);
    assert_string_equal(st_code(), "SEGMENT_FOREIGN");
    assert_int_equal(open_status("missing", "dev", "lifeline"), ST_NOT_FOUND);
    assert_int_equal(open_status("", "dev", "lifeline"), ST_CORRUPT); /* a directory */
}

static void without_memory_no_segment_is_called_damaged(void **state)
{
    static const char *const NAMES[] = {SEGMENT_META, SEGMENT_RECORDS, "rollup:"};

    (void)state;
    dbi_open_rc = ENOMEM;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        dbi_open_name = NAMES[i];
        assert_int_equal(open_status("read", "dev", "lifeline"), ST_NOMEM);
    }
    dbi_open_rc = MDB_NOTFOUND;
    assert_int_equal(open_status("read", "dev", "lifeline"), ST_CORRUPT);
    dbi_open_rc = 0;
}

/* A copy of "read" with `len` bytes at `offset` replaced, then cut or grown to `size` (-1: as it
 * is). */
static void damage(off_t offset, const void *bytes, size_t len, off_t size)
{
    struct buf whole;

    buf_init(&whole, 64u << 20);
    assert_int_equal(fs_read(&whole, file("read")), ST_OK);
    unlink(file("damaged"));
    memcpy(whole.data + offset, bytes, len);
    assert_int_equal(fs_write_new(file("damaged"), whole.data, whole.len, 0600), ST_OK);
    if (size >= 0)
        assert_int_equal(truncate(file("damaged"), size), 0);
    buf_release(&whole);
}

static void cut_and_stray_files_are_errors_and_no_signals(void **state)
{
    static const struct {
        off_t offset;
        unsigned char bytes[4];
        size_t len;
    } HEADERS[] = {
        {10, {0, 0}, 2},       /* no meta page */
        {16, {0}, 1},          /* magic */
        {20, {2}, 1},          /* version */
        {32, {1}, 1},          /* map size */
        {40, {0, 0, 0, 0}, 4}, /* page size 0 */
        {40, {3, 0, 0, 0}, 4}, /* page size 3 */
        {4096 + 16, {0}, 1},   /* the same in the second page */
        {4096 + 40, {0, 0x80, 0, 0}, 4},
        {4096, {7}, 1},
    };
    struct stat sb;
    char *garbage = calloc(1, 3 * 4096);

    (void)state;
    assert_int_equal(stat(file("read"), &sb), 0);
    const off_t sizes[] = {0,
                           1,
                           4096,
                           8192,
                           12288,
                           sb.st_size - 4096,
                           sb.st_size - 1,
                           sb.st_size + 1,
                           sb.st_size + 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        damage(0, "", 0, sizes[i]);
        assert_int_equal(open_status("damaged", "dev", "lifeline"), ST_CORRUPT);
        assert_string_equal(st_code(), "SEGMENT_DAMAGED");
    }
    for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++) {
        damage(HEADERS[i].offset, HEADERS[i].bytes, HEADERS[i].len, -1);
        assert_int_equal(open_status("damaged", "dev", "lifeline"), ST_CORRUPT);
    }
    for (unsigned byte = 0; byte < 256; byte += 51) {
        memset(garbage, (int)byte, 3 * 4096);
        unlink(file("damaged"));
        assert_int_equal(fs_write_new(file("damaged"), garbage, 3 * 4096, 0600), ST_OK);
        assert_int_equal(open_status("damaged", "dev", "lifeline"), ST_CORRUPT);
    }
    free(garbage);
}

/* A file as the writer makes it, but with what a test puts in: {database, key, value} triples. */
struct entry {
    const char *database, *key;
    size_t key_len;
    const char *value;
    size_t value_len;
};

static void forge(const struct entry *entries, size_t count)
{
    struct segment_edit edit;

    unlink(file("forged"));
    segment_edit_begin(&edit, file("forged"));
    for (size_t i = 0; i < count; i++)
        segment_edit_put(&edit, entries[i].database, entries[i].key, entries[i].key_len,
                         entries[i].value, entries[i].value_len);
    segment_edit_end(&edit);
}

#define KEY_A "aaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbb"
#define META(text)                                                                                 \
    {                                                                                              \
        "meta", "segment", 7, text, sizeof(text) - 1                                               \
    }
#define GOOD_META                                                                                  \
    "{\"format\":2,\"tenant\":\"dev\",\"dataset\":\"lifeline\",\"records\":1,"                     \
    "\"key\":{\"id\":\"k1\",\"check\":\"00\"},\"rollups\":{}}"

static void a_wrong_meta_is_refused(void **state)
{
    static const struct {
        struct entry entries[2];
        const char *code;
    } WRONG[] = {
        {{{"records", "", 0, "", 0}, {"records", "", 0, "", 0}}, "SEGMENT_DAMAGED"},
        {{{"meta", "other", 5, "{}", 2}, {"records", "", 0, "", 0}}, "SEGMENT_DAMAGED"},
        {{META(GOOD_META), META(GOOD_META)}, "SEGMENT_DAMAGED"}, /* no records */
        {{META("{}"), {"records", "", 0, "", 0}}, "SEGMENT_FORMAT"},
        {{META("{\"format\":3}"), {"records", "", 0, "", 0}}, "SEGMENT_FORMAT"},
        {{META("{\"format\":2}"), {"records", "", 0, "", 0}}, "SEGMENT_DAMAGED"},
        {{META("{\"format\":2,\"tenant\":\"dev\",\"dataset\":\"lifeline\",\"records\":1}"),
          {"records", "", 0, "", 0}},
         "SEGMENT_DAMAGED"},
        {{META("{\"format\":2,\"tenant\":\"dev\",\"dataset\":\"lifeline\","
               "\"key\":{\"id\":\"k1\",\"check\":\"00\"}}"),
          {"records", "", 0, "", 0}},
         "SEGMENT_DAMAGED"},
        {{META("{\"format\":2,\"tenant\":\"dev\",\"dataset\":\"lifeline\",\"records\":1,\"key\":"
               "{\"id\":\"k1\",\"check\":\"00\"},\"rollups\":{\"rollup:x:\":{}}}"),
          {"records", "", 0, "", 0}},
         "SEGMENT_DAMAGED"},
        {{META("{\"format\":2,"), {"records", "", 0, "", 0}}, "SEGMENT_DAMAGED"},
        {{{"meta", "segment", 7, "", 0}, {"records", "", 0, "", 0}}, "SEGMENT_DAMAGED"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        forge(WRONG[i].entries, 2);
        assert_int_equal(open_status("forged", "dev", "lifeline"), ST_CORRUPT);
        if (strcmp(st_code(), WRONG[i].code) != 0)
            fail_msg("%zu: %s: %s", i, st_code(), st_message());
    }
}

static enum st see_any(const unsigned char key[STORE_KEY_BYTES], const void *bytes, size_t len,
                       void *ctx)
{
    struct visit *v = ctx;

    (void)key;
    (void)len;
    v->seen += bytes == NULL;
    return ST_OK;
}

static void a_tombstone_is_an_answer_of_its_own(void **state)
{
    static const struct entry ENTRIES[] = {
        META(GOOD_META), {"records", KEY_A, 16, "\2", 1}, {"records", KEY_B, 16, "\1row", 4}};
    const void *found;
    size_t len;
    struct visit v = {0};

    (void)state;
    forge(ENTRIES, 3);
    struct store_segment *s = open_segment("forged", 1);
    assert_int_equal(store_segment_get(s, 0, (const unsigned char *)KEY_A, &found, &len),
                     ST_NOT_FOUND);
    assert_non_null(found);
    assert_int_equal(len, 0);
    assert_int_equal(
        store_segment_get(s, 0, (const unsigned char *)"cccccccccccccccc", &found, &len),
        ST_NOT_FOUND);
    assert_null(found);
    assert_int_equal(store_segment_get(s, 0, (const unsigned char *)KEY_B, &found, &len), ST_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(found, "row", 3);
    assert_int_equal(store_segment_each_record(s, 0, see_any, &v), ST_OK);
    assert_true(v.seen == 1);
    store_segment_close(s);
}

static void records_of_unknown_kind_are_damage(void **state)
{
    static const struct entry ENTRIES[] = {
        META(GOOD_META), {"records", KEY_A, 16, "\3row", 4}, {"records", KEY_B, 16, "", 0}};
    static const struct entry SHORT[] = {META(GOOD_META), {"records", "aaa", 3, "\1row", 4}};
    struct visit v = {0};
    const void *found;
    size_t len;

    (void)state;
    forge(ENTRIES, 3);
    struct store_segment *s = open_segment("forged", 1);
    assert_int_equal(store_segment_get(s, 0, (const unsigned char *)KEY_A, &found, &len),
                     ST_CORRUPT);
    assert_int_equal(store_segment_get(s, 0, (const unsigned char *)KEY_B, &found, &len),
                     ST_CORRUPT);
    assert_int_equal(store_segment_each_record(s, 0, see_any, &v), ST_CORRUPT);
    store_segment_close(s);
    forge(SHORT, 2);
    s = open_segment("forged", 1);
    assert_int_equal(store_segment_each_record(s, 0, see_any, &v), ST_CORRUPT);
    store_segment_close(s);
}

/* LMDB's own order wrote them. */
static void keys_are_found_wherever_they_differ(void **state)
{
    static const unsigned char BYTES[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    enum { KEYS = STORE_KEY_BYTES * sizeof BYTES };
    unsigned char keys[KEYS][STORE_KEY_BYTES];
    struct entry entries[KEYS + 1] = {META(GOOD_META)};
    struct visit v = {.stop_at = KEYS};
    const void *found;
    size_t len;

    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        memset(keys[i], 0x7e, STORE_KEY_BYTES);
        keys[i][i / sizeof BYTES] = BYTES[i % sizeof BYTES];
        entries[i + 1] =
            (struct entry){"records", (const char *)keys[i], STORE_KEY_BYTES, "\1row", 4};
    }
    forge(entries, KEYS + 1);
    struct store_segment *s = open_segment("forged", 1);
    for (size_t i = 0; i < KEYS; i++) {
        assert_int_equal(store_segment_get(s, 0, keys[i], &found, &len), ST_OK);
        keys[i][i / sizeof BYTES] ^= 0x20; /* another one, that is not there */
        assert_int_equal(store_segment_get(s, 0, keys[i], &found, &len), ST_NOT_FOUND);
    }
    assert_int_equal(store_segment_each_record(s, 0, see_record, &v), ST_OK);
    assert_int_equal(v.seen, KEYS);
    store_segment_close(s);
}

/* ---- deep verification ---- */

static void a_whole_segment_is_verified(void **state)
{
    struct store_segment *s = open_segment("read", 1);

    (void)state;
    if (store_segment_verify(s, 0, definition) != ST_OK)
        fail_msg("%s", st_message());
    store_segment_close(s);
}

/* Ten records, and a cell that says it is of other ones. */
static void expect_totals(const char *name, uint64_t from, uint64_t to, const char *words)
{
    struct store_segment_writer *w = start(name);

    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(add(w, i, 5), ST_OK);
    assert_int_equal(add_cell(w, 0, "CA", from, to), ST_OK);
    assert_int_equal(add_cell(w, 1, NULL, 0, 10), ST_OK);
    finish(w);
    struct store_segment *s = open_segment(name, 1);
    assert_int_equal(store_segment_verify(s, 0, definition), ST_CORRUPT);
    assert_non_null(strstr(st_message(), words));
    store_segment_close(s);
}

static void verification_says_what_is_wrong(void **state)
{
    unsigned char key[STORE_KEY_BYTES];

    (void)state;
    expect_totals("fewer", 0, 9, "as many records");
    expect_totals("others", 1, 11, "totals");
    /* a row that is none */
    struct store_segment_writer *w = start("norow");
    make_key(key, 1);
    assert_int_equal(store_segment_writer_add(w, key, "\xff\xff", 2), ST_OK);
    finish(w);
    struct store_segment *s = open_segment("norow", 1);
    assert_int_equal(store_segment_verify(s, 0, definition), ST_CORRUPT);
    assert_string_equal(st_code(), "ROW_DAMAGED");
    store_segment_close(s);
    /* text that nobody could serve */
    w = start("notext");
    make_row(1, 4);
    row.data[row.len - 9] = '\xff'; /* the last letter: a date and an integer follow it */
    make_key(key, 1);
    assert_int_equal(store_segment_writer_add(w, key, row.data, row.len), ST_OK);
    finish(w);
    s = open_segment("notext", 1);
    assert_int_equal(store_segment_verify(s, 0, definition), ST_CORRUPT);
    assert_non_null(strstr(st_message(), "UTF-8"));
    store_segment_close(s);
}

static void a_segment_of_another_definition_is_no_segment_of_this_one(void **state)
{
    struct store_segment *s = open_segment("read", 1);
    struct store_definition *other;
    json_t *json = kit_with(KIT_LIFELINE, "/record/visits", "\"DATE\"");

    (void)state;
    assert_int_equal(store_definition_parse(&other, json), ST_OK);
    assert_int_equal(store_segment_verify(s, 0, other), ST_CORRUPT);
    assert_non_null(strstr(st_message(), "definition"));
    store_definition_free(other);
    json_decref(json);
    json = kit_with(KIT_LIFELINE, "/rollups/by_state/metrics/least", "\"sum(visits)\"");
    assert_int_equal(store_definition_parse(&other, json), ST_OK);
    assert_int_equal(store_segment_verify(s, 0, other), ST_CORRUPT);
    store_definition_free(other);
    json_decref(json);
    store_segment_close(s);
}

static int set_up(void **state)
{
    (void)state;
    definition = kit_definition(KIT_LIFELINE);
    info = (struct store_segment_info){definition, "dev", "k1", {1, 2, 3}};
    buf_init(&row, 2 * STORE_ROW_MAX);
    if (!mkdtemp(directory))
        return 1;
    write_segment("read", RECORDS, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_definition_free(definition);
    buf_release(&row);
    return fs_remove_tree(directory);
}

/* Whichever allocation fails. */
static void without_memory_no_segment_says_less_of_itself(void **state)
{
    struct store_definition *d = kit_definition(
        "{\"name\":\"d\",\"sources\":{\"s\":{\"format\":\"csv\"}},\"prepare\":\"SELECT * FROM s\","
        "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\",\"sort\":\"n\"},\"record\":{\"n\":"
        "\"BIGINT\"},"
        "\"rollups\":{\"r\":{\"dimensions\":[\"n\"],\"metrics\":{\"m\":{\"ratio\":[\"sum(n)\","
        "\"count(*)\"]}}}}}");
    const struct store_segment_info about = {.definition = d, .tenant = "acme", .key_id = ""};
    const uint64_t cells[8] = {0};
    json_t *whole = segment_meta_new(&about, 1, cells);

    (void)state;
    assert_non_null(whole);
    for (long n = 0, failed = 1; failed; n++) {
        json_fail_after(n);
        json_t *meta = segment_meta_new(&about, 1, cells);
        failed = json_heal();
        assert_true(failed ? meta == NULL : json_equal(meta, whole));
        json_decref(meta);
    }
    json_decref(whole);
    store_definition_free(d);
}

/* With as many quantiles as a rollup may have, over so many powers of two. */
static enum st write_quantiles(const struct store_definition *d, int powers)
{
    const struct store_rollup *r = &d->rollups[0];
    struct store_segment_info wide = info;
    struct store_segment_writer *w = NULL;
    int64_t inputs[2 * STORE_METRICS_MAX];
    bool nulls[2 * STORE_METRICS_MAX] = {false};
    unsigned char kinds[2 * STORE_METRICS_MAX];
    struct store_cell cell;

    wide.definition = d;
    memset(kinds, STORE_INPUT_DOUBLE, sizeof kinds);
    store_cell_init(&cell);
    for (int i = 0; i < 128 * powers; i++) {
        double x = ldexp(1 + i % 128 / 128.0, i / 128 - powers / 2);
        for (size_t n = 0; n < r->term_count; n++)
            memcpy(&inputs[n], &x, sizeof x);
        assert_int_equal(store_cell_add(&cell, r, inputs, nulls, kinds), ST_OK);
    }
    assert_int_equal(store_segment_writer_open(&w, file("quantiles"), &wide), ST_OK);
    enum st st = store_segment_writer_cell(w, 0, "x", 1, &cell);
    store_segment_writer_free(w);
    store_cell_release(&cell, r);
    unlink(file("quantiles"));
    return st;
}

static void a_cell_is_as_large_as_its_quantiles_or_it_is_said_how_to_divide_them(void **state)
{
    struct store_definition *d;
    struct buf text;

    (void)state;
    buf_init(&text, 1u << 16);
    buf_addstr(&text, "{\"name\":\"lifeline\",\"sources\":{\"a\":{\"format\":\"csv\"}},"
                      "\"prepare\":\"SELECT * FROM a\",\"key\":{\"fields\":[\"id\"]},"
                      "\"record\":{},\"rollups\":{\"all\":{\"dimensions\":[],\"metrics\":{");
    for (unsigned i = 0; i < STORE_METRICS_MAX; i++)
        buf_addf(&text, "%s\"m%u\":{\"ratio\":[\"quantile(x, 0.5)\",\"quantile(x, 0.9)\"]}",
                 i ? "," : "", i);
    buf_addstr(&text, "}}}}");
    d = kit_definition(text.data);
    assert_int_equal(write_quantiles(d, 128), ST_OK); /* 2 MiB */
    assert_int_equal(write_quantiles(d, 600), ST_TOO_LARGE);
    assert_string_equal(st_code(), "CELL_TOO_LARGE");
    assert_string_equal(st_message(), "a cell of the rollup all is larger than 8387584 bytes");
    assert_non_null(strstr(st_hint_text(), "several rollups"));
    store_definition_free(d);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_records_give_the_same_bytes),
        cmocka_unit_test(the_same_records_give_the_same_bytes_over_many_commits),
        cmocka_unit_test(pages_are_as_full_as_append_makes_them),
        cmocka_unit_test(what_names_a_segment_is_in_its_bytes),
        cmocka_unit_test(keys_must_ascend),
        cmocka_unit_test(without_memory_no_segment_says_less_of_itself),
        cmocka_unit_test(an_existing_file_is_never_written_to),
        cmocka_unit_test(a_file_that_cannot_grow_is_an_error_and_no_signal),
        cmocka_unit_test(a_writer_can_be_left_at_any_point),
        cmocka_unit_test(what_was_written_is_found_and_nothing_else),
        cmocka_unit_test(a_lookup_asks_for_the_page_that_it_ends_in),
        cmocka_unit_test(a_damaged_branch_page_leads_to_no_address_behind_it),
        cmocka_unit_test(a_damaged_page_number_leads_to_no_address),
        cmocka_unit_test(each_slot_keeps_its_row_until_its_next_get),
        cmocka_unit_test(all_records_come_in_order_until_the_caller_has_enough),
        cmocka_unit_test(cells_come_from_where_they_are_asked_for),
        cmocka_unit_test(an_empty_segment_is_one),
        cmocka_unit_test(a_cell_is_as_large_as_its_quantiles_or_it_is_said_how_to_divide_them),
        cmocka_unit_test(the_key_it_was_built_with_is_checked),
        cmocka_unit_test(warming_maps_every_page),
        cmocka_unit_test(warming_brings_in_no_more_than_there_is_room_for),
        cmocka_unit_test(memory_that_is_short_leaves_a_segment_cold_and_no_worse),
        cmocka_unit_test(a_page_that_cannot_be_read_makes_its_segment_unreadable),
        cmocka_unit_test(hashing_and_warming_end_at_once_when_the_process_stops),
        cmocka_unit_test(slots_read_at_the_same_time),
        cmocka_unit_test(a_segment_of_another_dataset_is_refused),
        cmocka_unit_test(without_memory_no_segment_is_called_damaged),
        cmocka_unit_test(cut_and_stray_files_are_errors_and_no_signals),
        cmocka_unit_test(a_wrong_meta_is_refused),
        cmocka_unit_test(a_tombstone_is_an_answer_of_its_own),
        cmocka_unit_test(records_of_unknown_kind_are_damage),
        cmocka_unit_test(keys_are_found_wherever_they_differ),
        cmocka_unit_test(a_whole_segment_is_verified),
        cmocka_unit_test(verification_says_what_is_wrong),
        cmocka_unit_test(a_segment_of_another_definition_is_no_segment_of_this_one),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
