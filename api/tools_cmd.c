#include "api/commands.h"
#include "api/server.h"

#include <stdio.h>

/* The short ones: verify, get, version. */

static void print_problem(const json_t *problem)
{
    const char *tenant = json_string_value(json_object_get(problem, "tenant"));
    const char *dataset = json_string_value(json_object_get(problem, "dataset"));
    bool of_version = json_is_integer(json_object_get(problem, "version"));
    char scratch[64];

    if (dataset)
        printf("%s/%s%s%s: ", tenant, dataset, of_version ? " version " : "",
               of_version ? commands_cell(problem, "version", scratch) : "");
    else if (tenant)
        printf("tenant %s: ", tenant);
    printf("%s\n  %s\n", json_string_value(json_object_get(problem, "problem")),
           json_string_value(json_object_get(problem, "hint")));
}

enum st verify_cmd(const struct cmd_args *args)
{
    json_t *report = NULL, *problem;
    struct store *s = NULL;
    size_t i;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = store_verify(&report, s, cmd_flag(args, "deep"));
    struct st_report failure;
    st_save(&failure, st);
    store_close(s);
    if (!report)
        return st ? st_restore(&failure) : ST_OK;
    if (json) {
        enum st printed = commands_print(report);
        return st ? st_restore(&failure) : printed;
    }
    json_array_foreach(json_object_get(report, "problems"), i, problem) print_problem(problem);
    json_int_t count = json_integer_value(json_object_get(report, "segments"));
    printf("%lld %s looked at%s\n", (long long)count, count == 1 ? "segment" : "segments",
           st ? "" : ", all whole");
    json_decref(report);
    return st ? st_restore(&failure) : ST_OK;
}

enum st get_cmd(const struct cmd_args *args)
{
    struct store_options store = commands_store_options(args, false);
    unsigned status = 0;
    struct buf body;

    buf_init(&body, 64u << 20);
    enum st st = api_get(&body, &status, &store, cmd_string(args, "tenant"), cmd_operand(args, 0));
    if (!st)
        printf("%s\n", body.data ? body.data : "");
    buf_release(&body);
    if (!st && (status < 200 || status > 299))
        st = st_fail(ST_INVALID, NULL, "the answer has status %u", status);
    return st;
}

enum st version_cmd(const struct cmd_args *args)
{
    (void)args;
    puts("everline " EVERLINE_VERSION);
    return ST_OK;
}
