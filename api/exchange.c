#include "api/followers.h"
#include "api/gzip.h"
#include "api/internal.h"
#include "api/repeat.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void api_reply_init(struct api_reply *reply)
{
    memset(reply, 0, offsetof(struct api_reply, headers));
    reply->status = 200;
    reply->file = -1;
    buf_init(&reply->body, API_REPLY_MAX);
}

void api_reply_release(struct api_reply *reply)
{
    buf_release(&reply->body);
    api_follower_free(reply->follower);
    reply->follower = NULL;
    store_export_free(reply->export);
    reply->export = NULL;
    fs_close(&reply->file);
}

/* A header whose value is `len` bytes, which are copied or there already. */
static char *take_room(struct api_reply *r, const char *name, size_t len)
{
    if (len >= sizeof r->header_text - r->header_text_len || r->header_count == API_HEADERS_MAX) {
        r->lost_header = name;
        return NULL;
    }
    char *value = r->header_text + r->header_text_len;
    r->headers[r->header_count++] = (struct api_pair){name, value, len};
    r->header_text_len += len + 1;
    return value;
}

void api_reply_text(struct api_reply *r, const char *name, const char *value)
{
    size_t len = strlen(value);
    char *copy = take_room(r, name, len);

    if (copy)
        memcpy(copy, value, len + 1);
}

void api_reply_header(struct api_reply *r, const char *name, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(r->header_text + r->header_text_len,
                      sizeof r->header_text - r->header_text_len, fmt, args);
    va_end(args);
    take_room(r, name, n < 0 ? SIZE_MAX : (size_t)n);
}

enum st api_reply_status(const struct api_reply *reply)
{
    return reply->lost_header
               ? st_fail(ST_IO, NULL, "there is no room for the header %s", reply->lost_header)
               : buf_status(&reply->body);
}

void api_log_request(const struct api_request *request)
{
    if (request)
        log_set_request(request->request_id,
                        *request->trace ? request->trace + API_TRACE_ID_AT : NULL);
    else
        log_set_request(NULL, NULL);
}

static void conclude(struct api_reply *reply, const struct api_request *request, enum st st)
{
    if (!st)
        st = api_reply_status(reply);
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
    enum st st = request->route->repeatable ? api_repeat_run(reply, request, s, wait)
                                            : request->route->control(reply, request, s, wait);

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

enum st api_reason_in_query(enum st st)
{
    return st == ST_INVALID && strcmp(st_place_text(), "/reason") == 0
               ? st_place(st, "query/reason")
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

/* The tag at *p, of a list: the sequence that it names, or 0, for of a weak one and of what is not
 * a head's none is meant. False: it is no tag. Goes to the next one. */
static bool next_sequence(uint64_t *sequence, const char **p)
{
    bool weak = strncmp(*p, "W/", 2) == 0;
    const char *open = weak ? *p + 2 : *p, *close = *open == '"' ? strchr(open + 1, '"') : NULL;
    char *end = NULL;

    if (!close)
        return false;
    *sequence = 0;
    if (!weak && open[1] >= '1' && open[1] <= '9')
        *sequence = strtoull(open + 1, &end, 10);
    if (end && end != close && strncmp(end, API_GZIP_TAG "\"", sizeof API_GZIP_TAG) != 0)
        *sequence = 0;
    *p = close + 1 + strspn(close + 1, " \t");
    bool more = **p == ',';
    *p += strspn(*p, ", \t");
    return more || !**p;
}

enum st api_if_head(struct store_if *out, const struct api_request *request)
{
    const char *at = request->if_match;
    bool good = true;

    out->count = 0;
    if (!at || strcmp(at, "*") == 0)
        return ST_OK;
    while (good && *at && out->count < STORE_IF_MAX) {
        good = next_sequence(&out->sequences[out->count], &at);
        out->count += good && out->sequences[out->count] != 0;
    }
    if (!good || *at || !out->count)
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
    char number[24];
    struct buf b;

    buf_init_fixed(&b, number, sizeof number);
    buf_addu64(&b, version);
    api_reply_text(reply, "Everline-Version", number);
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

#define TAG_SIZE 64

/* The tag of the same by gzip (api/reply.c). */
static void pack_tag(char packed[TAG_SIZE], const char *tag)
{
    snprintf(packed, TAG_SIZE, "%.*s" API_GZIP_TAG "\"", (int)strlen(tag) - 1, tag);
}

/* A list of tags or "*" (RFC 9110 section 13.1); ours hold no comma. `weakly`: W/"x" names "x" too
 * (section 8.8.3.2). */
static bool has_tag(const char *list, const char *tag, bool weakly)
{
    if (strcmp(list, "*") == 0)
        return true;
    size_t len = strlen(tag);
    for (const char *at = strstr(list, tag); at; at = strstr(at + 1, tag))
        if ((at[len] == '\0' || at[len] == ',' || at[len] == ' ') &&
            (weakly || at == list || at[-1] != '/'))
            return true;
    return false;
}

bool api_matches(const char *if_match, const char *tag)
{
    char packed[TAG_SIZE];

    pack_tag(packed, tag);
    return has_tag(if_match, tag, false) || has_tag(if_match, packed, false);
}

bool api_tag(struct api_reply *reply, const struct api_request *request, const char *tag)
{
    char packed[TAG_SIZE];

    if (!request->if_none_match) {
        api_reply_text(reply, "ETag", tag);
        return false;
    }
    pack_tag(packed, tag);
    bool is_packed = has_tag(request->if_none_match, packed, true);
    api_reply_text(reply, "ETag", is_packed ? packed : tag);
    if (!is_packed && !has_tag(request->if_none_match, tag, true))
        return false;
    reply->status = 304;
    return true;
}

#define TAG_BYTES 16u

bool api_etag(struct api_reply *reply, const struct api_request *request,
              const struct store_served *d, const char *query, const char *part)
{
    unsigned char digest[DIGEST_BYTES];
    const char *const of[] = {d->tenant, d->dataset, request->route->operation, query, part};
    char tag[2 * TAG_BYTES + 3];
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
    tag[0] = '"';
    digest_hex(tag + 1, digest, TAG_BYTES);
    memcpy(tag + 1 + 2 * TAG_BYTES, "\"", 2);
    return api_tag(reply, request, tag);
}
