#include "api/helper.h"

#include "api/internal.h"
#include "api/places.h"
#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

struct helper {
    struct api_helpers *all;
    pthread_t thread;
    pthread_cond_t cond;
    void (*run_fn)(void *ctx); /* to be run */
    void *ctx;
};

struct api_helpers {
    struct api_places places;
    pthread_mutex_t mutex;
    bool stopping;
    size_t started;
    struct helper helpers[API_HELPERS_MAX];
};

static void *helper_main(void *arg)
{
    struct helper *h = arg;
    struct api_helpers *all = h->all;

    pthread_mutex_lock(&all->mutex);
    while (!all->stopping || h->run_fn) {
        void (*run_fn)(void *ctx) = h->run_fn;
        void *ctx = h->ctx;

        if (!run_fn) {
            pthread_cond_wait(&h->cond, &all->mutex);
            continue;
        }
        h->run_fn = NULL;
        pthread_mutex_unlock(&all->mutex);
        run_fn(ctx);
        pthread_mutex_lock(&all->mutex);
    }
    pthread_mutex_unlock(&all->mutex);
    return NULL;
}

enum st api_helpers_start(struct api_helpers **out)
{
    struct api_helpers *all = calloc(1, sizeof *all);

    *out = NULL;
    if (!all)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    all->places = (struct api_places)API_PLACES_INIT(API_HELPERS_MAX, API_HELPERS_OF_TENANT_MAX);
    pthread_mutex_init(&all->mutex, NULL);
    for (; all->started < API_HELPERS_MAX; all->started++) {
        struct helper *h = &all->helpers[all->started];
        h->all = all;
        pthread_cond_init(&h->cond, NULL);
        int rc = pthread_create(&h->thread, NULL, helper_main, h);
        if (rc != 0) {
            pthread_cond_destroy(&h->cond);
            api_helpers_stop(all);
            return st_fail_errno(rc, "starting the helper threads");
        }
    }
    *out = all;
    return ST_OK;
}

void api_helpers_stop(struct api_helpers *all)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->mutex);
    all->stopping = true;
    for (size_t i = 0; i < all->started; i++)
        pthread_cond_signal(&all->helpers[i].cond);
    pthread_mutex_unlock(&all->mutex);
    for (size_t i = 0; i < all->started; i++) {
        pthread_join(all->helpers[i].thread, NULL);
        pthread_cond_destroy(&all->helpers[i].cond);
    }
    pthread_mutex_destroy(&all->mutex);
    free(all);
}

enum st api_helpers_claim(size_t *which, struct api_helpers *all, const char *tenant)
{
    return api_places_take(which, &all->places, tenant)
               ? ST_OK
               : st_hint(st_fail(ST_UNAVAILABLE, "BUSY",
                                 "the server is at work on as many long requests as it takes"),
                         "ask again in a few seconds");
}

void api_helpers_run(struct api_helpers *all, size_t which, void (*run_fn)(void *ctx), void *ctx)
{
    struct helper *h = &all->helpers[which];

    pthread_mutex_lock(&all->mutex);
    h->run_fn = run_fn;
    h->ctx = ctx;
    pthread_cond_signal(&h->cond);
    pthread_mutex_unlock(&all->mutex);
}

void api_helpers_release(struct api_helpers *all, size_t which)
{
    api_places_leave(&all->places, which);
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
