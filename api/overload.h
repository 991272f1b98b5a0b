/* Load shedding. What waits for a worker waits in sockets, where nobody sees the queue; but the
 * kernel knows since when the bytes of a request have lain there. A worker whose requests have all
 * waited longer than `max_wait_ms` for a second is overloaded, until none has waited longer than a
 * tenth of it for a second: then those that did are refused, which costs next to nothing, so that
 * the others are answered about as soon as if there were no more than them. (Were the longest wait
 * itself the limit, all that is answered would have waited that long.) Where requests take long,
 * few of them wait for one another without any overload: it is three times what one usually takes,
 * then. A stall of the machine is no overload: what it held up is answered. Nor is there one where
 * nobody has asked for a second. And refusing takes no more time than answering does: were clients
 * that ask again at once refused all day, nobody would be answered.
 *
 * Who made the load is asked to bear it: of each tenant it is known how much of the worker's time
 * its requests took lately, and who took less than half of what the first among them did is not
 * refused. Requests alone would not tell: few that take long keep many short ones waiting. */
#ifndef EVERLINE_API_OVERLOAD_H
#define EVERLINE_API_OVERLOAD_H

#include "base/status.h"
#include "store/name.h"

#include <stdbool.h>
#include <stdint.h>

#define API_OVERLOAD_TENANTS 32 /* when there are more, who took least is forgotten */

struct api_overload_tenant {
    char name[STORE_NAME_SIZE];
    uint64_t took_ns; /* halved each second */
};

/* What one worker knows of it. */
struct api_overload {
    bool is_overloaded;
    unsigned unseen;             /* requests since the last whose wait was looked at */
    uint64_t above_ns, below_ns; /* since when all have waited too long, or none; 0: not so */
    uint64_t busy_ns;            /* when a request was looked at last, or had been run */
    uint64_t earned_ns;          /* by answering: how long it may refuse */
    uint64_t usual_ns;           /* that a request takes: the mean of the last ones */
    struct api_overload_tenant *running; /* whose request was judged, and is run; or NULL */
    uint64_t began_ns;                   /* when */
    uint64_t halved_ns;                  /* when times were */
    unsigned tenant_count;
    struct api_overload_tenant tenants[API_OVERLOAD_TENANTS];
};

/* A request of `tenant` that has come by this socket whole and is begun now: ST_UNAVAILABLE, code
 * OVERLOADED, when it is to be refused. `max_wait_ms` 0: never. */
enum st api_overload_check(struct api_overload *o, int socket, const char *tenant,
                           uint64_t max_wait_ms) ST_MUST_USE;

/* The same, of a request that has waited so long; -1: nobody knows. For tests. */
enum st api_overload_judge(struct api_overload *o, int64_t waited_ms, const char *tenant,
                           uint64_t now_ns, uint64_t max_wait_ms) ST_MUST_USE;

/* It has been run; wanted when `running` is set. */
void api_overload_ran(struct api_overload *o, uint64_t now_ns);

#endif
