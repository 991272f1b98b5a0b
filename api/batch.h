/* The body of a batch lookup, {"keys":[{...},...]}: read once, front to back, into hashed keys. The
 * one door to that format, so that what is behind it can become a streaming parser. */
#ifndef EVERLINE_API_BATCH_H
#define EVERLINE_API_BATCH_H

#include "base/buf.h"
#include "base/status.h"
#include "store/key.h"

/* Appends STORE_KEY_BYTES per key to `keys`, in the order of the body; *count is how many. Nothing
 * is to be used after a failure. ST_INVALID: INVALID_JSON, UNKNOWN_FIELD, MISSING_FIELD, WRONG_TYPE
 * and those of a key, whose place begins with "/keys/<index>"; ST_TOO_LARGE, TOO_MANY_KEYS: more
 * than `max_keys`. */
enum st api_batch_read(struct buf *keys, size_t *count, struct store_hasher *hasher,
                       const char *body, size_t body_len, size_t max_keys) ST_MUST_USE;

#endif
