#include "api/responses.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct api_responses *responses;

/* A body of one length; of the headers, a value decides whether it fits where another was. */
static struct api_response *take(const char *id)
{
    const struct api_pair headers[] = {{"X-Request-Id", id, strlen(id)}, {"Vary", "Origin", 6}};

    return api_responses_take(responses, headers, 2, "{}", 2);
}

static void expect(const char *id)
{
    struct api_response *r = take(id);

    assert_non_null(r);
    assert_string_equal(MHD_get_response_header(r->response, "X-Request-Id"), id);
    assert_string_equal(MHD_get_response_header(r->response, "Vary"), "Origin");
    assert_int_equal(MHD_get_response_headers(r->response, NULL, NULL), 2);
    api_response_give(r);
}

static void a_response_that_is_used_again_has_its_own_headers(void **state)
{
    (void)state;
    expect("first");
    expect("other");
    expect("longer than that");
    expect("x");
    expect("y");
    expect("first");
}

static void one_that_is_sent_is_nobody_elses(void **state)
{
    struct api_response *r = take("first");

    (void)state;
    assert_non_null(r);
    assert_null(take("other"));
    assert_string_equal(MHD_get_response_header(r->response, "X-Request-Id"), "first");
    api_response_give(r);
    expect("other");
}

static void a_value_that_would_be_two_headers_is_refused(void **state)
{
    (void)state;
    expect("first");
    assert_null(take("a\r\nb:")); /* over one of the same length */
    assert_null(take("a\r\nb:")); /* where there is none */
    expect("first");
    assert_null(take("a\r\nb: longer"));
    expect("first");
}

static void a_name_that_is_there_twice_is_not_kept(void **state)
{
    const struct api_pair headers[] = {{"Vary", "Origin", 6}, {"Vary", "Accept", 6}};

    (void)state;
    assert_null(api_responses_take(responses, headers, 2, "{}", 2));
}

static int begin(void **state)
{
    (void)state;
    return api_responses_new(&responses) == ST_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    api_responses_free(responses);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_that_is_used_again_has_its_own_headers),
        cmocka_unit_test(one_that_is_sent_is_nobody_elses),
        cmocka_unit_test(a_value_that_would_be_two_headers_is_refused),
        cmocka_unit_test(a_name_that_is_there_twice_is_not_kept),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
