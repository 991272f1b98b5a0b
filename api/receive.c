#include "api/receive.h"

#include "base/log.h"

#include <pthread.h>
#include <string.h>

#define DEFAULT_NAME "data"

/* ---- what is being received, of all tenants ---- */

static pthread_mutex_t arriving_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct api_exchange *arriving;

static enum st over_quota(uint64_t most)
{
    return st_hint(st_fail(ST_FULL, "QUOTA", "the tenant's uploads may have %llu bytes in all",
                           (unsigned long long)most),
                   "wait until others have come, and jobs that use uploads have ended");
}

enum st api_receive_check(const struct api_exchange *x, uint64_t length)
{
    return x->upload_most && length > x->upload_most ? over_quota(x->upload_most) : ST_OK;
}

/* The catalog knows nothing of it yet (store_upload_add): else as much as there are connections
 * could be on the disk for a tenant. */
static enum st count_piece(struct api_exchange *x, size_t len)
{
    uint64_t all = len;

    if (!x->upload_most)
        return ST_OK;
    pthread_mutex_lock(&arriving_mutex);
    if (!x->is_arriving) {
        x->is_arriving = true;
        x->next_arriving = arriving;
        arriving = x;
    }
    for (const struct api_exchange *one = arriving; one; one = one->next_arriving)
        if (strcmp(one->identity.tenant, x->identity.tenant) == 0)
            all += one->arrived;
    bool fits = all <= x->upload_most;
    if (fits)
        x->arrived += len;
    pthread_mutex_unlock(&arriving_mutex);
    return fits ? ST_OK : over_quota(x->upload_most);
}

void api_receive_release(struct api_exchange *x)
{
    store_incoming_release(&x->received);
    if (!x->is_arriving)
        return;
    pthread_mutex_lock(&arriving_mutex);
    struct api_exchange **at = &arriving;
    while (*at != x)
        at = &(*at)->next_arriving;
    *at = x->next_arriving;
    pthread_mutex_unlock(&arriving_mutex);
}

/* ---- pieces ---- */

/* On a thread of the pool, while the connection is suspended: the exchange is ours. */
static enum st write_piece(struct api_exchange *x)
{
    struct api_server *server = x->server;
    const char *name = api_query(&x->request, "name");
    enum st st = count_piece(x, x->body.len);

    if (!st && !x->received.directory[0])
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
