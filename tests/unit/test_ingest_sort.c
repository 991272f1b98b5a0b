/* Sorting, and cells, in little memory: what was put aside comes back in order. */
#include "ingest_kit.h"

#include "ingest/cells.h"
#include "ingest/sort.h"

#include <endian.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define ENOUGH (64u << 20)
#define LITTLE (2 * SORT_LANE_MIN)

static struct spill *open_spill(const struct kit *kit)
{
    struct spill *spill;
    kit_ok(spill_open(&spill, kit->dir));
    return spill;
}

static void assert_nothing_left(const struct kit *kit)
{
    struct fs_list list;
    kit_ok(fs_list_dir(&list, kit->dir));
    assert_int_equal(list.count, 0);
    fs_list_free(&list);
}

static void add(struct sort_lane *lane, unsigned n, const char *payload)
{
    unsigned char key[STORE_KEY_BYTES] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
                                          (unsigned char)(n >> 8), (unsigned char)n};
    kit_ok(sort_lane_add(lane, key, payload, strlen(payload)));
}

/* All payloads in order, joined by spaces. */
static void drain(char *out, size_t size, struct sorter *s)
{
    const unsigned char *key;
    unsigned char before[STORE_KEY_BYTES] = {0};
    const void *payload;
    size_t len, used = 0;
    enum st st;
    kit_ok(sorter_finish(s));
    out[0] = '\0';
    while (!(st = sorter_next(s, &key, &payload, &len))) {
        assert_true(memcmp(before, key, STORE_KEY_BYTES) <= 0);
        memcpy(before, key, STORE_KEY_BYTES);
        used += (size_t)snprintf(out + used, size - used, "%.*s ", (int)len, (const char *)payload);
    }
    assert_int_equal(st, ST_END);
}

static void the_order_of_arrival_leaves_no_trace(void **state)
{
    static const struct {
        unsigned key;
        const char *payload;
    } records[] = {{7, "b"},     {0xffffffff, "z"}, {7, "a"},     {0, "first"}, {7, "aa"},
                   {65536, "m"}, {7, "a"},          {65535, "l"}, {1, ""}};
    enum { COUNT = sizeof records / sizeof *records };
    char out[256];
    for (size_t lanes = 1; lanes <= 3; lanes++)
        for (int backward = 0; backward < 2; backward++) {
            struct spill *spill = open_spill(*state);
            struct sorter *s;
            kit_ok(sorter_new(&s, spill, STORE_KEY_BYTES, ENOUGH, lanes));
            assert_int_equal(sorter_lane_count(s), lanes);
            for (size_t i = 0; i < COUNT; i++) {
                size_t at = backward ? COUNT - 1 - i : i;
                add(sorter_lane(s, i % lanes), records[at].key, records[at].payload);
            }
            drain(out, sizeof out, s);
            assert_string_equal(out, "first  a a aa b l m z ");
            assert_int_equal(spill_peak_bytes(spill), 0);
            sorter_free(s);
            spill_close(spill);
        }
}

static void keys_that_differ_in_their_last_byte_are_in_order(void **state)
{
    unsigned char key[STORE_KEY_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct spill *spill = open_spill(*state);
    const unsigned char *got;
    const void *payload;
    struct sorter *s;
    size_t len;
    kit_ok(sorter_new(&s, spill, STORE_KEY_BYTES, ENOUGH, 1));
    for (unsigned i = 256; i-- > 0;) {
        key[STORE_KEY_BYTES - 1] = (unsigned char)i;
        kit_ok(sort_lane_add(sorter_lane(s, 0), key, "x", 1));
    }
    kit_ok(sorter_finish(s));
    for (unsigned i = 0; i < 256; i++) {
        kit_ok(sorter_next(s, &got, &payload, &len));
        assert_int_equal(got[STORE_KEY_BYTES - 1], i);
    }
    assert_int_equal(sorter_next(s, &got, &payload, &len), ST_END);
    sorter_free(s);
    spill_close(spill);
}

static void nothing_sorts_to_nothing(void **state)
{
    struct spill *spill = open_spill(*state);
    char out[8];
    struct sorter *s;
    kit_ok(sorter_new(&s, spill, STORE_KEY_BYTES, 0, 4));
    drain(out, sizeof out, s);
    assert_string_equal(out, "");
    sorter_free(s);
    sorter_free(NULL);
    spill_close(spill);
    spill_close(NULL);
}

static uint32_t mixed(uint32_t n)
{
    n = (n ^ n >> 16) * 0x45d9f3bu;
    n = (n ^ n >> 16) * 0x45d9f3bu;
    return n ^ n >> 16;
}

#define MANY 300000u

/* Record i of MANY: one in eight is there twice, some have keys in common, some are large. */
static size_t make_record(unsigned char key[STORE_KEY_BYTES], char *payload, uint32_t i)
{
    uint32_t n = mixed(i / 8 * 8 + (i % 8 ? i % 8 : 1)), group = n % 10 ? n : n % 1000;
    memset(key, 0, STORE_KEY_BYTES);
    for (unsigned b = 0; b < 4; b++)
        key[b] = (unsigned char)(mixed(group) >> 8 * b);
    size_t len = n % 1000 ? n % 60 : n % 200000;
    for (size_t b = 0; b < len; b++)
        payload[b] = (char)('a' + (n + b) % 23);
    return len;
}

/* The digest of what comes out when the records come in this way. */
static void sort_many(char hex[DIGEST_HEX_SIZE], struct kit *kit, uint64_t memory, size_t lanes,
                      uint32_t step, bool spills)
{
    static char payload[200000];
    unsigned char key[STORE_KEY_BYTES], sum[DIGEST_BYTES];
    struct spill *spill = open_spill(kit);
    struct digest_stream *digest;
    const unsigned char *got;
    const void *bytes;
    struct sorter *s;
    size_t len, count = 0;
    kit_ok(sorter_new(&s, spill, STORE_KEY_BYTES, memory, lanes));
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * step % MANY);
        len = make_record(key, payload, at);
        kit_ok(sort_lane_add(sorter_lane(s, i % sorter_lane_count(s)), key, payload, len));
    }
    kit_ok(sorter_finish(s));
    kit_ok(digest_stream_new(&digest));
    while (sorter_next(s, &got, &bytes, &len) == ST_OK) {
        kit_ok(digest_stream_add(digest, got, STORE_KEY_BYTES));
        kit_ok(digest_stream_add(digest, &len, sizeof len));
        kit_ok(digest_stream_add(digest, bytes, len));
        count++;
    }
    kit_ok(digest_stream_sum(sum, digest));
    digest_hex(hex, sum, sizeof sum);
    digest_stream_free(digest);
    assert_int_equal(count, MANY);
    assert_int_equal(spill_peak_bytes(spill) > 0, spills);
    sorter_free(s);
    spill_close(spill);
    assert_nothing_left(kit);
}

static void memory_lanes_and_order_leave_no_trace(void **state)
{
    char whole[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
    sort_many(whole, *state, 256u << 20, 1, 1, false);
    sort_many(other, *state, 256u << 20, 3, 7, false);
    assert_string_equal(other, whole);
    sort_many(other, *state, LITTLE, 1, 1, true);
    assert_string_equal(other, whole);
    sort_many(other, *state, LITTLE, 2, 100003, true);
    assert_string_equal(other, whole);
    sort_many(other, *state, 0, 8, 11, true); /* one lane of the least size */
    assert_string_equal(other, whole);
}

/* Two entities whose hashes begin alike, one that is alone; values that are negative, and some that
 * more records share than are sorted one by one. */
static void series_come_in_the_order_of_their_sort_values(void **state)
{
    static const int64_t edges[] = {INT64_MIN, INT64_MAX, -1, 0, 1};
    const uint32_t count = 100000;
    unsigned char key[STORE_RECORD_KEY_MAX], before[STORE_RECORD_KEY_MAX] = {0};
    struct spill *spill = open_spill(*state);
    const unsigned char *got;
    const void *payload;
    struct sorter *s;
    uint32_t last = 0, seen = 0;
    size_t len;
    kit_ok(sorter_new(&s, spill, STORE_RECORD_KEY_MAX, ENOUGH, 1));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = mixed(i), big_endian = htobe32(i);
        memset(key, n % 4 ? 7 : 8, STORE_KEY_BYTES);
        key[STORE_KEY_BYTES - 1] = n % 4 == 1;
        store_sort_encode(key + STORE_KEY_BYTES,
                          n % 100 < 5 ? edges[n % 5] : (int64_t)n - (1 << 30));
        kit_ok(sort_lane_add(sorter_lane(s, 0), key, &big_endian, sizeof big_endian));
    }
    kit_ok(sorter_finish(s));
    for (; sorter_next(s, &got, &payload, &len) == ST_OK; seen++) {
        int order = memcmp(before, got, STORE_RECORD_KEY_MAX);
        uint32_t number;
        memcpy(&number, payload, sizeof number);
        assert_true(order < 0 || (order == 0 && last < be32toh(number)));
        last = be32toh(number);
        memcpy(before, got, STORE_RECORD_KEY_MAX);
    }
    assert_int_equal(seen, count);
    sorter_free(s);
    spill_close(spill);
}

static void a_record_that_fits_no_lane_is_refused(void **state)
{
    static char payload[SORT_LANE_MIN];
    unsigned char key[STORE_KEY_BYTES] = {0};
    struct spill *spill = open_spill(*state);
    struct sorter *s;
    kit_ok(sorter_new(&s, spill, STORE_KEY_BYTES, 0, 1));
    kit_fails(sort_lane_add(sorter_lane(s, 0), key, payload, sizeof payload), "TOO_LARGE", "",
              NULL);
    sorter_free(s);
    spill_close(spill);
}

/* ---- what is put aside ---- */

static void write_run(struct spill_run *run, struct spill *spill, unsigned first, unsigned step,
                      unsigned count)
{
    struct spill_writer w;
    kit_ok(spill_writer_open(&w, spill, run));
    for (unsigned i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%08uSecret", first + i * step);
        struct record r = {(const unsigned char *)text, 8, (uint32_t)strlen(text)};
        kit_ok(record_write(&w, &r));
    }
    kit_ok(spill_writer_finish(&w));
    spill_writer_close(&w);
}

static void many_runs_become_few(void **state)
{
    struct spill *spill = open_spill(*state);
    struct run_list list = {0};
    struct spill_run *run;
    struct merge *m;
    struct record r;
    unsigned expected = 0;
    for (unsigned i = 0; i < 20; i++) {
        kit_ok(run_list_add(&run, &list));
        write_run(run, spill, i, 20, i == 7 ? 0 : 5000);
    }
    uint64_t before = spill_peak_bytes(spill);
    kit_ok(run_list_reduce(&list, spill, 3));
    assert_int_equal(list.count, 3);
    assert_in_range(spill_peak_bytes(spill), before, 2 * before);
    kit_ok(merge_new(&m));
    for (size_t i = 0; i < list.count; i++)
        kit_ok(merge_add_run(m, spill, &list.runs[i]));
    while (merge_next(&r, m) == ST_OK) {
        char text[32];
        expected += expected % 20 == 7;
        snprintf(text, sizeof text, "%08uSecret", expected++);
        assert_int_equal(r.len, strlen(text));
        assert_memory_equal(r.bytes, text, r.len);
    }
    assert_int_equal(expected, 100000);
    merge_free(m);
    run_list_release(&list, spill);
    spill_close(spill);
    assert_nothing_left(*state);
}

static void the_file_is_encrypted_and_damage_is_found(void **state)
{
    struct kit *kit = *state;
    struct spill *spill = open_spill(kit);
    struct spill_run run = {0};
    struct spill_reader reader;
    struct record r;
    struct stat sb;
    struct buf text;
    char path[FS_PATH_MAX];
    enum st st = ST_OK;
    write_run(&run, spill, 0, 1, 20000);
    kit_path(path, kit, "spill");
    buf_init(&text, 1u << 24);
    kit_ok(fs_read(&text, path));
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0600);
    assert_null(memmem(text.data, text.len, "Secret", 6));
    assert_null(memmem(text.data, text.len, "0000", 4));
    buf_release(&text);

    int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char byte;
    assert_int_equal(pread(fd, &byte, 1, 200000), 1);
    byte ^= 1; /* another one for certain */
    assert_int_equal(pwrite(fd, &byte, 1, 200000), 1);
    fs_close(&fd);
    kit_ok(spill_reader_open(&reader, spill, &run));
    while (!st)
        st = record_read(&r, &reader);
    kit_fails(st, "SPILL_DAMAGED", "", NULL);
    spill_reader_close(&reader);
    spill_run_release(&run, spill);
    spill_close(spill);
    assert_nothing_left(kit);
}

static void a_disk_that_takes_no_more_is_an_error_that_says_so(void **state)
{
    struct rlimit limit, low;
    struct spill *spill = open_spill(*state);
    unsigned char key[STORE_KEY_BYTES] = {0};
    char payload[1000] = {0};
    struct sorter *s;
    enum st st = ST_OK;
    kit_ok(sorter_new(&s, spill, STORE_KEY_BYTES, 0, 1));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    low = limit;
    low.rlim_cur = 4u << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    for (unsigned i = 0; !st && i < 20000; i++) {
        memcpy(key, &i, sizeof i);
        st = sort_lane_add(sorter_lane(s, 0), key, payload, sizeof payload);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    kit_fails(st, "IO", "", NULL);
    assert_non_null(strstr(st_message(), "temporary file"));
    assert_non_null(strstr(st_hint_text(), "--memory"));
    sorter_free(s);
    spill_close(spill);
    assert_nothing_left(*state);
}

/* ---- cells ---- */

struct seen {
    char text[4096];
    size_t count;
};

static void see_all(struct cells *c, struct seen *seen)
{
    struct store_cell *cell;
    const void *tuple;
    size_t len;
    enum st st;
    kit_ok(cells_finish(c));
    for (int round = 0; round < 2; round++) {
        *seen = (struct seen){0};
        kit_ok(cells_rewind(c));
        for (; !(st = cells_next(c, &tuple, &len, &cell)); seen->count++) {
            size_t used = strlen(seen->text);
            if (cells_in_memory(c))
                assert_int_equal(cells_find(c, tuple, len), seen->count);
            if (seen->count < 20)
                snprintf(seen->text + used, sizeof seen->text - used, "%.*s:%llu/%lld ", (int)len,
                         (const char *)tuple, (unsigned long long)cell->records,
                         (long long)cell->terms[0].sum);
        }
        assert_int_equal(st, ST_END);
    }
    assert_int_equal(seen->count, cells_count(c));
    if (cells_in_memory(c))
        assert_int_equal(cells_find(c, "nothing", 7), cells_count(c));
}

static struct store_metric one_sum = {.terms = {{STORE_SUM, "x"}}};
static const struct store_rollup rollup = {
    .name = "r", .metrics = &one_sum, .metric_count = 1, .term_count = 1};

static void cells_add_up_and_come_out_in_order(void **state)
{
    static const char *const tuples[] = {"b", "a", "b", "ab", "", "b"};
    struct spill *spill = open_spill(*state);
    struct seen seen;
    struct cells *c;
    kit_ok(cells_new(&c, &rollup, spill, 1u << 20));
    for (int64_t i = 0; i < 6; i++)
        kit_ok(cells_add(c, tuples[i], strlen(tuples[i]),
                         &(struct payload_inputs){.values = {i}, .nulls = {i == 5}}));
    see_all(c, &seen);
    assert_int_equal(seen.count, 4);
    assert_string_equal(seen.text, ":1/4 a:1/1 ab:1/3 b:3/2 ");
    cells_free(c);
    cells_free(NULL);
    spill_close(spill);
}

/* 5,000 cells of three records each, whatever memory there is; 0: every cell is put aside. */
static void cells_that_were_put_aside_are_the_same(void **state)
{
    static const uint64_t memories[] = {64u << 20, 300000, 100000, 0};
    for (size_t m = 0; m < sizeof memories / sizeof *memories; m++) {
        struct spill *spill = open_spill(*state);
        struct seen seen;
        struct cells *c;
        char tuple[16];
        kit_ok(cells_new(&c, &rollup, spill, memories[m]));
        for (unsigned i = 0; i < 15000; i++) {
            unsigned n = i * 7 % 5000;
            int len = snprintf(tuple, sizeof tuple, "%u", n);
            kit_ok(cells_add(c, tuple, (size_t)len, &(struct payload_inputs){.values = {n}}));
        }
        see_all(c, &seen);
        assert_int_equal(seen.count, 5000);
        assert_memory_equal(seen.text, "0:3/0 1:3/3 10:3/30 ", 20);
        assert_int_equal(cells_in_memory(c), m == 0);
        assert_int_equal(spill_peak_bytes(spill) > 0, m > 0);
        cells_free(c);
        spill_close(spill);
        assert_nothing_left(*state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(the_order_of_arrival_leaves_no_trace),
        kit_test(keys_that_differ_in_their_last_byte_are_in_order),
        kit_test(nothing_sorts_to_nothing),
        kit_test(memory_lanes_and_order_leave_no_trace),
        kit_test(series_come_in_the_order_of_their_sort_values),
        kit_test(a_record_that_fits_no_lane_is_refused),
        kit_test(many_runs_become_few),
        kit_test(the_file_is_encrypted_and_damage_is_found),
        kit_test(a_disk_that_takes_no_more_is_an_error_that_says_so),
        kit_test(cells_add_up_and_come_out_in_order),
        kit_test(cells_that_were_put_aside_are_the_same),
    };
    return cmocka_run_group_tests_name("ingest_sort", tests, NULL, NULL);
}
