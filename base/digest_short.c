/* Sums of short texts: SHA-256, chains, HMAC and HKDF, block by block. */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init and its like: see struct digest_hmac */
#include "base/digest_internal.h"

#include "base/word.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A block is written sixteen bytes at a time, because it is read so: what was written in smaller
 * pieces has to reach the cache before it can be read as a larger one. */
typedef uint64_t pair __attribute__((vector_size(16)));
typedef uint32_t quad __attribute__((vector_size(16)));
#define PAIRS (SHA256_CBLOCK / sizeof(pair))

/* The last bytes of a message, fewer than a block; the bit behind them; and zeroes, but for `last`
 * at the end of the block (FIPS 180-4, section 5.1.1). */
static void pad_block(pair block[PAIRS], const char *bytes, size_t len, uint64_t last)
{
    size_t i = 0;

    for (; len >= sizeof *block; bytes += sizeof *block, len -= sizeof *block)
        memcpy(&block[i++], bytes, sizeof *block);
    bool two = len >= WORD_BYTES;
    size_t rest = len % WORD_BYTES;
    uint64_t end = word_load_part(bytes + len - rest, rest) | (uint64_t)0x80 << 8 * rest;
    uint64_t high = htole64(two ? end : 0);
    if (i == PAIRS - 1)
        high |= last;
    block[i] = (pair){htole64(two ? word_load(bytes) : end), high};
    while (++i < PAIRS)
        block[i] = (pair){0, i == PAIRS - 1 ? last : 0};
}

static quad big_endian(quad q)
{
#if BYTE_ORDER == LITTLE_ENDIAN
    q = (q << 16) | (q >> 16);
    q = ((q & 0x00ff00ff) << 8) | (q >> 8 & 0x00ff00ff);
#endif
    return q;
}

static void wipe_block(pair block[PAIRS])
{
    for (size_t i = 0; i < PAIRS; i++)
        block[i] = (pair){0, 0};
    __asm__ volatile("" : : "r"(block) : "memory"); /* explicit_bzero, without the call */
}

/* The rest of a message of which `before` bytes, whole blocks, are hashed already. */
static void finish_state(unsigned char out[DIGEST_BYTES], SHA256_CTX *state, size_t before,
                         const void *message, size_t len)
{
    const char *bytes = message;
    uint64_t bits = htobe64((uint64_t)(before + len) * 8);
    pair block[PAIRS];
    quad words;

    for (; len >= SHA256_CBLOCK; bytes += SHA256_CBLOCK, len -= SHA256_CBLOCK)
        SHA256_Transform(state, (const unsigned char *)bytes);
    bool fits = len + 1 + sizeof bits <= SHA256_CBLOCK;
    pad_block(block, bytes, len, fits ? bits : 0);
    SHA256_Transform(state, (const unsigned char *)block);
    wipe_block(block);
    if (!fits) {
        block[PAIRS - 1] = (pair){0, bits};
        SHA256_Transform(state, (const unsigned char *)block);
    }
    for (size_t i = 0; i < DIGEST_BYTES; i += sizeof words) {
        memcpy(&words, (const char *)state->h + i, sizeof words);
        words = big_endian(words);
        memcpy(out + i, &words, sizeof words);
    }
}

void digest_sha256(unsigned char out[DIGEST_BYTES], const void *bytes, size_t len)
{
    SHA256_CTX state;

    SHA256_Init(&state); /* sets words, and cannot fail */
    finish_state(out, &state, 0, bytes, len);
}

void digest_chain(unsigned char hash[DIGEST_BYTES], const void *bytes, size_t len)
{
    size_t taken = len < SHA256_CBLOCK - DIGEST_BYTES ? len : SHA256_CBLOCK - DIGEST_BYTES;
    unsigned char first[SHA256_CBLOCK];
    SHA256_CTX state;

    memcpy(first, hash, DIGEST_BYTES);
    memcpy(first + DIGEST_BYTES, bytes, taken);
    SHA256_Init(&state);
    if (DIGEST_BYTES + taken < sizeof first) {
        finish_state(hash, &state, 0, first, DIGEST_BYTES + taken);
        return;
    }
    SHA256_Transform(&state, first);
    finish_state(hash, &state, sizeof first, (const unsigned char *)bytes + taken, len - taken);
}

/* RFC 2104, block by block: the functions of OpenSSL 3 that do the same (EVP_MAC) take twice as
 * long, most of it for other than hashing; SHA256_Update and SHA256_Final take 500 instructions
 * more. */
static bool start_state(uint32_t out[DIGEST_BYTES / sizeof(uint32_t)],
                        const unsigned char key[SHA256_CBLOCK], unsigned char padding)
{
    unsigned char block[SHA256_CBLOCK];
    SHA256_CTX state;

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = key[i] ^ padding;
    bool good = SHA256_Init(&state) == 1;
    if (good) {
        SHA256_Transform(&state, block);
        memcpy(out, state.h, DIGEST_BYTES);
    }
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(&state, sizeof state);
    return good;
}

enum st digest_hmac_new(struct digest_hmac **out, const struct secret *key)
{
    unsigned char block[SHA256_CBLOCK] = {0};
    struct digest_hmac *h = calloc(1, sizeof *h);
    enum st st = h ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");

    if (!st && key->len > sizeof block)
        digest_sha256(block, key->bytes, key->len);
    else if (!st && key->len)
        memcpy(block, key->bytes, key->len);
    if (!st && !(start_state(h->inner, block, 0x36) && start_state(h->outer, block, 0x5c)))
        st = st_fail(ST_NOMEM, "CRYPTO", "HMAC failed in the cryptographic library");
    OPENSSL_cleanse(block, sizeof block);
    if (st) {
        digest_hmac_free(h);
        h = NULL;
    }
    *out = h;
    return st;
}

void digest_hmac_free(struct digest_hmac *h)
{
    if (!h)
        return;
    OPENSSL_cleanse(h, sizeof *h);
    free(h);
}

void digest_hmac_sum(unsigned char out[DIGEST_BYTES], const struct digest_hmac *h,
                     const void *bytes, size_t len)
{
    SHA256_CTX state;

    memcpy(state.h, h->inner, sizeof h->inner);
    finish_state(out, &state, SHA256_CBLOCK, bytes, len);
    memcpy(state.h, h->outer, sizeof h->outer);
    finish_state(out, &state, SHA256_CBLOCK, out, DIGEST_BYTES);
}

static enum st hmac_once(unsigned char out[DIGEST_BYTES], const struct secret *key,
                         const void *bytes, size_t len)
{
    struct digest_hmac *hmac = NULL;
    enum st st = digest_hmac_new(&hmac, key);

    if (!st)
        digest_hmac_sum(out, hmac, bytes, len);
    digest_hmac_free(hmac);
    return st;
}

enum st digest_hkdf(struct secret *out, const struct secret *key, const char *info)
{
    unsigned char zero[DIGEST_BYTES] = {0}, extracted[DIGEST_BYTES], expanded[DIGEST_BYTES];
    char text[128];
    int len = snprintf(text, sizeof text, "%s\x01", info); /* the one block's number */
    enum st st = len > 0 && (size_t)len < sizeof text
                     ? ST_OK
                     : st_fail(ST_TOO_LARGE, NULL, "the name of a key's use is too long");

    if (!st)
        st = hmac_once(extracted, &(struct secret){zero, sizeof zero}, key->bytes, key->len);
    if (!st)
        st = hmac_once(expanded, &(struct secret){extracted, sizeof extracted}, text, (size_t)len);
    if (!st)
        st = secret_copy(out, expanded, sizeof expanded);
    secret_wipe(extracted, sizeof extracted);
    secret_wipe(expanded, sizeof expanded);
    return st;
}
