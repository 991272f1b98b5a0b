#include "store/keeper.h"

#include <pthread.h>

/* A task that is waited for. */

struct call {
    void (*run_fn)(struct store *s, struct store_wait *wait, void *ctx);
    void *ctx;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
    struct st_report report;
};

static void run(struct store *s, struct store_wait *wait, void *ctx)
{
    struct call *c = ctx;

    c->run_fn(s, wait, c->ctx);
}

static void finish(enum st status, void *ctx)
{
    struct call *c = ctx;

    pthread_mutex_lock(&c->mutex);
    st_save(&c->report, status);
    c->done = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

enum st store_keeper_call(struct store_keeper *k,
                          void (*run_fn)(struct store *s, struct store_wait *wait, void *ctx),
                          void *ctx)
{
    struct call c = {.run_fn = run_fn,
                     .ctx = ctx,
                     .mutex = PTHREAD_MUTEX_INITIALIZER,
                     .cond = PTHREAD_COND_INITIALIZER};
    struct store_task task = {.run_fn = run, .done_fn = finish, .ctx = &c};

    store_keeper_post(k, &task);
    pthread_mutex_lock(&c.mutex);
    while (!c.done)
        pthread_cond_wait(&c.cond, &c.mutex);
    pthread_mutex_unlock(&c.mutex);
    pthread_cond_destroy(&c.cond);
    pthread_mutex_destroy(&c.mutex);
    return st_restore(&c.report);
}
