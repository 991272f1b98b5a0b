/* A batch that is built, judged and compared with what is served, and not published. Room-private.
 */
#ifndef EVERLINE_INGEST_DRY_RUN_H
#define EVERLINE_INGEST_DRY_RUN_H

#include "ingest/batch.h"
#include "ingest/spawn.h"

#define DRY_RUN_BRIEF_MAX (64u << 10) /* bytes of JSON */

struct dry_run {
    struct store *store;
    const char *tenant, *dataset;
    const struct store_lease *lease; /* of the job that it is, or NULL */
    const struct ingest_progress *progress;
    spawn_tick_fn tick_fn; /* as of spawn_run; also while versions are compared */
    void *ctx;
};

/* *report is {"dataset","dry_run","current","rows","checks","gates","rejects","used","diff"}, a new
 * reference, also when a check fails the batch (ST_REFUSED); NULL: it did not come that far.
 * *held: a gate would hold it. No version, nothing left on disk. */
enum st dry_run_make(json_t **report, bool *held, const struct dry_run *d,
                     struct task *t) ST_MUST_USE;

/* Puts into the report of a build what it does not know. `gates` and `diff` (either may be NULL)
 * are taken. ST_NOMEM: the report says less than it should. */
enum st dry_run_compose(json_t *report, const char *dataset, uint64_t current, json_t *gates,
                        json_t *diff) ST_MUST_USE;

/* What the job's row keeps of a report: neither places of rows nor keys of records, and at most
 * DRY_RUN_BRIEF_MAX: lists for which there is no room are null. A new
 * reference; NULL: out of memory. */
json_t *dry_run_brief(const json_t *report);

/* The same for a command, which is no job: prints the report (`json`) or a summary. ST_HELD, code
 * HELD: a gate would hold it. */
enum st dry_run(const struct batch *b, struct task *t, bool json) ST_MUST_USE;

#endif
