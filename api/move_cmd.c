/* rollback and promote: the two moves that people make. */
#include "api/cmd_util.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define REASON                                                                                     \
    {                                                                                              \
        .name = "reason", .type = CMD_STRING, .metavar = "TEXT",                                   \
        .help = "why; kept with the event", .required = true                                       \
    }

static enum st print_head(const json_t *head, bool json)
{
    char dataset[64], current[64], previous[64];

    if (json)
        return api_cmd_print_json(head);
    printf("%s: version %s is current (before: %s)\n", api_cmd_cell_text(dataset, head, "dataset"),
           api_cmd_cell_text(current, head, "current"),
           api_cmd_cell_text(previous, head, "previous"));
    return ST_OK;
}

static struct store_move move_of(const struct cmd_args *args)
{
    return (struct store_move){
        .tenant = cmd_string(args, "tenant"),
        .dataset = cmd_operand(args, 0),
        .actor = {.name = api_cmd_actor_name(), .reason = cmd_string(args, "reason")},
    };
}

/* What was shown is what is done: the move names both versions of the plan, so that somebody else's
 * move in between makes it fail. */
static enum st run_rollback(const struct cmd_args *args)
{
    struct store_move move = move_of(args);
    struct store *store = NULL;
    json_t *head = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    move.from = cmd_uint(args, "from");
    move.to = cmd_uint(args, "to");
    if (!st)
        st = api_cmd_store_open(&store, args);
    if (!st)
        st = store_rollback_plan(&move.from, &move.to, store, &move);
    if (!st) {
        fprintf(stderr, "%s: rolling back from version %" PRIu64 " to version %" PRIu64 "\n",
                move.dataset, move.from, move.to);
        st = store_rollback(&head, store, &move);
    }
    if (!st)
        st = print_head(head, json);
    json_decref(head);
    store_close(store);
    return st;
}

static enum st run_promote(const struct cmd_args *args)
{
    struct store_move move = move_of(args);
    struct store *store = NULL;
    json_t *head = NULL;
    char *end;
    bool json;
    enum st st = cmd_output_json(&json, args);

    errno = 0;
    move.to = strtoull(cmd_operand(args, 1), &end, 10);
    if (!st && (errno || *end || cmd_operand(args, 1)[0] == '-' || move.to == 0))
        st = st_fail(ST_USAGE, NULL, "VERSION: a number from 1 expected");
    if (!st)
        st = api_cmd_store_open(&store, args);
    if (!st)
        st = store_promote(&head, store, &move);
    if (!st)
        st = print_head(head, json);
    json_decref(head);
    store_close(store);
    return st;
}

const struct cmd api_rollback_cmd = {
    .name = "rollback",
    .operands = "DATASET",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Serve the version before the current one again, at once",
    .about =
        "Says what it will do, then does it in one step. The version left is quarantined: only\n"
        "promote makes it current again.",
    .example = "everline rollback lifeline --data data --tenant dev --reason \"bad batch\"",
    .options =
        (const struct cmd_option[]){
            CMD_DATA,
            CMD_TENANT,
            REASON,
            {"from", CMD_UINT, "VERSION", NULL, "fail unless this one is current", false},
            {"to", CMD_UINT, "VERSION", NULL, "go to this one, not to the one before", false},
            CMD_KEYS,
            CMD_OUTPUT,
            CMD_END},
    .run = run_rollback,
};

const struct cmd api_promote_cmd = {
    .name = "promote",
    .operands = "DATASET VERSION",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Make a kept version current",
    .example = "everline promote lifeline 2 --data data --tenant dev --reason \"checked by hand\"",
    .options =
        (const struct cmd_option[]){CMD_DATA, CMD_TENANT, REASON, CMD_KEYS, CMD_OUTPUT, CMD_END},
    .run = run_promote,
};
