/* Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a request that comes again with its
 * key is answered as it was the first time, and done once. A key belongs to who calls. */
#ifndef EVERLINE_API_REPEAT_H
#define EVERLINE_API_REPEAT_H

#include "api/exchange.h"
#include "store/repeat.h"

#include <pthread.h>

#define API_REPEAT_KEY_MAX 255 /* bytes */
#define API_REPEAT_BUCKETS 256

/* A request that has a key, from its head to its answer. */
struct api_repeat {
    struct store_repeat id;
    const char *target; /* as it was sent */
    bool digested;      /* id.request is there */
    bool in_flight;
    struct api_repeat *next; /* of those in flight */
};

/* Those in flight, by their keys. */
struct api_repeats {
    pthread_mutex_t mutex;
    struct api_repeat *buckets[API_REPEAT_BUCKETS];
};
#define API_REPEATS_INIT                                                                           \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER                                                         \
    }

/* The head of a request is good: if it has a key and its operation takes one, `request->repeat` is
 * `r`, in flight until api_repeat_leave. `target` is borrowed until then. ST_INVALID, code
 * INVALID_PARAMETER; ST_CONFLICT, code IDEMPOTENCY_KEY_IN_FLIGHT. */
enum st api_repeat_enter(struct api_request *request, struct api_repeat *r,
                         const char *target) ST_MUST_USE;
/* Before its answer goes out, or when there will be none; once or more often. */
void api_repeat_leave(struct api_repeats *all, struct api_repeat *r);

/* The handler of an operation that takes keys, or the answer of before, on the catalog thread. What
 * fails has changed nothing: see `undo` of store/keeper.h. */
enum st api_repeat_run(struct api_reply *reply, struct api_request *request, struct store *s,
                       struct store_wait *wait) ST_MUST_USE;

#endif
