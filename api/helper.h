/* The helper threads: the long parts of operations, which would hold the catalog thread or a worker
 * for too long. So many at a time, and fewer of one tenant; who comes then is told to come again.
 */
#ifndef EVERLINE_API_HELPER_H
#define EVERLINE_API_HELPER_H

#include "api/exchange.h"

#define API_HELPERS_MAX 8
#define API_HELPERS_OF_TENANT_MAX 2

struct api_helpers;

enum st api_helpers_start(struct api_helpers **out) ST_MUST_USE;
void api_helpers_stop(struct api_helpers *h); /* nothing may be claimed. Accepts NULL */

/* The thread *which is the claimer's until the release. ST_UNAVAILABLE, code BUSY: others have
 * them all, or the tenant as many as one may have. */
enum st api_helpers_claim(size_t *which, struct api_helpers *h, const char *tenant) ST_MUST_USE;
/* Once per claim; returns at once. `run_fn` releases, as the last thing it does with the helper. */
void api_helpers_run(struct api_helpers *h, size_t which, void (*run_fn)(void *ctx), void *ctx);
void api_helpers_release(struct api_helpers *h, size_t which);

/* For the long part of a struct api_request, to be asked several times a second: ST_UNAVAILABLE
 * when the server is stopping (code STOPPING), or nobody waits for the answer any more (code
 * CLIENT_GONE). */
enum st api_go_on(void *request) ST_MUST_USE;

#endif
