/* Tokens that a worker remembers: found only whole, only in their epoch, only in time, and never
 * more of them than there is room for. */
#include "auth/cache.h"
#include "auth_kit.h"

#define ROOM (64u << 10)
#define TOKEN "eyJhbGciOiJFUzI1NiJ9.eyJ0ZW5hbnQiOiJkZXYifQ.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZy1lbm91Z2g"

static struct auth_cache *cache;

static int set_up(void **state)
{
    (void)state;
    return auth_cache_new(&cache, ROOM);
}

static int tear_down(void **state)
{
    (void)state;
    auth_cache_free(cache);
    return 0;
}

static struct auth_identity somebody(void)
{
    struct auth_identity id = {.tenant = "dev",
                               .subject = "ada",
                               .scopes = AUTH_DATA_READ,
                               .begins_s = KIT_NOW,
                               .expires_s = KIT_NOW + 600};

    return id;
}

static void put(uint64_t epoch, const char *token)
{
    struct auth_identity id = somebody();

    auth_cache_put(cache, epoch, token, strlen(token), &id);
}

static bool is_known(uint64_t epoch, const char *token, int64_t now_s)
{
    struct auth_identity out;

    return auth_cache_find(&out, cache, epoch, token, strlen(token), now_s);
}

static void what_was_put_is_found(void **state)
{
    struct auth_identity id = somebody(), out;

    (void)state;
    id.datasets_listed = true;
    id.dataset_count = 2;
    strcpy(id.datasets[0], "flights");
    strcpy(id.datasets[1], "lifeline");
    auth_cache_put(cache, 1, TOKEN, strlen(TOKEN), &id);
    memset(&out, 0xff, sizeof out);
    assert_true(auth_cache_find(&out, cache, 1, TOKEN, strlen(TOKEN), KIT_NOW));
    assert_string_equal(out.tenant, "dev");
    assert_string_equal(out.subject, "ada");
    assert_int_equal(out.scopes, AUTH_DATA_READ);
    assert_int_equal(out.expires_s, KIT_NOW + 600);
    assert_true(auth_identity_sees_dataset(&out, "lifeline"));
    assert_false(auth_identity_sees_dataset(&out, "other"));
}

static void only_the_whole_token_is_found(void **state)
{
    (void)state;
    put(1, TOKEN);
    for (size_t i = 0; i < strlen(TOKEN); i++) {
        char changed[] = TOKEN;
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_false(is_known(1, changed, KIT_NOW));
        changed[i] = '\0';
        assert_false(is_known(1, changed, KIT_NOW));
    }
    assert_false(is_known(1, TOKEN "A", KIT_NOW));
    assert_false(is_known(1, "A" TOKEN, KIT_NOW));
    assert_true(is_known(1, TOKEN, KIT_NOW));
}

static void another_epoch_empties_it(void **state)
{
    (void)state;
    put(1, TOKEN);
    assert_false(is_known(2, TOKEN, KIT_NOW));
    assert_false(is_known(1, TOKEN, KIT_NOW)); /* also for who comes late */
    put(3, TOKEN);
    assert_false(is_known(2, TOKEN, KIT_NOW));
}

static void time_is_looked_at_on_every_hit(void **state)
{
    (void)state;
    put(1, TOKEN);
    assert_true(is_known(1, TOKEN, KIT_NOW + 600 + AUTH_SKEW_S - 1));
    assert_false(is_known(1, TOKEN, KIT_NOW + 600 + AUTH_SKEW_S));
    assert_true(is_known(1, TOKEN, KIT_NOW - AUTH_SKEW_S));
    assert_false(is_known(1, TOKEN, KIT_NOW - AUTH_SKEW_S - 1)); /* the clock was set back */
}

static void it_is_bounded_and_the_last_one_stays(void **state)
{
    char token[64];
    unsigned known = 0;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(token, sizeof token, "header.payload.signature-%016u", i);
        put(1, token);
        assert_true(is_known(1, token, KIT_NOW));
    }
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(token, sizeof token, "header.payload.signature-%016u", i);
        known += is_known(1, token, KIT_NOW);
    }
    assert_in_range(known, 10, ROOM / sizeof token);
}

static void the_same_token_is_kept_once(void **state)
{
    struct auth_identity id = somebody(), out;

    (void)state;
    for (unsigned i = 1; i <= 1000; i++) {
        id.scopes = i;
        auth_cache_put(cache, 1, TOKEN, strlen(TOKEN), &id);
    }
    assert_true(auth_cache_find(&out, cache, 1, TOKEN, strlen(TOKEN), KIT_NOW));
    assert_int_equal(out.scopes, 1000);
}

static void what_is_too_short_or_too_large_is_not_kept(void **state)
{
    static char large[ROOM];

    (void)state;
    put(1, "a.b.c");
    assert_false(is_known(1, "a.b.c", KIT_NOW));
    assert_false(is_known(1, "", KIT_NOW));
    memset(large, 'a', sizeof large - 1);
    put(1, large);
    assert_false(is_known(1, large, KIT_NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_the_whole_token_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_epoch_empties_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_is_looked_at_on_every_hit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_bounded_and_the_last_one_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_same_token_is_kept_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_short_or_too_large_is_not_kept, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
