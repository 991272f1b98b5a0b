#include "store/queue_tally.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/queue_internal.h"
#include "store/usage.h"
#include "store/view_internal.h"

#include <stdio.h>
#include <string.h>

/* A document of the table of counters: {"ended":[of STATES],"seconds":[of BOUNDS_S, then beyond],
 * "ms","rows":[of ROWS]}. */

#define TALLY_KEY "jobs_ended"
#define SECOND_US 1000000LL
#define STEP_MS 500 /* nobody looks at metrics more often */
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const STATES[] = {"succeeded", "held", "failed", "canceled", NULL};
static const char *const ROWS[] = {"accepted", "rejected", "duplicates", "unparsable", NULL};
static const double BOUNDS_S[] = {0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400};
static const char *const AGES[] = {"1h", "6h", "1d", "2d", "7d", "30d", "older", NULL};
static const int64_t AGES_S[] = {3600, 21600, 86400, 172800, 604800, 2592000};

static void add(struct catalog_txn *t, json_t *tally, const char *name, size_t index,
                json_int_t amount)
{
    json_t *list = json_object_get(tally, name);

    if (!list) {
        list = json_array();
        store_set(t, tally, name, list);
    }
    while (list && json_array_size(list) <= index && !t->status)
        if (json_array_append_new(list, json_integer(0)) != 0)
            catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    json_t *number = json_array_get(list, index);
    json_integer_set(number, json_integer_value(number) + amount);
}

static void add_duration(struct catalog_txn *t, json_t *tally, const json_t *job)
{
    int64_t start_us;
    size_t i = 0;

    if (clock_parse(&start_us, queue_text(job, "started_at")) != ST_OK)
        return; /* it was cancelled while it waited */
    int64_t us = clock_wall_us() - start_us;
    us = us > 0 ? us : 0;
    while (i < COUNT(BOUNDS_S) && (double)us > BOUNDS_S[i] * SECOND_US)
        i++;
    add(t, tally, "seconds", i, 1);
    add(t, tally, "ms", 0, us / 1000);
}

/* NULL: there is none yet, or it is damaged. That is no reason for jobs not to end: what a damaged
 * one said is for metrics alone, whose readers know counters that begin again. */
static json_t *get_tally(bool *damaged, struct catalog_txn *t)
{
    json_t *tally;

    *damaged = !catalog_get_any(&tally, t, CATALOG_COUNTERS, TALLY_KEY);
    return tally;
}

void queue_tally_end(struct catalog_txn *t, const json_t *job, const char *state)
{
    const json_t *rows = json_object_get(json_object_get(job, "result"), "rows");
    bool damaged;
    json_t *tally = get_tally(&damaged, t);

    if (damaged && !t->status)
        log_event(LOG_LEVEL_ERROR, "tally_damaged",
                  "the tally of jobs is damaged: the metrics of jobs that ended begin at 0 again");
    if (!tally)
        tally = json_object();
    for (size_t i = 0; STATES[i]; i++)
        if (strcmp(STATES[i], state) == 0)
            add(t, tally, "ended", i, 1);
    for (size_t i = 0; ROWS[i]; i++)
        add(t, tally, "rows", i, queue_number(rows, ROWS[i]));
    add_duration(t, tally, job);
    catalog_put(t, CATALOG_COUNTERS, TALLY_KEY, tally);
    json_decref(tally);
}

void queue_meter_attempt(struct catalog_txn *t, const json_t *job)
{
    static const char BY_TOKEN[] = "token:";
    const char *actor = queue_text(job, "actor");
    struct store_usage u = {.operation = STORE_USAGE_JOB};
    char now[CLOCK_TEXT_SIZE];
    int64_t now_us = clock_wall_us(), start_us;

    catalog_fail(t, clock_parse(&start_us, queue_text(job, "started_at")));
    if (t->status)
        return;
    clock_format(now, now_us);
    memcpy(u.day, now, STORE_DAY_SIZE - 1);
    snprintf(u.tenant, sizeof u.tenant, "%s", queue_text(job, "tenant"));
    snprintf(u.dataset, sizeof u.dataset, "%s", queue_text(job, "dataset"));
    if (strncmp(actor, BY_TOKEN, sizeof BY_TOKEN - 1) == 0)
        snprintf(u.subject, sizeof u.subject, "%s", actor + sizeof BY_TOKEN - 1);
    u.job_ms = now_us > start_us ? (uint64_t)(now_us - start_us) / 1000 : 0;
    usage_add(t, &u);
}

/* ---- metrics ---- */

enum st queue_metrics_register(struct queue_metrics *out, struct metrics *m)
{
    const struct {
        struct metric **metric;
        struct metric_info info;
    } rows[] = {
        {&out->queued,
         {.name = "everline_jobs_queued", .help = "Jobs that wait.", .kind = METRIC_GAUGE}},
        {&out->running,
         {.name = "everline_jobs_running", .help = "Jobs at work.", .kind = METRIC_GAUGE}},
        {&out->oldest,
         {.name = "everline_jobs_oldest_queued_seconds",
          .help = "How long the oldest job that waits has waited.",
          .kind = METRIC_GAUGE}},
        {&out->ended,
         {.name = "everline_jobs_total",
          .help =
              "Ends of the data directory's jobs but dry runs, by state; the same in every server.",
          .kind = METRIC_COUNTER,
          .label = "state",
          .label_values = STATES}},
        {&out->seconds,
         {.name = "everline_job_seconds",
          .help = "Of those that were begun: from the last start to the end.",
          .kind = METRIC_HISTOGRAM,
          .bounds_s = BOUNDS_S,
          .bound_count = COUNT(BOUNDS_S)}},
        {&out->rows,
         {.name = "everline_job_rows_total",
          .help = "Rows of batches that became versions, by what became of them.",
          .kind = METRIC_COUNTER,
          .label = "outcome",
          .label_values = ROWS}},
        {&out->damaged,
         {.name = "everline_job_tally_damaged",
          .help = "1: what these say of ended jobs is damaged; they begin at 0 when the next ends.",
          .kind = METRIC_GAUGE}},
        {&out->ages,
         {.name = "everline_datasets_by_age",
          .help =
              "Datasets by the age of their current version: up to it, and over the one before.",
          .kind = METRIC_GAUGE,
          .label = "age",
          .label_values = AGES}},
        {&out->oldest_version,
         {.name = "everline_datasets_oldest_seconds",
          .help = "The age of the oldest current version of any dataset.",
          .kind = METRIC_GAUGE}},
    };
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < COUNT(rows); i++)
        st = metrics_register(rows[i].metric, m, &rows[i].info);
    return st;
}

static uint64_t number_at(const json_t *tally, const char *name, size_t index)
{
    return (uint64_t)json_integer_value(json_array_get(json_object_get(tally, name), index));
}

static enum st set_ended(const struct queue_metrics *m, struct store *s)
{
    uint64_t counts[COUNT(BOUNDS_S) + 1];
    struct catalog_txn t;
    bool damaged;

    catalog_begin_read(&t, &s->catalog);
    json_t *tally = get_tally(&damaged, &t);
    enum st st = catalog_end(&t);
    if (!st)
        metric_set(m->damaged, 0, damaged);
    if (st || !tally)
        return st;
    for (unsigned i = 0; STATES[i]; i++)
        metric_set(m->ended, i, (int64_t)number_at(tally, "ended", i));
    for (unsigned i = 0; ROWS[i]; i++)
        metric_set(m->rows, i, (int64_t)number_at(tally, "rows", i));
    for (size_t i = 0; i < COUNT(counts); i++)
        counts[i] = number_at(tally, "seconds", i);
    metric_set_histogram(m->seconds, 0, counts, number_at(tally, "ms", 0) * 1000000u);
    json_decref(tally);
    return ST_OK;
}

static void set_ages(const struct queue_metrics *m, const struct store_view *view, int64_t now_us)
{
    int64_t counts[COUNT(AGES_S) + 1] = {0}, oldest_s = 0;

    for (size_t i = 0; i < view->dataset_count; i++) {
        struct serving *s = view->datasets[i];
        const struct head_version *v = head_find(&s->head, s->head.current);
        int64_t age_s = v ? (now_us - v->at_us) / SECOND_US : 0;
        size_t row = 0;
        while (row < COUNT(AGES_S) && age_s > AGES_S[row])
            row++;
        counts[row] += v != NULL;
        oldest_s = age_s > oldest_s ? age_s : oldest_s;
    }
    for (unsigned i = 0; i < COUNT(counts); i++)
        metric_set(m->ages, i, counts[i]);
    metric_set(m->oldest_version, 0, oldest_s);
}

void queue_metrics_step(struct queue_metrics *m, struct store *s,
                        const struct store_queue_stats *queue, const struct store_view *view)
{
    int64_t now_us = clock_wall_us();
    int64_t waited_us = queue->oldest_us ? now_us - queue->oldest_us : 0;
    uint64_t now_ms = clock_steady_ns() / 1000000u;

    if (now_ms < m->due_ms)
        return;
    m->due_ms = now_ms + STEP_MS;
    metric_set(m->queued, 0, (int64_t)queue->queued);
    metric_set(m->running, 0, (int64_t)queue->running);
    metric_set(m->oldest, 0, waited_us > 0 ? waited_us / SECOND_US : 0);
    set_ages(m, view, now_us);
    if (queue->seen != m->seen &&
        set_ended(m, s) == ST_OK) /* else the upkeep tells what is wrong */
        m->seen = queue->seen;
}
