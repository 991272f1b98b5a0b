#include "base/cipher.h"

#include "base/digest.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 32
#define NONCE_BYTES 12

struct cipher {
    EVP_CIPHER *gcm;
    unsigned char key[KEY_BYTES];
};

static enum st crypto_failed(const char *what)
{
    return st_fail(ST_NOMEM, "CRYPTO", "%s failed in the cryptographic library", what);
}

enum st cipher_new(struct cipher **out)
{
    struct cipher *c = calloc(1, sizeof *c);
    enum st st =
        c ? digest_random(c->key, sizeof c->key) : st_fail(ST_NOMEM, NULL, "out of memory");

    if (!st && !(c->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL)))
        st = crypto_failed("fetching AES-256-GCM");
    if (st) {
        cipher_free(c);
        c = NULL;
    }
    *out = c;
    return st;
}

void cipher_free(struct cipher *c)
{
    if (!c)
        return;
    EVP_CIPHER_free(c->gcm);
    secret_wipe(c->key, sizeof c->key);
    free(c);
}

/* A context of its own for every call: it costs a microsecond, and needs no lock. */
static EVP_CIPHER_CTX *start(const struct cipher *c, uint64_t number, int encrypt)
{
    unsigned char nonce[NONCE_BYTES] = {0};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    memcpy(nonce, &number, sizeof number);
    if (ctx && EVP_CipherInit_ex2(ctx, c->gcm, c->key, nonce, encrypt, NULL) == 1)
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

enum st cipher_seal(const struct cipher *c, void *bytes, size_t len, uint64_t number)
{
    unsigned char *data = bytes;
    int n = 0, rest = 0;
    EVP_CIPHER_CTX *ctx = len <= INT_MAX ? start(c, number, 1) : NULL;
    bool good = ctx && EVP_CipherUpdate(ctx, data, &n, data, (int)len) == 1 &&
                EVP_CipherFinal_ex(ctx, data + n, &rest) == 1 && (size_t)n == len &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CIPHER_TAG_BYTES, data + len) == 1;

    EVP_CIPHER_CTX_free(ctx);
    return good ? ST_OK : crypto_failed("encrypting");
}

enum st cipher_open(const struct cipher *c, void *bytes, size_t len, uint64_t number)
{
    unsigned char *data = bytes;
    int n = 0, rest = 0;
    EVP_CIPHER_CTX *ctx = len <= INT_MAX ? start(c, number, 0) : NULL;
    bool good = ctx && EVP_CipherUpdate(ctx, data, &n, data, (int)len) == 1 && (size_t)n == len &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, CIPHER_TAG_BYTES, data + len) == 1;
    bool same = good && EVP_CipherFinal_ex(ctx, data + n, &rest) == 1;

    EVP_CIPHER_CTX_free(ctx);
    if (!good)
        return crypto_failed("decrypting");
    return same ? ST_OK
                : st_fail(ST_CORRUPT, "CIPHER_TAG", "encrypted bytes are not what was written");
}
