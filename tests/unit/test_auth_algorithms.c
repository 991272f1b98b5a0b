/* Every algorithm of RFC 7518 and RFC 8037: minted, verified, and taken for no other. libjwt has
 * nine of the thirteen, not PS256 PS384 PS512 and EdDSA; what it makes of what is wrong with a
 * token is in test_auth_oracle.c. */
#include "auth_kit.h"

#include "auth/crypto.h"
#include "auth/jws_key.h"

#include <jwt.h>

#define ALGORITHMS 13

static char directory[64];
static struct auth_keyset *keys;
static struct buf tokens[ALGORITHMS];
static const struct auth_algorithm *const table = auth_algorithm_table;

static int setup(void **state)
{
    const struct auth_mint claims = {.tenant = "dev",
                                     .issuer = KIT_ISSUER,
                                     .audience = KIT_AUDIENCE,
                                     .scopes = AUTH_DATA_READ,
                                     .now_s = KIT_NOW,
                                     .ttl_s = 600};

    (void)state;
    kit_directory(directory);
    for (size_t i = 0; i < ALGORITHMS; i++) {
        assert_int_equal(auth_key_generate(directory, table[i].name, table[i].name), ST_OK);
        buf_init(&tokens[i], AUTH_TOKEN_MAX);
        assert_int_equal(auth_token_mint(&tokens[i], directory, table[i].name, &claims), ST_OK);
    }
    assert_null(table[ALGORITHMS].name);
    assert_int_equal(auth_keyset_new(&keys), ST_OK);
    assert_int_equal(auth_keyset_load(keys, "dev", directory, NULL), ST_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGORITHMS; i++)
        buf_release(&tokens[i]);
    auth_keyset_free(keys);
    return fs_remove_tree(directory);
}

static void every_algorithm_is_minted_and_verified(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGORITHMS; i++) {
        struct auth_identity id;
        assert_int_equal(
            auth_token_verify(&id, keys, tokens[i].data, tokens[i].len, KIT_NOW, kit_policy, NULL),
            ST_OK);
        assert_string_equal(id.kid, table[i].name);
        assert_string_equal(auth_key_algorithm(auth_keyset_find(keys, id.kid, strlen(id.kid))),
                            table[i].name);
    }
}

/* The right signature of algorithm `by` under a header that names algorithm and key `as`; and one
 * that names the key of `by`, but the algorithm `as`. */
static void a_signature_is_taken_for_no_other_algorithm(void **state)
{
    (void)state;
    for (size_t by = 0; by < ALGORITHMS; by++)
        for (size_t as = 0; as < ALGORITHMS; as++) {
            char header[2][128], file[64];
            struct kit_signer signer;

            if (by == as)
                continue;
            snprintf(file, sizeof file, "%s.%s.%s", table[by].name, table[by].name,
                     table[by].extension);
            kit_signer_open(&signer, "dev", directory, file);
            snprintf(header[0], sizeof header[0], "{\"alg\":\"%s\",\"kid\":\"%s\"}", table[as].name,
                     table[as].name);
            snprintf(header[1], sizeof header[1], "{\"alg\":\"%s\",\"kid\":\"%s\"}", table[as].name,
                     table[by].name);
            for (size_t i = 0; i < 2; i++) {
                struct auth_jws jws;
                struct buf token;
                kit_forge_text(&token, &signer, header[i], "{}");
                assert_int_equal(auth_jws_verify(&jws, keys, token.data, token.len),
                                 ST_UNKNOWN_CALLER);
                buf_release(&token);
            }
            kit_signer_close(&signer);
        }
}

/* The same RSA key under RS and PS: only the padding differs. */
static void a_padding_is_taken_for_no_other(void **state)
{
    char file[64];

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct kit_signer signer;
        struct auth_jws jws;
        struct buf token;

        snprintf(file, sizeof file, "%s.%s.pem", table[i].name, table[i].name);
        kit_signer_open(&signer, "dev", directory, file);
        signer.key->alg = &table[(i + 3) % 6]; /* signs as the other family would */
        char header[64];
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", table[i].name);
        kit_forge_text(&token, &signer, header, "{}");
        signer.key->alg = &table[i];
        assert_int_equal(auth_jws_verify_with_key(&jws, signer.key, token.data, token.len),
                         ST_UNKNOWN_CALLER);
        buf_release(&token);
        kit_forge_text(&token, &signer, header, "{}");
        assert_int_equal(auth_jws_verify_with_key(&jws, signer.key, token.data, token.len), ST_OK);
        buf_release(&token);
        kit_signer_close(&signer);
    }
}

static void a_secret_is_as_long_as_its_digest(void **state)
{
    char own[64], name[64], hex[129];

    (void)state;
    kit_directory(own);
    memset(hex, 'a', sizeof hex);
    for (size_t i = 10; i < ALGORITHMS; i++)
        for (size_t less = 0; less < 2; less++) {
            struct auth_key *key = NULL;
            snprintf(name, sizeof name, "k.%s.secret", table[i].name);
            kit_write(own, name, hex, 2 * (table[i].signature_bytes - less));
            assert_int_equal(auth_key_read(&key, NULL, "dev", own, name),
                             less ? ST_INVALID : ST_OK);
            auth_key_free(key);
        }
    assert_int_equal(fs_remove_tree(own), ST_OK);
}

/* libjwt reads what we mint. */
static void libjwt_agrees_where_it_has_the_algorithm(void **state)
{
    char own[64];

    (void)state;
    kit_directory(own);
    for (size_t i = 0; i < ALGORITHMS; i++) {
        bool has = !table[i].pss && strcmp(table[i].name, "EdDSA") != 0;
        struct kit_signer signer;
        char file[64], path[FS_PATH_MAX];
        jwt_t *jwt = NULL;
        struct buf pem;

        snprintf(file, sizeof file, "%s.%s.%s", table[i].name, table[i].name, table[i].extension);
        kit_signer_open(&signer, "dev", directory, file);
        buf_init(&pem, AUTH_KEY_FILE_MAX);
        if (table[i].key_type) {
            kit_write_public(own, "public", signer.key->public_key);
            assert_int_equal(fs_path(path, "%s/public", own), ST_OK);
            assert_int_equal(fs_read(&pem, path), ST_OK);
        } else {
            buf_add(&pem, signer.key->secret.bytes, signer.key->secret.len);
        }
        int err = jwt_decode(&jwt, tokens[i].data, (unsigned char *)pem.data, (int)pem.len);
        assert_int_equal(err == 0, has);
        if (err == 0)
            assert_string_equal(jwt_alg_str(jwt_get_alg(jwt)), table[i].name);
        jwt_free(jwt);
        buf_release(&pem);
        kit_signer_close(&signer);
    }
    assert_int_equal(fs_remove_tree(own), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_is_minted_and_verified),
        cmocka_unit_test(a_signature_is_taken_for_no_other_algorithm),
        cmocka_unit_test(a_padding_is_taken_for_no_other),
        cmocka_unit_test(a_secret_is_as_long_as_its_digest),
        cmocka_unit_test(libjwt_agrees_where_it_has_the_algorithm),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
