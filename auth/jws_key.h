/* The part of jws.h that takes a key instead of finding one. Private to auth/. */
#ifndef EVERLINE_AUTH_JWS_KEY_H
#define EVERLINE_AUTH_JWS_KEY_H

#include "auth/jws.h"

/* As auth_jws_verify with exactly this key; a `kid` may be missing, and if it is there, it must be
 * the key's. For published test vectors, which have none, and for checking what was just signed. */
enum st auth_jws_verify_with_key(struct auth_jws *out, const struct auth_key *key,
                                 const char *token, size_t token_len) ST_MUST_USE;

#endif
