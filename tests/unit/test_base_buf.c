#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void an_append_over_the_cap_fails_and_stays_failed(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    buf_addstr(&b, "12345678");
    assert_int_equal(buf_status(&b), ST_OK);
    assert_string_equal(b.data, "12345678");
    buf_addch(&b, '9');
    assert_int_equal(buf_status(&b), ST_TOO_LARGE);
    assert_true(b.len <= 8);
    assert_null(buf_take(&b));
    buf_reset(&b);
    buf_addstr(&b, "ok");
    assert_int_equal(buf_status(&b), ST_OK);
    assert_string_equal(b.data, "ok");
    buf_release(&b);
    assert_null(b.data);
    buf_release(&b);
}

static void a_buffer_of_the_callers_ends_where_its_room_does(void **state)
{
    char room[5] = "????";
    struct buf b;

    (void)state;
    buf_init_fixed(&b, room, sizeof room);
    assert_string_equal(room, "");
    buf_addu64(&b, 123);
    buf_addch(&b, '4');
    assert_int_equal(buf_status(&b), ST_OK);
    assert_string_equal(room, "1234");
    buf_addch(&b, '5');
    assert_int_equal(buf_status(&b), ST_TOO_LARGE);
    assert_string_equal(room, "1234");
}

static void numbers_are_written_to_their_limits(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_addu64(&b, UINT64_MAX);
    buf_addch(&b, ' ');
    buf_addi64(&b, INT64_MIN);
    buf_addf(&b, " %s%d", "x", 0);
    assert_int_equal(buf_status(&b), ST_OK);
    assert_string_equal(b.data, "18446744073709551615 -9223372036854775808 x0");
    buf_release(&b);
}

static void json_strings_are_escaped_and_bad_utf8_refused(void **state)
{
    static const char *const BAD[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x82"};
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_add_json_string(&b, "a\"\\\n\x01\0z", 7);
    assert_int_equal(buf_status(&b), ST_OK);
    assert_string_equal(b.data, "\"a\\\"\\\\\\n\\u0001\\u0000z\"");
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        buf_reset(&b);
        buf_add_json_string(&b, BAD[i], strlen(BAD[i]));
        assert_int_equal(buf_status(&b), ST_INVALID);
    }
    buf_release(&b);
}

static void taking_hands_over_the_bytes_and_empties_the_buffer(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_addstr(&b, "mine");
    char *taken = buf_take(&b);
    assert_string_equal(taken, "mine");
    assert_int_equal(b.len, 0);
    assert_null(b.data);
    free(taken);
    buf_release(&b);
}

static void every_ascii_byte_is_escaped_as_it_must_be_wherever_it_stands(void **state)
{
    (void)state;
    for (size_t at = 0; at < 20; at++)
        for (int c = 1; c < 0x80; c++) {
            char text[21] = "abcdefghijklmnopqrst", expected[40], escape[8] = {(char)c};
            const char *shorts = strchr("\bb\tt\nn\ff\rr\"\"\\\\", c);
            text[at] = (char)c;
            if (c == '"' || c == '\\')
                snprintf(escape, sizeof escape, "\\%c", c);
            else if (c < 0x20 && shorts)
                snprintf(escape, sizeof escape, "\\%c", shorts[1]);
            else if (c < 0x20)
                snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c);
            snprintf(expected, sizeof expected, "\"%.*s%s%s\"", (int)at, text, escape,
                     text + at + 1);
            struct buf b;
            buf_init(&b, 100);
            buf_add_json_string(&b, text, 20);
            assert_string_equal(b.data, expected);
            buf_release(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ascii_byte_is_escaped_as_it_must_be_wherever_it_stands),
        cmocka_unit_test(an_append_over_the_cap_fails_and_stays_failed),
        cmocka_unit_test(a_buffer_of_the_callers_ends_where_its_room_does),
        cmocka_unit_test(numbers_are_written_to_their_limits),
        cmocka_unit_test(json_strings_are_escaped_and_bad_utf8_refused),
        cmocka_unit_test(taking_hands_over_the_bytes_and_empties_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
