/* Keys as an issuer publishes them: a JWK Set (RFC 7517 section 5, RFC 7518 section 6, RFC 8037).
 * Private to auth/. */
#ifndef EVERLINE_AUTH_JWK_H
#define EVERLINE_AUTH_JWK_H

#include "auth/key.h"

#define AUTH_JWKS_KEYS_MAX 64

/* The keys of a set that can verify tokens; they belong to no tenant yet. */
struct auth_jwk_set {
    struct auth_key *keys[AUTH_JWKS_KEYS_MAX];
    size_t count;
    size_t ignored; /* for encryption, of another kind, without an id, or unsound */
};

/* A key without `alg` is for the one its kind is made for: an RSA key is RS256, an elliptic curve
 * fixes its own. A key that is not for signatures or that we do not know is ignored, so that an
 * issuer can publish it; so are secrets and private keys, which have no place there. ST_INVALID,
 * BAD_JWKS: no JWK Set, one without a usable key, or two keys of one id. */
enum st auth_jwk_set_parse(struct auth_jwk_set *out, const char *text, size_t len) ST_MUST_USE;
void auth_jwk_set_release(struct auth_jwk_set *set);

/* The same key, for this tenant. */
enum st auth_jwk_for_tenant(struct auth_key **out, const struct auth_key *key,
                            const char *tenant) ST_MUST_USE;

#endif
