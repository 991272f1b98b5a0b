#include "base/cmd_options.h"
#include "base/log.h"
#include "base/process.h"
#include "base/progress.h"
#include "base/report.h"
#include "ingest/batch.h"
#include "ingest/child.h"
#include "ingest/draft.h"
#include "ingest/dry_run.h"
#include "ingest/export.h"
#include "ingest/job.h"
#include "ingest/noted.h"
#include "ingest/spawn.h"
#include "ingest/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The worker program: the one that has DuckDB. `everline ingest` runs it. */

static enum st print_row(const struct batch *b)
{
    struct buf text;
    json_t *row = NULL;
    enum st st = store_version_get(&row, b->store, b->tenant, b->dataset, b->version);

    buf_init(&text, 64u << 20);
    if (!st) {
        jx_write_pretty(&text, row);
        st = buf_status(&text);
    }
    if (!st)
        fputs(text.data, stdout);
    buf_release(&text);
    json_decref(row);
    return st;
}

static enum st print_summary(const struct batch *b)
{
    json_t *row = NULL;
    enum st st = store_version_get(&row, b->store, b->tenant, b->dataset, b->version);

    if (!st) {
        const json_t *rows = json_object_get(row, "rows");
        long long unparsable = (long long)json_integer_value(json_object_get(rows, "unparsable"));
        long long rejected = (long long)json_integer_value(json_object_get(rows, "rejected"));
        printf("%s version %llu: %s, %lld rows (%lld read, %lld duplicates", b->dataset,
               (unsigned long long)b->version, store_outcome_name(b->outcome),
               (long long)json_integer_value(json_object_get(rows, "accepted")),
               (long long)json_integer_value(json_object_get(rows, "read")),
               (long long)json_integer_value(json_object_get(rows, "duplicates")));
        if (unparsable)
            printf(", %lld unreadable", unparsable);
        if (rejected)
            printf(", %lld rejected", rejected);
        puts(")");
    }
    json_decref(row);
    return st;
}

/* Says which gates hold it back, and from what to what they saw it change. */
static void add_gates(struct buf *out, const json_t *gates)
{
    size_t i;
    json_t *gate;

    json_array_foreach(gates, i, gate)
    {
        const char *state = json_string_value(json_object_get(gate, "state"));
        char *value = jx_text(json_object_get(gate, "value"), false);
        char *before = jx_text(json_object_get(gate, "previous"), false);

        if (state && strcmp(state, "held") == 0)
            buf_addf(out, "; gate %s: %s, was %s", json_string_value(json_object_get(gate, "name")),
                     value ? value : "?", before ? before : "?");
        free(value);
        free(before);
    }
}

static enum st fail_held(const struct batch *b)
{
    struct buf why;
    json_t *row = NULL;
    enum st st = store_version_get(&row, b->store, b->tenant, b->dataset, b->version);

    buf_init(&why, 300);
    if (!st)
        add_gates(&why, json_object_get(row, "gates"));
    st = st_hint(st_fail(ST_HELD, "HELD", "version %llu is held: a person must look%s",
                         (unsigned long long)b->version, why.data ? why.data : ""),
                 "serve it with: everline promote %s %llu --reason ...", b->dataset,
                 (unsigned long long)b->version);
    buf_release(&why);
    json_decref(row);
    return st;
}

static enum st report(const struct batch *b, bool json, enum st st)
{
    struct st_report failure;

    st_save(&failure, st);
    if (b->version && json && print_row(b))
        fprintf(stderr, "%s: the version's row cannot be read: %s\n", program_invocation_short_name,
                st_message());
    if (!st && !json)
        st = print_summary(b);
    else if (st)
        st = st_restore(&failure);
    return !st && b->outcome == STORE_HELD_BACK ? fail_held(b) : st;
}

static enum st within(const char *option, uint64_t value, uint64_t min, uint64_t max,
                      const char *expected)
{
    return value >= min && value <= max
               ? ST_OK
               : st_fail(ST_USAGE, NULL, "--%s: %s expected", option, expected);
}

static enum st check_limits(const struct cmd_args *args)
{
    enum st st = within("threads", cmd_uint(args, "threads"), 1, TASK_THREADS_MAX, "1 to 1024");

    if (!st)
        st = within("memory", cmd_bytes(args, "memory"), 64ull << 20, 1ull << 50,
                    "64MiB to 1024TiB");
    if (!st)
        st = within("inflate-ratio", cmd_uint(args, "inflate-ratio"), 1, 1000000, "1 to 1000000");
    if (!st)
        st = within("adopt-timeout", cmd_duration_ms(args, "adopt-timeout"), 0, 7 * 86400000ull,
                    "at most 7d");
    if (!st)
        st = within("lease", cmd_duration_ms(args, "lease"), 1000, 86400000ull, "1s to 1d");
    return st;
}

static enum st ingest(const struct cmd_args *args)
{
    struct store_options options = {.data_dir = cmd_string(args, "data"),
                                    .keys_dir = cmd_string(args, "keys"),
                                    .write_wait_ms = cmd_duration_ms(args, "lease"),
                                    .stop = job_interrupted()};
    struct progress_view view;
    struct ingest_progress progress = {.fn = progress_view_tell, .ctx = &view};
    struct batch b = {
        .tenant = cmd_string(args, "tenant"),
        .dataset = cmd_operand(args, 0),
        .adopt_timeout_ms = cmd_duration_ms(args, "adopt-timeout"),
        .lease_ms = cmd_duration_ms(args, "lease"),
        .job_timeout_ms = cmd_duration_ms(args, "job-timeout"),
        .progress = &progress,
    };
    struct task t = {.memory_bytes = cmd_bytes(args, "memory"),
                     .disk_bytes = cmd_bytes(args, "temp-disk"),
                     .threads = (unsigned)cmd_uint(args, "threads"),
                     .inflate_ratio = (unsigned)cmd_uint(args, "inflate-ratio")};
    struct noted noted = {0};
    const char *source;
    bool json = false;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = check_limits(args);
    if (!st)
        st = store_open(&b.store, &options);
    if (!st)
        st = batch_define(&t, b.store, b.tenant, b.dataset);
    for (unsigned i = 0; !st && (source = cmd_list(args, "source", i)); i++)
        st = batch_add_source(&t, source);
    if (!st)
        st = batch_check_sources(&t);
    if (!st)
        st = noted_begin(&noted, "createIngest", args, 0);
    if (!st) {
        progress_view_init(&view, b.dataset);
        bool dry = cmd_flag(args, "dry-run");
        st = dry ? dry_run(&b, &t, json) : batch_run(&b, &t);
        progress_view_end(&view);
        if (!dry)
            st = report(&b, json, st);
        st = noted_end(&noted, st, b.version);
    }
    task_release(&t);
    store_close(b.store);
    return st;
}

static enum st worker(const struct cmd_args *args)
{
    struct worker_options options = {
        .store = {.data_dir = cmd_string(args, "data"),
                  .keys_dir = cmd_string(args, "keys"),
                  .write_wait_ms = cmd_duration_ms(args, "lease"),
                  .stop = job_interrupted()},
        .lease_ms = cmd_duration_ms(args, "lease"),
        .inbox = cmd_string(args, "inbox"),
        .memory_bytes = cmd_bytes(args, "memory"),
        .disk_bytes = cmd_bytes(args, "temp-disk"),
        .threads = (unsigned)cmd_uint(args, "threads"),
        .inflate_ratio = (unsigned)cmd_uint(args, "inflate-ratio"),
        .adopt_timeout_ms = cmd_duration_ms(args, "adopt-timeout"),
        .job_timeout_ms = cmd_duration_ms(args, "job-timeout"),
        .idle_exit_ms = cmd_duration_ms(args, "idle-exit"),
    };
    enum st st = check_limits(args);

    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    return st ? st : worker_run(&options);
}

static enum st init(const struct cmd_args *args)
{
    struct task t = {0};
    struct buf text;
    json_t *document = NULL;
    const char *path;
    enum st st = ST_OK;

    buf_init(&text, 1u << 20);
    for (unsigned i = 0; !st && (path = cmd_operand(args, i)); i++)
        st = task_add_file(&t, 0, path, NULL);
    if (!st)
        st = draft_make(&document, &t);
    if (!st) {
        jx_write_pretty(&text, document);
        st = buf_status(&text);
    }
    if (!st)
        fputs(text.data, stdout);
    buf_release(&text);
    json_decref(document);
    task_release(&t);
    return st;
}

static enum st check(const struct cmd_args *args)
{
    const char *file = cmd_operand(args, 0);
    struct task t = {.memory_bytes = 512u << 20, .threads = 1};
    json_t *document = NULL;
    enum st st = jx_parse_file(&document, strcmp(file, "-") == 0 ? "/dev/stdin" : file,
                               STORE_DEFINITION_MAX);

    if (!st)
        st = task_define(&t, document);
    if (!st)
        st = spawn_run(NULL, CHILD_CHECK, &t, NULL, NULL, NULL);
    task_release(&t);
    json_decref(document);
    return st;
}

/* For the program that asks (api/check.c): {"ok"} or {"error"}, which is an answer, too. */
static enum st verdict(const struct cmd_args *args)
{
    return report_say(check(args));
}

static const struct cmd_option NONE[] = {{NULL, CMD_FLAG, NULL, NULL, NULL, false}};

static const struct cmd COMMANDS[] = {
    {"ingest", "DATASET", 1, 1, "Build a new version from files and serve it",
     "Exit code: 0 served (or superseded, or identical to what is served), 1 failed or cancelled,\n"
     "2 wrong usage, 3 cannot reach, 4 held by a gate or refused by a check.",
     "everline ingest lifeline --data DIR --tenant dev --source patients=patients.csv "
     "--source coverage=2020/*.csv --source payers=payers.csv",
     CMD_INGEST, ingest},
    {"worker", "", 0, 0, "Run the queue's jobs, one at a time",
     "`everline serve` starts workers by itself. SIGTERM gives the job at hand back to the queue.",
     "everline-ingest worker --data DIR", CMD_WORKER, worker},
    {"export", "DATASET", 1, 1, "Write the records of a version into a file, for analysts",
     "Keys that are protected are exported as their hashes.",
     "everline export flights --version 3 --format parquet --output flights.parquet --data DIR "
     "--tenant dev",
     CMD_EXPORT, export_cmd},
    /* no summary, so in no list: for the server, which has its own audit */
    {"spool", "DATASET", 1, 1, NULL, NULL, NULL, CMD_EXPORT, spool_cmd},
    {"init", "FILE...", 1, STORE_SOURCES_MAX, "Print a definition as a start, from sample files",
     NULL, "everline-ingest init members.csv", NONE, init},
    {"check", "FILE", 1, 1, "Check a dataset's definition and its SQL", NULL,
     "everline-ingest check definition.json", NONE, check},
    {"verdict", "FILE", 1, 1, "The same for programs: what is wrong with it, as JSON", NULL,
     "everline-ingest verdict definition.json", NONE, verdict},
    {"config example", "", 0, 0, "Print the worker's part of a configuration file", NULL,
     "everline-ingest config example", NONE, cmd_config_example},
    {"config check", "[FILE]", 0, 1, "Check the worker's part of a configuration file", NULL,
     "everline-ingest config check everline.conf", NONE, cmd_config_check},
    {"config dump", "[COMMAND]", 0, 2, "Show the options of a command, and where each comes from",
     NULL, "everline-ingest config dump ingest --config everline.conf", NONE, cmd_config_dump},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};

static const struct cmd_program PROGRAM = {
    .about = "The worker of Everline: builds versions from files.",
    .commands = COMMANDS,
    .shared = CMD_SHARED,
    .partial = true,
};

/* It speaks by the name that was typed, here and wherever it says something by itself: `everline`
 * runs it with its own. */
int main(int argc, char **argv)
{
    struct cmd_program program = PROGRAM;
    int exit_code;

    if (child_main(argc, argv, &exit_code))
        return exit_code;
    process_no_core();
    process_keep_children();
    program.name = program_invocation_short_name;
    return cmd_main(&program, argc, argv);
}
