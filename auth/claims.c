/* Claims (RFC 7519 section 4) against the policy of the tenant. Strings are compared with their
 * lengths: JSON can carry a NUL, C strings would stop at it. A claim of the wrong type is refused,
 * never read as absent. Reasons name claims, never their values. */
#include "auth/claims.h"

#include "auth/key.h"
#include "base/json.h"

#include <string.h>

#define refuse(...) st_fail(ST_UNKNOWN_CALLER, NULL, __VA_ARGS__)

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && json_string_length(value) == strlen(text) &&
           memcmp(json_string_value(value), text, strlen(text)) == 0;
}

static bool has_nul(const json_t *string)
{
    return memchr(json_string_value(string), 0, json_string_length(string)) != NULL;
}

/* Copies a string of at most size - 1 bytes. */
static enum st copy_text(char *out, size_t size, const json_t *value, const char *name)
{
    if (!json_is_string(value))
        return refuse("`%s` is not a string", name);
    if (json_string_length(value) >= size)
        return refuse("`%s` is longer than %zu bytes", name, size - 1);
    if (has_nul(value))
        return refuse("`%s` has a NUL in it", name);
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return ST_OK;
}

static enum st copy_optional(char *out, size_t size, const json_t *claims, const char *name)
{
    const json_t *value = json_object_get(claims, name);

    return value ? copy_text(out, size, value, name) : ST_OK;
}

/* An integer NumericDate; absent leaves *out as it is. */
static enum st read_date(int64_t *out, const json_t *claims, const char *name)
{
    const json_t *value = json_object_get(claims, name);

    if (!value)
        return ST_OK;
    if (!json_is_integer(value))
        return refuse("`%s` is not an integer", name);
    *out = json_integer_value(value);
    return ST_OK;
}

static enum st check_time(struct auth_identity *out, const json_t *claims, int64_t now_s)
{
    int64_t not_before = INT64_MIN;
    enum st st;

    if (!json_object_get(claims, "exp"))
        return refuse("`exp` is missing");
    out->issued_s = INT64_MIN;
    if ((st = read_date(&out->expires_s, claims, "exp")) ||
        (st = read_date(&not_before, claims, "nbf")) ||
        (st = read_date(&out->issued_s, claims, "iat")))
        return st;
    out->begins_s = not_before > out->issued_s ? not_before : out->issued_s;
    if (auth_identity_in_time(out, now_s))
        return ST_OK;
    if (out->begins_s <= now_s + AUTH_SKEW_S)
        return refuse("the token has expired");
    return refuse(out->begins_s == out->issued_s ? "`iat` lies in the future"
                                                 : "the token is not valid yet");
}

static enum st check_audience(const json_t *aud, const char *audience)
{
    bool found = false;

    if (json_is_string(aud))
        return is_text(aud, audience) ? ST_OK : refuse("`aud` is not ours");
    if (!json_is_array(aud))
        return refuse("`aud` is missing or neither a string nor an array");
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const json_t *item = json_array_get(aud, i);
        if (!json_is_string(item))
            return refuse("an item of `aud` is not a string");
        found = found || is_text(item, audience);
    }
    return found ? ST_OK : refuse("`aud` is not ours");
}

static enum st check_tenant(struct auth_identity *out, const json_t *claims,
                            const struct auth_key *key, auth_policy_fn policy_fn, void *ctx)
{
    const json_t *tenant = json_object_get(claims, "tenant");
    struct auth_policy policy = {0};
    enum st st;

    if (!tenant)
        return refuse("`tenant` is missing");
    if ((st = copy_text(out->tenant, sizeof out->tenant, tenant, "tenant")))
        return st;
    if (strcmp(out->tenant, key->tenant) != 0)
        return refuse("`tenant` is not the tenant of the key");
    if (!policy_fn(&policy, out->tenant, ctx))
        return refuse("there is no such tenant");
    if (!policy.enabled)
        return refuse("the tenant is disabled");
    if (!policy.issuer || !policy.issuer[0] || !policy.audience || !policy.audience[0])
        return refuse("the tenant has no issuer or no audience configured");
    if (!is_text(json_object_get(claims, "iss"), policy.issuer))
        return refuse("`iss` is missing or not the tenant's issuer");
    return check_audience(json_object_get(claims, "aud"), policy.audience);
}

static enum st read_scopes(struct auth_identity *out, const json_t *claims)
{
    const json_t *scope = json_object_get(claims, "scope");

    if (!scope)
        return ST_OK;
    if (!json_is_string(scope) || has_nul(scope))
        return refuse("`scope` is not a string of words");
    out->scopes = auth_scopes_parse(json_string_value(scope));
    return ST_OK;
}

static enum st read_datasets(struct auth_identity *out, const json_t *claims)
{
    const json_t *datasets = json_object_get(claims, "datasets");
    enum st st;

    if (!datasets)
        return ST_OK;
    if (!json_is_array(datasets))
        return refuse("`datasets` is not an array");
    if (json_array_size(datasets) > AUTH_DATASETS_MAX)
        return refuse("`datasets` has more than %d items", AUTH_DATASETS_MAX);
    out->datasets_listed = true;
    for (size_t i = 0; i < json_array_size(datasets); i++) {
        st = copy_text(out->datasets[i], sizeof out->datasets[i], json_array_get(datasets, i),
                       "datasets");
        if (st)
            return st;
        out->dataset_count++;
    }
    return ST_OK;
}

enum st auth_claims_read(struct auth_identity *out, const struct auth_jws *jws, int64_t now_s,
                         auth_policy_fn policy_fn, void *ctx)
{
    json_t *claims = NULL;
    enum st st = jx_parse_object(&claims, (const char *)jws->payload, jws->payload_len);

    if (st) {
        st = st == ST_NOMEM ? st : refuse("the payload is not a strict JSON object");
        goto done;
    }
    memcpy(out->kid, jws->key->kid, sizeof out->kid);
    if ((st = check_time(out, claims, now_s)) ||
        (st = check_tenant(out, claims, jws->key, policy_fn, ctx)) ||
        (st = copy_optional(out->subject, sizeof out->subject, claims, "sub")) ||
        (st = copy_optional(out->token_id, sizeof out->token_id, claims, "jti")) ||
        (st = read_scopes(out, claims)))
        goto done;
    st = read_datasets(out, claims);
done:
    json_decref(claims);
    return st;
}
