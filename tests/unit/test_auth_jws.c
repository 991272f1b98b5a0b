/* The text and the header of a JWS: the attacks that RFC 8725 lists and that libraries fell for,
 * one wrong thing per token. Everything else about it, the signature included, is right. */
#include "auth_jws_kit.h"

static void a_token_of_every_algorithm_is_accepted_and_its_payload_handed_out(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct buf token = {0};
        struct auth_jws jws;
        good_token(&token, i);
        assert_int_equal(auth_jws_verify(&jws, keys, token.data, token.len), ST_OK);
        assert_string_equal((const char *)jws.payload, payload);
        assert_int_equal(jws.payload_len, strlen(payload));
        assert_string_equal(auth_key_algorithm(jws.key), algorithm_names[i]);
        assert_string_equal(auth_key_tenant(jws.key), "dev");
        buf_release(&token);
    }
}

static void none_does_not_exist(void **state)
{
    static const char *const names[] = {"none", "None", "NONE", "nOnE", ""};
    char header[128];
    (void)state;
    for (size_t i = 0; i < 5; i++)
        for (int k = 0; k < ALGORITHMS; k++) {
            struct buf token = {0};
            snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", names[i], kids[k]);
            kit_forge_text(&token, &signers[k], header, payload);
            assert_refused(token.data, token.len);
            const char *dot = strrchr(token.data, '.');
            size_t without = (size_t)(dot - token.data);
            assert_refused(token.data, without + 1); /* header.payload. */
            assert_refused(token.data, without);     /* header.payload */
            buf_release(&token);
        }
    check_header(HS, "{\"alg\":\"none\"}", false);
}

static void the_key_fixes_the_algorithm(void **state)
{
    static const struct {
        int signer;
        const char *header;
    } rows[] = {
        {RS, "{\"alg\":\"rs256\",\"kid\":\"rs\"}"},
        {RS, "{\"alg\":\"Rs256\",\"kid\":\"rs\"}"},
        {RS, "{\"alg\":\"RS384\",\"kid\":\"rs\"}"},
        {RS, "{\"alg\":\"PS256\",\"kid\":\"rs\"}"},
        {RS, "{\"alg\":\"ES256\",\"kid\":\"rs\"}"},
        {HS, "{\"alg\":\"hs256\",\"kid\":\"hs\"}"},
        {HS, "{\"alg\":\"HS512\",\"kid\":\"hs\"}"},
        {HS, "{\"alg\":\"RS256\",\"kid\":\"hs\"}"},
        {HS, "{\"alg\":\"HS256 \",\"kid\":\"hs\"}"},
        {HS, "{\"alg\":\" HS256\",\"kid\":\"hs\"}"},
        {HS, "{\"alg\":\"HS25\",\"kid\":\"hs\"}"},
        {HS, "{\"alg\":\"HS256\\u0000\",\"kid\":\"hs\"}"},
        {HS, "{\"alg\":null,\"kid\":\"hs\"}"},
        {HS, "{\"alg\":256,\"kid\":\"hs\"}"},
        {HS, "{\"alg\":true,\"kid\":\"hs\"}"},
        {HS, "{\"alg\":[\"HS256\"],\"kid\":\"hs\"}"},
        {HS, "{\"alg\":{\"HS256\":1},\"kid\":\"hs\"}"},
        {HS, "{\"kid\":\"hs\"}"},
        {HS, "{\"ALG\":\"HS256\",\"kid\":\"hs\"}"},
        {ES, "{\"alg\":\"es256\",\"kid\":\"es\"}"},
        {ES, "{\"alg\":\"ES256K\",\"kid\":\"es\"}"},
        {ES, "{\"alg\":\"ES384\",\"kid\":\"es\"}"},
        {ED, "{\"alg\":\"EDDSA\",\"kid\":\"ed\"}"},
        {ED, "{\"alg\":\"eddsa\",\"kid\":\"ed\"}"},
        {ED, "{\"alg\":\"Ed25519\",\"kid\":\"ed\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_header(rows[i].signer, rows[i].header, false);
}

static void a_kid_is_required_and_chooses_only_among_our_keys(void **state)
{
    static const char *const values[] = {
        "null",
        "1",
        "true",
        "[\"hs\"]",
        "{\"hs\":1}",
        "\"\"",
        "\"HS\"",
        "\"h\"",
        "\"hs2\"",
        "\"hs \"",
        "\" hs\"",
        "\"hs\\u0000\"",
        "\"\\u0000hs\"",
        "\"hs\\u0000.pem\"",
        "\"hs.HS256.secret\"",
        "\"./hs\"",
        "\"../../../../etc/passwd\"",
        "\"/dev/null\"",
        "\"..%2f..%2fhs\"",
        "\"hs' OR '1'='1\"",
        "\"hs;id\"",
        "\"h\\u0455\"",
        "\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\"",
    };
    char header[256];
    (void)state;
    check_header(HS, "{\"alg\":\"HS256\"}", false);
    check_header(HS, "{\"alg\":\"HS256\",\"KID\":\"hs\"}", false);
    check_header(HS, "{\"alg\":\"HS256\",\"kid\":\"h\\u0073\"}", true);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":%s}", values[i]);
        check_header(HS, header, false);
    }
}

static void members_that_bring_keys_or_rules_are_refused(void **state)
{
    static const char *const members[] = {"crit", "jku", "x5u", "jwk", "x5c"};
    static const char *const values[] = {"null",
                                         "[]",
                                         "[\"exp\"]",
                                         "[\"b64\"]",
                                         "\"https://evil.test/keys\"",
                                         "{\"kty\":\"oct\",\"k\":\"AAAA\"}"};
    char header[256];
    (void)state;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
            snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"hs\",\"%s\":%s}",
                     members[i], values[k]);
            check_header(HS, header, false);
        }
    check_header(HS, "{\"alg\":\"HS256\",\"kid\":\"hs\",\"x5t\":\"abc\",\"unknown\":1}", true);
}

static void typ_is_that_of_an_access_token(void **state)
{
    static const struct {
        const char *value;
        bool accepted;
    } rows[] = {
        {"\"JWT\"", true},
        {"\"at+jwt\"", true},
        {"\"application/at+jwt\"", true},
        {"\"jwt\"", false},
        {"\"JWS\"", false},
        {"\"JOSE\"", false},
        {"\"dpop+jwt\"", false},
        {"\"logout+jwt\"", false},
        {"\"secevent+jwt\"", false},
        {"\"application/dpop+jwt\"", false},
        {"\"at+jwt \"", false},
        {"\"JWT\\u0000\"", false},
        {"\"\"", false},
        {"null", false},
        {"1", false},
        {"[\"JWT\"]", false},
        {"{}", false},
    };
    char header[128];
    (void)state;
    check_header(HS, "{\"alg\":\"HS256\",\"kid\":\"hs\"}", true);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"hs\",\"typ\":%s}",
                 rows[i].value);
        check_header(HS, header, rows[i].accepted);
    }
}

static void the_header_is_one_strict_json_object(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"HS256\",\"alg\":\"HS256\",\"kid\":\"hs\"}",
        "{\"alg\":\"none\",\"kid\":\"hs\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"kid\":\"x\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"kid\":\"hs\",\"\\u0061lg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"kid\":\"hs\",\"a\":{\"b\":1,\"b\":2}}",
        "[{\"alg\":\"HS256\",\"kid\":\"hs\"}]",
        "\"HS256\"",
        "null",
        "{}",
        "{",
        "{\"alg\":\"HS256\",\"kid\":\"hs\"",
        "{\"alg\":\"HS256\",\"kid\":\"hs\"}}",
        "{\"alg\":\"HS256\",\"kid\":\"hs\"}{}",
        "{\"alg\":\"HS256\",\"kid\":\"hs\",}",
        "{'alg':'HS256','kid':'hs'}",
        "{\"alg\":\"HS256\",\"kid\":\"hs\"} x",
        "{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":\"\xff\"}",
        "{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":\"\xc0\xaf\"}",
        "\xef\xbb\xbf{\"alg\":\"HS256\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":NaN}",
        "{\"alg\":\"HS256\",\"kid\":\"hs\"/**/}",
    };
    static const char tail[] = "{\"alg\":\"HS256\",\"kid\":\"hs\"}\0";
    char deep[2048] = "{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":";
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        check_header(HS, headers[i], false);
    check_header_bytes(HS, tail, sizeof tail - 1, false);
    check_header(HS, " {\"kid\" : \"hs\",\r\n\t\"alg\" : \"HS256\"} ", true);

    size_t at = strlen(deep);
    memset(deep + at, '[', 800);
    memset(deep + at + 800, ']', 800);
    strcpy(deep + at + 1600, "}");
    check_header(HS, deep, false);
}

static void the_number_of_segments_is_three(void **state)
{
    static const char *const texts[] = {"",     ".",    "..",           "...",
                                        "a",    "a.b",  "a.b.",         ".b.c",
                                        "a..c", "....", "Bearer a.b.c", "{\"payload\":\"\"}"};
    struct buf token = {0};
    char text[2048];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i], strlen(texts[i]));
    good_token(&token, HS);
    static const char *const around[][2] = {
        {"", "."}, {".", ""}, {"", ".AAAA"}, {"AAAA.", ""},   {"", ".AAAA.AAAA"},
        {" ", ""}, {"", " "}, {"", "\n"},    {"Bearer ", ""}, {"\"", "\""}};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        int len = snprintf(text, sizeof text, "%s%s%s", around[i][0], token.data, around[i][1]);
        assert_refused(text, (size_t)len);
    }
    const char *first = strchr(token.data, '.'), *last = strrchr(token.data, '.');
    int len =
        snprintf(text, sizeof text, "%.*s..%s", (int)(first - token.data), token.data, last + 1);
    assert_refused(text, (size_t)len); /* detached payload */
    struct buf detached = {0};
    kit_forge_text(&detached, &signers[HS], "{\"alg\":\"HS256\",\"kid\":\"hs\"}", "");
    assert_refused(detached.data, detached.len);
    buf_release(&detached);
    len = snprintf(text, sizeof text, "%.*s", (int)(last - token.data), token.data);
    assert_refused(text, (size_t)len);
    buf_release(&token);
}

static void base64url_is_strict_in_every_segment(void **state)
{
    static const char foreign[] = "+/=. \t\r\n%~*\x7f\x80\xff";
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct buf token = {0}, changed = {0};
        good_token(&token, i);
        buf_init(&changed, KIT_TEXT_MAX);
        for (size_t at = 0; at <= token.len; at++)
            if (at == token.len || token.data[at] == '.')
                for (size_t k = 0; k < sizeof foreign; k++) { /* the NUL too */
                    buf_reset(&changed);
                    buf_add(&changed, token.data, at);
                    buf_addch(&changed, foreign[k]);
                    buf_add(&changed, token.data + at, token.len - at);
                    assert_refused(changed.data, changed.len);
                }
        buf_release(&changed);
        buf_release(&token);
    }
}

/* + for - and / for _: the same bytes to a lenient decoder. */
static void the_other_base64_alphabet_is_refused(void **state)
{
    struct buf token = {0};
    unsigned replaced = 0;
    (void)state;
    kit_forge_text(&token, &signers[HS], "{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":\">>>?~~~?\"}",
                   "{\"x\":\">>>?~~~?\"}");
    assert_accepted(token.data, token.len);
    for (size_t i = 0; i < token.len; i++) {
        char c = token.data[i];
        if (c != '-' && c != '_')
            continue;
        token.data[i] = c == '-' ? '+' : '/';
        assert_refused(token.data, token.len);
        token.data[i] = c;
        replaced++;
    }
    assert_true(replaced >= 2);
    buf_release(&token);
}

static void a_token_of_4096_bytes_is_the_longest(void **state)
{
    static const char start[] = "{\"alg\":\"HS256\",\"kid\":\"hs\"}";
    char header[AUTH_TOKEN_MAX];
    struct buf token = {0};
    bool longest = false;
    (void)state;
    memset(header, ' ', sizeof header);
    memcpy(header, start, sizeof start - 1);
    for (size_t len = 3000; len < 3060; len++)
        for (int pad = 0; pad < 3; pad++) {
            char body[16];
            snprintf(body, sizeof body, "{}%.*s", pad, "  ");
            kit_forge(&token, &signers[HS], header, len, body, strlen(body));
            longest = longest || token.len == AUTH_TOKEN_MAX;
            if (token.len <= AUTH_TOKEN_MAX)
                assert_accepted(token.data, token.len);
            else
                assert_refused(token.data, token.len);
            buf_release(&token);
        }
    assert_true(longest);
}

static void any_payload_bytes_come_back(void **state)
{
    unsigned char bytes[2900];
    char header[] = "{\"alg\":\"HS256\",\"kid\":\"hs\"}";
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 31);
    for (size_t len = 1; len <= sizeof bytes; len += 97) {
        struct buf token = {0};
        struct auth_jws jws;
        kit_forge(&token, &signers[HS], header, strlen(header), (char *)bytes, len);
        assert_int_equal(auth_jws_verify(&jws, keys, token.data, token.len), ST_OK);
        assert_int_equal(jws.payload_len, len);
        assert_memory_equal(jws.payload, bytes, len);
        assert_int_equal(jws.payload[len], 0);
        buf_release(&token);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_of_every_algorithm_is_accepted_and_its_payload_handed_out),
        cmocka_unit_test(none_does_not_exist),
        cmocka_unit_test(the_key_fixes_the_algorithm),
        cmocka_unit_test(a_kid_is_required_and_chooses_only_among_our_keys),
        cmocka_unit_test(members_that_bring_keys_or_rules_are_refused),
        cmocka_unit_test(typ_is_that_of_an_access_token),
        cmocka_unit_test(the_header_is_one_strict_json_object),
        cmocka_unit_test(the_number_of_segments_is_three),
        cmocka_unit_test(base64url_is_strict_in_every_segment),
        cmocka_unit_test(the_other_base64_alphabet_is_refused),
        cmocka_unit_test(a_token_of_4096_bytes_is_the_longest),
        cmocka_unit_test(any_payload_bytes_come_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
