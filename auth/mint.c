/* Minting. libjwt signs what it knows; EdDSA and PS, which it does not, are signed with OpenSSL.
 * libjwt can report success without having signed, or having lost a claim (an empty key, a failed
 * allocation), and a token without `datasets` may do more than it should: so every token is
 * verified and its claims compared before it is handed out. The only file that includes jwt.h. */
#include "auth/token.h"

#include "auth/base64url.h"
#include "auth/crypto.h"
#include "auth/jws_key.h"
#include "auth/key.h"
#include "base/json.h"

#include <jwt.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_ID_BYTES 16
#define SIGNATURE_ROOM 2048
#define SCOPES_ROOM 512

struct signer {
    struct auth_key *key;
    EVP_PKEY *signing; /* NULL: a shared secret */
};

static void signer_release(struct signer *s)
{
    auth_key_free(s->key);
    EVP_PKEY_free(s->signing);
    memset(s, 0, sizeof *s);
}

static size_t kid_len(const char *file_name)
{
    return strcspn(file_name, ".");
}

/* File names by their kid. Not simply by name: '-' sorts before '.', so "a-b.pem" before "a.pem".
 */
static int compare_kids(const void *a, const void *b)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    size_t left_len = kid_len(left), right_len = kid_len(right);
    int order = memcmp(left, right, left_len < right_len ? left_len : right_len);

    if (order != 0)
        return order;
    return left_len < right_len ? -1 : left_len > right_len;
}

/* ST_END: this file cannot sign. */
static enum st read_signer(struct signer *out, const char *directory, const char *file_name,
                           const char *tenant)
{
    enum st st = auth_key_read(&out->key, &out->signing, tenant, directory, file_name);

    if (!st && out->key->alg->key_type && !out->signing) {
        signer_release(out);
        return ST_END;
    }
    return st;
}

static enum st find_signer(struct signer *out, const char *directory, const char *kid,
                           const char *tenant)
{
    struct fs_list files = {0};
    enum st st = fs_list_dir(&files, directory);

    if (st && st != ST_NOT_FOUND)
        goto done;
    st = ST_END;
    if (files.count > 0)
        qsort(files.names, files.count, sizeof *files.names, compare_kids);
    for (size_t i = files.count; i > 0 && st == ST_END; i--) {
        const char *name = files.names[i - 1];
        if (kid && (strlen(kid) != kid_len(name) || memcmp(kid, name, strlen(kid)) != 0))
            continue;
        st = read_signer(out, directory, name, tenant);
    }
    if (st == ST_END)
        st = st_hint(st_fail(ST_NOT_FOUND, "NO_SIGNING_KEY",
                             kid ? "no key of tenant %s with that id can sign"
                                 : "no key of tenant %s can sign",
                             tenant),
                     "`everline tenant put` makes keys; a public key can only verify");
done:
    fs_list_free(&files);
    return st;
}

static json_t *dataset_array(const char *const *datasets)
{
    json_t *array = json_array();

    for (size_t i = 0; array && datasets[i]; i++)
        if (json_array_append_new(array, json_string(datasets[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* The claims as compact JSON, to free(). */
static enum st write_claims(char **out, const struct auth_mint *claims)
{
    unsigned char random[TOKEN_ID_BYTES];
    char token_id[2 * TOKEN_ID_BYTES + 1];
    struct buf scope = {0};
    json_t *object = json_object();
    enum st st;

    *out = NULL;
    buf_init(&scope, SCOPES_ROOM);
    auth_scopes_write(&scope, claims->scopes);
    if ((st = buf_status(&scope)) || (st = digest_random(random, sizeof random)))
        goto done;
    digest_hex(token_id, random, sizeof random);

    if (json_object_set_new(object, "iss", json_string(claims->issuer)) ||
        json_object_set_new(object, "aud", json_string(claims->audience)) ||
        json_object_set_new(object, "tenant", json_string(claims->tenant)) ||
        (claims->subject && json_object_set_new(object, "sub", json_string(claims->subject))) ||
        json_object_set_new(object, "scope", json_string(scope.data ? scope.data : "")) ||
        (claims->datasets &&
         json_object_set_new(object, "datasets", dataset_array(claims->datasets))) ||
        json_object_set_new(object, "iat", json_integer(claims->now_s)) ||
        json_object_set_new(object, "exp", json_integer(claims->now_s + claims->ttl_s)) ||
        json_object_set_new(object, "jti", json_string(token_id)) ||
        !(*out = jx_text(object, false)))
        st = st_hint(st_fail(ST_INVALID, "BAD_CLAIMS", "the claims cannot be written as JSON"),
                     "subject, issuer, audience and datasets must be UTF-8");
done:
    json_decref(object);
    buf_release(&scope);
    return st;
}

static enum st sign_by_libjwt(struct buf *out, const struct signer *signer, const char *claims)
{
    struct secret pem = {0};
    const struct secret *key = &signer->key->secret;
    jwt_t *jwt = NULL;
    char *text = NULL;
    int err;
    enum st st = ST_OK;

    if (signer->signing) {
        if ((st = auth_key_write_pem(&pem, signer->signing)))
            goto done;
        key = &pem;
    }
    err = jwt_new(&jwt);
    if (!err)
        err = jwt_set_alg(jwt, jwt_str_alg(signer->key->alg->name), key->bytes, (int)key->len);
    if (!err)
        err = jwt_add_header(jwt, "kid", signer->key->kid);
    if (!err)
        err = jwt_add_grants_json(jwt, claims);
    if (!err && !(text = jwt_encode_str(jwt)))
        err = errno;
    if (err || !text)
        st = err == ENOMEM ? st_fail(ST_NOMEM, NULL, "out of memory for a token")
                           : st_fail(ST_IO, "SIGNING_FAILED", "libjwt could not make the token");
    else
        buf_addstr(out, text);
done:
    if (text)
        secret_wipe(text, strlen(text));
    free(text);
    jwt_free(jwt);
    secret_release(&pem);
    return st;
}

/* The kid is of [A-Za-z0-9_-] and the algorithm's name is ours: nothing in the header to escape. */
static enum st sign_directly(struct buf *out, const struct signer *signer, const char *claims)
{
    unsigned char signature[SIGNATURE_ROOM];
    size_t len = sizeof signature;
    struct buf header = {0};
    enum st st;

    buf_init(&header, AUTH_TOKEN_MAX);
    buf_addf(&header, "{\"typ\":\"JWT\",\"alg\":\"%s\",\"kid\":\"%s\"}", signer->key->alg->name,
             signer->key->kid);
    if ((st = buf_status(&header)))
        goto done;
    auth_base64url_encode(out, header.data, header.len);
    buf_addch(out, '.');
    auth_base64url_encode(out, claims, strlen(claims));
    if ((st = buf_status(out)) || (st = auth_crypto_sign(signature, &len, signer->key->alg,
                                                         signer->signing, out->data, out->len)))
        goto done;
    buf_addch(out, '.');
    auth_base64url_encode(out, signature, len);
done:
    buf_release(&header);
    return st;
}

static enum st check_request(const struct auth_mint *claims)
{
    size_t tenant = strlen(claims->tenant);

    if (tenant == 0 || tenant >= AUTH_TENANT_MAX)
        return st_fail(ST_INVALID, "BAD_CLAIMS", "a tenant's name has 1 to %d characters",
                       AUTH_TENANT_MAX - 1);
    if (!claims->issuer || !claims->issuer[0] || !claims->audience || !claims->audience[0])
        return st_fail(ST_INVALID, "BAD_CLAIMS", "a token needs an issuer and an audience");
    if (claims->subject && strlen(claims->subject) >= AUTH_SUBJECT_MAX)
        return st_fail(ST_INVALID, "BAD_CLAIMS", "a subject has at most %d bytes",
                       AUTH_SUBJECT_MAX - 1);
    if (claims->now_s < 0 || claims->ttl_s <= 0 || claims->ttl_s > INT64_MAX - claims->now_s)
        return st_fail(ST_INVALID, "BAD_CLAIMS", "a token's lifetime must be at least a second");
    for (size_t i = 0; claims->datasets && claims->datasets[i]; i++)
        if (i >= AUTH_DATASETS_MAX || strlen(claims->datasets[i]) > 63)
            return st_fail(ST_INVALID, "BAD_CLAIMS",
                           "a token names at most %d datasets of at most 63 bytes",
                           AUTH_DATASETS_MAX);
    return ST_OK;
}

/* That the token is signed by its key and carries exactly `claims`. */
static enum st check_token(const struct buf *token, const struct auth_key *key, const char *claims)
{
    struct auth_jws jws;
    json_t *asked = NULL, *signed_claims = NULL;
    enum st st = auth_jws_verify_with_key(&jws, key, token->data, token->len);

    if (!st)
        st = jx_parse_object(&asked, claims, strlen(claims));
    if (!st)
        st = jx_parse_object(&signed_claims, (const char *)jws.payload, jws.payload_len);
    if (!st && !json_equal(asked, signed_claims))
        st = ST_UNKNOWN_CALLER;
    json_decref(asked);
    json_decref(signed_claims);
    if (st && st != ST_NOMEM)
        st = st_fail(ST_IO, "SIGNING_FAILED", "the signed token is not the one asked for");
    return st;
}

enum st auth_token_mint(struct buf *out, const char *directory, const char *kid,
                        const struct auth_mint *claims)
{
    struct signer signer = {0};
    struct buf token = {0};
    char *text = NULL;
    enum st st;

    buf_init(&token, AUTH_TOKEN_MAX);
    if ((st = check_request(claims)) ||
        (st = find_signer(&signer, directory, kid, claims->tenant)) ||
        (st = write_claims(&text, claims)))
        goto done;
    if (jwt_str_alg(signer.key->alg->name) == JWT_ALG_INVAL)
        st = sign_directly(&token, &signer, text);
    else
        st = sign_by_libjwt(&token, &signer, text);
    if (!st)
        st = buf_status(&token);
    if (st == ST_TOO_LARGE)
        st = st_hint(st, "a token has at most %d bytes: name fewer datasets", AUTH_TOKEN_MAX);
    if (st)
        goto done;
    if (!(st = check_token(&token, signer.key, text))) {
        buf_add(out, token.data, token.len);
        st = buf_status(out);
    }
done:
    free(text);
    buf_release_secret(&token);
    signer_release(&signer);
    return st;
}
