#include "api/cursor.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define CHECK "0123456789abcdef"

static struct api_cursor cursor(uint64_t version, size_t tuple_len)
{
    struct api_cursor c = {.version = version, .tuple_len = tuple_len};

    for (size_t i = 0; i < API_CHECK_BYTES; i++)
        c.check[i] = (unsigned char)(0xa0 + i);
    for (size_t i = 0; i < tuple_len; i++)
        c.tuple[i] = (unsigned char)(i * 7 + tuple_len);
    return c;
}

static void write_cursor(struct buf *out, const struct api_cursor *c)
{
    buf_init(out, 2048); /* what the contract gives a cursor */
    api_cursor_write(out, c);
    assert_int_equal(buf_status(out), ST_OK);
}

/* Parses a copy of its own size, so that a read beyond its end is seen. */
static enum st parse(struct api_cursor *out, const char *text)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    enum st st = api_cursor_parse(out, copy);
    free(copy);
    return st;
}

static void assert_refused(const char *text)
{
    struct api_cursor c;

    if (parse(&c, text) != ST_INVALID)
        fail_msg("taken: %s", text);
    assert_string_equal(st_code(), "INVALID_CURSOR");
    assert_string_equal(st_place_text(), "query/cursor");
}

static void assert_same(const struct api_cursor *a, const struct api_cursor *b)
{
    assert_true(a->version == b->version);
    assert_memory_equal(a->check, b->check, API_CHECK_BYTES);
    assert_int_equal(a->tuple_len, b->tuple_len);
    assert_memory_equal(a->tuple, b->tuple, a->tuple_len);
}

static void a_cursor_survives_writing_and_parsing(void **state)
{
    static const uint64_t versions[] = {1, 9, 10, 9007199254740991, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        for (size_t len = 1; len <= STORE_TUPLE_MAX; len += i ? 100 : 1) {
            struct api_cursor c = cursor(versions[i], len), parsed;
            struct buf text, again;
            write_cursor(&text, &c);
            assert_int_equal(parse(&parsed, text.data), ST_OK);
            assert_same(&parsed, &c);
            write_cursor(&again, &parsed);
            assert_string_equal(again.data, text.data);
            buf_release(&text);
            buf_release(&again);
        }
}

static void the_text_is_the_one_that_was_agreed(void **state)
{
    struct api_cursor c = {.version = 12,
                           .check = "\x01\x23\x45\x67\x89\xab\xcd\xef",
                           .tuple = "\x00\x7f\xff",
                           .tuple_len = 3};
    struct buf text;
    (void)state;
    write_cursor(&text, &c);
    assert_string_equal(text.data, "12." CHECK ".007fff");
    buf_release(&text);
}

static void whatever_is_cut_off_is_refused_or_another_cursor(void **state)
{
    struct api_cursor c = cursor(42, 5), parsed;
    struct buf text;
    (void)state;
    write_cursor(&text, &c);
    for (size_t len = 0; len < text.len; len++) {
        char start[64] = "";
        memcpy(start, text.data, len);
        if (len >= strlen("42." CHECK ".00") && (text.len - len) % 2 == 0)
            assert_int_equal(parse(&parsed, start), ST_OK); /* a page that begins earlier */
        else
            assert_refused(start);
        if (len > 0 && text.data[len] != '2') /* "2...." is a cursor, of version 2 */
            assert_refused(text.data + len);
    }
    buf_release(&text);
}

static void tampering_is_refused_or_shows(void **state)
{
    struct api_cursor c = cursor(42, 5), parsed;
    struct buf text;
    (void)state;
    write_cursor(&text, &c);
    for (size_t at = 0; at < text.len; at++)
        for (int byte = 1; byte < 256; byte++) {
            char changed[64] = "";
            struct buf again;
            memcpy(changed, text.data, text.len);
            changed[at] = (char)byte;
            if (parse(&parsed, changed) != ST_OK)
                continue;
            /* One text for each cursor: what parses is not another spelling of it. */
            write_cursor(&again, &parsed);
            assert_string_equal(again.data, changed);
            buf_release(&again);
            if (at < strlen("42." CHECK) && changed[at] != text.data[at])
                assert_int_not_equal(api_cursor_check(&parsed, c.version, c.check), ST_OK);
        }
    buf_release(&text);
}

static void only_one_spelling_is_a_cursor(void **state)
{
    static const char *const texts[] = {
        "",
        ".",
        "..",
        "...",
        "1",
        "1.",
        "1." CHECK,
        "1." CHECK ".",
        "1." CHECK ".0",
        "1." CHECK ".000",
        "." CHECK ".00",
        "0." CHECK ".00",
        "01." CHECK ".00",
        "-1." CHECK ".00",
        "+1." CHECK ".00",
        " 1." CHECK ".00",
        "1 ." CHECK ".00",
        "0x1." CHECK ".00",
        "10000000000000000000." CHECK ".00",
        "18446744073709551617." CHECK ".00",
        "1." CHECK "0.00",
        "1.0" CHECK ".00",
        "1.0123456789ABCDEF.00",
        "1.0123456789abcde.00",
        "1.0123456789abcdeg.00",
        "1." CHECK ".AB",
        "1." CHECK ".0g",
        "1." CHECK ".00 ",
        "1." CHECK ".00.",
        "1." CHECK ".00.00",
        "1." CHECK ".00\n",
        "1." CHECK ",00",
        "1," CHECK ".00",
        "1.." CHECK ".00",
        "a." CHECK ".00",
        "things",
        "\xff\xfe",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i]);
}

static void a_tuple_longer_than_any_is_refused(void **state)
{
    struct api_cursor c = cursor(1, STORE_TUPLE_MAX);
    struct buf text;
    (void)state;
    write_cursor(&text, &c);
    for (unsigned more = 1; more < 64; more++) {
        buf_addch(&text, 'a');
        assert_refused(text.data);
    }
    buf_release(&text);
}

static void a_cursor_belongs_to_one_query(void **state)
{
    const struct api_cursor c = cursor(7, 3);
    (void)state;
    assert_int_equal(api_cursor_check(&c, 7, c.check), ST_OK);
    for (size_t bit = 0; bit < 8 * API_CHECK_BYTES; bit++) {
        unsigned char other[API_CHECK_BYTES];
        memcpy(other, c.check, sizeof other);
        other[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_equal(api_cursor_check(&c, 7, other), ST_INVALID);
        assert_string_equal(st_code(), "INVALID_CURSOR");
        assert_string_equal(st_place_text(), "query/cursor");
    }
}

static void a_cursor_expires_with_its_version(void **state)
{
    static const uint64_t versions[] = {6, 8, 0, UINT64_MAX, 7 + (1ULL << 32)};
    const struct api_cursor c = cursor(7, 3);
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        assert_int_equal(api_cursor_check(&c, versions[i], c.check), ST_GONE);
        assert_string_equal(st_code(), "CURSOR_EXPIRED");
        assert_non_null(strstr(st_message(), "version 7"));
        assert_string_not_equal(st_hint_text(), "");
    }
}

/* Of another query and another version: nothing is told of versions to whom it does not belong. */
static void a_foreign_cursor_is_foreign_first(void **state)
{
    static const unsigned char other[API_CHECK_BYTES] = "foreign";
    const struct api_cursor c = cursor(7, 3);
    (void)state;
    assert_int_equal(api_cursor_check(&c, 8, other), ST_INVALID);
    assert_null(strchr(st_message(), '7'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cursor_survives_writing_and_parsing),
        cmocka_unit_test(the_text_is_the_one_that_was_agreed),
        cmocka_unit_test(whatever_is_cut_off_is_refused_or_another_cursor),
        cmocka_unit_test(tampering_is_refused_or_shows),
        cmocka_unit_test(only_one_spelling_is_a_cursor),
        cmocka_unit_test(a_tuple_longer_than_any_is_refused),
        cmocka_unit_test(a_cursor_belongs_to_one_query),
        cmocka_unit_test(a_cursor_expires_with_its_version),
        cmocka_unit_test(a_foreign_cursor_is_foreign_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
