#include "api/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What reads or changes the catalog: it runs on the catalog thread while the connection is
 * suspended. */

static const char *tenant_of(const struct api_request *request)
{
    return request->identity->tenant;
}

static const char *name_at(const json_t *items, size_t i)
{
    return json_string_value(json_object_get(json_array_get(items, i), "name"));
}

/* Moves what the token sees of `page` to `seen`, at most `limit` in all; *more when one was left.
 */
static enum st take_seen(json_t *seen, bool *more, const json_t *page,
                         const struct auth_identity *identity, size_t limit)
{
    for (size_t i = 0; i < json_array_size(page); i++) {
        if (!auth_identity_sees_dataset(identity, name_at(page, i)))
            continue;
        *more = json_array_size(seen) == limit;
        if (*more)
            return ST_OK;
        if (json_array_append(seen, json_array_get(page, i)) != 0)
            return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    return ST_OK;
}

/* A page of what the token sees: neither its length nor its cursor tells what is in between. */
static enum st list_seen(json_t **out, bool *more, const struct api_request *request,
                         struct store *s, const char *after, size_t limit)
{
    char last[STORE_NAME_SIZE];
    bool goes_on = true;
    enum st st = ST_OK;

    if (!request->identity->datasets_listed)
        return store_dataset_list(out, more, s, tenant_of(request), after, limit);
    *more = false;
    *out = json_array();
    while (!st && goes_on && !*more) {
        json_t *page = NULL;
        st = store_dataset_list(&page, &goes_on, s, tenant_of(request), after, limit);
        if (!st && goes_on) {
            snprintf(last, sizeof last, "%s", name_at(page, json_array_size(page) - 1));
            after = last;
        }
        if (!st)
            st = take_seen(*out, more, page, request->identity, limit);
        json_decref(page);
    }
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

enum st api_op_list_datasets(struct api_reply *reply, struct api_request *request, struct store *s,
                             struct store_wait *wait)
{
    json_t *items = NULL;
    char next[STORE_NAME_SIZE] = "";
    const char *cursor = api_query(request, "cursor");
    bool more = false;
    enum st st =
        cursor && store_name_check("dataset", cursor)
            ? st_place(st_fail(ST_INVALID, "INVALID_CURSOR", "this is not a cursor of ours"),
                       "query/cursor")
            : ST_OK;

    (void)wait;
    if (!st)
        st = list_seen(&items, &more, request, s, cursor, (size_t)api_query_limit(request));
    if (st)
        return st;
    if (more)
        snprintf(next, sizeof next, "%s", name_at(items, json_array_size(items) - 1));
    return api_list(reply, items, more ? next : NULL);
}

enum st api_op_get_dataset(struct api_reply *reply, struct api_request *request, struct store *s,
                           struct store_wait *wait)
{
    json_t *dataset = NULL;
    char tag[40];
    enum st st = api_visible(request);

    (void)wait;
    if (!st)
        st = api_hide_name(
            store_dataset_get(&dataset, s, tenant_of(request), request->path_params[0]));
    if (st)
        return st;
    snprintf(tag, sizeof tag, "\"%lld\"",
             (long long)json_integer_value(json_object_get(dataset, "sequence")));
    if (!api_tag(reply, request, tag))
        return api_reply_json(reply, 200, dataset);
    json_decref(dataset);
    return ST_OK;
}

typedef enum st (*list_fn)(json_t **items, bool *more, struct store *s, const char *tenant,
                           const char *dataset, uint64_t before, size_t limit);

/* A list of numbered things, newest first; the cursor is the last number given. */
static enum st list_numbered(struct api_reply *reply, const struct api_request *request,
                             struct store *s, list_fn list, const char *number)
{
    const char *cursor = api_query(request, "cursor");
    json_t *items = NULL;
    uint64_t before = 0;
    char next[32] = "";
    bool more = false;
    enum st st = api_visible(request);

    if (!st && cursor) {
        before = strspn(cursor, "0123456789") == strlen(cursor) ? strtoull(cursor, NULL, 10) : 0;
        if (before == 0)
            st = st_place(st_fail(ST_INVALID, "INVALID_CURSOR", "this is not a cursor of ours"),
                          "query/cursor");
    }
    if (!st)
        st = api_hide_name(list(&items, &more, s, tenant_of(request), request->path_params[0],
                                before, (size_t)api_query_limit(request)));
    if (st)
        return st;
    if (more)
        snprintf(next, sizeof next, "%lld",
                 (long long)json_integer_value(
                     json_object_get(json_array_get(items, json_array_size(items) - 1), number)));
    return api_list(reply, items, more ? next : NULL);
}

enum st api_op_list_versions(struct api_reply *reply, struct api_request *request, struct store *s,
                             struct store_wait *wait)
{
    (void)wait;
    return list_numbered(reply, request, s, store_version_list, "version");
}

enum st api_op_list_events(struct api_reply *reply, struct api_request *request, struct store *s,
                           struct store_wait *wait)
{
    (void)wait;
    return list_numbered(reply, request, s, store_event_list, "sequence");
}

enum st api_op_get_version(struct api_reply *reply, struct api_request *request, struct store *s,
                           struct store_wait *wait)
{
    json_t *row = NULL;
    enum st st = api_visible(request);

    (void)wait;
    if (!st)
        st = api_hide_name(store_version_get(&row, s, tenant_of(request), request->path_params[0],
                                             strtoull(request->path_params[1], NULL, 10)));
    return st ? st : api_reply_json(reply, 200, row);
}

/* ---- moves ---- */

typedef enum st (*move_fn)(json_t **head, struct store *s, const struct store_move *move);

/* Every server opens the version before the pointer moves to it. */
static enum st prepare_move(bool *ready, struct store *s, move_fn move_it, struct store_move *move)
{
    *ready = true;
    return move_it == store_retire ? ST_OK
                                   : store_move_prepare(ready, s, move, move_it == store_rollback);
}

static enum st run_move(struct api_reply *reply, struct api_request *request, struct store *s,
                        struct store_wait *wait, move_fn move_it, struct store_move *move)
{
    char text[API_ACTOR_SIZE];
    struct store_actor actor = api_actor(text, request);
    json_t *head = NULL;

    move->tenant = tenant_of(request);
    move->dataset = request->path_params[0];
    move->actor.name = actor.name;
    move->actor.request_id = actor.request_id;
    move->progress = request->move;
    api_act_says(request, move->to ? move->to : move->from, move->actor.reason);
    enum st st = api_if_head(&move->if_head, request);
    bool ready;
    if (!st)
        st = api_hide_name(prepare_move(&ready, s, move_it, move));
    request->move = move->progress;
    if (!st && !ready) {
        wait->again = true;
        return ST_OK;
    }
    if (!st)
        st = api_hide_name(move_it(&head, s, move));
    if (st)
        return st;
    snprintf(wait->tenant, sizeof wait->tenant, "%s", move->tenant);
    snprintf(wait->dataset, sizeof wait->dataset, "%s", move->dataset);
    wait->sequence = (uint64_t)json_integer_value(json_object_get(head, "sequence"));
    api_reply_header(reply, "ETag", "\"%llu\"", (unsigned long long)wait->sequence);
    return api_reply_json(reply, 200, head);
}

enum st api_op_roll_back(struct api_reply *reply, struct api_request *request, struct store *s,
                         struct store_wait *wait)
{
    static const char *const MEMBERS[] = {"reason", "from", "to", NULL};
    struct store_move move = {0};
    int64_t from = 0, to = 0;
    json_t *body = NULL;
    enum st st = api_visible(request);

    if (!st)
        st = api_body_object(&body, request);
    if (!st)
        st = jx_only(body, "", MEMBERS);
    if (!st)
        st = jx_string(&move.actor.reason, body, "", "reason", NULL);
    if (!st)
        st = jx_integer(&from, body, "", "from", 0, 1, INT64_MAX);
    if (!st)
        st = jx_integer(&to, body, "", "to", 0, 1, INT64_MAX);
    move.from = (uint64_t)from;
    move.to = (uint64_t)to;
    if (!st)
        st = run_move(reply, request, s, wait, store_rollback, &move);
    json_decref(body);
    return st;
}

enum st api_op_promote_version(struct api_reply *reply, struct api_request *request,
                               struct store *s, struct store_wait *wait)
{
    static const char *const MEMBERS[] = {"reason", NULL};
    struct store_move move = {.to = strtoull(request->path_params[1], NULL, 10)};
    json_t *body = NULL;
    enum st st = api_visible(request);

    if (!st)
        st = api_body_object(&body, request);
    if (!st)
        st = jx_only(body, "", MEMBERS);
    if (!st)
        st = jx_string(&move.actor.reason, body, "", "reason", NULL);
    if (!st)
        st = run_move(reply, request, s, wait, store_promote, &move);
    json_decref(body);
    return st;
}

enum st api_op_retire_version(struct api_reply *reply, struct api_request *request, struct store *s,
                              struct store_wait *wait)
{
    struct store_move move = {.to = strtoull(request->path_params[1], NULL, 10),
                              .actor.reason = api_query(request, "reason")};
    enum st st = api_visible(request);

    return st ? st : api_reason_in_query(run_move(reply, request, s, wait, store_retire, &move));
}
