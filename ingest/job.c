#include "ingest/job.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/report.h"
#include "ingest/dry_run.h"
#include "ingest/spawn.h"

#include <signal.h>
#include <string.h>

/* SQL is bound in a first child, before the version's row exists: a definition that does not fit
 * the files leaves a failed job and no version. The second child builds. While a child works, this
 * process only listens, extends its lease, and looks whether the job is still wanted. */

#define LOOK_MS 100 /* for a cancellation */
#define TELL_MS 250 /* between two notes of the progress */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

void job_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

const volatile sig_atomic_t *job_interrupted(void)
{
    return &interrupted;
}

enum st job_check_interrupted(void)
{
    return interrupted
               ? st_fail(ST_CONFLICT, "CANCELED", "cancelled by signal %d", (int)interrupted)
               : ST_OK;
}

enum st job_check_time(uint64_t start_ms, uint64_t timeout_ms)
{
    return timeout_ms && clock_boot_ms() - start_ms >= timeout_ms
               ? st_hint(st_fail(ST_TIMEOUT, "JOB_TIMEOUT", "the job took longer than %llu s",
                                 (unsigned long long)timeout_ms / 1000),
                         "raise --job-timeout, or ingest less at a time")
               : ST_OK;
}

/* ---- the pulse: lease, cancellation, time ---- */

struct pulse {
    struct job_run *run;
    uint64_t start_ms, beat_ms, look_ms;
    /* the phase that is on, and those that are over */
    const char *phase;
    uint64_t phase_ms, told_ms, rows, total;
    double share; /* of the phase, as far as it was ever told */
    json_t *timeline;
    json_t *report; /* of a dry run that came that far, or NULL */
};

static enum st extend(struct pulse *p)
{
    p->beat_ms = clock_boot_ms();
    return store_lease_extend(p->run->store, p->run->lease, p->run->lease_ms);
}

static enum st beat(void *ctx)
{
    struct pulse *p = ctx;
    uint64_t now_ms = clock_boot_ms();
    enum st st = job_check_interrupted();

    if (!st)
        st = job_check_time(p->start_ms, p->run->timeout_ms);
    if (!st && now_ms - p->look_ms >= LOOK_MS) {
        p->look_ms = now_ms;
        st = store_lease_check(p->run->store, p->run->lease);
    }
    if (p->phase) /* the time goes on, also while nothing is counted */
        ingest_tell(p->run->progress, p->phase, p->rows, p->total);
    return st || now_ms - p->beat_ms < p->run->lease_ms / 3 ? st : extend(p);
}

/* ---- progress ---- */

static void end_phase(struct pulse *p, uint64_t now_ms)
{
    if (p->phase)
        json_array_append_new(p->timeline, json_pack("{s:s, s:I, s:I}", "phase", p->phase, "ms",
                                                     (json_int_t)(now_ms - p->phase_ms), "rows",
                                                     (json_int_t)p->rows));
    p->phase = NULL;
}

/* {"phase","rows","total","percent","rows_per_second","seconds_left"}: null is not known. */
static json_t *progress_json(const struct pulse *p, uint64_t now_ms)
{
    double seconds = (double)(now_ms - p->phase_ms) / 1000;
    double rate = seconds > 0 ? (double)p->rows / seconds : 0;
    json_t *out =
        json_pack("{s:s, s:I, s:n, s:n, s:I, s:n}", "phase", p->phase, "rows", (json_int_t)p->rows,
                  "total", "percent", "rows_per_second", (json_int_t)rate, "seconds_left");

    if (p->total) {
        json_object_set_new(out, "total", json_integer((json_int_t)p->total));
        json_object_set_new(out, "percent", json_integer(progress_percent(p->rows, p->total)));
        if (rate > 0 && p->rows < p->total)
            json_object_set_new(out, "seconds_left",
                                json_integer((json_int_t)((double)(p->total - p->rows) / rate)));
    }
    return out;
}

static void tell(const char *phase, uint64_t rows, uint64_t total, void *ctx)
{
    struct pulse *p = ctx;
    uint64_t now_ms = clock_boot_ms();
    bool changed = !p->phase || strcmp(p->phase, phase) != 0;

    if (changed) {
        end_phase(p, now_ms);
        p->phase = phase;
        p->phase_ms = now_ms;
        p->share = 0;
    }
    p->rows = rows;
    p->total = progress_total(&p->share, rows, total);
    if (changed || now_ms - p->told_ms >= TELL_MS) {
        json_t *progress = progress_json(p, now_ms);
        p->told_ms = now_ms;
        if (store_job_tell(p->run->store, p->run->lease, progress))
            log_failure(LOG_LEVEL_DEBUG, "progress", "the progress cannot be noted");
        json_decref(progress);
    }
    ingest_tell(p->run->progress, phase, rows, p->total);
}

/* ---- the work ---- */

static enum st sources_json(json_t **out, const struct task *t)
{
    json_t *list = *out = json_array();
    bool whole = list != NULL;

    for (size_t i = 0; i < t->definition->source_count; i++)
        for (size_t j = 0; whole && j < t->sources[i].file_count; j++)
            whole = json_array_append_new(
                        list, json_pack("{s:s, s:s, s:I}", "name", t->definition->sources[i].name,
                                        "file", task_file_name(&t->sources[i].files[j]), "bytes",
                                        (json_int_t)t->sources[i].files[j].stamp.bytes)) == 0;
    return whole ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

/* The job ends with the flip: what it took until then, and the ledger. */
static enum st set_job_result(const struct pulse *p, struct store_build *build, const json_t *rows)
{
    json_t *result = json_pack("{s:O, s:O}", "timeline", p->timeline, "rows", rows);
    enum st st = store_build_set_job_result(build, result);

    json_decref(result);
    return st;
}

/* Also that of a failed build has a row to go to. */
static enum st take_report(struct store_build *build, const json_t *report, enum st st)
{
    struct st_report first;

    st_save(&first, st);
    enum st taken = store_build_set_report(build, report);
    return st ? st_restore(&first) : taken;
}

static enum st build(struct pulse *p, struct task *t, struct store_build *build,
                     const struct ingest_progress *progress)
{
    struct job_run *r = p->run;
    json_t *report = NULL;
    enum st st = fs_path(t->directory, "%s", store_build_directory(build));

    if (!st)
        st = spawn_run(&report, CHILD_BUILD, t, progress, beat, p);
    if (report)
        st = take_report(build, report, st);
    if (!st) {
        ingest_tell(progress, "verifying", 0, 0);
        st = extend(p); /* the sync of a large file is deaf */
    }
    if (!st)
        st = store_build_seal(build, TASK_SEGMENT, beat, p);
    if (!st) {
        ingest_tell(progress, "warming", 0, 0); /* by the servers; the flip is one commit */
        st = set_job_result(p, build, json_object_get(report, "rows"));
    }
    if (!st)
        st = store_build_publish(&r->outcome, build, r->adopt_timeout_ms, beat, p);
    json_decref(report);
    return st;
}

static enum st run_dry(struct pulse *p, struct task *t)
{
    struct ingest_progress progress = {.fn = tell, .ctx = p};
    struct job_run *r = p->run;
    const struct dry_run d = {.store = r->store,
                              .tenant = r->lease->tenant,
                              .dataset = r->lease->dataset,
                              .lease = r->lease,
                              .progress = &progress,
                              .tick_fn = beat,
                              .ctx = p};

    return dry_run_make(&p->report, &r->held, &d, t);
}

static enum st run_leased(struct pulse *p, struct task *t)
{
    struct ingest_progress progress = {.fn = tell, .ctx = p};
    struct job_run *r = p->run;
    struct store_build *started = NULL;
    struct st_report report;
    json_t *sources = NULL;
    enum st st = spawn_run(NULL, CHILD_BIND, t, &progress, beat, p);

    if (st)
        return st;
    st = sources_json(&sources, t);
    if (!st)
        st = store_build_begin(&started, r->store, r->lease, t->definition, sources);
    json_decref(sources);
    if (st)
        return st;
    r->version = store_build_version(started);
    st = build(p, t, started, &progress);
    if (st) {
        st_save(&report, st);
        if (store_build_fail(started, st))
            log_failure(LOG_LEVEL_ERROR, "build_fail", "the failed build could not be recorded");
        st = st_restore(&report);
    }
    store_build_free(started);
    r->held = !st && r->outcome == STORE_HELD_BACK;
    return st;
}

/* ---- the end ---- */

/* What the job's row keeps of a failure. */
static enum st add_error(json_t *result, uint64_t version, const struct st_report *report)
{
    json_t *error = report_to_json(report);

    json_object_del(error, "status");
    bool whole = json_object_set_new(result, "error", error) == 0 &&
                 json_object_set_new(result, "version", json_integer((json_int_t)version)) == 0;
    return whole ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

static const char *failed_state(const struct st_report *report)
{
    return strcmp(report->code, "CANCELED") == 0 ? "canceled" : "failed";
}

static const char *end_state(const struct job_run *r, const struct st_report *report)
{
    if (report->status)
        return failed_state(report);
    return r->held ? "held" : "succeeded";
}

/* Another attempt is worth while when nothing was wrong with the batch. */
static bool is_given_back(const struct job_run *r, const struct st_report *report)
{
    return r->redelivered && report->status &&
           (interrupted || strcmp(report->code, "CHILD_DIED") == 0);
}

static enum st result_json(json_t **out, const struct job_run *r, const struct st_report *report,
                           const json_t *timeline, const json_t *found)
{
    json_t *result = *out = json_pack("{s:O}", "timeline", timeline);

    if (!result || (found && json_object_set_new(result, "report", dry_run_brief(found)) != 0))
        return st_fail(ST_NOMEM, NULL, "out of memory");
    return report->status ? add_error(result, r->version, report) : ST_OK;
}

/* Without memory to say why it does not end: its lease does, and it is tried again. */
static enum st end(const struct job_run *r, const struct st_report *report, const json_t *timeline,
                   const json_t *found)
{
    json_t *result;

    if (report->status == ST_FENCED)
        return ST_OK; /* it is somebody else's */
    if (is_given_back(r, report))
        return store_lease_release(r->store, r->lease, interrupted ? NULL : report);
    enum st st = result_json(&result, r, report, timeline, found);
    if (!st)
        st = store_lease_finish(r->store, r->lease, end_state(r, report), result);
    json_decref(result);
    return st;
}

enum st job_run(struct job_run *r, struct task *t)
{
    uint64_t now_ms = clock_boot_ms();
    struct pulse p = {.run = r, .start_ms = now_ms, .beat_ms = now_ms, .timeline = json_array()};
    struct st_report report;

    st_save(&report, r->dry_run ? run_dry(&p, t) : run_leased(&p, t));
    end_phase(&p, clock_boot_ms());
    if (end(r, &report, p.timeline, p.report))
        log_failure(LOG_LEVEL_ERROR, "job", "the job's end could not be recorded");
    json_decref(p.report);
    json_decref(p.timeline);
    return report.status ? st_restore(&report) : ST_OK;
}

enum st job_refuse(struct store *s, const struct store_lease *lease, enum st status)
{
    struct job_run r = {.store = s, .lease = lease};
    json_t *timeline = json_array();
    struct st_report report;

    st_save(&report, status);
    if (end(&r, &report, timeline, NULL))
        log_failure(LOG_LEVEL_ERROR, "job", "the job's end could not be recorded");
    json_decref(timeline);
    return st_restore(&report);
}

/* When the catalog is busy, whoever finds the process gone ends it: nobody waits a second time. */
enum st job_give_up(struct store *s, const char *job, enum st status)
{
    json_t *result = json_object();
    struct st_report report;

    st_save(&report, status);
    if (strcmp(report.code, "CATALOG_BUSY") != 0 &&
        (add_error(result, 0, &report) || store_job_give_up(s, job, failed_state(&report), result)))
        log_failure(LOG_LEVEL_ERROR, "job", "the job's end could not be recorded");
    json_decref(result);
    return st_restore(&report);
}
