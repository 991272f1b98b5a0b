/* What publishing needs of the queue: the fence inside its own transaction. Room-private. */
#ifndef EVERLINE_STORE_QUEUE_INTERNAL_H
#define EVERLINE_STORE_QUEUE_INTERNAL_H

#include "store/catalog.h"
#include "store/queue.h"

/* The job's row when the lease still holds, else NULL and the transaction fails with ST_FENCED. */
json_t *queue_fenced_job(struct catalog_txn *t, const struct store_lease *lease);

/* Does a worker hold a lease on this job? */
bool queue_job_runs(struct catalog_txn *t, const char *job);

/* Ends the job of a lease that holds: its entry goes, its row says `state`. */
void queue_end(struct catalog_txn *t, const struct store_lease *lease, const char *state);

/* Marks which version the attempt builds (0: none any more), so that whoever finds the lease ended
 * can fail that version. */
void queue_set_version(struct catalog_txn *t, const struct store_lease *lease, uint64_t version);

#endif
