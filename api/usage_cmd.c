#include "api/commands.h"

#include "store/usage.h"

#include <stdio.h>

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

enum st usage_cmd(const struct cmd_args *args)
{
    struct store_tenant tenant;
    json_t *items = NULL;
    struct store *s = NULL;
    char next[256];
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = store_tenant_get(&tenant, s, cmd_string(args, "tenant"));
    if (!st)
        st = store_usage_list(&items, next, s, tenant.name, cmd_string(args, "from"),
                              cmd_string(args, "to"), "", SIZE_MAX);
    store_close(s);
    if (st)
        return st;
    if (json)
        return commands_print_items(items);
    st = commands_print_table(items, USAGE);
    json_decref(items);
    return st;
}
