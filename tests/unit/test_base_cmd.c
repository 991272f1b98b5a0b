#include "base/cmd_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const struct cmd_option OPTIONS[] = {
    {.name = "ttl", .type = CMD_DURATION, .preset = "5m", .help = "x"},
    {.name = "memory", .type = CMD_BYTES, .preset = "1KiB", .help = "x"},
    {.name = "force", .type = CMD_FLAG, .help = "x"},
    {0},
};
static const struct cmd CMD = {
    .name = "go", .operands = "NAME", .operands_min = 1, .operands_max = 1, .options = OPTIONS};

static enum st parse(struct cmd_args *args, const char *a, const char *b)
{
    char *argv[] = {(char *)"name", (char *)a, (char *)b};

    return cmd_parse(args, NULL, &CMD, 1 + (a != NULL) + (b != NULL), argv);
}

static void flags_beat_the_environment_which_beats_defaults(void **state)
{
    struct cmd_args args;

    (void)state;
    unsetenv("EVERLINE_TTL");
    assert_int_equal(parse(&args, NULL, NULL), ST_OK);
    assert_int_equal(cmd_duration_ms(&args, "ttl"), 300000);
    assert_int_equal(setenv("EVERLINE_TTL", "2s", 1), 0);
    assert_int_equal(parse(&args, NULL, NULL), ST_OK);
    assert_int_equal(cmd_duration_ms(&args, "ttl"), 2000);
    assert_int_equal(parse(&args, "--ttl=500ms", "--force"), ST_OK);
    assert_int_equal(cmd_duration_ms(&args, "ttl"), 500);
    assert_true(cmd_flag(&args, "force"));
    unsetenv("EVERLINE_TTL");
}

static void wrong_command_lines_are_usage_errors(void **state)
{
    static const char *const BAD[] = {
        "--ttl",     "--ttl=5", "--ttl=-1s", "--force=1", "--memory=20EiB",
        "--unknown", "-x",      "second",    "--tt=1s",   "--memory=99999999999TiB"};
    struct cmd_args args;

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        if (parse(&args, BAD[i], NULL) != ST_USAGE)
            fail_msg("accepted: %s", BAD[i]);
    assert_int_equal(parse(&args, "--ttl=1s", "--ttl=2s"), ST_USAGE);
    assert_int_equal(cmd_parse(&args, NULL, &CMD, 0, NULL), ST_USAGE);
}

static void a_number_out_of_its_range_is_a_usage_error_that_says_the_range(void **state)
{
    struct cmd_args args;
    uint64_t number;

    (void)state;
    assert_int_equal(parse(&args, "--ttl=10s", "--memory=2KiB"), ST_OK);
    assert_int_equal(cmd_range(&number, &args, "ttl", 1, 10000), ST_OK);
    assert_int_equal(number, 10000);
    assert_int_equal(cmd_range(&number, &args, "ttl", 1, 9999), ST_USAGE);
    assert_string_equal(st_message(), "--ttl: from 1 to 9999 milliseconds expected");
    assert_int_equal(cmd_range(&number, &args, "memory", 2049, 4096), ST_USAGE);
    assert_string_equal(st_message(), "--memory: from 2049 to 4096 bytes expected");
}

static void a_table_has_straight_columns_and_nothing_that_a_terminal_obeys(void **state)
{
    static const char *const HEADINGS[] = {"A", "LONG", "B", NULL};
    static const char *const CELLS[] = {"wide one",
                                        "x",
                                        "1",
                                        "a\x1b[31mb\x7f",
                                        "c\xc2\x9b"
                                        "31m",
                                        "\xc3\x89t\xc3\xa9"};
    struct cmd_table *table;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    assert_non_null(out);
    assert_int_equal(cmd_table_new(&table, HEADINGS), ST_OK);
    for (size_t i = 0; i < sizeof CELLS / sizeof CELLS[0]; i++)
        cmd_table_cell(table, "%s", CELLS[i]);
    assert_int_equal(cmd_table_print(table, out), ST_OK);
    cmd_table_cell(table, "%*s\xc2\x9b", 4094, ""); /* is cut within the character */
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "A         LONG    B\n"
                              "wide one  x       1\n"
                              "a [31mb   c  31m  \xc3\x89t\xc3\xa9\n");
    cmd_table_free(table);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_beat_the_environment_which_beats_defaults),
        cmocka_unit_test(wrong_command_lines_are_usage_errors),
        cmocka_unit_test(a_table_has_straight_columns_and_nothing_that_a_terminal_obeys),
        cmocka_unit_test(a_number_out_of_its_range_is_a_usage_error_that_says_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
