/* Minting, and libjwt as the second opinion: both must accept what either of them signs, and a
 * token that was changed anywhere must be refused by ours. */
#include "auth_kit.h"

#include "base/json.h"

#include <jwt.h>

enum { RS, ES, ED, HS, ALGORITHMS };

static const char *const algorithm_names[ALGORITHMS] = {"RS256", "ES256", "EdDSA", "HS256"};
static const char *const key_files[ALGORITHMS] = {"rs.RS256.pem", "es.ES256.pem", "ed.EdDSA.pem",
                                                  "hs.HS256.secret"};
static const char *const kids[ALGORITHMS] = {"rs", "es", "ed", "hs"};

static char directory[64];
static struct auth_keyset *keys;

static const struct auth_mint sound = {
    .tenant = "dev",
    .issuer = KIT_ISSUER,
    .audience = KIT_AUDIENCE,
    .subject = "cli",
    .scopes = AUTH_DATA_READ | AUTH_INGEST_WRITE,
    .now_s = KIT_NOW,
    .ttl_s = 3600,
};

static int set_up(void **state)
{
    (void)state;
    kit_directory(directory);
    for (int i = 0; i < ALGORITHMS; i++)
        assert_int_equal(auth_key_generate(directory, kids[i], algorithm_names[i]), ST_OK);
    assert_int_equal(auth_keyset_new(&keys), ST_OK);
    assert_int_equal(auth_keyset_load(keys, "dev", directory, NULL), ST_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    auth_keyset_free(keys);
    return fs_remove_tree(directory) == ST_OK ? 0 : -1;
}

static enum st verify(struct auth_identity *id, const char *token, size_t len)
{
    return auth_token_verify(id, keys, token, len, KIT_NOW, kit_policy, NULL);
}

static void mint(struct buf *token, const char *kid, const struct auth_mint *claims)
{
    buf_init(token, AUTH_TOKEN_MAX);
    enum st st = auth_token_mint(token, directory, kid, claims);
    if (st)
        fail_msg("not minted: %s", st_message());
}

/* What libjwt takes as the key: the PEM text or the secret. */
static void read_key(struct secret *out, int algorithm, bool public_half)
{
    struct kit_signer s;

    memset(out, 0, sizeof *out);
    kit_signer_open(&s, "dev", directory, key_files[algorithm]);
    if (!s.signing) {
        assert_int_equal(secret_copy(out, s.key->secret.bytes, s.key->secret.len), ST_OK);
    } else if (!public_half) {
        assert_int_equal(auth_key_write_pem(out, s.signing), ST_OK);
    } else {
        BIO *bio = BIO_new(BIO_s_mem());
        char *pem = NULL;
        assert_int_equal(PEM_write_bio_PUBKEY(bio, s.key->public_key), 1);
        long len = BIO_get_mem_data(bio, &pem);
        assert_int_equal(secret_copy(out, pem, (size_t)len), ST_OK);
        BIO_free(bio);
    }
    kit_signer_close(&s);
}

static bool libjwt_accepts(const char *token, int algorithm)
{
    struct secret key;
    jwt_t *jwt = NULL;

    read_key(&key, algorithm, true);
    bool ok = jwt_decode(&jwt, token, key.bytes, (int)key.len) == 0 &&
              strcmp(jwt_alg_str(jwt_get_alg(jwt)), algorithm_names[algorithm]) == 0;
    jwt_free(jwt);
    secret_release(&key);
    return ok;
}

static void a_token_of_every_algorithm_is_minted_and_accepted(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct buf token = {0};
        struct auth_identity id;
        mint(&token, kids[i], &sound);
        assert_int_equal(verify(&id, token.data, token.len), ST_OK);
        assert_string_equal(id.tenant, "dev");
        assert_string_equal(id.subject, "cli");
        assert_string_equal(id.kid, kids[i]);
        assert_int_equal(id.scopes, sound.scopes);
        assert_int_equal(id.expires_s, KIT_NOW + 3600);
        assert_int_equal(strlen(id.token_id), 32);
        assert_false(id.datasets_listed);
        if (i != ED)
            assert_true(libjwt_accepts(token.data, i));
        buf_release(&token);
    }
}

static void a_minted_token_is_changed_nowhere_unnoticed(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct buf token = {0};
        struct auth_identity id;
        mint(&token, kids[i], &sound);
        for (size_t at = 0; at < token.len; at++) {
            char c = token.data[at];
            const char *place = strchr(alphabet, c);
            token.data[at] = place ? alphabet[(size_t)(place - alphabet) ^ 1] : 'A';
            assert_int_equal(verify(&id, token.data, token.len), ST_UNKNOWN_CALLER);
            token.data[at] = c;
        }
        assert_int_equal(verify(&id, token.data, token.len), ST_OK);
        buf_release(&token);
    }
}

/* A token that libjwt makes by itself, as another program would. */
static char *libjwt_token(int algorithm)
{
    struct secret key;
    jwt_t *jwt = NULL;

    read_key(&key, algorithm, false);
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(
        jwt_set_alg(jwt, jwt_str_alg(algorithm_names[algorithm]), key.bytes, (int)key.len), 0);
    assert_int_equal(jwt_add_header(jwt, "kid", kids[algorithm]), 0);
    assert_int_equal(jwt_add_grant(jwt, "iss", KIT_ISSUER), 0);
    assert_int_equal(jwt_add_grant(jwt, "aud", KIT_AUDIENCE), 0);
    assert_int_equal(jwt_add_grant(jwt, "tenant", "dev"), 0);
    assert_int_equal(jwt_add_grant(jwt, "scope", "data:read"), 0);
    assert_int_equal(jwt_add_grant_int(jwt, "exp", KIT_NOW + 60), 0);
    char *token = jwt_encode_str(jwt);
    assert_non_null(token);
    jwt_free(jwt);
    secret_release(&key);
    return token;
}

static void what_libjwt_signs_we_accept_and_its_mutants_we_refuse(void **state)
{
    static const int algorithms[] = {RS, ES, HS};
    (void)state;
    for (size_t k = 0; k < 3; k++)
        for (int round = 0; round < 8; round++) {
            struct auth_identity id;
            char *token = libjwt_token(algorithms[k]);
            size_t len = strlen(token);
            assert_true(libjwt_accepts(token, algorithms[k]));
            assert_int_equal(verify(&id, token, len), ST_OK);
            assert_int_equal(id.scopes, AUTH_DATA_READ);
            for (size_t at = (size_t)round; at < len; at += 8) {
                char c = token[at];
                token[at] = c == 'A' ? 'B' : 'A';
                if (verify(&id, token, len) == ST_OK)
                    fail_msg("accepted with character %zu changed", at);
                token[at] = c;
            }
            free(token);
        }
}

static void every_token_has_an_id_of_its_own(void **state)
{
    struct auth_identity ids[8];
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct buf token = {0};
        mint(&token, "hs", &sound);
        assert_int_equal(verify(&ids[i], token.data, token.len), ST_OK);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(ids[i].token_id, ids[k].token_id);
        buf_release(&token);
    }
}

static void datasets_and_a_missing_subject_are_carried(void **state)
{
    static const char *const names[] = {"lifeline", "flights", NULL};
    static const char *const no_names[] = {NULL};
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct auth_mint claims = sound;
        struct auth_identity id;
        struct buf token = {0};
        claims.subject = NULL;
        claims.datasets = names;
        mint(&token, kids[i], &claims);
        assert_int_equal(verify(&id, token.data, token.len), ST_OK);
        assert_string_equal(id.subject, "");
        assert_int_equal(id.dataset_count, 2);
        assert_true(auth_identity_sees_dataset(&id, "flights"));
        assert_false(auth_identity_sees_dataset(&id, "payouts"));
        buf_release(&token);
        claims.datasets = no_names;
        mint(&token, kids[i], &claims);
        assert_int_equal(verify(&id, token.data, token.len), ST_OK);
        assert_true(id.datasets_listed);
        assert_false(auth_identity_sees_dataset(&id, "flights"));
        buf_release(&token);
    }
}

static void text_that_needs_escapes_survives(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct auth_mint claims = sound;
        struct auth_identity id;
        struct buf token = {0};
        claims.subject = "J\xc3\xb6rg \"x\"\\\n}";
        mint(&token, kids[i], &claims);
        assert_int_equal(verify(&id, token.data, token.len), ST_OK);
        assert_string_equal(id.subject, claims.subject);
        buf_release(&token);
    }
}

static void an_expired_or_foreign_token_can_be_minted_but_not_used(void **state)
{
    struct auth_mint claims = sound;
    struct auth_identity id;
    struct buf token = {0};
    (void)state;
    claims.now_s = KIT_NOW - 7200;
    mint(&token, "ed", &claims);
    assert_int_equal(verify(&id, token.data, token.len), ST_UNKNOWN_CALLER);
    assert_non_null(strstr(st_message(), "expired"));
    buf_release(&token);
    claims = sound;
    claims.tenant = "acme";
    mint(&token, "ed", &claims);
    assert_int_equal(verify(&id, token.data, token.len), ST_UNKNOWN_CALLER);
    assert_non_null(strstr(st_message(), "tenant"));
    buf_release(&token);
}

static void a_request_that_makes_no_sense_is_refused(void **state)
{
    static const char *const bad_text[] = {"\xff\xfe", NULL};
    static const char *const long_name[] = {
        "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd", NULL};
    char subject[AUTH_SUBJECT_MAX + 1];
    const char *many[AUTH_DATASETS_MAX + 2];
    struct auth_mint rows[14];
    struct buf token = {0};
    (void)state;
    memset(subject, 's', sizeof subject);
    subject[AUTH_SUBJECT_MAX] = '\0';
    for (int i = 0; i <= AUTH_DATASETS_MAX; i++)
        many[i] = "d";
    many[AUTH_DATASETS_MAX + 1] = NULL;
    for (size_t i = 0; i < 14; i++)
        rows[i] = sound;
    rows[0].ttl_s = 0;
    rows[1].ttl_s = -1;
    rows[2].ttl_s = INT64_MAX;
    rows[3].now_s = -1;
    rows[4].tenant = "";
    rows[5].tenant = long_name[0];
    rows[6].issuer = "";
    rows[7].issuer = NULL;
    rows[8].audience = "";
    rows[9].audience = NULL;
    rows[10].subject = subject;
    rows[11].subject = "\xff";
    rows[12].datasets = many;
    rows[13].datasets = bad_text;
    buf_init(&token, AUTH_TOKEN_MAX);
    for (size_t i = 0; i < 14; i++) {
        assert_int_equal(auth_token_mint(&token, directory, "hs", &rows[i]), ST_INVALID);
        assert_int_equal(token.len, 0);
    }
    rows[0] = sound;
    rows[0].datasets = long_name;
    assert_int_equal(auth_token_mint(&token, directory, "hs", &rows[0]), ST_INVALID);
    buf_release(&token);
}

static void a_token_too_long_to_verify_is_not_minted(void **state)
{
    const char *names[AUTH_DATASETS_MAX + 1];
    char texts[AUTH_DATASETS_MAX][64];
    struct auth_mint claims = sound;
    (void)state;
    for (int i = 0; i < AUTH_DATASETS_MAX; i++) {
        memset(texts[i], 'd', 63);
        texts[i][63] = '\0';
        names[i] = texts[i];
    }
    names[AUTH_DATASETS_MAX] = NULL;
    claims.datasets = names;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct buf token = {0};
        buf_init(&token, KIT_TEXT_MAX);
        assert_int_equal(auth_token_mint(&token, directory, kids[i], &claims), ST_TOO_LARGE);
        assert_int_equal(token.len, 0);
        buf_release(&token);
    }
}

static void the_last_kid_that_can_sign_signs(void **state)
{
    struct auth_identity id;
    struct buf token = {0};
    char own[64];
    EVP_PKEY *public_only = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    (void)state;
    kit_directory(own);
    buf_init(&token, AUTH_TOKEN_MAX);
    assert_int_equal(auth_token_mint(&token, own, NULL, &sound), ST_NOT_FOUND);
    assert_int_equal(auth_token_mint(&token, "/nonexistent/keys", NULL, &sound), ST_NOT_FOUND);
    kit_write_public(own, "z.ES256.pem", public_only);
    EVP_PKEY_free(public_only);
    kit_write_text(own, "zz.txt", "no key");
    assert_int_equal(auth_token_mint(&token, own, NULL, &sound), ST_NOT_FOUND);
    assert_int_equal(auth_token_mint(&token, own, "z", &sound), ST_NOT_FOUND);
    assert_int_equal(auth_key_generate(own, "a-1", "HS256"), ST_OK);
    assert_int_equal(auth_key_generate(own, "a", "ES256"), ST_OK);
    assert_int_equal(auth_token_mint(&token, own, "b", &sound), ST_NOT_FOUND);
    assert_int_equal(auth_token_mint(&token, own, "", &sound), ST_NOT_FOUND);
    assert_int_equal(auth_token_mint(&token, own, "../a", &sound), ST_NOT_FOUND);

    struct auth_keyset *set = NULL;
    static const char *const wanted[][2] = {{NULL, "a-1"}, {"a", "a"}, {"a-1", "a-1"}};
    assert_int_equal(auth_keyset_new(&set), ST_OK);
    assert_int_equal(auth_keyset_load(set, "dev", own, NULL), ST_OK);
    for (size_t i = 0; i < 3; i++) {
        buf_reset(&token);
        assert_int_equal(auth_token_mint(&token, own, wanted[i][0], &sound), ST_OK);
        assert_int_equal(
            auth_token_verify(&id, set, token.data, token.len, KIT_NOW, kit_policy, NULL), ST_OK);
        assert_string_equal(id.kid, wanted[i][1]);
    }
    auth_keyset_free(set);
    buf_release(&token);
    assert_int_equal(fs_remove_tree(own), ST_OK);
}

static void a_bad_key_file_is_named_and_never_skipped(void **state)
{
    struct buf token = {0};
    char own[64];
    (void)state;
    kit_directory(own);
    buf_init(&token, AUTH_TOKEN_MAX);
    assert_int_equal(auth_key_generate(own, "a", "HS256"), ST_OK);
    kit_write_text(own, "b.HS256.secret", "short");
    assert_int_equal(auth_token_mint(&token, own, NULL, &sound), ST_INVALID);
    assert_non_null(strstr(st_message(), "b.HS256.secret"));
    assert_int_equal(token.len, 0);
    assert_int_equal(auth_token_mint(&token, own, "a", &sound), ST_OK);
    buf_release(&token);
    assert_int_equal(fs_remove_tree(own), ST_OK);
}

static void a_token_is_appended_to_what_is_there(void **state)
{
    struct buf out = {0};
    (void)state;
    buf_init(&out, KIT_TEXT_MAX);
    buf_addstr(&out, "Bearer ");
    assert_int_equal(auth_token_mint(&out, directory, "ed", &sound), ST_OK);
    assert_memory_equal(out.data, "Bearer ey", 9);
    struct auth_identity id;
    assert_int_equal(verify(&id, out.data + 7, out.len - 7), ST_OK);
    buf_release(&out);
}

#ifdef __SANITIZE_ADDRESS__
#include <malloc.h>

/* Its header is not part of every compiler's package. */
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));

static char given_back[1 << 20]; /* what was in every block that was freed, while `watching` */
static size_t given_back_len;
static bool watching;

static void on_malloc(const volatile void *block, size_t size)
{
    (void)block, (void)size;
}

static void on_free(const volatile void *block)
{
    size_t size = block ? malloc_usable_size((void *)(uintptr_t)block) : 0;

    if (!watching || size > sizeof given_back - given_back_len)
        return;
    memcpy(given_back + given_back_len, (const void *)(uintptr_t)block, size);
    given_back_len += size;
}
#endif

static void no_copy_of_a_token_stays_in_memory(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    assert_true(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
    for (int i = 0; i < ALGORITHMS; i++) {
        struct buf token = {0};
        given_back_len = 0;
        watching = true;
        mint(&token, kids[i], &sound);
        watching = false;
        assert_in_range(given_back_len, 100, sizeof given_back - 100000);
        if (memmem(given_back, given_back_len, token.data, token.len))
            fail_msg("a token of %s is there", algorithm_names[i]);
        buf_release(&token);
    }
#else
    skip(); /* only this sanitizer tells of every block that is freed */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_of_every_algorithm_is_minted_and_accepted),
        cmocka_unit_test(a_minted_token_is_changed_nowhere_unnoticed),
        cmocka_unit_test(what_libjwt_signs_we_accept_and_its_mutants_we_refuse),
        cmocka_unit_test(every_token_has_an_id_of_its_own),
        cmocka_unit_test(datasets_and_a_missing_subject_are_carried),
        cmocka_unit_test(text_that_needs_escapes_survives),
        cmocka_unit_test(an_expired_or_foreign_token_can_be_minted_but_not_used),
        cmocka_unit_test(a_request_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_token_too_long_to_verify_is_not_minted),
        cmocka_unit_test(the_last_kid_that_can_sign_signs),
        cmocka_unit_test(a_bad_key_file_is_named_and_never_skipped),
        cmocka_unit_test(a_token_is_appended_to_what_is_there),
        cmocka_unit_test(no_copy_of_a_token_stays_in_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
