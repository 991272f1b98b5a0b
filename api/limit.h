/* What a request may take of its tenant's and its subject's limits, and of the guesses at a key. */
#ifndef EVERLINE_API_LIMIT_H
#define EVERLINE_API_LIMIT_H

#include "api/internal.h"

/* Has the table of limits opened when somebody in this view has one; on the catalog thread. */
void api_limits_want(struct api_server *server, const struct store_view *view);

/* Takes `count` requests, inside the request's view, and notes in `request->quota` what is left.
 * ST_LIMITED, code RATE_LIMIT or DAY_LIMIT; ST_UNAVAILABLE, code LIMITS_UNAVAILABLE. */
enum st api_limit_take(struct api_request *request, uint64_t count) ST_MUST_USE;

/* Keys that a batch of the tenant may have. `t` may be NULL. */
uint32_t api_batch_keys(const struct store_tenant *t);

/* key.guess: STORE_KEY_BYTES per key, and as many of its base (store/key.h). ST_LIMITED, code
 * GUESS_LIMIT, and a line in the audit: the whole batch is refused. ST_DENIED: an older version
 * would let more be tried. */
enum st api_guess_check(struct api_request *request, const struct store_served *d,
                        const unsigned char *keys, const unsigned char *bases,
                        size_t count) ST_MUST_USE;

/* RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers), and Retry-After. */
void api_limit_headers(struct api_reply *reply, const struct api_request *request);

#endif
