/* The bodies of lookups, {"key":{...}} and {"keys":[{...},...]}, into hashed keys. */
#ifndef EVERLINE_API_BATCH_H
#define EVERLINE_API_BATCH_H

#include "base/buf.h"
#include "base/status.h"
#include "store/key.h"

/* ST_INVALID: INVALID_JSON, UNKNOWN_FIELD, MISSING_FIELD, WRONG_TYPE and those of a key, whose
 * place begins with "/key". */
enum st api_key_read(unsigned char key[STORE_KEY_BYTES], struct store_hasher *hasher,
                     const char *body, size_t body_len) ST_MUST_USE;

/* `bases` gets as much per key when the dataset limits guesses (store/key.h).
 *
 * Fills `keys`, which begins empty, with STORE_KEY_BYTES per key, in the order of the body; *count
 * is how many. Nothing is to be used after a failure. ST_INVALID: INVALID_JSON, UNKNOWN_FIELD,
 * MISSING_FIELD, WRONG_TYPE and those of a key, whose place begins with "/keys/<index>";
 * ST_TOO_LARGE, TOO_MANY_KEYS: more than `max_keys`. */
enum st api_batch_read(struct buf *keys, struct buf *bases, size_t *count,
                       struct store_hasher *hasher, const char *body, size_t body_len,
                       size_t max_keys) ST_MUST_USE;

#endif
