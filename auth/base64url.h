/* base64url without padding (RFC 7515 section 2), strict: every byte string has exactly one text,
 * so that no two tokens that differ can mean the same. */
#ifndef EVERLINE_AUTH_BASE64URL_H
#define EVERLINE_AUTH_BASE64URL_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* False for any byte outside A-Z a-z 0-9 - _, a length that no encoding has, bits left over in the
 * last character that are not zero, or more than `out_max` bytes. `*out_len` is 0 then. */
bool auth_base64url_decode(unsigned char *out, size_t out_max, size_t *out_len, const char *text,
                           size_t len);
void auth_base64url_encode(struct buf *out, const void *bytes, size_t len);

#endif
