/* From the bytes of a token to a payload that a key has signed.
 *
 * Nothing of the token is believed before the signature is checked, and what has to be read before
 * (the header) only chooses a key from the allow-list: the key brings the algorithm. The signature
 * covers the text of the first two segments as it arrived, so nothing is encoded again.
 */
#include "auth/jws.h"

#include "auth/base64url.h"
#include "auth/crypto.h"
#include "auth/jws_key.h"
#include "auth/key.h"
#include "base/json.h"

#include <string.h>

#define refuse(...) st_fail(ST_UNKNOWN_CALLER, NULL, __VA_ARGS__)

enum { HEADER, PAYLOAD, SIGNATURE, SEGMENT_COUNT };

struct segment {
    const char *text;
    size_t len;
};

/* Members that would let the token bring its own key or change the rules (RFC 8725 section 3.10,
 * RFC 7515 section 4.1.11). */
static const char *const forbidden_members[] = {"crit", "jku", "x5u", "jwk", "x5c"};
static const char *const accepted_types[] = {"JWT", "at+jwt", "application/at+jwt"};

static enum st split(struct segment segments[SEGMENT_COUNT], const char *token, size_t len)
{
    const char *at = token, *end = token + len;

    if (len > AUTH_TOKEN_MAX)
        return refuse("the token is longer than %d bytes", AUTH_TOKEN_MAX);
    for (int i = 0; i < SEGMENT_COUNT; i++) {
        const char *dot = at < end ? memchr(at, '.', (size_t)(end - at)) : NULL;
        if ((dot == NULL) != (i == SIGNATURE))
            return refuse("the token does not have three segments");
        segments[i].text = at;
        segments[i].len = (size_t)((dot ? dot : end) - at);
        if (segments[i].len == 0)
            return refuse("a segment of the token is empty");
        at = dot ? dot + 1 : end;
    }
    return ST_OK;
}

static bool is_text(const json_t *value, const char *text, size_t len)
{
    return json_is_string(value) && json_string_length(value) == len &&
           memcmp(json_string_value(value), text, len) == 0;
}

static enum st check_type(const json_t *header)
{
    const json_t *typ = json_object_get(header, "typ");

    if (!typ)
        return ST_OK;
    for (size_t i = 0; i < sizeof accepted_types / sizeof accepted_types[0]; i++)
        if (is_text(typ, accepted_types[i], strlen(accepted_types[i])))
            return ST_OK;
    return refuse("`typ` is none of JWT, at+jwt, application/at+jwt");
}

/* Issuers choose their key ids, so that several tenants can have one: then the tenant that the
 * token claims to be of says which key is tried. It is believed once that key has signed it. */
static enum st find_by_tenant(const struct auth_key **key, const struct auth_keyset *keys,
                              const char *kid, size_t kid_len, const struct segment *payload)
{
    unsigned char bytes[AUTH_TOKEN_MAX];
    json_t *claims = NULL;
    enum st st = ST_INVALID;
    size_t len;

    if (auth_keyset_has(keys, kid, kid_len) &&
        auth_base64url_decode(bytes, sizeof bytes, &len, payload->text, payload->len))
        st = jx_parse_object(&claims, (const char *)bytes, len);
    if (json_is_string(json_object_get(claims, "tenant")))
        *key = auth_keyset_find_of(keys, json_string_value(json_object_get(claims, "tenant")), kid,
                                   kid_len);
    json_decref(claims);
    return st == ST_NOMEM ? st : ST_OK;
}

/* *key is the key to verify with; already set, `kid` may only confirm it. */
static enum st choose_key(const struct auth_key **key, const json_t *header,
                          const struct auth_keyset *keys, const struct segment *payload)
{
    const json_t *kid = json_object_get(header, "kid");

    if (*key) {
        if (kid && !is_text(kid, (*key)->kid, strlen((*key)->kid)))
            return refuse("`kid` is not that of the key");
        return ST_OK;
    }
    if (!json_is_string(kid))
        return refuse("`kid` is missing or not a string");
    *key = auth_keyset_find(keys, json_string_value(kid), json_string_length(kid));
    enum st st = ST_OK;
    if (!*key)
        st = find_by_tenant(key, keys, json_string_value(kid), json_string_length(kid), payload);
    if (!st && !*key)
        st = st_fail(ST_UNKNOWN_CALLER, AUTH_UNKNOWN_KID, "no key has the id that `kid` names");
    return st;
}

static enum st check_header(const struct auth_key **key, const unsigned char *text, size_t len,
                            const struct auth_keyset *keys, const struct segment *payload)
{
    json_t *header = NULL;
    enum st st = jx_parse_object(&header, (const char *)text, len);

    if (st) {
        st = st == ST_NOMEM ? st : refuse("the header is not a strict JSON object");
        goto done;
    }
    for (size_t i = 0; i < sizeof forbidden_members / sizeof forbidden_members[0]; i++)
        if (json_object_get(header, forbidden_members[i])) {
            st = refuse("the header has `%s`, which is not accepted", forbidden_members[i]);
            goto done;
        }
    if ((st = check_type(header)) || (st = choose_key(key, header, keys, payload)))
        goto done;
    if (!is_text(json_object_get(header, "alg"), (*key)->alg->name, strlen((*key)->alg->name)))
        st = refuse("`alg` is not %s, the algorithm of the key", (*key)->alg->name);
done:
    json_decref(header);
    return st;
}

static enum st verify(struct auth_jws *out, const struct auth_key *key,
                      const struct auth_keyset *keys, const char *token, size_t token_len)
{
    struct segment segments[SEGMENT_COUNT];
    unsigned char scratch[AUTH_TOKEN_MAX]; /* the header, then the signature */
    size_t len;
    enum st st;

    if ((st = split(segments, token, token_len)))
        return st;
    if (!auth_base64url_decode(scratch, sizeof scratch, &len, segments[HEADER].text,
                               segments[HEADER].len))
        return refuse("the header is not base64url without padding");
    if ((st = check_header(&key, scratch, len, keys, &segments[PAYLOAD])))
        return st;
    if (!auth_base64url_decode(scratch, sizeof scratch, &len, segments[SIGNATURE].text,
                               segments[SIGNATURE].len))
        return refuse("the signature is not base64url without padding");
    st = auth_crypto_verify(key, token, (size_t)(segments[SIGNATURE].text - 1 - token), scratch,
                            len);
    if (st)
        return st;
    if (!auth_base64url_decode(out->payload, sizeof out->payload - 1, &out->payload_len,
                               segments[PAYLOAD].text, segments[PAYLOAD].len))
        return refuse("the payload is not base64url without padding");
    out->payload[out->payload_len] = '\0';
    out->key = key;
    return ST_OK;
}

/* A failure leaves nothing to mistake for a verified payload. */
static void clear(struct auth_jws *out)
{
    out->key = NULL;
    out->payload_len = 0;
    out->payload[0] = '\0';
}

enum st auth_jws_verify(struct auth_jws *out, const struct auth_keyset *keys, const char *token,
                        size_t token_len)
{
    clear(out);
    enum st st = verify(out, NULL, keys, token, token_len);
    if (st)
        clear(out);
    return st;
}

enum st auth_jws_verify_with_key(struct auth_jws *out, const struct auth_key *key,
                                 const char *token, size_t token_len)
{
    clear(out);
    enum st st = verify(out, key, NULL, token, token_len);
    if (st)
        clear(out);
    return st;
}
