/* What is logged is a line, whatever is in it. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/status.h"

/* What the call wrote to stderr. */
static void read_line(char out[8192], void (*call_fn)(const char *), const char *text)
{
    int fds[2], before = dup(STDERR_FILENO);

    assert_int_equal(pipe(fds), 0);
    assert_true(before >= 0 && dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
    call_fn(text);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    close(before);
    close(fds[1]);
    ssize_t n = read(fds[0], out, 8191);
    close(fds[0]);
    assert_true(n > 0);
    out[n] = '\0';
}

static void say_event(const char *text)
{
    log_event(LOG_LEVEL_ERROR, "test", "%s", text);
}

static void say_failure(const char *text)
{
    if (st_fail(ST_IO, NULL, "the disk is gone"))
        log_failure(LOG_LEVEL_ERROR, "test", "%s", text);
}

static void a_message_is_cut_between_two_characters(void **state)
{
    char text[2048], line[8192];

    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    for (size_t shift = 0; shift < 2; shift++) { /* either length of a cut */
        memset(text, 'x', shift);
        for (size_t i = shift; i + 2 < sizeof text; i += 2)
            memcpy(text + i, "\xc3\xa9", 3);
        read_line(line, say_event, text);
        assert_true(strlen(line) < sizeof text);
        assert_non_null(strstr(line, "\xc3\xa9\xc3\xa9\"}\n"));
        read_line(line, say_failure, text);
        assert_true(strlen(line) < sizeof text);
        assert_non_null(strstr(line, "\xc3\xa9\xc3\xa9: the disk is gone\""));
    }
}

/* U+009B alone begins what ESC [ does. */
static void a_terminal_obeys_no_message(void **state)
{
    char line[8192];

    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    read_line(line, say_event,
              "a\x1b[2J\xc2\x9b"
              "2J\n\x7f\xc3\xa9\xc2\xa0"
              "b");
    assert_non_null(strstr(line, "test: a?[2J?2J??\xc3\xa9\xc2\xa0"
                                 "b\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_cut_between_two_characters),
        cmocka_unit_test(a_terminal_obeys_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
