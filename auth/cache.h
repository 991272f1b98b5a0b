/* Tokens that were verified a moment ago, so that the next request with the same one costs no
 * signature check. One per worker thread: no locks.
 *
 * An entry is found by the whole text of the token, not by a digest of it, so that there is nothing
 * to collide. It holds as long as nothing that it was judged by has changed: tenants, keys and
 * revocations are an `epoch`, and the first request of another epoch empties the cache. Time is
 * looked at on every hit. */
#ifndef EVERLINE_AUTH_CACHE_H
#define EVERLINE_AUTH_CACHE_H

#include "auth/token.h"

struct auth_cache;

/* Holds at most `max_bytes` of entries: about 1 KB for each token, 9 KB for the longest one. */
enum st auth_cache_new(struct auth_cache **out, size_t max_bytes) ST_MUST_USE;
void auth_cache_free(struct auth_cache *c); /* wipes what it held */

/* True: `token` was put in this epoch and is in time at `now_s`; *out is who it is. */
bool auth_cache_find(struct auth_identity *out, struct auth_cache *c, uint64_t epoch,
                     const char *token, size_t token_len, int64_t now_s);

/* Remembers what auth_token_verify said of it in this epoch. Without memory it is not remembered.
 */
void auth_cache_put(struct auth_cache *c, uint64_t epoch, const char *token, size_t token_len,
                    const struct auth_identity *identity);

#endif
