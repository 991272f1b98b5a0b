/* The parser of JSON against jansson's as the oracle, and without memory. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static long allocations;    /* of the parser and of jansson, since the last reset */
static long fail_from = -1; /* the first that fails; -1: none does */
static long fail_until;
static long living; /* blocks of jansson */

static bool must_fail(void)
{
    long n = allocations++;
    return fail_from >= 0 && n >= fail_from && n < fail_until;
}

static void *allocate(size_t size)
{
    void *p = must_fail() ? NULL : malloc(size);

    living += p != NULL;
    return p;
}

static void release(void *p)
{
    living -= p != NULL;
    free(p);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __real_realloc(old, size);
}

static const char LONG[] = "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"";

static const char *const DOCUMENTS[] = {
    "{}",
    "[]",
    "{\"a\":[{},[],{\"b\":{}}],\"c\":[[[1]]]}",
    " \t\r\n{ \"a\" : 1 , \"b\" : [ 1 , 2 ] } \n",
    "[true,false,null]",
    "[0,-0,1,-1,9223372036854775807,-9223372036854775808,1000000000000000000]",
    "[0.5,-0.5,1e3,1E-3,1.25e+2,0.1,123456789.123456789,1e-400,-0.0]",
    "[3.14159265358979323846264338327950288419716939937510582097494459]",
    "[\"\",\"a\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u0001\\u00e9\\u20AC\\uD83D\\uDE00\"]",
    "[\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"]",
    "{\"\\u0061b\":1,\"\":2,\"tab\\t\":{\"tab\\t\":[\"tab\\t\"]}}",
    "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10}",
    "[1,2,3,4,5,6,7,8,9,10,\"eleven\",{\"twelve\":12}]",
    "{\"a long name that does not fit into sixteen bytes\":\"a long value that does not either\"}",
    "{\"escaped, and longer than sixteen bytes\\n\":\"escaped \\u20AC and longer than sixteen\"}",
    /* refused */
    "",
    " ",
    "{",
    "[",
    "[1",
    "[1,",
    "[1,]",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,}",
    "[,]",
    "{a:1}",
    "{'a':1}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{1:2}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":1,\"\\u0061\":2}",
    "[1 2]",
    "{} {}",
    "[] x",
    "[01]",
    "[-]",
    "[+1]",
    "[.5]",
    "[1.]",
    "[1.e1]",
    "[1e]",
    "[1e+]",
    "[-a]",
    "[0x10]",
    "[1e400]",
    "[-1e400]",
    "[9223372036854775808]",
    "[-9223372036854775809]",
    "[99999999999999999999999999999999999999999999]",
    "[NaN]",
    "[Infinity]",
    "[tru]",
    "[truefalse]",
    "[nullnullnullnullnullnullnull]",
    "[True]",
    "[\"a]",
    "[\"\\",
    "[\"\\u",
    "[\"\\u12",
    "[\"\\u123",
    "[\"\\x\"]",
    "[\"\\u12G4\"]",
    "[\"\\uD800\"]",
    "[\"\\uD800\\n\"]",
    "[\"\\uD800\\u0041\"]",
    "[\"\\uD800\\uD800\"]",
    "[\"\\uDC00\"]",
    "[\"\\u0000\"]",
    "{\"\\u0000\":1}",
    "[\"line\nbreak\"]",
    "[\"tab\tin it\"]",
    "[\"\x80\"]",
    "[\"\xC3\"]",
    "[\"\xC0\x80\"]",
    "[\"\xED\xA0\x80\"]",
    "[\"\xF4\x90\x80\x80\"]",
    "[\xC3\xA9]",
    "[\"\xFF\"]",
    "\xEF\xBB\xBF{}",
};
#define COUNT (sizeof DOCUMENTS / sizeof DOCUMENTS[0])

/* In a block of its own size, so that a sanitizer sees a read beyond it. As jx_parse_object parses:
 * `text` becomes the value of a member. */
static enum st parse(json_t **out, const char *text, size_t len)
{
    char *body = malloc(len + 6);

    assert_non_null(body);
    memcpy(body, "{\"v\":", 5);
    memcpy(body + 5, text, len);
    body[len + 5] = '}';
    enum st st = jx_parse_object(out, body, len + 6);
    free(body);
    return st;
}

static void compare(const char *text, size_t len)
{
    char copy[512];
    json_t *ours = NULL;

    assert_true(len < sizeof copy - 8);
    memcpy(copy, "{\"v\":", 5);
    memcpy(copy + 5, text, len);
    memcpy(copy + 5 + len, "}", 2);
    json_t *theirs = NULL;
    if (!memchr(text, '\0', len)) /* which jansson leaves out after a number */
        theirs = json_loadb(copy, len + 6, JSON_REJECT_DUPLICATES, NULL);
    enum st st = parse(&ours, text, len);
    if (st != (theirs ? ST_OK : ST_INVALID) || (theirs && !json_equal(ours, theirs)))
        fail_msg("%s: %s %s", copy, theirs ? "refused" : "accepted", st ? st_message() : "");
    if (st) {
        assert_null(ours);
        assert_string_equal(st_code(), "INVALID_JSON");
    }
    json_decref(ours);
    json_decref(theirs);
}

static void it_takes_what_jansson_takes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        compare(DOCUMENTS[i], strlen(DOCUMENTS[i]));
    compare("[1]\0", 4);
    compare("[\"\0\"]", 5);
    compare(LONG, sizeof LONG - 1);
}

/* Every document with every byte replaced, removed or doubled. */
static void it_refuses_what_jansson_refuses(void **state)
{
    static const char OTHER[] = "\"\\{}[]:,019-+.eEtu \n\x01\x80\xC3\xED/";

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        size_t len = strlen(DOCUMENTS[i]);
        for (size_t at = 0; at < len; at++) {
            char text[256];
            memcpy(text, DOCUMENTS[i], len);
            for (size_t o = 0; o < sizeof OTHER; o++) { /* its NUL, too */
                text[at] = OTHER[o];
                compare(text, len);
            }
            memcpy(text, DOCUMENTS[i], at);
            memcpy(text + at, DOCUMENTS[i] + at + 1, len - at - 1);
            compare(text, len - 1);
            memcpy(text, DOCUMENTS[i], at + 1);
            memcpy(text + at + 1, DOCUMENTS[i] + at, len - at);
            compare(text, len + 1);
        }
    }
}

/* `whole`: what the parse says with memory, which is right for a bad text without memory, too. */
static void try_without_memory(const char *text, enum st whole, long from, long until)
{
    json_t *value = NULL;

    allocations = 0;
    fail_from = from;
    fail_until = until;
    enum st st = parse(&value, text, strlen(text));
    fail_from = -1;
    if (st != ST_NOMEM && !(whole && st == whole))
        fail_msg("allocation %ld of %s: %s", from, text, st_name(st));
    assert_null(value);
    assert_int_equal(living, 0);
}

/* jansson's own parser aborts at some of these, or says that the text is wrong. */
static void without_memory_it_says_so_and_leaves_nothing(void **state)
{
    long tried = 0;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        json_t *value = NULL;
        allocations = 0;
        enum st st = parse(&value, DOCUMENTS[i], strlen(DOCUMENTS[i]));
        long counted = allocations;
        json_decref(value);
        assert_int_equal(living, 0);
        for (long n = 0; n < counted; n++, tried += 2) {
            try_without_memory(DOCUMENTS[i], st, n, n + 1);
            try_without_memory(DOCUMENTS[i], st, n, counted + 1);
        }
        assert_true(st == ST_OK || st == ST_INVALID);
    }
    assert_true(tried > 500);
}

static void faults_have_a_line_and_a_column(void **state)
{
    static const struct {
        const char *text, *place, *says;
    } FAULTS[] = {
        {"{\"a\":1,\n \"b\":x}", "line 2, column 6", "syntax"},
        {"{\"\xC3\xA9\xC3\xA9\":x}", "line 1, column 7", "syntax"},
        {"{\"a\":1,\"a\":2}", "line 1, column 11", "twice"},
        {"{\"a\":[1,2", "line 1, column 10", "ends too early"},
        {"{\"a\":\"", "line 1, column 7", "ends too early"},
        {"{}\n{}", "line 2, column 1", "follows"},
        {"{\"a\":1e999}", "line 1, column 11", "out of range"},
        {"{\"a\":\"\xFF\"}", "line 1, column 8", "UTF-8"},
        {"[1]", "line 1, column 1", "object"},
        {"1", "line 1, column 1", "object"},
    };
    json_t *value;

    (void)state;
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        assert_int_equal(jx_parse_object(&value, FAULTS[i].text, strlen(FAULTS[i].text)),
                         ST_INVALID);
        assert_string_equal(st_place_text(), FAULTS[i].place);
        assert_non_null(strstr(st_message(), FAULTS[i].says));
    }
}

static void wide_integers_are_reals_where_they_may_be(void **state)
{
    json_t *value;

    (void)state;
    assert_int_equal(jx_parse_wide(&value, "[18446744073709551615,7]", 24), ST_OK);
    assert_true(json_real_value(json_array_get(value, 0)) == 18446744073709551615.0);
    assert_int_equal(json_integer_value(json_array_get(value, 1)), 7);
    json_decref(value);
    assert_int_equal(jx_parse_wide(&value, " 12 ", 4), ST_OK);
    assert_int_equal(json_integer_value(value), 12);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_takes_what_jansson_takes),
        cmocka_unit_test(it_refuses_what_jansson_refuses),
        cmocka_unit_test(without_memory_it_says_so_and_leaves_nothing),
        cmocka_unit_test(faults_have_a_line_and_a_column),
        cmocka_unit_test(wide_integers_are_reals_where_they_may_be),
    };

    json_set_alloc_funcs(allocate, release);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
