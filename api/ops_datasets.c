#include "api/helper.h"
#include "api/internal.h"

#include <stdio.h>
#include <string.h>

/* Datasets are put and deleted. What the definition says is looked at on a thread of the pool, its
 * SQL by a child (api/check.h), and then it is one change of the head, on the catalog thread. */

static enum st read_definition(struct store_definition **out, json_t **document,
                               const struct api_request *request)
{
    enum st st = api_body_object(document, request);

    *out = NULL;
    if (!st)
        st = store_definition_parse(out, *document);
    if (!st && strcmp((*out)->name, request->path_params[0]) != 0)
        st = st_hint(st_place(st_fail(ST_INVALID, "INVALID_DEFINITION",
                                      "the definition is of another dataset than the path names"),
                              "/name"),
                     "a name cannot be changed: put it under its own");
    return st;
}

/* RFC 9110 section 13.1.2: what is put has no other precondition of that kind than that there is
 * none. */
static enum st check_if_none_match(const struct api_request *request)
{
    return !request->if_none_match || strcmp(request->if_none_match, "*") == 0
               ? ST_OK
               : st_place(st_fail(ST_INVALID, "INVALID_PARAMETER",
                                  "If-None-Match of a PUT can only be \"*\""),
                          "header/If-None-Match");
}

static enum st check_sql(const json_t *document, struct api_request *request)
{
    struct api_places *places = &request->server->checks;
    size_t place;

    if (!api_places_take(&place, places, request->identity->tenant))
        return st_hint(st_fail(ST_UNAVAILABLE, "BUSY", "too many definitions are being checked"),
                       "ask again in a few seconds");
    enum st st = api_check_sql(document, api_go_on, request);
    api_places_leave(places, place);
    return st;
}

enum st api_op_put_dataset_before(struct api_request *request)
{
    struct store_definition *definition = NULL;
    json_t *document = NULL;
    enum st st = api_visible(request);

    if (!st)
        st = check_if_none_match(request);
    if (!st)
        st = read_definition(&definition, &document, request);
    if (!st)
        st = check_sql(document, request);
    store_definition_free(definition);
    json_decref(document);
    return st;
}

/* The answer comes when this server serves it so. */
static void await(struct store_wait *wait, const struct api_request *request, uint64_t sequence)
{
    snprintf(wait->tenant, sizeof wait->tenant, "%s", request->identity->tenant);
    snprintf(wait->dataset, sizeof wait->dataset, "%s", request->path_params[0]);
    wait->sequence = sequence;
}

enum st api_op_put_dataset(struct api_reply *reply, struct api_request *request, struct store *s,
                           struct store_wait *wait)
{
    const char *tenant = request->identity->tenant, *force = api_query(request, "force");
    char text[API_ACTOR_SIZE];
    struct store_actor actor = api_actor(text, request);
    struct store_put put = {.force = force && strcmp(force, "false") != 0,
                            .if_absent = request->if_none_match != NULL,
                            .if_there = request->if_match && strcmp(request->if_match, "*") == 0,
                            .actor = &actor};
    struct store_definition *definition = NULL;
    json_t *document = NULL, *dataset = NULL;
    bool created;
    enum st st = api_if_head(&put.if_head, request);

    if (!st)
        st = read_definition(&definition, &document, request);
    if (!st)
        st = store_dataset_put(&dataset, &created, s, tenant, definition, &put);
    store_definition_free(definition);
    json_decref(document);
    if (st)
        return st;
    await(wait, request, (uint64_t)json_integer_value(json_object_get(dataset, "sequence")));
    api_reply_header(reply, "ETag", "\"%llu\"", (unsigned long long)wait->sequence);
    return api_reply_json(reply, created ? 201 : 200, dataset);
}

enum st api_op_delete_dataset(struct api_reply *reply, struct api_request *request, struct store *s,
                              struct store_wait *wait)
{
    char text[API_ACTOR_SIZE];
    struct store_move move = {.tenant = request->identity->tenant,
                              .dataset = request->path_params[0],
                              .actor = api_actor(text, request)};
    uint64_t sequence;
    enum st st = api_visible(request);

    move.actor.reason = api_query(request, "reason");
    api_act_says(request, 0, move.actor.reason);
    if (!st)
        st = api_if_head(&move.if_head, request);
    if (!st)
        st = api_reason_in_query(api_hide_name(store_dataset_delete(&sequence, s, &move)));
    if (st)
        return st;
    await(wait, request, sequence);
    reply->status = 204;
    return ST_OK;
}
