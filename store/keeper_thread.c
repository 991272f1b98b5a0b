#include "store/keeper_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/retention.h"
#include "store/seal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The catalog thread.
 *
 * Every TICK_MS the thread compares the catalog's last transaction id with the one it read (no
 * system call). That id can run ahead of what a reader sees, for the instant of a commit, or for
 * good when the writer was killed in that instant: after STUCK_MS the writer's lock is taken once,
 * which repairs it.
 *
 * It never waits for another process that writes: what cannot be written now is tried again, a task
 * for STORE_WRITE_WAIT_MS. */

#define TICK_MS 5
#define STUCK_MS 20
#define READER_CHECK_MS 10000
#define COMPLAIN_MS 1000
#define LOOK_MS 1000
#define RETRY_MS 100
#define WRITE_RETRY_MS 5000

/* ---- a round ---- */

static void report_readiness(struct store_keeper *k, struct refresh *r)
{
    char *why = r->why.data ? strdup(r->why.data) : NULL;

    metric_set(k->metrics.late, 0, r->late);
    metric_set(k->metrics.unavailable, 0, r->unavailable);
    metric_set(k->metrics.segments, 0, adopter_open_count(k->adopter));
    for (unsigned i = 0; i < VERSION_STATES; i++)
        metric_set(k->metrics.versions, i, r->versions[i]);
    pthread_mutex_lock(&k->mutex);
    char *old = k->why;
    bool news = (why == NULL) != (old == NULL) || (why && strcmp(why, old) != 0);
    k->why = why;
    k->ready = r->late == 0;
    pthread_mutex_unlock(&k->mutex);
    if (news && r->unavailable)
        log_event(LOG_LEVEL_ERROR, "unavailable", "%s", why ? why : "");
    free(old);
}

/* Without memory, or when the file changed while it was read, it is hashed again. */
static void remember_verified(const char *sha256, const struct seal *seal, void *ctx)
{
    json_t *verified = ctx;

    if (seal->holds)
        json_object_set_new(verified, sha256, seal_to_json(seal));
}

/* One round. `force`: make a new view even if nothing differs. */
static enum st refresh(struct store_keeper *k, bool force)
{
    struct store_view *previous = atomic_load(&k->current);
    struct refresh r = {
        .store = k->store,
        .adopter = k->adopter,
        .previous = previous,
        .slots = k->options.slots,
        .round = ++k->round,
        .now_ms = clock_steady_ns() / 1000000u,
        .server = k->server.name,
        .pins = k->pins,
        .pin_count = k->pin_count,
    };
    enum st st = refresh_run(&r);

    if (!st && (r.changed || force)) {
        if (k->options.extend_fn)
            st = k->options.extend_fn(&r.view->extension, r.view, previous, k->options.ctx);
        if (!st) {
            keeper_swap_view(k, r.view);
            r.view = NULL;
        }
    }
    if (!st) {
        report_readiness(k, &r);
        keeper_free_retired(k);
        k->again |= adopter_sweep(
            k->adopter, k->round); /* what no view ever had, such as a withdrawn candidate */
    }
    if (!st) { /* else all of it is tried again */
        json_decref(k->acks);
        k->acks = json_incref(r.acks);
        k->store->seen = r.seen;
    }
    refresh_release(&r);
    return st;
}

/* What the rounds found out. Serving does not depend on it: it can wait for the writer of another
 * process, and for room on the disk. */
static void write_down(struct store_keeper *k)
{
    uint64_t now_ms = clock_steady_ns() / 1000000u;

    if ((!json_object_size(k->acks) && !json_object_size(k->verified)) ||
        now_ms < k->write_retry_ms)
        return;
    enum st st = refresh_write(k->store, k->acks, k->verified);
    if (!st) {
        json_object_clear(k->acks);
        json_object_clear(k->verified);
    } else if (!catalog_is_busy(st)) {
        k->write_retry_ms = now_ms + WRITE_RETRY_MS;
        log_failure(LOG_LEVEL_WARN, "acknowledge", "what was verified cannot be written down");
    }
}

/* ---- looking ---- */

static void tend_catalog(struct store_keeper *k, bool moved_after_refresh)
{
    uint64_t now_ms = clock_steady_ns() / 1000000u;

    if (!moved_after_refresh)
        k->stuck_since_ms = 0;
    else if (k->stuck_since_ms == 0)
        k->stuck_since_ms = now_ms;
    else if (now_ms - k->stuck_since_ms >= STUCK_MS) {
        k->stuck_since_ms = 0;
        enum st st = catalog_touch(&k->store->catalog);
        if (st && !catalog_is_busy(st)) /* else its owner will commit, or die */
            log_failure(LOG_LEVEL_ERROR, "catalog", "the writer's lock cannot be taken");
    }
    if (now_ms - k->readers_checked_ms >= READER_CHECK_MS) {
        k->readers_checked_ms = now_ms;
        catalog_check_readers(&k->store->catalog);
    }
}

/* A catalog that comes to harm while it is open stops moves and flips, not what is served. */
static void look_at_catalog(struct store_keeper *k, uint64_t now_ms)
{
    if (now_ms - k->catalog_looked_ms < LOOK_MS)
        return;
    k->catalog_looked_ms = now_ms;
    bool damaged = catalog_look(&k->store->catalog) == ST_CORRUPT;
    pthread_mutex_lock(&k->mutex);
    bool news = damaged != k->catalog_damaged;
    k->catalog_damaged = damaged;
    pthread_mutex_unlock(&k->mutex);
    metric_set(k->metrics.catalog_damaged, 0, damaged);
    if (news && damaged)
        log_failure(LOG_LEVEL_ERROR, "catalog",
                    "what is open is served, but nothing can change until you %s", st_hint_text());
    else if (news)
        log_event(LOG_LEVEL_INFO, "catalog", "the catalog is there again");
}

static void complain(struct store_keeper *k, uint64_t now_ms)
{
    if (now_ms - k->complained_ms < COMPLAIN_MS)
        return;
    k->complained_ms = now_ms;
    log_failure(LOG_LEVEL_ERROR, "refresh", "the catalog's news cannot be taken in");
}

static void note_look(struct store_keeper *k)
{
    atomic_store_explicit(&k->looked_ms, clock_steady_ns() / 1000000u, memory_order_relaxed);
}

static void look(struct store_keeper *k, bool force)
{
    uint64_t now_ms = clock_steady_ns() / 1000000u;

    look_at_catalog(k, now_ms);
    k->again |= adopter_collect(k->adopter, remember_verified, k->verified) || k->pins_changed;
    k->again |= adopter_find_unreadable(k->adopter);
    k->forced |= force;
    if (!k->forced && !k->again && !store_changed(k->store) && !adopter_due(k->adopter, now_ms)) {
        tend_catalog(k, false);
        keeper_free_retired(k);
        return;
    }
    if (now_ms < k->retry_ms)
        return;
    bool forced = k->forced;
    k->again = k->forced = k->pins_changed = false;
    k->retry_ms = 0;
    if (refresh(k, forced)) { /* all of it is tried again */
        k->again = true;
        k->forced = forced;
        k->retry_ms = now_ms + RETRY_MS;
        complain(k, now_ms);
        return;
    }
    tend_catalog(k, store_changed(k->store));
}

static void note_queue(struct store_keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    k->queue = k->upkeep.queue;
    pthread_mutex_unlock(&k->mutex);
}

void *keeper_main(void *arg)
{
    struct store_keeper *k = arg;
    bool stopping = false;

    while (!stopping) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&k->mutex);
        if (!k->posted && !k->stopping && !k->reload && !k->crowded)
            (void)pthread_cond_timedwait(&k->cond, &k->mutex, &until);
        struct store_task *tasks = k->posted;
        k->posted = NULL;
        k->posted_last = &k->posted;
        stopping = k->stopping;
        bool reload = k->reload;
        k->reload = false;
        pthread_mutex_unlock(&k->mutex);

        if (reload)
            adopter_retry_all(k->adopter);
        keeper_serve_tasks(k, tasks, stopping);
        keeper_close_idle_pin(k);
        look(k, reload);
        note_look(k);
        write_down(k);
        keeper_finish_waiting(k, stopping);
        if (!k->catalog_damaged && upkeep_step(&k->upkeep, k->store, clock_steady_ns() / 1000000u))
            adopter_purge(k->adopter, store_build_dir(k->store));
        note_queue(k);
        if (k->options.metrics)
            queue_metrics_step(&k->queue_metrics, k->store, &k->upkeep.queue,
                               atomic_load(&k->current));
        if (!k->catalog_damaged)
            scrub_step(k->scrub, k->store, clock_steady_ns() / 1000000u);
    }
    return NULL;
}

enum st keeper_load_first_view(struct store_keeper *k)
{
    for (;;) {
        enum st st = refresh(k, false);
        if (st)
            return st;
        write_down(k);
        if (k->ready) {
            note_look(k);
            return ST_OK;
        }
        if (k->options.stop_fn && k->options.stop_fn(k->options.ctx))
            return st_fail(ST_UNAVAILABLE, "STOPPING", "it was stopped before it was ready");
        adopter_wait(k->adopter, 100);
        adopter_collect(k->adopter, remember_verified, k->verified);
    }
}
