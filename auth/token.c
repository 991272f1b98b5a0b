#include "auth/token.h"

#include "auth/claims.h"

#include <string.h>

enum st auth_token_verify(struct auth_identity *out, const struct auth_keyset *keys,
                          const char *token, size_t token_len, int64_t now_s,
                          auth_policy_fn policy_fn, void *ctx)
{
    struct auth_jws jws;
    enum st st;

    memset(out, 0, sizeof *out);
    st = auth_jws_verify(&jws, keys, token, token_len);
    if (!st)
        st = auth_claims_read(out, &jws, now_s, policy_fn, ctx);
    if (st)
        memset(out, 0, sizeof *out); /* nobody: whoever overlooks the status gets no rights */
    return st;
}

/* The sums are of `now_s`, a clock's value: a date of the token, however large, cannot overflow. */
bool auth_identity_in_time(const struct auth_identity *id, int64_t now_s)
{
    return id->expires_s > now_s - AUTH_SKEW_S && id->begins_s <= now_s + AUTH_SKEW_S;
}

bool auth_identity_has_scope(const struct auth_identity *id, enum auth_scope scope)
{
    return (id->scopes & (uint32_t)scope) == (uint32_t)scope;
}

bool auth_identity_sees_dataset(const struct auth_identity *id, const char *dataset)
{
    if (!id->datasets_listed)
        return true;
    for (unsigned i = 0; i < id->dataset_count; i++)
        if (strcmp(id->datasets[i], dataset) == 0)
            return true;
    return false;
}
