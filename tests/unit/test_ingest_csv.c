#include "ingest_kit.h"

#include "ingest/csv.h"

/* Scans a text in pieces of `piece` bytes. */
static enum st scan_pieces(struct csv_scan *s, const char *text, size_t len, size_t piece)
{
    enum st st = ST_OK;
    csv_scan_init(s, "a.csv");
    for (size_t i = 0; !st && i < len; i += piece)
        st = csv_scan_feed(s, text + i, len - i < piece ? len - i : piece);
    return st ? st : csv_scan_finish(s);
}

/* The number of records, the same however the file is cut up. */
static uint64_t count(const char *text)
{
    uint64_t first = 0;
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        struct csv_scan s;
        kit_ok(scan_pieces(&s, text, strlen(text), piece));
        if (piece == 1)
            first = s.records;
        assert_int_equal(s.records, first);
        csv_scan_release(&s);
    }
    return first;
}

static void fails_bytes(const char *text, size_t len, const char *code, const char *place)
{
    for (size_t piece = 1; piece <= len + 1; piece++) {
        struct csv_scan s;
        kit_fails(scan_pieces(&s, text, len, piece), code, place, "Secret");
        csv_scan_release(&s);
    }
}

static void fails(const char *text, const char *code, const char *place)
{
    fails_bytes(text, strlen(text), code, place);
}

static void records_are_counted(void **state)
{
    (void)state;
    assert_int_equal(count("a,b\n1,2\n3,4\n"), 2);
    assert_int_equal(count("a,b\n1,2\n3,4"), 2);
    assert_int_equal(count("a,b\r\n1,2\r\n3,4\r\n"), 2);
    assert_int_equal(count("a,b\n,\n"), 1);
    assert_int_equal(count("a\n1\n2\n"), 2);
}

static void a_header_alone_is_no_record(void **state)
{
    (void)state;
    assert_int_equal(count("a,b\n"), 0);
    assert_int_equal(count("a,b"), 0);
    assert_int_equal(count("a,b\r\n"), 0);
}

static void line_ends_and_commas_in_quotes_belong_to_the_value(void **state)
{
    (void)state;
    assert_int_equal(count("a,b\n\"1,\n\n,\",2\n3,\"4\"\"\r\n5\"\n"), 2);
    assert_int_equal(count("a,b\n\"\"\"\",\"\"\n"), 1);
}

static void quotes_inside_a_plain_field_are_text(void **state)
{
    (void)state;
    assert_int_equal(count("a,b\n5\" pipe,x\"y\"z\n"), 1);
}

static void an_empty_line_is_a_record_only_where_there_is_one_column(void **state)
{
    (void)state;
    assert_int_equal(count("a,b\n\n1,2\n\n\n"), 1);
    assert_int_equal(count("a,b\r\n\r\n1,2\r\n"), 1);
    assert_int_equal(count("a\n\n1\n\n"), 3);
}

static void names_come_without_quotes_and_byte_order_mark(void **state)
{
    static const char text[] = "\xef\xbb\xbf"
                               "id,\"a \"\"b\"\", c\",d\xc3\xa9\n1,2,3\n";
    struct csv_scan s;
    (void)state;
    for (size_t piece = 1; piece < sizeof text; piece++) {
        kit_ok(scan_pieces(&s, text, sizeof text - 1, piece));
        assert_int_equal(s.columns, 3);
        assert_string_equal(csv_scan_name(&s, 0), "id");
        assert_string_equal(csv_scan_name(&s, 1), "a \"b\", c");
        assert_string_equal(csv_scan_name(&s, 2), "d\xc3\xa9");
        assert_int_equal(s.records, 1);
        csv_scan_release(&s);
    }
}

static void a_file_may_begin_with_a_character_that_resembles_the_mark(void **state)
{
    static const char *const firsts[] = {"\xef\xbc\xa1", "\xef\xbb\xbe", "\xef\xbf\xbf"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s,b\n1,2\n", firsts[i]);
        for (size_t piece = 1; piece <= strlen(text); piece++) {
            struct csv_scan s;
            kit_ok(scan_pieces(&s, text, strlen(text), piece));
            assert_string_equal(csv_scan_name(&s, 0), firsts[i]);
            assert_int_equal(s.records, 1);
            csv_scan_release(&s);
        }
    }
}

static void a_short_row_is_refused_with_line_and_first_missing_column(void **state)
{
    (void)state;
    fails("a,b,c\n1,2,3\nSecret,5\n7,8,9\n", "CSV_SHORT_ROW", "a.csv:3:3");
    fails("a,b,c\n1,2,3\nSecret", "CSV_SHORT_ROW", "a.csv:3:2");
    fails("a,b\n\"x\ny\",1\nSecret\n", "CSV_SHORT_ROW", "a.csv:4:2");
    fails("a,b\r\nSecret\r\n", "CSV_SHORT_ROW", "a.csv:2:2");
    fails("a,b\n \n", "CSV_SHORT_ROW", "a.csv:2:2");
}

static void a_long_row_is_refused_with_line_and_first_surplus_column(void **state)
{
    (void)state;
    fails("a,b\n1,2\n3,4,Secret\n", "CSV_LONG_ROW", "a.csv:3:3");
    fails("a,b\n1,2\n3,4,\n", "CSV_LONG_ROW", "a.csv:3:3");
    fails("a,b\n1,2\n3,4,5,6", "CSV_LONG_ROW", "a.csv:3:3");
}

static void a_file_that_ends_inside_quotes_says_where_they_began(void **state)
{
    (void)state;
    fails("a,b\n1,2\n3,\"Secret\n5,6\n7,8\n", "CSV_QUOTE", "a.csv:3");
    fails("a,b\n1,\"", "CSV_QUOTE", "a.csv:2");
    fails("a,\"b\n", "CSV_QUOTE", "a.csv:1");
}

static void text_around_a_quoted_field_is_refused(void **state)
{
    (void)state;
    fails("a,b\n1,\"2\"Secret\n", "CSV_QUOTE", "a.csv:2");
    fails("a,b\n1,\"2\" \n", "CSV_QUOTE", "a.csv:2");
    fails("a,b\n1, \"Secret\"\n", "CSV_QUOTE", "a.csv:2");
}

static void nul_and_invalid_utf8_are_refused_with_their_line(void **state)
{
    static const char nul[] = "a,b\n1,2\n3,\0\n", quoted_nul[] = "a,b\n1,\"\n\0\"\n";
    (void)state;
    fails_bytes(nul, sizeof nul - 1, "CSV_NUL", "a.csv:3");
    fails_bytes(quoted_nul, sizeof quoted_nul - 1, "CSV_NUL", "a.csv:3");
    fails("a,b\n1,\xff\n", "CSV_UTF8", "a.csv:2");
    fails("a,b\n1,\xc3\n", "CSV_UTF8", "a.csv:2");
    fails("a,b\n1,\xc3", "CSV_UTF8", "a.csv:2");
    fails("a,b\n1,\"\xc3\"\n", "CSV_UTF8", "a.csv:2");
    fails("a,b\n1,\xc0\xaf\n", "CSV_UTF8", "a.csv:2");         /* overlong */
    fails("a,b\n1,\xed\xa0\x80\n", "CSV_UTF8", "a.csv:2");     /* surrogate */
    fails("a,b\n1,\xf4\x90\x80\x80\n", "CSV_UTF8", "a.csv:2"); /* above U+10FFFF */
    fails("\xef\xbb"
          "a,b\n",
          "CSV_UTF8", "a.csv:1");
    fails("\xef\xbb", "CSV_UTF8", "a.csv:1");
    assert_int_equal(count("a,b\n\xc3\xa9,\xe2\x82\xac\n\xf0\x9f\x98\x80,\"\xf4\x8f\xbf\xbf\"\n"),
                     2);
}

static void line_ends_that_are_mixed_or_lone_are_refused(void **state)
{
    (void)state;
    fails("a,b\n1,2\r\n", "CSV_NEWLINE", "a.csv:2");
    fails("a,b\r\n1,2\n", "CSV_NEWLINE", "a.csv:2");
    fails("a,b\n1,\r2\n", "CSV_NEWLINE", "a.csv:2");
    fails("a,b\r1,2\r", "CSV_NEWLINE", "a.csv:1");
    fails("a,b\r\n1,2\r", "CSV_NEWLINE", "a.csv:2");
}

static void a_header_must_name_every_column_once(void **state)
{
    (void)state;
    fails("", "CSV_HEADER", "a.csv:1");
    fails("\xef\xbb\xbf", "CSV_HEADER", "a.csv:1");
    fails("\n1,2\n", "CSV_HEADER", "a.csv:1");
    fails("a,,c\n1,2,3\n", "CSV_HEADER", "a.csv:1:2");
    fails("a,b,\n", "CSV_HEADER", "a.csv:1:3");
    fails("a,b,A\n", "CSV_HEADER", "a.csv:1:3");
    fails("a,\"\"\n", "CSV_HEADER", "a.csv:1:2");
}

static void a_record_that_never_ends_is_refused(void **state)
{
    size_t len = 3 * CSV_RECORD_MAX;
    char *text = malloc(len);
    struct csv_scan s;
    (void)state;
    assert_non_null(text);
    memset(text, 'x', len);
    memcpy(text, "a,b\n1,\"", 7);
    kit_fails(scan_pieces(&s, text, len, 1u << 20), "CSV_RECORD_TOO_LONG", "a.csv:2", NULL);
    csv_scan_release(&s);
    text[6] = 'x';
    kit_fails(scan_pieces(&s, text, len, 1u << 20), "CSV_RECORD_TOO_LONG", "a.csv:2", NULL);
    csv_scan_release(&s);
    memset(text, 'x', len);
    kit_fails(scan_pieces(&s, text, len, 1u << 20), "CSV_RECORD_TOO_LONG", "a.csv:1", NULL);
    csv_scan_release(&s);
    free(text);
}

/* A header, and a record of `len` bytes that a line end follows. To be freed. */
static char *one_record(const char *begin, size_t len, const char *end)
{
    char *text = malloc(3 + len + strlen(end) + 1);
    assert_non_null(text);
    memcpy(text, *end == '\r' ? "a\r\n" : "aa\n", 3);
    memset(text + 3, 'x', len);
    memcpy(text + 3, begin, strlen(begin));
    strcpy(text + 3 + len, end);
    return text;
}

static void a_record_may_have_the_full_length_wherever_the_pieces_end(void **state)
{
    static const char *const ends[] = {"\n", "\r\n", ""};
    static const size_t pieces[] = {1,
                                    4099,
                                    CSV_RECORD_MAX - 1,
                                    CSV_RECORD_MAX,
                                    CSV_RECORD_MAX + 3,
                                    CSV_RECORD_MAX + 4,
                                    2 * CSV_RECORD_MAX};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *full = one_record("x", CSV_RECORD_MAX, ends[i]);
        char *over = one_record("x", CSV_RECORD_MAX + 1, ends[i]);
        char *quoted = one_record("\"\n,\n", CSV_RECORD_MAX + 1, ends[i]);
        for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
            struct csv_scan s;
            kit_ok(scan_pieces(&s, full, strlen(full), pieces[k]));
            assert_int_equal(s.records, 1);
            csv_scan_release(&s);
            kit_fails(scan_pieces(&s, over, strlen(over), pieces[k]), "CSV_RECORD_TOO_LONG",
                      "a.csv:2", NULL);
            csv_scan_release(&s);
            kit_fails(scan_pieces(&s, quoted, strlen(quoted), pieces[k]), "CSV_RECORD_TOO_LONG",
                      "a.csv:2", NULL);
            csv_scan_release(&s);
        }
        free(full);
        free(over);
        free(quoted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_counted),
        cmocka_unit_test(a_header_alone_is_no_record),
        cmocka_unit_test(line_ends_and_commas_in_quotes_belong_to_the_value),
        cmocka_unit_test(quotes_inside_a_plain_field_are_text),
        cmocka_unit_test(an_empty_line_is_a_record_only_where_there_is_one_column),
        cmocka_unit_test(names_come_without_quotes_and_byte_order_mark),
        cmocka_unit_test(a_file_may_begin_with_a_character_that_resembles_the_mark),
        cmocka_unit_test(a_short_row_is_refused_with_line_and_first_missing_column),
        cmocka_unit_test(a_long_row_is_refused_with_line_and_first_surplus_column),
        cmocka_unit_test(a_file_that_ends_inside_quotes_says_where_they_began),
        cmocka_unit_test(text_around_a_quoted_field_is_refused),
        cmocka_unit_test(nul_and_invalid_utf8_are_refused_with_their_line),
        cmocka_unit_test(line_ends_that_are_mixed_or_lone_are_refused),
        cmocka_unit_test(a_header_must_name_every_column_once),
        cmocka_unit_test(a_record_that_never_ends_is_refused),
        cmocka_unit_test(a_record_may_have_the_full_length_wherever_the_pieces_end),
    };
    return cmocka_run_group_tests_name("ingest_csv", tests, NULL, NULL);
}
