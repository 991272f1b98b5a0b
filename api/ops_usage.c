#include "api/internal.h"
#include "api/negotiate.h"
#include "base/clock.h"
#include "store/usage.h"

#include <stdio.h>
#include <string.h>

/* What the tenant has used, as JSON or CSV. */

static const char *const COLUMNS[] = {"day",  "dataset", "operation", "subject",    "requests",
                                      "keys", "matches", "bytes",     "job_seconds"};
enum { COLUMN_COUNT = sizeof COLUMNS / sizeof COLUMNS[0] };

static enum st take_day(const char **out, const struct api_request *request, const char *name)
{
    char text[32];
    int64_t at_us;

    *out = api_query(request, name);
    snprintf(text, sizeof text, "%.10sT00:00:00Z", *out ? *out : "2000-01-01");
    return clock_parse(&at_us, text)
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

/* RFC 4180 section 2.7 */
static void add_csv_text(struct buf *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        buf_addstr(out, text);
        return;
    }
    buf_addch(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            buf_addch(out, '"');
        buf_addch(out, *text);
    }
    buf_addch(out, '"');
}

static void add_csv(struct buf *out, const json_t *items)
{
    const json_t *row;
    size_t i;

    for (size_t c = 0; c < COLUMN_COUNT; c++)
        buf_addf(out, "%s%s", c ? "," : "", COLUMNS[c]);
    buf_addch(out, '\n');
    json_array_foreach(items, i, row)
    {
        for (size_t c = 0; c < COLUMN_COUNT; c++) {
            const json_t *value = json_object_get(row, COLUMNS[c]);
            if (c)
                buf_addch(out, ',');
            if (json_is_string(value))
                add_csv_text(out, json_string_value(value));
            else if (json_is_integer(value))
                buf_addi64(out, json_integer_value(value));
            else if (json_is_real(value))
                buf_addf(out, "%.3f", json_real_value(value));
        }
        buf_addch(out, '\n');
    }
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
    add_csv(&reply->body, items);
    json_decref(items);
    return buf_status(&reply->body);
}
