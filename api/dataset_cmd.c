#include "api/act.h"
#include "api/check.h"
#include "api/commands.h"
#include "base/program.h"
#include "store/retention.h"

#include <stdio.h>
#include <string.h>

enum st dataset_put_cmd(const struct cmd_args *args)
{
    const char *file = cmd_operand(args, 0);
    struct store_actor actor = commands_actor(args, NULL);
    struct store_definition *definition = NULL;
    struct audit_record record = {.event = "putDataset"};
    struct act act = {.lock = -1};
    struct store_put put = {.force = cmd_flag(args, "force"), .actor = &actor};
    json_t *document = NULL;
    struct store *s = NULL;
    enum st st = jx_parse_file(&document, file, STORE_DEFINITION_MAX);

    if (!st)
        st = store_definition_parse(&definition, document);
    if (!st)
        st = api_check_sql(document, NULL, NULL);
    if (!st)
        st = commands_open(&s, args, false);
    if (!st) {
        record.dataset = definition->name;
        st = act_begin(&act, s, cmd_string(args, "tenant"), &record);
    }
    if (!st)
        st = store_dataset_put(NULL, NULL, s, cmd_string(args, "tenant"), definition, &put);
    st = act_end(&act, st);
    if (!st)
        printf("dataset %s is defined\n", definition->name);
    store_close(s);
    store_definition_free(definition);
    json_decref(document);
    return st;
}

enum st dataset_delete_cmd(const struct cmd_args *args)
{
    const char *tenant = cmd_string(args, "tenant"), *reason = cmd_string(args, "reason");
    struct store_move move = {.tenant = tenant,
                              .dataset = cmd_operand(args, 0),
                              .if_head = commands_if_match(args),
                              .actor = commands_actor(args, reason)};
    const struct audit_record record = {
        .event = "deleteDataset", .dataset = move.dataset, .reason = reason};
    struct act act = {.lock = -1};
    struct store *s = NULL;
    uint64_t sequence;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = act_begin(&act, s, tenant, &record);
    if (!st)
        st = store_dataset_delete(&sequence, s, &move);
    st = act_end(&act, st);
    if (!st) {
        store_tidy(s, tenant, move.dataset);
        printf("dataset %s is deleted\n", move.dataset);
    }
    store_close(s);
    return st;
}

enum st dataset_check_cmd(const struct cmd_args *args)
{
    const char *file = cmd_operand(args, 0);
    struct store_definition *definition = NULL;
    json_t *document = NULL;
    enum st st = jx_parse_file(&document, file, STORE_DEFINITION_MAX);

    if (!st)
        st = store_definition_parse(&definition, document);
    if (!st)
        st = api_check_sql(document, NULL, NULL);
    if (!st)
        printf("%s is a good definition of dataset %s\n", file, definition->name);
    store_definition_free(definition);
    json_decref(document);
    return st;
}

/* Only the worker program can read sources; it prints the definition, or its own error. */
enum st dataset_init_cmd(const struct cmd_args *args)
{
    char path[FS_PATH_MAX], *argv[2 + STORE_SOURCES_MAX + 1] = {
                                (char *)(uintptr_t) "everline-ingest", (char *)(uintptr_t) "init"};
    int exit_code = 0;
    enum st st = program_sibling(path, "everline-ingest");

    for (unsigned i = 0; i < STORE_SOURCES_MAX; i++)
        argv[2 + i] = (char *)(uintptr_t)cmd_operand(args, i);
    if (!st)
        st = commands_run(&exit_code, path, argv);
    if (!st && exit_code)
        st = st_fail(ST_INVALID, "SAMPLE", "there is no definition of these files");
    return st;
}

enum st dataset_get_cmd(const struct cmd_args *args)
{
    json_t *dataset = NULL;
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_dataset_get(&dataset, s, cmd_string(args, "tenant"), cmd_operand(args, 0));
    store_close(s);
    return st ? st : commands_print(dataset);
}

static const struct commands_column DATASETS[] = {
    {"DATASET", "name"},      {"CURRENT", "current"}, {"SINCE", "current_since"},
    {"SEQUENCE", "sequence"}, {"PROBLEM", "problem"}, {NULL, NULL}};

enum st dataset_list_cmd(const struct cmd_args *args)
{
    struct store_tenant tenant;
    json_t *items = NULL;
    struct store *s = NULL;
    bool json, more;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = store_tenant_get(&tenant, s, cmd_string(args, "tenant"));
    if (!st)
        st = store_dataset_list(&items, &more, s, tenant.name, NULL, SIZE_MAX);
    store_close(s);
    if (st)
        return st;
    if (json)
        return commands_print_items(items);
    st = commands_print_table(items, DATASETS);
    json_decref(items);
    return st;
}
