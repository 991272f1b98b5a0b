/* Signatures that were none in somebody's verifier. Those of the RFCs are in test_auth_vectors.c
 * and test_auth_jwk.c. */
#include "auth_jws_kit.h"

#include "auth/crypto.h"
#include "auth/jws_key.h"

#include <pthread.h>

static void a_kid_that_is_there_must_be_the_given_keys(void **state)
{
    struct buf token = {0};
    struct auth_jws jws;
    (void)state;
    good_token(&token, HS);
    assert_int_equal(auth_jws_verify_with_key(&jws, signers[HS].key, token.data, token.len), ST_OK);
    buf_release(&token);
    kit_forge_text(&token, &signers[HS], "{\"alg\":\"HS256\",\"kid\":\"rs\"}", payload);
    assert_int_equal(auth_jws_verify_with_key(&jws, signers[HS].key, token.data, token.len),
                     ST_UNKNOWN_CALLER);
    buf_release(&token);
}

/* The public key, which everybody knows, as an HMAC secret. */
static void a_public_key_is_no_shared_secret(void **state)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    struct buf token = {0};
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    (void)state;
    assert_int_equal(PEM_write_bio_PUBKEY(bio, signers[RS].signing), 1);
    long len = BIO_get_mem_data(bio, &pem);
    static const char *const headers[] = {"{\"alg\":\"HS256\",\"kid\":\"rs\"}",
                                          "{\"alg\":\"RS256\",\"kid\":\"rs\"}",
                                          "{\"alg\":\"HS256\",\"kid\":\"hs\"}"};
    for (size_t i = 0; i < 3; i++) {
        kit_forge_text(&token, &signers[HS], headers[i], payload);
        size_t signed_len = (size_t)(strrchr(token.data, '.') - token.data);
        for (long cut = 0; cut < 2; cut++) { /* with and without the last newline */
            assert_non_null(HMAC(EVP_sha256(), pem, (int)(len - cut), (unsigned char *)token.data,
                                 signed_len, mac, &mac_len));
            kit_resign(&token, mac, mac_len);
            assert_refused(token.data, token.len);
        }
        buf_release(&token);
    }
    BIO_free(bio);
}

static void a_signature_of_another_key_is_refused(void **state)
{
    char header[128];
    (void)state;
    for (int claimed = 0; claimed < ALGORITHMS; claimed++)
        for (int signer = 0; signer < ALGORITHMS; signer++) {
            snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"}",
                     algorithm_names[claimed], kids[claimed]);
            check_header(signer, header, signer == claimed);
        }
}

/* 0, the order, more than it, and the largest number of its length: r or s may be none of these. */
static void check_psychic(const struct kit_signer *signer)
{
    unsigned char halves[4][AUTH_ORDER_MAX] = {{0}}, sound[1024], raw[2 * AUTH_ORDER_MAX];
    size_t half = signer->key->order_len, signed_len;
    struct auth_jws jws;
    struct buf token = {0};
    char header[64];

    assert_int_equal(2 * half, signer->key->alg->signature_bytes);
    memcpy(halves[1], signer->key->order, half);
    memcpy(halves[2], signer->key->order, half);
    halves[2][half - 1]++;
    memset(halves[3], 0xff, half);
    snprintf(header, sizeof header, "{\"alg\":\"%s\"}", signer->key->alg->name);
    kit_forge_text(&token, signer, header, payload);
    signed_len = (size_t)(strrchr(token.data, '.') - token.data);
    assert_int_equal(kit_signature(sound, signer, token.data, signed_len, false), 2 * half);
    for (int r = -1; r < 4; r++) /* -1: the sound one */
        for (int s = -1; s < 4; s++) {
            memcpy(raw, r < 0 ? sound : halves[r], half);
            memcpy(raw + half, s < 0 ? sound + half : halves[s], half);
            kit_resign(&token, raw, 2 * half);
            enum st st = auth_jws_verify_with_key(&jws, signer->key, token.data, token.len);
            assert_int_equal(st, r < 0 && s < 0 ? ST_OK : ST_UNKNOWN_CALLER);
            assert_true(!st || strstr(st_message(), "out of range"));
        }
    buf_release(&token);
}

static void a_psychic_signature_is_refused(void **state)
{
    static const char *const names[] = {"ES256", "ES384", "ES512"};
    static const unsigned char order_of_p256[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                                    0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    char own[64], file[32];
    (void)state;
    assert_memory_equal(signers[ES].key->order, order_of_p256, 32);
    kit_directory(own);
    for (size_t i = 0; i < 3; i++) {
        struct kit_signer signer;
        assert_int_equal(auth_key_generate(own, names[i], names[i]), ST_OK);
        snprintf(file, sizeof file, "%s.%s.pem", names[i], names[i]);
        kit_signer_open(&signer, "dev", own, file);
        check_psychic(&signer);
        kit_signer_close(&signer);
    }
    assert_int_equal(fs_remove_tree(own), ST_OK);
}

static void an_ecdsa_signature_in_der_is_refused(void **state)
{
    unsigned char der[1024], raw[1024], padded[128] = {0};
    struct buf token = {0};
    (void)state;
    good_token(&token, ES);
    size_t signed_len = (size_t)(strrchr(token.data, '.') - token.data);
    size_t len = kit_signature(der, &signers[ES], token.data, signed_len, true);
    kit_resign(&token, der, len);
    assert_refused(token.data, token.len);
    assert_int_equal(kit_raw_ecdsa(raw, der, len, 32), 64);
    kit_resign(&token, raw, 64);
    assert_accepted(token.data, token.len);
    kit_resign(&token, raw, 63);
    assert_refused(token.data, token.len);
    raw[64] = 0;
    kit_resign(&token, raw, 65);
    assert_refused(token.data, token.len);
    memcpy(padded + 32, raw, 32);
    memcpy(padded + 96, raw + 32, 32);
    kit_resign(&token, padded, 128);
    assert_refused(token.data, token.len);
    buf_release(&token);
}

static void a_signature_of_the_wrong_length_is_refused(void **state)
{
    unsigned char signature[1024];
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct buf token = {0};
        good_token(&token, i);
        size_t signed_len = (size_t)(strrchr(token.data, '.') - token.data);
        size_t len = kit_signature(signature, &signers[i], token.data, signed_len, false);
        for (size_t cut = 0; cut < len; cut += cut < 3 ? 1 : 7) {
            kit_resign(&token, signature, cut);
            assert_refused(token.data, token.len);
        }
        memset(signature + len, 0, 4);
        kit_resign(&token, signature, len + 1);
        assert_refused(token.data, token.len);
        memmove(signature + 1, signature, len);
        signature[0] = 0;
        kit_resign(&token, signature, len + 1);
        assert_refused(token.data, token.len);
        buf_release(&token);
    }
}

/* S + L is the same number for whoever does not check its range (RFC 8032 section 5.1.7). */
static void an_eddsa_signature_is_not_malleable(void **state)
{
    static const unsigned char order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
                                            0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
                                            0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    unsigned char signature[1024];
    unsigned carry = 0;
    struct buf token = {0};
    (void)state;
    good_token(&token, ED);
    size_t signed_len = (size_t)(strrchr(token.data, '.') - token.data);
    assert_int_equal(kit_signature(signature, &signers[ED], token.data, signed_len, false), 64);
    for (int i = 0; i < 32; i++) {
        carry += (unsigned)signature[32 + i] + order[i];
        signature[32 + i] = (unsigned char)carry;
        carry >>= 8;
    }
    kit_resign(&token, signature, 64);
    assert_refused(token.data, token.len);
    memset(signature, 0, 64);
    kit_resign(&token, signature, 64);
    assert_refused(token.data, token.len);
    buf_release(&token);
}

/* The unused bits of a segment's last character, signed as they stand. */
static void stray_bits_are_refused_even_when_signed(void **state)
{
    unsigned char signature[1024];
    struct buf token = {0};
    (void)state;
    for (int segment = 0; segment < 2; segment++)
        for (int pad = 0; pad < 3; pad++) {
            char header[64], body[64];
            snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"hs\"}%.*s", pad, "  ");
            snprintf(body, sizeof body, "{\"a\":1}%.*s", pad, "  ");
            kit_forge_text(&token, &signers[HS], header, body);
            assert_accepted(token.data, token.len);
            char *dot = strchr(token.data, '.');
            size_t first = (size_t)(dot - token.data);
            size_t second = (size_t)(strrchr(token.data, '.') - dot) - 1;
            size_t len = segment == 0 ? first : second;
            char *last = token.data + (segment == 0 ? first - 1 : first + second);
            if (len % 4 != 0) {
                assert_true(*last != 'z' && *last != 'Z' && *last != '9' && *last != '_');
                ++*last;
                len = kit_signature(signature, &signers[HS], token.data, first + 1 + second, false);
                kit_resign(&token, signature, len);
                assert_refused(token.data, token.len);
                assert_non_null(strstr(st_message(), "base64url"));
            }
            buf_release(&token);
        }
}

static void no_character_of_a_token_can_be_changed(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct buf token = {0};
        good_token(&token, i);
        for (size_t at = 0; at < token.len; at++) {
            char c = token.data[at];
            const char *place = strchr(alphabet, c);
            const char *others = place ? "" : "A-_,";
            char next[6] = {0};
            if (place) { /* its lowest bit, its highest bit, and two that are no base64url */
                size_t n = (size_t)(place - alphabet);
                next[0] = alphabet[n ^ 1];
                next[1] = alphabet[n ^ 32];
                next[2] = '.';
                next[3] = '+';
                others = next;
            }
            for (const char *other = others; *other; other++) {
                token.data[at] = *other;
                assert_refused(token.data, token.len);
            }
            token.data[at] = '\0';
            assert_refused(token.data, token.len);
            token.data[at] = c;
            assert_refused(token.data, at); /* cut short */
        }
        assert_accepted(token.data, token.len);
        buf_release(&token);
    }
}

static void the_der_of_a_signature_is_what_openssl_writes(void **state)
{
    static const size_t sizes[] = {32, 48, 66};
    (void)state;
    for (size_t k = 0; k < 3; k++)
        for (unsigned round = 0; round < 300; round++) {
            unsigned char raw[2 * AUTH_ORDER_MAX], der[AUTH_ECDSA_DER_MAX], *expected = NULL;
            size_t half = sizes[k];
            for (size_t i = 0; i < 2 * half; i++)
                raw[i] = (unsigned char)(rand() >> 3);
            memset(raw, 0, round % 5);
            memset(raw + half, round & 1 ? 0xff : 0, round % 3);
            ECDSA_SIG *sig = ECDSA_SIG_new();
            assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn(raw, (int)half, NULL),
                                            BN_bin2bn(raw + half, (int)half, NULL)),
                             1);
            int len = i2d_ECDSA_SIG(sig, &expected);
            assert_int_equal(auth_ecdsa_der(der, raw, half), len);
            assert_memory_equal(der, expected, (size_t)len);
            OPENSSL_free(expected);
            ECDSA_SIG_free(sig);
        }
}

static void *verify_often(void *failures)
{
    for (int round = 0; round < 25; round++)
        for (int i = 0; i < ALGORITHMS; i++) {
            struct buf token = {0};
            struct auth_jws jws;
            good_token(&token, i);
            if (auth_jws_verify(&jws, keys, token.data, token.len) != ST_OK || jws.key == NULL)
                ++*(unsigned *)failures;
            token.data[token.len - 20] ^= 1;
            if (auth_jws_verify(&jws, keys, token.data, token.len) == ST_OK || jws.key != NULL)
                ++*(unsigned *)failures;
            buf_release(&token);
        }
    return NULL;
}

static void threads_share_a_set_of_keys(void **state)
{
    pthread_t threads[4];
    unsigned failures[4] = {0};
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &failures[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kid_that_is_there_must_be_the_given_keys),
        cmocka_unit_test(a_public_key_is_no_shared_secret),
        cmocka_unit_test(a_signature_of_another_key_is_refused),
        cmocka_unit_test(a_psychic_signature_is_refused),
        cmocka_unit_test(an_ecdsa_signature_in_der_is_refused),
        cmocka_unit_test(a_signature_of_the_wrong_length_is_refused),
        cmocka_unit_test(an_eddsa_signature_is_not_malleable),
        cmocka_unit_test(stray_bits_are_refused_even_when_signed),
        cmocka_unit_test(no_character_of_a_token_can_be_changed),
        cmocka_unit_test(the_der_of_a_signature_is_what_openssl_writes),
        cmocka_unit_test(threads_share_a_set_of_keys),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
