#include "store/keeper_internal.h"

#include "base/clock.h"
#include "store/upload_internal.h"

/* A round of tasks ends after this time even if more wait, so that the rest of the thread's work
 * gets its turn too, and what was written its commit. */
#define ROUND_MS 5

/* A dataset that is not in a view of all that was committed is deleted, by who waits or by somebody
 * else after that. */
bool store_keeper_serves(struct store_keeper *k, const struct store_wait *wait)
{
    const struct serving *s = view_find(atomic_load(&k->current), wait->tenant, wait->dataset);

    return s ? s->served.sequence >= wait->sequence : !store_changed(k->store);
}

/* Is there nothing left to wait for? */
static bool is_served(struct store_keeper *k, const struct store_task *task)
{
    const struct store_wait *wait = &task->wait;

    if (wait->version && !keeper_version_settled(k, atomic_load(&k->current), wait))
        return false;
    return wait->sequence == 0 || atomic_load(&k->hurried) ||
           clock_steady_ns() / 1000000u - task->accepted_ms >= STORE_SERVE_WAIT_MS ||
           store_keeper_serves(k, wait);
}

void keeper_finish_waiting(struct store_keeper *k, bool all)
{
    for (struct store_task **at = &k->waiting; *at;) {
        struct store_task *task = *at;
        if (!all && !is_served(k, task)) {
            at = &task->next;
            continue;
        }
        *at = task->next;
        task->done_fn(ST_OK, task->ctx); /* the move is durable, served here or not yet */
    }
}

void store_keeper_post(struct store_keeper *k, struct store_task *task)
{
    task->next = NULL;
    task->busy_since_ms = 0;
    pthread_mutex_lock(&k->mutex);
    bool refused = k->stopping;
    if (!refused) {
        *k->posted_last = task;
        k->posted_last = &task->next;
        pthread_cond_signal(&k->cond);
    }
    pthread_mutex_unlock(&k->mutex);
    if (refused)
        task->done_fn(st_fail(ST_UNAVAILABLE, "STOPPING", "the server is stopping"), task->ctx);
}

static void push_last(struct store_task **list, struct store_task *task)
{
    task->next = NULL;
    keeper_append_tasks(list, task);
}

/* Has it only read what is committed and taken into the view? Then it need not wait for the end of
 * the round. */
static bool is_over(struct store_keeper *k, const struct store_task *task)
{
    return !task->wait.version && !task->wait.sequence && !k->store->catalog.group.written &&
           !store_changed(k->store);
}

static void accept_task(struct store_keeper *k, struct store_task *task)
{
    enum st st = task->wait.version ? keeper_add_pin(k, &task->wait) : ST_OK;

    task->accepted_ms = clock_steady_ns() / 1000000u;
    if (st)
        task->done_fn(st, task->ctx);
    else
        push_last(&k->waiting, task);
}

static void settle_task(struct store_keeper *k, struct store_task *task)
{
    if (task->wait.again || task->wait.busy)
        push_last(&k->repeated, task);
    else
        accept_task(k, task);
}

static void run_task(struct store_keeper *k, struct store_task *task)
{
    struct catalog_group *group = &k->store->catalog.group;
    unsigned written = group->written;
    uint64_t now_ms = clock_steady_ns() / 1000000u;
    uint64_t since_ms = task->busy_since_ms ? task->busy_since_ms : now_ms;

    task->wait = (struct store_wait){
        .can_wait = now_ms - since_ms < STORE_WRITE_WAIT_MS && !atomic_load(&k->hurried),
    };
    catalog_part_begin(&k->store->catalog);
    task->run_fn(k->store, &task->wait, task->ctx);
    if (task->wait.undo)
        task->wait.sequence = 0; /* it will never be */
    enum st st = catalog_part_end(&k->store->catalog, !task->wait.undo);
    task->busy_since_ms = task->wait.busy ? since_ms : 0;
    if (st)
        task->done_fn(st, task->ctx);
    else if (group->written != written)
        push_last(&k->grouped, task);
    else if (!task->wait.again && !task->wait.busy && is_over(k, task))
        task->done_fn(ST_OK, task->ctx);
    else
        settle_task(k, task);
}

/* All that runs in a round shares one commit. What is to be run again is so in the next one. */
static void run_tasks(struct store_keeper *k)
{
    struct st_report report;
    struct store_task *task, *next;
    uint64_t begun_ns = clock_steady_ns();

    if (!k->queued)
        return;
    catalog_group_begin(&k->store->catalog);
    do
        run_task(k, keeper_take_task(&k->queued));
    while (k->queued && clock_steady_ns() - begun_ns < ROUND_MS * 1000000ull);
    k->crowded = k->queued != NULL;
    st_save(&report, catalog_group_end(&k->store->catalog));
    if (k->store->uploads_gone)
        upload_purge(k->store);
    task = k->grouped;
    k->grouped = NULL;
    for (; task; task = next) {
        next = task->next;
        if (report.status) /* also one that would go on: it would find nothing of what it did */
            task->done_fn(st_restore(&report), task->ctx);
        else
            settle_task(k, task);
    }
    keeper_append_tasks(&k->queued, k->repeated);
    k->repeated = NULL;
}

static void refuse_tasks(struct store_keeper *k)
{
    struct store_task *task;

    while ((task = keeper_take_task(&k->queued)))
        task->done_fn(st_fail(ST_UNAVAILABLE, "STOPPING", "the server is stopping"), task->ctx);
}

/* Those of before come first. */
void keeper_serve_tasks(struct store_keeper *k, struct store_task *posted, bool stopping)
{
    keeper_append_tasks(&k->queued, posted);
    k->crowded = false;
    if (stopping)
        refuse_tasks(k);
    else
        run_tasks(k);
}
