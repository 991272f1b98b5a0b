#include "api/csv.h"
#include "api/internal.h"
#include "api/negotiate.h"
#include "store/usage.h"

#include <string.h>

/* What the tenant has used, as JSON or CSV. */

static const char *const COLUMNS[] = {"day",  "dataset", "operation", "subject",     "requests",
                                      "keys", "matches", "bytes",     "job_seconds", NULL};

static enum st take_day(const char **out, const struct api_request *request, const char *name)
{
    *out = api_query(request, name);
    return store_usage_check_day(*out)
               ? st_place(st_wrap(ST_INVALID, "\"%s\"", name), "query/%s", name)
               : ST_OK;
}

/* A cursor is the rest of a key: a day, and what else a row is of. */
static enum st check_cursor(const char *cursor)
{
    bool good = !cursor ||
                (strlen(cursor) == 43 && cursor[10] == '/' && strspn(cursor, "0123456789-") == 10 &&
                 strspn(cursor + 11, "0123456789abcdef") == 32);

    return good ? ST_OK
                : st_place(st_fail(ST_INVALID, "INVALID_CURSOR", "this is not a cursor of ours"),
                           "query/cursor");
}

enum st api_op_get_usage(struct api_reply *reply, struct api_request *request, struct store *s,
                         struct store_wait *wait)
{
    const char *from, *to, *cursor = api_query(request, "cursor");
    bool csv = api_weight_type(request->accept, "text/csv") >
               api_weight_type(request->accept, "application/json");
    json_t *items = NULL;
    char next[256];
    enum st st = take_day(&from, request, "from");

    (void)wait;
    if (!st)
        st = take_day(&to, request, "to");
    if (!st)
        st = check_cursor(cursor);
    if (!st)
        st = store_usage_list(&items, next, s, request->identity->tenant, from, to,
                              cursor ? cursor : "", (size_t)api_query_limit(request));
    if (st)
        return st;
    api_reply_text(reply, "Cache-Control", "no-store");
    if (!csv)
        return api_list(reply, items, next[0] ? next : NULL);
    reply->content_type = "text/csv; charset=utf-8";
    if (next[0])
        api_reply_text(reply, "Everline-Next", next);
    api_csv(&reply->body, items, COLUMNS);
    json_decref(items);
    return buf_status(&reply->body);
}
