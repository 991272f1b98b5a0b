/* A key file becomes a key that verifies, or nothing.
 *
 * What a token may later rely on is settled here, once: the type of key, its size, its curve, and
 * that its numbers make sense (a public exponent of 1 would make every signature right). The
 * verification key keeps only the public half of a private file, so that a server's memory holds
 * nothing that signs, shared secrets excepted.
 */
#include "auth/key.h"

#include "auth/crypto.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdlib.h>
#include <string.h>

#define BAD_KEY "BAD_KEY"

size_t auth_secret_min(const struct auth_algorithm *alg)
{
    return alg->signature_bytes;
}

bool auth_kid_is_valid(const char *kid, size_t len)
{
    if (len == 0 || len > AUTH_KID_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = kid[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return true;
}

enum st auth_key_name_parse(struct auth_key_name *out, const char *file_name)
{
    const char *extension = strrchr(file_name, '.');
    const char *dot = strchr(file_name, '.');
    bool meant = false;

    memset(out, 0, sizeof *out);
    if (!extension || file_name[0] == '.')
        return ST_END;
    for (const struct auth_algorithm *row = auth_algorithm_table; row->name; row++)
        meant = meant || strcmp(row->extension, extension + 1) == 0;
    if (!meant)
        return ST_END;

    out->kid = file_name;
    out->kid_len = (size_t)(dot - file_name);
    if (dot < extension)
        out->alg = auth_algorithm_find(dot + 1, (size_t)(extension - dot - 1));
    if (!auth_kid_is_valid(out->kid, out->kid_len) || !out->alg ||
        strcmp(out->alg->extension, extension + 1) != 0)
        return st_hint(
            st_fail(ST_INVALID, BAD_KEY, "key file %s: its name is not KID.ALG.pem", file_name),
            "KID is 1 to %d of A-Z a-z 0-9 _ -; ALG one of " AUTH_ALGORITHMS "; a shared secret "
            "is KID.HS256.secret; move other files elsewhere",
            AUTH_KID_MAX);
    return ST_OK;
}

/* Without it OpenSSL would ask for the password of an encrypted file on the terminal. */
static int refuse_password(char *password, int size, int writing, void *ctx)
{
    (void)password, (void)size, (void)writing, (void)ctx;
    return -1;
}

/* How many keys a PEM text holds. "EC PARAMETERS" in front of an EC key is no key. */
static unsigned count_pem_keys(const char *text)
{
    unsigned count = 0;

    for (const char *at = text; (at = strstr(at, "-----BEGIN ")); at++) {
        const char *label_end = strstr(at + 11, "-----");
        if (label_end && label_end - at >= 15 && memcmp(label_end - 4, " KEY", 4) == 0)
            count++;
    }
    return count;
}

/* *key is the file's key; *is_private says whether it can sign. */
static enum st parse_pem(EVP_PKEY **key, bool *is_private, const char *text, size_t len)
{
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    enum st st = ST_OK;

    *is_private = true;
    ERR_clear_error();
    *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_password, NULL) : NULL;
    if (bio && !*key) {
        ERR_clear_error();
        *is_private = false;
        BIO_free(bio);
        bio = BIO_new_mem_buf(text, (int)len);
        *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, refuse_password, NULL) : NULL;
    }
    if (!*key)
        st = auth_crypto_fail(bio ? ST_INVALID : ST_NOMEM, BAD_KEY,
                              "it holds no unencrypted PEM key");
    BIO_free(bio);
    return st;
}

static enum st take_public_half(EVP_PKEY **out, const EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    const unsigned char *at = der;
    enum st st = ST_OK;

    *out = len > 0 ? d2i_PUBKEY(NULL, &at, len) : NULL;
    if (!*out)
        st = auth_crypto_fail(ST_INVALID, BAD_KEY, "it has no public half");
    OPENSSL_free(der);
    return st;
}

static enum st check_group(struct auth_key *key)
{
    char group[64] = "", encoding[64] = "";
    BIGNUM *order = NULL;
    enum st st = ST_OK;

    if (EVP_PKEY_get_group_name(key->public_key, group, sizeof group, NULL) != 1 ||
        strcmp(group, key->alg->group) != 0 ||
        EVP_PKEY_get_utf8_string_param(key->public_key, OSSL_PKEY_PARAM_EC_ENCODING, encoding,
                                       sizeof encoding, NULL) != 1 ||
        strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) != 0) {
        ERR_clear_error();
        return st_fail(ST_INVALID, BAD_KEY, "%s needs the named curve %s", key->alg->name,
                       key->alg->group);
    }
    key->order_len = key->alg->signature_bytes / 2;
    if (EVP_PKEY_get_bn_param(key->public_key, OSSL_PKEY_PARAM_EC_ORDER, &order) != 1 ||
        BN_bn2binpad(order, key->order, (int)key->order_len) != (int)key->order_len)
        st = auth_crypto_fail(ST_INVALID, BAD_KEY, "the order of its curve cannot be read");
    BN_free(order);
    return st;
}

enum st auth_key_check(struct auth_key *key)
{
    EVP_PKEY_CTX *ctx = NULL;
    enum st st = ST_OK;

    if (!EVP_PKEY_is_a(key->public_key, key->alg->key_type))
        return st_fail(ST_INVALID, BAD_KEY, "%s needs a key of type %s", key->alg->name,
                       key->alg->key_type);
    if (EVP_PKEY_get_bits(key->public_key) < key->alg->min_bits)
        return st_fail(ST_INVALID, BAD_KEY, "it has %d bits; %s needs at least %d",
                       EVP_PKEY_get_bits(key->public_key), key->alg->name, key->alg->min_bits);
    if (key->alg->group && (st = check_group(key)))
        return st;
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->public_key, NULL);
    if (!ctx)
        st = st_fail(ST_NOMEM, NULL, "out of memory for checking a key");
    else if (EVP_PKEY_public_check(ctx) != 1)
        st = auth_crypto_fail(ST_INVALID, BAD_KEY, "its numbers make no sound key");
    EVP_PKEY_CTX_free(ctx);
    return st;
}

static enum st read_pem(struct auth_key *key, EVP_PKEY **signing, const char *path)
{
    struct buf text = {0};
    EVP_PKEY *pkey = NULL;
    bool is_private = false;
    enum st st;

    /* Reserved at once, so that no copy of a private key stays behind in freed memory. */
    buf_init(&text, AUTH_KEY_FILE_MAX);
    if (!buf_reserve(&text, AUTH_KEY_FILE_MAX)) {
        st = buf_status(&text);
        goto done;
    }
    if ((st = fs_read(&text, path))) {
        if (st == ST_TOO_LARGE)
            st = st_fail(ST_INVALID, BAD_KEY, "it is longer than %d bytes", AUTH_KEY_FILE_MAX);
        goto done;
    }
    if (text.len == 0 || memchr(text.data, 0, text.len) || count_pem_keys(text.data) != 1) {
        st = st_fail(ST_INVALID, BAD_KEY, "it does not hold exactly one PEM key");
        goto done;
    }
    if ((st = parse_pem(&pkey, &is_private, text.data, text.len)) ||
        (st = take_public_half(&key->public_key, pkey)) || (st = auth_key_check(key)))
        goto done;
    if (signing && is_private) {
        *signing = pkey;
        pkey = NULL;
    }
done:
    buf_release_secret(&text);
    EVP_PKEY_free(pkey);
    return st;
}

static enum st read_secret(struct auth_key *key, const char *path)
{
    enum st st = secret_read_file(&key->secret, path);

    if (st == ST_TOO_LARGE)
        return st_fail(ST_INVALID, BAD_KEY, "it is too long for a secret");
    if (st)
        return st;
    if (key->secret.len < auth_secret_min(key->alg))
        return st_fail(ST_INVALID, BAD_KEY, "it has %zu bytes; %s needs at least %zu",
                       key->secret.len, key->alg->name, auth_secret_min(key->alg));
    key->digest = EVP_MD_fetch(NULL, key->alg->digest, NULL);
    if (!key->digest)
        return auth_crypto_fail(ST_IO, BAD_KEY, "%s is not available", key->alg->digest);
    return ST_OK;
}

enum st auth_key_read(struct auth_key **out, EVP_PKEY **signing, const char *tenant,
                      const char *directory, const char *file_name)
{
    char path[FS_PATH_MAX];
    struct auth_key_name name;
    struct auth_key *key = NULL;
    enum st st;

    *out = NULL;
    if (signing)
        *signing = NULL;
    if ((st = auth_key_name_parse(&name, file_name)))
        return st;
    if ((st = fs_path(path, "%s/%s", directory, file_name)))
        return st;
    if (tenant[0] == '\0' || strlen(tenant) >= sizeof key->tenant)
        return st_fail(ST_INVALID, NULL, "a tenant's name has 1 to %zu characters",
                       sizeof key->tenant - 1);
    key = calloc(1, sizeof *key);
    if (!key)
        return st_fail(ST_NOMEM, NULL, "out of memory for a key");
    atomic_init(&key->uses, 1);
    memcpy(key->kid, name.kid, name.kid_len);
    memcpy(key->tenant, tenant, strlen(tenant));
    key->alg = name.alg;

    st = name.alg->key_type ? read_pem(key, signing, path) : read_secret(key, path);
    if (st) {
        auth_key_free(key);
        st = st_wrap(st, "key file %s", file_name);
        if (st == ST_INVALID)
            return st_hint(st, "replace it, or move it out of the directory of keys");
        return st;
    }
    *out = key;
    return ST_OK;
}

void auth_key_free(struct auth_key *key)
{
    if (!key || atomic_fetch_sub(&key->uses, 1) != 1)
        return;
    EVP_PKEY_free(key->public_key);
    EVP_MD_free(key->digest);
    secret_release(&key->secret);
    free(key);
}

enum st auth_key_write_pem(struct secret *out, const EVP_PKEY *signing)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    long len;
    enum st st;

    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, signing, NULL, NULL, 0, NULL, NULL) != 1 ||
        (len = BIO_get_mem_data(bio, &text)) <= 0)
        st = auth_crypto_fail(bio ? ST_IO : ST_NOMEM, NULL, "the key cannot be written as PEM");
    else
        st = secret_copy(out, text, (size_t)len);
    BIO_free(bio);
    return st;
}
