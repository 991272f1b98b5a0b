/* A definition's SQL is checked by a child: what becomes of one that takes too long, that nobody
 * waits for any more, that dies, or says something else than a verdict. The child is a script. */
#include "api/check.h"

#include "base/clock.h"
#include "base/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_NS 30000000000u

static char directory[] = "/tmp/everline-check-XXXXXX", program[FS_PATH_MAX], pid_file[FS_PATH_MAX];
static uint64_t skew_ns; /* what the clock is ahead by */

uint64_t __real_clock_steady_ns(void);
uint64_t __wrap_clock_steady_ns(void);
enum st __wrap_program_sibling(char out[FS_PATH_MAX], const char *name);

uint64_t __wrap_clock_steady_ns(void)
{
    return __real_clock_steady_ns() + skew_ns;
}

enum st __wrap_program_sibling(char out[FS_PATH_MAX], const char *name)
{
    assert_string_equal(name, "everline-ingest");
    return fs_path(out, "%s", program);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) && !fs_path(program, "%s/program", directory) &&
                   !fs_path(pid_file, "%s/pid", directory)
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(pid_file);
    (void)unlink(program);
    return rmdir(directory);
}

/* What the program's `script` makes of a definition. */
static enum st check(const char *script, enum st (*go_on_fn)(void *ctx), void *ctx)
{
    json_t *document = json_pack("{s:s}", "name", "things");
    FILE *f = fopen(program, "w");

    assert_non_null(f);
    assert_true(fprintf(f, "#!/bin/sh\n%s\n", script) > 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(program, 0700), 0);
    (void)unlink(pid_file);
    skew_ns = 0;
    enum st st = api_check_sql(document, go_on_fn, ctx);
    json_decref(document);
    return st;
}

/* Of the script, which has written it; 0: not yet. */
static pid_t child(void)
{
    FILE *f = fopen(pid_file, "r");
    int pid = 0;

    if (f && fscanf(f, "%d\n", &pid) != 1)
        pid = 0;
    if (f)
        (void)fclose(f);
    return pid;
}

static const char *hanging(void)
{
    static char script[2 * FS_PATH_MAX];

    snprintf(script, sizeof script, "echo $$ >%s; exec sleep 600", pid_file);
    return script;
}

/* As soon as the child hangs the time is over. */
static enum st let_time_pass(void *ctx)
{
    if (!*(pid_t *)ctx && (*(pid_t *)ctx = child()) != 0)
        skew_ns = LIMIT_NS;
    return ST_OK;
}

static enum st stop(void *ctx)
{
    *(pid_t *)ctx = child();
    return *(pid_t *)ctx ? st_fail(ST_UNAVAILABLE, "STOPPING", "a test") : ST_OK;
}

static void what_takes_longer_than_half_a_minute_is_ended(void **state)
{
    pid_t pid = 0;

    (void)state;
    assert_int_equal(check(hanging(), let_time_pass, &pid), ST_TIMEOUT);
    assert_string_equal(st_code(), "CHECK_TIMEOUT");
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void who_asks_can_end_it(void **state)
{
    pid_t pid = 0;

    (void)state;
    assert_int_equal(check(hanging(), stop, &pid), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "STOPPING");
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void the_definition_is_what_the_child_reads(void **state)
{
    (void)state;
    assert_int_equal(
        check("[ \"$1 $2 $(cat /dev/stdin)\" = 'verdict - {\"name\":\"things\"}' ] || exit 1\n"
              "echo '{\"ok\": true}'",
              NULL, NULL),
        ST_OK);
}

static void what_is_no_verdict_is_none(void **state)
{
    static const char *const SCRIPTS[] = {
        "",
        "exit 127",
        "echo",
        "echo '{}'",
        "echo '{\"ok\": false}'",
        "echo '{\"ok\": 1}'",
        "echo '{\"ok\": true'",
        "kill -9 $$",
        "printf '{\"ok\": true, \"more\": \"%070000d\"}' 0",
    };

    (void)state;
    for (size_t i = 0; i < sizeof SCRIPTS / sizeof SCRIPTS[0]; i++) {
        if (check(SCRIPTS[i], NULL, NULL) != ST_UNREACHABLE)
            fail_msg("%s: taken", SCRIPTS[i]);
        assert_string_equal(st_code(), "CHECK_DIED");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_takes_longer_than_half_a_minute_is_ended),
        cmocka_unit_test(who_asks_can_end_it),
        cmocka_unit_test(the_definition_is_what_the_child_reads),
        cmocka_unit_test(what_is_no_verdict_is_none),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
