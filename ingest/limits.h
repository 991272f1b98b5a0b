/* What a child may use, watched from outside: DuckDB's own limits are for its buffer manager, and a
 * list or a join in a tenant's SQL passes them by. Room-private. */
#ifndef EVERLINE_INGEST_LIMITS_H
#define EVERLINE_INGEST_LIMITS_H

#include "base/status.h"

#include <stdint.h>
#include <sys/types.h>

struct limits {
    uint64_t memory_bytes;
    uint64_t disk_bytes;   /* of all files in `directory`; 0: no limit */
    const char *directory; /* "" before there is one */
    uint64_t looked_ms;    /* at the directory */
};

/* To be asked at least every 50 ms. ST_TOO_LARGE, code MEMORY_LIMIT or DISK_LIMIT: the child is to
 * be killed. */
enum st limits_check(struct limits *l, pid_t pid) ST_MUST_USE;

#endif
