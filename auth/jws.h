/* JWS compact serialisation (RFC 7515 section 3.1, RFC 8725): parsing and signature, nothing about
 * claims. An entry point of its own so that test vectors can be fed to it. */
#ifndef EVERLINE_AUTH_JWS_H
#define EVERLINE_AUTH_JWS_H

#include "auth/keyset.h"
#include "base/status.h"

#define AUTH_TOKEN_MAX 4096
#define AUTH_UNKNOWN_KID "UNKNOWN_KID" /* the code of a failure for want of the key */

struct auth_jws {
    const struct auth_key *key;            /* that verified it; borrowed from the set */
    unsigned char payload[AUTH_TOKEN_MAX]; /* decoded, NUL-terminated beyond payload_len */
    size_t payload_len;
};

/* Length cap, three segments, strict base64url (no padding, no stray bits), header a strict JSON
 * object with `alg`, `kid`, `typ` absent or JWT or at+jwt (application/ prefix allowed, RFC 9068),
 * no `crit`, `jku`, `x5u`, `jwk`, `x5c`; `alg` equals the key's; signature. ECDSA signatures are
 * the raw r||s of RFC 7518 3.4 and both in range. Any failure: ST_UNKNOWN_CALLER, its message the
 * reason, for the log only. */
enum st auth_jws_verify(struct auth_jws *out, const struct auth_keyset *keys, const char *token,
                        size_t token_len) ST_MUST_USE;

#endif
