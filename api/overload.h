/* Load shedding. What waits for a worker waits in sockets, where nobody sees the queue; but the
 * kernel knows since when the bytes of a request have lain there. A worker whose requests have
 * waited longer than `max_wait_ms` for a second is overloaded, until none has for a second: then
 * those that did are refused, which costs next to nothing, so that the others are answered in time.
 * A stall of the machine is no overload: what it held up is answered.
 *
 * Under overload a tenant that asks less than its share is not refused: who asks most pays. */
#ifndef EVERLINE_API_OVERLOAD_H
#define EVERLINE_API_OVERLOAD_H

#include "base/status.h"
#include "store/name.h"

#include <stdbool.h>
#include <stdint.h>

#define API_OVERLOAD_TENANTS 32

/* What one worker knows of it. */
struct api_overload {
    bool is_overloaded;
    unsigned unseen;              /* requests since the last whose wait was looked at */
    uint64_t above_ns, below_ns;  /* since when all have waited too long, or none has; 0: not so */
    uint64_t window_ns;           /* when counting began */
    unsigned total, tenant_count; /* requests of the window, and who made them */
    struct {
        char name[STORE_NAME_SIZE];
        unsigned count;
    } tenants[API_OVERLOAD_TENANTS];
};

/* A request of `tenant` that has come by this socket whole and is begun now: ST_UNAVAILABLE, code
 * OVERLOADED, when it is to be refused. `max_wait_ms` 0: never. */
enum st api_overload_check(struct api_overload *o, int socket, const char *tenant, uint64_t now_ns,
                           uint64_t max_wait_ms) ST_MUST_USE;

/* The same, of a request that has waited so long; -1: nobody knows. For tests. */
enum st api_overload_judge(struct api_overload *o, int64_t waited_ms, const char *tenant,
                           uint64_t now_ns, uint64_t max_wait_ms) ST_MUST_USE;

#endif
