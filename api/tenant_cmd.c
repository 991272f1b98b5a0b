#include "api/commands.h"

#include <stdio.h>
#include <string.h>

static enum st change(char *to, size_t size, const char *option, const char *value)
{
    if (!value)
        return ST_OK;
    if (strlen(value) >= size || !*value)
        return st_fail(ST_USAGE, NULL, "--%s: 1 to %zu bytes expected", option, size - 1);
    strcpy(to, value);
    return ST_OK;
}

enum st tenant_put_cmd(const struct cmd_args *args)
{
    struct store_tenant t;
    struct store *s = NULL;
    enum st st = commands_open(&s, args, true);

    if (!st)
        st = commands_make_tenant(&t, s, cmd_operand(args, 0));
    if (!st)
        st = change(t.issuer, sizeof t.issuer, "issuer", cmd_string(args, "issuer"));
    if (!st)
        st = change(t.audience, sizeof t.audience, "audience", cmd_string(args, "audience"));
    if (!st && cmd_string(args, "max-batch-keys"))
        t.max_batch_keys = (uint32_t)cmd_uint(args, "max-batch-keys");
    if (!st && cmd_string(args, "max-datasets"))
        t.max_datasets = (uint32_t)cmd_uint(args, "max-datasets");
    if (!st && cmd_flag(args, "disable") && cmd_flag(args, "enable"))
        st = st_fail(ST_USAGE, NULL, "--enable and --disable are both there");
    if (!st && (cmd_flag(args, "disable") || cmd_flag(args, "enable")))
        t.enabled = cmd_flag(args, "enable");
    if (!st)
        st = store_tenant_put(s, &t);
    if (!st)
        printf("tenant %s is %s\n", t.name, t.enabled ? "enabled" : "disabled");
    store_close(s);
    return st;
}

/* The row of one tenant, or of all. */
static enum st print_rows(const struct cmd_args *args, const char *name)
{
    static const char *const HEADINGS[] = {"TENANT", "ENABLED", "ISSUER", "AUDIENCE", NULL};
    static const char *const MEMBERS[] = {"tenant", "enabled", "issuer", "audience"};
    struct cmd_table *table = NULL;
    struct store_tenant t;
    json_t *items = NULL, *row;
    struct store *s = NULL;
    char scratch[64];
    bool json;
    size_t i;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_open(&s, args, false);
    if (!st && name)
        st = store_tenant_get(&t, s, name);
    if (!st)
        st = store_tenant_list(&items, s);
    store_close(s);
    if (st)
        return st;
    for (i = json_array_size(items); name && i-- > 0;)
        if (strcmp(commands_cell(json_array_get(items, i), "tenant", scratch), name) != 0)
            json_array_remove(items, i);
    if (json)
        return name ? (row = json_incref(json_array_get(items, 0)), json_decref(items),
                       commands_print(row))
                    : commands_print_items(items);
    st = cmd_table_new(&table, HEADINGS);
    json_array_foreach(items, i, row) for (size_t j = 0;
                                           !st && j < sizeof MEMBERS / sizeof MEMBERS[0]; j++)
        cmd_table_cell(table, "%s", commands_cell(row, MEMBERS[j], scratch));
    if (!st)
        cmd_table_print(table, stdout);
    cmd_table_free(table);
    json_decref(items);
    return st;
}

enum st tenant_get_cmd(const struct cmd_args *args)
{
    return print_rows(args, cmd_operand(args, 0));
}

enum st tenant_list_cmd(const struct cmd_args *args)
{
    return print_rows(args, NULL);
}
