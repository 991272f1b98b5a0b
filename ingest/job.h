/* A leased job, from its files to its end: bind, build, seal, publish, or a dry run; with the
 * heartbeat, the progress and the timeline of it. Room-private. */
#ifndef EVERLINE_INGEST_JOB_H
#define EVERLINE_INGEST_JOB_H

#include "ingest/source.h"
#include "ingest/task.h"
#include "store/publish.h"

#include <signal.h>

struct job_run {
    struct store *store;
    const struct store_lease *lease;
    uint64_t adopt_timeout_ms;
    uint64_t lease_ms;   /* silent for longer, it is given up: it publishes nothing any more */
    uint64_t timeout_ms; /* from the lease to the end; 0: none */
    bool redelivered;    /* a signal, or the death of the child, gives the job back */
    bool dry_run;        /* publishes nothing; the job gets what it found as its report */
    const struct ingest_progress *progress; /* hears what people see; or NULL */
    /* result */
    uint64_t version; /* 0: no row was made */
    enum store_outcome outcome;
    bool held;
};

/* Runs it and ends it, whatever happens. A failure after the row was made leaves it FAILED and
 * nothing else behind. ST_CONFLICT, code CANCELED: by a signal or by people; ST_TIMEOUT, code
 * JOB_TIMEOUT. */
enum st job_run(struct job_run *r, struct task *t) ST_MUST_USE;

/* Ends a job that could not be begun with the thread's last failure, `status`, which is returned.
 */
enum st job_refuse(struct store *s, const struct store_lease *lease, enum st status) ST_MUST_USE;

/* The same of a job that waits in the queue for this process, and for nobody else. */
enum st job_give_up(struct store *s, const char *job, enum st status) ST_MUST_USE;

/* SIGINT and SIGTERM are noted from here on. */
void job_catch_signals(void);
const volatile sig_atomic_t *job_interrupted(void); /* not 0 then */
enum st job_check_interrupted(void) ST_MUST_USE;

/* ST_TIMEOUT, code JOB_TIMEOUT: it began that long ago (clock_boot_ms). `timeout_ms` 0: never. */
enum st job_check_time(uint64_t start_ms, uint64_t timeout_ms) ST_MUST_USE;

#endif
