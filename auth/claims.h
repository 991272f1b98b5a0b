/* What a verified payload claims. Private to auth/. */
#ifndef EVERLINE_AUTH_CLAIMS_H
#define EVERLINE_AUTH_CLAIMS_H

#include "auth/token.h"

/* The claims half of auth_token_verify. Leaves *out half filled after a failure. */
enum st auth_claims_read(struct auth_identity *out, const struct auth_jws *jws, int64_t now_s,
                         auth_policy_fn policy_fn, void *ctx) ST_MUST_USE;

#endif
