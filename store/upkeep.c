#include "store/upkeep.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/offer.h"
#include "store/retention.h"
#include "store/upload.h"

#include <stdio.h>
#include <string.h>

#define STEP_MS 250
#define SAID_MAX 5 /* after them it says it every 8 s */
#define START_MS 1000
#define EXPIRE_MS 10000
#define SWEEP_MS 600000 /* at the latest, and whenever the catalog has changed */

/* One step does a little of each thing there is to do (TASKS). What fails is tried again with the
 * next step, or round of datasets, and keeps no other from being done: only a busy catalog does,
 * for all of them. */
struct step {
    struct upkeep *u;
    struct store *store;
    uint64_t now_ms;
    bool round_over; /* no dataset is left */
    bool aside;      /* something waits to be purged */
};

/* The dataset after the last one, or ST_END. One whose head is damaged is passed over. */
static enum st next_dataset(char tenant[STORE_NAME_SIZE], char dataset[STORE_NAME_SIZE],
                            struct upkeep *u, struct store *s)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &s->catalog);
    json_t *document;
    while (!(document = catalog_after(&t, CATALOG_HEADS, "", u->key)) && t.status == ST_CORRUPT) {
        catalog_forgive(&t);
        if (t.status)
            break;
    }
    bool found = document && sscanf(u->key, "%63[^/]/%63s", tenant, dataset) == 2;
    json_decref(document);
    if (!found)
        u->key[0] = '\0';
    enum st st = catalog_end(&t);
    return st || found ? st : ST_END;
}

static enum st tidy_offers(struct step *step)
{
    return offers_tidy(step->store);
}

static enum st settle_jobs(struct step *step)
{
    return store_job_settle(NULL, step->store);
}

static enum st look_at_queue(struct step *step)
{
    struct store_queue_stats *queue = &step->u->queue;

    return store_queue_changed(step->store, queue->seen) ? store_queue_look(queue, step->store)
                                                         : ST_OK;
}

static enum st expire_uploads(struct step *step)
{
    if (step->now_ms < step->u->expire_ms)
        return ST_OK;
    enum st st = store_uploads_expire(step->store);
    if (!st)
        step->u->expire_ms = step->now_ms + EXPIRE_MS;
    return st;
}

static enum st forget(struct step *step)
{
    if (step->now_ms < step->u->forget_ms)
        return ST_OK;
    enum st st = queue_forget(&step->u->forgetting, step->store, clock_wall_us());
    if (!st)
        step->u->forget_ms = step->now_ms + EXPIRE_MS;
    return st;
}

static enum st look_at_schedules(struct step *step)
{
    struct upkeep *u = step->u;
    int64_t now_us = clock_wall_us();
    bool changed;

    if (step->now_ms < u->start_ms)
        return ST_OK;
    enum st st = store_starters_refresh(&changed, &u->starters, step->store, now_us);
    if (st)
        return st;
    store_start_due(step->store, &u->starters, now_us);
    if (u->starters.bad.status)
        return st_restore(&u->starters.bad);
    u->start_ms = step->now_ms + START_MS;
    return ST_OK;
}

static enum st look_at_next(struct step *step)
{
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    unsigned retired = 0;

    enum st st = next_dataset(tenant, dataset, step->u, step->store);
    step->round_over = st == ST_END;
    if (st)
        return st == ST_END ? ST_OK : st;
    st = store_retention_run(&retired, step->store, tenant, dataset);
    if (retired)
        log_event(LOG_LEVEL_INFO, "retired", "%s/%s: %u versions", tenant, dataset, retired);
    return st;
}

static enum st sweep(struct step *step)
{
    struct upkeep *u = step->u;
    struct store *s = step->store;
    enum st st = ST_OK;

    if (step->round_over && (u->swept != s->seen || step->now_ms >= u->sweep_ms)) {
        st = store_sweep(&step->aside, s);
        if (!st) {
            u->swept = s->seen;
            u->sweep_ms = step->now_ms + SWEEP_MS;
        }
    }
    if (step->round_over)
        step->aside |= store_purge_due(s->build_dir);
    return st;
}

static enum st (*const TASKS[])(struct step *step) = {
    tidy_offers, settle_jobs,       look_at_queue, expire_uploads,
    forget,      look_at_schedules, look_at_next,  sweep,
};

void upkeep_release(struct upkeep *u)
{
    store_starters_free(&u->starters);
}

/* Failures are said at once, and then less and less often until a round had none. */
static void complain(const struct step *step)
{
    if (step->now_ms >= step->u->say_ms)
        log_failure(LOG_LEVEL_WARN, "upkeep", "what is old or dead cannot be put away now");
}

static void end_step(const struct step *step, bool failed)
{
    struct upkeep *u = step->u;

    if (failed && step->now_ms >= u->say_ms) {
        u->said += u->said < SAID_MAX;
        u->say_ms = step->now_ms + ((uint64_t)STEP_MS << u->said);
    }
    u->failed |= failed;
    if (failed || !step->round_over)
        return;
    if (!u->failed) {
        u->said = 0;
        u->say_ms = 0;
    }
    u->failed = false;
}

bool upkeep_step(struct upkeep *u, struct store *s, uint64_t now_ms)
{
    struct step step = {.u = u, .store = s, .now_ms = now_ms};
    bool busy = false, failed = false;

    if (now_ms < u->next_ms)
        return false;
    for (size_t i = 0; !busy && i < sizeof TASKS / sizeof TASKS[0]; i++) {
        enum st st = TASKS[i](&step);
        busy = catalog_is_busy(st);
        if (!st || busy)
            continue;
        complain(&step);
        failed = true;
    }
    if (!busy || failed)
        end_step(&step, failed);
    u->next_ms = now_ms + STEP_MS;
    return step.aside;
}
