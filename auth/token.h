/* Tokens: from the text of a bearer token to who is calling (DESIGN section 7: the cold path). */
#ifndef EVERLINE_AUTH_TOKEN_H
#define EVERLINE_AUTH_TOKEN_H

#include "auth/jws.h"
#include "auth/keyset.h"
#include "auth/scope.h"
#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

#define AUTH_TENANT_MAX 64 /* with the NUL */
#define AUTH_SUBJECT_MAX 256
#define AUTH_TOKEN_ID_MAX 128
#define AUTH_DATASETS_MAX 64
#define AUTH_SKEW_S 60

/* Who is calling. Plain data: copy it freely. */
struct auth_identity {
    char tenant[AUTH_TENANT_MAX];
    char subject[AUTH_SUBJECT_MAX];   /* `sub`, or empty */
    char token_id[AUTH_TOKEN_ID_MAX]; /* `jti`, or empty */
    char kid[AUTH_KID_MAX + 1];
    uint32_t scopes;      /* enum auth_scope bits */
    int64_t issued_s;     /* `iat`, or INT64_MIN; */
    int64_t begins_s;     /* the later of `nbf` and `iat`, or INT64_MIN; */
    int64_t expires_s;    /* `exp`: seconds since the epoch */
    bool datasets_listed; /* the `datasets` claim is there and narrows */
    unsigned dataset_count;
    char datasets[AUTH_DATASETS_MAX][64]; /* last: a cached identity ends with those it names */
};

/* What a tenant accepts. Strings borrowed until the call returns. */
struct auth_policy {
    bool enabled;
    const char *issuer;   /* `iss` must equal it */
    const char *audience; /* `aud` must be or contain it */
};

/* Fills the policy of a tenant; false when there is no such tenant. */
typedef bool (*auth_policy_fn)(struct auth_policy *out, const char *tenant, void *ctx);

/* Signature first, then claims: strict object; `exp` required, `nbf`, `iat` integer NumericDates
 * within AUTH_SKEW_S; `iss`, `aud`; `tenant` present, equal to the key's and enabled; `scope` a
 * string; `sub`, `jti` strings; `datasets` an array of strings. Any failure: ST_UNKNOWN_CALLER and
 * the reason as message, for the log only (ST_NOMEM stays ST_NOMEM). `now_s` is seconds since the
 * epoch. */
enum st auth_token_verify(struct auth_identity *out, const struct auth_keyset *keys,
                          const char *token, size_t token_len, int64_t now_s,
                          auth_policy_fn policy_fn, void *ctx) ST_MUST_USE;

bool auth_identity_in_time(const struct auth_identity *id, int64_t now_s); /* AUTH_SKEW_S apart */
/* All of them, when `scope` is several. */
bool auth_identity_has_scope(const struct auth_identity *id, enum auth_scope scope);
bool auth_identity_sees_dataset(const struct auth_identity *id, const char *dataset);

/* Minting (`everline token`), by libjwt where it knows the algorithm. */
struct auth_mint {
    const char *tenant, *issuer, *audience, *subject; /* subject may be NULL */
    uint32_t scopes;
    const char *const *datasets; /* NULL, or NULL-terminated */
    int64_t now_s, ttl_s;
};

/* Signs with the key file of `directory` whose KID sorts last among those that hold a private key
 * or a secret, or with `kid` when not NULL. Appends the token to `out`. ST_NOT_FOUND when there is
 * no such key. A random `jti` is added. */
enum st auth_token_mint(struct buf *out, const char *directory, const char *kid,
                        const struct auth_mint *claims) ST_MUST_USE;

#endif
