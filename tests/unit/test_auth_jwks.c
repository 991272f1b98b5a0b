/* When a JWK Set is fetched again (that it is then is the business of api_jwks), and which are
 * kept. */
#include "auth/jwks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

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

static _Thread_local bool memory_fails; /* not that of the thread that fetches */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    return memory_fails ? NULL : __real_calloc(count, size);
}

static void nothing_changed(void *ctx)
{
    (void)ctx;
}

/* Whose keys are in force would be refused else, although the view with them stays. */
static void without_memory_for_a_new_set_those_of_before_stay(void **state)
{
    static const char *const WANTED[] = {"/none/new.json", "/none/old.json"};
    const struct auth_jwks_options options = {.changed_fn = nothing_changed};
    struct auth_jwks_state now;
    struct auth_jwks *j;

    (void)state;
    assert_int_equal(auth_jwks_start(&j, &options), ST_OK);
    assert_int_equal(auth_jwks_want(j, WANTED + 1, 1), ST_OK);
    do
        auth_jwks_look(&now, j);
    while (!now.settled);
    memory_fails = true;
    assert_int_equal(auth_jwks_want(j, WANTED, 2), ST_NOMEM);
    memory_fails = false;
    auth_jwks_look(&now, j);
    assert_int_equal(now.sources, 1);
    assert_int_equal(auth_jwks_want(j, WANTED, 2), ST_OK);
    auth_jwks_look(&now, j);
    assert_int_equal(now.sources, 2);
    auth_jwks_stop(j);
    auth_jwks_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_fetched_before_it_expires),
        cmocka_unit_test(one_that_cannot_be_had_is_tried_less_and_less_often),
        cmocka_unit_test(without_memory_for_a_new_set_those_of_before_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
