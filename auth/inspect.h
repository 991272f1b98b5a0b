/* A token as a person looks at it: nothing that comes from here is to be believed. */
#ifndef EVERLINE_AUTH_INSPECT_H
#define EVERLINE_AUTH_INSPECT_H

#include "base/json.h"

/* Header and claims, to json_decref; the signature is not looked at. ST_INVALID, BAD_TOKEN: it is
 * no three segments of base64url with two JSON objects. */
enum st auth_token_inspect(json_t **header, json_t **claims, const char *token,
                           size_t token_len) ST_MUST_USE;

#endif
