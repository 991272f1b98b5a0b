/* What the queue's files share, and what publishing needs of it: the fence inside its own
 * transaction. Room-private.
 *
 * An entry of the queue table, %020order -> {"job","tenant","dataset","priority","local","owner",
 * "running","at_us"}, lives while its job is queued or running, and has what choosing the next one
 * needs; everything else is in the job's row. */
#ifndef EVERLINE_STORE_QUEUE_INTERNAL_H
#define EVERLINE_STORE_QUEUE_INTERNAL_H

#include "store/internal.h"
#include "store/queue.h"

/* The job's row when the lease still holds, else NULL and the transaction fails with ST_FENCED. */
json_t *queue_fenced_job(struct catalog_txn *t, const struct store_lease *lease);

/* Does a worker hold a lease on this job? Of one whose row is damaged it may. */
bool queue_job_runs(struct catalog_txn *t, const char *job);

/* Ends the job of a lease that holds, in `state`, with the version that it made. The members of
 * `result` (may be NULL) are added to the job's. */
void queue_end(struct catalog_txn *t, const struct store_lease *lease, const char *state,
               uint64_t version, const char *outcome, const json_t *result);

/* Marks which version the attempt builds (0: none any more), so that whoever finds the lease ended
 * can fail that version. */
void queue_set_version(struct catalog_txn *t, const struct store_lease *lease, uint64_t version);

/* Where the walk over the past goes on; begins zeroed. */
struct queue_forgetting {
    char job[CATALOG_KEY_SIZE], repeat[CATALOG_KEY_SIZE];
};

/* A step of removing the rows of jobs that ended STORE_JOB_DAYS before `now_us`, and of requests
 * that cannot be repeated any more. */
enum st queue_forget(struct queue_forgetting *f, struct store *s, int64_t now_us) ST_MUST_USE;

/* What started a job by itself (store/start.c), for requests with a `start`: the job that it did
 * start, "" when it was passed over; and the note that it has. */
bool start_find(char job[STORE_JOB_ID_SIZE], struct catalog_txn *t,
                const struct store_job_request *request);
void start_remember(struct catalog_txn *t, const struct store_job_request *request,
                    const char *job);

/* The message that tells the tenant of the end of this job (store/hook.c), if it wants any. */
void hook_add(struct catalog_txn *t, const json_t *job);

/* ---- between the queue's files ---- */

const char *queue_text(const json_t *object, const char *name); /* "" when absent */
json_int_t queue_number(const json_t *object, const char *name);
bool queue_is(const json_t *job, const char *state);
bool queue_is_dry_run(const json_t *job);
bool queue_lease_ended(const json_t *job);
/* Is the process that must run it, or runs it, gone? Of an entry. */
bool queue_owner_dead(const struct store *s, const json_t *entry);

/* The id of the job that is enqueued as this one. */
void queue_job_name(char out[STORE_JOB_ID_SIZE], uint64_t order);
/* The job's entry, as its row is now; how many entries the tenant has. */
void queue_entry_put(struct catalog_txn *t, const json_t *job);
void queue_entry_remove(struct catalog_txn *t, const json_t *job);
uint64_t queue_entries_of(struct catalog_txn *t, const char *tenant);
/* The next entry behind `key` (catalog_after). One that is damaged is as its job's row says, and a
 * writing transaction puts it so; it is passed over when that cannot be read either. */
json_t *queue_entry_after(struct catalog_txn *t, char key[CATALOG_KEY_SIZE]);

void queue_set_state(struct catalog_txn *t, json_t *job, const char *state);
void queue_set_error(struct catalog_txn *t, json_t *job, const char *code, const char *message);
/* May the tenant have one more job that has not ended? If not, the transaction fails: ST_FULL, code
 * QUOTA. */
void queue_check_room(struct catalog_txn *t, const char *tenant);
/* Writes the row and, from it, its entry. */
void queue_put(struct catalog_txn *t, const json_t *job);

/* Ends a job in `state`: writes the row; its entry goes, and its uploads are gone, unless it is a
 * dead letter. */
void queue_end_job(struct catalog_txn *t, json_t *job, const char *state, bool dead);

/* Back to the queue, or dead after its last attempt. `why` goes into the error. */
void queue_redeliver(struct catalog_txn *t, struct store *s, json_t *job, const char *code,
                     const char *why);

/* The version that an ended attempt was building never was. */
void queue_fail_orphan(struct catalog_txn *t, struct store *s, json_t *job, const char *why);

/* *out (NULL: it is not wanted) becomes the job as people see it (store_job_get), as this
 * transaction sees it. When the change fails after all, it must not be shown: queue_shown takes it
 * back and returns `st`. */
void queue_show(json_t **out, struct catalog_txn *t, const struct store *s, const char *job);
enum st queue_shown(json_t **out, enum st st);

#endif
