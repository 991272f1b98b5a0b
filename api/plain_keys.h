/* Keys of lookups as nearly every client writes them: an object of strings without escapes. Read in
 * one pass, without a tree. What is not like that, right or wrong, is not read here: the caller
 * then takes the general parser, which also words the errors. */
#ifndef EVERLINE_API_PLAIN_KEYS_H
#define EVERLINE_API_PLAIN_KEYS_H

#include "base/buf.h"
#include "store/key.h"

/* The body {"key":{...}}. */
bool api_plain_key(unsigned char key[STORE_KEY_BYTES], struct store_hasher *hasher,
                   const char *body, size_t body_len);

/* The body {"keys":[{...},...]}, of one to `max_keys` keys, which are appended to `keys`. After
 * false there may be some of them in it. */
bool api_plain_keys(struct buf *keys, size_t *count, struct store_hasher *hasher, const char *body,
                    size_t body_len, size_t max_keys);

#endif
