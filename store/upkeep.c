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

static enum st look_at_next(bool *round_over, struct upkeep *u, struct store *s)
{
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    unsigned retired = 0;

    enum st st = next_dataset(tenant, dataset, u, s);
    *round_over = st == ST_END;
    if (st)
        return st == ST_END ? ST_OK : st;
    st = store_retention_run(&retired, s, tenant, dataset);
    if (retired)
        log_event(LOG_LEVEL_INFO, "retired", "%s/%s: %u versions", tenant, dataset, retired);
    return st;
}

static enum st look_at_schedules(struct upkeep *u, struct store *s)
{
    bool changed;
    int64_t now_us = clock_wall_us();
    enum st st = store_starters_refresh(&changed, &u->starters, s, now_us);

    if (st)
        return st;
    store_start_due(s, &u->starters, now_us);
    return u->starters.bad.status ? st_restore(&u->starters.bad) : ST_OK;
}

void upkeep_release(struct upkeep *u)
{
    store_starters_free(&u->starters);
}

/* A failure is said at once, and then less and less often until a round had none. */
static void complain(struct upkeep *u, uint64_t now_ms)
{
    u->failed = true;
    if (now_ms < u->say_ms)
        return;
    log_failure(LOG_LEVEL_WARN, "upkeep", "what is old or dead cannot be put away now");
    u->said += u->said < SAID_MAX;
    u->say_ms = now_ms + ((uint64_t)STEP_MS << u->said);
}

static void end_round(struct upkeep *u)
{
    if (!u->failed) {
        u->said = 0;
        u->say_ms = 0;
    }
    u->failed = false;
}

bool upkeep_step(struct upkeep *u, struct store *s, uint64_t now_ms)
{
    bool aside = false, round_over = false;

    if (now_ms < u->next_ms)
        return false;
    enum st st = offers_tidy(s);
    if (!st)
        st = store_job_settle(NULL, s);
    if (!st && store_queue_changed(s, u->queue.seen))
        st = store_queue_look(&u->queue, s);
    if (!st && now_ms >= u->expire_ms) {
        st = store_uploads_expire(s);
        if (!st)
            st = queue_forget(&u->forgetting, s, clock_wall_us());
        if (!st)
            u->expire_ms = now_ms + EXPIRE_MS;
    }
    if (!st && now_ms >= u->start_ms) {
        st = look_at_schedules(u, s);
        if (!st)
            u->start_ms = now_ms + START_MS;
    }
    if (!st)
        st = look_at_next(&round_over, u, s);
    if (!st && round_over && (u->swept != s->seen || now_ms >= u->sweep_ms)) {
        u->swept = s->seen;
        u->sweep_ms = now_ms + SWEEP_MS;
        st = store_sweep(&aside, s);
    }
    if (!st && round_over)
        aside |= store_purge_due(s->build_dir);
    if (st && !catalog_is_busy(st))
        complain(u, now_ms);
    else if (!st && round_over)
        end_round(u);
    u->next_ms = now_ms + STEP_MS;
    return aside;
}
