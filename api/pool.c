#include "api/pool.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS 4

struct api_pool {
    pthread_t threads[THREADS];
    unsigned started;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct api_work *first, **last;
    bool stopping;
};

static void *pool_main(void *arg)
{
    struct api_pool *p = arg;

    pthread_mutex_lock(&p->mutex);
    while (p->first || !p->stopping) {
        struct api_work *work = p->first;
        if (!work) {
            pthread_cond_wait(&p->cond, &p->mutex);
            continue;
        }
        p->first = work->next;
        if (!p->first)
            p->last = &p->first;
        pthread_mutex_unlock(&p->mutex);
        work->run_fn(work->ctx);
        pthread_mutex_lock(&p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

enum st api_pool_start(struct api_pool **out)
{
    struct api_pool *p = calloc(1, sizeof *p);
    int rc = 0;

    *out = NULL;
    if (!p)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->cond, NULL);
    p->last = &p->first;
    while (!rc && p->started < THREADS) {
        rc = pthread_create(&p->threads[p->started], NULL, pool_main, p);
        p->started += rc == 0;
    }
    if (rc) {
        api_pool_stop(p);
        return st_fail_errno(rc, "starting the threads of the spool");
    }
    *out = p;
    return ST_OK;
}

void api_pool_stop(struct api_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->mutex);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->threads[i], NULL);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->cond);
    free(p);
}

void api_pool_post(struct api_pool *p, struct api_work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&p->mutex);
    *p->last = work;
    p->last = &work->next;
    pthread_cond_signal(&p->cond);
    pthread_mutex_unlock(&p->mutex);
}
