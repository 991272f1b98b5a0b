/* Lines of JSON: how many, and what a source's columns are in each. */
#include "ingest_kit.h"

#include "ingest/ndjson.h"

static const struct store_column columns[] = {
    {"id", "VARCHAR"}, {"n", "INTEGER"}, {"tags", "VARCHAR[]"}, {"on", "BOOLEAN"}};

#define COLUMNS 4

struct result {
    enum record_fault fault; /* of the first record that has one */
    char place[32];
    char *rows; /* of the others; to be freed */
};

/* Counts in pieces of any size, and splits; the two must agree. */
static struct result split_bytes(const char *text, size_t len, bool complete)
{
    static const unsigned char shapes[COLUMNS] = {RECORD_ANY, RECORD_INTEGER};
    bool seen[COLUMNS];
    struct store_text fields[COLUMNS];
    struct store_source source = {.columns = (struct store_column *)(uintptr_t)columns,
                                  .column_count = COLUMNS,
                                  .columns_complete = complete};
    struct result result = {0};
    struct ndjson_scan s;
    struct buf rows;
    uint64_t records = 0;
    for (size_t piece = 1; piece <= len + 1; piece++) {
        ndjson_scan_init(&s, "a.ndjson");
        for (size_t i = 0; i < len; i += piece)
            kit_ok(ndjson_scan_feed(&s, text + i, len - i < piece ? len - i : piece));
        ndjson_scan_finish(&s);
        if (piece > 1)
            assert_int_equal(s.records, records);
        records = s.records;
    }
    buf_init(&rows, 1u << 20);
    buf_addstr(&rows, "");
    char *copy = malloc(len + 1 - s.body_offset); /* to its last byte */
    assert_non_null(copy);
    memcpy(copy, text + s.body_offset, len - s.body_offset);
    struct record_reader r = {.source = &source,
                              .columns = COLUMNS,
                              .shapes = shapes,
                              .at = copy,
                              .end = copy + len - s.body_offset,
                              .next_line = 1,
                              .fields = fields,
                              .seen = seen,
                              .scratch = malloc(RECORD_SCRATCH_MAX)};
    assert_non_null(r.scratch);
    for (; ndjson_split(&r); records--) {
        if (r.fault && !result.fault) {
            result.fault = r.fault;
            snprintf(result.place, sizeof result.place, "%u:%zu", (unsigned)r.line, r.column);
        }
        for (size_t i = 0; !r.fault && i < COLUMNS; i++) {
            buf_addch(&rows, fields[i].bytes ? '<' : '-');
            buf_add(&rows, fields[i].bytes ? fields[i].bytes : "",
                    fields[i].bytes ? fields[i].len : 0);
            if (fields[i].bytes)
                buf_addch(&rows, '>');
        }
        buf_addstr(&rows, r.fault ? "" : "\n");
    }
    assert_int_equal(records, 0);
    kit_ok(buf_status(&rows));
    free(copy);
    free(r.scratch);
    result.rows = buf_take(&rows);
    return result;
}

static void splits(const char *text, const char *wanted)
{
    struct result r = split_bytes(text, strlen(text), false);
    assert_string_equal(r.rows, wanted);
    assert_int_equal(r.fault, RECORD_GOOD);
    free(r.rows);
}

static void rejects(const char *text, enum record_fault fault, const char *place)
{
    char lines[400];
    snprintf(lines, sizeof lines, "{\"id\":\"1\"}\n%s\n{\"id\":\"3\"}", text);
    struct result r = split_bytes(lines, strlen(lines), false);
    if (r.fault != fault || strcmp(r.place, place) != 0)
        fail_msg("%s: fault %d at %s", text, (int)r.fault, r.place);
    assert_string_equal(r.rows, "<1>---\n<3>---\n");
    free(r.rows);
}

static void members_become_columns_whatever_their_order(void **state)
{
    (void)state;
    splits("{\"id\":\"a\",\"n\":5,\"tags\":null,\"on\":true}\n", "<a><5>-<true>\n");
    splits("{\"on\":false,\"n\":-7,\"id\":\"b\"}", "<b><-7>-<false>\n");
    splits("{}\n", "----\n");
    splits("", "");
    splits("\n \t\r\n{ \"id\" : \"x\" }\r\n\n", "<x>---\n");
    splits("\xef\xbb\xbf{\"id\":\"x\"}\n", "<x>---\n");
}

static void values_are_what_they_say(void **state)
{
    (void)state;
    splits("{\"id\":0.10}\n{\"id\":1e3}\n{\"id\":\"\"}\n", "<0.10>---\n<1e3>---\n<>---\n");
    splits("{\"id\":\"a\\n\\\"\\u00e9\\ud83d\\ude00\\/\"}\n",
           "<a\n\"\xc3\xa9\xf0\x9f\x98\x80/>---\n");
    splits("{\"\\u0069d\":\"x\"}\n", "<x>---\n");
    splits("{\"tags\":[\"a\", {\"b\":[1,2]}],\"id\":{\"x\":\"\\n\"}}\n",
           "<{\"x\":\"\\n\"}>-<[\"a\", {\"b\":[1,2]}]>-\n");
    splits("{\"other\":[{\"id\":\"no\"}],\"ID\":1,\"id\":\"yes\",\"other\":2}\n", "<yes>---\n");
}

static void a_line_that_is_no_object_is_rejected_with_its_line(void **state)
{
    static const char *const words[] = {"7", "\"x\"", "null", "true", "[1]", "[{\"id\":\"x\"}]"};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        rejects(words[i], RECORD_OBJECT, "2:0");
}

static void what_is_not_JSON_is_rejected_with_its_line(void **state)
{
    static const char *const bad[] = {
        "{",
        "{\"id\"",
        "{\"id\":}",
        "{\"id\":1",
        "{\"id\":1,}",
        "{\"id\":1}}",
        "{\"id\":1} x",
        "{id:1}",
        "{'id':1}",
        "{\"id\":01}",
        "{\"id\":1.}",
        "{\"id\":.5}",
        "{\"id\":+1}",
        "{\"id\":-}",
        "{\"id\":1e}",
        "{\"id\":NaN}",
        "{\"id\":tru}",
        "{\"id\":\"a\tb\"}",
        "{\"id\":\"\\x\"}",
        "{\"id\":\"\\u12g4\"}",
        "{\"id\":\"\\ud800\"}",
        "{\"id\":\"\\udc00\"}",
        "{\"id\":\"\\ud800\\u0041\"}",
        "{\"id\":\"x}",
        "{\"id\":[1,]}",
        "{\"id\":{\"a\" 1}}",
        "{\"other\":[1 2]}",
        "x",
        "//",
        "2}",
        "[1] {\"id\":\"x\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        rejects(bad[i], RECORD_JSON, "2:0");
    rejects("{\"id\":\"\\u0000\"}", RECORD_NUL, "2:0");
    rejects("{\"id\":\"\xff\"}", RECORD_UTF8, "2:0");
}

static void depth_is_bounded(void **state)
{
    struct buf text;
    (void)state;
    for (size_t depth = NDJSON_DEPTH_MAX; depth < NDJSON_DEPTH_MAX + 3; depth++) {
        buf_init(&text, 1u << 16);
        buf_addstr(&text, "{\"other\":");
        for (size_t i = 0; i < depth; i++)
            buf_addch(&text, '[');
        buf_addch(&text, '1');
        for (size_t i = 0; i < depth; i++)
            buf_addch(&text, ']');
        buf_addstr(&text, "}");
        kit_ok(buf_status(&text));
        struct result r = split_bytes(text.data, text.len, false);
        assert_int_equal(r.fault, depth > NDJSON_DEPTH_MAX ? RECORD_JSON : RECORD_GOOD);
        free(r.rows);
        buf_release(&text);
    }
}

static void a_declared_member_is_there_once(void **state)
{
    (void)state;
    rejects("{\"id\":\"x\",\"n\":1,\"id\":\"x\"}", RECORD_DUPLICATE, "2:1");
    rejects("{\"on\":null,\"on\":true}", RECORD_DUPLICATE, "2:4");
    rejects("{\"id\":\"x\",\"n\":1.5}", RECORD_CAST, "2:2");
}

static void where_the_columns_are_complete_there_is_no_other_member(void **state)
{
    static const char text[] = "{\"id\":\"x\"}\n{\"id\":\"y\",\"ID\":1}\n";
    (void)state;
    struct result r = split_bytes(text, sizeof text - 1, true);
    assert_int_equal(r.fault, RECORD_MEMBER);
    assert_string_equal(r.place, "2:0");
    assert_string_equal(r.rows, "<x>---\n");
    free(r.rows);
}

/* In pieces of any size, of which some begin with a blank line. */
static void a_file_may_begin_like_a_byte_order_mark(void **state)
{
    (void)state;
    static const char text[] = "\xef\n\n\n{}\n\n";
    struct result result = split_bytes(text, sizeof text - 1, false);
    assert_int_equal(result.fault, RECORD_UTF8);
    assert_string_equal(result.place, "1:0");
    assert_string_equal(result.rows, "----\n");
    free(result.rows);
}

static void a_line_that_never_ends_is_refused(void **state)
{
    struct ndjson_scan s;
    char *text = malloc(RECORD_MAX + 4);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', RECORD_MAX + 4);
    text[1] = '\n';
    ndjson_scan_init(&s, "a.ndjson");
    kit_ok(ndjson_scan_feed(&s, text, RECORD_MAX + 2));
    kit_fails(ndjson_scan_feed(&s, text + RECORD_MAX + 2, 1), "NDJSON_RECORD_TOO_LONG",
              "a.ndjson:2", NULL);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_become_columns_whatever_their_order),
        cmocka_unit_test(values_are_what_they_say),
        cmocka_unit_test(a_line_that_is_no_object_is_rejected_with_its_line),
        cmocka_unit_test(what_is_not_JSON_is_rejected_with_its_line),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_declared_member_is_there_once),
        cmocka_unit_test(where_the_columns_are_complete_there_is_no_other_member),
        cmocka_unit_test(a_file_may_begin_like_a_byte_order_mark),
        cmocka_unit_test(a_line_that_never_ends_is_refused),
    };
    return cmocka_run_group_tests_name("ingest_ndjson", tests, NULL, NULL);
}
