#include "base/json.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *parse(const char *text)
{
    json_t *json = NULL;

    assert_int_equal(jx_parse_object(&json, text, strlen(text)), ST_OK);
    return json;
}

static void only_one_whole_object_without_duplicates_is_taken(void **state)
{
    static const char *const BAD[] = {"",         "[]",          "{} x",    "{\"a\":1,\"a\":2}",
                                      "{\"a\":}", "{\"a\":NaN}", "{'a':1}", "{\"a\":1,}"};
    json_t *json = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        if (jx_parse_object(&json, BAD[i], strlen(BAD[i])) != ST_INVALID)
            fail_msg("accepted: %s", BAD[i]);
    assert_int_equal(jx_parse_object(&json, "{}\0", 3), ST_INVALID);
    assert_int_equal(jx_parse_object(&json, "{\n  \"a\": secret}", 17), ST_INVALID);
    assert_string_equal(st_code(), "INVALID_JSON");
    assert_non_null(strstr(st_place_text(), "line 2"));
    assert_null(strstr(st_message(), "secret"));
}

static void nesting_has_a_limit(void **state)
{
    char text[4000];
    json_t *json = NULL;

    (void)state;
    memset(text, '[', sizeof text);
    memcpy(text, "{\"a\":", 5);
    memset(text + 1005, ']', 1000);
    text[2005] = '}';
    assert_int_equal(jx_parse_object(&json, text, 2006), ST_INVALID);
}

static void members_are_typed_bounded_and_known(void **state)
{
    static const char *const NAMES[] = {"n", "s", "b", NULL};
    json_t *json = parse("{\"n\":7,\"s\":\"x\",\"b\":true,\"nil\":null}");
    const char *text;
    int64_t number;
    bool flag;

    (void)state;
    assert_int_equal(jx_integer(&number, json, "", "n", 1, 0, 7), ST_OK);
    assert_int_equal(number, 7);
    assert_int_equal(jx_integer(&number, json, "/p", "n", 1, 0, 6), ST_INVALID);
    assert_string_equal(st_place_text(), "/p/n");
    assert_int_equal(jx_integer(&number, json, "", "nil", 5, 0, 6), ST_OK);
    assert_int_equal(number, 5);
    assert_int_equal(jx_need_string(&text, json, "", "s"), ST_OK);
    assert_string_equal(text, "x");
    assert_int_equal(jx_need_string(&text, json, "", "gone"), ST_INVALID);
    assert_int_equal(jx_need_string(&text, json, "", "n"), ST_INVALID);
    assert_string_equal(st_code(), "WRONG_TYPE");
    assert_int_equal(jx_boolean(&flag, json, "", "s", false), ST_INVALID);
    assert_int_equal(jx_only(json, "/p", NAMES), ST_INVALID);
    assert_string_equal(st_code(), "UNKNOWN_FIELD");
    assert_string_equal(st_place_text(), "/p/nil");
    json_decref(json);
}

static void places_are_json_pointers(void **state)
{
    static const char *const NAMES[] = {NULL};
    static const char *const CASES[][2] = {
        {"{\"a/b\":1}", "/p/a~1b"}, {"{\"~\":1}", "/p/~0"},        {"{\"~1\":1}", "/p/~01"},
        {"{\"/\":1}", "/p/~1"},     {"{\"plain\":1}", "/p/plain"}, {"{\"\":1}", "/p/"},
    };
    char part[2 * JX_NAME_MAX + 1], name[2 * JX_NAME_MAX], text[3 * JX_NAME_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_t *json = parse(CASES[i][0]);
        assert_int_equal(jx_only(json, "/p", NAMES), ST_INVALID);
        assert_string_equal(st_place_text(), CASES[i][1]);
        json_decref(json);
    }
    memset(name, '/', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(strlen(jx_pointer_part(part, name)), 2 * JX_NAME_MAX);
    /* Cut between two characters, not within one: the message says the name, too. */
    name[JX_NAME_MAX - 1] = (char)0xc3;
    name[JX_NAME_MAX] = (char)0xa9;
    assert_int_equal(strlen(jx_pointer_part(part, name)), 2 * (JX_NAME_MAX - 1));
    snprintf(text, sizeof text, "{\"%s\":1}", name);
    json_t *json = parse(text);
    assert_int_equal(jx_only(json, "", NAMES), ST_INVALID);
    assert_true(utf8_is_valid(st_message(), strlen(st_message())));
    assert_true(utf8_is_valid(st_place_text(), strlen(st_place_text())));
    json_decref(json);
}

static void equal_values_have_equal_canonical_bytes(void **state)
{
    json_t *a = parse("{\"b\":1,\"a\":[1,2]}"), *b = parse("{\"a\":[1,2], \"b\":1}");
    char *first = jx_text(a, true), *second = jx_text(b, true);

    (void)state;
    assert_string_equal(first, second);
    assert_string_equal(first, "{\"a\":[1,2],\"b\":1}");
    free(first);
    free(second);
    json_decref(a);
    json_decref(b);
}

/* What is stored and hashed has the digits that it always had. */
static void a_real_number_is_written_as_it_was_said(void **state)
{
    static const char SAID[] =
        "{\"a\":[0.2,0.1,5.0,-0.0,1e300,2.5e-7,0.30000000000000004,"
        "123456789012345680.0],\"0.20000000000000001\":"
        "\"0.20000000000000001 \\\"0.20000000000000001\",\"n\":20000000000000001}";
    json_t *json = parse(SAID), *again;
    struct buf pretty;

    (void)state;
    char *text = jx_text(json, false), *canonical = jx_text(json, true);
    assert_string_equal(text,
                        "{\"a\":[0.2,0.1,5.0,-0.0,1e+300,2.5e-07,0.30000000000000004,"
                        "1.2345678901234568e+17],\"0.20000000000000001\":"
                        "\"0.20000000000000001 \\\"0.20000000000000001\",\"n\":20000000000000001}");
    assert_non_null(strstr(canonical, "[0.20000000000000001,0.10000000000000001,5.0,-0.0,"));
    again = parse(text);
    assert_true(json_equal(json, again));
    buf_init(&pretty, 1000);
    jx_write_pretty(&pretty, json);
    assert_non_null(strstr(pretty.data, "\n    0.2,\n    0.1,\n"));
    buf_release(&pretty);
    free(canonical);
    free(text);
    json_decref(again);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_whole_object_without_duplicates_is_taken),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(members_are_typed_bounded_and_known),
        cmocka_unit_test(places_are_json_pointers),
        cmocka_unit_test(equal_values_have_equal_canonical_bytes),
        cmocka_unit_test(a_real_number_is_written_as_it_was_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
