#include "ingest/worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "ingest/batch.h"
#include "ingest/inbox.h"
#include "ingest/job.h"
#include "store/upload.h"

#include <poll.h>
#include <string.h>

#define LOOK_MS 20 /* between looks whether the catalog has changed: no system call but the nap */
#define AT_LEAST_MS 500u /* what died changes no catalog */
#define FAILURES_MAX 4   /* after them it tries every 8 s */

struct worker {
    const struct worker_options *options;
    struct store *store;
};

/* ---- from a job's document to a task ---- */

/* The server that wrote it may be of a later release. What is not known here may be what matters
 * most: a dry run must not become a version. */
static enum st check_spec(const json_t *spec)
{
    static const char *const MEMBERS[] = {"format", "sources", "dry_run", NULL};
    static const char *const OF_SOURCE[] = {"source", "upload", "path", NULL};
    const json_t *sources = json_object_get(spec, "sources");
    int64_t format;
    enum st st = jx_integer(&format, spec, "", "format", 0, 0, STORE_JOB_FORMAT);

    if (!st)
        st = jx_only(spec, "", MEMBERS);
    for (size_t i = 0; !st && i < json_array_size(sources); i++)
        st = jx_only(json_array_get(sources, i), "", OF_SOURCE);
    if (!st)
        return ST_OK;
    return st_hint(st_fail(ST_CONFLICT, "WORKER_TOO_OLD",
                           "everline-ingest is older than the server that took this job, and does "
                           "not know all that it asks for"),
                   "install both programs of one release, end workers of the other one, and ingest "
                   "again");
}

static enum st source_index(size_t *out, const struct task *t, const char *name)
{
    for (size_t i = 0; i < t->definition->source_count; i++)
        if (!name ? t->definition->source_count == 1
                  : strcmp(t->definition->sources[i].name, name) == 0) {
            *out = i;
            return ST_OK;
        }
    return st_fail(ST_INVALID, "UNKNOWN_SOURCE",
                   name ? "the dataset has no source of that name"
                        : "the dataset has several sources: say which one");
}

static enum st add_upload(const struct worker *w, struct task *t, const struct store_lease *lease,
                          size_t source, const char *upload)
{
    char path[FS_PATH_MAX];
    enum st st = store_upload_path(path, w->store, lease->tenant, upload);

    return st ? st : task_add_file(t, source, path, strrchr(path, '/') + 1);
}

static enum st add_source(const struct worker *w, struct task *t, const struct store_lease *lease,
                          const json_t *item)
{
    const char *upload = json_string_value(json_object_get(item, "upload"));
    const char *path = json_string_value(json_object_get(item, "path"));
    size_t source = 0;
    enum st st = source_index(&source, t, json_string_value(json_object_get(item, "source")));

    if (!st && upload)
        st = add_upload(w, t, lease, source, upload);
    else if (!st && path)
        st = inbox_add(t, source, w->options->inbox, lease->tenant, path);
    return st;
}

static enum st fill_task(struct task *t, const struct worker *w, const struct store_lease *lease,
                         const json_t *spec)
{
    const json_t *sources = json_object_get(spec, "sources");
    enum st st = check_spec(spec);

    if (!st)
        st = batch_define(t, w->store, lease->tenant, lease->dataset);
    t->memory_bytes = w->options->memory_bytes;
    t->disk_bytes = w->options->disk_bytes;
    t->inflate_ratio = w->options->inflate_ratio;
    t->threads = w->options->threads;
    for (size_t i = 0; !st && i < json_array_size(sources); i++) {
        st = add_source(w, t, lease, json_array_get(sources, i));
        if (st)
            st = st_place(st, "/sources/%zu", i);
    }
    return st ? st : batch_check_sources(t);
}

/* ---- jobs ---- */

static void log_end(const struct job_run *r, enum st st)
{
    if (st == ST_OK && r->dry_run)
        log_event(LOG_LEVEL_INFO, "job", "%s of %s/%s was a dry run: %s", r->lease->job,
                  r->lease->tenant, r->lease->dataset, r->held ? "held" : "succeeded");
    else if (st == ST_OK)
        log_event(LOG_LEVEL_INFO, "job", "%s of %s/%s made version %llu: %s", r->lease->job,
                  r->lease->tenant, r->lease->dataset, (unsigned long long)r->version,
                  store_outcome_name(r->outcome));
    else
        log_failure(LOG_LEVEL_WARN, "job", "%s of %s/%s, attempt %u", r->lease->job,
                    r->lease->tenant, r->lease->dataset, r->lease->attempt);
}

static void run_job(const struct worker *w, const struct store_lease *lease, const json_t *spec)
{
    struct task t = {0};
    struct job_run run = {.store = w->store,
                          .lease = lease,
                          .lease_ms = w->options->lease_ms,
                          .adopt_timeout_ms = w->options->adopt_timeout_ms,
                          .timeout_ms = w->options->job_timeout_ms,
                          .redelivered = true,
                          .dry_run = json_is_true(json_object_get(spec, "dry_run"))};
    enum st st = fill_task(&t, w, lease, spec);

    st = st ? job_refuse(w->store, lease, st) : job_run(&run, &t);
    log_end(&run, st);
    task_release(&t);
}

/* ST_NOT_FOUND: there is nothing to do; *seen is what the catalog was then. */
static enum st run_next(const struct worker *w, uint64_t *seen)
{
    struct store_queue_stats stats;
    struct store_lease lease;
    json_t *spec = NULL;
    enum st st = store_job_settle(NULL, w->store);

    if (!st)
        st = store_queue_look(&stats, w->store);
    if (st)
        return st;
    *seen = stats.seen;
    st = stats.waiting ? store_job_lease(&lease, &spec, w->store, NULL, w->options->lease_ms)
                       : ST_NOT_FOUND;
    if (!st)
        run_job(w, &lease, spec);
    json_decref(spec);
    return st;
}

static bool is_stopped(void)
{
    return job_check_interrupted() != ST_OK;
}

static void rest(uint64_t ms)
{
    uint64_t start_ms = clock_boot_ms();

    while (!is_stopped() && clock_boot_ms() - start_ms < ms)
        poll(NULL, 0, LOOK_MS);
}

/* Until the catalog changes, or something may have died. */
static void wait_for_work(const struct worker *w, uint64_t seen)
{
    uint64_t start_ms = clock_boot_ms();

    while (!is_stopped() && !store_queue_changed(w->store, seen) &&
           clock_boot_ms() - start_ms < AT_LEAST_MS)
        poll(NULL, 0, LOOK_MS);
}

/* ST_UNAVAILABLE, READ_ONLY: the catalog stays so for this process, and another one may do better.
 */
static enum st work(const struct worker *w)
{
    uint64_t idle_ms = clock_boot_ms(), limit_ms = w->options->idle_exit_ms, seen = 0;
    unsigned failures = 0;

    while (!is_stopped() && (!limit_ms || clock_boot_ms() - idle_ms < limit_ms)) {
        enum st st = run_next(w, &seen);
        if (!st)
            idle_ms = clock_boot_ms();
        if (st && st != ST_NOT_FOUND) {
            if (strcmp(st_code(), "READ_ONLY") == 0)
                return st;
            log_failure(LOG_LEVEL_ERROR, "worker", "the queue cannot be used now");
            rest(AT_LEAST_MS << failures);
            failures += failures < FAILURES_MAX;
            continue;
        }
        failures = 0;
        if (st)
            wait_for_work(w, seen);
    }
    return ST_OK;
}

enum st worker_run(const struct worker_options *options)
{
    struct worker w = {.options = options};

    job_catch_signals();
    enum st st = store_open(&w.store, &options->store);
    if (st)
        return st;
    log_event(LOG_LEVEL_INFO, "worker", "ready");
    st = work(&w);
    store_close(w.store);
    return st;
}
