/* JWK Sets: the signatures of RFC 7520 sections 4.1 to 4.4 by the keys of its section 3, and what
 * does not become a key. */
#include "auth_kit.h"

#include "auth/jwk.h"
#include "auth/jws_key.h"

#define PAYLOAD                                                                                    \
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250" \
    "byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hl" \
    "cmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
#define BILBO "bilbo.baggins@hobbiton.example"
#define RSA_N                                                                                      \
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmS" \
    "CpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-Of" \
    "VfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKw" \
    "uCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
#define RSA_JWK(more)                                                                              \
    "{\"kty\":\"RSA\",\"kid\":\"" BILBO "\"," more "\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"
#define EC_JWK                                                                                     \
    "{\"kty\":\"EC\",\"kid\":\"" BILBO "\",\"use\":\"sig\",\"crv\":\"P-521\","                     \
    "\"x\":\"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5c" \
    "j0Kt\",\"y\":\"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cw" \
    "lGfP-HqHZR1\"}"

static bool up_ref_fails;

int __real_EVP_PKEY_up_ref(EVP_PKEY *key);
int __wrap_EVP_PKEY_up_ref(EVP_PKEY *key);

int __wrap_EVP_PKEY_up_ref(EVP_PKEY *key)
{
    return up_ref_fails ? 0 : __real_EVP_PKEY_up_ref(key);
}

static enum st parse(struct auth_jwk_set *set, const char *jwks)
{
    char text[8192];

    snprintf(text, sizeof text, "{\"keys\":[%s]}", jwks);
    return auth_jwk_set_parse(set, text, strlen(text));
}

static void the_signatures_of_rfc_7520_verify(void **state)
{
    static const struct {
        const char *jwk, *alg, *header, *signature;
    } VECTORS[] = {
        {RSA_JWK("\"use\":\"sig\","), "RS256",
         "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
         "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83"
         "xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJ"
         "Dt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12"
         "podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"},
        {RSA_JWK("\"alg\":\"PS384\","), "PS384",
         "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
         "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6"
         "O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqi"
         "VJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_"
         "jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"},
        {EC_JWK, "ES512",
         "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
         "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJ"
         "AQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ"
         "2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof VECTORS / sizeof VECTORS[0]; i++) {
        struct auth_jwk_set set;
        struct auth_jws jws;
        char token[2048];

        assert_int_equal(parse(&set, VECTORS[i].jwk), ST_OK);
        assert_int_equal(set.count, 1);
        assert_string_equal(auth_key_algorithm(set.keys[0]), VECTORS[i].alg);
        int n = snprintf(token, sizeof token, "%s.%s.%s", VECTORS[i].header, PAYLOAD,
                         VECTORS[i].signature);
        assert_int_equal(auth_jws_verify_with_key(&jws, set.keys[0], token, (size_t)n), ST_OK);
        assert_memory_equal(jws.payload, "It\xe2\x80\x99s a dangerous business", 27);
        token[100] ^= 1;
        assert_int_equal(auth_jws_verify_with_key(&jws, set.keys[0], token, (size_t)n),
                         ST_UNKNOWN_CALLER);
        auth_jwk_set_release(&set);
    }
}

/* Section 4.4: a secret is no part of a JWK Set, but a file. */
static void the_mac_of_rfc_7520_verifies(void **state)
{
    static const char TOKEN[] =
        "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9." PAYLOAD
        ".s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0";
    static const char SECRET[] = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg";
    static const char FILE_NAME[] = "018c0ae5-4d9b-471b-bfd6-eef314bc7037.HS256.secret";
    unsigned char bytes[64];
    char directory[64];
    struct auth_key *key = NULL;
    struct auth_jws jws;
    size_t len;

    (void)state;
    kit_directory(directory);
    assert_true(auth_base64url_decode(bytes, sizeof bytes, &len, SECRET, strlen(SECRET)));
    kit_write(directory, FILE_NAME, bytes, len);
    assert_int_equal(auth_key_read(&key, NULL, "dev", directory, FILE_NAME), ST_OK);
    assert_int_equal(auth_jws_verify_with_key(&jws, key, TOKEN, strlen(TOKEN)), ST_OK);
    auth_key_free(key);
    assert_int_equal(fs_remove_tree(directory), ST_OK);
}

static void what_is_no_key_for_tokens_is_ignored(void **state)
{
    static const char *const OTHERS[] = {
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
        RSA_JWK("\"use\":\"enc\","),
        RSA_JWK("\"key_ops\":[\"encrypt\"],"),
        RSA_JWK("\"key_ops\":\"verify\","),
        RSA_JWK("\"alg\":\"RSA-OAEP\","),
        RSA_JWK("\"alg\":\"ES256\","),
        RSA_JWK("\"alg\":\"HS256\","),
        RSA_JWK("\"alg\":\"none\","),
        RSA_JWK("\"alg\":5,"),
        RSA_JWK("\"d\":\"AQAB\","),
        "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"kid\":\"\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"kid\":7,\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"kid\":\"a\\u0000b\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"kid\":\"short\",\"n\":\"n4EPtAOCc9AlkeQHPzHStg\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"kid\":\"one\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}",
        "{\"kty\":\"RSA\",\"kid\":\"padded\",\"n\":\"" RSA_N "=\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"kid\":\"without\",\"n\":\"" RSA_N "\"}",
        "{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
        /* not on the curve */
        "{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-256\","
        "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}",
        "{\"kty\":\"OKP\",\"kid\":\"k\",\"crv\":\"X25519\","
        "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}",
        "{\"kty\":\"OKP\",\"kid\":\"k\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}",
        "{\"kty\":\"rsa\",\"kid\":\"k\"}",
        "{}",
        "[]",
        "\"text\"",
        "null",
    };
    struct auth_jwk_set set;
    char both[4096];

    (void)state;
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        enum st st = parse(&set, OTHERS[i]);
        /* jansson refuses the document of a NUL as a whole */
        if (st != ST_INVALID)
            print_error("taken: %s\n", OTHERS[i]);
        assert_int_equal(st, ST_INVALID);
        assert_int_equal(set.count, 0);
        if (strstr(OTHERS[i], "\\u0000"))
            continue;
        snprintf(both, sizeof both, "%s,%s", OTHERS[i], EC_JWK);
        assert_int_equal(parse(&set, both), ST_OK);
        assert_int_equal(set.count, 1);
        assert_int_equal(set.ignored, 1);
        auth_jwk_set_release(&set);
    }
}

static void what_is_no_set_is_refused_whole(void **state)
{
    static const char *const TEXTS[] = {"",
                                        "{}",
                                        "[]",
                                        "{\"keys\":{}}",
                                        "{\"keys\":[]}",
                                        "{\"keys\":[" EC_JWK "," EC_JWK "]}",
                                        "{\"keys\":[" EC_JWK "]}x",
                                        "{\"keys\":[" EC_JWK "],\"keys\":[]}"};
    struct auth_jwk_set set;

    (void)state;
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        assert_int_equal(auth_jwk_set_parse(&set, TEXTS[i], strlen(TEXTS[i])), ST_INVALID);
        assert_int_equal(set.count, 0);
    }
}

static void a_key_of_a_set_is_each_tenants_own(void **state)
{
    struct auth_keyset *keys = NULL;
    struct auth_jwk_set ec, rsa;

    (void)state;
    assert_int_equal(parse(&ec, EC_JWK), ST_OK);
    assert_int_equal(parse(&rsa, RSA_JWK("")), ST_OK);
    assert_int_equal(auth_keyset_new(&keys), ST_OK);
    assert_int_equal(auth_keyset_add_fetched(keys, "dev", ec.keys[0]), ST_OK);
    assert_ptr_equal(auth_keyset_find(keys, BILBO, strlen(BILBO)),
                     auth_keyset_find_of(keys, "dev", BILBO, strlen(BILBO)));
    assert_int_equal(auth_keyset_add_fetched(keys, "acme", rsa.keys[0]), ST_OK);
    assert_int_equal(auth_keyset_add_fetched(keys, "acme", ec.keys[0]), ST_OK); /* it has one */
    auth_jwk_set_release(&ec);
    auth_jwk_set_release(&rsa);
    assert_null(auth_keyset_find(keys, BILBO, strlen(BILBO)));
    assert_true(auth_keyset_has(keys, BILBO, strlen(BILBO)));
    assert_string_equal(auth_key_algorithm(auth_keyset_find_of(keys, "dev", BILBO, strlen(BILBO))),
                        "ES512");
    assert_string_equal(auth_key_algorithm(auth_keyset_find_of(keys, "acme", BILBO, strlen(BILBO))),
                        "RS256");
    assert_null(auth_keyset_find_of(keys, "other", BILBO, strlen(BILBO)));
    auth_keyset_free(keys);
}

static void a_key_that_cannot_be_shared_is_none(void **state)
{
    struct auth_jwk_set set;
    struct auth_key *key;

    (void)state;
    assert_int_equal(parse(&set, EC_JWK), ST_OK);
    up_ref_fails = true;
    assert_int_equal(auth_jwk_for_tenant(&key, set.keys[0], "dev"), ST_NOMEM);
    up_ref_fails = false;
    assert_null(key);
    auth_jwk_set_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signatures_of_rfc_7520_verify),
        cmocka_unit_test(the_mac_of_rfc_7520_verifies),
        cmocka_unit_test(what_is_no_key_for_tokens_is_ignored),
        cmocka_unit_test(what_is_no_set_is_refused_whole),
        cmocka_unit_test(a_key_of_a_set_is_each_tenants_own),
        cmocka_unit_test(a_key_that_cannot_be_shared_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
