#include "api/internal.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void api_reply_init(struct api_reply *reply)
{
    *reply = (struct api_reply){.status = 200, .file = -1};
    buf_init(&reply->body, API_REPLY_MAX);
}

void api_reply_release(struct api_reply *reply)
{
    buf_release(&reply->body);
    store_export_free(reply->export);
    reply->export = NULL;
    fs_close(&reply->file);
}

void api_reply_text(struct api_reply *r, const char *name, const char *value)
{
    size_t len = strlen(value), room = sizeof r->header_text - r->header_text_len;

    if (len >= room || r->header_count == API_HEADERS_MAX)
        return;
    char *copy = memcpy(r->header_text + r->header_text_len, value, len + 1);
    r->headers[r->header_count++] = (struct api_pair){name, copy, len};
    r->header_text_len += len + 1;
}

void api_reply_header(struct api_reply *r, const char *name, const char *fmt, ...)
{
    size_t room = sizeof r->header_text - r->header_text_len;
    char *value = r->header_text + r->header_text_len;
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(value, room, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room || r->header_count == API_HEADERS_MAX)
        return;
    r->headers[r->header_count++] = (struct api_pair){name, value, (size_t)n};
    r->header_text_len += (size_t)n + 1;
}

void api_log_request(const struct api_request *request)
{
    char trace_id[API_TRACE_ID_LEN + 1] = "";

    log_set_request_id(request ? request->request_id : NULL);
    if (request && *request->trace)
        memcpy(trace_id, request->trace + API_TRACE_ID_AT, API_TRACE_ID_LEN);
    log_set_trace_id(trace_id);
}

static void conclude(struct api_reply *reply, const struct api_request *request, enum st st)
{
    if (!st && reply->body.status)
        st = buf_status(&reply->body);
    if (st)
        api_problem(reply, request, st);
}

void api_run_data(struct api_reply *reply, struct api_request *request)
{
    conclude(reply, request, request->route->data(reply, request));
}

void api_run_control(struct api_reply *reply, struct api_request *request, struct store *s,
                     struct store_wait *wait)
{
    enum st st = request->route->control(reply, request, s, wait);

    if (st == ST_TIMEOUT && strcmp(st_code(), "CATALOG_BUSY") == 0) {
        wait->busy = wait->can_wait;
        if (wait->busy)
            return;
        log_failure(LOG_LEVEL_ERROR, "catalog_busy", "%s", request->route->operation);
        st = st_hint(st_fail(ST_TIMEOUT, "CATALOG_BUSY", "something else writes to the catalog"),
                     "nothing was changed: try again later");
    }
    conclude(reply, request, st);
}

bool api_run_before(struct api_reply *reply, struct api_request *request)
{
    enum st st = request->route->before(request);

    conclude(reply, request, st);
    return !st;
}

void api_run_later(struct api_reply *reply, struct api_request *request)
{
    conclude(reply, request, request->route->later(reply, request));
}

enum st api_visible(const struct api_request *request)
{
    if (auth_identity_sees_dataset(request->identity, request->path_params[0]))
        return ST_OK;
    log_event(LOG_LEVEL_INFO, "narrowed", "%s: the token's datasets do not include this one",
              request->route->operation);
    return st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name");
}

enum st api_hide_name(enum st st)
{
    return st == ST_NOT_FOUND && strcmp(st_code(), "UNKNOWN_DATASET") == 0
               ? st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name")
               : st;
}

enum st api_body_object(json_t **out, const struct api_request *request)
{
    return jx_parse_object(out, request->body ? request->body : "", request->body_len);
}

struct store_actor api_actor(char text[API_ACTOR_SIZE], const struct api_request *request)
{
    const struct auth_identity *who = request->identity;

    snprintf(text, API_ACTOR_SIZE, "token:%s", who->subject[0] ? who->subject : who->kid);
    return (struct store_actor){.name = text, .request_id = request->request_id};
}

enum st api_if_sequence(uint64_t *sequence, const struct api_request *request)
{
    const char *value = request->if_match;
    char *end = NULL;

    *sequence = 0;
    if (!value)
        return ST_OK;
    if (*value == '"' && value[1] >= '1' && value[1] <= '9')
        *sequence = strtoull(value + 1, &end, 10);
    if (!end || strcmp(end, "\"") != 0)
        return st_hint(st_fail(ST_PRECONDITION, "HEAD_MOVED", "If-Match does not name a head"),
                       "send the ETag of GET /v1/datasets/{dataset}");
    return ST_OK;
}

enum st api_reply_json(struct api_reply *reply, unsigned status, json_t *value)
{
    reply->status = status;
    jx_write(&reply->body, value, false);
    json_decref(value);
    return buf_status(&reply->body);
}

int64_t api_query_limit(const struct api_request *request)
{
    const char *text = api_query(request, "limit");

    return text ? strtoll(text, NULL, 10) : 100; /* checked by the route table */
}

enum st api_list(struct api_reply *reply, json_t *items, const char *next)
{
    struct buf *b = &reply->body;

    buf_addstr(b, "{\"items\":");
    jx_write(b, items, false);
    json_decref(items);
    buf_addstr(b, ",\"next\":");
    if (next)
        buf_add_json_string(b, next, strlen(next));
    else
        buf_addstr(b, "null");
    buf_addf(b, ",\"complete\":%s}", next ? "false" : "true");
    return buf_status(b);
}

void api_version_headers_of(struct api_reply *reply, uint64_t version, const char *state,
                            bool is_protected)
{
    api_reply_header(reply, "Everline-Version", "%llu", (unsigned long long)version);
    if (strcmp(state, "SUCCEEDED") != 0)
        api_reply_text(reply, "Everline-Version-State", state);
    if (is_protected)
        api_reply_text(reply, "Cache-Control", "no-store");
}

void api_version_headers(struct api_reply *reply, const struct store_served *d)
{
    api_version_headers_of(reply, d->version, d->state,
                           d->definition->key.protect != STORE_PROTECT_NONE);
}

/* If-None-Match is a list of tags or "*" (RFC 9110 section 13.1.2); ours hold no comma. */
static bool has_tag(const char *list, const char *tag)
{
    if (strcmp(list, "*") == 0)
        return true;
    size_t len = strlen(tag);
    for (const char *at = strstr(list, tag); at; at = strstr(at + 1, tag))
        if (at[len] == '\0' || at[len] == ',' || at[len] == ' ')
            return true;
    return false;
}

bool api_tag(struct api_reply *reply, const struct api_request *request, const char *tag)
{
    char packed[64]; /* the tag of the same by gzip (api/reply.c) */

    if (!request->if_none_match) {
        api_reply_text(reply, "ETag", tag);
        return false;
    }
    snprintf(packed, sizeof packed, "%.*s-gzip\"", (int)strlen(tag) - 1, tag);
    bool is_packed = has_tag(request->if_none_match, packed);
    api_reply_text(reply, "ETag", is_packed ? packed : tag);
    if (!is_packed && !has_tag(request->if_none_match, tag))
        return false;
    reply->status = 304;
    return true;
}

bool api_etag(struct api_reply *reply, const struct api_request *request,
              const struct store_served *d, const char *query, const char *part)
{
    unsigned char digest[DIGEST_BYTES];
    const char *const of[] = {d->tenant, d->dataset, request->route->operation, query, part};
    char hex[33], tag[40];
    struct buf b;

    api_reply_text(reply, "Cache-Control", "private, no-cache");
    buf_init(&b, 16384);
    buf_addu64(&b, d->version);
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        buf_addch(&b, '/');
        buf_addstr(&b, of[i]);
    }
    bool ok = !b.status;
    if (ok)
        digest_sha256(digest, b.data, b.len);
    buf_release(&b);
    if (!ok)
        return false; /* no tag, no harm */
    digest_hex(hex, digest, 16);
    snprintf(tag, sizeof tag, "\"%s\"", hex);
    return api_tag(reply, request, tag);
}
