#include "api/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

#include <string.h>

/* Tokens, RFC 9110 section 5.6.2. */
#define TOKEN "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static void add(struct api_head *head, const char *name, const char *value)
{
    api_head_add(head, name, strlen(name), value, value ? strlen(value) : 0);
}

/* With a Host, unless there is one. */
static const char *fault(const struct api_head *head)
{
    struct api_head whole = *head;

    if (!whole.hosts) {
        whole.hosts = 1;
        whole.host = "x";
    }
    return api_head_fault(&whole, "POST", "/v1/datasets", "HTTP/1.1");
}

/* The fault of a head with these one or two headers. */
static const char *fault_of(const char *name, const char *value, const char *name2,
                            const char *value2)
{
    struct api_head head = {0};

    add(&head, name, value);
    if (name2)
        add(&head, name2, value2);
    return fault(&head);
}

static void an_empty_head_has_no_fault_and_no_length(void **state)
{
    struct api_head head = {0};
    (void)state;
    assert_null(fault(&head));
    assert_int_equal(api_head_length(&head), 0);
}

static void values_that_matter_are_kept_whatever_the_case_of_their_names(void **state)
{
    struct api_head head = {0};
    (void)state;
    add(&head, "AUTHORIZATION", "Bearer a");
    add(&head, "content-type", "application/json");
    add(&head, "Content-LENGTH", "12");
    add(&head, "host", "x");
    add(&head, "X-REQUEST-ID", "r1");
    add(&head, "if-match", "\"3\"");
    add(&head, "If-None-Match", "*");
    assert_null(fault(&head));
    assert_string_equal(head.authorization, "Bearer a");
    assert_string_equal(head.content_type, "application/json");
    assert_string_equal(head.content_length, "12");
    assert_string_equal(head.request_id, "r1");
    assert_string_equal(head.if_match, "\"3\"");
    assert_string_equal(head.if_none_match, "*");
    assert_null(head.transfer_encoding);
    assert_int_equal(head.hosts, 1);
    assert_int_equal(api_head_length(&head), 12);
}

static void names_that_only_resemble_one_that_matters_are_others(void **state)
{
    static const char *const names[] = {"Authorizatio",
                                        "Authorizations",
                                        "X-Authorization",
                                        "Content-Length2",
                                        "Content_Length",
                                        "Content-Typ",
                                        "Hos",
                                        "Hosts",
                                        "If-Matc",
                                        "If-None-Matchh",
                                        "Transfer-Encodin",
                                        "TE"};
    struct api_head head = {0};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        add(&head, names[i], "x");
    assert_null(fault(&head));
    assert_memory_equal(&head, &(struct api_head){0}, sizeof head);
}

/* A name comes with its length: what lies behind it is not part of it. */
static void a_name_ends_where_its_length_says(void **state)
{
    struct api_head head = {0};
    (void)state;
    api_head_add(&head, "Host: x", 4, "y", 1);
    assert_int_equal(head.hosts, 1);
    assert_null(fault(&head));
}

static void a_header_without_a_value_is_empty_not_absent(void **state)
{
    struct api_head head = {0};
    (void)state;
    add(&head, "Authorization", NULL);
    add(&head, "If-Match", "");
    assert_string_equal(head.authorization, "");
    assert_string_equal(head.if_match, "");
    assert_null(fault(&head));
    assert_non_null(fault_of("Content-Length", NULL, NULL, NULL));
    assert_non_null(fault_of("Transfer-Encoding", NULL, NULL, NULL));
}

static void http_1_1_has_a_host_even_an_empty_one(void **state)
{
    struct api_head head = {0};
    (void)state;
    assert_non_null(api_head_fault(&head, "GET", "/", "HTTP/1.1"));
    assert_null(api_head_fault(&head, "GET", "/", "HTTP/1.0"));
    add(&head, "Host", "");
    assert_null(api_head_fault(&head, "GET", "/", "HTTP/1.1"));
}

static void a_name_is_a_token(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool good = c && strchr(TOKEN, c);
        for (size_t at = 0; at < 3; at++) {
            struct api_head head = {0};
            char name[3] = {'a', 'b', 'c'};
            name[at] = (char)c;
            api_head_add(&head, name, sizeof name, "x", 1);
            assert_int_equal(fault(&head) == NULL, good);
        }
    }
    assert_non_null(fault_of("", "x", NULL, NULL));
    assert_non_null(fault_of("Content-Length ", "1", NULL, NULL));
    assert_non_null(fault_of(" c", "d", NULL, NULL));
}

static void a_nul_in_any_value_is_a_fault(void **state)
{
    struct api_head secret = {0}, other = {0}, end = {0};
    (void)state;
    api_head_add(&secret, "Authorization", 13, "Bearer a\0b", 10);
    api_head_add(&other, "Accept", 6, "\0", 1);
    api_head_add(&end, "Host", 4, "x\0", 2);
    assert_non_null(fault(&secret));
    assert_non_null(fault(&other));
    assert_non_null(fault(&end));
}

static void a_fault_stays_whatever_follows(void **state)
{
    struct api_head head = {0};
    (void)state;
    add(&head, "X(a)", "b");
    add(&head, "Host", "x");
    add(&head, "Content-Length", "0");
    assert_non_null(fault(&head));
}

static void what_may_be_there_once_is_not_repeated(void **state)
{
    static const char *const once[] = {"Authorization", "Host", "Content-Length",
                                       "Transfer-Encoding", "Idempotency-Key"};
    static const char *const values[] = {"Bearer a", "x", "5", "chunked", "k"};
    (void)state;
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
        char upper[32] = "";
        for (size_t k = 0; once[i][k]; k++)
            upper[k] =
                once[i][k] >= 'a' && once[i][k] <= 'z' ? (char)(once[i][k] - 32) : once[i][k];
        assert_null(fault_of(once[i], values[i], NULL, NULL));
        assert_non_null(fault_of(once[i], values[i], once[i], values[i]));
        assert_non_null(fault_of(once[i], values[i], upper, values[i]));
        assert_non_null(fault_of(once[i], NULL, once[i], values[i]));
    }
    assert_null(fault_of("Accept", "a", "Accept", "b"));
    assert_null(fault_of("If-None-Match", "\"a\"", "If-None-Match", "\"b\""));
}

static void length_and_encoding_do_not_go_together(void **state)
{
    (void)state;
    assert_non_null(fault_of("Transfer-Encoding", "chunked", "Content-Length", "5"));
    assert_non_null(fault_of("Content-Length", "0", "Transfer-Encoding", "chunked"));
    assert_non_null(fault_of("Content-Length", "", "Transfer-Encoding", "chunked"));
}

static void the_only_encoding_is_chunked(void **state)
{
    static const char *const bad[] = {
        "",         "identity",         "gzip",      "gzip, chunked", "chunked,",    "chunked;q=1",
        "xchunked", "chunkedx",         " chunked",  "chunked ",      "\"chunked\"", "chunked\t",
        "chunke",   "chunked, chunked", "\vchunked", "chunked\r"};
    (void)state;
    assert_null(fault_of("Transfer-Encoding", "chunked", NULL, NULL));
    assert_null(fault_of("transfer-encoding", "Chunked", NULL, NULL));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(fault_of("Transfer-Encoding", bad[i], NULL, NULL));
}

static void a_length_is_digits_and_nothing_else(void **state)
{
    static const char *const bad[] = {"",
                                      "+5",
                                      "-1",
                                      " 5",
                                      "5 ",
                                      "5,5",
                                      "5, 5",
                                      "0x10",
                                      "1e3",
                                      "5.0",
                                      "5;",
                                      "\xD9\xA5",
                                      "1000000000000000000",
                                      "18446744073709551617"};
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"5", 5},
                {"007", 7},
                {"1048576", 1048576},
                {"999999999999999999", 999999999999999999}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(fault_of("Content-Length", bad[i], NULL, NULL));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct api_head head = {0};
        add(&head, "Content-Length", good[i].text);
        assert_null(fault(&head));
        assert_true(api_head_length(&head) == good[i].bytes);
    }
}

static void a_method_is_in_capital_letters(void **state)
{
    static const char *const bad[] = {"",    "get",      "Get",        "GET ",  " GET", "GE\tT",
                                      "G3T", "M-SEARCH", "G\xC3\x89T", "GET\n", "*"};
    static const char *const good[] = {"GET", "HEAD", "POST", "OPTIONS", "BREW"};
    const struct api_head head = {0};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(api_head_fault(&head, bad[i], "/", "HTTP/1.0"));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_null(api_head_fault(&head, good[i], "/", "HTTP/1.0"));
}

static void a_value_holds_no_control_character_wherever_it_is(void **state)
{
    (void)state;
    for (size_t len = 1; len < 40; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                struct api_head head = {0};
                char value[40];

                memset(value, 'a', sizeof value);
                value[at] = (char)c;
                api_head_add(&head, "X-Any", 5, value, len);
                assert_int_equal(fault(&head) != NULL, (c < ' ' && c != '\t') || c == 0x7f);
            }
}

static void a_host_is_an_authority_and_nothing_else(void **state)
{
    static const char *const good[] = {"", "x", "example.org:8080", "[::1]:80", "127.0.0.1", "a_b"};
    static const char *const bad[] = {"a b", "a\tb", "a,b", "a/b", "a?b", "a#b", "u@a", "a\\b"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_null(fault_of("Host", good[i], NULL, NULL));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(fault_of("Host", bad[i], NULL, NULL));
}

static void what_only_proxies_or_later_versions_know_is_refused(void **state)
{
    struct api_head head = {0};
    (void)state;
    assert_non_null(api_head_fault(&head, "CONNECT", "x:80", "HTTP/1.0"));
    add(&head, "Transfer-Encoding", "chunked");
    assert_non_null(api_head_fault(&head, "POST", "/", "HTTP/1.0"));
}

static void a_target_is_visible_ascii_without_a_fragment(void **state)
{
    const struct api_head head = {0};
    (void)state;
    for (int c = 1; c < 256; c++) {
        char target[] = {'/', 'a', (char)c, 'b', '\0'}, last[] = {'/', (char)c, '\0'};
        assert_int_equal(api_head_fault(&head, "GET", target, "HTTP/1.0") != NULL,
                         c <= ' ' || c >= 0x7f || c == '#');
        assert_int_equal(api_head_fault(&head, "GET", last, "HTTP/1.0") != NULL,
                         c <= ' ' || c >= 0x7f || c == '#');
    }
}

static void a_target_holds_no_escaped_nul(void **state)
{
    const struct api_head head = {0};
    (void)state;
    assert_non_null(api_head_fault(&head, "GET", "/a%00", "HTTP/1.0"));
    assert_non_null(api_head_fault(&head, "GET", "/a?b=%00c", "HTTP/1.0"));
    assert_non_null(api_head_fault(&head, "GET", "%00", "HTTP/1.0"));
    assert_null(api_head_fault(&head, "GET", "/a%01%20%0", "HTTP/1.0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_head_has_no_fault_and_no_length),
        cmocka_unit_test(values_that_matter_are_kept_whatever_the_case_of_their_names),
        cmocka_unit_test(names_that_only_resemble_one_that_matters_are_others),
        cmocka_unit_test(a_name_ends_where_its_length_says),
        cmocka_unit_test(a_header_without_a_value_is_empty_not_absent),
        cmocka_unit_test(http_1_1_has_a_host_even_an_empty_one),
        cmocka_unit_test(a_name_is_a_token),
        cmocka_unit_test(a_nul_in_any_value_is_a_fault),
        cmocka_unit_test(a_fault_stays_whatever_follows),
        cmocka_unit_test(what_may_be_there_once_is_not_repeated),
        cmocka_unit_test(length_and_encoding_do_not_go_together),
        cmocka_unit_test(the_only_encoding_is_chunked),
        cmocka_unit_test(a_length_is_digits_and_nothing_else),
        cmocka_unit_test(a_method_is_in_capital_letters),
        cmocka_unit_test(a_value_holds_no_control_character_wherever_it_is),
        cmocka_unit_test(a_host_is_an_authority_and_nothing_else),
        cmocka_unit_test(what_only_proxies_or_later_versions_know_is_refused),
        cmocka_unit_test(a_target_is_visible_ascii_without_a_fragment),
        cmocka_unit_test(a_target_holds_no_escaped_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
