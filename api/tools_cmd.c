#include "api/commands.h"
#include "api/server.h"

#include <stdio.h>

/* The short ones: token, verify, get, version. */

enum st token_cmd(const struct cmd_args *args)
{
    const char *datasets[65] = {NULL};
    struct store *s = NULL;
    struct buf token;
    enum st st = ST_OK;

    buf_init(&token, 8192);
    for (unsigned i = 0; !st && cmd_list(args, "dataset", i); i++) {
        if (i == 64)
            return st_fail(ST_USAGE, NULL, "--dataset: at most 64");
        datasets[i] = cmd_list(args, "dataset", i);
        st = store_name_check("dataset", datasets[i]);
    }
    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = commands_mint(&token, s, cmd_string(args, "tenant"), cmd_string(args, "scope"),
                           cmd_string(args, "subject"), datasets[0] ? datasets : NULL,
                           cmd_duration_ms(args, "ttl"));
    if (!st)
        puts(token.data);
    buf_release_secret(&token);
    store_close(s);
    return st;
}

enum st verify_cmd(const struct cmd_args *args)
{
    json_t *report = NULL, *problem;
    struct store *s = NULL;
    char scratch[64];
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
    json_array_foreach(json_object_get(report, "problems"), i, problem) printf(
        "%s/%s version %s: %s\n  %s\n", json_string_value(json_object_get(problem, "tenant")),
        json_string_value(json_object_get(problem, "dataset")),
        commands_cell(problem, "version", scratch),
        json_string_value(json_object_get(problem, "problem")),
        json_string_value(json_object_get(problem, "hint")));
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
