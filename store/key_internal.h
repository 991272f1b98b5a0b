/* What the files about keys share. */
#ifndef EVERLINE_STORE_KEY_INTERNAL_H
#define EVERLINE_STORE_KEY_INTERNAL_H

#include "store/key.h"

#define KEY_ENCODING_MAX (1u << 20) /* more than the longest normal forms of all fields */

/* Appends the fields, each behind its length. What was appended of a key that is refused is to be
 * dropped. */
enum st key_encode(struct buf *out, const struct store_key_spec *spec,
                   const struct store_text *fields) ST_MUST_USE;
const struct digest_hmac *key_hmac(const struct store_hasher *h);

#endif
