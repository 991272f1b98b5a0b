/* The helper thread: the long part of an operation, which would hold the catalog thread or a worker
 * for too long. One piece of work at a time; who comes second is told to come again. */
#ifndef EVERLINE_API_HELPER_H
#define EVERLINE_API_HELPER_H

#include "api/exchange.h"

struct api_helper;

enum st api_helper_start(struct api_helper **out) ST_MUST_USE;
void api_helper_stop(struct api_helper *h); /* nothing may be claimed */

/* The thread is the claimer's until the release. ST_UNAVAILABLE, code BUSY: somebody else's. */
enum st api_helper_claim(struct api_helper *h) ST_MUST_USE;
/* Once per claim; returns at once. `run_fn` releases, as the last thing it does with the helper. */
void api_helper_run(struct api_helper *h, void (*run_fn)(void *ctx), void *ctx);
void api_helper_release(struct api_helper *h);

/* For the long part of a struct api_request, to be asked several times a second: ST_UNAVAILABLE
 * when the server is stopping (code STOPPING), or nobody waits for the answer any more (code
 * CLIENT_GONE). */
enum st api_go_on(void *request) ST_MUST_USE;

#endif
