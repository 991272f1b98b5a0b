#include "base/status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void a_failure_leaves_its_message_and_code(void **state)
{
    (void)state;
    assert_int_equal(st_hint(st_fail(ST_FULL, "QUOTA", "%d of %d", 3, 2), "remove one"), ST_FULL);
    assert_string_equal(st_message(), "3 of 2");
    assert_string_equal(st_code(), "QUOTA");
    assert_string_equal(st_hint_text(), "remove one");
    assert_int_equal(st_fail(ST_INVALID, NULL, "other"), ST_INVALID);
    assert_string_equal(st_code(), "INVALID");
    assert_string_equal(st_hint_text(), "");
}

static void errno_values_become_the_statuses_the_header_promises(void **state)
{
    (void)state;
    assert_int_equal(st_fail_errno(ENOSPC, "x"), ST_FULL);
    assert_int_equal(st_fail_errno(EDQUOT, "x"), ST_FULL);
    assert_int_equal(st_fail_errno(ENOMEM, "x"), ST_NOMEM);
    assert_int_equal(st_fail_errno(ENOENT, "x"), ST_NOT_FOUND);
    assert_int_equal(st_fail_errno(EACCES, "opening"), ST_IO);
    assert_string_equal(st_message(), "opening: Permission denied");
}

static void wrapping_keeps_the_message_and_puts_words_in_front(void **state)
{
    char long_text[2000];

    (void)state;
    (void)!st_fail(ST_IO, "X", "inner");
    assert_int_equal(st_wrap(ST_IO, "outer %d", 7), ST_IO);
    assert_string_equal(st_message(), "outer 7: inner");
    assert_string_equal(st_code(), "X");
    memset(long_text, 'm', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(st_wrap(ST_IO, "%s", long_text), ST_IO);
    assert_int_equal(strlen(st_message()), sizeof((struct st_report *)0)->message - 1);
}

static void a_saved_report_can_be_restored(void **state)
{
    struct st_report report;

    (void)state;
    st_save(&report, st_place(st_fail(ST_GONE, "WAS_HERE", "one"), "/a"));
    (void)!st_fail(ST_IO, NULL, "two");
    assert_int_equal(st_restore(&report), ST_GONE);
    assert_string_equal(st_message(), "one");
    assert_string_equal(st_code(), "WAS_HERE");
    assert_string_equal(st_place_text(), "/a");
}

static void every_status_has_a_name_and_an_exit_code(void **state)
{
    (void)state;
    for (int i = ST_END; i < 0; i++) {
        assert_non_null(st_name((enum st)i));
        assert_string_not_equal(st_name((enum st)i), "UNKNOWN");
        assert_int_not_equal(st_exit_code((enum st)i), 0);
    }
    assert_int_equal(st_exit_code(ST_OK), 0);
    assert_int_equal(st_exit_code(ST_USAGE), 2);
    assert_int_equal(st_exit_code(ST_UNREACHABLE), 3);
    assert_int_equal(st_exit_code(ST_HELD), 4);
    assert_string_equal(st_name((enum st) - 99), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_leaves_its_message_and_code),
        cmocka_unit_test(errno_values_become_the_statuses_the_header_promises),
        cmocka_unit_test(wrapping_keeps_the_message_and_puts_words_in_front),
        cmocka_unit_test(a_saved_report_can_be_restored),
        cmocka_unit_test(every_status_has_a_name_and_an_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
