#include "base/status.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void only_rfc_3629_is_valid(void **state)
{
    static const char *const good[] = {
        "", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf",
    };
    static const char *const bad[] = {
        "\x80",             /* nothing before it */
        "\xc3",             /* cut */
        "\xc0\xaf",         /* overlong */
        "\xe0\x80\xaf",     /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* past U+10FFFF */
        "\xff",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(utf8_is_valid(good[i], strlen(good[i])));
    /* At every place, since eight bytes are looked at together. */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int before = 0; before < 20; before++) {
            char text[64];
            int n =
                snprintf(text, sizeof text, "%.*s%s", before, "abcdefghijklmnopqrstuvwx", bad[i]);
            assert_false(utf8_is_valid(text, (size_t)n));
            utf8_mend(text);
            assert_true(utf8_is_valid(text, strlen(text)));
            assert_int_equal(strlen(text), n);
            assert_int_equal(text[before], '?');
        }
}

static void a_cut_ends_between_characters(void **state)
{
    (void)state;
    assert_int_equal(utf8_cut("ab\xe2\x82\xac", 9), 5);
    assert_int_equal(utf8_cut("ab\xe2\x82\xac", 5), 5);
    assert_int_equal(utf8_cut("ab\xe2\x82\xac", 4), 2);
    assert_int_equal(utf8_cut("ab\xe2\x82\xac", 3), 2);
    assert_int_equal(utf8_cut("ab\xe2\x82\xac", 2), 2);
}

static void a_report_that_was_cut_is_still_text(void **state)
{
    char text[700];
    (void)state;
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    for (int shift = 0; shift < 2; shift++) {
        (void)!st_place(
            st_hint(st_fail(ST_IO, NULL, "%.*s%s", shift, "x", text), "%.*s%s", shift, "x", text),
            "%.*s%s", shift, "x", text);
        assert_true(utf8_is_valid(st_message(), strlen(st_message())));
        assert_true(utf8_is_valid(st_hint_text(), strlen(st_hint_text())));
        assert_true(utf8_is_valid(st_place_text(), strlen(st_place_text())));
        (void)!st_wrap(ST_IO, "%.300s", text + 1);
        assert_true(utf8_is_valid(st_message(), strlen(st_message())));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_rfc_3629_is_valid),
        cmocka_unit_test(a_cut_ends_between_characters),
        cmocka_unit_test(a_report_that_was_cut_is_still_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
