#include "api/connection.h"

#include "api/helper.h"
#include "api/judge.h"
#include "api/receive.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"

#include <stdlib.h>
#include <string.h>

/* The life of one request.
 *
 * libmicrohttpd calls once for the head, then for pieces of the body, then once more. A response
 * queued on the first call closes the connection, and none can be queued in the middle of a body:
 * so what is refused at the head is kept as a complete reply, its body is drained within a bound,
 * and the reply goes out on the last call. A malformed head is answered at once, and the connection
 * closed.
 *
 * Data operations run on this thread inside a view. One that reads a kept version which is not open
 * waits, suspended, until the catalog thread has it, and runs again. Control operations suspend the
 * connection and are posted to the catalog thread; when it is done, it resumes the connection and
 * we are called again. What comes before an operation and takes long runs on the pool first, in the
 * same way. What an operation leaves to its long part goes on from there to a helper
 * thread, and the connection is resumed when that is done.
 */

/* A version that was opened can have made room for another one before the handler saw it. */
#define OPENINGS_MAX 3

static _Atomic unsigned next_slot;
static _Thread_local int thread_slot = -1;

/* Worker threads are as many as slots, live as long as the server, and only they get here. */
static unsigned slot_of_thread(const struct api_server *server)
{
    if (thread_slot < 0) {
        thread_slot = (int)(atomic_fetch_add(&next_slot, 1) % server->slots);
        process_short_turns(); /* an ingest on the same cores is not felt */
    }
    return (unsigned)thread_slot;
}

/* A request's memory serves the worker's next one. */
static struct api_exchange *take_exchange(struct api_worker *w)
{
    struct api_exchange *x = w->spare ? w->spare : malloc(sizeof *x);

    w->spare = NULL;
    if (x) {
        memset(x, 0, offsetof(struct api_exchange, request));
        memset(&x->request, 0, offsetof(struct api_request, query));
    }
    return x;
}

static void give_back(struct api_worker *w, struct api_exchange *x)
{
    if (w->spare)
        free(x);
    else
        w->spare = x;
}

void *api_on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    const struct api_listener *listener = cls;
    struct api_server *server = listener->server;
    unsigned slot = slot_of_thread(server);
    struct api_exchange *x = take_exchange(&server->workers[slot]);

    if (!x)
        return NULL; /* seen by api_on_request */
    x->server = server;
    x->listener = listener;
    x->settings = atomic_load(&server->settings);
    x->request.slot = slot;
    x->allow[0] = '\0';
    x->received.directory[0] = '\0';
    x->received.bytes = 0;
    x->received.taken = false;
    x->connection = connection;
    x->link = api_link_of(connection);
    api_link_begin(x->link, x->server->links);
    x->raw = strdup(uri);
    api_reply_init(&x->reply);
    return x;
}

/* Escapes are decoded once, by the router. */
size_t api_on_unescape(void *cls, struct MHD_Connection *connection, char *s)
{
    (void)cls;
    (void)connection;
    return strlen(s);
}

void api_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                      enum MHD_RequestTerminationCode code)
{
    struct api_exchange *x = *con_cls;

    (void)cls;
    (void)connection;
    (void)code;
    if (!x)
        return;
    api_link_end(x->link);
    api_repeat_leave(&x->server->repeats, &x->repeat);
    if (x->request.exports)
        api_places_leave(&x->server->exports, x->request.place);
    if (x->counted)
        atomic_fetch_sub(&x->server->in_flight, 1);
    api_response_give(x->response);
    api_reply_release(&x->reply);
    buf_release(&x->body);
    api_receive_release(x);
    free(x->raw);
    give_back(&x->server->workers[x->request.slot], x);
    *con_cls = NULL;
}

static void refuse(struct api_exchange *x, enum st st)
{
    api_problem(&x->reply, &x->request, st);
    x->refused = true;
}

/* On the first call, or for the last request: the connection ends with the answer. */
static enum MHD_Result answer_and_close(struct api_exchange *x)
{
    x->close = true;
    api_link_pause(x->link); /* the rest of the body is not read */
    return api_reply_queue(x);
}

static enum st refuse_work(void)
{
    return st_fail(ST_UNAVAILABLE, "STOPPING", "the server is stopping");
}

/* RFC 9110 section 9.3.7. Browsers ask so before they send what a form could not, and send no token
 * with it. */
static void answer_options(struct api_exchange *x)
{
    x->options = true;
    x->refused = true;
    x->reply.status = 204;
}

static enum MHD_Result on_head(struct api_exchange *x, const char *method, const char *version)
{
    x->start_ns = clock_steady_ns();
    x->request.now_us = clock_wall_us();
    x->state = EXCHANGE_BODY;
    x->counted = true;
    x->request.server = x->server;
    atomic_fetch_add(&x->server->in_flight, 1);
    if (atomic_load(&x->server->stopping))
        atomic_fetch_add(&x->server->late_requests, 1);
    api_exchange_take_head(x);
    api_log_request(&x->request);
    const char *fault = x->raw ? api_head_fault(&x->head, method, x->raw, version) : NULL;
    if (fault || !x->raw) {
        refuse(x, fault ? st_fail(ST_INVALID, "MALFORMED_REQUEST", "%s", fault)
                        : st_fail(ST_NOMEM, NULL, "out of memory"));
        return answer_and_close(x);
    }
    if (atomic_load(&x->server->closing) || api_link_is_parted(x->link)) {
        refuse(x, refuse_work());
        return answer_and_close(x);
    }
    enum st st = api_exchange_judge(x, method);
    bool asks_methods = st == ST_METHOD && strcmp(method, "OPTIONS") == 0;
    if (asks_methods)
        answer_options(x);
    else if (st)
        refuse(x, st);
    if (st == ST_METHOD)
        api_reply_header(&x->reply, "Allow", "%s%s", x->allow, asks_methods ? ", OPTIONS" : "");
    if (st == ST_MEDIA_TYPE && x->head.content_encoding)
        api_reply_text(&x->reply, "Accept-Encoding", "identity"); /* RFC 9110 section 12.5.3 */
    return st && api_head_length(&x->head) > API_BODY_DRAIN_MAX ? answer_and_close(x) : MHD_YES;
}

/* A streamed body has the request timeout for each of its pieces. */
static bool take_streamed(struct api_exchange *x, const char *data, size_t *len)
{
    uint64_t limit = x->settings->upload_limit_bytes;

    if (limit && x->received.bytes + x->body.len + *len > limit) {
        refuse(x, api_body_too_large(limit));
        return false;
    }
    return api_receive_add(x, data, len);
}

static enum MHD_Result on_body(struct api_exchange *x, const char *data, size_t *len)
{
    if (!x->refused && x->streamed) {
        bool suspended = take_streamed(x, data, len);
        if (suspended || !x->refused)
            return MHD_YES;
    }
    if (!x->refused) {
        buf_add(&x->body, data, *len);
        if (x->body.status)
            refuse(x, x->body.status == ST_TOO_LARGE ? api_body_too_large(x->body.max)
                                                     : buf_status(&x->body));
    }
    if (x->refused && (x->drained += *len) > API_BODY_DRAIN_MAX)
        return MHD_NO;
    *len = 0;
    return MHD_YES;
}

/* ---- control operations: on the catalog thread, what comes before, and their long parts ---- */

static void run_before(void *ctx)
{
    struct api_exchange *x = ctx;

    api_log_request(&x->request);
    x->prepared = true;
    x->refused = !api_run_before(&x->reply, &x->request);
    api_log_request(NULL);
    api_exchange_resume(x, EXCHANGE_BODY);
}

static enum MHD_Result prepare(struct api_exchange *x)
{
    if (!api_exchange_suspend(x))
        return answer_and_close(x);
    x->work = (struct api_work){.run_fn = run_before, .ctx = x};
    api_pool_post(x->server->pool, &x->work);
    return MHD_YES;
}

static void run_control(struct store *s, struct store_wait *wait, void *ctx)
{
    struct api_exchange *x = ctx;
    bool needs_helper = x->request.route->later != NULL;

    api_log_request(&x->request);
    enum st st = needs_helper
                     ? api_helpers_claim(&x->request.helper, x->server->helpers, x->identity.tenant)
                     : ST_OK;
    if (st)
        api_problem(&x->reply, &x->request, st);
    else
        api_run_control(&x->reply, &x->request, s, wait);
    if (needs_helper && !st && !x->request.work)
        api_helpers_release(x->server->helpers, x->request.helper);
    api_log_request(NULL);
}

void api_exchange_resume(struct api_exchange *x, enum exchange_state state)
{
    struct api_server *server = x->server;

    x->state = state;
    MHD_resume_connection(x->connection); /* from here on x is the worker's */
    atomic_fetch_sub(&server->suspended, 1);
}

static void run_later(void *ctx)
{
    struct api_exchange *x = ctx;

    api_log_request(&x->request);
    api_run_later(&x->reply, &x->request);
    api_log_request(NULL);
    api_helpers_release(x->server->helpers,
                        x->request.helper); /* who has this answer can ask for the next */
    api_exchange_resume(x, EXCHANGE_DONE);
}

static void finish_control(enum st status, void *ctx)
{
    struct api_exchange *x = ctx;

    if (status)
        api_problem(&x->reply, &x->request, status);
    if (x->received.taken && (x->reply.status < 400 || status == ST_UNKNOWN_OUTCOME))
        store_incoming_keep(&x->received);
    if (x->request.work)
        api_helpers_run(x->server->helpers, x->request.helper, run_later, x);
    else
        api_exchange_resume(x, EXCHANGE_DONE);
}

/* ---- reading a kept version that is not open ---- */

static void run_opening(struct store *s, struct store_wait *wait, void *ctx)
{
    struct api_exchange *x = ctx;

    (void)s;
    *wait = x->request.pin;
}

static void finish_opening(enum st status, void *ctx)
{
    struct api_exchange *x = ctx;

    api_reply_release(&x->reply); /* the problem of before */
    api_reply_init(&x->reply);
    if (status)
        api_problem(&x->reply, &x->request, status);
    api_exchange_resume(x, status ? EXCHANGE_DONE : EXCHANGE_BODY); /* the handler runs again */
}

/* libmicrohttpd aborts when it is stopped with a connection suspended. */
bool api_exchange_suspend(struct api_exchange *x)
{
    atomic_fetch_add(&x->server->suspended, 1);
    if (atomic_load(&x->server->closing)) {
        atomic_fetch_sub(&x->server->suspended, 1);
        refuse(x, refuse_work());
        return false;
    }
    x->state = EXCHANGE_RUNNING;
    api_link_pause(x->link);
    MHD_suspend_connection(x->connection);
    return true;
}

static enum MHD_Result post(struct api_exchange *x,
                            void (*run_fn)(struct store *s, struct store_wait *wait, void *ctx),
                            void (*done_fn)(enum st status, void *ctx))
{
    if (!api_exchange_suspend(x))
        return answer_and_close(x);
    x->task = (struct store_task){run_fn, done_fn, x, .tenant = x->identity.tenant};
    store_keeper_post(x->server->keeper, &x->task);
    return MHD_YES;
}

static int socket_of(const struct api_exchange *x)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info ? info->connect_fd : -1;
}

/* Reading can be refused when there is too much of it; moves, and what is seldom, never. */
static enum st check_overload(struct api_exchange *x)
{
    const struct api_route *route = x->request.route;
    struct api_worker *w = &x->server->workers[x->request.slot];

    if (!route->scope || (route->scope & ~(unsigned)(AUTH_DATA_READ | AUTH_ANALYTICS_READ)))
        return ST_OK;
    enum st st = api_overload_check(&w->overload, socket_of(x), x->identity.tenant,
                                    x->settings->max_wait_ms);
    if (st)
        metric_add(x->server->counts.shed, 0, 1);
    return st;
}

static enum MHD_Result run(struct api_exchange *x)
{
    struct api_request *request = &x->request;

    if (x->streamed && !request->received) {
        api_receive_end(x);
        return x->refused ? answer_and_close(x) : MHD_YES;
    }
    request->body = x->body.data;
    request->body_len = x->body.len;
    if (request->route->before || request->route->later)
        request->socket = socket_of(x);
    if (request->route->before && !x->prepared)
        return prepare(x);
    if (request->route->control)
        return post(x, run_control, finish_control);
    enum st st = x->opened ? ST_OK : check_overload(x);
    if (st) {
        api_problem(&x->reply, request, st);
        return api_reply_queue(x);
    }
    request->now_us = clock_wall_us();
    request->view = store_view_enter(x->server->keeper, request->slot);
    api_run_data(&x->reply, request);
    store_view_leave(x->server->keeper, request->slot);
    request->view = NULL;
    if (x->server->workers[request->slot].overload.running)
        api_overload_ran(&x->server->workers[request->slot].overload, clock_steady_ns());
    if (request->pin.version && x->opened++ < OPENINGS_MAX)
        return post(x, run_opening, finish_opening);
    return api_reply_queue(x);
}

enum MHD_Result api_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls)
{
    struct api_exchange *x = *con_cls;
    enum MHD_Result result;

    (void)cls;
    (void)connection;
    (void)url;
    if (!x)
        return MHD_NO;
    if (x->state == EXCHANGE_NEW) {
        result = on_head(x, method, version);
    } else if (*upload_data_size) {
        api_link_begin(x->link, x->server->links);
        result = on_body(x, upload_data, upload_data_size);
    } else if (x->state == EXCHANGE_RUNNING) {
        result = MHD_YES;
    } else {
        api_link_pause(x->link);
        api_log_request(&x->request);
        result = x->refused || x->state == EXCHANGE_DONE ? api_reply_queue(x) : run(x);
    }
    api_log_request(NULL);
    return result;
}
