#include "api/cmd_util.h"

static enum st print_table(const json_t *report)
{
    static const char *const MEMBERS[] = {"tenant",  "dataset", "version", "sha256",
                                          "problem", "hint",    NULL};
    const json_t *problems = json_object_get(report, "problems"), *problem;
    struct cmd_table *table = NULL;
    char text[64];
    size_t i;
    enum st st = ST_OK;

    if (json_array_size(problems) > 0)
        st = cmd_table_new(&table, MEMBERS);
    if (st)
        return st;
    json_array_foreach(problems, i, problem)
    {
        for (const char *const *m = MEMBERS; *m; m++) {
            const char *whole = json_string_value(json_object_get(problem, *m));
            cmd_table_cell(table, "%s", whole ? whole : api_cmd_cell_text(text, problem, *m));
        }
    }
    if (table)
        cmd_table_print(table, stdout);
    cmd_table_free(table);
    printf("%lld versions, %lld segments: %s\n",
           (long long)json_integer_value(json_object_get(report, "versions")),
           (long long)json_integer_value(json_object_get(report, "segments")),
           json_array_size(problems) ? "there are problems" : "all is well");
    return ST_OK;
}

static enum st run(const struct cmd_args *args)
{
    struct store *store = NULL;
    struct st_report problem;
    json_t *report = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = api_cmd_store_open(&store, args);
    if (!st)
        st = store_verify(&report, store, cmd_flag(args, "deep"));
    if (report) {
        st_save(&problem, st);
        enum st printed = json ? api_cmd_print_json(report) : print_table(report);
        st = st ? st_restore(&problem) : printed;
    }
    json_decref(report);
    store_close(store);
    return st;
}

const struct cmd api_verify_cmd = {
    .name = "verify",
    .operands = "",
    .summary = "Check that every kept version is there and whole",
    .about =
        "Without --deep: presence and size of every segment. With it: hash, order, rows, counts\n"
        "and totals too. The exit code is 1 when there is a problem.",
    .example = "everline verify --data data --deep",
    .options = (const struct cmd_option[]){CMD_DATA,
                                           {"deep", CMD_FLAG, NULL, NULL, "read everything", false},
                                           CMD_KEYS,
                                           CMD_OUTPUT,
                                           CMD_END},
    .run = run,
};
