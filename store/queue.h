/* The job queue (DESIGN section 6): enqueue -> lease -> done | released | dead. A lease carries a
 * fence (job, attempt); every catalog write of the worker checks it in its own transaction, so that
 * a worker that slept through its lease can publish nothing. This header is all that the rest knows
 * of the queue.
 */
#ifndef EVERLINE_STORE_QUEUE_H
#define EVERLINE_STORE_QUEUE_H

#include "store/store.h"

#define STORE_JOB_ID_SIZE 40
#define STORE_LEASE_MS 30000
#define STORE_MAX_ATTEMPTS 3

struct store_lease {
    char job[STORE_JOB_ID_SIZE];
    char tenant[STORE_NAME_SIZE];
    char dataset[STORE_NAME_SIZE];
    uint64_t order;           /* of enqueueing, kept over retries */
    unsigned attempt;         /* 1, 2, ...: with the job's id, the fence */
    uint64_t people_sequence; /* the head's when the lease was taken */
};

/* `spec` is the job's document (sources and options), kept as it is. `local`: only the process that
 * enqueued it leases it, and nobody redelivers it. */
enum st store_job_enqueue(char job[STORE_JOB_ID_SIZE], struct store *s, const char *tenant,
                          const char *dataset, const json_t *spec, bool local,
                          const struct store_actor *actor) ST_MUST_USE;

/* Leases the named job, or with NULL the next one that may run (per dataset one at a time, in
 * order). *spec is a new reference. ST_NOT_FOUND: nothing to do; ST_CONFLICT, code DATASET_BUSY:
 * the named job must wait for an earlier one of its dataset. Leases that ended are failed or
 * redelivered first. */
enum st store_job_lease(struct store_lease *out, json_t **spec, struct store *s, const char *job,
                        uint64_t lease_ms) ST_MUST_USE;

/* Fails or redelivers what the dead left: jobs whose lease ended or whose process is gone.
 * *settled (may be NULL): there were such. */
enum st store_job_settle(bool *settled, struct store *s) ST_MUST_USE;

/* Heartbeat. ST_FENCED: the lease is gone; stop at once. */
enum st store_lease_extend(struct store *s, const struct store_lease *lease,
                           uint64_t lease_ms) ST_MUST_USE;

/* Ends the job: "succeeded", "held", "failed", "canceled". `result` may be NULL. Fine, and nothing,
 * when publishing has ended it. */
enum st store_lease_finish(struct store *s, const struct store_lease *lease, const char *state,
                           const json_t *result) ST_MUST_USE;

/* {"job","tenant","dataset","state","attempt","created_at",...} */
enum st store_job_get(json_t **out, struct store *s, const char *job) ST_MUST_USE;

#endif
