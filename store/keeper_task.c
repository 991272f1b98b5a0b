#include "store/keeper_internal.h"

#include "base/clock.h"
#include "store/upload_internal.h"

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
    while (*list)
        list = &(*list)->next;
    task->next = NULL;
    *list = task;
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
    else
        settle_task(k, task);
}

/* All that waits at this moment shares one commit. */
static void run_tasks(struct store_keeper *k, struct store_task *tasks)
{
    struct st_report report;
    struct store_task *next;

    if (!tasks)
        return;
    catalog_group_begin(&k->store->catalog);
    for (; tasks; tasks = next) {
        next = tasks->next;
        run_task(k, tasks);
    }
    st_save(&report, catalog_group_end(&k->store->catalog));
    if (k->store->uploads_gone)
        upload_purge(k->store);
    tasks = k->grouped;
    k->grouped = NULL;
    for (; tasks; tasks = next) {
        next = tasks->next;
        if (report.status) /* also one that would go on: it would find nothing of what it did */
            tasks->done_fn(st_restore(&report), tasks->ctx);
        else
            settle_task(k, tasks);
    }
}

static void refuse_tasks(struct store_task *tasks)
{
    struct store_task *next;

    for (; tasks; tasks = next) {
        next = tasks->next;
        tasks->done_fn(st_fail(ST_UNAVAILABLE, "STOPPING", "the server is stopping"), tasks->ctx);
    }
}

/* Those of before come first. */
void keeper_serve_tasks(struct store_keeper *k, struct store_task *posted, bool stopping)
{
    struct store_task *tasks = k->repeated;

    k->repeated = NULL;
    if (posted) {
        struct store_task **last = &tasks;
        while (*last)
            last = &(*last)->next;
        *last = posted;
    }
    if (stopping)
        refuse_tasks(tasks);
    else
        run_tasks(k, tasks);
}
