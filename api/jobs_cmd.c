#include "api/act.h"
#include "api/commands.h"
#include "base/progress.h"
#include "store/queue.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* The queue, as operators see it, and what they do with a job. */

#define WATCH_MS 100
#define PHASE_SIZE 32

static const struct commands_column JOBS[] = {{"JOB", "job"},
                                              {"DATASET", "dataset"},
                                              {"STATE", "state"},
                                              {"ATTEMPT", "attempt"},
                                              {"VERSION", "version"},
                                              {"OUTCOME", "outcome"},
                                              {"CREATED", "created_at"},
                                              {NULL, NULL}};

/* Page after page, at most `limit`. */
static enum st list_all(json_t **out, struct store *s, const struct store_job_filter *filter,
                        size_t limit)
{
    char next[STORE_JOB_ID_SIZE] = "";
    enum st st = ST_OK;

    *out = json_array();
    do {
        json_t *items = NULL;
        st = store_job_list(&items, next, s, filter, *next ? next : NULL,
                            limit - json_array_size(*out));
        if (!st && json_array_extend(*out, items) != 0)
            st = st_fail(ST_NOMEM, NULL, "out of memory");
        json_decref(items);
    } while (!st && *next && json_array_size(*out) < limit);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

enum st jobs_list_cmd(const struct cmd_args *args)
{
    struct store_job_filter filter = {.tenant = cmd_string(args, "tenant"),
                                      .dataset = cmd_string(args, "dataset"),
                                      .state = cmd_string(args, "state")};
    json_t *items = NULL;
    struct store *s = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_open(&s, args, false);
    if (!st)
        st = list_all(&items, s, &filter, cmd_uint(args, "limit"));
    store_close(s);
    if (st)
        return st;
    if (json)
        return commands_print_items(items);
    st = commands_print_table(items, JOBS);
    json_decref(items);
    return st;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

enum st jobs_show_cmd(const struct cmd_args *args)
{
    struct store *s = NULL;
    json_t *job = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = store_job_get(&job, s, cmd_string(args, "tenant"), cmd_operand(args, 0));
    store_close(s);
    return st ? st : commands_print(job);
}

/* ---- watching ---- */

struct watch {
    struct progress_view view;
    char phases[2][PHASE_SIZE]; /* the view knows a new phase by its address */
    unsigned phase;
};

static void show(struct watch *w, const json_t *job)
{
    const json_t *progress = json_object_get(job, "progress");
    const char *phase =
        json_is_object(progress) ? text_of(progress, "phase") : text_of(job, "state");

    if (strcmp(phase, w->phases[w->phase]) != 0) {
        w->phase = !w->phase;
        snprintf(w->phases[w->phase], PHASE_SIZE, "%s", phase);
    }
    progress_view_tell(w->phases[w->phase],
                       (uint64_t)json_integer_value(json_object_get(progress, "rows")),
                       (uint64_t)json_integer_value(json_object_get(progress, "total")), &w->view);
}

static bool has_ended(const json_t *job)
{
    return strcmp(text_of(job, "state"), "queued") != 0 &&
           strcmp(text_of(job, "state"), "running") != 0;
}

/* What it ended as, in the words and exit codes of `ingest`. */
static enum st end_of(const json_t *job)
{
    const json_t *error = json_object_get(job, "error");
    const char *state = text_of(job, "state");
    char version[64];

    if (strcmp(state, "succeeded") == 0) {
        printf("%s version %s: %s\n", text_of(job, "dataset"),
               commands_cell(job, "version", version), text_of(job, "outcome"));
        return ST_OK;
    }
    if (strcmp(state, "held") == 0)
        return st_hint(st_fail(ST_HELD, "HELD", "version %s is held: a person must look",
                               commands_cell(job, "version", version)),
                       "serve it with: everline promote %s %s --reason ...",
                       text_of(job, "dataset"), commands_cell(job, "version", version));
    enum st st = st_fail(ST_CONFLICT, NULL, "%s: %s: %s", state, text_of(error, "code"),
                         text_of(error, "message"));
    if (*text_of(error, "place"))
        st = st_place(st, "%s", text_of(error, "place"));
    return *text_of(error, "hint") ? st_hint(st, "%s", text_of(error, "hint")) : st;
}

/* Until the job has ended; *job is how. */
static enum st follow(json_t **job, struct store *s, const char *tenant, const char *id)
{
    struct watch w = {.phase = 0};
    enum st st = store_job_get(job, s, tenant, id);

    progress_view_init(&w.view, id);
    while (!st && !has_ended(*job)) {
        show(&w, *job);
        json_decref(*job);
        *job = NULL;
        poll(NULL, 0, WATCH_MS);
        st = store_job_get(job, s, tenant, id);
    }
    progress_view_end(&w.view);
    return st;
}

enum st jobs_watch_cmd(const struct cmd_args *args)
{
    struct store *s = NULL;
    json_t *job = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = follow(&job, s, cmd_string(args, "tenant"), cmd_operand(args, 0));
    if (!st)
        st = end_of(job);
    json_decref(job);
    store_close(s);
    return st;
}

/* ---- moves ---- */

enum st jobs_cancel_cmd(const struct cmd_args *args)
{
    struct store_actor actor = commands_actor(args, NULL);
    const char *tenant = cmd_string(args, "tenant"), *id = cmd_operand(args, 0);
    const struct audit_record record = {.event = "cancelJob", .target = id};
    struct act act = {.lock = -1};
    struct store *s = NULL;
    json_t *job = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = act_begin(&act, s, tenant, &record);
    if (!st)
        st = store_job_cancel(NULL, s, tenant, id, &actor);
    st = act_end(&act, st);
    if (!st)
        st = follow(&job, s, tenant, id);
    if (!st && strcmp(text_of(job, "state"), "canceled") != 0)
        st = st_fail(ST_CONFLICT, "JOB_ENDED", "the job ended before it heard of it: it is %s",
                     text_of(job, "state"));
    if (!st)
        printf("%s is canceled\n", id);
    json_decref(job);
    store_close(s);
    return st;
}

enum st jobs_retry_cmd(const struct cmd_args *args)
{
    struct store_actor actor = commands_actor(args, NULL);
    const char *tenant = cmd_string(args, "tenant"), *id = cmd_operand(args, 0);
    const struct audit_record record = {.event = "retryJob", .target = id};
    struct act act = {.lock = -1};
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st)
        st = act_begin(&act, s, tenant, &record);
    if (!st)
        st = store_job_retry(NULL, s, tenant, id, &actor);
    st = act_end(&act, st);
    if (!st)
        printf("%s waits for its turn\n", id);
    store_close(s);
    return st;
}
