/* OpenSSL's door: its errors become statuses here, and signatures are checked and made here.
 * Private to auth/. */
#ifndef EVERLINE_AUTH_CRYPTO_H
#define EVERLINE_AUTH_CRYPTO_H

#include "auth/key.h"
#include "base/status.h"

/* st_fail with the reason of OpenSSL's last error appended; empties OpenSSL's error queue. A failed
 * allocation anywhere in the queue becomes ST_NOMEM. */
enum st auth_crypto_fail(enum st status, const char *code, const char *fmt, ...) ST_PRINTF(3, 4);

/* ST_OK only when `key` made `signature` over `message`; ST_UNKNOWN_CALLER or ST_NOMEM otherwise.
 * Any thread may use the same key. */
enum st auth_crypto_verify(const struct auth_key *key, const void *message, size_t message_len,
                           const unsigned char *signature, size_t signature_len) ST_MUST_USE;

/* Signs with EdDSA or RSA: *len is the room, then the length. */
enum st auth_crypto_sign(unsigned char *out, size_t *len, const struct auth_algorithm *alg,
                         EVP_PKEY *signing, const void *message, size_t message_len) ST_MUST_USE;

#define AUTH_ECDSA_DER_MAX (3 + 2 * (3 + AUTH_ORDER_MAX))

/* r || s, each `half` bytes, as the DER that OpenSSL reads; returns its length. */
size_t auth_ecdsa_der(unsigned char out[AUTH_ECDSA_DER_MAX], const unsigned char *raw, size_t half);

#endif
