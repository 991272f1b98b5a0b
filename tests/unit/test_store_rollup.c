#include "store_format_kit.h"

#include "store/rollup.h"

/* Dimensions of every kind and a time. */
#define CUBE                                                                                       \
    "{\"name\":\"d\",\"sources\":{\"s\":{\"format\":\"csv\"}},\"prepare\":\"SELECT 1\","           \
    "\"key\":{\"fields\":[\"k\"]},\"record\":{\"n\":\"INTEGER\",\"y\":\"BOOLEAN\","                \
    "\"at\":\"TIMESTAMP\"},\"rollups\":{"                                                          \
    "\"cube\":{\"dimensions\":[\"a\",\"n\",\"b\"],\"time\":{\"field\":\"at\",\"bucket\":\"hour\"}" \
    ","                                                                                            \
    "\"metrics\":{\"rows\":\"count(*)\",\"filled\":\"count(x)\",\"total\":\"sum(x)\","             \
    "\"least\":\"min(x)\",\"most\":\"max(x)\",\"mean\":\"avg(x)\","                                \
    "\"rate\":{\"ratio\":[\"sum(x)\",\"count(*)\"]},\"odds\":{\"ratio\":[\"count(x)\",\"sum(y)\"]" \
    "}}},"                                                                                         \
    "\"one\":{\"dimensions\":[\"a\"],\"metrics\":{\"rows\":\"count(*)\"}},"                        \
    "\"all\":{\"dimensions\":[],\"metrics\":{\"rows\":\"count(*)\"}}}}"

enum { TERMS = 10, CUBE_VALUES = 4 };

static struct store_definition *definition;
static const struct store_rollup *cube, *one, *all;
static struct buf out, scratch;

static enum st encode(const struct store_rollup *r, const struct store_value *values)
{
    buf_reset(&out);
    return store_tuple_encode(&out, r, values);
}

static void tuples_are_laid_out_as_drawn(void **state)
{
    static const struct store_value VALUES[] = {
        {.as.text = {"x\0", 2}}, {.as.i = -1}, {.null = true}, {.as.i = 3600000000}};
    static const unsigned char EXPECTED[] = {2,    'x',  0,    0xff, 0,    0,    1, 0x7f, 0xff,
                                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1,    0x80,
                                             0,    0,    0,    0xd6, 0x93, 0xa4, 0};

    (void)state;
    assert_int_equal(encode(cube, VALUES), ST_OK);
    assert_int_equal(out.len, sizeof EXPECTED);
    assert_memory_equal(out.data, EXPECTED, sizeof EXPECTED);
    assert_int_equal(encode(all, NULL), ST_OK);
    assert_int_equal(out.len, 1);
    assert_int_equal(out.data[0], 0x7f);
    assert_int_equal(store_tuple_decode(NULL, &scratch, all, "\x7f", 1), ST_OK);
}

/* Null first, then in the order of the values: each list ascending. */
static const struct store_value TEXTS[] = {
    {.null = true},
    {.as.text = {"", 0}},
    {.as.text = {"\0", 1}},
    {.as.text = {"\0\0", 2}},
    {.as.text = {"\0\xff", 2}},
    {.as.text = {"\1", 1}},
    {.as.text = {"a", 1}},
    {.as.text = {"a\0", 2}},
    {.as.text = {"a\0b", 3}},
    {.as.text = {"a\1", 2}},
    {.as.text = {"ab", 2}},
    {.as.text = {"b", 1}},
    {.as.text = {"\xc3\xa9", 2}},
    {.as.text = {"\xff", 1}},
};
static const struct store_value NUMBERS[] = {
    {.null = true}, {.as.i = INT32_MIN}, {.as.i = -256}, {.as.i = -1},        {.as.i = 0},
    {.as.i = 1},    {.as.i = 255},       {.as.i = 256},  {.as.i = INT32_MAX},
};
#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static void bytes_have_the_order_of_the_values(void **state)
{
    struct store_value values[CUBE_VALUES] = {KIT_NULL, KIT_NULL, KIT_NULL, KIT_INT(0)};
    char last[STORE_TUPLE_MAX];
    size_t last_len = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(TEXTS); i++)
        for (size_t j = 0; j < COUNT(NUMBERS); j++)
            for (size_t k = 0; k < COUNT(TEXTS); k++) {
                values[0] = TEXTS[i];
                values[1] = NUMBERS[j];
                values[2] = TEXTS[k];
                assert_int_equal(encode(cube, values), ST_OK);
                if (last_len)
                    assert_true(compare(last, last_len, out.data, out.len) < 0);
                memcpy(last, out.data, last_len = out.len);
            }
}

static void tuples_come_back(void **state)
{
    struct store_value values[CUBE_VALUES], back[CUBE_VALUES];

    (void)state;
    for (size_t i = 0; i < COUNT(TEXTS); i++)
        for (size_t j = 0; j < COUNT(NUMBERS); j++)
            for (size_t k = 0; k < COUNT(TEXTS); k++) {
                values[0] = TEXTS[i];
                values[1] = NUMBERS[j];
                values[2] = TEXTS[k];
                values[3] = j % 2 ? KIT_NULL : KIT_INT(3600000000 * (int64_t)k);
                assert_int_equal(encode(cube, values), ST_OK);
                assert_int_equal(store_tuple_decode(back, &scratch, cube, out.data, out.len),
                                 ST_OK);
                for (size_t v = 0; v < CUBE_VALUES; v++) {
                    assert_int_equal(values[v].null, back[v].null);
                    if (values[v].null)
                        continue;
                    if (v == 1 || v == 3) {
                        assert_true(values[v].as.i == back[v].as.i);
                        continue;
                    }
                    assert_int_equal(values[v].as.text.len, back[v].as.text.len);
                    assert_memory_equal(values[v].as.text.bytes, back[v].as.text.bytes,
                                        values[v].as.text.len);
                }
            }
}

static void long_tuples_are_refused(void **state)
{
    char text[600];

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(encode(one, &(struct store_value){.as.text = {text, 508}}), ST_OK);
    assert_int_equal(out.len, STORE_TUPLE_MAX);
    assert_int_equal(encode(one, &(struct store_value){.as.text = {text, 509}}), ST_TOO_LARGE);
    assert_string_equal(st_code(), "DIMENSIONS_TOO_LONG");
    assert_non_null(strstr(st_message(), "one"));
    memset(text, 0, sizeof text);
    assert_int_equal(encode(one, &(struct store_value){.as.text = {text, 254}}), ST_OK);
    assert_int_equal(encode(one, &(struct store_value){.as.text = {text, 255}}), ST_TOO_LARGE);
}

static void a_value_that_its_type_cannot_have_is_refused(void **state)
{
    struct store_value values[CUBE_VALUES] = {KIT_NULL, KIT_INT(1ll << 31), KIT_NULL, KIT_NULL};

    (void)state;
    assert_int_equal(encode(cube, values), ST_INVALID);
    assert_string_equal(st_code(), "OUT_OF_RANGE");
    values[1] = KIT_NULL;
    values[3] = KIT_INT(INT64_MAX);
    assert_int_equal(encode(cube, values), ST_INVALID);
    assert_non_null(strstr(st_message(), "at"));
}

static enum st decode_copy(const struct store_rollup *r, const void *bytes, size_t len)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    char *copy = malloc(len ? len : 1);

    memcpy(copy, bytes, len);
    enum st st = store_tuple_decode(values, &scratch, r, copy, len);
    free(copy);
    return st;
}

static void damaged_tuples_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } DAMAGED[] = {
        {"", 0},        {"\2", 1},       {"\2a", 2},  {"\2a\0", 3},
        {"\2a\0\1", 4}, {"\2a\0\0x", 5}, {"\1", 1},   {"\1\x80\0\0\0\0\0\0\0", 9},
        {"\3", 1},      {"\x7f", 1},     {"\0\0", 2},
    };
    static const struct store_value VALUES[] = {
        {.as.text = {"ab", 2}}, {.as.i = 7}, {.null = true}, {.as.i = 0}};
    char good[64];

    (void)state;
    for (size_t i = 0; i < COUNT(DAMAGED); i++) {
        assert_int_equal(decode_copy(one, DAMAGED[i].bytes, DAMAGED[i].len), ST_CORRUPT);
        assert_string_equal(st_code(), "CELL_DAMAGED");
    }
    assert_int_equal(decode_copy(all, "", 0), ST_CORRUPT);
    assert_int_equal(decode_copy(all, "\x7f\x7f", 2), ST_CORRUPT);
    assert_int_equal(encode(cube, VALUES), ST_OK);
    size_t len = out.len;
    memcpy(good, out.data, len);
    good[len] = 0;
    for (size_t i = 0; i < len; i++)
        assert_int_equal(decode_copy(cube, good, i), ST_CORRUPT);
    assert_int_equal(decode_copy(cube, good, len + 1), ST_CORRUPT);
    good[6] ^= 0x40; /* an INTEGER beyond its range */
    assert_int_equal(decode_copy(cube, good, len), ST_CORRUPT);
}

static void buckets_begin_where_the_calendar_says(void **state)
{
    static const int64_t DAY = 86400000000;
    static const struct {
        enum store_bucket bucket;
        enum store_type type;
        int64_t value, start;
    } BUCKETS[] = {
        {STORE_BUCKET_DAY, STORE_DATE, 11016, 11016},
        {STORE_BUCKET_MONTH, STORE_DATE, 11016, 10988},   /* 2000-02-29 -> 2000-02-01 */
        {STORE_BUCKET_QUARTER, STORE_DATE, 11016, 10957}, /* -> 2000-01-01 */
        {STORE_BUCKET_QUARTER, STORE_DATE, 11322, 11231}, /* 2000-12-31 -> 2000-10-01 */
        {STORE_BUCKET_YEAR, STORE_DATE, 11322, 10957},
        {STORE_BUCKET_MONTH, STORE_DATE, -1, -31}, /* 1969-12-31 -> 1969-12-01 */
        {STORE_BUCKET_YEAR, STORE_DATE, -1, -365},
        {STORE_BUCKET_YEAR, STORE_DATE, -719162, -719162},
        {STORE_BUCKET_HOUR, STORE_TIMESTAMP, 3599999999, 0},
        {STORE_BUCKET_HOUR, STORE_TIMESTAMP, 3600000000, 3600000000},
        {STORE_BUCKET_HOUR, STORE_TIMESTAMP, -1, -3600000000},
        {STORE_BUCKET_DAY, STORE_TIMESTAMP, -1, -86400000000},
        {STORE_BUCKET_MONTH, STORE_TIMESTAMP, 11016 * 86400000000 + 5, 10988 * 86400000000},
        {STORE_BUCKET_YEAR, STORE_TIMESTAMP, -62135596800000000, -62135596800000000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(BUCKETS); i++)
        assert_true(store_bucket_start(BUCKETS[i].bucket, BUCKETS[i].type, BUCKETS[i].value) ==
                    BUCKETS[i].start);
    for (int64_t day = -800000; day < 800000; day += 17)
        for (enum store_bucket b = STORE_BUCKET_DAY; b <= STORE_BUCKET_YEAR; b++) {
            int64_t start = store_bucket_start(b, STORE_DATE, day);
            assert_true(start <= day && day - start < 366);
            assert_true(store_bucket_start(b, STORE_DATE, start) == start);
            assert_true(store_bucket_start(b, STORE_TIMESTAMP, day * DAY + 7) == start * DAY);
        }
    /* What no date reaches must not hurt either. */
    (void)store_bucket_start(STORE_BUCKET_HOUR, STORE_TIMESTAMP, INT64_MIN);
    (void)store_bucket_start(STORE_BUCKET_DAY, STORE_TIMESTAMP, INT64_MIN + 1);
    (void)store_bucket_start(STORE_BUCKET_YEAR, STORE_TIMESTAMP, INT64_MAX);
}

/* x, null or not, and y as inputs of the cube's terms: rows filled total least most mean rate(2)
 * odds(2). */
static void add(struct store_cell *cell, int64_t x, bool x_null, int64_t y)
{
    const int64_t inputs[TERMS] = {9, x, x, x, x, x, x, 9, x, y};
    bool nulls[TERMS] = {true, x_null, x_null, x_null, x_null, x_null, x_null, true, x_null, false};

    assert_int_equal(store_cell_add(cell, cube, inputs, nulls, NULL), ST_OK);
}

static const char *metric(const struct store_cell *cell, const char *name)
{
    buf_reset(&out);
    for (size_t i = 0; i < cube->metric_count; i++)
        if (strcmp(cube->metrics[i].name, name) == 0)
            store_metric_json(&out, cube, cell, i);
    assert_int_equal(buf_status(&out), ST_OK);
    return out.data ? out.data : "";
}

static void metrics_of_rows_are_exact(void **state)
{
    struct store_cell cell;

    (void)state;
    assert_int_equal(cube->term_count, TERMS);
    store_cell_init(&cell);
    add(&cell, 3, false, 1);
    add(&cell, -7, false, 0);
    add(&cell, 100, true, 1);
    add(&cell, 5, false, 1);
    assert_string_equal(metric(&cell, "rows"), "4");
    assert_string_equal(metric(&cell, "filled"), "3");
    assert_string_equal(metric(&cell, "total"), "1");
    assert_string_equal(metric(&cell, "least"), "-7");
    assert_string_equal(metric(&cell, "most"), "5");
    assert_string_equal(metric(&cell, "mean"), "0.333333333333333"
                                               "3");
    assert_string_equal(metric(&cell, "rate"), "0.25");
    assert_string_equal(metric(&cell, "odds"), "1");
}

static void metrics_of_nothing_are_null(void **state)
{
    struct store_cell cell;

    (void)state;
    store_cell_init(&cell);
    add(&cell, 8, true, 0);
    assert_string_equal(metric(&cell, "rows"), "1");
    assert_string_equal(metric(&cell, "filled"), "0");
    assert_string_equal(metric(&cell, "least"), "null");
    assert_string_equal(metric(&cell, "most"), "null");
    assert_string_equal(metric(&cell, "mean"), "null");
    assert_string_equal(metric(&cell, "rate"), "null");
    assert_string_equal(metric(&cell, "odds"), "null"); /* over zero */
}

static void sums_go_beyond_sixty_four_bits(void **state)
{
    struct store_cell cell;

    (void)state;
    store_cell_init(&cell);
    for (int i = 0; i < 4; i++)
        add(&cell, INT64_MAX, false, 1);
    assert_string_equal(metric(&cell, "total"), "36893488147419103228");
    store_cell_init(&cell);
    for (int i = 0; i < 4; i++)
        add(&cell, INT64_MIN, false, 1);
    assert_string_equal(metric(&cell, "total"), "-36893488147419103232");
    assert_string_equal(metric(&cell, "least"), "-9223372036854775808");
    assert_string_equal(metric(&cell, "mean"), "-9.223372036854776e+18");
}

static void merging_in_any_order_is_adding_them_all(void **state)
{
    struct store_cell whole, parts[3], merged, backwards, empty;
    struct buf a, b;

    (void)state;
    buf_init(&a, 4096);
    buf_init(&b, 4096);
    store_cell_init(&whole);
    store_cell_init(&merged);
    store_cell_init(&backwards);
    store_cell_init(&empty);
    for (int p = 0; p < 3; p++) {
        store_cell_init(&parts[p]);
        for (int i = 0; i < 50; i++) {
            int64_t x = (i * 7919 + p * 104729) % 1000 - 500;
            add(&parts[p], x * (1LL << 52), p == 1 || i % 3 == 0, i % 2);
            add(&whole, x * (1LL << 52), p == 1 || i % 3 == 0, i % 2);
        }
    }
    for (int p = 0; p < 3; p++) {
        assert_int_equal(store_cell_merge(&merged, cube, &parts[p]), ST_OK);
        assert_int_equal(store_cell_merge(&merged, cube, &empty), ST_OK);
        assert_int_equal(store_cell_merge(&backwards, cube, &parts[2 - p]), ST_OK);
    }
    store_cell_encode(&a, cube, &whole);
    store_cell_encode(&b, cube, &merged);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    buf_reset(&b);
    store_cell_encode(&b, cube, &backwards);
    assert_memory_equal(a.data, b.data, a.len);
    buf_release(&a);
    buf_release(&b);
}

static void merging_with_nothing_changes_nothing(void **state)
{
    static const int64_t VALUES[] = {5, -5};
    struct store_cell cell, nothing;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char text[8];

        snprintf(text, sizeof text, "%d", (int)VALUES[i]);
        store_cell_init(&cell);
        store_cell_init(&nothing);
        add(&cell, VALUES[i], false, 1);
        add(&nothing, 0, true, 1); /* a record, but no value */
        assert_int_equal(store_cell_merge(&cell, cube, &nothing), ST_OK);
        assert_string_equal(metric(&cell, "rows"), "2");
        assert_string_equal(metric(&cell, "least"), text);
        assert_string_equal(metric(&cell, "most"), text);
        store_cell_init(&cell);
        add(&cell, VALUES[i], false, 1);
        assert_int_equal(store_cell_merge(&nothing, cube, &cell), ST_OK);
        assert_string_equal(metric(&nothing, "least"), text);
        assert_string_equal(metric(&nothing, "most"), text);
    }
}

static void cells_come_back(void **state)
{
    struct store_cell cell, back;
    char bytes[1024];

    (void)state;
    store_cell_init(&cell);
    add(&cell, INT64_MIN, false, 1);
    add(&cell, -3, false, 0);
    buf_reset(&out);
    store_cell_encode(&out, cube, &cell);
    size_t len = out.len;
    assert_int_equal(len, 8 + TERMS * 8 + 3 * 16 + 2 * 8 + 16); /* three sums, avg; min, max */
    memcpy(bytes, out.data, len);
    assert_int_equal(store_cell_decode(&back, cube, bytes, len), ST_OK);
    assert_true(back.records == 2);
    assert_string_equal(metric(&back, "total"), metric(&cell, "total"));
    assert_string_equal(metric(&back, "least"), "-9223372036854775808");
    assert_string_equal(metric(&back, "most"), "-3");
    for (size_t i = 0; i < len; i++) {
        char *copy = malloc(i ? i : 1);
        memcpy(copy, bytes, i);
        assert_int_equal(store_cell_decode(&back, cube, copy, i), ST_CORRUPT);
        free(copy);
    }
    bytes[len] = 0;
    assert_int_equal(store_cell_decode(&back, cube, bytes, len + 1), ST_CORRUPT);
    bytes[0] = 1; /* fewer records than its terms have seen */
    assert_int_equal(store_cell_decode(&back, cube, bytes, len), ST_CORRUPT);
    assert_string_equal(st_code(), "CELL_DAMAGED");
}

static int set_up(void **state)
{
    (void)state;
    definition = kit_definition(CUBE);
    cube = store_definition_rollup(definition, "cube");
    one = store_definition_rollup(definition, "one");
    all = store_definition_rollup(definition, "all");
    buf_init(&out, 1u << 16);
    buf_init(&scratch, 2 * STORE_TUPLE_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_definition_free(definition);
    buf_release(&out);
    buf_release(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tuples_are_laid_out_as_drawn),
        cmocka_unit_test(bytes_have_the_order_of_the_values),
        cmocka_unit_test(tuples_come_back),
        cmocka_unit_test(long_tuples_are_refused),
        cmocka_unit_test(a_value_that_its_type_cannot_have_is_refused),
        cmocka_unit_test(damaged_tuples_are_refused),
        cmocka_unit_test(buckets_begin_where_the_calendar_says),
        cmocka_unit_test(metrics_of_rows_are_exact),
        cmocka_unit_test(metrics_of_nothing_are_null),
        cmocka_unit_test(sums_go_beyond_sixty_four_bits),
        cmocka_unit_test(merging_in_any_order_is_adding_them_all),
        cmocka_unit_test(merging_with_nothing_changes_nothing),
        cmocka_unit_test(cells_come_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
