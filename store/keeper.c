#include "store/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/refresh.h"
#include "store/retention.h"
#include "store/scrub.h"
#include "store/seal.h"
#include "store/upkeep.h"
#include "store/upload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The catalog thread.
 *
 * Views are published by one atomic pointer. A slot announces the view it is about to use and looks
 * again whether it is still current (a hazard pointer): a view that is no longer current and that
 * no slot announces is used by nobody, and is freed here, on the catalog thread. Both sides use
 * sequentially consistent operations: announce, then look; swap, then look at the announcements.
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
#define BLIND_MS 5000 /* not having looked for so long, the process is not ready */
#define RETRY_MS 100
#define WRITE_RETRY_MS 5000
#define PIN_BUSY_MS 1000   /* one that was used so lately is not closed for another */
#define PIN_IDLE_MS 300000 /* one that was not used for so long is closed */

struct slot {
    _Alignas(64) _Atomic(struct store_view *) inside;
};

struct store_keeper {
    struct store_keeper_options options;
    struct store *store;
    struct adopter *adopter;
    struct run_entry server;
    struct slot *slots;
    _Atomic(struct store_view *) current;
    _Atomic bool hurried;       /* tasks wait for no other process any more */
    _Atomic uint64_t looked_ms; /* when the thread last looked whether the catalog moved */
    struct store_view *retired;
    uint64_t round;
    json_t *verified; /* sha256 -> seal: found right since the last write */
    json_t *acks;     /* of the last round, not written yet; or NULL */
    uint64_t write_retry_ms;
    uint64_t stuck_since_ms, readers_checked_ms, complained_ms, catalog_looked_ms;

    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    struct store_task *posted, **posted_last;
    bool stopping, reload;
    struct store_queue_stats queue;
    bool ready, catalog_damaged;
    char *why; /* NUL-terminated, or NULL */

    struct store_task *waiting, *repeated, *grouped; /* the thread's own */
    struct pin pins[STORE_PINS_MAX];
    size_t pin_count;
    bool pins_changed;
    bool again, forced; /* a round is due, with a new view in any case */
    uint64_t retry_ms;  /* not before; after a round that failed */
    struct upkeep upkeep;
    struct scrub *scrub;
    struct {
        struct metric *flips, *segments, *late, *unavailable, *catalog_damaged;
    } metrics;
};

const struct store_view *store_view_enter(struct store_keeper *k, unsigned slot)
{
    struct store_view *v, *again = atomic_load(&k->current);

    do {
        v = again;
        atomic_store(&k->slots[slot].inside, v);
        again = atomic_load(&k->current);
    } while (v != again);
    return v;
}

void store_view_leave(struct store_keeper *k, unsigned slot)
{
    atomic_store_explicit(&k->slots[slot].inside, NULL, memory_order_release);
}

static bool is_announced(const struct store_keeper *k, const struct store_view *v)
{
    for (unsigned i = 0; i < k->options.slots; i++)
        if (atomic_load(&k->slots[i].inside) == v)
            return true;
    return false;
}

static void release_extension(struct store_keeper *k, void *extension)
{
    if (k->options.release_fn && extension)
        k->options.release_fn(extension, k->options.ctx);
}

static void free_retired(struct store_keeper *k)
{
    bool any = false;

    for (struct store_view **at = &k->retired; *at;) {
        struct store_view *v = *at;
        if (is_announced(k, v)) {
            at = &v->next_retired;
            continue;
        }
        *at = v->next_retired;
        release_extension(k, v->extension);
        view_free(v);
        any = true;
    }
    if (any)
        k->again |= adopter_sweep(k->adopter, k->round);
}

static void count_flips(struct store_keeper *k, const struct store_view *next,
                        const struct store_view *previous)
{
    for (size_t i = 0; previous && i < next->dataset_count; i++) {
        const struct store_served *now = &next->datasets[i]->served;
        const struct serving *before = view_find(previous, now->tenant, now->dataset);
        if (now->version == 0 || (before && before->served.version == now->version))
            continue;
        metric_add(k->metrics.flips, 0, 1);
        log_event(LOG_LEVEL_INFO, "flip", "%s/%s serves version %llu (was %llu)", now->tenant,
                  now->dataset, (unsigned long long)now->version,
                  before ? (unsigned long long)before->served.version : 0);
    }
}

static void swap_view(struct store_keeper *k, struct store_view *next)
{
    struct store_view *previous = atomic_exchange(&k->current, next);

    count_flips(k, next, previous);
    if (previous) {
        previous->next_retired = k->retired;
        k->retired = previous;
    }
}

static void report_readiness(struct store_keeper *k, struct refresh *r)
{
    char *why = r->why.data ? strdup(r->why.data) : NULL;

    metric_set(k->metrics.late, 0, r->late);
    metric_set(k->metrics.unavailable, 0, r->unavailable);
    metric_set(k->metrics.segments, 0, adopter_open_count(k->adopter));
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
            swap_view(k, r.view);
            r.view = NULL;
        }
    }
    if (!st) {
        report_readiness(k, &r);
        free_retired(k);
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

/* ---- kept versions, open on demand ---- */

static struct pin *find_pin(struct store_keeper *k, const struct store_wait *wait)
{
    for (size_t i = 0; i < k->pin_count; i++) {
        struct pin *p = &k->pins[i];
        if (p->version == wait->version && strcmp(p->tenant, wait->tenant) == 0 &&
            strcmp(p->dataset, wait->dataset) == 0)
            return p;
    }
    return NULL;
}

static uint64_t last_used_ms(const struct store_keeper *k, const struct pin *p)
{
    const struct serving *s =
        view_find_pinned(atomic_load(&k->current), p->tenant, p->dataset, p->version);
    uint64_t used_ms = s ? atomic_load_explicit(&s->used_ms, memory_order_relaxed) : 0;

    return used_ms > p->asked_ms ? used_ms : p->asked_ms;
}

static void remove_pin(struct store_keeper *k, struct pin *p)
{
    *p = k->pins[--k->pin_count];
    k->pins_changed = true;
}

static struct pin *oldest_pin(struct store_keeper *k)
{
    struct pin *oldest = k->pin_count ? &k->pins[0] : NULL;

    for (size_t i = 1; i < k->pin_count; i++)
        if (last_used_ms(k, &k->pins[i]) < last_used_ms(k, oldest))
            oldest = &k->pins[i];
    return oldest;
}

static enum st add_pin(struct store_keeper *k, const struct store_wait *wait)
{
    uint64_t now_ms = clock_steady_ns() / 1000000u;
    struct pin *p = find_pin(k, wait);

    if (p) {
        p->asked_ms = now_ms;
        return ST_OK;
    }
    if (k->pin_count == STORE_PINS_MAX) {
        p = oldest_pin(k);
        if (now_ms - last_used_ms(k, p) < PIN_BUSY_MS)
            return st_hint(st_fail(ST_UNAVAILABLE, "TOO_MANY_VERSIONS",
                                   "%d kept versions are being read already", STORE_PINS_MAX),
                           "try again later");
        remove_pin(k, p);
    }
    p = &k->pins[k->pin_count++];
    *p = (struct pin){.version = wait->version, .asked_ms = now_ms};
    memcpy(p->tenant, wait->tenant, sizeof p->tenant);
    memcpy(p->dataset, wait->dataset, sizeof p->dataset);
    k->pins_changed = true;
    return ST_OK;
}

static void close_idle_pin(struct store_keeper *k)
{
    struct pin *oldest = oldest_pin(k);

    if (oldest && clock_steady_ns() / 1000000u - last_used_ms(k, oldest) >= PIN_IDLE_MS)
        remove_pin(k, oldest);
}

/* Is the version open, or is there no use in waiting for it? */
static bool is_settled(struct store_keeper *k, const struct store_view *v,
                       const struct store_wait *wait)
{
    const struct serving *s = view_find(v, wait->tenant, wait->dataset);
    const struct store_served *unused;
    struct st_report report;
    bool settled = true;

    if (s && find_pin(k, wait)) {
        settled = store_view_version(&unused, v, &s->served, wait->version) == ST_OK;
        if (!settled) {
            st_save(&report, ST_OK);
            settled = strcmp(report.code, "VERSION_CLOSED") != 0;
        }
    }
    return settled;
}

/* ---- tasks ---- */

static bool is_served(struct store_keeper *k, const struct store_wait *wait)
{
    const struct store_view *v = atomic_load(&k->current);
    const struct serving *s = wait->sequence ? view_find(v, wait->tenant, wait->dataset) : NULL;

    if (wait->version && !is_settled(k, v, wait))
        return false;
    return wait->sequence == 0 || (s && s->served.sequence >= wait->sequence);
}

static void finish_waiting(struct store_keeper *k, bool all)
{
    for (struct store_task **at = &k->waiting; *at;) {
        struct store_task *task = *at;
        if (!all && !is_served(k, &task->wait)) {
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
    task->posted_ms = clock_steady_ns() / 1000000u;
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
    enum st st = task->wait.version ? add_pin(k, &task->wait) : ST_OK;

    if (st)
        task->done_fn(st, task->ctx);
    else
        push_last(&k->waiting, task);
}

static void run_task(struct store_keeper *k, struct store_task *task)
{
    struct catalog_group *group = &k->store->catalog.group;
    unsigned written = group->written;
    uint64_t waited_ms = clock_steady_ns() / 1000000u - task->posted_ms;

    task->wait = (struct store_wait){
        .can_wait = waited_ms < STORE_WRITE_WAIT_MS && !atomic_load(&k->hurried),
    };
    task->run_fn(k->store, &task->wait, task->ctx);
    if (task->wait.again)
        push_last(&k->repeated, task);
    else if (group->written != written)
        push_last(&k->grouped, task);
    else
        accept_task(k, task);
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
    if (k->store->uploads_gone && store_uploads_purge(k->store))
        log_failure(LOG_LEVEL_WARN, "uploads", "files that no job has stay for now");
    tasks = k->grouped;
    k->grouped = NULL;
    for (; tasks; tasks = next) {
        next = tasks->next;
        if (report.status)
            tasks->done_fn(st_restore(&report), tasks->ctx);
        else
            accept_task(k, tasks);
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
static void serve_tasks(struct store_keeper *k, struct store_task *posted, bool stopping)
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

/* ---- the thread ---- */

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
        free_retired(k);
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

static void *keeper_main(void *arg)
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
        if (!k->posted && !k->stopping && !k->reload)
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
        serve_tasks(k, tasks, stopping);
        close_idle_pin(k);
        look(k, reload);
        note_look(k);
        write_down(k);
        finish_waiting(k, stopping);
        if (!k->catalog_damaged && upkeep_step(&k->upkeep, k->store, clock_steady_ns() / 1000000u))
            adopter_purge(k->adopter, store_build_dir(k->store));
        note_queue(k);
        if (!k->catalog_damaged)
            scrub_step(k->scrub, k->store, clock_steady_ns() / 1000000u);
    }
    return NULL;
}

/* ---- start and stop ---- */

static enum st register_metrics(struct store_keeper *k)
{
    const struct {
        struct metric **out;
        struct metric_info info;
    } rows[] = {
        {&k->metrics.flips,
         {.name = "everline_flips_total",
          .help = "Datasets that came to another version here.",
          .kind = METRIC_COUNTER}},
        {&k->metrics.segments,
         {.name = "everline_segments_open",
          .help = "Segment files open in this process.",
          .kind = METRIC_GAUGE}},
        {&k->metrics.late,
         {.name = "everline_datasets_late",
          .help = "Datasets whose current version is not open yet.",
          .kind = METRIC_GAUGE}},
        {&k->metrics.unavailable,
         {.name = "everline_datasets_unavailable",
          .help = "Datasets whose current version is damaged.",
          .kind = METRIC_GAUGE}},
        {&k->metrics.catalog_damaged,
         {.name = "everline_catalog_damaged",
          .help = "1: the catalog came to harm while it was open; versions cannot change.",
          .kind = METRIC_GAUGE}},
    };
    enum st st = ST_OK;

    for (size_t i = 0; !st && k->options.metrics && i < sizeof rows / sizeof rows[0]; i++)
        st = metrics_register(rows[i].out, k->options.metrics, &rows[i].info);
    return st;
}

/* A catalog that was restored from an older copy would serve an older state, and be swept. */
static enum st check_heads(struct store_keeper *k)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &k->store->catalog);
    store_head_files(&t, k->store, NULL, NULL);
    return catalog_end(&t);
}

static enum st load_first_view(struct store_keeper *k)
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

enum st store_keeper_start(struct store_keeper **out, const struct store_keeper_options *options)
{
    pthread_condattr_t monotonic;
    struct store_keeper *k = calloc(1, sizeof *k);
    enum st st = ST_OK;

    *out = NULL;
    if (!k)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    k->options = *options;
    k->posted_last = &k->posted;
    k->server.fd = -1;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&k->mutex, NULL);
    pthread_cond_init(&k->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    k->verified = json_object();
    k->slots = aligned_alloc(64, (options->slots ? options->slots : 1) * sizeof *k->slots);
    if (!k->slots || !k->verified)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    for (unsigned i = 0; !st && i < options->slots; i++)
        atomic_init(&k->slots[i].inside, NULL);
    if (!st)
        st = register_metrics(k);
    if (!st)
        st = store_open(&k->store, &options->store);
    if (!st) {
        k->store->catalog.lock.wait_ms = 0; /* this thread has other things to do */
        st = check_heads(k);
    }
    if (!st && !k->store->catalog.lock.refused)
        st = run_register(&k->server, k->store->run_dir, RUN_SERVER);
    if (!st)
        st = adopter_start(&k->adopter, store_keys_dir(k->store), options->slots);
    if (!st)
        st = load_first_view(k);
    if (!st)
        st = scrub_start(&k->scrub, &options->scrub, options->metrics);
    if (!st) {
        adopter_step_back(k->adopter);
        int rc = pthread_create(&k->thread, NULL, keeper_main, k);
        if (rc != 0)
            st = st_fail_errno(rc, "starting the catalog thread");
        k->started = rc == 0;
    }
    if (st) {
        store_keeper_stop(k);
        return st;
    }
    *out = k;
    return ST_OK;
}

void store_keeper_stop(struct store_keeper *k)
{
    struct st_report report;

    if (!k)
        return;
    st_save(&report, ST_OK); /* of a start that failed */
    pthread_mutex_lock(&k->mutex);
    k->stopping = true;
    pthread_cond_signal(&k->cond);
    pthread_mutex_unlock(&k->mutex);
    if (k->started)
        pthread_join(k->thread, NULL);
    struct store_view *last = atomic_exchange(&k->current, NULL);
    if (last) {
        last->next_retired = k->retired;
        k->retired = last;
    }
    free_retired(k);
    adopter_stop(k->adopter);
    scrub_stop(k->scrub, k->store);
    if (k->store)
        run_unregister(&k->server, k->store->run_dir);
    upkeep_release(&k->upkeep);
    store_close(k->store);
    json_decref(k->verified);
    json_decref(k->acks);
    free(k->slots);
    free(k->why);
    pthread_mutex_destroy(&k->mutex);
    pthread_cond_destroy(&k->cond);
    free(k);
    (void)st_restore(&report);
}

void store_keeper_reload(struct store_keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    k->reload = true;
    pthread_cond_signal(&k->cond);
    pthread_mutex_unlock(&k->mutex);
}

unsigned store_keeper_damaged_segments(const struct store_keeper *k)
{
    return scrub_damaged(k->scrub);
}

bool store_keeper_catalog_damaged(struct store_keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    bool damaged = k->catalog_damaged;
    pthread_mutex_unlock(&k->mutex);
    return damaged;
}

void store_keeper_hurry(struct store_keeper *k)
{
    atomic_store(&k->hurried, true);
}

void store_keeper_queue(struct store_keeper *k, struct store_queue_stats *out)
{
    pthread_mutex_lock(&k->mutex);
    *out = k->queue;
    pthread_mutex_unlock(&k->mutex);
}

const char *store_keeper_run_name(const struct store_keeper *k)
{
    return k->store->run.name;
}

bool store_keeper_ready(struct store_keeper *k, struct buf *why)
{
    uint64_t looked_ms = atomic_load_explicit(&k->looked_ms, memory_order_relaxed);
    bool blind = clock_steady_ns() / 1000000u >= looked_ms + BLIND_MS;

    pthread_mutex_lock(&k->mutex);
    bool ready = k->ready && !blind;
    if (why && k->why)
        buf_addstr(why, k->why);
    pthread_mutex_unlock(&k->mutex);
    return ready;
}
