#include "api/act.h"
#include "api/check.h"
#include "api/commands.h"
#include "api/remote.h"
#include "base/program.h"
#include "store/retention.h"

#include <stdio.h>
#include <string.h>

static enum st read_definition(struct store_definition **definition, json_t **document,
                               const char *file)
{
    enum st st = jx_parse_file(document, file, STORE_DEFINITION_MAX);

    return st ? st : store_definition_parse(definition, *document);
}

static enum st put_on_server(const struct cmd_args *args, const struct store_definition *definition,
                             json_t *document)
{
    char path[REMOTE_PATH_MAX];
    struct remote_call call = {.method = "PUT", .path = path};
    json_t *dataset = NULL;
    enum st st = remote_path(path, "/v1/datasets/{}", definition->name);

    if (!st)
        st = remote_query(path, (const struct remote_parameter[]){
                                    {"force", cmd_flag(args, "force") ? "true" : NULL}, {0}});
    if (!st)
        st = remote_send(&dataset, &call, args, json_incref(document));
    json_decref(dataset);
    return st;
}

static enum st put_here(const struct cmd_args *args, const struct store_definition *definition,
                        const json_t *document)
{
    struct store_actor actor = commands_actor(args, NULL);
    struct audit_record record = {.event = "putDataset", .dataset = definition->name};
    struct act act = {.lock = -1};
    struct store_put put = {.force = cmd_flag(args, "force"), .actor = &actor};
    struct store *s = NULL;
    enum st st = api_check_sql(document, NULL, NULL);

    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = act_begin(&act, s, cmd_string(args, "tenant"), &record);
    if (!st)
        st = store_dataset_put(NULL, NULL, s, cmd_string(args, "tenant"), definition, &put);
    st = act_end(&act, st);
    store_close(s);
    return st;
}

enum st dataset_put_cmd(const struct cmd_args *args)
{
    struct store_definition *definition = NULL;
    json_t *document = NULL;
    enum st st = read_definition(&definition, &document, cmd_operand(args, 0));

    if (!st)
        st = (remote_is_asked(args) ? put_on_server(args, definition, document)
                                    : put_here(args, definition, document));
    if (!st)
        printf("dataset %s is defined\n", definition->name);
    store_definition_free(definition);
    json_decref(document);
    return st;
}

static enum st delete_on_server(const struct cmd_args *args)
{
    char tag[REMOTE_TAG_SIZE];
    struct remote_call call = {0};

    remote_if_head(&call, tag, args);
    return remote_delete(&call, args, "/v1/datasets/{}");
}

static enum st delete_here(const struct cmd_args *args)
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
    if (!st)
        store_tidy(s, tenant, move.dataset);
    store_close(s);
    return st;
}

enum st dataset_delete_cmd(const struct cmd_args *args)
{
    enum st st = remote_is_asked(args) ? delete_on_server(args) : delete_here(args);

    if (!st)
        printf("dataset %s is deleted\n", cmd_operand(args, 0));
    return st;
}

/* SQL meets the columns of files when they are told: now, or at the ingest. */
static void print_unbound(const struct store_definition *d)
{
    size_t i = 0;

    while (i < d->source_count && d->sources[i].columns_complete)
        i++;
    if (i < d->source_count)
        printf("which columns the source %s has, its files say: the next ingest looks (--dry-run "
               "tries it), or a definition whose sources all have \"columns_complete\"\n",
               d->sources[i].name);
}

enum st dataset_check_cmd(const struct cmd_args *args)
{
    const char *file = cmd_operand(args, 0);
    struct store_definition *definition = NULL;
    json_t *document = NULL;
    enum st st = read_definition(&definition, &document, file);

    if (!st)
        st = api_check_sql(document, NULL, NULL);
    if (!st) {
        printf("%s is a good definition of dataset %s\n", file, definition->name);
        print_unbound(definition);
    }
    store_definition_free(definition);
    json_decref(document);
    return st;
}

/* Only the worker program can read sources; it prints the definition, or its own error. */
enum st dataset_init_cmd(const struct cmd_args *args)
{
    char path[FS_PATH_MAX], *argv[2 + STORE_SOURCES_MAX + 1] = {(char *)(uintptr_t) "everline",
                                                                (char *)(uintptr_t) "init"};
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
    char path[REMOTE_PATH_MAX];
    struct remote_call call = {.path = path, .as_is = true};
    json_t *dataset = NULL;
    struct store *s = NULL;
    enum st st = remote_is_asked(args) ? remote_path(path, "/v1/datasets/{}", cmd_operand(args, 0))
                                       : commands_open(&s, args, false);

    if (!st && remote_is_asked(args))
        st = remote_call(&dataset, &call, args);
    else if (!st)
        st = store_dataset_get(&dataset, s, cmd_string(args, "tenant"), cmd_operand(args, 0));
    store_close(s);
    return st ? st : commands_print(dataset);
}

static const struct commands_column DATASETS[] = {
    {"DATASET", "name"},      {"CURRENT", "current"}, {"SINCE", "current_since"},
    {"SEQUENCE", "sequence"}, {"PROBLEM", "problem"}, {NULL, NULL}};

static enum st list_here(json_t **items, const struct cmd_args *args)
{
    struct store_tenant tenant;
    struct store *s = NULL;
    bool more;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_tenant_get(&tenant, s, cmd_string(args, "tenant"));
    if (!st)
        st = store_dataset_list(items, &more, s, tenant.name, NULL, SIZE_MAX);
    store_close(s);
    return st;
}

enum st dataset_list_cmd(const struct cmd_args *args)
{
    json_t *items = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = remote_is_asked(args) ? remote_items(&items, args, "/v1/datasets", SIZE_MAX)
                                   : list_here(&items, args);
    return st ? st : commands_print_list(items, DATASETS, json);
}
