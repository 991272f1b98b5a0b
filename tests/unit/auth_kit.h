/* What the auth tests share: a directory of fresh keys, and a forge that signs any header over any
 * payload with any key, so that a test's token is wrong in exactly one place. */
#ifndef EVERLINE_TESTS_AUTH_KIT_H
#define EVERLINE_TESTS_AUTH_KIT_H

#include "auth/base64url.h"
#include "auth/key.h"
#include "auth/keyset.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIT_NOW 1800000000
#define KIT_ISSUER "https://issuer.test"
#define KIT_AUDIENCE "everline"
#define KIT_TEXT_MAX 16384

/* A key that signs. */
struct kit_signer {
    struct auth_key *key;
    EVP_PKEY *signing;
};

static inline void kit_directory(char out[64])
{
    snprintf(out, 64, "/tmp/everline-auth-XXXXXX");
    assert_non_null(mkdtemp(out));
}

static inline void kit_write(const char *directory, const char *name, const void *bytes, size_t len)
{
    char path[FS_PATH_MAX];

    assert_int_equal(fs_path(path, "%s/%s", directory, name), ST_OK);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void kit_write_text(const char *directory, const char *name, const char *text)
{
    kit_write(directory, name, text, strlen(text));
}

static inline void kit_write_public(const char *directory, const char *name, EVP_PKEY *key)
{
    char path[FS_PATH_MAX];

    assert_int_equal(fs_path(path, "%s/%s", directory, name), ST_OK);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(PEM_write_PUBKEY(f, key), 1);
    assert_int_equal(fclose(f), 0);
}

static inline void kit_write_private(const char *directory, const char *name, EVP_PKEY *key,
                                     const EVP_CIPHER *cipher, const char *password)
{
    char path[FS_PATH_MAX];

    assert_int_equal(fs_path(path, "%s/%s", directory, name), ST_OK);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, cipher, password,
                                               password ? (int)strlen(password) : 0, NULL, NULL),
                     1);
    assert_int_equal(fclose(f), 0);
}

static inline void kit_signer_open(struct kit_signer *out, const char *tenant,
                                   const char *directory, const char *file_name)
{
    assert_int_equal(auth_key_read(&out->key, &out->signing, tenant, directory, file_name), ST_OK);
    assert_true(out->signing || out->key->secret.len > 0);
}

static inline void kit_signer_close(struct kit_signer *s)
{
    auth_key_free(s->key);
    EVP_PKEY_free(s->signing);
    memset(s, 0, sizeof *s);
}

/* The DER of an ECDSA signature as r || s. */
static inline size_t kit_raw_ecdsa(unsigned char *out, const unsigned char *der, size_t len,
                                   int half)
{
    const unsigned char *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);

    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, half), half);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, half), half);
    ECDSA_SIG_free(sig);
    return 2 * (size_t)half;
}

/* The signature as the key's algorithm makes it; ECDSA stays DER when `der` is set. */
static inline size_t kit_signature(unsigned char out[1024], const struct kit_signer *s,
                                   const void *message, size_t message_len, bool der)
{
    unsigned char raw[1024];
    size_t len = sizeof raw;

    if (!s->signing) {
        unsigned mac_len = 0;
        assert_non_null(HMAC(s->key->digest, s->key->secret.bytes, (int)s->key->secret.len, message,
                             message_len, out, &mac_len));
        return mac_len;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_non_null(ctx);
    EVP_PKEY_CTX *pkey_ctx = NULL;
    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, &pkey_ctx, s->key->alg->digest, NULL, NULL, s->signing, NULL),
        1);
    if (s->key->alg->pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(ctx, raw, &len, message, message_len), 1);
    EVP_MD_CTX_free(ctx);
    if (s->key->alg->group && !der)
        return kit_raw_ecdsa(out, raw, len, (int)s->key->alg->signature_bytes / 2);
    memcpy(out, raw, len);
    return len;
}

/* header.payload, then the signature over exactly that text. */
static inline void kit_forge(struct buf *token, const struct kit_signer *s, const char *header,
                             size_t header_len, const char *payload, size_t payload_len)
{
    unsigned char signature[1024];

    buf_init(token, KIT_TEXT_MAX);
    auth_base64url_encode(token, header, header_len);
    buf_addch(token, '.');
    auth_base64url_encode(token, payload, payload_len);
    assert_int_equal(buf_status(token), ST_OK);
    size_t len = kit_signature(signature, s, token->data, token->len, false);
    buf_addch(token, '.');
    auth_base64url_encode(token, signature, len);
    assert_int_equal(buf_status(token), ST_OK);
}

static inline void kit_forge_text(struct buf *token, const struct kit_signer *s, const char *header,
                                  const char *payload)
{
    kit_forge(token, s, header, strlen(header), payload, strlen(payload));
}

/* Replaces the signature of a token. */
static inline void kit_resign(struct buf *token, const void *signature, size_t len)
{
    const char *dot = memrchr(token->data, '.', token->len);

    assert_non_null(dot);
    token->len = (size_t)(dot + 1 - token->data);
    auth_base64url_encode(token, signature, len);
    assert_int_equal(buf_status(token), ST_OK);
}

/* Tenants of the tests: dev and acme are enabled, closed is not. */
static inline bool kit_policy(struct auth_policy *out, const char *tenant, void *ctx)
{
    (void)ctx;
    out->issuer = KIT_ISSUER;
    out->audience = KIT_AUDIENCE;
    out->enabled = strcmp(tenant, "closed") != 0;
    return strcmp(tenant, "dev") == 0 || strcmp(tenant, "acme") == 0 ||
           strcmp(tenant, "closed") == 0;
}

#endif
