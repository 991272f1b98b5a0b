#include "api/commands.h"
#include "api/csv.h"
#include "api/internal.h"
#include "api/remote.h"

#include "auth/audit_search.h"

#include <stdio.h>
#include <string.h>

/* The audit of a tenant, newest first: of a server, or of this machine's directory. */

static const struct commands_column AUDIT[] = {{"AT", "at"},
                                               {"EVENT", "event"},
                                               {"OUTCOME", "outcome"},
                                               {"DATASET", "dataset"},
                                               {"VERSION", "version"},
                                               {"SUBJECT", "subject"},
                                               {"ACTOR", "actor"},
                                               {"PURPOSE", "purpose"},
                                               {"REASON", "reason"},
                                               {"REQUEST", "request_id"},
                                               {NULL, NULL}};

#define LIMIT_MAX 10000 /* lines that are in memory at once */
#define KEY_DIGITS 32
#define OPTION_MAX 32

/* All that a line can have. */
static const char *const MEMBERS[] = {"at",      "chain",    "seq",     "event",      "dataset",
                                      "version", "status",   "outcome", "target",     "actor",
                                      "subject", "token_id", "address", "request_id", "purpose",
                                      "reason",  "key_id",   "keys",    "found",      NULL};

/* --token-id is the parameter token_id. */
static const char *option_name(char out[OPTION_MAX], size_t i)
{
    snprintf(out, OPTION_MAX, "%s", audit_parameter(i));
    for (char *p = out; (p = strchr(p, '_'));)
        *p = '-';
    return out;
}

static const char *asked_for(const struct cmd_args *args, size_t i)
{
    char option[OPTION_MAX];

    return cmd_string(args, option_name(option, i));
}

/* A key that is mistyped is one that nobody has looked up: that must not look like an answer. */
static enum st check_filters(const struct cmd_args *args)
{
    const char *key = cmd_string(args, "key");
    char option[OPTION_MAX];

    for (size_t i = 0; i < AUDIT_PARAMETERS; i++) {
        const char *value = asked_for(args, i);
        if (value && !*value)
            return st_fail(ST_USAGE, NULL, "--%s is empty", option_name(option, i));
    }
    if (key && (strlen(key) != KEY_DIGITS || strspn(key, "0123456789abcdef") != KEY_DIGITS))
        return st_fail(ST_USAGE, NULL, "--key: %d hexadecimal digits expected, as lines have them",
                       KEY_DIGITS);
    return commands_check_option(args, "outcome", "listAudit");
}

static enum st search_on_server(json_t **items, const struct cmd_args *args, size_t limit)
{
    struct remote_parameter parameters[AUDIT_PARAMETERS + 1] = {{0}};
    char path[REMOTE_PATH_MAX] = "/v1/audit";

    for (size_t i = 0; i < AUDIT_PARAMETERS; i++)
        parameters[i] = (struct remote_parameter){audit_parameter(i), asked_for(args, i)};
    enum st st = remote_query(path, parameters);
    return st ? st : remote_items(items, args, path, limit);
}

/* ---- here ---- */

static bool sees_all(const char *dataset, void *ctx)
{
    (void)dataset;
    (void)ctx;
    return true;
}

static enum st go_on(void *ctx)
{
    (void)ctx;
    return ST_OK;
}

static enum st take_query(struct audit_query *q, const struct cmd_args *args)
{
    enum st st = ST_OK;

    *q = (struct audit_query){.max_bytes = AUDIT_SEARCH_BYTES, .sees_fn = sees_all};
    for (size_t i = 0; !st && i < AUDIT_PARAMETERS; i++) {
        char option[OPTION_MAX];
        st = commands_of_option(audit_query_set(q, i, asked_for(args, i)), args,
                                option_name(option, i));
    }
    return st;
}

/* A search ends after so many bytes, and is gone on with. */
static enum st search_files(json_t **items, const char *directory, const char *tenant,
                            struct audit_query *query, size_t limit)
{
    struct audit_place place = {0};
    bool more = true;
    enum st st = ST_OK;

    *items = json_array();
    while (!st && more && json_array_size(*items) < limit) {
        json_t *found = NULL;
        query->limit = limit - json_array_size(*items);
        st = audit_search(&found, &more, &place, directory, tenant, query, go_on, NULL);
        if (!st && json_array_extend(*items, found) != 0)
            st = st_fail(ST_NOMEM, NULL, "out of memory");
        json_decref(found);
    }
    return st;
}

static enum st search_here(json_t **items, const struct cmd_args *args, struct audit_query *query,
                           size_t limit)
{
    char directory[FS_PATH_MAX];
    struct store_tenant tenant;
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_tenant_get(&tenant, s, cmd_string(args, "tenant"));
    if (!st)
        st = fs_path(directory, "%s/audit", store_data_dir(s));
    if (!st)
        st = search_files(items, directory, tenant.name, query, limit);
    store_close(s);
    return st;
}

/* ---- what is found ---- */

static enum st print_csv(const json_t *items)
{
    struct buf text;

    buf_init(&text, 2 * API_REPLY_MAX);
    api_csv(&text, items, MEMBERS);
    enum st st = buf_status(&text);
    if (!st)
        fwrite(text.data, 1, text.len, stdout);
    buf_release(&text);
    return st;
}

enum st audit_search_cmd(const struct cmd_args *args)
{
    bool csv = strcmp(cmd_string(args, "output"), "csv") == 0, json = false;
    json_t *items = NULL;
    struct audit_query query;
    uint64_t limit = 0;
    enum st st = cmd_range(&limit, args, "limit", 1, LIMIT_MAX);

    if (!st && !csv && cmd_output_json(&json, args))
        st = st_fail(ST_USAGE, NULL, "--output: table, json or csv expected");
    if (!st)
        st = check_filters(args);
    if (!st)
        st = take_query(&query, args);
    if (!st)
        st = remote_is_asked(args) ? search_on_server(&items, args, limit)
                                   : search_here(&items, args, &query, limit);
    if (!st && !csv)
        return commands_print_list(items, AUDIT, json);
    if (!st)
        st = print_csv(items);
    json_decref(items);
    return st;
}
