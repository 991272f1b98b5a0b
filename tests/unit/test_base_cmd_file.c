/* The configuration file: what it says counts below the environment, and what is wrong in it is
 * told with its line. */
#include "base/cmd_internal.h"
#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cmd_option SERVE[] = {
    {.name = "data", .type = CMD_STRING, .required = true, .help = "x"},
    {.name = "ttl", .type = CMD_DURATION, .preset = "5m", .help = "x"},
    {.name = "force", .type = CMD_FLAG, .help = "x"},
    {.name = "inbox", .type = CMD_LIST, .help = "x"},
    {.name = "dry-run", .type = CMD_FLAG | CMD_ONCE, .help = "x"},
    {0},
};
static const struct cmd COMMANDS[] = {
    {.name = "serve", .operands = "", .options = SERVE},
    {.name = "token make", .operands = "", .options = SERVE},
    {0},
};
static const char *const SHARED[] = {"data", NULL};
static struct cmd_program program = {.name = "p", .commands = COMMANDS, .shared = SHARED};
static char path[] = "/tmp/everline-config-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void say(const void *text, size_t len)
{
    assert_int_equal(fs_write_atomic(path, text, len, 0600), ST_OK);
}

static enum st parse(struct cmd_args *args, const char *argument)
{
    char *argv[] = {(char *)"--config", path, (char *)argument};

    return cmd_parse(args, &program, &COMMANDS[0], argument ? 3 : 2, argv);
}

static void the_file_counts_below_the_environment_and_above_the_default(void **state)
{
    static const char TEXT[] = "\xef\xbb\xbf# data of all\ndata = /srv/a b;c\n\n[serve]\r\nttl=2s\n"
                               "  force : true\ninbox = one\ninbox = two # not a comment\n"
                               "[token make]\nttl = 9s";
    struct cmd_args args;

    (void)state;
    say(TEXT, strlen(TEXT));
    unsetenv("EVERLINE_TTL");
    assert_int_equal(parse(&args, NULL), ST_OK);
    assert_string_equal(cmd_string(&args, "data"), "/srv/a b;c");
    assert_int_equal(cmd_duration_ms(&args, "ttl"), 2000);
    assert_true(cmd_flag(&args, "force"));
    assert_string_equal(cmd_list(&args, "inbox", 0), "one");
    assert_string_equal(cmd_list(&args, "inbox", 1), "two # not a comment");
    assert_null(cmd_list(&args, "inbox", 2));
    cmd_args_release(&args);

    assert_int_equal(setenv("EVERLINE_TTL", "3s", 1), 0);
    assert_int_equal(parse(&args, NULL), ST_OK);
    assert_int_equal(cmd_duration_ms(&args, "ttl"), 3000);
    cmd_args_release(&args);
    assert_int_equal(parse(&args, "--ttl=4s"), ST_OK);
    assert_int_equal(cmd_duration_ms(&args, "ttl"), 4000);
    cmd_args_release(&args);
    unsetenv("EVERLINE_TTL");
}

static void a_section_of_its_own_beats_what_is_for_all(void **state)
{
    static const char TEXT[] = "data = /all\n[serve]\ndata = /own\nforce = 0\nttl =\n";
    struct cmd_args args;

    (void)state;
    say(TEXT, strlen(TEXT));
    assert_int_equal(parse(&args, NULL), ST_OK);
    assert_string_equal(cmd_string(&args, "data"), "/own");
    assert_false(cmd_flag(&args, "force"));
    assert_int_equal(cmd_duration_ms(&args, "ttl"), 300000); /* nothing is said of it */
    cmd_args_release(&args);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *says;
    } CASES[] = {
        {"data = /a\n[serve]\nttl = 5\n", 3, "duration"},
        {"[serve]\nforce = maybe\n", 2, "true or false"},
        {"[serve]\n\n# x\ntll = 5s\n", 4, "no option \"tll\""},
        {"[serve]\ndry-run = true\n", 2, "of one call"},
        {"[serve]\nforce = 1\ndry-run =\n", 3, "of one call"},
        {"[sevre]\nttl = 5s\n", 2, "no command \"sevre\""},
        {"ttl = 5s\n", 1, "before any section"},
        {"data = /a\ndata = /b\n", 2, "twice"},
        {"[serve]\nttl = 1s\nttl = 2s\n", 3, "twice"},
        {"data = /a\nwhat is this\n[serve]\n", 2, "neither"},
        {"data = /a\n[serve\n", 2, "neither"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct cmd_args args;
        char place[FS_PATH_MAX];
        say(CASES[i].text, strlen(CASES[i].text));
        if (parse(&args, "--data=/x") != ST_USAGE)
            fail_msg("accepted: %s", CASES[i].text);
        if (!strstr(st_message(), CASES[i].says))
            fail_msg("%s: %s", CASES[i].text, st_message());
        assert_int_equal(fs_path(place, "%s:%u", path, CASES[i].line), ST_OK);
        assert_string_equal(st_place_text(), place);
        cmd_args_release(&args);
    }
}

static void a_line_that_is_too_long_or_holds_a_nul_is_refused(void **state)
{
    static const char NUL[] = "data = /a\n[serve]\nttl = 1s\0junk\nforce = true\n";
    static char text[20000];
    struct cmd_args args;

    (void)state;
    say(NUL, sizeof NUL - 1);
    assert_int_equal(parse(&args, NULL), ST_USAGE);
    assert_non_null(strstr(st_place_text(), ":3"));
    cmd_args_release(&args);

    /* the longest there may be is taken whole */
    memset(text, 'x', sizeof text);
    memcpy(text, "data = ", 7);
    text[8000] = '\0';
    say(text, 8000);
    assert_int_equal(parse(&args, NULL), ST_OK);
    assert_string_equal(cmd_string(&args, "data"), text + 7);
    cmd_args_release(&args);
    text[8000] = 'x';
    say(text, sizeof text);
    assert_int_equal(parse(&args, NULL), ST_USAGE);
    assert_non_null(strstr(st_place_text(), ":1"));
    cmd_args_release(&args);
}

static void a_file_that_is_named_must_be_there(void **state)
{
    char *argv[] = {(char *)"--config=/tmp/everline-no-such-file"};
    struct cmd_args args;

    (void)state;
    assert_int_equal(cmd_parse(&args, &program, &COMMANDS[0], 1, argv), ST_NOT_FOUND);
    cmd_args_release(&args);
    say("[serve]\n", 8);
    assert_int_equal(parse(&args, NULL), ST_USAGE); /* --data is needed */
    assert_non_null(strstr(st_message(), "--data"));
    cmd_args_release(&args);
}

static void sections_of_other_programs_are_theirs(void **state)
{
    static const char TEXT[] = "data = /a\n[their command]\nttl = 5\nttl = 6\n";
    struct cmd_args args;

    (void)state;
    say(TEXT, strlen(TEXT));
    program.partial = true;
    assert_int_equal(parse(&args, NULL), ST_OK);
    cmd_args_release(&args);
    program.partial = false;
    assert_int_equal(parse(&args, NULL), ST_USAGE);
    cmd_args_release(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_counts_below_the_environment_and_above_the_default),
        cmocka_unit_test(a_section_of_its_own_beats_what_is_for_all),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(a_line_that_is_too_long_or_holds_a_nul_is_refused),
        cmocka_unit_test(a_file_that_is_named_must_be_there),
        cmocka_unit_test(sections_of_other_programs_are_theirs),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
