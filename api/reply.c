#include "api/connection.h"

#include "api/address.h"
#include "api/cors.h"
#include "api/export.h"
#include "api/followers.h"
#include "api/gzip.h"
#include "api/limit.h"
#include "api/negotiate.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The one file that queues responses. */

static const char *header_of(const struct api_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->header_count; i++)
        if (strcmp(reply->headers[i].name, name) == 0)
            return reply->headers[i].value;
    return NULL;
}

static const char *type_of(const struct api_reply *reply)
{
    return reply->content_type ? reply->content_type : "application/json";
}

/* May it be compressed, for whoever takes that? Not what nobody may keep: answers of protected
 * datasets and problems. In them a secret can stand beside what a client has chosen, and the length
 * of both together would tell of the secret (BREACH). */
static bool is_packable(const struct api_exchange *x)
{
    const struct api_reply *reply = &x->reply;
    const char *control = header_of(reply, "Cache-Control");
    uint64_t min = x->settings->gzip_min_bytes;
    size_t len = reply->fixed ? reply->fixed->len : reply->body.len;

    return min && len >= min && reply->status == 200 && !reply->follower && !reply->export &&
           x->request.route && strcmp(x->request.route->method, "GET") == 0 &&
           (reply->fixed || len <= API_GZIP_MAX) &&
           (strncmp(type_of(reply), "text/", 5) == 0 || strstr(type_of(reply), "json")) &&
           !(control && strcmp(control, "no-store") == 0);
}

/* Another representation has another tag (RFC 9110 section 8.8.3.3). */
static void retag(struct api_reply *reply)
{
    const char *tag = header_of(reply, "ETag");

    for (size_t i = 0; tag && i < reply->header_count; i++)
        if (reply->headers[i].value == tag) {
            reply->headers[i] = reply->headers[--reply->header_count];
            api_reply_header(reply, "ETag", "%.*s" API_GZIP_TAG "\"", (int)strlen(tag) - 1, tag);
            return;
        }
}

static void pack(struct api_exchange *x)
{
    struct api_reply *reply = &x->reply;

    if (!reply->fixed && !api_gzip_body(&reply->body, &x->server->workers[x->request.slot].gzip))
        return;
    reply->packed = true;
    retag(reply);
    api_reply_text(reply, "Content-Encoding", "gzip");
}

/* What else than the target decides about the answer (RFC 9110 section 12.5.5). */
static void add_vary(struct api_exchange *x, bool packable)
{
    const char *const *origins = x->settings->cors_origins;
    const char *const names[] = {packable ? "Accept-Encoding" : NULL,
                                 x->reply.by_type ? "Accept" : NULL,
                                 *origins && strcmp(*origins, "*") != 0 ? "Origin" : NULL};
    char text[64] = "";

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i])
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? ", " : "",
                     names[i]);
    if (*text)
        api_reply_text(&x->reply, "Vary", text);
}

/* RFC 9110 section 6.6.1. libmicrohttpd would write it anew for each answer. */
static const char *date_of(struct api_worker *w)
{
    int64_t now_s = clock_wall_s();

    if (now_s != w->date_s) {
        w->date_s = now_s;
        clock_format_http(w->date, now_s);
    }
    return w->date;
}

/* What an answer has that no handler knows of. */
static void complete(struct api_exchange *x)
{
    struct api_reply *reply = &x->reply;
    bool packable = is_packable(x);

    if (packable && api_weight_gzip(x->head.accept_encoding))
        pack(x);
    add_vary(x, packable);
    if (x->request.quota.who || reply->status == 429)
        api_limit_headers(reply, &x->request);
    api_reply_text(reply, "Date", date_of(&x->server->workers[x->request.slot]));
    api_reply_text(reply, "X-Request-Id", x->request.request_id);
    if (*x->request.trace)
        api_reply_text(reply, "Traceparent", x->request.trace);
    if (reply->status != 304 && reply->status != 204)
        api_reply_text(reply, "Content-Type", type_of(reply));
}

static bool is_last(const struct api_exchange *x)
{
    return x->close || atomic_load(&x->server->stopping);
}

/* All of them, or there is no answer: without Cache-Control it could be kept where it must not be.
 */
static bool add_headers(struct MHD_Response *response, const struct api_exchange *x)
{
    const struct api_reply *reply = &x->reply;
    bool added = true;

    for (size_t i = 0; i < reply->header_count; i++)
        added = added &&
                MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    added = added && api_cors_add(response, x);
    if (is_last(x))
        added = added && MHD_add_response_header(response, "Connection", "close");
    return added;
}

static struct MHD_Response *whole(struct api_reply *reply)
{
    if (reply->fixed)
        return MHD_create_response_from_buffer(
            reply->packed ? reply->fixed->gzip_len : reply->fixed->len,
            (void *)(uintptr_t)(reply->packed ? reply->fixed->gzip : reply->fixed->bytes),
            MHD_RESPMEM_PERSISTENT);
    size_t len = reply->status == 304 ? 0 : reply->body.len;
    char *body = buf_take(&reply->body);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body ? len : 0, body, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(body);
    return response;
}

static struct MHD_Response *file(struct api_reply *reply)
{
    struct stat sb;
    struct MHD_Response *response =
        fstat(reply->file, &sb) == 0
            ? MHD_create_response_from_fd64((uint64_t)sb.st_size, reply->file)
            : NULL;

    if (response)
        reply->file = -1; /* the response's */
    return response;
}

static struct MHD_Response *stream(struct api_exchange *x)
{
    struct store_export *e = x->reply.export;
    struct api_follower *f = x->reply.follower;

    x->reply.export = NULL;
    x->reply.follower = NULL;
    return e ? api_export_response(&x->request, e, x->reply.export_format)
             : api_follower_response(f, x->connection);
}

/* Neither target nor header of it: they are a client's, and may name people. */
static void log_request(const struct api_exchange *x)
{
    struct sockaddr_in6 client;
    char address[API_ADDRESS_SIZE];

    api_exchange_client(&client, x);
    api_address_text(address, (const struct sockaddr *)&client);
    log_event(LOG_LEVEL_DEBUG, "request", "%s: %u in %llu us, from %s",
              x->request.route ? x->request.route->operation : "no route", x->reply.status,
              (unsigned long long)(clock_steady_ns() - x->start_ns) / 1000, address);
}

/* Of the body, as far as it is known before it is sent. */
static uint64_t known_bytes(const struct api_exchange *x)
{
    const struct api_reply *reply = &x->reply;
    struct stat sb;

    if (x->bodiless)
        return 0;
    if (reply->file >= 0)
        return fstat(reply->file, &sb) == 0 ? (uint64_t)sb.st_size : 0;
    return reply->status == 304 ? 0 : reply->body.len;
}

static struct MHD_Response *make(struct api_exchange *x)
{
    if (x->reply.file >= 0)
        return file(&x->reply);
    return x->reply.follower || x->reply.export ? stream(x) : whole(&x->reply);
}

static struct api_response *take_again(const struct api_exchange *x)
{
    const struct api_reply *reply = &x->reply;

    if (reply->file >= 0 || reply->fixed || reply->export || reply->follower || x->head.origin ||
        is_last(x))
        return NULL;
    return api_responses_take(x->server->workers[x->request.slot].responses, reply->headers,
                              reply->header_count, reply->body.data,
                              reply->status == 304 ? 0 : reply->body.len);
}

/* NULL: the connection is closed. */
static struct MHD_Response *answer(struct api_exchange *x)
{
    if (api_reply_status(&x->reply)) /* not even a problem could be written */
        return NULL;
    x->response = take_again(x);
    if (x->response)
        return x->response->response;
    struct MHD_Response *response = make(x);
    if (response && add_headers(response, x))
        return response;
    MHD_destroy_response(response);
    return NULL;
}

enum MHD_Result api_reply_queue(struct api_exchange *x)
{
    api_repeat_leave(&x->server->repeats, &x->repeat);
    complete(x);
    enum st st = api_reply_status(&x->reply);
    if (st) {
        api_problem(&x->reply, &x->request, st);
        complete(x);
    }
    uint64_t bytes = known_bytes(x);
    struct MHD_Response *response = answer(x);

    if (!response)
        return MHD_NO;
    if (x->request.identity && x->request.route)
        api_count_request(&x->request, x->reply.status, bytes);
    if (x->request.identity && x->request.route && x->request.route->audited == API_AUDITED_ACT)
        api_note_act(&x->request, x->reply.status);
    if (log_is_on(LOG_LEVEL_DEBUG))
        log_request(x);
    api_metrics_count(&x->server->counts, x->request.route, x->request.tenant_class,
                      x->reply.status, clock_steady_ns() - x->start_ns);
    enum MHD_Result queued = MHD_queue_response(x->connection, x->reply.status, response);
    if (!x->response)
        MHD_destroy_response(response);
    return queued;
}
