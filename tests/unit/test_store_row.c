#include "store_format_kit.h"

#include "store/row.h"

#include <float.h>
#include <locale.h>
#include <math.h>

static struct buf out;

static const struct store_field ALL[] = {
    {"b", STORE_BOOLEAN}, {"t", STORE_TINYINT}, {"s", STORE_SMALLINT},
    {"i", STORE_INTEGER}, {"l", STORE_BIGINT},  {"d", STORE_DOUBLE},
    {"v", STORE_VARCHAR}, {"y", STORE_DATE},    {"w", STORE_TIMESTAMP},
};
#define ALL_COUNT (sizeof ALL / sizeof ALL[0])

static const struct store_value SAMPLE[ALL_COUNT] = {
    {.as.i = 1},       {.as.i = -5}, {.as.i = -300},           {.as.i = 70000},
    {.as.i = -1},      {.as.d = .5}, {.as.text = {"h\0i", 3}}, {.as.i = 11016},
    {.as.i = 1000001},
};

static enum st encode(const struct store_field *fields, size_t count,
                      const struct store_value *values)
{
    buf_reset(&out);
    return store_row_encode(&out, fields, count, values);
}

static enum st encode_one(enum store_type type, struct store_value value)
{
    return encode(&(struct store_field){"f", type}, 1, &value);
}

static const char *json_of(enum store_type type, struct store_value value)
{
    buf_reset(&out);
    store_value_json(&out, type, &value);
    assert_int_equal(buf_status(&out), ST_OK);
    return out.data;
}

static void assert_same(const struct store_field *fields, size_t count, const struct store_value *a,
                        const struct store_value *b)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(a[i].null, b[i].null);
        if (a[i].null)
            continue;
        if (fields[i].type == STORE_VARCHAR) {
            assert_int_equal(a[i].as.text.len, b[i].as.text.len);
            assert_memory_equal(a[i].as.text.bytes, b[i].as.text.bytes, a[i].as.text.len);
        } else if (fields[i].type == STORE_DOUBLE) {
            assert_true(a[i].as.d == b[i].as.d);
        } else {
            assert_true(a[i].as.i == b[i].as.i);
        }
    }
}

static void the_layout_is_the_one_that_is_drawn(void **state)
{
    static const unsigned char EXPECTED[] = {
        0x00, 0x00, 1,    0xfb, 0xd4, 0xfe, 0x70, 0x11, 0x01, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0,    0,    0,    0,    0,    0,    0xe0, 0x3f, 3,    0,    0,    0,
        'h',  0,    'i',  0x08, 0x2b, 0,    0,    0x41, 0x42, 0x0f, 0,    0,    0,    0,    0,
    };
    struct store_value values[ALL_COUNT];

    (void)state;
    assert_int_equal(encode(ALL, ALL_COUNT, SAMPLE), ST_OK);
    assert_int_equal(out.len, sizeof EXPECTED);
    assert_memory_equal(out.data, EXPECTED, sizeof EXPECTED);
    assert_int_equal(store_row_decode(values, ALL, ALL_COUNT, out.data, out.len), ST_OK);
    assert_same(ALL, ALL_COUNT, SAMPLE, values);
}

static void every_pattern_of_nulls_comes_back(void **state)
{
    struct store_value values[ALL_COUNT], back[ALL_COUNT];

    (void)state;
    for (unsigned pattern = 0; pattern < 1u << ALL_COUNT; pattern++) {
        memcpy(values, SAMPLE, sizeof values);
        for (size_t i = 0; i < ALL_COUNT; i++)
            values[i].null = pattern >> i & 1;
        assert_int_equal(encode(ALL, ALL_COUNT, values), ST_OK);
        assert_int_equal(store_row_decode(back, ALL, ALL_COUNT, out.data, out.len), ST_OK);
        assert_same(ALL, ALL_COUNT, values, back);
    }
}

static void the_ends_of_every_type_are_taken_and_what_is_beyond_is_refused(void **state)
{
    static const struct {
        enum store_type type;
        int64_t min, max;
    } ENDS[] = {
        {STORE_BOOLEAN, 0, 1},
        {STORE_TINYINT, -128, 127},
        {STORE_SMALLINT, -32768, 32767},
        {STORE_INTEGER, INT32_MIN, INT32_MAX},
        {STORE_DATE, -719162, 2932896},
        {STORE_TIMESTAMP, -62135596800000000, 253402300799999999},
        {STORE_BIGINT, INT64_MIN, INT64_MAX},
    };
    struct store_value back;

    (void)state;
    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
        struct store_field field = {"f", ENDS[i].type};
        const int64_t good[] = {ENDS[i].min, ENDS[i].max};

        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(encode_one(ENDS[i].type, KIT_INT(good[j])), ST_OK);
            assert_int_equal(store_row_decode(&back, &field, 1, out.data, out.len), ST_OK);
            assert_true(back.as.i == good[j]);
        }
        if (ENDS[i].type == STORE_BIGINT)
            continue;
        const int64_t bad[] = {ENDS[i].min - 1, ENDS[i].max + 1, INT64_MIN, INT64_MAX};
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(encode_one(ENDS[i].type, KIT_INT(bad[j])), ST_INVALID);
            assert_string_equal(st_code(), "OUT_OF_RANGE");
        }
    }
}

static void what_json_cannot_say_is_refused(void **state)
{
    (void)state;
    assert_int_equal(encode_one(STORE_DOUBLE, (struct store_value){.as.d = NAN}), ST_INVALID);
    assert_string_equal(st_code(), "NOT_FINITE");
    assert_int_equal(encode_one(STORE_DOUBLE, (struct store_value){.as.d = -INFINITY}), ST_INVALID);
    assert_int_equal(encode_one(STORE_VARCHAR, KIT_TEXT("Zebedee\xc3")), ST_INVALID);
    assert_string_equal(st_code(), "INVALID_TEXT");
    assert_null(strstr(st_message(), "Zebedee"));
    assert_int_equal(encode_one(STORE_VARCHAR, KIT_TEXT("\xed\xa0\x80")), ST_INVALID);
    assert_int_equal(encode_one(STORE_VARCHAR, KIT_TEXT("12345678\xc0\x80")), ST_INVALID);
}

static void equal_doubles_have_equal_bytes(void **state)
{
    char zero[16];

    (void)state;
    assert_int_equal(encode_one(STORE_DOUBLE, (struct store_value){.as.d = 0.0}), ST_OK);
    size_t len = out.len;
    memcpy(zero, out.data, len);
    assert_int_equal(encode_one(STORE_DOUBLE, (struct store_value){.as.d = -0.0}), ST_OK);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, zero, len);
}

static void rows_over_a_mebibyte_are_refused(void **state)
{
    static const struct store_field TWO[] = {{"a", STORE_VARCHAR}, {"b", STORE_VARCHAR}};
    char *text = malloc(STORE_ROW_MAX + 1);
    struct store_value values[2];

    (void)state;
    assert_non_null(text);
    memset(text, 'x', STORE_ROW_MAX + 1);
    values[0].null = values[1].null = false;
    values[0].as.text.bytes = values[1].as.text.bytes = text;
    values[1].as.text.len = 3;
    values[0].as.text.len = STORE_ROW_MAX - 12;
    assert_int_equal(encode(TWO, 2, values), ST_OK);
    assert_int_equal(out.len, STORE_ROW_MAX);
    values[0].as.text.len++;
    assert_int_equal(encode(TWO, 2, values), ST_TOO_LARGE);
    assert_string_equal(st_code(), "ROW_TOO_LARGE");
    values[0].as.text.len = STORE_ROW_MAX + 1;
    assert_int_equal(encode(TWO, 2, values), ST_TOO_LARGE);
    free(text);
}

static enum st decode_copy(const void *row, size_t len)
{
    struct store_value values[ALL_COUNT];
    unsigned char *copy = malloc(len ? len : 1); /* of its own size: a read beyond it is seen */

    memcpy(copy, row, len);
    enum st st = store_row_decode(values, ALL, ALL_COUNT, copy, len);
    free(copy);
    return st;
}

static void a_row_of_another_length_is_damage(void **state)
{
    char row[128];

    (void)state;
    assert_int_equal(encode(ALL, ALL_COUNT, SAMPLE), ST_OK);
    size_t len = out.len;
    memcpy(row, out.data, len);
    row[len] = 0;
    for (size_t i = 0; i < len; i++)
        assert_int_equal(decode_copy(row, i), ST_CORRUPT);
    assert_int_equal(decode_copy(row, len), ST_OK);
    assert_int_equal(decode_copy(row, len + 1), ST_CORRUPT);
}

static void bytes_that_no_value_has_are_damage(void **state)
{
    static const struct {
        enum store_type type;
        unsigned char row[16];
        size_t len;
    } DAMAGED[] = {
        {STORE_BOOLEAN, {0, 2}, 2},
        {STORE_BOOLEAN, {2}, 1},                              /* a bit past the fields */
        {STORE_BOOLEAN, {3}, 1},                              /* likewise, and null */
        {STORE_BOOLEAN, {1, 1}, 2},                           /* null with a value */
        {STORE_DOUBLE, {0, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f}, 9}, /* infinity */
        {STORE_DOUBLE, {0, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f}, 9}, /* NaN */
        {STORE_DOUBLE, {0, 0, 0, 0, 0, 0, 0, 0, 0x80}, 9},    /* -0.0 */
        {STORE_DATE, {0, 0xff, 0xff, 0xff, 0x7f}, 5},         /* infinity in DuckDB */
        {STORE_TIMESTAMP, {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 9},
        {STORE_VARCHAR, {0, 0xff, 0xff, 0xff, 0xff}, 5},
        {STORE_VARCHAR, {0, 2, 0, 0, 0, 'a'}, 6},
    };
    struct store_value value;

    (void)state;
    for (size_t i = 0; i < sizeof DAMAGED / sizeof DAMAGED[0]; i++) {
        struct store_field field = {"f", DAMAGED[i].type};
        assert_int_equal(store_row_decode(&value, &field, 1, DAMAGED[i].row, DAMAGED[i].len),
                         ST_CORRUPT);
        assert_string_equal(st_code(), "ROW_DAMAGED");
    }
}

static void a_row_without_fields_is_no_bytes(void **state)
{
    (void)state;
    assert_int_equal(encode(ALL, 0, NULL), ST_OK);
    assert_int_equal(out.len, 0);
    assert_int_equal(store_row_decode(NULL, ALL, 0, "", 0), ST_OK);
    assert_int_equal(store_row_decode(NULL, ALL, 0, "x", 1), ST_CORRUPT);
}

static void a_row_is_json_in_the_order_of_its_fields(void **state)
{
    struct store_value values[ALL_COUNT];
    char row[128];

    (void)state;
    assert_int_equal(encode(ALL, ALL_COUNT, SAMPLE), ST_OK);
    size_t len = out.len;
    memcpy(row, out.data, len);
    buf_reset(&out);
    assert_int_equal(store_row_json(&out, ALL, ALL_COUNT, row, len), ST_OK);
    assert_string_equal(out.data, "{\"b\":true,\"t\":-5,\"s\":-300,\"i\":70000,\"l\":-1,\"d\":0.5,"
                                  "\"v\":\"h\\u0000i\",\"y\":\"2000-02-29\","
                                  "\"w\":\"1970-01-01T00:00:01.000001Z\"}");
    for (size_t i = 0; i < ALL_COUNT; i++)
        values[i] = KIT_NULL;
    assert_int_equal(encode(ALL, 2, values), ST_OK);
    memcpy(row, out.data, len = out.len);
    buf_reset(&out);
    assert_int_equal(store_row_json(&out, ALL, 2, row, len), ST_OK);
    assert_string_equal(out.data, "{\"b\":null,\"t\":null}");
}

static void damaged_text_is_never_served(void **state)
{
    static const struct store_field FIELD = {"v", STORE_VARCHAR};

    (void)state;
    buf_reset(&out);
    assert_int_equal(store_row_json(&out, &FIELD, 1, "\0\x02\0\0\0a\xff", 7), ST_CORRUPT);
}

static void values_read_as_people_write_them(void **state)
{
    (void)state;
    assert_string_equal(json_of(STORE_BOOLEAN, KIT_INT(0)), "false");
    assert_string_equal(json_of(STORE_BIGINT, KIT_INT(INT64_MIN)), "-9223372036854775808");
    assert_string_equal(json_of(STORE_DATE, KIT_INT(-719162)), "\"0001-01-01\"");
    assert_string_equal(json_of(STORE_DATE, KIT_INT(2932896)), "\"9999-12-31\"");
    assert_string_equal(json_of(STORE_DATE, KIT_INT(-1)), "\"1969-12-31\"");
    assert_string_equal(json_of(STORE_TIMESTAMP, KIT_INT(0)), "\"1970-01-01T00:00:00Z\"");
    assert_string_equal(json_of(STORE_TIMESTAMP, KIT_INT(-1)), "\"1969-12-31T23:59:59.999999Z\"");
    assert_string_equal(json_of(STORE_TIMESTAMP, KIT_INT(253402300799999999)),
                        "\"9999-12-31T23:59:59.999999Z\"");
    assert_string_equal(json_of(STORE_VARCHAR, KIT_TEXT("a\"\\\n\xc3\xa9")),
                        "\"a\\\"\\\\\\n\xc3\xa9\"");
    assert_string_equal(json_of(STORE_INTEGER, KIT_NULL), "null");
}

static const struct {
    double value;
    const char *text;
} DOUBLES[] = {
    {0.1, "0.1"},
    {0.1 + 0.2, "0.30000000000000004"},
    {1.0, "1"},
    {-0.0, "0"},
    {-2.5, "-2.5"},
    {1.0 / 3.0, "0.3333333333333333"},
    {123456789012345.0, "123456789012345"},
    {1e15, "1e+15"},
    {1e300, "1e+300"},
    {DBL_MAX, "1.7976931348623157e+308"},
    {DBL_MIN, "2.2250738585072014e-308"},
    {5e-324, "4.94065645841247e-324"},
    {9007199254740993.0, "9007199254740992"},
};

static void doubles_are_the_shortest_decimal_that_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof DOUBLES / sizeof DOUBLES[0]; i++) {
        const char *text = json_of(STORE_DOUBLE, (struct store_value){.as.d = DOUBLES[i].value});
        assert_string_equal(text, DOUBLES[i].text);
        assert_true(strtod(text, NULL) == DOUBLES[i].value);
    }
}

static void a_locale_with_a_comma_changes_nothing(void **state)
{
    static const char *const LOCALES[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "fr_FR",
                                          "de_DE@euro"};
    struct store_value value;
    bool found = false;

    (void)state;
    for (size_t i = 0; !found && i < sizeof LOCALES / sizeof LOCALES[0]; i++)
        found = setlocale(LC_ALL, LOCALES[i]) != NULL;
    if (!found)
        skip();
    assert_string_equal(json_of(STORE_DOUBLE, (struct store_value){.as.d = 0.5}), "0.5");
    assert_int_equal(store_value_parse(&value, STORE_DOUBLE, "0.5", 3), ST_OK);
    assert_true(value.as.d == 0.5);
    setlocale(LC_ALL, "C");
}

static enum st parse(struct store_value *value, enum store_type type, const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len + 1); /* without its NUL */

    memcpy(copy, text, len);
    copy[len] = '9';
    enum st st = store_value_parse(value, type, copy, len);
    if (!st && type == STORE_VARCHAR)
        assert_int_equal(value->as.text.len, len);
    free(copy);
    return st;
}

static void text_of_a_client_becomes_a_value(void **state)
{
    static const struct {
        enum store_type type;
        const char *text;
        int64_t value;
    } GOOD[] = {
        {STORE_BOOLEAN, "true", 1},
        {STORE_BOOLEAN, "false", 0},
        {STORE_TINYINT, "-128", -128},
        {STORE_SMALLINT, "32767", 32767},
        {STORE_INTEGER, "0", 0},
        {STORE_BIGINT, "-9223372036854775808", INT64_MIN},
        {STORE_BIGINT, "9223372036854775807", INT64_MAX},
        {STORE_DATE, "2000-02-29", 11016},
        {STORE_TIMESTAMP, "1970-01-02", 86400000000},
        {STORE_TIMESTAMP, "1970-01-01T00:00:01.5Z", 1500000},
        {STORE_TIMESTAMP, "1970-01-01T01:00:00+01:00", 0},
    };
    struct store_value value;

    (void)state;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        if (parse(&value, GOOD[i].type, GOOD[i].text) != ST_OK)
            fail_msg("%s: %s", GOOD[i].text, st_message());
        assert_true(value.as.i == GOOD[i].value);
        assert_false(value.null);
    }
    assert_int_equal(parse(&value, STORE_DOUBLE, "-1.5e3"), ST_OK);
    assert_true(value.as.d == -1500.0);
    assert_int_equal(parse(&value, STORE_VARCHAR, ""), ST_OK);
    assert_int_equal(parse(&value, STORE_VARCHAR, "\xc3\xa9"), ST_OK);
}

static void text_that_is_no_value_is_refused(void **state)
{
    static const struct {
        enum store_type type;
        const char *text;
    } BAD[] = {
        {STORE_BOOLEAN, "1"},
        {STORE_BOOLEAN, "TRUE"},
        {STORE_BOOLEAN, ""},
        {STORE_TINYINT, "128"},
        {STORE_TINYINT, "-129"},
        {STORE_SMALLINT, "32768"},
        {STORE_INTEGER, "2147483648"},
        {STORE_BIGINT, "9223372036854775808"},
        {STORE_INTEGER, ""},
        {STORE_INTEGER, "1x"},
        {STORE_INTEGER, " 1"},
        {STORE_INTEGER, "\t1"},
        {STORE_INTEGER, "+1"},
        {STORE_INTEGER, "1.0"},
        {STORE_INTEGER, "-"},
        {STORE_INTEGER, "0x10"},
        {STORE_DOUBLE, ""},
        {STORE_DOUBLE, "inf"},
        {STORE_DOUBLE, "nan"},
        {STORE_DOUBLE, "0x10"},
        {STORE_DOUBLE, " 1"},
        {STORE_DOUBLE, "1e999"},
        {STORE_DOUBLE, "1,5"},
        {STORE_DOUBLE, "e"},
        {STORE_DATE, "2001-02-29"},
        {STORE_DATE, "2001-2-9"},
        {STORE_DATE, " 001-02-09"},
        {STORE_DATE, "2001-02-09T00:00:00Z"},
        {STORE_TIMESTAMP, "2001-02"},
        {STORE_TIMESTAMP, "2001-02-09 00:00:00"},
        {STORE_TIMESTAMP, "0001-01-01T00:00:00+01:00"},
        {STORE_VARCHAR, "\xff"},
        {STORE_INTEGER, "0000000000000000000000000000000000000000000000000000000000000000001"},
    };
    struct store_value value;

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        if (parse(&value, BAD[i].type, BAD[i].text) != ST_INVALID)
            fail_msg("\"%s\" was taken for a %s", BAD[i].text, store_type_name(BAD[i].type));
        assert_string_equal(st_code(), "INVALID_VALUE");
        assert_non_null(strstr(st_message(), "expected"));
    }
    assert_int_equal(store_value_parse(&value, STORE_INTEGER, "1\0", 2), ST_INVALID);
}

static void types_have_names(void **state)
{
    enum store_type type;

    (void)state;
    for (size_t i = 0; i < ALL_COUNT; i++) {
        assert_int_equal(store_type_parse(&type, store_type_name(ALL[i].type)), ST_OK);
        assert_int_equal(type, ALL[i].type);
        assert_non_null(strstr(store_type_names(), store_type_name(ALL[i].type)));
    }
    assert_int_equal(store_type_parse(&type, "varchar"), ST_OK);
    assert_int_equal(store_type_parse(&type, "HUGEINT"), ST_INVALID);
    assert_string_equal(st_code(), "UNKNOWN_TYPE");
    assert_non_null(strstr(st_hint_text(), "TIMESTAMP"));
    assert_int_equal(store_type_parse(&type, ""), ST_INVALID);
}

static void types_with_parameters_are_read_and_written(void **state)
{
    static const struct {
        const char *name, *text, *json; /* json NULL: text cannot be parsed */
    } CASES[] = {
        {"DECIMAL(5,2)", "123.45", "123.45"},
        {"DECIMAL(5,2)", "-0.05", "-0.05"},
        {"DECIMAL(5,2)", "7", "7.00"},
        {"decimal( 5 , 2 )", "999.99", "999.99"},
        {"DECIMAL(18,18)", "-0.999999999999999999", "-0.999999999999999999"},
        {"DECIMAL(18,0)", "999999999999999999", "999999999999999999"},
        {"DECIMAL(5,2)", "1000", NULL},
        {"DECIMAL(5,2)", "1.234", NULL},
        {"DECIMAL(5,2)", ".5", NULL},
        {"DECIMAL(5,2)", "", NULL},
        {"DECIMAL(5,2)", "-", NULL},
        {"DECIMAL(5,2)", "1.2.3", NULL},
        {"UTINYINT", "255", "255"},
        {"UTINYINT", "256", NULL},
        {"USMALLINT", "65535", "65535"},
        {"UINTEGER", "4294967295", "4294967295"},
        {"UINTEGER", "-1", NULL},
    };
    static const char *const BAD[] = {
        "DECIMAL",        "DECIMAL(19,0)", "DECIMAL(2,3)", "DECIMAL(0,0)",
        "DECIMAL(5,2) x", "NUMERIC(5,2)",  "LIST",         "[]",
        "DECIMAL(5,2)[]", "INTEGER[][]",   "UBIGINT"};
    struct store_field field = {.name = "f"};
    struct store_value value, back;

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        assert_int_equal(store_type_parse(&field.type, CASES[i].name), ST_OK);
        enum st st = parse(&value, field.type, CASES[i].text);
        if ((st == ST_OK) != (CASES[i].json != NULL))
            fail_msg("\"%s\" as %s", CASES[i].text, CASES[i].name);
        if (st)
            continue;
        buf_reset(&out);
        assert_int_equal(store_row_encode(&out, &field, 1, &value), ST_OK);
        assert_int_equal(store_row_decode(&back, &field, 1, out.data, out.len), ST_OK);
        buf_reset(&out);
        store_value_json(&out, field.type, &back);
        assert_string_equal(out.data, CASES[i].json);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        if (store_type_parse(&field.type, BAD[i]) != ST_INVALID)
            fail_msg("%s was taken for a type", BAD[i]);
    assert_int_equal(store_type_parse(&field.type, "varchar[]"), ST_OK);
    assert_string_equal(store_type_name(field.type), "VARCHAR[]");
    value = (struct store_value){.as.text = {"[\"a\",null]", 10}};
    buf_reset(&out);
    assert_int_equal(store_row_encode(&out, &field, 1, &value), ST_OK);
    struct buf json;
    buf_init(&json, 1024);
    assert_int_equal(store_row_json(&json, &field, 1, out.data, out.len), ST_OK);
    assert_string_equal(json.data, "{\"f\":[\"a\",null]}");
    buf_release(&json);
}

static int set_up(void **state)
{
    (void)state;
    buf_init(&out, 4u << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_release(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_the_one_that_is_drawn),
        cmocka_unit_test(every_pattern_of_nulls_comes_back),
        cmocka_unit_test(the_ends_of_every_type_are_taken_and_what_is_beyond_is_refused),
        cmocka_unit_test(what_json_cannot_say_is_refused),
        cmocka_unit_test(equal_doubles_have_equal_bytes),
        cmocka_unit_test(rows_over_a_mebibyte_are_refused),
        cmocka_unit_test(a_row_of_another_length_is_damage),
        cmocka_unit_test(bytes_that_no_value_has_are_damage),
        cmocka_unit_test(a_row_without_fields_is_no_bytes),
        cmocka_unit_test(a_row_is_json_in_the_order_of_its_fields),
        cmocka_unit_test(damaged_text_is_never_served),
        cmocka_unit_test(values_read_as_people_write_them),
        cmocka_unit_test(doubles_are_the_shortest_decimal_that_reads_back),
        cmocka_unit_test(a_locale_with_a_comma_changes_nothing),
        cmocka_unit_test(text_of_a_client_becomes_a_value),
        cmocka_unit_test(text_that_is_no_value_is_refused),
        cmocka_unit_test(types_with_parameters_are_read_and_written),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
