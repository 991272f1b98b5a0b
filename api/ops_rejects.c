#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

/* The records and rows that a version was built without, by their places. A cursor is how many of
 * them came before: what is kept of a version does not change. */

static enum st take_cursor(uint64_t *after, const char *cursor)
{
    *after = 0;
    if (!cursor)
        return ST_OK;
    if (*cursor >= '1' && *cursor <= '9' && strspn(cursor, "0123456789") == strlen(cursor) &&
        strlen(cursor) < 10)
        *after = strtoull(cursor, NULL, 10);
    return *after ? ST_OK
                  : st_place(st_fail(ST_INVALID, "INVALID_CURSOR", "this is not a cursor of ours"),
                             "query/cursor");
}

static json_int_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

enum st api_op_list_rejects(struct api_reply *reply, struct api_request *request, struct store *s,
                            struct store_wait *wait)
{
    const char *dataset = request->path_params[0];
    uint64_t version = strtoull(request->path_params[1], NULL, 10), after;
    json_t *answer = NULL;
    bool more = false;
    char next[32];
    enum st st = api_visible(request);

    (void)wait;
    if (!st)
        st = take_cursor(&after, api_query(request, "cursor"));
    if (!st)
        st = api_hide_name(store_rejects_get(&answer, &more, s, request->identity->tenant, dataset,
                                             version, after, (size_t)api_query_limit(request)));
    if (st)
        return st;
    uint64_t seen = after + json_array_size(json_object_get(answer, "items"));
    json_int_t all = number(answer, "unparsable") + number(answer, "rejected");
    snprintf(next, sizeof next, "%llu", (unsigned long long)seen);
    json_t *place =
        json_pack("{s:s, s:I, s:s?, s:b}", "dataset", dataset, "version", (json_int_t)version,
                  "next", more ? next : NULL, "complete", !more && seen == (uint64_t)all);
    bool whole = json_object_update_new(answer, place) == 0;
    if (whole)
        jx_write(&reply->body, answer, false);
    json_decref(answer);
    return whole ? buf_status(&reply->body) : st_fail(ST_NOMEM, NULL, "out of memory");
}
