/* The worker: runs the queue's jobs, one at a time, until it is told to stop. Room-private. */
#ifndef EVERLINE_INGEST_WORKER_H
#define EVERLINE_INGEST_WORKER_H

#include "store/queue.h"

struct worker_options {
    struct store_options store;
    const char *inbox; /* files of a tenant are below INBOX/TENANT; NULL: there are none */
    uint64_t memory_bytes, disk_bytes;
    unsigned threads, inflate_ratio;
    uint64_t lease_ms, adopt_timeout_ms, job_timeout_ms;
    uint64_t idle_exit_ms; /* ends when there was nothing to do for so long; 0: never */
};

/* Until SIGINT or SIGTERM, which give the job at hand back. ST_OK then. */
enum st worker_run(const struct worker_options *options) ST_MUST_USE;

#endif
