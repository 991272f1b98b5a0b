/* Claims: every one missing, of every wrong type, and at the edge of its range, under a signature
 * that is right. */
#include "auth_kit.h"

static char dev_keys[64], acme_keys[64], closed_keys[64], gone_keys[64];
static struct auth_keyset *keys;
static struct kit_signer dev, acme, closed, gone;

static void add_tenant(char directory[64], const char *tenant, struct kit_signer *signer)
{
    char name[64];

    kit_directory(directory);
    assert_int_equal(auth_key_generate(directory, tenant, "HS256"), ST_OK);
    assert_int_equal(auth_keyset_load(keys, tenant, directory, NULL), ST_OK);
    snprintf(name, sizeof name, "%s.HS256.secret", tenant);
    kit_signer_open(signer, tenant, directory, name);
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(auth_keyset_new(&keys), ST_OK);
    add_tenant(dev_keys, "dev", &dev);
    add_tenant(acme_keys, "acme", &acme);
    add_tenant(closed_keys, "closed", &closed);
    add_tenant(gone_keys, "gone", &gone); /* has keys, but there is no such tenant */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_signer_close(&dev);
    kit_signer_close(&acme);
    kit_signer_close(&closed);
    kit_signer_close(&gone);
    auth_keyset_free(keys);
    assert_int_equal(fs_remove_tree(dev_keys), ST_OK);
    assert_int_equal(fs_remove_tree(acme_keys), ST_OK);
    assert_int_equal(fs_remove_tree(closed_keys), ST_OK);
    assert_int_equal(fs_remove_tree(gone_keys), ST_OK);
    return 0;
}

static const struct {
    const char *name, *value;
} sound_claims[] = {
    {"iss", "\"" KIT_ISSUER "\""}, {"aud", "\"" KIT_AUDIENCE "\""},
    {"tenant", "\"dev\""},         {"exp", "1800003600"},
    {"iat", "1800000000"},         {"scope", "\"data:read versions:write\""},
    {"sub", "\"service-1\""},      {"jti", "\"t-1\""},
};

/* The sound claims with the one called `name` replaced by `value`, or left out when that is NULL.
 */
static void write_claims(struct buf *out, const char *name, const char *value)
{
    bool found = false;

    buf_init(out, KIT_TEXT_MAX);
    buf_addstr(out, "{\"x\":0");
    for (size_t i = 0; i < sizeof sound_claims / sizeof sound_claims[0]; i++) {
        bool this_one = name && strcmp(sound_claims[i].name, name) == 0;
        const char *text = this_one ? value : sound_claims[i].value;
        found = found || this_one;
        if (text)
            buf_addf(out, ",\"%s\":%s", sound_claims[i].name, text);
    }
    if (name && !found && value)
        buf_addf(out, ",\"%s\":%s", name, value);
    buf_addch(out, '}');
    assert_int_equal(buf_status(out), ST_OK);
}

static enum st verify_payload(struct auth_identity *id, const struct kit_signer *signer,
                              const char *payload, size_t len)
{
    struct buf token = {0};
    char header[128];

    snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"%s\"}", signer->key->kid);
    kit_forge(&token, signer, header, strlen(header), payload, len);
    memset(id, 0x55, sizeof *id);
    enum st st = auth_token_verify(id, keys, token.data, token.len, KIT_NOW, kit_policy, NULL);
    buf_release(&token);
    return st;
}

static enum st verify_claim(struct auth_identity *id, const char *name, const char *value)
{
    struct buf claims = {0};

    write_claims(&claims, name, value);
    enum st st = verify_payload(id, &dev, claims.data, claims.len);
    buf_release(&claims);
    return st;
}

static void assert_nobody(const struct auth_identity *id)
{
    static const struct auth_identity nobody;

    assert_memory_equal(id, &nobody, sizeof nobody);
}

static void assert_payload_refused(const char *payload, size_t len)
{
    struct auth_identity id;

    if (verify_payload(&id, &dev, payload, len) != ST_UNKNOWN_CALLER)
        fail_msg("not refused: %.*s", (int)len, payload);
    assert_nobody(&id);
}

struct row {
    const char *value; /* JSON text; NULL: the claim is missing */
    bool accepted;
};

static void check_rows(const char *name, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct auth_identity id;
        enum st st = verify_claim(&id, name, rows[i].value);
        if (st != (rows[i].accepted ? ST_OK : ST_UNKNOWN_CALLER))
            fail_msg("%s: %s gives %d (%s)", name, rows[i].value ? rows[i].value : "(missing)", st,
                     st ? st_message() : "accepted");
        if (st)
            assert_nobody(&id);
    }
}
#define CHECK_ROWS(name, rows) check_rows(name, rows, sizeof(rows) / sizeof(rows)[0])

static void a_sound_token_says_who_is_calling(void **state)
{
    struct auth_identity id;
    (void)state;
    assert_int_equal(verify_claim(&id, NULL, NULL), ST_OK);
    assert_string_equal(id.tenant, "dev");
    assert_string_equal(id.subject, "service-1");
    assert_string_equal(id.token_id, "t-1");
    assert_string_equal(id.kid, "dev");
    assert_int_equal(id.scopes, AUTH_DATA_READ | AUTH_VERSIONS_WRITE);
    assert_int_equal(id.expires_s, 1800003600);
    assert_false(id.datasets_listed);
    assert_true(auth_identity_has_scope(&id, AUTH_DATA_READ));
    assert_true(auth_identity_has_scope(&id, AUTH_VERSIONS_WRITE));
    assert_false(auth_identity_has_scope(&id, AUTH_TENANT_ADMIN));
    assert_false(auth_identity_has_scope(&id, AUTH_PLATFORM_ADMIN));
    assert_true(auth_identity_sees_dataset(&id, "lifeline"));
}

static void exp_is_required_an_integer_and_in_the_future(void **state)
{
    static const struct row rows[] = {
        {NULL, false},
        {"null", false},
        {"true", false},
        {"\"1800003600\"", false},
        {"[1800003600]", false},
        {"[]", false},
        {"{}", false},
        {"1800003600.0", false},
        {"1800003600.5", false},
        {"1.9e9", false},
        {"1e400", false},
        {"-1", false},
        {"0", false},
        {"1799990000", false},
        {"1799999939", false},
        {"1799999940", false}, /* now - 60 s */
        {"1799999941", true},
        {"1800000001", true},
        {"9223372036854775807", true},
        {"9223372036854775808", false},
        {"18446744073709551615", false},
        {"100000000000000000000000000000", false},
        {"-9223372036854775808", false},
        {"-100000000000000000000000000000", false},
        {"01800003600", false},
        {"+1800003600", false},
        {"0x6b49e010", false},
    };
    struct auth_identity id;
    (void)state;
    CHECK_ROWS("exp", rows);
    assert_int_equal(verify_claim(&id, "exp", NULL), ST_UNKNOWN_CALLER);
    assert_non_null(strstr(st_message(), "missing"));
}

static void nbf_and_iat_are_integers_and_not_in_the_future(void **state)
{
    static const struct row rows[] = {
        {NULL, true},
        {"null", false},
        {"true", false},
        {"false", false},
        {"\"0\"", false},
        {"\"1800000000\"", false},
        {"[]", false},
        {"[0]", false},
        {"{}", false},
        {"0.5", false},
        {"0.0", false},
        {"1.7e9", false},
        {"1800000000.0", false},
        {"0", true},
        {"-1", true},
        {"1799999999", true},
        {"1800000000", true},
        {"1800000060", true}, /* now + 60 s */
        {"1800000061", false},
        {"1900000000", false},
        {"1900000000.5", false}, /* libjwt reads it as 0 */
        {"9223372036854775807", false},
        {"9223372036854775808", false},
        {"-9223372036854775808", true},
    };
    (void)state;
    CHECK_ROWS("nbf", rows);
    CHECK_ROWS("iat", rows);
}

static void iss_is_exactly_the_tenants_issuer(void **state)
{
    static const struct row rows[] = {
        {NULL, false},
        {"null", false},
        {"1", false},
        {"true", false},
        {"{}", false},
        {"[\"" KIT_ISSUER "\"]", false},
        {"\"\"", false},
        {"\"https://evil.test\"", false},
        {"\"" KIT_ISSUER "/\"", false},
        {"\"" KIT_ISSUER " \"", false},
        {"\"" KIT_ISSUER "\\u0000\"", false},
        {"\"" KIT_ISSUER "\\u0000.evil.test\"", false},
        {"\"https://issuer.tes\"", false},
        {"\"HTTPS://ISSUER.TEST\"", false},
        {"\"https:\\/\\/issuer.test\"", true}, /* the same string in JSON */
    };
    (void)state;
    CHECK_ROWS("iss", rows);
}

static void aud_is_or_contains_our_audience(void **state)
{
    static const struct row rows[] = {
        {NULL, false},
        {"null", false},
        {"1", false},
        {"true", false},
        {"{}", false},
        {"{\"everline\":true}", false},
        {"\"\"", false},
        {"\"other\"", false},
        {"\"everlin\"", false},
        {"\"everlines\"", false},
        {"\"Everline\"", false},
        {"\"other everline\"", false},
        {"\"everline\\u0000\"", false},
        {"[]", false},
        {"[\"other\"]", false},
        {"[\"other\",\"another\"]", false},
        {"[\"everline\\u0000\"]", false},
        {"[[\"everline\"]]", false},
        {"[{\"everline\":1}]", false},
        {"[null]", false},
        {"[1]", false},
        {"[\"everline\",1]", false},
        {"[null,\"everline\"]", false},
        {"[\"everline\",[\"everline\"]]", false},
        {"[\"everline\"]", true},
        {"[\"other\",\"everline\"]", true},
        {"[\"everline\",\"other\"]", true},
        {"[\"everline\",\"everline\"]", true},
    };
    (void)state;
    CHECK_ROWS("aud", rows);
}

static void tenant_is_the_keys_tenant_and_no_other(void **state)
{
    static const struct row rows[] = {
        {NULL, false},
        {"null", false},
        {"1", false},
        {"true", false},
        {"{}", false},
        {"[\"dev\"]", false},
        {"\"\"", false},
        {"\"acme\"", false},
        {"\"closed\"", false},
        {"\"gone\"", false},
        {"\"nobody\"", false},
        {"\"DEV\"", false},
        {"\"dev \"", false},
        {"\"de\"", false},
        {"\"dev2\"", false},
        {"\"dev\\u0000\"", false},
        {"\"dev\\u0000acme\"", false},
        {"\"../dev\"", false},
        {"\"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\"", false},
        {"\"d\\u0065v\"", true},
    };
    (void)state;
    CHECK_ROWS("tenant", rows);
}

static void a_key_vouches_for_its_own_tenant_only(void **state)
{
    struct auth_identity id;
    struct buf claims = {0};
    (void)state;
    write_claims(&claims, NULL, NULL); /* tenant dev */
    assert_int_equal(verify_payload(&id, &dev, claims.data, claims.len), ST_OK);
    assert_int_equal(verify_payload(&id, &acme, claims.data, claims.len), ST_UNKNOWN_CALLER);
    assert_nobody(&id);
    buf_release(&claims);
    write_claims(&claims, "tenant", "\"acme\"");
    assert_int_equal(verify_payload(&id, &acme, claims.data, claims.len), ST_OK);
    assert_string_equal(id.tenant, "acme");
    assert_int_equal(verify_payload(&id, &dev, claims.data, claims.len), ST_UNKNOWN_CALLER);
    buf_release(&claims);
}

static void a_disabled_tenant_is_refused(void **state)
{
    struct auth_identity id;
    struct buf claims = {0};
    (void)state;
    write_claims(&claims, "tenant", "\"closed\"");
    assert_int_equal(verify_payload(&id, &closed, claims.data, claims.len), ST_UNKNOWN_CALLER);
    assert_non_null(strstr(st_message(), "disabled"));
    assert_nobody(&id);
    buf_release(&claims);
}

static void a_tenant_that_does_not_exist_is_refused(void **state)
{
    struct auth_identity id;
    struct buf claims = {0};
    (void)state;
    write_claims(&claims, "tenant", "\"gone\"");
    assert_int_equal(verify_payload(&id, &gone, claims.data, claims.len), ST_UNKNOWN_CALLER);
    assert_non_null(strstr(st_message(), "no such tenant"));
    assert_nobody(&id);
    buf_release(&claims);
}

/* Fills one member with what ctx points to. */
static bool odd_policy(struct auth_policy *out, const char *tenant, void *ctx)
{
    (void)tenant;
    *out = *(const struct auth_policy *)ctx;
    return true;
}

static void a_tenant_without_issuer_or_audience_lets_nobody_in(void **state)
{
    struct auth_policy policies[] = {
        {true, NULL, KIT_AUDIENCE}, {true, "", KIT_AUDIENCE}, {true, KIT_ISSUER, NULL},
        {true, KIT_ISSUER, ""},     {true, NULL, NULL},       {false, KIT_ISSUER, KIT_AUDIENCE},
    };
    static const char *const header = "{\"alg\":\"HS256\",\"kid\":\"dev\"}";
    struct auth_policy sound = {true, KIT_ISSUER, KIT_AUDIENCE};
    struct auth_identity id;
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct buf claims = {0}, token = {0};
        write_claims(&claims, round ? "iss" : "aud", "\"\"");
        for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
            kit_forge_text(&token, &dev, header, claims.data);
            assert_int_equal(auth_token_verify(&id, keys, token.data, token.len, KIT_NOW,
                                               odd_policy, &policies[i]),
                             ST_UNKNOWN_CALLER);
            assert_nobody(&id);
            buf_release(&token);
        }
        buf_release(&claims);
        write_claims(&claims, NULL, NULL);
        kit_forge_text(&token, &dev, header, claims.data);
        for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
            assert_int_equal(auth_token_verify(&id, keys, token.data, token.len, KIT_NOW,
                                               odd_policy, &policies[i]),
                             ST_UNKNOWN_CALLER);
        assert_int_equal(
            auth_token_verify(&id, keys, token.data, token.len, KIT_NOW, odd_policy, &sound),
            ST_OK);
        buf_release(&token);
        buf_release(&claims);
    }
}

static void optional_strings_are_strings_without_nul(void **state)
{
    static const struct row rows[] = {
        {NULL, true},           {"\"\"", true}, {"\"a b\"", true}, {"\"\\u00e9\"", true},
        {"null", false},        {"1", false},   {"true", false},   {"[]", false},
        {"[\"x\"]", false},     {"{}", false},  {"1.5", false},    {"\"a\\u0000b\"", false},
        {"\"\\u0000\"", false},
    };
    char value[512];
    struct auth_identity id;
    static const struct {
        const char *name;
        size_t size;
    } claims[] = {{"sub", AUTH_SUBJECT_MAX}, {"jti", AUTH_TOKEN_ID_MAX}};
    (void)state;
    CHECK_ROWS("sub", rows);
    CHECK_ROWS("jti", rows);
    CHECK_ROWS("scope", rows);
    for (size_t i = 0; i < 2; i++)
        for (size_t len = claims[i].size - 1; len <= claims[i].size; len++) {
            memset(value, 's', len + 1);
            value[0] = value[len + 1] = '"';
            value[len + 2] = '\0';
            assert_int_equal(verify_claim(&id, claims[i].name, value),
                             len < claims[i].size ? ST_OK : ST_UNKNOWN_CALLER);
        }
}

static void without_a_scope_nothing_is_allowed(void **state)
{
    struct auth_identity id;
    (void)state;
    assert_int_equal(verify_claim(&id, "scope", NULL), ST_OK);
    assert_int_equal(id.scopes, 0);
    for (unsigned i = 0; i < 7; i++)
        assert_false(auth_identity_has_scope(&id, (enum auth_scope)(1U << i)));
    assert_int_equal(verify_claim(&id, "scope", "\"openid data:reads\""), ST_OK);
    assert_int_equal(id.scopes, 0);
}

static void datasets_narrow_what_is_seen(void **state)
{
    struct auth_identity id;
    (void)state;
    assert_int_equal(verify_claim(&id, "datasets", "[\"lifeline\",\"flights\"]"), ST_OK);
    assert_true(id.datasets_listed);
    assert_int_equal(id.dataset_count, 2);
    assert_true(auth_identity_sees_dataset(&id, "lifeline"));
    assert_true(auth_identity_sees_dataset(&id, "flights"));
    assert_false(auth_identity_sees_dataset(&id, "payouts"));
    assert_false(auth_identity_sees_dataset(&id, "life"));
    assert_false(auth_identity_sees_dataset(&id, "lifelines"));
    assert_int_equal(verify_claim(&id, "datasets", "[]"), ST_OK);
    assert_true(id.datasets_listed);
    assert_false(auth_identity_sees_dataset(&id, "lifeline"));
    assert_int_equal(verify_claim(&id, "datasets", "[\"*\"]"), ST_OK);
    assert_false(auth_identity_sees_dataset(&id, "lifeline"));
}

static void datasets_is_a_list_of_names(void **state)
{
    static const struct row rows[] = {
        {"null", false},
        {"\"lifeline\"", false},
        {"1", false},
        {"true", false},
        {"{}", false},
        {"{\"lifeline\":true}", false},
        {"[1]", false},
        {"[null]", false},
        {"[[\"lifeline\"]]", false},
        {"[\"lifeline\",1]", false},
        {"[\"lifeline\\u0000\"]", false},
        {"[\"ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\"]", true},
        {"[\"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\"]", false},
    };
    struct auth_identity id;
    (void)state;
    CHECK_ROWS("datasets", rows);
    for (unsigned count = AUTH_DATASETS_MAX; count <= AUTH_DATASETS_MAX + 1; count++) {
        struct buf list = {0};
        buf_init(&list, KIT_TEXT_MAX);
        for (unsigned i = 0; i < count; i++)
            buf_addf(&list, "%s\"d%u\"", i ? "," : "[", i);
        buf_addch(&list, ']');
        assert_int_equal(verify_claim(&id, "datasets", list.data),
                         count == AUTH_DATASETS_MAX ? ST_OK : ST_UNKNOWN_CALLER);
        buf_release(&list);
    }
}

static void the_payload_is_one_strict_json_object(void **state)
{
    static const char *const payloads[] = {
        "[]", "{}", "null", "1", "\"text\"", "true", " ", "{", "}", "x", "\xff", "{\"exp\"}",
    };
    struct buf claims = {0}, changed = {0};
    struct auth_identity id;
    (void)state;
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++)
        assert_payload_refused(payloads[i], strlen(payloads[i]));
    write_claims(&claims, NULL, NULL);
    assert_int_equal(verify_payload(&id, &dev, claims.data, claims.len), ST_OK);
    assert_payload_refused(claims.data, claims.len + 1); /* a NUL behind it */
    assert_payload_refused(claims.data, claims.len - 1);

    static const char *const around[][2] = {{"[", "]"},   {"", "{}"},      {"", " x"},
                                            {"", "}"},    {"", ","},       {"\xef\xbb\xbf", ""},
                                            {"\"", "\""}, {"{\"a\":", ""}, {"", "\f"}};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        buf_init(&changed, KIT_TEXT_MAX);
        buf_addf(&changed, "%s%s%s", around[i][0], claims.data, around[i][1]);
        assert_payload_refused(changed.data, changed.len);
        buf_release(&changed);
    }
    buf_init(&changed, KIT_TEXT_MAX);
    buf_addf(&changed, " \r\n\t%s\n", claims.data);
    assert_int_equal(verify_payload(&id, &dev, changed.data, changed.len), ST_OK);
    buf_release(&changed);
    buf_release(&claims);
}

static void a_claim_may_be_given_once(void **state)
{
    static const char *const members[] = {
        "\"exp\":1800003600",
        "\"exp\":0",
        "\"tenant\":\"dev\"",
        "\"tenant\":\"acme\"",
        "\"iss\":\"x\"",
        "\"aud\":\"everline\"",
        "\"\\u0065xp\":1800003600",
        "\"scope\":\"platform:admin\"",
        "\"nested\":{\"a\":1,\"a\":2}",
        "\"nested\":[{\"a\":1,\"a\":1}]",
    };
    struct buf claims = {0}, changed = {0};
    (void)state;
    write_claims(&claims, NULL, NULL);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        for (int front = 0; front < 2; front++) {
            buf_init(&changed, KIT_TEXT_MAX);
            if (front)
                buf_addf(&changed, "{%s,%s", members[i], claims.data + 1);
            else
                buf_addf(&changed, "%.*s,%s}", (int)claims.len - 1, claims.data, members[i]);
            assert_payload_refused(changed.data, changed.len);
            buf_release(&changed);
        }
    buf_release(&claims);
}

static void a_deeply_nested_payload_is_refused(void **state)
{
    char value[1601];
    struct auth_identity id;
    (void)state;
    memset(value, '[', 800);
    memset(value + 800, ']', 800);
    value[1600] = '\0';
    assert_int_equal(verify_claim(&id, "deep", value), ST_UNKNOWN_CALLER);
    assert_nobody(&id);
    assert_int_equal(verify_claim(&id, "deep", "[[[[[[]]]]]]"), ST_OK);
}

static void a_reason_never_quotes_a_claim(void **state)
{
    static const char *const names[] = {"iss", "aud", "tenant", "exp", "datasets", "nbf", "iat"};
    struct auth_identity id;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(verify_claim(&id, names[i], "\"jane.doe@example.test\""),
                         ST_UNKNOWN_CALLER);
        assert_null(strstr(st_message(), "jane"));
        assert_null(strstr(st_place_text(), "jane"));
        assert_null(strstr(st_hint_text(), "jane"));
        assert_non_null(strstr(st_message(), names[i]));
    }
}

static void a_signature_is_checked_before_any_claim(void **state)
{
    struct auth_identity id;
    struct buf claims = {0}, token = {0};
    (void)state;
    write_claims(&claims, "exp", "0");
    kit_forge_text(&token, &dev, "{\"alg\":\"HS256\",\"kid\":\"acme\"}", claims.data);
    assert_int_equal(auth_token_verify(&id, keys, token.data, token.len, KIT_NOW, kit_policy, NULL),
                     ST_UNKNOWN_CALLER);
    assert_non_null(strstr(st_message(), "signature"));
    assert_nobody(&id);
    buf_release(&token);
    buf_release(&claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_token_says_who_is_calling),
        cmocka_unit_test(exp_is_required_an_integer_and_in_the_future),
        cmocka_unit_test(nbf_and_iat_are_integers_and_not_in_the_future),
        cmocka_unit_test(iss_is_exactly_the_tenants_issuer),
        cmocka_unit_test(aud_is_or_contains_our_audience),
        cmocka_unit_test(tenant_is_the_keys_tenant_and_no_other),
        cmocka_unit_test(a_key_vouches_for_its_own_tenant_only),
        cmocka_unit_test(a_disabled_tenant_is_refused),
        cmocka_unit_test(a_tenant_that_does_not_exist_is_refused),
        cmocka_unit_test(a_tenant_without_issuer_or_audience_lets_nobody_in),
        cmocka_unit_test(optional_strings_are_strings_without_nul),
        cmocka_unit_test(without_a_scope_nothing_is_allowed),
        cmocka_unit_test(datasets_narrow_what_is_seen),
        cmocka_unit_test(datasets_is_a_list_of_names),
        cmocka_unit_test(the_payload_is_one_strict_json_object),
        cmocka_unit_test(a_claim_may_be_given_once),
        cmocka_unit_test(a_deeply_nested_payload_is_refused),
        cmocka_unit_test(a_reason_never_quotes_a_claim),
        cmocka_unit_test(a_signature_is_checked_before_any_claim),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
