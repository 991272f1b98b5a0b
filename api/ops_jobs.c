#include "api/internal.h"

#include "api/followers.h"
#include "base/utf8.h"
#include "store/queue.h"
#include "store/upload.h"

#include <stdio.h>
#include <string.h>

/* Uploads and jobs: on the catalog thread. */

#define PATH_BYTES_MAX 1000

enum st api_op_create_upload(struct api_reply *reply, struct api_request *request, struct store *s,
                             struct store_wait *wait)
{
    json_t *upload = NULL;
    enum st st = store_upload_add(&upload, s, request->identity->tenant, request->received);

    (void)wait;
    return st ? st : api_reply_json(reply, 201, upload);
}

/* ---- ingests ---- */

/* A string of the contract's length, if it is there. */
static enum st read_text(const char **out, const json_t *item, const char *pointer,
                         const char *name, size_t most)
{
    enum st st = jx_string(out, item, pointer, name, NULL);

    return !st && *out && (!**out || strlen(*out) > most)
               ? st_place(st_fail(ST_INVALID, "INVALID_VALUE", "must have 1 to %zu bytes", most),
                          "%s/%s", pointer, name)
               : st;
}

/* The job's row has these as they are kept, and in the contract null is no name. */
static void drop_nulls(json_t *item)
{
    const char *name;
    json_t *value;
    void *next;

    json_object_foreach_safe(item, next, name, value)
    {
        if (json_is_null(value))
            json_object_del(item, name);
    }
}

static enum st check_source(json_t *item, size_t i)
{
    static const char *const MEMBERS[] = {"source", "upload", "path", NULL};
    const char *source, *upload = NULL, *path = NULL;
    char pointer[40];

    snprintf(pointer, sizeof pointer, "/sources/%zu", i);
    enum st st =
        json_is_object(item)
            ? jx_only(item, pointer, MEMBERS)
            : st_place(st_fail(ST_INVALID, "WRONG_TYPE", "must be an object"), "%s", pointer);
    if (!st)
        st = read_text(&source, item, pointer, "source", STORE_NAME_SIZE - 1);
    if (!st)
        st = read_text(&upload, item, pointer, "upload", STORE_UPLOAD_ID_SIZE - 1);
    if (!st)
        st = read_text(&path, item, pointer, "path", PATH_BYTES_MAX);
    if (!st && !upload == !path)
        st = st_place(
            st_fail(ST_INVALID, "INVALID_SOURCE", "a source has either an upload or a path"), "%s",
            pointer);
    if (!st && path && store_inbox_path_check(path))
        st = st_place(ST_INVALID, "/sources/%zu/path", i);
    drop_nulls(item);
    return st;
}

static bool asks_dry_run(const struct api_request *request)
{
    const char *dry_run = api_query(request, "dry_run");

    return dry_run && strcmp(dry_run, "false") != 0;
}

static enum st read_spec(json_t **spec, int *priority, const struct api_request *request)
{
    static const char *const MEMBERS[] = {"sources", "priority", "dry_run", NULL};
    json_t *body = NULL, *sources = NULL;
    int64_t number = 0;
    bool dry_run = false;
    enum st st = api_body_object(&body, request);

    if (!st)
        st = jx_only(body, "", MEMBERS);
    if (!st)
        st = jx_array(&sources, body, "", "sources");
    if (!st && json_array_size(sources) == 0)
        st = st_place(st_fail(ST_INVALID, "MISSING_SOURCE", "there is no file to ingest"),
                      "/sources");
    if (!st && json_array_size(sources) > STORE_JOB_FILES_MAX)
        st = st_place(st_hint(st_fail(ST_INVALID, "TOO_MANY_SOURCES",
                                      "a job names at most %d files", STORE_JOB_FILES_MAX),
                              "name files of the inbox by a glob"),
                      "/sources");
    if (!st)
        st = jx_integer(&number, body, "", "priority", 0, -STORE_PRIORITY_MAX, STORE_PRIORITY_MAX);
    if (!st)
        st = jx_boolean(&dry_run, body, "", "dry_run", false);
    for (size_t i = 0; !st && i < json_array_size(sources); i++)
        st = check_source(json_array_get(sources, i), i);
    dry_run = dry_run || asks_dry_run(request); /* also beside a body that names files */
    if (!st)
        *spec = json_pack(dry_run ? "{s:O, s:b}" : "{s:O}", "sources", sources, "dry_run", 1);
    *priority = (int)number;
    json_decref(body);
    return st || *spec ? st : st_fail(ST_NOMEM, NULL, "out of memory");
}

/* The file that came as the body: an upload of its own. */
static enum st take_body(json_t **spec, const struct api_request *request, struct store *s)
{
    const char *source = api_query(request, "source");
    json_t *upload = NULL;

    if (source && !utf8_is_valid(source, strlen(source)))
        return st_place(st_fail(ST_INVALID, "INVALID_PARAMETER", "\"source\" is not UTF-8"),
                        "query/source");
    enum st st = store_upload_add(&upload, s, request->identity->tenant, request->received);
    if (st)
        return st;
    json_t *item = json_pack(source ? "{s:O, s:s}" : "{s:O}", "upload",
                             json_object_get(upload, "upload"), "source", source);
    *spec = json_pack(asks_dry_run(request) ? "{s:[o], s:b}" : "{s:[o]}", "sources", item,
                      "dry_run", 1);
    json_decref(upload);
    return *spec ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

enum st api_op_create_ingest(struct api_reply *reply, struct api_request *request, struct store *s,
                             struct store_wait *wait)
{
    char actor[API_ACTOR_SIZE], job[STORE_JOB_ID_SIZE];
    struct store_job_request r = {.tenant = request->identity->tenant,
                                  .dataset = request->path_params[0],
                                  .actor = api_actor(actor, request)};
    json_t *spec = NULL, *row = NULL;
    enum st st = api_visible(request);

    (void)wait;
    if (!st)
        st = request->received ? take_body(&spec, request, s)
                               : read_spec(&spec, &r.priority, request);
    r.spec = spec;
    if (!st)
        st = api_hide_name(store_job_enqueue(job, &row, NULL, s, &r));
    json_decref(spec);
    if (st)
        return st;
    snprintf(request->act->target, sizeof request->act->target, "%s", job);
    api_reply_header(reply, "Location", "/v1/jobs/%s", job);
    return api_reply_json(reply, 202, row);
}

/* ---- jobs ---- */

static bool sees(const char *dataset, void *ctx)
{
    return auth_identity_sees_dataset(ctx, dataset);
}

enum st api_op_list_jobs(struct api_reply *reply, struct api_request *request, struct store *s,
                         struct store_wait *wait)
{
    const char *cursor = api_query(request, "cursor");
    struct store_job_filter filter = {.tenant = request->identity->tenant,
                                      .dataset = api_query(request, "dataset"),
                                      .state = api_query(request, "state"),
                                      .sees_fn = sees,
                                      .ctx = (void *)(uintptr_t)request->identity};
    char next[STORE_JOB_ID_SIZE];
    json_t *items = NULL;
    enum st st =
        cursor && strlen(cursor) >= STORE_JOB_ID_SIZE
            ? st_place(st_fail(ST_INVALID, "INVALID_CURSOR", "this is not a cursor of ours"),
                       "query/cursor")
            : ST_OK;

    (void)wait;
    if (!st)
        st = store_job_list(&items, next, s, &filter, cursor, (size_t)api_query_limit(request));
    return st ? st : api_list(reply, items, *next ? next : NULL);
}

/* The job that the path names, if the token sees its dataset. */
static enum st find_job(json_t **out, const struct api_request *request, struct store *s)
{
    enum st st = store_job_get(out, s, request->identity->tenant, request->path_params[0]);

    if (!st && !auth_identity_sees_dataset(request->identity,
                                           json_string_value(json_object_get(*out, "dataset")))) {
        json_decref(*out);
        *out = NULL;
        st = st_fail(ST_NOT_FOUND, "UNKNOWN_JOB", "there is no such job");
    }
    return st;
}

/* What a dry run says of the version that is served is for those who may compare versions:
 * otherwise a batch of one row, of which nothing stays, would be a lookup. */
static void hide_served(json_t *report)
{
    static const char *const OF_SERVED[] = {"previous", "change", "change_ratio"};
    json_t *gate;
    size_t i, j;

    json_object_set_new(report, "diff", json_null());
    json_array_foreach(json_object_get(report, "gates"), i, gate)
    {
        for (j = 0; j < sizeof OF_SERVED / sizeof OF_SERVED[0]; j++)
            json_object_del(gate, OF_SERVED[j]);
    }
}

enum st api_op_get_job(struct api_reply *reply, struct api_request *request, struct store *s,
                       struct store_wait *wait)
{
    json_t *row = NULL;
    enum st st = find_job(&row, request, s);
    json_t *report = json_object_get(row, "report");

    api_job_await(wait, s, request->identity->tenant, row);
    if (json_is_object(report) && !auth_identity_has_scope(request->identity, AUTH_VERSIONS_WRITE))
        hide_served(report);
    return st ? st : api_reply_json(reply, 200, row);
}

enum st api_op_watch_job(struct api_reply *reply, struct api_request *request, struct store *s,
                         struct store_wait *wait)
{
    const char *tenant = request->identity->tenant, *id = request->path_params[0];
    json_t *job = NULL;
    enum st st = find_job(&job, request, s);

    api_job_await(wait, s, tenant, job);
    if (!st) {
        api_follower_event(&reply->body, job);
        st = buf_status(&reply->body);
    }
    if (!st && request->server->followers)
        st = api_follower_new(&reply->follower, request->server->followers, tenant, id,
                              reply->body.data);
    json_decref(job);
    reply->content_type = "text/event-stream";
    api_reply_text(reply, "Cache-Control", "no-store");
    return st;
}

typedef enum st (*job_move_fn)(json_t **out, struct store *s, const char *tenant, const char *job,
                               const struct store_actor *actor);

static enum st move_job(struct api_reply *reply, struct api_request *request, struct store *s,
                        job_move_fn move_it)
{
    char text[API_ACTOR_SIZE];
    struct store_actor actor = api_actor(text, request);
    json_t *seen = NULL, *row = NULL;
    enum st st = find_job(&seen, request, s);

    json_decref(seen);
    if (!st)
        st = move_it(&row, s, request->identity->tenant, request->path_params[0], &actor);
    return st ? st : api_reply_json(reply, 202, row);
}

enum st api_op_cancel_job(struct api_reply *reply, struct api_request *request, struct store *s,
                          struct store_wait *wait)
{
    (void)wait;
    return move_job(reply, request, s, store_job_cancel);
}

enum st api_op_retry_job(struct api_reply *reply, struct api_request *request, struct store *s,
                         struct store_wait *wait)
{
    (void)wait;
    return move_job(reply, request, s, store_job_retry);
}
