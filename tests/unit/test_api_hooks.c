/* Webhooks are signed as others verify them. */
#include "api/hooks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The example that the libraries of Standard Webhooks test themselves with: the key is the bytes of
 * whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw. */
static void the_example_of_standard_webhooks_has_its_signature(void **state)
{
    static const unsigned char KEY[] = {0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a,
                                        0xab, 0x4f, 0x08, 0xd4, 0x3c, 0x3f, 0x08, 0x2c,
                                        0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0};
    char signature[API_HOOKS_SIGNATURE_SIZE];
    struct secret key = {0};

    (void)state;
    assert_int_equal(secret_copy(&key, KEY, sizeof KEY), ST_OK);
    assert_int_equal(api_hooks_sign(signature, &key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
                                    "{\"test\": 2432232314}"),
                     ST_OK);
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    secret_release(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_standard_webhooks_has_its_signature),
    };
    return cmocka_run_group_tests_name("api_hooks", tests, NULL, NULL);
}
