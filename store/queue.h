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
#define STORE_PRIORITY_MAX 9     /* from -STORE_PRIORITY_MAX */
#define STORE_JOB_FILES_MAX 1000 /* each read of the job, and of the queue, carries them */
#define STORE_JOB_DAYS 90        /* that a job is remembered after its end */
/* What a job's document says and means. Higher with what an older worker would take for something
 * else; one that it does not know by name it refuses anyhow. */
#define STORE_JOB_FORMAT 1

struct store_lease {
    char job[STORE_JOB_ID_SIZE];
    char tenant[STORE_NAME_SIZE];
    char dataset[STORE_NAME_SIZE];
    uint64_t order;           /* of enqueueing, kept over retries */
    unsigned attempt;         /* 1, 2, ...: with the job's id, the fence */
    uint64_t people_sequence; /* the head's when the lease was taken */
};

/* What is to be done, and for whom. Borrowed during the call. */
struct store_job_request {
    const char *tenant, *dataset;
    /* The job's document: {"sources":[{"source","upload"|"path"}],"dry_run"?}, which is kept with
     * the "format" added. The uploads that it names become the job's. With `dry_run` true it makes
     * no version, and neither webhooks nor metrics tell its end. */
    const json_t *spec;
    bool local;   /* only the process that enqueued it leases it, and nobody redelivers it */
    int priority; /* among the tenant's datasets; higher is earlier */
    struct store_actor actor;
    /* What starts the job by itself, or NULL (store/start.h): the same with the same mark is the
     * same job, for ever. */
    const char *start, *mark;
};

/* *row (may be NULL): as of store_job_get. *repeated (may be NULL): the job was started by the same
 * mark before. ST_NOT_FOUND, UNKNOWN_DATASET or UNKNOWN_UPLOAD; ST_CONFLICT, UPLOAD_USED; ST_FULL,
 * code QUOTA: over the tenant's max_queued_jobs. */
enum st store_job_enqueue(char job[STORE_JOB_ID_SIZE], json_t **row, bool *repeated,
                          struct store *s, const struct store_job_request *request) ST_MUST_USE;

/* Leases the named job, or with NULL the one whose turn it is: per dataset one at a time, in order;
 * per tenant at most its max_concurrent_jobs; the tenant first that has the fewest running, then
 * the one whose turn is longest ago. *spec is a new reference. ST_NOT_FOUND: nothing to do;
 * ST_CONFLICT, code DATASET_BUSY: the named job must wait for an earlier one of its dataset, code
 * CANCELED: it was cancelled. What the dead left is failed or redelivered first. */
enum st store_job_lease(struct store_lease *out, json_t **spec, struct store *s, const char *job,
                        uint64_t lease_ms) ST_MUST_USE;

/* Fails or redelivers what the dead left: jobs whose lease ended or whose process is gone.
 * *settled (may be NULL): there were such. */
enum st store_job_settle(bool *settled, struct store *s) ST_MUST_USE;

/* Heartbeat. ST_FENCED: the lease is gone; stop at once. */
enum st store_lease_extend(struct store *s, const struct store_lease *lease,
                           uint64_t lease_ms) ST_MUST_USE;

/* Is the lease still the worker's, and the job still wanted? ST_FENCED; ST_CONFLICT, code CANCELED.
 * Cheap: to be asked several times a second. */
enum st store_lease_check(struct store *s, const struct store_lease *lease) ST_MUST_USE;

/* Ends the job: "succeeded", "held", "failed", "canceled". The members of `result` (may be NULL)
 * are added to the job's; nothing else is done when publishing has ended it. */
enum st store_lease_finish(struct store *s, const struct store_lease *lease, const char *state,
                           const json_t *result) ST_MUST_USE;

/* Gives the job back for another attempt. `error` NULL: nothing went wrong, and the attempt does
 * not count; otherwise, after STORE_MAX_ATTEMPTS, it is dead: failed, with that error, until
 * somebody retries it by name. */
enum st store_lease_release(struct store *s, const struct store_lease *lease,
                            const struct st_report *error) ST_MUST_USE;

/* Ends a job that is queued still, for a process that was to run it itself and waits no longer;
 * `state` and the members of `result` are as those of store_lease_finish. Nothing happens to a job
 * that has ended. */
enum st store_job_give_up(struct store *s, const char *job, const char *state,
                          const json_t *result) ST_MUST_USE;

/* ---- what people see and do; another tenant's job is one that is not there: ST_NOT_FOUND, code
 * UNKNOWN_JOB. `tenant` NULL: any. *out is as of store_job_get; NULL where it is not wanted: who
 * changes a job is told so by the change, since in a group of commits it cannot be read yet. ----
 */

/* A queued job ends at once; a running one when its worker has heard of it. ST_CONFLICT, code
 * JOB_ENDED. Asking twice is asking once. */
enum st store_job_cancel(json_t **out, struct store *s, const char *tenant, const char *job,
                         const struct store_actor *actor) ST_MUST_USE;
/* A failed or cancelled job again, with its place in the order. ST_CONFLICT, code JOB_NOT_RETRIABLE
 * (it did not fail), UPLOADS_GONE; ST_FULL, code QUOTA: as of store_job_enqueue. */
enum st store_job_retry(json_t **out, struct store *s, const char *tenant, const char *job,
                        const struct store_actor *actor) ST_MUST_USE;

/* {"job","dataset","state","attempt","priority","actor","sources","cancel_requested","created_at",
 *  "started_at","ended_at","updated_at","progress","version","outcome","error","timeline",
 *  "dry_run"}, and of _get alone "report": what a dry run found (ingest/dry_run.h), or null */
enum st store_job_get(json_t **out, struct store *s, const char *tenant,
                      const char *job) ST_MUST_USE;

struct store_job_filter {
    const char *tenant;
    const char *dataset, *state;                     /* or NULL */
    bool (*sees_fn)(const char *dataset, void *ctx); /* or NULL: all */
    void *ctx;
};
/* Newest first, below the job `before` (NULL: from the newest), at most `limit`, and fewer when
 * many had to be looked at or they have many files. `next` is what to give as `before` to go on
 * (which may be the same buffer), or "": that is all. */
enum st store_job_list(json_t **items, char next[STORE_JOB_ID_SIZE], struct store *s,
                       const struct store_job_filter *filter, const char *before,
                       size_t limit) ST_MUST_USE;

/* Where the work of a running job is; shown by store_job_get. Not synced, and
 * lost with a crash; nothing before the build has begun. */
enum st store_job_tell(struct store *s, const struct store_lease *lease,
                       const json_t *progress) ST_MUST_USE;

struct store_queue_stats {
    uint64_t queued, running; /* local jobs are counted too */
    uint64_t waiting;         /* queued, for any worker */
    int64_t oldest_us;        /* when the oldest queued one was enqueued; 0: there is none */
    uint64_t seen;            /* what the catalog was */
};
enum st store_queue_look(struct store_queue_stats *out, struct store *s) ST_MUST_USE;
/* Has the catalog changed since a look? Costs no system call. */
bool store_queue_changed(struct store *s, uint64_t seen);

#endif
