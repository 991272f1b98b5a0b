#include "ingest_kit.h"

#include "ingest/cells.h"
#include "ingest/sort.h"

static void add(struct sorter *s, unsigned n, const char *payload)
{
    unsigned char key[STORE_KEY_BYTES] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
                                          (unsigned char)(n >> 8), (unsigned char)n};
    kit_ok(sorter_add(s, key, payload, strlen(payload)));
}

/* All payloads in order, joined by spaces. */
static void drain(char *out, size_t size, struct sorter *s)
{
    const unsigned char *key, *before = NULL;
    const void *payload;
    size_t len, used = 0;
    enum st st;
    kit_ok(sorter_finish(s));
    out[0] = '\0';
    while (!(st = sorter_next(s, &key, &payload, &len))) {
        assert_true(!before || memcmp(before, key, STORE_KEY_BYTES) <= 0);
        before = key;
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
    char forward[256], backward[256];
    struct sorter *s;
    (void)state;
    kit_ok(sorter_new(&s, 64u << 20));
    for (size_t i = 0; i < COUNT; i++)
        add(s, records[i].key, records[i].payload);
    drain(forward, sizeof forward, s);
    sorter_free(s);
    kit_ok(sorter_new(&s, 64u << 20));
    for (size_t i = COUNT; i-- > 0;)
        add(s, records[i].key, records[i].payload);
    drain(backward, sizeof backward, s);
    sorter_free(s);
    assert_string_equal(forward, "first  a a aa b l m z ");
    assert_string_equal(backward, forward);
}

static void keys_that_differ_in_their_last_byte_are_in_order(void **state)
{
    unsigned char key[STORE_KEY_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const unsigned char *got;
    const void *payload;
    struct sorter *s;
    size_t len;
    (void)state;
    kit_ok(sorter_new(&s, 64u << 20));
    for (unsigned i = 256; i-- > 0;) {
        key[STORE_KEY_BYTES - 1] = (unsigned char)i;
        kit_ok(sorter_add(s, key, "x", 1));
    }
    kit_ok(sorter_finish(s));
    for (unsigned i = 0; i < 256; i++) {
        kit_ok(sorter_next(s, &got, &payload, &len));
        assert_int_equal(got[STORE_KEY_BYTES - 1], i);
    }
    assert_int_equal(sorter_next(s, &got, &payload, &len), ST_END);
    sorter_free(s);
}

static void nothing_sorts_to_nothing(void **state)
{
    char out[8];
    struct sorter *s;
    (void)state;
    kit_ok(sorter_new(&s, 0));
    drain(out, sizeof out, s);
    assert_string_equal(out, "");
    sorter_free(s);
    sorter_free(NULL);
}

static void the_cap_of_memory_holds(void **state)
{
    static char payload[100000];
    unsigned char key[STORE_KEY_BYTES] = {0};
    struct sorter *s;
    enum st st = ST_OK;
    unsigned added = 0;
    (void)state;
    kit_ok(sorter_new(&s, 20u << 20));
    while (!st && added < 1000) {
        key[0] = (unsigned char)added;
        st = sorter_add(s, key, payload, sizeof payload);
        added++;
    }
    kit_fails(st, "OUT_OF_MEMORY", "", NULL);
    assert_in_range(added, 100, 210);
    sorter_free(s);
}

static void many_records_come_back_all(void **state)
{
    enum { COUNT = 200000 };
    const unsigned char *key;
    const void *payload;
    struct sorter *s;
    uint64_t sum = 0, got = 0;
    size_t len;
    (void)state;
    kit_ok(sorter_new(&s, 256u << 20));
    for (uint32_t i = 0; i < COUNT; i++) {
        unsigned char k[STORE_KEY_BYTES] = {0};
        uint32_t mixed = i * 2654435761u;
        memcpy(k, &mixed, sizeof mixed);
        kit_ok(sorter_add(s, k, &i, sizeof i));
    }
    kit_ok(sorter_finish(s));
    unsigned char before[STORE_KEY_BYTES] = {0};
    while (sorter_next(s, &key, &payload, &len) == ST_OK) {
        uint32_t i;
        assert_true(memcmp(before, key, STORE_KEY_BYTES) <= 0);
        memcpy(before, key, STORE_KEY_BYTES);
        memcpy(&i, payload, sizeof i);
        sum += i;
        got++;
    }
    assert_int_equal(got, COUNT);
    assert_int_equal(sum, (uint64_t)COUNT * (COUNT - 1) / 2);
    sorter_free(s);
}

/* ---- cells ---- */

struct seen {
    char text[4096];
    size_t count;
};

static void see_all(struct cells *c, struct seen *seen)
{
    const void *tuple;
    size_t len;
    cells_finish(c);
    for (size_t i = 0; i < cells_count(c); i++, seen->count++) {
        const struct store_cell *cell = cells_at(c, i, &tuple, &len);
        size_t used = strlen(seen->text);
        assert_int_equal(cells_find(c, tuple, len), i);
        if (i < 20)
            snprintf(seen->text + used, sizeof seen->text - used, "%.*s:%llu/%lld ", (int)len,
                     (const char *)tuple, (unsigned long long)cell->records,
                     (long long)cell->terms[0].sum);
    }
    assert_int_equal(cells_find(c, "nothing", 7), cells_count(c));
}

static struct store_metric one_sum = {.terms = {{STORE_SUM, "x"}}};
static const struct store_rollup rollup = {
    .name = "r", .metrics = &one_sum, .metric_count = 1, .term_count = 1};

static void cells_add_up_and_come_out_in_order(void **state)
{
    static const char *const tuples[] = {"b", "a", "b", "ab", "", "b"};
    struct seen seen = {0};
    struct cells *c;
    (void)state;
    kit_ok(cells_new(&c, &rollup, 1u << 20));
    for (int64_t i = 0; i < 6; i++)
        kit_ok(cells_add(c, tuples[i], strlen(tuples[i]),
                         &(struct collect_inputs){.values = {i}, .nulls = {i == 5}}));
    assert_int_equal(cells_count(c), 4);
    see_all(c, &seen);
    assert_string_equal(seen.text, ":1/4 a:1/1 ab:1/3 b:3/2 ");
    cells_free(c);
}

static void a_table_that_grew_lost_no_cell(void **state)
{
    struct seen seen = {0};
    struct cells *c;
    char tuple[16];
    (void)state;
    kit_ok(cells_new(&c, &rollup, 64u << 20));
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5000; i++) {
            int len = snprintf(tuple, sizeof tuple, "%d", i);
            kit_ok(cells_add(c, tuple, (size_t)len, &(struct collect_inputs){.values = {i}}));
        }
    see_all(c, &seen);
    assert_int_equal(seen.count, 5000);
    assert_memory_equal(seen.text, "0:2/0 1:2/2 10:2/20 ", 20);
    cells_free(c);
}

static void too_many_cells_are_an_error_that_names_the_rollup(void **state)
{
    struct cells *c;
    char tuple[16];
    enum st st = ST_OK;
    (void)state;
    kit_ok(cells_new(&c, &rollup, 100000));
    for (int i = 0; !st && i < 100000; i++) {
        int len = snprintf(tuple, sizeof tuple, "%d", i);
        st = cells_add(c, tuple, (size_t)len, &(struct collect_inputs){.values = {i}});
    }
    kit_fails(st, "OUT_OF_MEMORY", "", NULL);
    assert_non_null(strstr(st_message(), "rollup r"));
    cells_free(c);
    cells_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_arrival_leaves_no_trace),
        cmocka_unit_test(keys_that_differ_in_their_last_byte_are_in_order),
        cmocka_unit_test(nothing_sorts_to_nothing),
        cmocka_unit_test(the_cap_of_memory_holds),
        cmocka_unit_test(many_records_come_back_all),
        cmocka_unit_test(cells_add_up_and_come_out_in_order),
        cmocka_unit_test(a_table_that_grew_lost_no_cell),
        cmocka_unit_test(too_many_cells_are_an_error_that_names_the_rollup),
    };
    return cmocka_run_group_tests_name("ingest_sort", tests, NULL, NULL);
}
