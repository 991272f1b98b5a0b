#include "api/followers.h"
#include "api/internal.h"

#include "base/log.h"

#include <string.h>

#define BUSY_RETRY_S 5

/* Failures as clients see them. What went wrong inside us is told to the log, not to the client. */
static const struct problem {
    enum st status;
    unsigned http;
    const char *title;
    const char *internal; /* code of a failure whose message is for the log only; NULL: for all */
} PROBLEMS[] = {
    {ST_IO, 500, "Internal error", "INTERNAL_ERROR"}, /* and whatever has no row */
    {ST_NOT_FOUND, 404, "Not found", NULL},
    {ST_CONFLICT, 409, "Conflict", NULL},
    {ST_INVALID, 400, "Bad request", NULL},
    {ST_DENIED, 403, "Forbidden", NULL},
    {ST_UNKNOWN_CALLER, 401, "Unauthorized", "UNAUTHORIZED"},
    {ST_TOO_LARGE, 413, "Too large", NULL},
    {ST_GONE, 410, "Gone", NULL},
    {ST_PRECONDITION, 412, "Precondition failed", NULL},
    {ST_PRECONDITION_REQUIRED, 428, "Precondition required", NULL},
    {ST_UNAVAILABLE, 503, "Unavailable", NULL},
    {ST_TIMEOUT, 503, "Timed out", NULL},
    {ST_FULL, 507, "Full", NULL},
    {ST_CORRUPT, 503, "Unavailable", "DAMAGED"},
    {ST_NOMEM, 503, "Out of memory", "OUT_OF_MEMORY"},
    {ST_FENCED, 409, "Conflict", NULL},
    {ST_HELD, 409, "Held", NULL},
    {ST_REFUSED, 409, "Refused", NULL},
    {ST_UNKNOWN_OUTCOME, 500, "Outcome unknown", NULL},
    {ST_LIMITED, 429, "Too many requests", NULL},
    {ST_METHOD, 405, "Method not allowed", NULL},
    {ST_REUSED, 422, "Key used before", NULL},
    {ST_MEDIA_TYPE, 415, "Unsupported media type", NULL},
    {ST_EXPECTATION, 417, "Expectation failed", NULL},
};

/* The operating system's "no such file" and "no space left" come without a code of ours, and with a
 * path: no handler meant them for a client. */
static bool is_from_below(enum st status)
{
    return (status == ST_NOT_FOUND || status == ST_FULL) && strcmp(st_code(), st_name(status)) == 0;
}

static struct problem find(enum st status)
{
    struct problem p = PROBLEMS[0];

    for (size_t i = 0; i < sizeof PROBLEMS / sizeof PROBLEMS[0]; i++)
        if (PROBLEMS[i].status == status)
            p = PROBLEMS[i];
    if (!is_from_below(status))
        return p;
    if (status == ST_NOT_FOUND)
        return PROBLEMS[0];
    p.internal = "FULL";
    return p;
}

enum st api_problem_status(unsigned http)
{
    for (size_t i = 0; i < sizeof PROBLEMS / sizeof PROBLEMS[0]; i++)
        if (PROBLEMS[i].http == http)
            return PROBLEMS[i].status;
    return http / 100 == 4 ? ST_INVALID : ST_IO;
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, "\"%s\":", name);
    buf_add_json_string(b, value, strlen(value));
    buf_addch(b, ',');
}

/* Of the answer that it is not nothing is left: neither headers nor what was to be its body. */
static void empty(struct api_reply *reply)
{
    buf_reset(&reply->body);
    api_follower_free(reply->follower);
    reply->follower = NULL;
    store_export_free(reply->export);
    reply->export = NULL;
    fs_close(&reply->file);
    reply->header_count = 0;
    reply->header_text_len = 0;
    reply->lost_header = NULL;
    reply->fixed = NULL;
    reply->packed = false;
}

static const char *hint_of(const struct problem *p)
{
    if (!p->internal)
        return st_hint_text();
    return strcmp(st_code(), "CATALOG_DAMAGED") == 0
               ? "the operator's log says what is damaged; everline catalog rebuild mends it"
               : "";
}

static void write_document(struct buf *b, const struct problem *p, const char *code,
                           const char *request_id)
{
    const char *detail = p->status == ST_UNKNOWN_CALLER ? "a valid token is needed"
                         : p->internal                  ? "the server could not do this"
                                                        : st_message();

    buf_addstr(b, "{\"type\":\"about:blank\",");
    add_member(b, "title", p->title);
    buf_addf(b, "\"status\":%u,", p->http);
    add_member(b, "detail", detail);
    add_member(b, "code", code);
    if (*hint_of(p))
        add_member(b, "hint", hint_of(p));
    if (!p->internal && *st_place_text()) {
        buf_addstr(b, "\"errors\":[{");
        add_member(b, "pointer", st_place_text());
        add_member(b, "detail", detail);
        b->len--; /* the last comma */
        buf_addstr(b, "}],");
    }
    add_member(b, "request_id", request_id);
    b->len--;
    buf_addch(b, '}');
    if (b->status) { /* a message that is not UTF-8 */
        buf_reset(b);
        buf_addf(b,
                 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\","
                 "\"code\":\"%s\",\"request_id\":\"%s\"}",
                 p->title, p->http, p->title, code, request_id);
    }
}

void api_problem(struct api_reply *reply, const struct api_request *request, enum st status)
{
    const struct problem p = find(status);
    const char *code = p.internal ? p.internal : st_code();

    if (p.internal)
        log_failure(p.http == 401 ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
                    p.http == 401 ? "unauthorized" : "request_failed", "%s",
                    request->route ? request->route->operation : "request");
    empty(reply);
    reply->status = p.http;
    reply->content_type = "application/problem+json";
    write_document(&reply->body, &p, code, request->request_id);
    if (p.http == 429)
        api_metrics_limited(&request->server->counts, code);
    if (p.http == 401)
        api_reply_text(reply, "WWW-Authenticate", "Bearer realm=\"everline\"");
    if (strcmp(code, "BUSY") == 0 || strcmp(code, "CATALOG_BUSY") == 0 ||
        strcmp(code, "OVERLOADED") == 0)
        api_reply_header(reply, "Retry-After", "%d", BUSY_RETRY_S);
    api_reply_text(reply, "Cache-Control", "no-store");
}
