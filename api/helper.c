#include "api/helper.h"

#include "api/internal.h"
#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

struct api_helper {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool claimed, stopping;
    void (*run_fn)(void *ctx); /* to be run */
    void *ctx;
};

static void *helper_main(void *arg)
{
    struct api_helper *h = arg;

    pthread_mutex_lock(&h->mutex);
    while (!h->stopping || h->run_fn) {
        void (*run_fn)(void *ctx) = h->run_fn;
        void *ctx = h->ctx;

        if (!run_fn) {
            pthread_cond_wait(&h->cond, &h->mutex);
            continue;
        }
        h->run_fn = NULL;
        pthread_mutex_unlock(&h->mutex);
        run_fn(ctx);
        pthread_mutex_lock(&h->mutex);
    }
    pthread_mutex_unlock(&h->mutex);
    return NULL;
}

enum st api_helper_start(struct api_helper **out)
{
    struct api_helper *h = calloc(1, sizeof *h);

    *out = NULL;
    if (!h)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->cond, NULL);
    int rc = pthread_create(&h->thread, NULL, helper_main, h);
    if (rc != 0) {
        free(h);
        return st_fail_errno(rc, "starting the helper thread");
    }
    *out = h;
    return ST_OK;
}

void api_helper_stop(struct api_helper *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->mutex);
    h->stopping = true;
    pthread_cond_signal(&h->cond);
    pthread_mutex_unlock(&h->mutex);
    pthread_join(h->thread, NULL);
    pthread_mutex_destroy(&h->mutex);
    pthread_cond_destroy(&h->cond);
    free(h);
}

enum st api_helper_claim(struct api_helper *h)
{
    pthread_mutex_lock(&h->mutex);
    bool busy = h->claimed;
    h->claimed = true;
    pthread_mutex_unlock(&h->mutex);
    return busy ? st_hint(st_fail(ST_UNAVAILABLE, "BUSY",
                                  "the server is at work on a request of this kind"),
                          "ask again in a few seconds")
                : ST_OK;
}

void api_helper_run(struct api_helper *h, void (*run_fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&h->mutex);
    h->run_fn = run_fn;
    h->ctx = ctx;
    pthread_cond_signal(&h->cond);
    pthread_mutex_unlock(&h->mutex);
}

void api_helper_release(struct api_helper *h)
{
    pthread_mutex_lock(&h->mutex);
    h->claimed = false;
    pthread_mutex_unlock(&h->mutex);
}

/* libmicrohttpd does not look at a suspended connection. What has closed its side for sending is
 * taken to be gone, as most servers do: HTTP clients do not half-close. */
enum st api_go_on(void *ctx)
{
    const struct api_request *request = ctx;
    struct pollfd peer = {.fd = request->socket, .events = POLLRDHUP};

    if (atomic_load(&request->server->stopping))
        return st_fail(ST_UNAVAILABLE, "STOPPING", "the server is stopping");
    if (request->socket >= 0 && poll(&peer, 1, 0) > 0) {
        log_event(LOG_LEVEL_INFO, "canceled", "%s: the client is gone", request->route->operation);
        return st_fail(ST_UNAVAILABLE, "CLIENT_GONE", "nobody waits for the answer");
    }
    return ST_OK;
}
