/* What became of all jobs there ever were, as numbers that only grow: in the catalog, changed by
 * the transaction that ends a job, so that they are exact, whoever ran it and whoever restarts. And
 * the metrics of the queue and of the datasets that are made of it; their labels name no tenant and
 * no dataset, because who may read metrics need not know them. Room-private. */
#ifndef EVERLINE_STORE_QUEUE_TALLY_H
#define EVERLINE_STORE_QUEUE_TALLY_H

#include "base/metrics.h"
#include "store/catalog.h"
#include "store/queue.h"
#include "store/view.h"

/* Counts a job that ends in `state`; what its row says of rows and of its start is as it will stay.
 */
void queue_tally_end(struct catalog_txn *t, const json_t *job, const char *state);

/* The attempt of a job that is running ends now: its seconds are the tenant's use of the day, and
 * of the subject whose token started the job. */
void queue_meter_attempt(struct catalog_txn *t, const json_t *job);

struct queue_metrics {
    struct metric *queued, *running, *oldest, *ended, *seconds, *rows, *damaged, *ages,
        *oldest_version;
    uint64_t due_ms, seen; /* when the next step does something; what the catalog was at the last */
};

enum st queue_metrics_register(struct queue_metrics *out, struct metrics *m) ST_MUST_USE;

/* Brings them up to date, now and then; `queue` is what was last seen of it. */
void queue_metrics_step(struct queue_metrics *m, struct store *s,
                        const struct store_queue_stats *queue, const struct store_view *view);

#endif
