#include "api/commands.h"
#include "api/remote.h"
#include "api/server.h"

#include <stdio.h>
#include <string.h>

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

static enum st check_get(unsigned status)
{
    return status / 100 == 2 ? ST_OK
                             : st_fail(ST_INVALID, NULL, "the answer has status %u", status);
}

static enum st get_from_server(const struct cmd_args *args)
{
    const char *path = cmd_operand(args, 0);
    struct remote_call call = {.path = path, .to = stdout, .any_status = true};
    json_t *none;

    for (const char *c = path; *c; c++)
        if (*path != '/' || (unsigned char)*c <= ' ' || *c == 0x7f)
            return st_fail(ST_USAGE, NULL, "PATH: /... expected, without spaces");
    enum st st = remote_call(&none, &call, args);
    if (!st)
        puts("");
    return st ? st : check_get(call.status);
}

enum st get_cmd(const struct cmd_args *args)
{
    if (remote_is_asked(args))
        return get_from_server(args);
    struct store_options store = commands_store_options(args, false);
    unsigned status = 0;
    struct buf body;

    buf_init(&body, 64u << 20);
    enum st st = api_get(&body, &status, &store, cmd_string(args, "tenant"), cmd_operand(args, 0));
    if (!st)
        printf("%s\n", body.data ? body.data : "");
    buf_release(&body);
    return st ? st : check_get(status);
}

enum st version_cmd(const struct cmd_args *args)
{
    (void)args;
    puts("everline " EVERLINE_VERSION);
    return ST_OK;
}
