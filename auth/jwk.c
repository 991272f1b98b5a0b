#include "auth/jwk.h"

#include "auth/base64url.h"
#include "auth/crypto.h"
#include "base/json.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 2048 /* bytes: of a modulus of 16384 bits */

/* A row per kind of key: what it is called, and the algorithm of a key that does not say. */
static const struct kind {
    const char *kty, *crv; /* crv NULL: it has none */
    const char *preset;
} KINDS[] = {
    {"RSA", NULL, "RS256"},   {"EC", "P-256", "ES256"},    {"EC", "P-384", "ES384"},
    {"EC", "P-521", "ES512"}, {"OKP", "Ed25519", "EdDSA"},
};

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && json_string_length(value) == strlen(text) &&
           strcmp(json_string_value(value), text) == 0;
}

static const struct kind *find_kind(const json_t *jwk)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++)
        if (is_text(json_object_get(jwk, "kty"), KINDS[i].kty) &&
            (!KINDS[i].crv || is_text(json_object_get(jwk, "crv"), KINDS[i].crv)))
            return &KINDS[i];
    return NULL;
}

/* RFC 7517 sections 4.2 and 4.3. */
static bool is_for_verifying(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
    bool found = !ops;

    for (size_t i = 0; i < json_array_size(ops); i++)
        found = found || is_text(json_array_get(ops, i), "verify");
    return found && (!use || is_text(use, "sig"));
}

static bool take_number(unsigned char *out, size_t max, size_t *len, const json_t *jwk,
                        const char *name)
{
    const json_t *value = json_object_get(jwk, name);

    return json_is_string(value) &&
           auth_base64url_decode(out, max, len, json_string_value(value),
                                 json_string_length(value)) &&
           *len > 0;
}

/* OpenSSL takes numbers in the machine's order: a BIGNUM spares the turning. */
static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *key = NULL;

    if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
    unsigned char n[NUMBER_MAX], e[8];
    size_t n_len, e_len;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = NULL, *exponent = NULL;
    EVP_PKEY *key = NULL;

    if (build && take_number(n, sizeof n, &n_len, jwk, "n") &&
        take_number(e, sizeof e, &e_len, jwk, "e")) {
        modulus = BN_bin2bn(n, (int)n_len, NULL);
        exponent = BN_bin2bn(e, (int)e_len, NULL);
        if (modulus && exponent && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
            key = from_params("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/* x and y are as long as the curve's order, leading zeros included (RFC 7518 section 6.2.1.2). */
static EVP_PKEY *read_ec(const json_t *jwk, const struct auth_algorithm *alg)
{
    unsigned char point[1 + 2 * AUTH_ORDER_MAX] = {0x04}; /* uncompressed */
    size_t half = alg->signature_bytes / 2, x_len, y_len;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;

    if (build && take_number(point + 1, half, &x_len, jwk, "x") && x_len == half &&
        take_number(point + 1 + half, half, &y_len, jwk, "y") && y_len == half &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, alg->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * half))
        key = from_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *read_ed25519(const json_t *jwk)
{
    unsigned char x[32];
    size_t len;

    return take_number(x, sizeof x, &len, jwk, "x") && len == sizeof x
               ? EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, len)
               : NULL;
}

static bool take_kid(struct auth_key *key, const json_t *kid)
{
    size_t len = json_string_length(kid);

    if (len == 0 || len > AUTH_KID_MAX || memchr(json_string_value(kid), 0, len))
        return false;
    memcpy(key->kid, json_string_value(kid), len);
    return true;
}

/* Names the algorithm, if it names one, that its kind is for. */
static const struct auth_algorithm *algorithm_of(const json_t *jwk, const struct kind *kind)
{
    const json_t *name = json_object_get(jwk, "alg");
    const struct auth_algorithm *preset = auth_algorithm_find(kind->preset, strlen(kind->preset));
    const struct auth_algorithm *alg =
        json_is_string(name)
            ? auth_algorithm_find(json_string_value(name), json_string_length(name))
            : NULL;

    if (!name)
        return preset;
    if (!alg || !alg->key_type || strcmp(alg->key_type, preset->key_type) != 0)
        return NULL;
    return alg->group && strcmp(alg->group, preset->group) != 0 ? NULL : alg;
}

/* ST_END: not one for us. */
static enum st read_jwk(struct auth_key **out, const json_t *jwk)
{
    const struct kind *kind = find_kind(jwk);
    const struct auth_algorithm *alg = kind ? algorithm_of(jwk, kind) : NULL;
    struct auth_key *key = NULL;
    enum st st = ST_END;

    if (!alg || !is_for_verifying(jwk) || json_object_get(jwk, "d"))
        return ST_END;
    key = calloc(1, sizeof *key);
    if (!key)
        return st_fail(ST_NOMEM, NULL, "out of memory for a key");
    atomic_init(&key->uses, 1);
    key->fetched = true;
    key->alg = alg;
    if (take_kid(key, json_object_get(jwk, "kid"))) {
        key->public_key = alg->group      ? read_ec(jwk, alg)
                          : alg->min_bits ? read_rsa(jwk)
                                          : read_ed25519(jwk);
        st = key->public_key ? auth_key_check(key) : ST_END;
    }
    ERR_clear_error();
    if (st) {
        auth_key_free(key);
        return st == ST_NOMEM ? st : ST_END;
    }
    *out = key;
    return ST_OK;
}

static enum st add(struct auth_jwk_set *set, struct auth_key *key)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->keys[i]->kid, key->kid) == 0)
            return st_fail(ST_INVALID, "BAD_JWKS", "two of its keys have one id");
    if (set->count == AUTH_JWKS_KEYS_MAX)
        return st_fail(ST_INVALID, "BAD_JWKS", "it has more than %d keys", AUTH_JWKS_KEYS_MAX);
    set->keys[set->count++] = key;
    return ST_OK;
}

enum st auth_jwk_set_parse(struct auth_jwk_set *out, const char *text, size_t len)
{
    json_t *document = NULL, *jwk;
    size_t i;
    enum st st = jx_parse_object(&document, text, len);

    *out = (struct auth_jwk_set){.count = 0};
    if (!st && !json_is_array(json_object_get(document, "keys")))
        st = st_fail(ST_INVALID, "BAD_JWKS", "it has no \"keys\"");
    json_array_foreach(json_object_get(document, "keys"), i, jwk)
    {
        struct auth_key *key = NULL;

        if (st)
            break;
        st = read_jwk(&key, jwk);
        if (!st && (st = add(out, key)))
            auth_key_free(key);
        if (st == ST_END) {
            out->ignored++;
            st = ST_OK;
        }
    }
    json_decref(document);
    if (!st && out->count == 0)
        st =
            st_fail(ST_INVALID, "BAD_JWKS", "none of its %zu keys can verify tokens", out->ignored);
    if (st)
        auth_jwk_set_release(out);
    return st;
}

void auth_jwk_set_release(struct auth_jwk_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        auth_key_free(set->keys[i]);
    *set = (struct auth_jwk_set){.count = 0};
}

enum st auth_jwk_for_tenant(struct auth_key **out, const struct auth_key *key, const char *tenant)
{
    struct auth_key *copy = calloc(1, sizeof *copy);

    *out = NULL;
    if (!copy || EVP_PKEY_up_ref(key->public_key) != 1) {
        free(copy);
        return st_fail(ST_NOMEM, NULL, "out of memory for a key");
    }
    atomic_init(&copy->uses, 1);
    memcpy(copy->kid, key->kid, sizeof copy->kid);
    memcpy(copy->order, key->order, sizeof copy->order);
    copy->order_len = key->order_len;
    copy->alg = key->alg;
    copy->fetched = true;
    strncat(copy->tenant, tenant, sizeof copy->tenant - 1);
    copy->public_key = key->public_key;
    *out = copy;
    return ST_OK;
}
