#include "store/keeper_internal.h"

#include "base/clock.h"

#include <stdlib.h>

#define BLIND_MS 5000 /* not having looked for so long, the process is not ready */

static const double OPEN_BOUNDS_S[] = {0.001, 0.01, 0.1, 1, 10, 60};

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
        {&k->metrics.versions,
         {.name = "everline_versions",
          .help =
              "Versions of all datasets, by state; of each dataset the last 200 that are RETIRED "
              "or FAILED.",
          .kind = METRIC_GAUGE,
          .label = "state",
          .label_values = version_state_names}},
        {&k->metrics.adopter.open_seconds,
         {.name = "everline_segment_open_seconds",
          .help = "How long it took to verify, open and warm a segment.",
          .kind = METRIC_HISTOGRAM,
          .bounds_s = OPEN_BOUNDS_S,
          .bound_count = sizeof OPEN_BOUNDS_S / sizeof OPEN_BOUNDS_S[0]}},
        {&k->metrics.adopter.cold_bytes,
         {.name = "everline_segment_cold_bytes_total",
          .help = "Bytes that were not brought into memory, which had no room for them.",
          .kind = METRIC_COUNTER}},
        {&k->metrics.catalog_damaged,
         {.name = "everline_catalog_damaged",
          .help = "1: the catalog came to harm while it was open; versions cannot change.",
          .kind = METRIC_GAUGE}},
    };
    enum st st = ST_OK;

    for (size_t i = 0; !st && k->options.metrics && i < sizeof rows / sizeof rows[0]; i++)
        st = metrics_register(rows[i].out, k->options.metrics, &rows[i].info);
    return st || !k->options.metrics
               ? st
               : queue_metrics_register(&k->queue_metrics, k->options.metrics);
}

/* A catalog that was restored from an older copy would serve an older state, and be swept. */
static enum st check_heads(struct store_keeper *k)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &k->store->catalog);
    store_head_files(&t, k->store, NULL, NULL);
    return catalog_end(&t);
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
        st = adopter_start(&k->adopter, store_keys_dir(k->store), options->slots,
                           &k->metrics.adopter);
    if (!st)
        st = keeper_load_first_view(k);
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
    keeper_free_retired(k);
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
