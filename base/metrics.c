#include "base/metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each metric is one array of atomic cells, `stride` per label value: a counter or gauge has one; a
 * histogram has one per bound, one for +Inf, and the sum in nanoseconds. */
struct metric {
    struct metric_info info;
    unsigned label_count;  /* of all pairs; at least 1 */
    unsigned label2_count; /* at least 1 */
    unsigned stride;
    _Atomic int64_t *cells;
    struct metric *next;
};

struct metrics {
    struct metric *first, **last;
};

enum st metrics_new(struct metrics **out)
{
    struct metrics *m = calloc(1, sizeof *m);

    *out = m;
    if (!m)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    m->last = &m->first;
    return ST_OK;
}

void metrics_free(struct metrics *m)
{
    struct metric *next;

    if (!m)
        return;
    for (struct metric *metric = m->first; metric; metric = next) {
        next = metric->next;
        free(metric->cells);
        free(metric);
    }
    free(m);
}

enum st metrics_register(struct metric **out, struct metrics *m, const struct metric_info *info)
{
    struct metric *metric = calloc(1, sizeof *metric);

    *out = NULL;
    if (!metric)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    metric->info = *info;
    while (info->label && info->label_values[metric->label_count])
        metric->label_count++;
    while (info->label2 && info->label2_values[metric->label2_count])
        metric->label2_count++;
    if (!info->label)
        metric->label_count = 1;
    if (!info->label2)
        metric->label2_count = 1;
    metric->label_count *= metric->label2_count;
    metric->stride = info->kind == METRIC_HISTOGRAM ? info->bound_count + 2 : 1;
    metric->cells = calloc((size_t)metric->label_count * metric->stride, sizeof *metric->cells);
    if (!metric->cells) {
        free(metric);
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    *m->last = metric;
    m->last = &metric->next;
    *out = metric;
    return ST_OK;
}

static _Atomic int64_t *cells_of(const struct metric *metric, unsigned label_index)
{
    return label_index < metric->label_count ? &metric->cells[label_index * metric->stride] : NULL;
}

void metric_add(struct metric *metric, unsigned label_index, uint64_t amount)
{
    _Atomic int64_t *cell = metric ? cells_of(metric, label_index) : NULL;

    if (cell)
        atomic_fetch_add_explicit(cell, (int64_t)amount, memory_order_relaxed);
}

void metric_set(struct metric *metric, unsigned label_index, int64_t value)
{
    _Atomic int64_t *cell = metric ? cells_of(metric, label_index) : NULL;

    if (cell)
        atomic_store_explicit(cell, value, memory_order_relaxed);
}

void metric_observe_ns(struct metric *metric, unsigned label_index, uint64_t duration_ns)
{
    _Atomic int64_t *cells = metric ? cells_of(metric, label_index) : NULL;
    unsigned i = 0;

    if (!cells)
        return;
    while (i < metric->info.bound_count && (double)duration_ns > metric->info.bounds_s[i] * 1e9)
        i++;
    atomic_fetch_add_explicit(&cells[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&cells[metric->info.bound_count + 1], (int64_t)duration_ns,
                              memory_order_relaxed);
}

void metric_set_histogram(struct metric *metric, unsigned label_index, const uint64_t *counts,
                          uint64_t sum_ns)
{
    _Atomic int64_t *cells = metric ? cells_of(metric, label_index) : NULL;

    for (unsigned i = 0; cells && i <= metric->info.bound_count; i++)
        atomic_store_explicit(&cells[i], (int64_t)counts[i], memory_order_relaxed);
    if (cells)
        atomic_store_explicit(&cells[metric->info.bound_count + 1], (int64_t)sum_ns,
                              memory_order_relaxed);
}

static void add_escaped(struct buf *b, const char *text, bool quotes)
{
    for (; *text; text++) {
        if (*text == '\\' || (quotes && *text == '"'))
            buf_addf(b, "\\%c", *text);
        else if (*text == '\n')
            buf_addstr(b, "\\n");
        else
            buf_addch(b, *text);
    }
}

static void add_label(struct buf *b, char *separator, const char *name, const char *value)
{
    buf_addf(b, "%c%s=\"", *separator, name);
    add_escaped(b, value, true);
    buf_addch(b, '"');
    *separator = ',';
}

static void add_labels(struct buf *b, const struct metric *metric, unsigned label, const char *le)
{
    const struct metric_info *info = &metric->info;
    char separator = '{';

    if (!info->label && !le)
        return;
    if (info->label)
        add_label(b, &separator, info->label, info->label_values[label / metric->label2_count]);
    if (info->label2)
        add_label(b, &separator, info->label2, info->label2_values[label % metric->label2_count]);
    if (le)
        add_label(b, &separator, "le", le);
    buf_addch(b, '}');
}

static int64_t load(_Atomic int64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static bool has_counted(const struct metric *metric, unsigned label)
{
    for (unsigned i = 0; i < metric->stride; i++)
        if (load(&cells_of(metric, label)[i]))
            return true;
    return false;
}

static void render_histogram(struct buf *b, const struct metric *metric, unsigned label)
{
    const struct metric_info *info = &metric->info;
    _Atomic int64_t *cells = cells_of(metric, label);
    int64_t total = 0;
    char le[32];

    for (unsigned i = 0; i <= info->bound_count; i++) {
        total += load(&cells[i]);
        if (i < info->bound_count)
            snprintf(le, sizeof le, "%g", info->bounds_s[i]);
        else
            strcpy(le, "+Inf");
        buf_addf(b, "%s_bucket", info->name);
        add_labels(b, metric, label, le);
        buf_addf(b, " %lld\n", (long long)total);
    }
    buf_addf(b, "%s_sum", info->name);
    add_labels(b, metric, label, NULL);
    buf_addf(b, " %.9f\n", (double)load(&cells[info->bound_count + 1]) / 1e9);
    buf_addf(b, "%s_count", info->name);
    add_labels(b, metric, label, NULL);
    buf_addf(b, " %lld\n", (long long)total);
}

void metrics_render(const struct metrics *m, struct buf *out)
{
    static const char *const KINDS[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

    for (const struct metric *metric = m->first; metric; metric = metric->next) {
        buf_addf(out, "# HELP %s ", metric->info.name);
        add_escaped(out, metric->info.help, false);
        buf_addf(out, "\n# TYPE %s %s\n", metric->info.name, KINDS[metric->info.kind]);
        for (unsigned label = 0; label < metric->label_count; label++) {
            if (metric->info.label2 && !has_counted(metric, label))
                continue;
            if (metric->info.kind == METRIC_HISTOGRAM) {
                render_histogram(out, metric, label);
                continue;
            }
            buf_addstr(out, metric->info.name);
            add_labels(out, metric, label, NULL);
            buf_addf(out, " %lld\n", (long long)load(&metric->cells[label]));
        }
    }
}
