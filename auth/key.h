/* One key, as files hold it and as verification uses it. Private to auth/. */
#ifndef EVERLINE_AUTH_KEY_H
#define EVERLINE_AUTH_KEY_H

#include "auth/keyset.h"
#include "auth/token.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/status.h"

#include <openssl/evp.h>

#include <stdatomic.h>

#define AUTH_KEY_FILE_MAX 16384
#define AUTH_SECRET_LARGEST_MIN 64
#define AUTH_ORDER_MAX 66 /* bytes of the order of P-521, the largest curve of RFC 7518 */

/* A row of the table in keyset.c. */
struct auth_algorithm {
    const char *name;       /* as a token's `alg` and a key's file name say it */
    const char *extension;  /* of the key's file */
    const char *key_type;   /* OpenSSL's word for it; NULL: a shared secret */
    const char *group;      /* of an elliptic curve key, OpenSSL's name; else NULL */
    bool pss;               /* RSASSA-PSS, with a salt as long as the digest */
    const char *digest;     /* NULL: part of the signature scheme */
    size_t signature_bytes; /* exactly; 0: the key's modulus decides, and OpenSSL checks it */
    int min_bits;           /* of a modulus */
    size_t new_bits;        /* of a modulus that auth_key_generate makes */
};

extern const struct auth_algorithm auth_algorithm_table[]; /* ends with a zeroed row */
const struct auth_algorithm *auth_algorithm_find(const char *name, size_t len);
size_t auth_secret_min(const struct auth_algorithm *alg); /* bytes (RFC 7518 section 3.2) */

struct auth_key {
    _Atomic unsigned uses; /* sets that hold it */
    char kid[AUTH_KID_MAX + 1];
    char tenant[AUTH_TENANT_MAX];
    const struct auth_algorithm *alg;
    EVP_PKEY *public_key;                /* never holds a private half; NULL for a secret */
    unsigned char order[AUTH_ORDER_MAX]; /* of the curve, big-endian; for ECDSA only */
    size_t order_len;
    EVP_MD *digest; /* for HMAC only */
    bool fetched;   /* from a JWK Set, not from a file of the tenant */
    struct secret secret;
};

/* KID.ALG.EXTENSION taken apart; points into the file name. */
struct auth_key_name {
    const char *kid;
    size_t kid_len;
    const struct auth_algorithm *alg;
};

bool auth_kid_is_valid(const char *kid, size_t len);

/* ST_END: not a key file and none meant (hidden, or another extension). ST_INVALID, BAD_KEY: meant
 * as one, but its name is wrong. */
enum st auth_key_name_parse(struct auth_key_name *out, const char *file_name) ST_MUST_USE;

/* Reads and checks one key file. When `signing` is not NULL, *signing is the private half, to
 * EVP_PKEY_free, or NULL for a public key or a secret. ST_INVALID, BAD_KEY names the file. */
enum st auth_key_read(struct auth_key **out, EVP_PKEY **signing, const char *tenant,
                      const char *directory, const char *file_name) ST_MUST_USE;
void auth_key_free(struct auth_key *key); /* when nobody else uses it */

/* Is `public_key` what `alg` needs? Sets `order`. ST_INVALID, BAD_KEY. */
enum st auth_key_check(struct auth_key *key) ST_MUST_USE;

/* The private half as unencrypted PKCS #8 PEM. */
enum st auth_key_write_pem(struct secret *out, const EVP_PKEY *signing) ST_MUST_USE;

#endif
