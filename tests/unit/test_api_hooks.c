/* Webhooks are signed as others verify them; one that could not be taken is let go. */
#include "store_kit.h"

#include "api/hooks.h"
#include "store/hook.h"
#include "store/queue.h"

#include <semaphore.h>
#include <stdatomic.h>

/* There is no keeper: tasks run here, and their commit fails. */
static struct store *catalog;
static sem_t run;
static _Atomic unsigned released;

enum st __wrap_store_keeper_call(struct store_keeper *k,
                                 void (*run_fn)(struct store *s, struct store_wait *wait,
                                                void *ctx),
                                 void *ctx);
void __real_store_hook_release(struct store_hook *h);
void __wrap_store_hook_release(struct store_hook *h);

enum st __wrap_store_keeper_call(struct store_keeper *k,
                                 void (*run_fn)(struct store *s, struct store_wait *wait,
                                                void *ctx),
                                 void *ctx)
{
    struct store_wait wait = {.sequence = 0};

    (void)k;
    run_fn(catalog, &wait, ctx);
    sem_post(&run);
    return st_fail(ST_FULL, NULL, "the disk is full");
}

void __wrap_store_hook_release(struct store_hook *h)
{
    atomic_fetch_add(&released, h->payload != NULL);
    __real_store_hook_release(h);
}

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

static void put_message(struct kit *kit)
{
    struct store_tenant tenant;
    struct store_lease lease;

    kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
    snprintf(tenant.webhook, sizeof tenant.webhook, "https://acme.example/hook");
    kit_ok(store_tenant_put(kit->store, &tenant));
    kit_dataset(kit, KIT_THINGS);
    kit_lease(&lease, kit, "things");
    kit_ok(store_lease_finish(kit->store, &lease, "failed", NULL));
}

static void a_message_whose_taking_was_not_committed_is_let_go(void **state)
{
    struct api_hooks *hooks = NULL;
    struct kit kit;

    (void)state;
    kit_new(&kit);
    put_message(&kit);
    catalog = kit.store;
    assert_int_equal(sem_init(&run, 0, 0), 0);
    kit_ok(api_hooks_start(&hooks, NULL, NULL));
    assert_int_equal(sem_wait(&run), 0);
    api_hooks_stop(hooks);
    assert_int_equal(released, 1);
    kit_free(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_standard_webhooks_has_its_signature),
        cmocka_unit_test(a_message_whose_taking_was_not_committed_is_let_go),
    };
    return cmocka_run_group_tests_name("api_hooks", tests, NULL, NULL);
}
