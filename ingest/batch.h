/* The parent's half of one ingest: what to read, the job, the build, the publishing. Room-private.
 */
#ifndef EVERLINE_INGEST_BATCH_H
#define EVERLINE_INGEST_BATCH_H

#include "ingest/source.h"
#include "ingest/task.h"
#include "store/publish.h"

struct batch {
    struct store *store;
    const char *tenant, *dataset;
    uint64_t adopt_timeout_ms;
    uint64_t lease_ms;       /* silent for longer, it is given up: it publishes nothing any more */
    uint64_t job_timeout_ms; /* 0: none */
    const struct ingest_progress *progress;
    /* result */
    uint64_t version; /* 0: no row was made */
    enum store_outcome outcome;
};

/* Fills the task from the dataset's definition and the tenant's key. */
enum st batch_define(struct task *t, struct store *s, const char *tenant,
                     const char *dataset) ST_MUST_USE;

/* Adds the files of one --source argument, "[NAME=]PATH-OR-GLOB". */
enum st batch_add_source(struct task *t, const char *argument) ST_MUST_USE;

/* Every declared source has a file: ST_INVALID, code MISSING_SOURCE. */
enum st batch_check_sources(const struct task *t) ST_MUST_USE;

/* Enqueues, leases, binds, builds, seals and publishes. A failure after the row was made leaves it
 * FAILED and nothing else behind. SIGINT and SIGTERM end it likewise. */
enum st batch_run(struct batch *b, struct task *t) ST_MUST_USE;

#endif
