/* libjwt, which is not our verifier, as a second opinion: on one token of each row below for each
 * of the nine algorithms that it has, and on random changes of good tokens. Where the two differ,
 * the row says why; there is no other difference.
 *
 * Of claims libjwt has only readers: it takes a token here when it verifies the signature and its
 * readers give the issuer, the audience, the tenant, and times that fit. */
#include "auth_kit.h"

#include "auth/crypto.h"

#include <ctype.h>
#include <jwt.h>

#define HEADER "{\"alg\":\"$A\",\"kid\":\"$A\"}"
#define WITH(members) "{\"alg\":\"$A\",\"kid\":\"$A\"," members "}"
#define AUDIENCE "\"aud\":\"" KIT_AUDIENCE "\","
#define STANDING "\"iss\":\"" KIT_ISSUER "\",\"tenant\":\"dev\","
#define END "\"exp\":1800000600"
#define CLAIMS "{" STANDING AUDIENCE END "}"
#define ALSO(members) "{" STANDING AUDIENCE END "," members "}"
#define MUTANTS 200

static char directory[64];
static struct auth_keyset *keys;

/* $A is the algorithm's name, $a the same in lower case. */
static const struct row {
    const char *what, *header, *claims;
    bool libjwt, here;
    const char *why; /* NULL: they agree */
} ROWS[] = {
    {"a sound token", HEADER, CLAIMS, true, true, NULL},
    {"typ JWT", WITH("\"typ\":\"JWT\""), CLAIMS, true, true, NULL},
    {"another typ", WITH("\"typ\":\"JOSE\""), CLAIMS, false, false, NULL},
    {"typ at+jwt", WITH("\"typ\":\"at+jwt\""), CLAIMS, false, true,
     "libjwt is older than RFC 9068"},
    {"typ in lower case", WITH("\"typ\":\"jwt\""), CLAIMS, true, false,
     "it ignores case; RFC 7519 section 5.1 recommends `JWT`, and we know one spelling"},
    {"typ null", WITH("\"typ\":null"), CLAIMS, true, false, "what is no text is not there for it"},
    {"alg in lower case", "{\"alg\":\"$a\",\"kid\":\"$A\"}", CLAIMS, true, false,
     "names are case-sensitive (RFC 7515 section 4.1.1)"},
    {"alg none", "{\"alg\":\"none\",\"kid\":\"$A\"}", CLAIMS, false, false, NULL},
    {"alg that nobody knows", "{\"alg\":\"$AX\",\"kid\":\"$A\"}", CLAIMS, false, false, NULL},
    {"no alg", "{\"kid\":\"$A\"}", CLAIMS, false, false, NULL},
    {"alg twice", "{\"alg\":\"none\",\"alg\":\"$A\",\"kid\":\"$A\"}", CLAIMS, true, false,
     "it takes the last; names must be unique (RFC 7515 section 4)"},
    {"crit", WITH("\"crit\":[\"exp\"]"), CLAIMS, true, false,
     "it does not know `crit`, which must be understood (RFC 7515 section 4.1.11)"},
    {"a key that the token brings", WITH("\"jwk\":{}"), CLAIMS, true, false,
     "it ignores `jwk`; who brings a key gets nothing here (RFC 8725 section 3.10)"},
    {"an unknown member", WITH("\"x\":1"), CLAIMS, true, true, NULL},
    {"no kid", "{\"alg\":\"$A\"}", CLAIMS, true, false,
     "its caller chooses the key; here the kid does"},
    {"a kid of nobody", "{\"alg\":\"$A\",\"kid\":\"nobody\"}", CLAIMS, true, false,
     "its caller chooses the key; here the kid does"},
    {"a header that is no JSON", "{\"alg\":\"$A\",\"kid\":\"$A\"", CLAIMS, false, false, NULL},
    {"a header that is a list", "[]", CLAIMS, false, false, NULL},
    {"text behind the header", HEADER "x", CLAIMS, false, false, NULL},

    {"no exp", HEADER, "{" STANDING "\"aud\":\"" KIT_AUDIENCE "\"}", false, false, NULL},
    {"exp over", HEADER, "{" STANDING AUDIENCE "\"exp\":1799999900}", false, false, NULL},
    {"exp within the skew", HEADER, "{" STANDING AUDIENCE "\"exp\":1799999950}", false, true,
     "its reader knows no skew; we give 60 s"},
    {"exp that is a text", HEADER, "{" STANDING AUDIENCE "\"exp\":\"1800000600\"}", false, false,
     NULL},
    {"exp with a fraction", HEADER, "{" STANDING AUDIENCE "\"exp\":1800000600.5}", false, false,
     NULL},
    {"exp beyond 64 bits", HEADER, "{" STANDING AUDIENCE "\"exp\":18446744073709551616}", false,
     false, NULL},
    {"exp twice", HEADER, "{" STANDING AUDIENCE "\"exp\":0," END "}", true, false,
     "it takes the last; names must be unique (RFC 7519 section 4)"},
    {"nbf that is over", HEADER, ALSO("\"nbf\":1799999000"), true, true, NULL},
    {"nbf to come", HEADER, ALSO("\"nbf\":1900000000"), false, false, NULL},
    {"nbf to come, with a fraction", HEADER, ALSO("\"nbf\":1900000000.5"), true, false,
     "it reads 0 from what is no integer: its check fails open"},
    {"nbf to come, as a text", HEADER, ALSO("\"nbf\":\"1900000000\""), true, false,
     "it reads 0 from what is no integer: its check fails open"},
    {"another issuer", HEADER, "{\"iss\":\"x\",\"tenant\":\"dev\"," AUDIENCE END "}", false, false,
     NULL},
    {"an issuer with NUL", HEADER,
     "{\"iss\":\"" KIT_ISSUER "\\u0000x\",\"tenant\":\"dev\"," AUDIENCE END "}", false, false,
     NULL},
    {"an issuer that is a list", HEADER,
     "{\"iss\":[\"" KIT_ISSUER "\"],\"tenant\":\"dev\"," AUDIENCE END "}", false, false, NULL},
    {"a list of audiences", HEADER, "{" STANDING "\"aud\":[\"x\",\"" KIT_AUDIENCE "\"]," END "}",
     false, true, "its reader knows one audience only (RFC 7519 section 4.1.3)"},
    {"another audience", HEADER, "{" STANDING "\"aud\":\"x\"," END "}", false, false, NULL},
    {"another tenant", HEADER, "{\"iss\":\"" KIT_ISSUER "\",\"tenant\":\"acme\"," AUDIENCE END "}",
     false, false, NULL},
    {"claims twice", HEADER, ALSO("\"x\":1,\"x\":2"), true, false,
     "it takes the last; names must be unique (RFC 7519 section 4)"},
    {"claims that are a list", HEADER, "[]", false, false, NULL},
    {"claims that are no JSON", HEADER, "{", false, false, NULL},
    {"text behind the claims", HEADER, CLAIMS "x", false, false, NULL},
};

static const struct auth_algorithm *const table = auth_algorithm_table;

static bool libjwt_has(const struct auth_algorithm *alg)
{
    return !alg->pss && strcmp(alg->name, "EdDSA") != 0;
}

static int set_up(void **state)
{
    (void)state;
    kit_directory(directory);
    for (size_t i = 0; table[i].name; i++)
        if (libjwt_has(&table[i]))
            assert_int_equal(auth_key_generate(directory, table[i].name, table[i].name), ST_OK);
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

static void open_signer(struct kit_signer *out, const struct auth_algorithm *alg)
{
    char file[64];

    snprintf(file, sizeof file, "%s.%s.%s", alg->name, alg->name, alg->extension);
    kit_signer_open(out, "dev", directory, file);
}

/* What libjwt takes as the key: the public PEM, or the secret. */
static void read_key(struct secret *out, const struct kit_signer *s)
{
    char *pem = NULL;

    *out = (struct secret){0};
    if (!s->signing) {
        assert_int_equal(secret_copy(out, s->key->secret.bytes, s->key->secret.len), ST_OK);
        return;
    }
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, s->key->public_key), 1);
    long len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(secret_copy(out, pem, (size_t)len), ST_OK);
    BIO_free(bio);
}

static bool is(jwt_t *jwt, const char *claim, const char *wanted)
{
    const char *value = jwt_get_grant(jwt, claim);

    return value && strcmp(value, wanted) == 0;
}

static bool libjwt_takes(const char *token, const struct secret *key,
                         const struct auth_algorithm *alg)
{
    jwt_t *jwt = NULL;
    bool taken = jwt_decode(&jwt, token, key->bytes, (int)key->len) == 0 &&
                 strcmp(jwt_alg_str(jwt_get_alg(jwt)), alg->name) == 0 &&
                 is(jwt, "iss", KIT_ISSUER) && is(jwt, "aud", KIT_AUDIENCE) &&
                 is(jwt, "tenant", "dev") && jwt_get_grant_int(jwt, "exp") > KIT_NOW &&
                 jwt_get_grant_int(jwt, "nbf") <= KIT_NOW;

    jwt_free(jwt);
    return taken;
}

static bool we_take(const char *token, size_t len)
{
    struct auth_identity id;

    return auth_token_verify(&id, keys, token, len, KIT_NOW, kit_policy, NULL) == ST_OK;
}

static void expand(struct buf *out, const char *text, const struct auth_algorithm *alg)
{
    buf_init(out, KIT_TEXT_MAX);
    for (; *text; text++) {
        if (*text != '$') {
            buf_addch(out, *text);
            continue;
        }
        bool lower = *++text == 'a';
        for (const char *c = alg->name; *c; c++)
            buf_addch(out, lower ? (char)tolower(*c) : *c);
    }
    assert_int_equal(buf_status(out), ST_OK);
}

static void forge(struct buf *token, const struct kit_signer *s, const struct row *row)
{
    struct buf header, claims;

    expand(&header, row->header, s->key->alg);
    expand(&claims, row->claims, s->key->alg);
    kit_forge_text(token, s, header.data, claims.data);
    buf_release(&header);
    buf_release(&claims);
}

static void every_disagreement_is_explained(void **state)
{
    unsigned algorithms = 0;

    (void)state;
    for (size_t i = 0; table[i].name; i++) {
        struct kit_signer s;
        struct secret key;

        if (!libjwt_has(&table[i]))
            continue;
        algorithms++;
        open_signer(&s, &table[i]);
        read_key(&key, &s);
        for (size_t k = 0; k < sizeof ROWS / sizeof ROWS[0]; k++) {
            const struct row *row = &ROWS[k];
            struct buf token;
            forge(&token, &s, row);
            bool theirs = libjwt_takes(token.data, &key, &table[i]);
            bool ours = we_take(token.data, token.len);
            if (theirs != row->libjwt || ours != row->here)
                fail_msg("%s, %s: libjwt %d, here %d", table[i].name, row->what, theirs, ours);
            assert_true((row->why != NULL) == (row->libjwt != row->here));
            buf_release(&token);
        }
        secret_release(&key);
        kit_signer_close(&s);
    }
    assert_int_equal(algorithms, 9);
}

/* ---- random changes ---- */

static unsigned next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* One to three characters replaced, left out or put in between; or two that change places. */
static void change(struct buf *out, const struct buf *token, uint32_t *seed)
{
    static const char ANY[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                              "+/=. \n%";
    char text[KIT_TEXT_MAX];
    size_t len = token->len;

    memcpy(text, token->data, len);
    for (unsigned n = 1 + next_random(seed) % 3; n; n--) {
        size_t at = next_random(seed) % len;
        char any = ANY[next_random(seed) % (sizeof ANY - 1)];
        switch (next_random(seed) % 4) {
        case 0:
            text[at] = any;
            break;
        case 1:
            memmove(text + at, text + at + 1, --len - at);
            break;
        case 2:
            memmove(text + at + 1, text + at, len++ - at);
            text[at] = any;
            break;
        default:
            text[len] = text[at];
            text[at] = text[len - 1];
            text[len - 1] = text[len];
        }
    }
    buf_init(out, KIT_TEXT_MAX);
    buf_add(out, text, len);
    assert_int_equal(buf_status(out), ST_OK);
}

/* The bytes that a text of base64 has for who skips what is none of it, and takes both alphabets.
 */
static size_t lenient(unsigned char *out, const char *text, size_t len)
{
    static const char ALPHABET[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, held = 0;
    size_t count = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i] == '+' ? '-' : text[i];
        const char *place = strchr(ALPHABET, c == '/' ? '_' : c);
        if (!c || !place)
            continue;
        bits = bits << 6 | (unsigned)(place - ALPHABET);
        held += 6;
        if (held >= 8)
            out[count++] = (unsigned char)(bits >> (held -= 8));
    }
    return count;
}

/* Is the changed token, but for how its signature is spelled, the good one? */
static bool is_the_same_to_a_lenient_reader(const struct buf *changed, const struct buf *token)
{
    static unsigned char a[KIT_TEXT_MAX], b[KIT_TEXT_MAX];
    size_t head = (size_t)(strrchr(token->data, '.') - token->data);

    if (changed->len <= head || memcmp(changed->data, token->data, head) != 0)
        return false;
    size_t n = lenient(a, token->data + head, token->len - head);
    return lenient(b, changed->data + head, changed->len - head) >= n && memcmp(a, b, n) == 0;
}

static void of_changed_tokens_none_is_taken_and_libjwt_takes_only_other_spellings(void **state)
{
    uint32_t seed = 1;
    unsigned spelled = 0;

    (void)state;
    for (size_t i = 0; table[i].name; i++) {
        struct kit_signer s;
        struct secret key;
        struct buf token;

        if (!libjwt_has(&table[i]))
            continue;
        open_signer(&s, &table[i]);
        read_key(&key, &s);
        forge(&token, &s, &ROWS[0]);
        for (unsigned n = 0; n < MUTANTS; n++) {
            struct buf changed;
            change(&changed, &token, &seed);
            bool same =
                changed.len == token.len && memcmp(changed.data, token.data, token.len) == 0;
            if (we_take(changed.data, changed.len) != same)
                fail_msg("%s: change %u, taken: %s", table[i].name, n, changed.data);
            if (!same && libjwt_takes(changed.data, &key, &table[i])) {
                if (!is_the_same_to_a_lenient_reader(&changed, &token))
                    fail_msg("%s: change %u, only libjwt takes: %s", table[i].name, n,
                             changed.data);
                spelled++;
            }
            buf_release(&changed);
        }
        buf_release(&token);
        secret_release(&key);
        kit_signer_close(&s);
    }
    assert_true(spelled > 0); /* it is asked, and it is lenient */
}

/* The key files that ours would not even load; and the one attack that takes two keys. */
static void libjwt_lets_the_public_key_be_a_secret_and_any_curve_sign_es256(void **state)
{
    struct kit_signer rsa, p384;
    struct secret pem, other;
    struct buf token;
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    jwt_t *jwt = NULL;

    (void)state;
    open_signer(&rsa, auth_algorithm_find("RS256", 5));
    read_key(&pem, &rsa);
    kit_forge_text(&token, &rsa, "{\"alg\":\"HS256\",\"kid\":\"RS256\"}", CLAIMS);
    size_t signed_len = (size_t)(strrchr(token.data, '.') - token.data);
    assert_non_null(HMAC(EVP_sha256(), pem.bytes, (int)pem.len, (unsigned char *)token.data,
                         signed_len, mac, &mac_len));
    kit_resign(&token, mac, mac_len);
    assert_int_equal(jwt_decode(&jwt, token.data, pem.bytes, (int)pem.len), 0);
    jwt_free(jwt);
    assert_false(we_take(token.data, token.len));
    buf_release(&token);

    open_signer(&p384, auth_algorithm_find("ES384", 5));
    read_key(&other, &p384);
    p384.key->alg = auth_algorithm_find("ES256", 5);
    char header[] = "{\"alg\":\"ES256\",\"kid\":\"ES384\"}";
    unsigned char der[1024], raw[1024];
    buf_init(&token, KIT_TEXT_MAX);
    auth_base64url_encode(&token, header, strlen(header));
    buf_addch(&token, '.');
    auth_base64url_encode(&token, CLAIMS, strlen(CLAIMS));
    size_t len = kit_signature(der, &p384, token.data, token.len, true);
    size_t raw_len = kit_raw_ecdsa(raw, der, len, 48);
    buf_addch(&token, '.');
    auth_base64url_encode(&token, raw, raw_len);
    jwt = NULL;
    assert_int_equal(jwt_decode(&jwt, token.data, other.bytes, (int)other.len), 0);
    jwt_free(jwt);
    assert_false(we_take(token.data, token.len));
    p384.key->alg = auth_algorithm_find("ES384", 5);
    buf_release(&token);
    secret_release(&pem);
    secret_release(&other);
    kit_signer_close(&rsa);
    kit_signer_close(&p384);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_disagreement_is_explained),
        cmocka_unit_test(of_changed_tokens_none_is_taken_and_libjwt_takes_only_other_spellings),
        cmocka_unit_test(libjwt_lets_the_public_key_be_a_secret_and_any_curve_sign_es256),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
