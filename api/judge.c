#include "api/judge.h"

#include "api/address.h"
#include "api/limit.h"
#include "api/receive.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- what the head says ---- */

/* Many at a time: OpenSSL's generator costs a microsecond a call, and twenty when its code has left
 * the cache meanwhile. */
static const unsigned char *take_random(struct api_worker *w, size_t len)
{
    if (w->random_left < len) {
        if (digest_random(w->random, sizeof w->random))
            return NULL;
        w->random_left = sizeof w->random;
    }
    w->random_left -= len;
    const unsigned char *taken = w->random + w->random_left;
    __builtin_prefetch(taken - len); /* for the next request: it would wait for it */
    return taken;
}

#define RANDOM_ID_BYTES 12

static void take_request_id(struct api_exchange *x)
{
    const char *id = x->head.request_id;
    size_t len = id ? strlen(id) : 0;
    bool good = len > 0 && len < API_REQUEST_ID_SIZE;

    for (size_t i = 0; good && i < len; i++)
        good = isalnum((unsigned char)id[i]) || strchr("-_.", id[i]);
    if (good) {
        memcpy(x->request.request_id, id, len + 1);
        return;
    }
    const unsigned char *random =
        take_random(&x->server->workers[x->request.slot], RANDOM_ID_BYTES);
    if (random)
        digest_hex(x->request.request_id, random, RANDOM_ID_BYTES);
}

static void take_trace(struct api_exchange *x)
{
    const char *header = x->head.traceparent;
    const unsigned char *span =
        header ? take_random(&x->server->workers[x->request.slot], API_SPAN_BYTES) : NULL;

    if (span)
        (void)api_trace_continue(x->request.trace, header, span);
}

static enum MHD_Result take_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    api_head_add(cls, name, name_len, value, value_len);
    return MHD_YES;
}

void api_exchange_take_head(struct api_exchange *x)
{
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, take_header, &x->head);
    x->request.if_match = x->head.if_match;
    x->request.if_none_match = x->head.if_none_match;
    x->request.accept = x->head.accept;
    x->request.idempotency_key = x->head.idempotency_key;
    x->request.purpose = x->head.purpose;
    take_request_id(x);
    take_trace(x);
}

/* ---- what is decided by it ---- */

/* Parameters, such as a charset, are not looked at. */
static bool is_media_type(const char *type, const char *wanted)
{
    size_t len = strlen(wanted);

    return type && strncasecmp(type, wanted, len) == 0 && strchr("; \t", type[len]);
}

static enum st check_media_type(const char *type, const char *wanted)
{
    if (is_media_type(type, wanted))
        return ST_OK;
    return st_hint(st_fail(ST_MEDIA_TYPE, "MEDIA_TYPE", "the body must be %s", wanted),
                   "send Content-Type: %s", wanted);
}

/* RFC 9110 sections 8.4 and 15.5.16: bytes that were encoded are not taken for the body. */
static enum st check_encoding(const char *encoding)
{
    if (!encoding || strcasecmp(encoding, "identity") == 0)
        return ST_OK;
    return st_hint(st_fail(ST_MEDIA_TYPE, "CONTENT_ENCODING", "the body must not be encoded"),
                   "send the body as it is, without Content-Encoding");
}

enum st api_body_too_large(uint64_t limit)
{
    return st_fail(ST_TOO_LARGE, "BODY_TOO_LARGE", "the body may have %llu bytes",
                   (unsigned long long)limit);
}

/* A form would be taken for a file with all that stands around it. */
static enum st check_stream(struct api_exchange *x, uint64_t length)
{
    uint64_t limit = x->settings->upload_limit_bytes;

    if (is_media_type(x->head.content_type, "multipart/form-data"))
        return st_hint(st_fail(ST_MEDIA_TYPE, "MEDIA_TYPE", "the body must be the file itself"),
                       "with curl: --upload-file FILE, or --data-binary @FILE");
    x->body.max = API_PIECE_BYTES;
    if (limit && length > limit)
        return api_body_too_large(limit);
    enum st st = api_receive_check(x, length);
    return st ? st : check_encoding(x->head.content_encoding);
}

static enum st check_body(struct api_exchange *x)
{
    const struct api_route *route = x->request.route;
    const struct api_head *head = &x->head;
    uint64_t length = api_head_length(head);

    x->streamed = route->stream &&
                  !(route->media_type && is_media_type(head->content_type, route->media_type));
    if (x->streamed)
        return check_stream(x, length);
    if (route->body_limit == 0)
        return length || head->transfer_encoding
                   ? st_fail(ST_INVALID, "BODY_NOT_ALLOWED", "this operation takes no body")
                   : ST_OK;
    if (length > x->body.max)
        return api_body_too_large(x->body.max);
    enum st st = check_encoding(head->content_encoding);
    return st ? st : check_media_type(head->content_type, route->media_type);
}

static size_t body_limit(const struct api_exchange *x)
{
    uint64_t all = x->settings->body_limit_bytes;
    size_t limit = x->request.route->body_limit;

    return all && all < limit ? (size_t)all : limit;
}

/* RFC 9110 section 10.1.1. libmicrohttpd sends the 100 (Continue). */
static enum st check_expectation(const char *expect)
{
    return !expect || strcasecmp(expect, "100-continue") == 0
               ? ST_OK
               : st_fail(ST_EXPECTATION, "EXPECTATION", "Expect can only be 100-continue");
}

void api_exchange_client(struct sockaddr_in6 *out, const struct api_exchange *x)
{
    static const struct sockaddr unknown = {.sa_family = AF_UNSPEC};
    const struct api_proxies *proxies = &x->settings->proxies;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    api_client_address(out, proxies, info ? info->client_addr : &unknown,
                       proxies->forwarded ? x->head.forwarded : x->head.x_forwarded_for);
}

/* Probes are answered everywhere, metrics where they are alone if there is such a place. */
static bool is_here(const struct api_exchange *x, const struct api_route *route)
{
    switch (route->place) {
    case API_ROUTE_API:
        return !x->listener->probes;
    case API_ROUTE_METRICS:
        return x->listener->probes || !x->server->listeners.has_probes;
    case API_ROUTE_PROBE:
        break;
    }
    return true;
}

static void begin_audited(struct api_exchange *x)
{
    struct sockaddr_in6 client;

    api_exchange_client(&client, x);
    api_address_text(x->request.address, (const struct sockaddr *)&client);
    x->act.repeated = false;
    x->act.version = 0;
    x->act.reason[0] = x->act.target[0] = '\0';
    x->request.act = &x->act;
}

static void become_known(struct api_exchange *x)
{
    const struct store_tenant *tenant = store_view_tenant(x->request.view, x->identity.tenant);

    x->request.identity = &x->identity;
    x->request.tenant_class = api_metrics_class(tenant);
    x->upload_most = tenant ? tenant->max_upload_bytes : 0;
}

enum st api_exchange_judge(struct api_exchange *x, const char *method)
{
    struct api_server *server = x->server;
    enum st st = api_route_match(&x->request, &x->target, x->allow, method, x->raw);
    const struct api_route *route = x->request.route;

    x->bodiless = strcmp(method, "HEAD") == 0;
    if (route && !is_here(x, route)) {
        x->request.route = NULL;
        return st_fail(ST_NOT_FOUND, "NO_ROUTE", "there is no such path here");
    }
    if (route && route->audited)
        begin_audited(x);
    if (route && route->scope) {
        /* Who may not ask does not learn what was wrong with the question. */
        struct st_report report;
        if (st)
            st_save(&report, st);
        x->request.view = store_view_enter(server->keeper, x->request.slot);
        enum st gate = api_gate(&x->identity, &x->request, x->head.authorization);
        if (!gate || gate == ST_DENIED) /* who it is, is known */
            become_known(x);
        if (!gate)
            gate = api_limit_take(&x->request, 1);
        store_view_leave(server->keeper, x->request.slot);
        x->request.view = NULL;
        if (gate)
            return gate;
        st = st ? st_restore(&report) : ST_OK;
    }
    if (st)
        return st;
    buf_init(&x->body, body_limit(x));
    st = check_expectation(x->head.expect);
    if (!st && route->audited == API_AUDITED_ACT)
        st = api_audit_ready(server->audit);
    if (!st)
        st = check_body(x);
    return st ? st : api_repeat_enter(&x->request, &x->repeat, x->raw);
}
