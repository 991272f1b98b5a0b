/* When a JWK Set is fetched again. That it is then is the business of api_jwks. */
#include "auth/jwks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define URL "https://issuer.test/jwks.json"
#define MINUTE_MS 60000u
#define DAY_S 86400

static void a_set_is_fetched_before_it_expires(void **state)
{
    static const struct {
        const char *location;
        int64_t max_age_s;
        uint64_t kept_ms;
    } CASES[] = {
        {URL, 1000, 1000000},
        {URL, -1, 5 * MINUTE_MS},
        {URL, 0, MINUTE_MS},
        {URL, 60, MINUTE_MS},
        {URL, DAY_S, DAY_S * 1000u},
        {URL, DAY_S + 1, DAY_S * 1000u},
        {URL, INT64_MAX, DAY_S * 1000u},
        {"/etc/keys.json", -1, MINUTE_MS},
        {"/etc/keys.json", 1000, MINUTE_MS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        assert_int_equal(auth_jwks_pause_ms(CASES[i].location, CASES[i].max_age_s, 0),
                         CASES[i].kept_ms / 5 * 4);
}

static void one_that_cannot_be_had_is_tried_less_and_less_often(void **state)
{
    static const uint64_t PAUSES_MS[] = {10000, 20000, 40000, 80000, 160000, 300000, 300000};

    (void)state;
    for (unsigned i = 0; i < sizeof PAUSES_MS / sizeof PAUSES_MS[0]; i++)
        assert_int_equal(auth_jwks_pause_ms(URL, DAY_S, i + 1), PAUSES_MS[i]);
    assert_int_equal(auth_jwks_pause_ms(URL, -1, UINT32_MAX), 300000);
    assert_int_equal(auth_jwks_pause_ms("/etc/keys.json", -1, 1), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_fetched_before_it_expires),
        cmocka_unit_test(one_that_cannot_be_had_is_tried_less_and_less_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
