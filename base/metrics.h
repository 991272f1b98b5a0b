/* Metrics registry: counters, gauges and histograms with at most two bounded labels each, written
 * with relaxed atomics by any thread and rendered in the Prometheus text format 0.0.4.
 * Metrics are declared in tables at start-up; label values are fixed lists, never client input. */
#ifndef EVERLINE_BASE_METRICS_H
#define EVERLINE_BASE_METRICS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

struct metrics;
struct metric;

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_info {
    const char *name; /* everline_requests_total */
    const char *help;
    enum metric_kind kind;
    const char *label;               /* NULL: no label */
    const char *const *label_values; /* NULL-terminated; borrowed for the registry's life */
    const char *label2;              /* NULL: no second one; what has two and has counted nothing */
    const char *const *label2_values; /* is not rendered: most pairs never are */
    const double *bounds_s;           /* histograms: upper bounds in seconds, ascending, */
    unsigned bound_count;             /*             +Inf is implied */
};

enum st metrics_new(struct metrics **out) ST_MUST_USE;
void metrics_free(struct metrics *m);

/* Not thread-safe: before threads start. The result lives as long as the registry. */
enum st metrics_register(struct metric **out, struct metrics *m,
                         const struct metric_info *info) ST_MUST_USE;

/* `label_index` is the index into label_values, 0 without a label; with two labels it is that times
 * the number of label2_values, and the index into these added. */
void metric_add(struct metric *metric, unsigned label_index, uint64_t amount);
void metric_set(struct metric *metric, unsigned label_index, int64_t value);
/* What was counted elsewhere: `counts` has bound_count + 1 observations, each in one bucket only.
 */
void metric_set_histogram(struct metric *metric, unsigned label_index, const uint64_t *counts,
                          uint64_t sum_ns);
void metric_observe_ns(struct metric *metric, unsigned label_index, uint64_t duration_ns);

void metrics_render(const struct metrics *m, struct buf *out);

#endif
