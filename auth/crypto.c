/* Signatures over pre-parsed keys. Everything fails closed: there is one path to ST_OK per scheme,
 * and it is an explicit comparison with the one result that means "verified". */
#include "auth/crypto.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum st auth_crypto_fail(enum st status, const char *code, const char *fmt, ...)
{
    char text[256];
    const char *reason = NULL;
    unsigned long error;
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    /* Only reasons, which are constants: the data of an error can quote input. */
    while ((error = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
            status = ST_NOMEM;
        reason = ERR_reason_error_string(error);
    }
    if (status == ST_NOMEM)
        return st_fail(ST_NOMEM, NULL, "%s: out of memory", text);
    if (!reason)
        return st_fail(status, code, "%s", text);
    return st_fail(status, code, "%s: %s", text, reason);
}

/* Did an allocation of OpenSSL fail on this thread? It does not always say so: a verification can
 * end as if the signature were wrong. */
static _Thread_local bool allocation_failed;

static void *watched_malloc(size_t size, const char *file, int line)
{
    void *p = size ? malloc(size) : NULL;

    (void)file, (void)line;
    allocation_failed |= size && !p;
    return p;
}

static void *watched_realloc(void *old, size_t size, const char *file, int line)
{
    void *p = NULL;

    (void)file, (void)line;
    if (size)
        p = realloc(old, size);
    else
        free(old);
    allocation_failed |= size && !p;
    return p;
}

static void watched_free(void *old, const char *file, int line)
{
    (void)file, (void)line;
    free(old);
}

/* Before main(): later OpenSSL has allocated, and takes no others. */
__attribute__((constructor)) static void watch_allocations(void)
{
    (void)CRYPTO_set_mem_functions(watched_malloc, watched_realloc, watched_free);
}

/* Whoever has a good token does not hear that it is bad because we have no memory. */
static enum st mismatch(void)
{
    return auth_crypto_fail(allocation_failed ? ST_NOMEM : ST_UNKNOWN_CALLER, NULL,
                            "the signature does not match");
}

static enum st verify_hmac(const struct auth_key *key, const void *message, size_t message_len,
                           const unsigned char *signature, size_t signature_len)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned expected_len = 0;
    enum st st;

    allocation_failed = false;
    if (key->secret.len < auth_secret_min(key->alg) || key->secret.len > INT_MAX ||
        !HMAC(key->digest, key->secret.bytes, (int)key->secret.len, message, message_len, expected,
              &expected_len))
        st = auth_crypto_fail(ST_IO, NULL, "the signature could not be computed");
    else if (expected_len == signature_len &&
             CRYPTO_memcmp(expected, signature, signature_len) == 0)
        st = ST_OK;
    else
        st = mismatch();
    OPENSSL_cleanse(expected, sizeof expected);
    return st;
}

/* 1 <= n < order, both big-endian of the same length. Nothing here is secret. */
static bool is_in_range(const unsigned char *n, const struct auth_key *key)
{
    unsigned char any = 0;

    for (size_t i = 0; i < key->order_len; i++)
        any |= n[i];
    return any != 0 && memcmp(n, key->order, key->order_len) < 0;
}

static unsigned char *put_der_integer(unsigned char *out, const unsigned char *n, size_t len)
{
    while (len > 1 && *n == 0) {
        n++;
        len--;
    }
    bool pad = *n & 0x80; /* a set top bit would read as negative */
    *out++ = 0x02;
    *out++ = (unsigned char)(len + pad);
    if (pad)
        *out++ = 0;
    memcpy(out, n, len);
    return out + len;
}

/*   30 [81] LENGTH   02 LENGTH [00] r...   02 LENGTH [00] s... */
size_t auth_ecdsa_der(unsigned char out[AUTH_ECDSA_DER_MAX], const unsigned char *raw, size_t half)
{
    unsigned char body[2 * (3 + AUTH_ORDER_MAX)];
    unsigned char *end = put_der_integer(put_der_integer(body, raw, half), raw + half, half);
    size_t len = (size_t)(end - body), head = 0;

    out[head++] = 0x30;
    if (len > 127)
        out[head++] = 0x81;
    out[head++] = (unsigned char)len;
    memcpy(out + head, body, len);
    return head + len;
}

/* RFC 7518 section 3.5: MGF1 with the same digest is OpenSSL's default. */
static bool set_padding(EVP_PKEY_CTX *ctx, const struct auth_algorithm *alg)
{
    return !alg->pss || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                         EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

enum st auth_crypto_verify(const struct auth_key *key, const void *message, size_t message_len,
                           const unsigned char *signature, size_t signature_len)
{
    unsigned char der[AUTH_ECDSA_DER_MAX];
    EVP_PKEY_CTX *pkey_ctx = NULL;
    EVP_MD_CTX *ctx = NULL;
    enum st st = ST_OK;

    /* For ECDSA this is twice the length of the order, as the key was loaded. */
    if (key->alg->signature_bytes > 0 && signature_len != key->alg->signature_bytes)
        return st_fail(ST_UNKNOWN_CALLER, NULL, "the signature is %zu bytes long, %s has %zu",
                       signature_len, key->alg->name, key->alg->signature_bytes);
    if (!key->alg->key_type)
        return verify_hmac(key, message, message_len, signature, signature_len);
    if (key->alg->group) {
        if (!is_in_range(signature, key) || !is_in_range(signature + key->order_len, key))
            return st_fail(ST_UNKNOWN_CALLER, NULL, "a half of the signature is out of range");
        signature_len = auth_ecdsa_der(der, signature, key->order_len);
        signature = der;
    }
    ERR_clear_error();
    allocation_failed = false;
    ctx = EVP_MD_CTX_new();
    if (!ctx)
        st = st_fail(ST_NOMEM, NULL, "out of memory for a signature");
    else if (EVP_DigestVerifyInit_ex(ctx, &pkey_ctx, key->alg->digest, NULL, NULL, key->public_key,
                                     NULL) != 1 ||
             !set_padding(pkey_ctx, key->alg))
        st = auth_crypto_fail(ST_IO, NULL, "the signature could not be checked");
    else if (EVP_DigestVerify(ctx, signature, signature_len, message, message_len) != 1)
        st = mismatch();
    EVP_MD_CTX_free(ctx);
    return st;
}

enum st auth_crypto_sign(unsigned char *out, size_t *len, const struct auth_algorithm *alg,
                         EVP_PKEY *signing, const void *message, size_t message_len)
{
    EVP_PKEY_CTX *pkey_ctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum st st = ST_OK;

    if (!ctx ||
        EVP_DigestSignInit_ex(ctx, &pkey_ctx, alg->digest, NULL, NULL, signing, NULL) != 1 ||
        !set_padding(pkey_ctx, alg) || EVP_DigestSign(ctx, out, len, message, message_len) != 1)
        st = auth_crypto_fail(ctx ? ST_IO : ST_NOMEM, "SIGNING_FAILED", "the token is not signed");
    EVP_MD_CTX_free(ctx);
    return st;
}
