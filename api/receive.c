#include "api/receive.h"

#include "base/log.h"

#include <string.h>

#define DEFAULT_NAME "data"

/* On a thread of the pool, while the connection is suspended: the exchange is ours. */
static enum st write_piece(struct api_exchange *x)
{
    struct api_server *server = x->server;
    const char *name = api_query(&x->request, "name");
    enum st st = ST_OK;

    if (!x->received.directory[0])
        st = store_incoming_open(&x->received, server->options.store.data_dir, server->run_name,
                                 name ? name : DEFAULT_NAME);
    if (!st && x->body.len)
        st = store_incoming_add(&x->received, x->body.data, x->body.len);
    buf_reset(&x->body);
    return st;
}

static void after(struct api_exchange *x, enum st st)
{
    if (st) {
        api_problem(&x->reply, &x->request, st);
        x->refused = true;
    }
    api_log_request(NULL);
    api_exchange_resume(x, EXCHANGE_BODY);
}

static void run_piece(void *ctx)
{
    struct api_exchange *x = ctx;

    api_log_request(&x->request);
    after(x, write_piece(x));
}

static void run_end(void *ctx)
{
    struct api_exchange *x = ctx;

    api_log_request(&x->request);
    enum st st = write_piece(x);
    if (!st)
        st = store_incoming_finish(&x->received);
    x->request.received = &x->received;
    after(x, st);
}

static void post(struct api_exchange *x, void (*run_fn)(void *ctx))
{
    x->work = (struct api_work){.run_fn = run_fn, .ctx = x};
    api_pool_post(x->server->pool, &x->work);
}

bool api_receive_add(struct api_exchange *x, const char *data, size_t *len)
{
    size_t room = API_PIECE_BYTES - x->body.len, taken = *len < room ? *len : room;

    buf_add(&x->body, data, taken);
    *len -= taken;
    /* Something is left when it is suspended: libmicrohttpd, when all of a chunk was taken, goes on
     * with the next one without a look whether it may. */
    if (!*len || !api_exchange_suspend(x))
        return false;
    post(x, run_piece);
    return true;
}

void api_receive_end(struct api_exchange *x)
{
    if (api_exchange_suspend(x))
        post(x, run_end);
}
