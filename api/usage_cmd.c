#include "api/commands.h"
#include "api/remote.h"

#include "store/usage.h"

static const struct commands_column USAGE[] = {{"DAY", "day"},
                                               {"DATASET", "dataset"},
                                               {"OPERATION", "operation"},
                                               {"SUBJECT", "subject"},
                                               {"REQUESTS", "requests"},
                                               {"KEYS", "keys"},
                                               {"MATCHES", "matches"},
                                               {"BYTES", "bytes"},
                                               {"JOB SECONDS", "job_seconds"},
                                               {NULL, NULL}};

static enum st check_days(const struct cmd_args *args)
{
    if (store_usage_check_day(cmd_string(args, "from")))
        return st_wrap(ST_USAGE, "--from");
    if (store_usage_check_day(cmd_string(args, "to")))
        return st_wrap(ST_USAGE, "--to");
    return ST_OK;
}

static enum st list_on_server(json_t **items, const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX] = "/v1/usage";
    enum st st = remote_query(
        path, (const struct remote_parameter[]){
                  {"from", cmd_string(args, "from")}, {"to", cmd_string(args, "to")}, {0}});

    return st ? st : remote_items(items, args, path, SIZE_MAX);
}

static enum st list_here(json_t **items, const struct cmd_args *args)
{
    struct store_tenant tenant;
    struct store *s = NULL;
    char next[256];
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_tenant_get(&tenant, s, cmd_string(args, "tenant"));
    if (!st)
        st = store_usage_list(items, next, s, tenant.name, cmd_string(args, "from"),
                              cmd_string(args, "to"), "", SIZE_MAX);
    store_close(s);
    return st;
}

enum st usage_cmd(const struct cmd_args *args)
{
    json_t *items = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = check_days(args);
    if (!st)
        st = remote_is_asked(args) ? list_on_server(&items, args) : list_here(&items, args);
    return st ? st : commands_print_list(items, USAGE, json);
}
