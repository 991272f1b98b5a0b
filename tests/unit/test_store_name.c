#include "store_format_kit.h"

#include "store/name.h"

#define LONG62 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789"

static void names_of_tenants_and_datasets_are_lower_case(void **state)
{
    static const char *const GOOD[] = {"a", "lifeline", "a-b_c9", "z" LONG62};
    static const char *const BAD[] = {"",    "A",   "9a",      "-a",  "_a",  "a b",
                                      "a/b", "a.b", "a\xc3",   "a:b", "a\n", "z" LONG62 "x",
                                      "aB",  "..",  "\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        assert_int_equal(store_name_check("dataset", GOOD[i]), ST_OK);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        assert_int_equal(store_name_check("dataset", BAD[i]), ST_INVALID);
        assert_string_equal(st_code(), "INVALID_NAME");
        assert_non_null(strstr(st_message(), "dataset"));
    }
}

static void a_refused_name_is_not_repeated(void **state)
{
    (void)state;
    assert_int_equal(store_name_check("tenant", "Quixotic"), ST_INVALID);
    assert_null(strstr(st_message(), "Quixotic"));
    assert_int_equal(store_field_name_check("field", "Quixotic Person"), ST_INVALID);
    assert_null(strstr(st_message(), "Quixotic"));
}

static void names_of_fields_are_identifiers(void **state)
{
    static const char *const GOOD[] = {"a", "A", "_", "_9", "First_Name2", "z" LONG62};
    static const char *const BAD[] = {"",    "9a",  "a-b", "a b", "a\"b",        "a;b",
                                      "a.b", "a'b", "a:b", "a,b", "z" LONG62 "x"};

    (void)state;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        assert_int_equal(store_field_name_check("field", GOOD[i]), ST_OK);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_int_equal(store_field_name_check("field", BAD[i]), ST_INVALID);
}

static void words_of_the_query_are_reserved(void **state)
{
    static const char *const RESERVED[] = {"version",  "as_of",   "limit",    "cursor",
                                           "group_by", "metrics", "order_by", "from",
                                           "to",       "fields",  "compare",  "explain"};

    (void)state;
    for (size_t i = 0; i < sizeof RESERVED / sizeof RESERVED[0]; i++)
        assert_true(store_field_name_reserved(RESERVED[i]));
    assert_false(store_field_name_reserved("state"));
    assert_false(store_field_name_reserved("versions"));
    assert_false(store_field_name_reserved(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_tenants_and_datasets_are_lower_case),
        cmocka_unit_test(a_refused_name_is_not_repeated),
        cmocka_unit_test(names_of_fields_are_identifiers),
        cmocka_unit_test(words_of_the_query_are_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
