#include "auth_kit.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

struct fixture {
    char directory[64];
    struct auth_keyset *set;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    kit_directory(f->directory);
    assert_int_equal(auth_keyset_new(&f->set), ST_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    auth_keyset_free(f->set);
    assert_int_equal(fs_remove_tree(f->directory), ST_OK);
    free(f);
    return 0;
}

static enum st load(struct fixture *f)
{
    return auth_keyset_load(f->set, "dev", f->directory, NULL);
}

/* The directory's only file is refused, by name, and adds nothing. */
static void assert_refused(struct fixture *f, const char *file_name)
{
    char path[FS_PATH_MAX];

    assert_int_equal(load(f), ST_INVALID);
    assert_string_equal(st_code(), "BAD_KEY");
    assert_non_null(strstr(st_message(), file_name));
    assert_null(auth_keyset_find(f->set, "k", 1));
    assert_int_equal(fs_path(path, "%s/%s", f->directory, file_name), ST_OK);
    assert_int_equal(unlink(path), 0);
}

static void refuse_public(struct fixture *f, const char *file_name, EVP_PKEY *key)
{
    assert_non_null(key);
    kit_write_public(f->directory, file_name, key);
    assert_refused(f, file_name);
    EVP_PKEY_free(key);
}

static EVP_PKEY *curve(const char *name)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "EC", name);
}

static EVP_PKEY *rsa(size_t bits)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);
}

static void a_generated_key_of_every_algorithm_is_loaded(void **state)
{
    static const char *const algorithms[] = {"RS256", "ES256", "EdDSA", "HS256"};
    struct fixture *f = *state;
    size_t count = 99;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(auth_key_generate(f->directory, algorithms[i], algorithms[i]), ST_OK);
    assert_int_equal(auth_keyset_load(f->set, "dev", f->directory, &count), ST_OK);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct auth_key *key = auth_keyset_find(f->set, algorithms[i], 5);
        assert_non_null(key);
        assert_string_equal(auth_key_algorithm(key), algorithms[i]);
        assert_string_equal(auth_key_tenant(key), "dev");
    }
}

static void a_generated_key_is_for_its_owner_only_and_never_overwritten(void **state)
{
    struct fixture *f = *state;
    char path[FS_PATH_MAX];
    struct stat before, after;

    assert_int_equal(auth_key_generate(f->directory, "k", "ES256"), ST_OK);
    assert_int_equal(fs_path(path, "%s/k.ES256.pem", f->directory), ST_OK);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    assert_int_equal(auth_key_generate(f->directory, "k", "ES256"), ST_CONFLICT);
    assert_int_equal(auth_key_generate(f->directory, "k", "HS256"), ST_CONFLICT);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(auth_key_generate(f->directory, "s", "HS256"), ST_OK);
    assert_int_equal(fs_path(path, "%s/s.HS256.secret", f->directory), ST_OK);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_mode & 0777, 0600);
}

static void no_key_is_made_for_a_wrong_name_or_algorithm(void **state)
{
    static const char *const kids[] = {"", "a.b", "../k", "a b", "a/b", "k\n"};
    static const char *const algorithms[] = {"", "none", "es256", "RS1", "HS256 ", "PS256x"};
    struct fixture *f = *state;
    char longest[AUTH_KID_MAX + 2];

    for (size_t i = 0; i < sizeof kids / sizeof kids[0]; i++)
        assert_int_equal(auth_key_generate(f->directory, kids[i], "ES256"), ST_INVALID);
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        assert_int_equal(auth_key_generate(f->directory, "k", algorithms[i]), ST_INVALID);
    memset(longest, 'k', sizeof longest);
    longest[AUTH_KID_MAX + 1] = '\0';
    assert_int_equal(auth_key_generate(f->directory, longest, "HS256"), ST_INVALID);
    longest[AUTH_KID_MAX] = '\0';
    assert_int_equal(auth_key_generate(f->directory, longest, "HS256"), ST_OK);
    assert_int_equal(load(f), ST_OK);
    assert_non_null(auth_keyset_find(f->set, longest, AUTH_KID_MAX));
}

static void a_public_key_is_enough_to_verify(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *key = curve("P-256");

    kit_write_public(f->directory, "k.ES256.pem", key);
    EVP_PKEY_free(key);
    assert_int_equal(load(f), ST_OK);
    assert_non_null(auth_keyset_find(f->set, "k", 1));
}

static void a_loaded_private_key_keeps_no_private_half(void **state)
{
    static const char *const algorithms[] = {"RS256", "ES256", "EdDSA"};
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(auth_key_generate(f->directory, algorithms[i], algorithms[i]), ST_OK);
    assert_int_equal(load(f), ST_OK);
    for (size_t i = 0; i < 3; i++) {
        const struct auth_key *key = auth_keyset_find(f->set, algorithms[i], 5);
        assert_non_null(key);
        assert_true(i2d_PrivateKey(key->public_key, NULL) <= 0);
        assert_true(i2d_PUBKEY(key->public_key, NULL) > 0);
    }
}

static void an_elliptic_curve_that_does_not_fit_is_refused(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *explicit_group = curve("P-256");

    refuse_public(f, "k.ES256.pem", curve("P-384"));
    refuse_public(f, "k.ES256.pem", curve("P-521"));
    refuse_public(f, "k.ES256.pem", curve("P-224"));
    refuse_public(f, "k.ES256.pem", curve("secp256k1"));
    refuse_public(f, "k.ES256.pem", curve("brainpoolP256r1"));
    assert_int_equal(EVP_PKEY_set_utf8_string_param(explicit_group, OSSL_PKEY_PARAM_EC_ENCODING,
                                                    OSSL_PKEY_EC_ENCODING_EXPLICIT),
                     1);
    refuse_public(f, "k.ES256.pem", explicit_group);
}

static void a_key_of_another_type_is_refused(void **state)
{
    struct fixture *f = *state;

    refuse_public(f, "k.ES256.pem", rsa(2048));
    refuse_public(f, "k.ES256.pem", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    refuse_public(f, "k.RS256.pem", curve("P-256"));
    refuse_public(f, "k.RS256.pem", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    refuse_public(f, "k.EdDSA.pem", curve("P-256"));
    refuse_public(f, "k.EdDSA.pem", EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
    refuse_public(f, "k.EdDSA.pem", EVP_PKEY_Q_keygen(NULL, NULL, "ED448"));
}

static void a_pss_only_key_is_refused_for_rs256(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    EVP_PKEY *key = NULL;

    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    refuse_public(f, "k.RS256.pem", key);
}

static void an_rsa_key_below_2048_bits_is_refused(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *key = rsa(2048);

    refuse_public(f, "k.RS256.pem", rsa(1024));
    refuse_public(f, "k.RS256.pem", rsa(2047));
    kit_write_public(f->directory, "k.RS256.pem", key);
    EVP_PKEY_free(key);
    assert_int_equal(load(f), ST_OK);
}

/* With e = 1 the padded message is its own signature. */
static void an_rsa_exponent_that_signs_nothing_is_refused(void **state)
{
    static const BN_ULONG exponents[] = {1, 2, 65536};
    struct fixture *f = *state;
    EVP_PKEY *sound = rsa(2048);
    BIGNUM *n = NULL;

    assert_int_equal(EVP_PKEY_get_bn_param(sound, "n", &n), 1);
    for (size_t i = 0; i < 3; i++) {
        BIGNUM *e = BN_new();
        assert_int_equal(BN_set_word(e, exponents[i]), 1);
        OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, "n", n), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, "e", e), 1);
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        EVP_PKEY *key = NULL;
        assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
        assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
        refuse_public(f, "k.RS256.pem", key);
        EVP_PKEY_CTX_free(ctx);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(build);
        BN_free(e);
    }
    BN_free(n);
    EVP_PKEY_free(sound);
}

static void a_point_that_is_not_on_the_curve_is_refused(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *key = curve("P-256");
    unsigned char *der = NULL;
    char path[FS_PATH_MAX];
    int len = i2d_PUBKEY(key, &der);

    assert_true(len > 0);
    der[len - 1] ^= 1;
    assert_int_equal(fs_path(path, "%s/k.ES256.pem", f->directory), ST_OK);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(PEM_write(file, "PUBLIC KEY", "", der, len) > 0);
    assert_int_equal(fclose(file), 0);
    assert_refused(f, "k.ES256.pem");
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

static void a_short_secret_is_refused(void **state)
{
    static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    struct fixture *f = *state;

    kit_write_text(f->directory, "k.HS256.secret", "");
    assert_refused(f, "k.HS256.secret");
    kit_write_text(f->directory, "k.HS256.secret", "\n");
    assert_refused(f, "k.HS256.secret");
    kit_write(f->directory, "k.HS256.secret", hex, 62);
    assert_refused(f, "k.HS256.secret");
    kit_write_text(f->directory, "k.HS256.secret", "!this raw secret has 31 bytes..");
    assert_refused(f, "k.HS256.secret");
    kit_write_text(f->directory, "k.HS256.secret", "!this raw secret has 32 bytes...");
    kit_write_text(f->directory, "h.HS256.secret", hex);
    assert_int_equal(load(f), ST_OK);
    assert_int_equal(auth_keyset_find(f->set, "k", 1)->secret.len, 32);
    assert_int_equal(auth_keyset_find(f->set, "h", 1)->secret.len, 32);
}

static void a_file_that_is_no_single_clear_key_is_refused(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *key = curve("P-256");
    struct buf text = {0}, twice = {0};
    char path[FS_PATH_MAX];
    char *big = calloc(1, AUTH_KEY_FILE_MAX + 1);

    kit_write_text(f->directory, "k.ES256.pem", "");
    assert_refused(f, "k.ES256.pem");
    kit_write_text(f->directory, "k.ES256.pem", "not a key");
    assert_refused(f, "k.ES256.pem");
    kit_write_text(f->directory, "k.ES256.pem",
                   "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    assert_refused(f, "k.ES256.pem");
    kit_write_text(f->directory, "k.ES256.pem",
                   "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_refused(f, "k.ES256.pem");
    kit_write_private(f->directory, "k.ES256.pem", key, EVP_aes_256_cbc(), "password");
    assert_refused(f, "k.ES256.pem");

    kit_write_public(f->directory, "k.ES256.pem", key);
    buf_init(&text, KIT_TEXT_MAX);
    assert_int_equal(fs_path(path, "%s/k.ES256.pem", f->directory), ST_OK);
    assert_int_equal(fs_read(&text, path), ST_OK);
    kit_write(f->directory, "k.ES256.pem", text.data, text.len - 30);
    assert_refused(f, "k.ES256.pem");
    kit_write(f->directory, "k.ES256.pem", text.data, text.len + 1); /* a NUL at the end */
    assert_refused(f, "k.ES256.pem");
    buf_init(&twice, KIT_TEXT_MAX);
    buf_addf(&twice, "%s%s", text.data, text.data);
    kit_write(f->directory, "k.ES256.pem", twice.data, twice.len);
    assert_refused(f, "k.ES256.pem");

    assert_non_null(big);
    memset(big, 'A', AUTH_KEY_FILE_MAX + 1);
    kit_write(f->directory, "k.ES256.pem", big, AUTH_KEY_FILE_MAX + 1);
    assert_refused(f, "k.ES256.pem");
    kit_write(f->directory, "k.HS256.secret", big, AUTH_KEY_FILE_MAX + 1);
    assert_refused(f, "k.HS256.secret");
    free(big);
    buf_release(&twice);
    buf_release(&text);
    EVP_PKEY_free(key);
}

static void a_directory_with_a_key_files_name_is_an_error(void **state)
{
    struct fixture *f = *state;
    char path[FS_PATH_MAX];

    assert_int_equal(fs_path(path, "%s/k.ES256.pem", f->directory), ST_OK);
    assert_int_equal(fs_mkdir(path, 0700), ST_OK);
    assert_int_not_equal(load(f), ST_OK);
    assert_null(auth_keyset_find(f->set, "k", 1));
}

static void a_key_file_with_a_wrong_name_is_refused(void **state)
{
    static const char *const names[] = {
        "k.pem",           "k.es256.pem",      "k.none.pem",    "k.HS256.pem", "k.ES256.secret",
        "k.secret",        "k.x.ES256.pem",    "a b.ES256.pem", "k..pem",      "k.ES256.ES256.pem",
        "k~.HS256.secret", "k.HS256.x.secret", "k.ES999.pem",
    };
    struct fixture *f = *state;
    char longest[AUTH_KID_MAX + 32];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        kit_write_text(f->directory, names[i], "!this raw secret has 32 bytes...");
        assert_refused(f, names[i]);
    }
    memset(longest, 'k', AUTH_KID_MAX + 1);
    strcpy(longest + AUTH_KID_MAX + 1, ".HS256.secret");
    kit_write_text(f->directory, longest, "!this raw secret has 32 bytes...");
    assert_refused(f, longest);
}

static void other_files_are_left_alone(void **state)
{
    struct fixture *f = *state;
    size_t count = 99;

    kit_write_text(f->directory, "README.txt", "hello");
    kit_write_text(f->directory, "noextension", "hello");
    kit_write_text(f->directory, ".k.ES256.pem", "hello");
    kit_write_text(f->directory, ".pem", "hello");
    kit_write_text(f->directory, "k.ES256.pem.bak", "hello");
    assert_int_equal(auth_keyset_load(f->set, "dev", f->directory, &count), ST_OK);
    assert_int_equal(count, 0);
}

static void a_missing_directory_adds_none(void **state)
{
    struct fixture *f = *state;
    size_t count = 99;

    assert_int_equal(auth_keyset_load(f->set, "dev", "/nonexistent/keys", &count), ST_OK);
    assert_int_equal(count, 0);
    assert_null(auth_keyset_find(f->set, "k", 1));
    assert_null(auth_keyset_find(f->set, "", 0));
}

static void a_key_id_belongs_to_one_key(void **state)
{
    struct fixture *f = *state;
    char other[64];

    kit_directory(other);
    assert_int_equal(auth_key_generate(f->directory, "k", "HS256"), ST_OK);
    assert_int_equal(load(f), ST_OK);
    assert_int_equal(auth_key_generate(other, "a", "HS256"), ST_OK);
    assert_int_equal(auth_key_generate(other, "k", "HS256"), ST_OK);
    assert_int_equal(auth_keyset_load(f->set, "acme", other, NULL), ST_CONFLICT);
    assert_string_equal(auth_key_tenant(auth_keyset_find(f->set, "k", 1)), "dev");
    assert_null(auth_keyset_find(f->set, "a", 1));
    assert_int_equal(fs_remove_tree(other), ST_OK);
}

static void two_algorithms_under_one_key_id_conflict(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *key = curve("P-256");

    kit_write_public(f->directory, "k.ES256.pem", key);
    kit_write_text(f->directory, "k.HS256.secret", "!this raw secret has 32 bytes...");
    assert_int_equal(load(f), ST_CONFLICT);
    assert_null(auth_keyset_find(f->set, "k", 1));
    EVP_PKEY_free(key);
}

static void one_bad_file_keeps_the_whole_directory_out(void **state)
{
    struct fixture *f = *state;
    char other[64];

    kit_directory(other);
    assert_int_equal(auth_key_generate(f->directory, "old", "HS256"), ST_OK);
    assert_int_equal(load(f), ST_OK);
    assert_int_equal(auth_key_generate(other, "a", "HS256"), ST_OK);
    assert_int_equal(auth_key_generate(other, "z", "ES256"), ST_OK);
    kit_write_text(other, "k.ES256.pem", "not a key");
    assert_int_equal(auth_keyset_load(f->set, "acme", other, NULL), ST_INVALID);
    assert_null(auth_keyset_find(f->set, "a", 1));
    assert_null(auth_keyset_find(f->set, "z", 1));
    assert_non_null(auth_keyset_find(f->set, "old", 3));
    assert_int_equal(fs_remove_tree(other), ST_OK);
}

static void kept_keys_are_one_tenants_and_outlive_their_first_set(void **state)
{
    struct fixture *f = *state;
    struct auth_keyset *next;
    char acme[64];

    kit_directory(acme);
    assert_int_equal(auth_key_generate(f->directory, "mine", "HS256"), ST_OK);
    assert_int_equal(auth_key_generate(f->directory, "moved", "ES256"), ST_OK);
    assert_int_equal(load(f), ST_OK);
    assert_int_equal(auth_key_generate(acme, "theirs", "ES256"), ST_OK);
    assert_int_equal(auth_keyset_load(f->set, "acme", acme, NULL), ST_OK);

    assert_int_equal(auth_keyset_new(&next), ST_OK);
    assert_int_equal(auth_key_generate(acme, "moved", "ES256"), ST_OK);
    assert_int_equal(auth_keyset_load(next, "acme", acme, NULL), ST_OK);
    const struct auth_key *theirs = auth_keyset_find(next, "theirs", 6);
    assert_int_equal(auth_keyset_keep(next, "dev", f->set), ST_OK);
    auth_keyset_free(f->set);
    f->set = next;
    assert_string_equal(auth_key_tenant(auth_keyset_find(next, "mine", 4)), "dev");
    assert_string_equal(auth_key_tenant(auth_keyset_find(next, "moved", 5)), "acme");
    assert_ptr_equal(auth_keyset_find(next, "theirs", 6), theirs);
    assert_int_equal(auth_keyset_keep(next, "dev", next), ST_OK); /* all are taken */
    assert_int_equal(fs_remove_tree(acme), ST_OK);
}

static void a_key_is_found_by_its_exact_id_among_many(void **state)
{
    struct fixture *f = *state;
    char name[64];

    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "k%d%s.HS256.secret", i * 7 % 60, i % 3 ? "" : "-x");
        kit_write_text(f->directory, name, "!this raw secret has 32 bytes...");
    }
    assert_int_equal(load(f), ST_OK);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "k%d%s", i * 7 % 60, i % 3 ? "" : "-x");
        const struct auth_key *key = auth_keyset_find(f->set, name, strlen(name));
        assert_non_null(key);
        assert_string_equal(key->kid, name);
    }
    assert_null(auth_keyset_find(f->set, "k", 1));
    assert_null(auth_keyset_find(f->set, "k1\0", 3));
    assert_null(auth_keyset_find(f->set, "k100", 4));
    assert_null(auth_keyset_find(f->set, "K1", 2));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_generated_key_of_every_algorithm_is_loaded),
        TEST(a_generated_key_is_for_its_owner_only_and_never_overwritten),
        TEST(no_key_is_made_for_a_wrong_name_or_algorithm),
        TEST(a_public_key_is_enough_to_verify),
        TEST(a_loaded_private_key_keeps_no_private_half),
        TEST(an_elliptic_curve_that_does_not_fit_is_refused),
        TEST(a_key_of_another_type_is_refused),
        TEST(a_pss_only_key_is_refused_for_rs256),
        TEST(an_rsa_key_below_2048_bits_is_refused),
        TEST(an_rsa_exponent_that_signs_nothing_is_refused),
        TEST(a_point_that_is_not_on_the_curve_is_refused),
        TEST(a_short_secret_is_refused),
        TEST(a_file_that_is_no_single_clear_key_is_refused),
        TEST(a_directory_with_a_key_files_name_is_an_error),
        TEST(a_key_file_with_a_wrong_name_is_refused),
        TEST(other_files_are_left_alone),
        TEST(a_missing_directory_adds_none),
        TEST(a_key_id_belongs_to_one_key),
        TEST(two_algorithms_under_one_key_id_conflict),
        TEST(one_bad_file_keeps_the_whole_directory_out),
        TEST(kept_keys_are_one_tenants_and_outlive_their_first_set),
        TEST(a_key_is_found_by_its_exact_id_among_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
