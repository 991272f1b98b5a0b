#include "auth_kit.h"

#include "auth/scope.h"

static void every_scope_survives_writing_and_parsing(void **state)
{
    (void)state;
    for (uint32_t scopes = 1; scopes < 1U << 7; scopes++) {
        struct buf text = {0};
        uint32_t strict = 0;
        buf_init(&text, 512);
        auth_scopes_write(&text, scopes);
        assert_int_equal(auth_scopes_parse(text.data), scopes);
        assert_int_equal(auth_scopes_parse_strict(&strict, text.data), ST_OK);
        assert_int_equal(strict, scopes);
        buf_release(&text);
    }
}

static void names_are_those_of_the_design(void **state)
{
    static const char *const names[] = {"data:read",      "analytics:read", "ingest:write",
                                        "versions:write", "audit:read",     "tenant:admin",
                                        "platform:admin"};
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        assert_string_equal(auth_scope_name((enum auth_scope)(1U << i)), names[i]);
        assert_int_equal(auth_scopes_parse(names[i]), 1U << i);
    }
}

static void a_token_may_carry_scopes_of_other_services(void **state)
{
    (void)state;
    assert_int_equal(auth_scopes_parse("openid data:read  profile versions:write "),
                     AUTH_DATA_READ | AUTH_VERSIONS_WRITE);
    assert_int_equal(auth_scopes_parse(""), 0);
    assert_int_equal(auth_scopes_parse("   "), 0);
}

static void what_only_resembles_a_scope_grants_nothing(void **state)
{
    static const char *const words[] = {"data:rea",
                                        "data:reads",
                                        "DATA:READ",
                                        "data",
                                        "data:read,x",
                                        ":",
                                        "*",
                                        "data:*",
                                        "data:read\tx",
                                        "\"data:read\"",
                                        "platform:admin\n",
                                        "tenant:admin;"};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        uint32_t scopes = 99;
        assert_int_equal(auth_scopes_parse(words[i]), 0);
        assert_int_equal(auth_scopes_parse_strict(&scopes, words[i]), ST_INVALID);
        assert_int_equal(scopes, 0);
    }
}

static void a_person_is_told_which_word_is_no_scope(void **state)
{
    uint32_t scopes = 99;
    (void)state;
    assert_int_equal(auth_scopes_parse_strict(&scopes, "data:read dta:read"), ST_INVALID);
    assert_int_equal(scopes, 0);
    assert_non_null(strstr(st_message(), "dta:read"));
    assert_non_null(strstr(st_hint_text(), "analytics:read"));
    assert_int_equal(auth_scopes_parse_strict(&scopes, ""), ST_INVALID);
    assert_int_equal(auth_scopes_parse_strict(&scopes, "  "), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scope_survives_writing_and_parsing),
        cmocka_unit_test(names_are_those_of_the_design),
        cmocka_unit_test(a_token_may_carry_scopes_of_other_services),
        cmocka_unit_test(what_only_resembles_a_scope_grants_nothing),
        cmocka_unit_test(a_person_is_told_which_word_is_no_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
