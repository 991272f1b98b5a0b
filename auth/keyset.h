/* Keys that verify tokens: an allow-list by key id. The key fixes the algorithm, exactly; a token
 * only chooses among keys. A key belongs to one tenant: it can vouch for no other.
 *
 * A tenant's directory holds one file per key, named KID.ALG.pem (public or private key, PEM) or
 * KID.HS256.secret (hex or raw). KID is [A-Za-z0-9_-]{1,64}. ALG is one of the rows of the table in
 * keyset.c. Checked when loaded: RSA at least 2048 bits, the curve fits the algorithm, secrets at
 * least as long as the digest, which is 32 bytes or more (RFC 7518 section 3.2). Immutable after
 * loading: any thread may verify with it.
 */
#ifndef EVERLINE_AUTH_KEYSET_H
#define EVERLINE_AUTH_KEYSET_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define AUTH_KID_MAX 64
#define AUTH_ALGORITHMS                                                                            \
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA HS256 HS384 HS512"

struct auth_key; /* one verification key; opaque outside auth/ */
struct auth_keyset;

enum st auth_keyset_new(struct auth_keyset **out) ST_MUST_USE;
void auth_keyset_free(struct auth_keyset *set);

/* Adds every key file of `directory` for `tenant`. A missing directory adds none. A bad file makes
 * the whole call fail (fail closed) and names it: ST_INVALID, code BAD_KEY. A kid that the set has
 * already is ST_CONFLICT. `file_count` may be NULL. */
enum st auth_keyset_load(struct auth_keyset *set, const char *tenant, const char *directory,
                         size_t *file_count) ST_MUST_USE;

/* Adds the keys that `from` has out of the files of `tenant`, which both sets then share: for a
 * tenant whose files cannot be loaded now. One whose id is taken meanwhile is left out. */
enum st auth_keyset_keep(struct auth_keyset *set, const char *tenant,
                         const struct auth_keyset *from) ST_MUST_USE;

/* Adds a key of a JWK Set (auth/jwk.h) for `tenant`. Here a key id is the tenant's own: issuers
 * choose them, and none may take another one's. The tenant's files come first: after them, and not
 * one whose id they have. */
enum st auth_keyset_add_fetched(struct auth_keyset *set, const char *tenant,
                                const struct auth_key *key) ST_MUST_USE;

/* Borrowed until the set is freed. NULL: there is none, or several tenants have one. */
const struct auth_key *auth_keyset_find(const struct auth_keyset *set, const char *kid,
                                        size_t kid_len);
const struct auth_key *auth_keyset_find_of(const struct auth_keyset *set, const char *tenant,
                                           const char *kid, size_t kid_len);
bool auth_keyset_has(const struct auth_keyset *set, const char *kid, size_t kid_len);
const char *auth_key_tenant(const struct auth_key *key);
const char *auth_key_algorithm(const struct auth_key *key); /* "ES256" */

/* Makes a new private key file KID.ALG.pem (0600) or KID.HS256.secret in `directory`, durable;
 * ST_CONFLICT when it exists. */
enum st auth_key_generate(const char *directory, const char *kid, const char *alg) ST_MUST_USE;

#endif
