#include "api/commands.h"
#include "api/remote.h"
#include "base/progress.h"
#include "store/diff.h"

#include <stdio.h>
#include <string.h>

/* everline diff: what differs between two versions. */

static enum st tell(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    progress_view_tell(phase, done, total, ctx);
    return ST_OK;
}

static enum st print_json(const struct store_diff *d)
{
    struct buf text;

    buf_init(&text, 64u << 20);
    store_diff_json(&text, d); /* as it is: a sum may be wider than jansson's integers */
    enum st st = buf_status(&text);
    if (!st)
        puts(text.data);
    buf_release(&text);
    return st;
}

static enum st print_records(const struct store_diff_result *r)
{
    static const char *const HEADINGS[] = {"RECORDS", "COUNT", NULL};
    struct cmd_table *table;

    if (!r->compared)
        return ST_OK;
    enum st st = cmd_table_new(&table, HEADINGS);
    if (st)
        return st;
    cmd_table_cell(table, "before");
    cmd_table_cell(table, "%llu", (unsigned long long)r->before);
    cmd_table_cell(table, "after");
    cmd_table_cell(table, "%llu", (unsigned long long)r->after);
    for (enum store_diff_kind kind = 0; kind < STORE_DIFF_KINDS; kind++) {
        cmd_table_cell(table, "%s", store_diff_kind_name(kind));
        cmd_table_cell(table, "%llu", (unsigned long long)r->counts[kind]);
    }
    st = cmd_table_print(table, stdout);
    cmd_table_free(table);
    return st;
}

static void print_samples(const struct store_diff_result *r)
{
    bool any = false;

    for (enum store_diff_kind kind = 0; kind < STORE_DIFF_UNCHANGED; kind++)
        for (size_t i = 0; i < r->sample_counts[kind]; i++) {
            printf("%s%-8s %s\n", any ? "" : "\n", store_diff_kind_name(kind), r->samples[kind][i]);
            any = true;
        }
}

static void print_fields(const struct store_diff_result *r)
{
    static const char *const CHANGES[] = {
        [STORE_DIFF_IN_BOTH] = "retyped",
        [STORE_DIFF_IN_FROM] = "removed",
        [STORE_DIFF_IN_TO] = "added",
    };

    for (size_t i = 0; i < r->field_count; i++)
        printf("%sfield %s: %s\n", i ? "" : "\n", r->fields[i].name, CHANGES[r->fields[i].in]);
}

static void print_only_in(struct cmd_table *table, const struct store_diff_result *r,
                          enum store_diff_in in)
{
    if (in == STORE_DIFF_IN_BOTH)
        cmd_table_cell(table, "%s", "");
    else
        cmd_table_cell(table, "version %llu",
                       (unsigned long long)(in == STORE_DIFF_IN_FROM ? r->from : r->to));
}

static const char *number(const char *text)
{
    return strcmp(text, "null") == 0 ? "-" : text;
}

static enum st print_rollups(const struct store_diff_result *r)
{
    static const char *const HEADINGS[] = {"ROLLUP", "METRIC", "BEFORE", "AFTER", "ONLY IN", NULL};
    struct cmd_table *table;

    if (r->rollup_count == 0)
        return ST_OK;
    enum st st = cmd_table_new(&table, HEADINGS);
    if (st)
        return st;
    for (size_t i = 0; i < r->rollup_count; i++)
        for (size_t j = 0; j < r->rollups[i].metric_count; j++) {
            const struct store_diff_metric *m = &r->rollups[i].metrics[j];
            cmd_table_cell(table, "%s", r->rollups[i].name);
            cmd_table_cell(table, "%s", m->name);
            cmd_table_cell(table, "%s", number(m->before));
            cmd_table_cell(table, "%s", number(m->after));
            print_only_in(table, r, m->in);
        }
    puts("");
    st = cmd_table_print(table, stdout);
    cmd_table_free(table);
    return st;
}

static enum st print_tables(const char *dataset, const struct store_diff_result *r)
{
    printf("%s: version %llu to version %llu%s\n\n", dataset, (unsigned long long)r->from,
           (unsigned long long)r->to, r->definition_changed ? "; the definition changed" : "");
    enum st st = print_records(r);
    print_samples(r);
    print_fields(r);
    return st ? st : print_rollups(r);
}

/* As the server writes it, for the same reason as print_json. */
static enum st diff_on_server(const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX];
    struct remote_call call = {.path = path, .to = stdout};
    json_t *none;
    enum st st = remote_path(path, "/v1/datasets/{}/versions/{}/diff", cmd_operand(args, 0),
                             cmd_operand(args, 2));

    if (!st)
        st =
            remote_query(path, (const struct remote_parameter[]){
                                   {"from", cmd_operand(args, 1)},
                                   {"rollups_only", cmd_flag(args, "rollups-only") ? "true" : NULL},
                                   {0}});
    if (!st)
        st = remote_call(&none, &call, args);
    if (!st)
        puts("");
    return st;
}

enum st diff_cmd(const struct cmd_args *args)
{
    const char *dataset = cmd_operand(args, 0);
    struct store_diff *d = NULL;
    struct store *s = NULL;
    struct progress_view view;
    uint64_t from, to;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_version(&from, args, 1, "A");
    if (!st)
        st = commands_version(&to, args, 2, "B");
    if (!st && remote_is_asked(args))
        return json ? diff_on_server(args)
                    : st_fail(ST_USAGE, NULL, "--output json is needed with --url");
    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = store_diff_begin(&d, s, cmd_string(args, "tenant"), dataset, from, to);
    store_close(s);
    if (!st) {
        progress_view_init(&view, dataset);
        st = store_diff_run(d, cmd_flag(args, "rollups-only"), tell, &view);
        progress_view_end(&view);
    }
    if (!st)
        st = json ? print_json(d) : print_tables(dataset, store_diff_result(d));
    store_diff_free(d);
    return st;
}
