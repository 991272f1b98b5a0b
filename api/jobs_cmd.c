#include "api/act.h"
#include "api/commands.h"
#include "api/remote.h"
#include "base/dry_run_text.h"
#include "base/progress.h"
#include "store/queue.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* The queue, as operators see it, and what they do with a job. */

#define WATCH_MS 100
#define ASK_MS 500 /* a server */
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

static enum st list_on_server(json_t **items, const struct cmd_args *args)
{
    char path[REMOTE_PATH_MAX] = "/v1/jobs";
    enum st st = remote_query(
        path, (const struct remote_parameter[]){{"dataset", cmd_string(args, "dataset")},
                                                {"state", cmd_string(args, "state")},
                                                {0}});

    return st ? st : remote_items(items, args, path, cmd_uint(args, "limit"));
}

static enum st list_here(json_t **items, const struct cmd_args *args)
{
    struct store_job_filter filter = {.tenant = cmd_string(args, "tenant"),
                                      .dataset = cmd_string(args, "dataset"),
                                      .state = cmd_string(args, "state")};
    struct store_tenant tenant;
    struct store *s = NULL;
    enum st st = commands_open(&s, args, false);

    if (!st && filter.tenant)
        st = store_tenant_get(&tenant, s, filter.tenant);
    if (!st)
        st = list_all(items, s, &filter, cmd_uint(args, "limit"));
    store_close(s);
    return st;
}

enum st jobs_list_cmd(const struct cmd_args *args)
{
    json_t *items = NULL;
    bool json;
    enum st st = cmd_output_json(&json, args);

    if (!st)
        st = commands_check_option(args, "state", "listJobs");
    if (!st)
        st = remote_is_asked(args) ? list_on_server(&items, args) : list_here(&items, args);
    return st ? st : commands_print_list(items, JOBS, json);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* Where jobs are: a store that is open, or NULL: a server. */
static enum st open_place(struct store **s, const struct cmd_args *args)
{
    *s = NULL;
    return remote_is_asked(args) ? ST_OK : commands_open(s, args, false);
}

static enum st get_job(json_t **job, struct store *s, const struct cmd_args *args, const char *id)
{
    char path[REMOTE_PATH_MAX];

    if (s)
        return store_job_get(job, s, cmd_string(args, "tenant"), id);
    enum st st = remote_path(path, "/v1/jobs/{}", id);
    if (!st)
        st = remote_get(job, args, path);
    if (st || json_is_string(json_object_get(*job, "state")))
        return st;
    json_decref(*job);
    *job = NULL;
    return remote_no_server(200);
}

enum st jobs_show_cmd(const struct cmd_args *args)
{
    struct store *s = NULL;
    json_t *job = NULL;
    enum st st = open_place(&s, args);

    if (!st)
        st = get_job(&job, s, args, cmd_operand(args, 0));
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

enum st commands_job_end(const json_t *job, bool quiet)
{
    const json_t *error = json_object_get(job, "error");
    const json_t *report = json_object_get(job, "report");
    const char *state = text_of(job, "state");
    bool dry_run = json_is_true(json_object_get(job, "dry_run"));
    char version[64];

    if (!quiet && json_is_object(report))
        dry_run_print(report);
    if (strcmp(state, "succeeded") == 0 && (quiet || dry_run))
        return ST_OK;
    if (strcmp(state, "succeeded") == 0) {
        printf("%s version %s: %s\n", text_of(job, "dataset"),
               commands_cell(job, "version", version), text_of(job, "outcome"));
        return ST_OK;
    }
    if (strcmp(state, "held") == 0 && dry_run)
        return st_fail(ST_HELD, "HELD",
                       "a gate would hold this batch: a person would have to promote it");
    if (strcmp(state, "held") == 0)
        return st_hint(st_fail(ST_HELD, "HELD", "version %s is held: a person must look",
                               commands_cell(job, "version", version)),
                       "serve it with: everline promote %s %s --reason ...",
                       text_of(job, "dataset"), commands_cell(job, "version", version));
    bool refused = strcmp(text_of(error, "code"), "CHECK_FAILED") == 0;
    enum st st = st_fail(refused ? ST_REFUSED : ST_CONFLICT, NULL, "%s: %s: %s", state,
                         text_of(error, "code"), text_of(error, "message"));
    if (*text_of(error, "place"))
        st = st_place(st, "%s", text_of(error, "place"));
    return *text_of(error, "hint") ? st_hint(st, "%s", text_of(error, "hint")) : st;
}

enum st commands_follow_job(json_t **job, struct store *s, const struct cmd_args *args,
                            const char *id, const char *what)
{
    struct watch w = {.phase = 0};
    enum st st = get_job(job, s, args, id);

    progress_view_init(&w.view, what);
    while (!st && !has_ended(*job)) {
        show(&w, *job);
        json_decref(*job);
        *job = NULL;
        poll(NULL, 0, s ? WATCH_MS : ASK_MS);
        st = get_job(job, s, args, id);
    }
    progress_view_end(&w.view);
    return st;
}

enum st jobs_watch_cmd(const struct cmd_args *args)
{
    struct store *s = NULL;
    json_t *job = NULL;
    const char *id = cmd_operand(args, 0);
    enum st st = open_place(&s, args);

    if (!st)
        st = commands_follow_job(&job, s, args, id, id);
    if (!st)
        st = commands_job_end(job, false);
    json_decref(job);
    store_close(s);
    return st;
}

/* ---- moves ---- */

typedef enum st (*move_fn)(json_t **out, struct store *s, const char *tenant, const char *id,
                           const struct store_actor *actor);

static enum st move_here(struct store *s, const struct cmd_args *args, const char *event,
                         move_fn fn)
{
    struct store_actor actor = commands_actor(args, NULL);
    const char *tenant = cmd_string(args, "tenant"), *id = cmd_operand(args, 0);
    const struct audit_record record = {.event = event, .target = id};
    struct act act = {.lock = -1};
    enum st st = act_begin(&act, s, tenant, &record);

    if (!st)
        st = fn(NULL, s, tenant, id, &actor);
    return act_end(&act, st);
}

static enum st move_on_server(const struct cmd_args *args, const char *verb)
{
    char path[REMOTE_PATH_MAX];
    struct remote_call call = {.method = "POST", .path = path};
    json_t *job = NULL;
    enum st st = remote_path(path, "/v1/jobs/{}/{}", cmd_operand(args, 0), verb);

    if (!st)
        st = remote_call(&job, &call, args);
    json_decref(job);
    return st;
}

enum st jobs_cancel_cmd(const struct cmd_args *args)
{
    const char *id = cmd_operand(args, 0);
    struct store *s = NULL;
    json_t *job = NULL;
    enum st st = open_place(&s, args);

    if (!st)
        st = s ? move_here(s, args, "cancelJob", store_job_cancel) : move_on_server(args, "cancel");
    if (!st)
        st = commands_follow_job(&job, s, args, id, id);
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
    struct store *s = NULL;
    enum st st = open_place(&s, args);

    if (!st)
        st = s ? move_here(s, args, "retryJob", store_job_retry) : move_on_server(args, "retry");
    if (!st)
        printf("%s waits for its turn\n", cmd_operand(args, 0));
    store_close(s);
    return st;
}
