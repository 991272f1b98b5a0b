/* JWK Sets from nobody. Whatever becomes a key has an id of its own and is as strong as its
 * algorithm asks for, stands in the set as a public key for signatures, and is found by its tenant
 * and by no other. Every member of the set is either such a key or was counted as ignored. */
#include "auth/jwk.h"
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

static bool is(const json_t *jwk, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(jwk, name));

    return value && strcmp(value, text) == 0;
}

/* Public, not for encryption, and of the kind that its algorithm signs with. */
static void check_member(const json_t *jwk, const struct auth_key *key)
{
    require(json_is_object(jwk) && !json_object_get(jwk, "d") && !is(jwk, "kty", "oct"));
    require(!json_object_get(jwk, "use") || is(jwk, "use", "sig"));
    require(!json_object_get(jwk, "alg") || is(jwk, "alg", key->alg->name));
    require(is(jwk, "kty", key->alg->group ? "EC" : key->alg->min_bits ? "RSA" : "OKP"));
}

static void check_key(const struct auth_key *key, const json_t *members)
{
    size_t with_its_id = 0;

    require(key->kid[0] && strlen(key->kid) <= AUTH_KID_MAX && !key->tenant[0] && key->fetched);
    require(key->alg->key_type && key->secret.len == 0);
    require(EVP_PKEY_is_a(key->public_key, key->alg->key_type));
    require(EVP_PKEY_get_bits(key->public_key) >= key->alg->min_bits);
    for (size_t i = 0; i < json_array_size(members); i++)
        with_its_id += is(json_array_get(members, i), "kid", key->kid);
    require(with_its_id >= 1);
    for (size_t i = 0; with_its_id == 1 && i < json_array_size(members); i++)
        if (is(json_array_get(members, i), "kid", key->kid))
            check_member(json_array_get(members, i), key);
}

static void check_set(const struct auth_jwk_set *set, const char *text, size_t len)
{
    struct auth_keyset *keys = NULL;
    json_t *document = NULL;

    require(jx_parse_object(&document, text, len) == ST_OK);
    const json_t *members = json_object_get(document, "keys");
    require(set->count >= 1 && set->count <= AUTH_JWKS_KEYS_MAX);
    require(set->count + set->ignored == json_array_size(members));
    require(auth_keyset_new(&keys) == ST_OK);
    for (size_t i = 0; i < set->count; i++) {
        const char *kid = set->keys[i]->kid;
        check_key(set->keys[i], members);
        require(!auth_keyset_has(keys, kid, strlen(kid))); /* no two have one id */
        require(auth_keyset_add_fetched(keys, "dev", set->keys[i]) == ST_OK);
        const struct auth_key *found = auth_keyset_find_of(keys, "dev", kid, strlen(kid));
        require(found && found->alg == set->keys[i]->alg && strcmp(found->tenant, "dev") == 0);
        require(!auth_keyset_find_of(keys, "acme", kid, strlen(kid)));
    }
    auth_keyset_free(keys);
    json_decref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct auth_jwk_set set;
    char *text = malloc(size ? size : 1); /* of its own size: a read beyond it is seen */

    require(text != NULL);
    memcpy(text, data, size);
    if (auth_jwk_set_parse(&set, text, size) == ST_OK)
        check_set(&set, text, size);
    else
        require(set.count == 0 && st_message()[0]);
    auth_jwk_set_release(&set);
    free(text);
    return 0;
}
