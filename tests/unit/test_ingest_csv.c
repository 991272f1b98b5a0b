#include "ingest_kit.h"

#include "ingest/csv.h"

static const struct store_dialect standard = {.delimiter = ',', .quote = '"', .escape = '"'};

/* Scans a text in pieces of `piece` bytes. */
static enum st scan_pieces(struct csv_scan *s, const char *text, size_t len, size_t piece)
{
    enum st st = ST_OK;
    csv_scan_init(s, "a.csv", &standard);
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

/* The fault of one record and its place, as "line:column". */
struct found {
    enum record_fault fault;
    char place[32];
};

/* Scans, splits what was let pass, and counts twice. *rows: good records, one a line, fields in
 * brackets, null as -; *first: the first fault. To be freed. */
static char *split_dialect(struct found *first, const char *text, size_t len,
                           const struct store_dialect *dialect, const unsigned char *shapes)
{
    static const unsigned char any[CSV_COLUMNS_MAX];
    struct store_text fields[CSV_COLUMNS_MAX];
    struct csv_scan s;
    struct buf rows;
    uint64_t records = 0;
    *first = (struct found){0};
    buf_init(&rows, 1u << 20);
    buf_addstr(&rows, "");
    csv_scan_init(&s, "a.csv", dialect);
    kit_ok(csv_scan_feed(&s, text, len));
    kit_ok(csv_scan_finish(&s));
    char *copy = malloc(len + 1); /* to its last byte: a read beyond it is seen */
    assert_non_null(copy);
    memcpy(copy, text, len);
    struct record_reader r = {.columns = s.columns,
                              .shapes = shapes ? shapes : any,
                              .at = copy + s.body_offset,
                              .end = copy + len,
                              .next_line = 2,
                              .fields = fields,
                              .scratch = malloc(RECORD_MAX)};
    assert_non_null(r.scratch);
    while (csv_split(&r, dialect)) {
        records++;
        if (r.fault && !first->fault) {
            first->fault = r.fault;
            snprintf(first->place, sizeof first->place, "%u:%zu", (unsigned)r.line, r.column);
        }
        for (size_t i = 0; !r.fault && i < r.columns; i++) {
            buf_addch(&rows, fields[i].bytes ? '[' : '-');
            buf_add(&rows, fields[i].bytes ? fields[i].bytes : "",
                    fields[i].bytes ? fields[i].len : 0);
            if (fields[i].bytes)
                buf_addch(&rows, ']');
        }
        buf_addstr(&rows, r.fault ? "" : "\n");
    }
    assert_int_equal(records, s.records);
    kit_ok(buf_status(&rows));
    free(copy);
    free(r.scratch);
    csv_scan_release(&s);
    return buf_take(&rows);
}

static void splits_dialect(const char *text, const struct store_dialect *dialect,
                           const char *wanted)
{
    struct found first;
    char *rows = split_dialect(&first, text, strlen(text), dialect, NULL);
    assert_string_equal(rows, wanted);
    assert_int_equal(first.fault, RECORD_GOOD);
    free(rows);
}

static void splits(const char *text, const char *wanted)
{
    splits_dialect(text, &standard, wanted);
}

static void rejects(const char *text, enum record_fault fault, const char *place, const char *rest)
{
    struct found first;
    char *rows = split_dialect(&first, text, strlen(text), &standard, NULL);
    assert_int_equal(first.fault, fault);
    assert_string_equal(first.place, place);
    assert_string_equal(rows, rest);
    free(rows);
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

static void fields_come_without_quotes_and_empty_ones_are_null(void **state)
{
    (void)state;
    splits("a,b\n1,2\n", "[1][2]\n");
    splits("a,b\r\n1,2\r\n,\"\"\r\n", "[1][2]\n--\n");
    splits("a,b\n\"x\"\"y\"\"\",\"1,\n2\"\n3,4", "[x\"y\"][1,\n2]\n[3][4]\n");
    splits("a,b\n5\" pipe, x \n\n7,", "[5\" pipe][ x ]\n[7]-\n");
    splits("a\n1\n\n\"\"\n2", "[1]\n-\n-\n[2]\n");
    splits("\xef\xbb\xbf"
           "a,b\n1,2\n",
           "[1][2]\n");
}

static void a_dialect_has_its_own_signs(void **state)
{
    static char names[2][128] = {"a", "b"};
    struct store_dialect d = {.delimiter = ';', .quote = '\'', .escape = '\\'};
    (void)state;
    splits_dialect("a;b\n'it\\'s \\\\ \\n';\"2\"\n", &d, "[it's \\ n][\"2\"]\n");
    splits_dialect("a;b\n\\x;'\n\\''\n", &d, "[\\x][\n']\n");
    d = (struct store_dialect){.delimiter = '\t', .null_text = "\\N"};
    splits_dialect("a\tb\n\\N\t\"\n\t'x'\n", &d, "-[\"]\n[]['x']\n");
    d = (struct store_dialect){
        .delimiter = '|', .quote = '"', .escape = '"', .names = names, .name_count = 2};
    splits_dialect("1|2\n3|4", &d, "[1][2]\n[3][4]\n");
    splits_dialect("\xef\xbb\xbf"
                   "1|2\n",
                   &d, "[1][2]\n");
    splits_dialect("", &d, "");
}

static void an_escape_at_the_end_of_quotes_does_not_end_them(void **state)
{
    struct store_dialect d = {.delimiter = ',', .quote = '"', .escape = '\\'};
    struct csv_scan s;
    (void)state;
    for (size_t piece = 1; piece < 20; piece++) {
        static const char open[] = "a,b\n1,\"x\\\"\n2,3\n", text[] = "a,b\n1,\"x\"\"y\"\n";
        csv_scan_init(&s, "a.csv", &d);
        enum st st = ST_OK;
        for (size_t i = 0; !st && i < sizeof open - 1; i += piece)
            st = csv_scan_feed(&s, open + i,
                               sizeof open - 1 - i < piece ? sizeof open - 1 - i : piece);
        kit_fails(st ? st : csv_scan_finish(&s), "CSV_QUOTE", "a.csv:2", NULL);
        csv_scan_release(&s);
        csv_scan_init(&s, "a.csv", &d); /* there doubling does not escape */
        kit_fails(csv_scan_feed(&s, text, sizeof text - 1), "CSV_QUOTE", "a.csv:2", NULL);
        csv_scan_release(&s);
    }
}

static void a_short_row_is_rejected_with_line_and_first_missing_column(void **state)
{
    (void)state;
    rejects("a,b,c\n1,2,3\nSecret,5\n7,8,9\n", RECORD_SHORT, "3:3", "[1][2][3]\n[7][8][9]\n");
    rejects("a,b,c\n1,2,3\nSecret", RECORD_SHORT, "3:2", "[1][2][3]\n");
    rejects("a,b\n\"x\ny\",1\nSecret\n", RECORD_SHORT, "4:2", "[x\ny][1]\n");
    rejects("a,b\r\nSecret\r\n", RECORD_SHORT, "2:2", "");
    rejects("a,b\n \n", RECORD_SHORT, "2:2", "");
}

static void a_long_row_is_rejected_with_line_and_first_surplus_column(void **state)
{
    (void)state;
    rejects("a,b\n1,2\n3,4,Secret\n", RECORD_LONG, "3:3", "[1][2]\n");
    rejects("a,b\n1,2\n3,4,\n", RECORD_LONG, "3:3", "[1][2]\n");
    rejects("a,b\n1,2\n3,4,5,6", RECORD_LONG, "3:3", "[1][2]\n");
}

static void a_row_that_is_not_UTF_8_is_rejected_with_line_and_column(void **state)
{
    (void)state;
    rejects("a,b\n1,\xff\n3,4\n", RECORD_UTF8, "2:2", "[3][4]\n");
    rejects("a,b\n1,\xc3\n", RECORD_UTF8, "2:2", "");
    rejects("a,b\n1,\xc3", RECORD_UTF8, "2:2", "");
    rejects("a,b\n1,\"\xc3\"\n", RECORD_UTF8, "2:2", "");
    rejects("a,b\n\xc0\xaf,1\n", RECORD_UTF8, "2:1", "");         /* overlong */
    rejects("a,b\n1,\xed\xa0\x80\n", RECORD_UTF8, "2:2", "");     /* surrogate */
    rejects("a,b\n1,\xf4\x90\x80\x80\n", RECORD_UTF8, "2:2", ""); /* above U+10FFFF */
    splits("a,b\n\xc3\xa9,\xe2\x82\xac\n", "[\xc3\xa9][\xe2\x82\xac]\n");
}

static void what_is_not_written_as_an_integer_is_none(void **state)
{
    static const unsigned char second[CSV_COLUMNS_MAX] = {RECORD_ANY, RECORD_INTEGER};
    static const char *const bad[] = {"1.5", "1e3", "0x1F", "1_000", "\"1.01\""};
    struct found first;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        snprintf(text, sizeof text, "a,b\nx,%s\ny,-1\nz,\n", bad[i]);
        char *rows = split_dialect(&first, text, strlen(text), &standard, second);
        assert_int_equal(first.fault, RECORD_CAST);
        assert_string_equal(first.place, "2:2");
        assert_string_equal(rows, "[y][-1]\n[z]-\n");
        free(rows);
    }
}

static void a_decimal_has_no_more_digits_than_its_type(void **state)
{
    static const unsigned char second[CSV_COLUMNS_MAX] = {RECORD_ANY, RECORD_DECIMAL + 2};
    static const char *const good[] = {"1",      "-1.25",   "+.5",     "1.2500", " 7. ", "1.25e0",
                                       "125e-2", "1.234E1", "12.5e-1", "0.000",  "0e-9", "1_000.25",
                                       "1e99",   "1000e-5", "1e",      "x"};
    static const char *const bad[] = {"1.234",  "-0.001", "1.2345e1",
                                      "125e-3", "1e-3",   "1e-1_0",
                                      ".5e-2",  "1.0050", "1e-99999999999999999999",
                                      "1e-3x"};
    struct found first;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good + sizeof bad / sizeof *bad; i++) {
        size_t k = i - sizeof good / sizeof *good;
        bool is_good = i < sizeof good / sizeof *good;
        char text[64];
        snprintf(text, sizeof text, "a,b\nx,%s\n", is_good ? good[i] : bad[k]);
        free(split_dialect(&first, text, strlen(text), &standard, second));
        if (first.fault != (is_good ? RECORD_GOOD : RECORD_CAST))
            fail_msg("%s", text);
    }
}

static void a_time_has_no_offset_or_no_zone_where_its_type_has_none(void **state)
{
    static const struct {
        const char *text;
        bool utc, offset;
    } times[] = {
        {"2020-01-02T10:00:00Z", true, true},
        {"2020-01-02 10:00:00.5 UTC", true, true},
        {"2020-01-02 10:00:00Z\t", true, true},
        {"2020-01-02", true, true},
        {"2020-01-02t10:00:00+00:00", true, true},
        {"-infinity", true, true},
        {"epoch", true, true},
        {"2020-01-02T10:00:00-08:00", false, true},
        {"2020-01-02 10:00+05", false, true},
        {"2020-01-02 10:00:00-00:30", false, true},
        {"2020-01-02 10:00:00 Europe/Berlin", true, false},
        {"-2020-01-02 10:00:00 Europe/Berlin", true, false},
        {" 2020-01-02 10:00:00 EST", true, false},
        {"2020-01-02 10:00:00 UTCX", true, false},
        {"2020-01-02 T", true, false},
    };
    static const unsigned char shapes[] = {RECORD_UTC, RECORD_OFFSET};
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        for (size_t k = 0; k < 2; k++)
            if (record_has_shape(shapes[k], times[i].text, strlen(times[i].text)) !=
                (k ? times[i].offset : times[i].utc))
                fail_msg("%s, %zu", times[i].text, k);
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

static void nul_and_a_header_that_is_not_UTF_8_are_refused_with_their_line(void **state)
{
    static const char nul[] = "a,b\n1,2\n3,\0\n", quoted_nul[] = "a,b\n1,\"\n\0\"\n";
    static const char utf16[] = "\xff\xfe"
                                "a\0,\0b\0\n\0";
    (void)state;
    fails_bytes(nul, sizeof nul - 1, "CSV_NUL", "a.csv:3");
    fails_bytes(quoted_nul, sizeof quoted_nul - 1, "CSV_NUL", "a.csv:3");
    fails_bytes(utf16, sizeof utf16 - 1, "CSV_NUL", "a.csv:1");
    fails("a,\xff\n1,2\n", "CSV_UTF8", "a.csv:1");
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

static long allocations, failing = -1; /* how many there were, and which one fails */

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_realloc(void *old, size_t size)
{
    return allocations++ == failing ? NULL : __real_realloc(old, size);
}

static void without_memory_a_header_is_not_said_to_be_wrong(void **state)
{
    char text[1000];
    struct csv_scan s;
    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    csv_scan_init(&s, "a.csv", &standard);
    for (failing = 0; !s.columns; failing++) {
        csv_scan_release(&s);
        csv_scan_init(&s, "a.csv", &standard);
        allocations = 0;
        enum st st = csv_scan_feed(&s, text, sizeof text);
        assert_int_equal(st, failing < allocations ? ST_NOMEM : ST_OK);
    }
    assert_int_equal(failing, allocations + 1);
    failing = -1;
    csv_scan_release(&s);
}

static void a_record_that_never_ends_is_refused(void **state)
{
    size_t len = 3 * RECORD_MAX;
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
    static const size_t pieces[] = {
        1, 4099, RECORD_MAX - 1, RECORD_MAX, RECORD_MAX + 3, RECORD_MAX + 4, 2 * RECORD_MAX};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *full = one_record("x", RECORD_MAX, ends[i]);
        char *over = one_record("x", RECORD_MAX + 1, ends[i]);
        char *quoted = one_record("\"\n,\n", RECORD_MAX + 1, ends[i]);
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
        cmocka_unit_test(fields_come_without_quotes_and_empty_ones_are_null),
        cmocka_unit_test(a_dialect_has_its_own_signs),
        cmocka_unit_test(an_escape_at_the_end_of_quotes_does_not_end_them),
        cmocka_unit_test(a_short_row_is_rejected_with_line_and_first_missing_column),
        cmocka_unit_test(a_long_row_is_rejected_with_line_and_first_surplus_column),
        cmocka_unit_test(a_row_that_is_not_UTF_8_is_rejected_with_line_and_column),
        cmocka_unit_test(what_is_not_written_as_an_integer_is_none),
        cmocka_unit_test(a_decimal_has_no_more_digits_than_its_type),
        cmocka_unit_test(a_time_has_no_offset_or_no_zone_where_its_type_has_none),
        cmocka_unit_test(a_file_that_ends_inside_quotes_says_where_they_began),
        cmocka_unit_test(text_around_a_quoted_field_is_refused),
        cmocka_unit_test(nul_and_a_header_that_is_not_UTF_8_are_refused_with_their_line),
        cmocka_unit_test(line_ends_that_are_mixed_or_lone_are_refused),
        cmocka_unit_test(a_header_must_name_every_column_once),
        cmocka_unit_test(without_memory_a_header_is_not_said_to_be_wrong),
        cmocka_unit_test(a_record_that_never_ends_is_refused),
        cmocka_unit_test(a_record_may_have_the_full_length_wherever_the_pieces_end),
    };
    return cmocka_run_group_tests_name("ingest_csv", tests, NULL, NULL);
}
