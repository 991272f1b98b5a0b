#include "api/commands.h"

#include "store/usage.h"

#include <stdio.h>

static const char *const COLUMNS[] = {"day",      "dataset", "operation", "subject",
                                      "requests", "keys",    "matches",   "bytes"};

static enum st print_table(const json_t *items)
{
    static const char *const HEADINGS[] = {"DAY",  "DATASET", "OPERATION", "SUBJECT", "REQUESTS",
                                           "KEYS", "MATCHES", "BYTES",     NULL};
    struct cmd_table *table = NULL;
    char scratch[64];
    const json_t *row;
    size_t i;
    enum st st = cmd_table_new(&table, HEADINGS);

    json_array_foreach(items, i, row) for (size_t j = 0;
                                           !st && j < sizeof COLUMNS / sizeof COLUMNS[0]; j++)
        cmd_table_cell(table, "%s", commands_cell(row, COLUMNS[j], scratch));
    if (!st)
        cmd_table_print(table, stdout);
    cmd_table_free(table);
    return st;
}

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
    st = print_table(items);
    json_decref(items);
    return st;
}
