#include "api/act.h"
#include "api/commands.h"
#include "api/remote.h"
#include "base/utf8.h"
#include "store/retention.h"

#include <stdio.h>
#include <string.h>

/* The version-info table, what a version leaves out, the two moves that people make, and retiring.
 */

static const struct commands_column VERSIONS[] = {
    {"VERSION", "version"},    {"STATE", "state"}, {"CURRENT", "current"},
    {"ROWS", "rows/accepted"}, {"BYTES", "bytes"}, {"OUTCOME", "outcome"},
    {"CREATED", "created_at"}, {NULL, NULL}};

static enum st list_on_server(json_t **items, const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX];
    enum st st = remote_path(path, "/v1/datasets/{}/versions", cmd_operand(args, 0));

    return st ? st : remote_items(items, args, path, SIZE_MAX);
}

static enum st list_here(json_t **items, const struct cmd_args *args)
{
    struct store *s = NULL;
    bool more;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_version_list(items, &more, s, cmd_string(args, "tenant"), cmd_operand(args, 0),
                                0, SIZE_MAX);
    store_close(s);
    return st;
}

enum st versions_cmd(const struct cmd_args *args)
{
    json_t *items = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = remote_is_asked(args) ? list_on_server(&items, args) : list_here(&items, args);
    return st ? st : commands_print_list(items, VERSIONS, json);
}

static void print_rejected(json_int_t rejected, json_int_t listed)
{
    if (listed)
        fprintf(stderr, "%lld were rejected after \"prepare\", %lld of them are listed\n",
                (long long)rejected, (long long)listed);
    else
        fprintf(stderr,
                "%lld were rejected after \"prepare\", none of them is listed: a row has a place "
                "in a file only where it does no more than pick rows and columns of one source; "
                "what a source's \"columns\" declare is checked with file and line\n",
                (long long)rejected);
}

static enum st print_rejects(const json_t *rejects)
{
    static const struct commands_column COLUMNS[] = {{"FILE", "file"},     {"LINE", "line"},
                                                     {"COLUMN", "column"}, {"RULE", "rule"},
                                                     {"SOURCE", "source"}, {NULL, NULL}};
    json_int_t unparsable = json_integer_value(json_object_get(rejects, "unparsable"));
    json_int_t rejected = json_integer_value(json_object_get(rejects, "rejected")), told = 0;
    json_int_t listed = json_integer_value(json_object_get(rejects, "listed"));
    json_int_t unread = listed < unparsable ? listed : unparsable; /* those are listed first */
    json_t *item;
    size_t i;
    enum st st = commands_print_table(json_object_get(rejects, "items"), COLUMNS);

    if (st)
        return st;
    fprintf(stderr, "%lld could not be read, %lld of them are listed\n", (long long)unparsable,
            (long long)unread);
    json_array_foreach(json_object_get(rejects, "rules"), i, item)
    {
        if (told == unparsable && rejected) /* those of the files come first */
            print_rejected(rejected, listed - unread);
        told += json_integer_value(json_object_get(item, "rows"));
        fprintf(stderr, "  %s: %lld\n", json_string_value(json_object_get(item, "rule")),
                (long long)json_integer_value(json_object_get(item, "rows")));
        rejected = told > unparsable ? 0 : rejected;
    }
    return ST_OK;
}

static enum st get_rejects_on_server(json_t **rejects, const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX];
    enum st st = remote_path(path, "/v1/datasets/{}/versions/{}/rejects", cmd_operand(args, 0),
                             cmd_operand(args, 1));

    return st ? st : remote_list(rejects, args, path, SIZE_MAX);
}

static enum st get_rejects_here(json_t **rejects, const struct cmd_args *args, uint64_t version)
{
    struct store *s = NULL;
    bool more;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_rejects_get(rejects, &more, s, cmd_string(args, "tenant"), cmd_operand(args, 0),
                               version, 0, SIZE_MAX);
    store_close(s);
    return st;
}

enum st rejects_cmd(const struct cmd_args *args)
{
    json_t *rejects = NULL;
    uint64_t version = 0;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_version(&version, args, 1, "VERSION");
    if (!st)
        st = remote_is_asked(args) ? get_rejects_on_server(&rejects, args)
                                   : get_rejects_here(&rejects, args, version);
    if (st)
        return st;
    if (json)
        return commands_print(rejects);
    st = print_rejects(rejects);
    json_decref(rejects);
    return st;
}

static enum st print_head(json_t *head, bool json)
{
    char current[64], sequence[64];

    if (json)
        return commands_print(head);
    printf("%s serves version %s (sequence %s)\n",
           json_string_value(json_object_get(head, "dataset")),
           commands_cell(head, "current", current), commands_cell(head, "sequence", sequence));
    json_decref(head);
    return ST_OK;
}

/* ---- moves ---- */

/* It is kept, and shown in JSON. */
static enum st check_reason(const struct cmd_args *args)
{
    const char *reason = cmd_string(args, "reason");

    return utf8_is_valid(reason, strlen(reason)) ? ST_OK
                                                 : st_fail(ST_USAGE, NULL, "--reason is not UTF-8");
}

/* Without a body: what is there goes. */
static enum st move_on_server(json_t **head, const struct cmd_args *args, const char *path,
                              json_t *body)
{
    char tag[REMOTE_TAG_SIZE];
    struct remote_call call = {.method = body ? NULL : "DELETE", .path = path};

    remote_if_head(&call, tag, args);
    enum st st = body ? remote_send(head, &call, args, body) : remote_call(head, &call, args);
    if (!st && !json_is_string(json_object_get(*head, "dataset"))) {
        json_decref(*head);
        st = remote_no_server(call.status);
    }
    return st;
}

/* Which version it would go to by itself the server says in its answer only. */
static enum st roll_back_on_server(json_t **head, const struct cmd_args *args)
{
    const char *dataset = cmd_operand(args, 0);
    uint64_t from = cmd_uint(args, "from"), to = cmd_uint(args, "to");
    char path[REMOTE_PATH_MAX];
    json_t *known = NULL;
    enum st st = remote_path(path, "/v1/datasets/{}", dataset);

    if (!st && !from) {
        st = remote_get(&known, args, path);
        const json_t *current = json_object_get(known, "current");
        from = (uint64_t)json_integer_value(current);
        if (!st && !json_is_null(current) && !from)
            st = remote_no_server(200);
        json_decref(known);
        if (!st && !from)
            st = st_fail(ST_CONFLICT, "NO_VERSION", "%s has no current version", dataset);
    }
    if (!st)
        st = remote_path(path, "/v1/datasets/{}/rollback", dataset);
    if (st)
        return st;
    fprintf(stderr, "rolling %s back from version %llu\n", dataset, (unsigned long long)from);
    return move_on_server(head, args, path,
                          json_pack(to ? "{s:s, s:I, s:I}" : "{s:s, s:I}", "reason",
                                    cmd_string(args, "reason"), "from", (json_int_t)from, "to",
                                    (json_int_t)to));
}

static enum st roll_back_here(json_t **head, const struct cmd_args *args)
{
    struct store_move move = {
        .tenant = cmd_string(args, "tenant"),
        .dataset = cmd_operand(args, 0),
        .from = cmd_uint(args, "from"),
        .to = cmd_uint(args, "to"),
        .if_head = commands_if_match(args),
        .actor = commands_actor(args, cmd_string(args, "reason")),
    };
    struct audit_record record = {
        .event = "rollBack", .dataset = move.dataset, .reason = move.actor.reason};
    struct act act = {.lock = -1};
    uint64_t from, to;
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_rollback_plan(&from, &to, s, &move);
    if (!st) {
        fprintf(stderr, "rolling %s back from version %llu to version %llu\n", move.dataset,
                (unsigned long long)from, (unsigned long long)to);
        move.from = from; /* as it was shown */
        move.to = record.version = to;
        st = store_move_wait(s, &move, true);
    }
    if (!st)
        st = act_begin(&act, s, move.tenant, &record);
    if (!st)
        st = store_rollback(head, s, &move);
    st = act_end(&act, st);
    store_close(s);
    return st;
}

enum st rollback_cmd(const struct cmd_args *args)
{
    json_t *head = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = check_reason(args);
    if (!st)
        st = remote_is_asked(args) ? roll_back_on_server(&head, args) : roll_back_here(&head, args);
    return st ? st : print_head(head, json);
}

static enum st promote_on_server(json_t **head, const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX];
    enum st st = remote_path(path, "/v1/datasets/{}/versions/{}/promote", cmd_operand(args, 0),
                             cmd_operand(args, 1));

    return st ? st
              : move_on_server(head, args, path,
                               json_pack("{s:s}", "reason", cmd_string(args, "reason")));
}

static enum st promote_here(json_t **head, const struct cmd_args *args, uint64_t version)
{
    struct store_move move = {
        .tenant = cmd_string(args, "tenant"),
        .dataset = cmd_operand(args, 0),
        .to = version,
        .if_head = commands_if_match(args),
        .actor = commands_actor(args, cmd_string(args, "reason")),
    };
    struct audit_record record = {.event = "promoteVersion",
                                  .dataset = move.dataset,
                                  .version = version,
                                  .reason = move.actor.reason};
    struct act act = {.lock = -1};
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_move_wait(s, &move, false);
    if (!st)
        st = act_begin(&act, s, move.tenant, &record);
    if (!st)
        st = store_promote(head, s, &move);
    st = act_end(&act, st);
    store_close(s);
    return st;
}

enum st promote_cmd(const struct cmd_args *args)
{
    uint64_t version = 0;
    json_t *head = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_version(&version, args, 1, "VERSION");
    if (!st)
        st = check_reason(args);
    if (!st)
        st = remote_is_asked(args) ? promote_on_server(&head, args)
                                   : promote_here(&head, args, version);
    return st ? st : print_head(head, json);
}

static enum st retire_on_server(json_t **head, const struct cmd_args *args)
{
    const struct remote_parameter query[] = {{"reason", cmd_string(args, "reason")}, {0}};
    char path[REMOTE_PATH_MAX];
    enum st st = remote_path(path, "/v1/datasets/{}/versions/{}", cmd_operand(args, 0),
                             cmd_operand(args, 1));
    if (!st)
        st = remote_query(path, query);
    return st ? st : move_on_server(head, args, path, NULL);
}

static enum st retire_here(json_t **head, const struct cmd_args *args, uint64_t version)
{
    const struct store_move move = {
        .tenant = cmd_string(args, "tenant"),
        .dataset = cmd_operand(args, 0),
        .to = version,
        .if_head = commands_if_match(args),
        .actor = commands_actor(args, cmd_string(args, "reason")),
    };
    const struct audit_record record = {.event = "retireVersion",
                                        .dataset = move.dataset,
                                        .version = version,
                                        .reason = move.actor.reason};
    struct act act = {.lock = -1};
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = act_begin(&act, s, move.tenant, &record);
    if (!st)
        st = store_retire(head, s, &move);
    st = act_end(&act, st);
    if (!st) /* there may be no server that does it */
        store_tidy(s, move.tenant, move.dataset);
    store_close(s);
    return st;
}

enum st retire_cmd(const struct cmd_args *args)
{
    uint64_t version = 0;
    json_t *head = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_version(&version, args, 1, "VERSION");
    if (!st)
        st = check_reason(args);
    if (!st)
        st = remote_is_asked(args) ? retire_on_server(&head, args)
                                   : retire_here(&head, args, version);
    if (!st && !json)
        printf("version %llu of %s is retired\n", (unsigned long long)version,
               cmd_operand(args, 0));
    return st ? st : print_head(head, json);
}
