#include "api/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

/* RFC 4180: whatever a value is, it is one field, and of one line. */
static void every_value_is_one_field(void **state)
{
    static const char *const COLUMNS[] = {"text", "number", "list", "absent", NULL};
    json_t *items =
        json_pack("[{s:s, s:i, s:[s, s]}, {s:s, s:i, s:[]}]", "text", "a,\"b\"\n", "number", -1,
                  "list", "x,y", "z", "text", "plain", "number", 2, "list");
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    api_csv(&out, items, COLUMNS);
    assert_int_equal(buf_status(&out), ST_OK);
    assert_string_equal(out.data, "text,number,list,absent\n"
                                  "\"a,\"\"b\"\" \",-1,\"x,y z\",\n"
                                  "plain,2,,\n");
    buf_release(&out);
    json_decref(items);
}

static void text_is_neither_a_formula_nor_what_a_terminal_obeys(void **state)
{
    static const struct {
        const char *text, *field;
    } CASES[] = {
        {"=1+1", "'=1+1"},
        {"+1", "'+1"},
        {"-1", "'-1"},
        {"@f", "'@f"},
        {"\t=1", "' =1"},
        {"\r\n-1", "'  -1"},
        {"  \xC2\x85=1", "'    =1"},
        {"\xEF\xBC\x9D"
         "1",
         "'\xEF\xBC\x9D"
         "1"},
        {"=f(\"a\",1)", "\"'=f(\"\"a\"\",1)\""},
        {"a=1", "a=1"},
        {"'=1", "'=1"},
        {"\xEF\xBC\xA1", "\xEF\xBC\xA1"},
        {"a\x1b[31m\x7f"
         "b\xC2\x9B"
         "c",
         "a [31m b  c"},
        {"", ""},
    };
    static const char *const COLUMNS[] = {"a", NULL};

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        json_t *items = json_pack("[{s:s}, {s:[s, s]}]", "a", CASES[i].text, "a", "=", "b");
        char expected[100];
        struct buf out;
        buf_init(&out, 1000);
        api_csv(&out, items, COLUMNS);
        assert_int_equal(buf_status(&out), ST_OK);
        snprintf(expected, sizeof expected, "a\n%s\n'= b\n", CASES[i].field);
        assert_string_equal(out.data, expected);
        buf_release(&out);
        json_decref(items);
    }
}

static void a_number_that_is_negative_stays_one(void **state)
{
    static const char *const COLUMNS[] = {"a", "b", NULL};
    json_t *items = json_pack("[{s:i, s:f}]", "a", -1, "b", -0.5);
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    api_csv(&out, items, COLUMNS);
    assert_string_equal(out.data, "a,b\n-1,-0.500\n");
    buf_release(&out);
    json_decref(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_is_one_field),
        cmocka_unit_test(text_is_neither_a_formula_nor_what_a_terminal_obeys),
        cmocka_unit_test(a_number_that_is_negative_stays_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
