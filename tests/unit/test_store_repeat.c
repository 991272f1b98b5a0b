/* What was answered to an Idempotency-Key: for whom, for how long, how much of it, and that it is
 * there together with what it answered, or not at all. */
#include "store_kit.h"

#include "store/internal.h"
#include "store/queue_internal.h"
#include "store/repeat_internal.h"

#include <signal.h>
#include <sys/resource.h>

#define HOUR_US 3600000000LL
#define DAY_US (24 * HOUR_US)

static const struct store_repeat FIRST = {
    .tenant = "acme", .key = {1}, .request = {7}, .now_us = DAY_US};

static enum st keep(struct kit *kit, const struct store_repeat *r, const char *text)
{
    json_t *answer = json_pack("{s:s}", "body", text);
    enum st st = store_repeat_keep(kit->store, r, answer);

    json_decref(answer);
    return st;
}

static void assert_answer(struct kit *kit, const struct store_repeat *r, const char *text)
{
    json_t *answer = NULL;

    kit_ok(store_repeat_find(&answer, kit->store, r));
    if (text)
        assert_string_equal(json_string_value(json_object_get(answer, "body")), text);
    else
        assert_null(answer);
    json_decref(answer);
}

static void an_answer_is_that_of_its_tenant_key_and_request(void **state)
{
    struct kit *kit = *state;
    struct store_repeat other = FIRST;
    json_t *answer = NULL;

    assert_answer(kit, &FIRST, NULL);
    kit_ok(keep(kit, &FIRST, "one"));
    assert_answer(kit, &FIRST, "one");
    other.tenant = "bravo";
    assert_answer(kit, &other, NULL);
    other.tenant = "acm";
    assert_answer(kit, &other, NULL);
    other = FIRST;
    other.key[31] = 1;
    assert_answer(kit, &other, NULL);
    other = FIRST;
    other.request[31] = 1;
    assert_int_equal(store_repeat_find(&answer, kit->store, &other), ST_REUSED);
    assert_string_equal(st_code(), "IDEMPOTENCY_KEY_REUSED");
    assert_null(answer);
    kit_close(kit);
    kit_open(kit);
    assert_answer(kit, &FIRST, "one");
}

static void after_a_day_a_key_is_a_new_one(void **state)
{
    struct kit *kit = *state;
    struct store_repeat later = FIRST;

    kit_ok(keep(kit, &FIRST, "one"));
    later.now_us = FIRST.now_us + DAY_US - 1;
    assert_answer(kit, &later, "one");
    later.now_us = FIRST.now_us + DAY_US;
    later.request[0] = 8;
    assert_answer(kit, &later, NULL);
    kit_ok(keep(kit, &later, "two"));
    assert_answer(kit, &later, "two");
}

static void an_answer_has_a_bound(void **state)
{
    struct kit *kit = *state;
    char *text = malloc(STORE_REPEAT_ANSWER_MAX + 1);
    size_t around = strlen("{\"body\":\"\"}");

    assert_non_null(text);
    memset(text, 'x', STORE_REPEAT_ANSWER_MAX);
    text[STORE_REPEAT_ANSWER_MAX - around + 1] = '\0';
    assert_int_equal(keep(kit, &FIRST, text), ST_TOO_LARGE);
    assert_string_equal(st_code(), "ANSWER_TOO_LARGE");
    assert_answer(kit, &FIRST, NULL);
    text[STORE_REPEAT_ANSWER_MAX - around] = '\0';
    kit_ok(keep(kit, &FIRST, text));
    assert_answer(kit, &FIRST, text);
    free(text);
}

static void assert_full(struct kit *kit, const struct store_repeat *r, const char *says)
{
    json_t *answer = NULL;

    assert_int_equal(store_repeat_find(&answer, kit->store, r), ST_FULL);
    assert_string_equal(st_code(), "QUOTA");
    assert_non_null(strstr(st_message(), says));
    assert_null(answer);
}

/* So many of the owner's, in one commit; r is the last one. */
static void keep_many(struct kit *kit, struct store_repeat *r, unsigned char owner, uint32_t count)
{
    catalog_group_begin(&kit->store->catalog);
    r->owner[0] = owner;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(r->key, &i, sizeof i);
        kit_ok(keep(kit, r, "one"));
    }
    kit_ok(catalog_group_end(&kit->store->catalog));
}

static void a_subject_has_half_of_its_tenants_keys_and_another_one_does_not_feel_it(void **state)
{
    struct kit *kit = *state;
    struct store_repeat r = FIRST;

    keep_many(kit, &r, 1, STORE_REPEATS_MAX / 2);
    assert_answer(kit, &r, "one");
    r.key[31] = 1;
    assert_full(kit, &r, "the token's subject has used 5000 Idempotency-Keys within 24 hours");
    kit_close(kit);
    kit_open(kit);
    assert_full(kit, &r, "the token's subject");
    r.owner[0] = 2;
    assert_answer(kit, &r, NULL);
    r = FIRST;
    keep_many(kit, &r, 2, STORE_REPEATS_MAX / 2);
    r.owner[0] = 3;
    assert_full(kit, &r, "the tenant has used 10000 Idempotency-Keys within 24 hours");
    r.tenant = "bravo";
    assert_answer(kit, &r, NULL);
}

static void forget(struct kit *kit, int64_t now_us)
{
    struct queue_forgetting forgetting = {0};

    kit_ok(queue_forget(&forgetting, kit->store, now_us));
}

static void assert_counter(struct kit *kit, const char *key, const char *prefix, size_t rows)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &kit->store->catalog);
    json_t *counter = catalog_get(&t, CATALOG_REPEATS, key);
    struct catalog_sum sum = catalog_sum(&t, CATALOG_REPEATS, prefix);
    kit_ok(catalog_end(&t));
    assert_int_equal(sum.rows, rows);
    assert_int_equal(json_integer_value(json_object_get(counter, "rows")), rows);
    assert_int_equal(json_integer_value(json_object_get(counter, "bytes")), sum.bytes);
    assert_int_equal(counter != NULL, rows > 0);
    json_decref(counter);
}

static void assert_owner_counted(struct kit *kit, const struct store_repeat *r, size_t rows)
{
    char hex[DIGEST_HEX_SIZE], key[CATALOG_KEY_SIZE], prefix[CATALOG_KEY_SIZE];

    digest_hex(hex, r->owner, DIGEST_BYTES);
    snprintf(key, sizeof key, "%s:%s", r->tenant, hex);
    snprintf(prefix, sizeof prefix, "%s/%s/", r->tenant, hex);
    assert_counter(kit, key, prefix, rows);
}

/* The tenant's, and its first owner's. */
static void assert_counted(struct kit *kit, size_t rows, size_t own)
{
    assert_counter(kit, "acme", "acme/", rows);
    assert_owner_counted(kit, &FIRST, own);
}

/* Answers of the owner until they have so many bytes. */
static void keep_bytes(struct kit *kit, struct store_repeat *r, unsigned char owner, size_t most)
{
    enum { TEXT = STORE_REPEAT_ANSWER_MAX - 100 };
    struct store_repeat next = *r;
    char *text = calloc(1, TEXT + 1);

    assert_non_null(text);
    memset(text, 'x', TEXT);
    next.owner[0] = r->owner[0] = owner;
    next.key[31] = 1;
    catalog_group_begin(&kit->store->catalog);
    for (size_t bytes = 0; bytes < most; bytes += STORE_REPEAT_ANSWER_MAX) {
        assert_answer(kit, &next, NULL);
        kit_ok(keep(kit, r, text));
        r->key[0]++;
    }
    kit_ok(catalog_group_end(&kit->store->catalog));
    free(text);
}

static void answers_have_a_bound_until_they_are_forgotten(void **state)
{
    struct kit *kit = *state;
    struct store_repeat r = FIRST;

    keep_bytes(kit, &r, 0, STORE_REPEATS_BYTES_MAX / 2);
    assert_full(kit, &r, "the token's subject's Idempotency-Keys within 24 hours has 32 MiB");
    keep_bytes(kit, &r, 1, STORE_REPEATS_BYTES_MAX / 2);
    r.owner[0] = 2;
    assert_full(kit, &r, "the tenant's Idempotency-Keys within 24 hours has 64 MiB");
    r.tenant = "bravo";
    assert_answer(kit, &r, NULL);
    r.tenant = "acme";
    forget(kit, FIRST.now_us + DAY_US);
    assert_answer(kit, &r, NULL);
    assert_counted(kit, 0, 0);
}

static void what_there_is_is_counted_whatever_becomes_of_it(void **state)
{
    struct kit *kit = *state;
    struct store_repeat other = FIRST, later = FIRST;
    const char *const counter = "{\"rows\":2,";

    other.key[0] = 2;
    later.now_us++;
    assert_counted(kit, 0, 0);
    kit_ok(keep(kit, &FIRST, "zulu-tango"));
    kit_ok(keep(kit, &other, "two"));
    assert_counted(kit, 2, 2);
    kit_ok(keep(kit, &later, "a longer one, zulu-tango"));
    assert_counted(kit, 2, 2);
    kit_turn(kit, counter, 2, 0x80);
    other.key[0] = 3;
    assert_answer(kit, &other, NULL);
    kit_ok(keep(kit, &other, "three"));
    assert_counted(kit, 3, 3);
    kit_turn(kit, "zulu-tango", 0, 0x80);
    forget(kit, FIRST.now_us); /* the damaged one stays, and its key is no new one */
    assert_counted(kit, 3, 3);
    kit_turn(kit, "{\"rows\":3,", 2, 0x80);
    forget(kit, FIRST.now_us); /* also a damaged counter */
    kit_ok(keep(kit, &later, "one"));
    assert_counted(kit, 3, 3);
    forget(kit, FIRST.now_us + DAY_US);
    assert_counted(kit, 1, 1);
    other.owner[0] = 1;
    kit_ok(keep(kit, &other, "another's"));
    assert_counted(kit, 2, 1);
    assert_owner_counted(kit, &other, 1);
    forget(kit, later.now_us + DAY_US);
    assert_counted(kit, 0, 0);
    assert_owner_counted(kit, &other, 0);
}

/* Nobody knows what was done: it must not be done twice. */
static void a_key_whose_answer_is_damaged_is_refused_for_a_day_and_no_other_is(void **state)
{
    struct kit *kit = *state;
    struct store_repeat other = FIRST, later = FIRST;
    json_t *answer = NULL;

    other.key[0] = 2;
    kit_ok(keep(kit, &FIRST, "zulu-tango"));
    kit_ok(keep(kit, &other, "two"));
    kit_turn(kit, "zulu-tango", 0, 0x80);
    for (int rounds = 0; rounds < 3; rounds++) {
        assert_int_equal(store_repeat_find(&answer, kit->store, &FIRST), ST_UNAVAILABLE);
        assert_string_equal(st_code(), "IDEMPOTENCY_KEY_DAMAGED");
        assert_answer(kit, &other, "two");
        forget(kit, FIRST.now_us + DAY_US - 1);
    }
    later.now_us = FIRST.now_us + 2 * DAY_US - 2;
    assert_int_equal(store_repeat_find(&answer, kit->store, &later), ST_UNAVAILABLE);
    later.now_us++;
    assert_answer(kit, &later, NULL);
    forget(kit, later.now_us);
    assert_counted(kit, 0, 0);
}

static void put(struct kit *kit, const char *key, json_t *row)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &kit->store->catalog);
    catalog_put(&t, CATALOG_REPEATS, key, row);
    kit_ok(catalog_commit(&t));
    json_decref(row);
}

static void a_counter_that_knows_of_less_than_there_is_is_made_anew(void **state)
{
    struct kit *kit = *state;
    struct store_repeat other = FIRST;
    char owner[CATALOG_KEY_SIZE] = "acme:", hex[DIGEST_HEX_SIZE];

    other.key[0] = 2;
    other.now_us++;
    kit_ok(keep(kit, &FIRST, "one"));
    kit_ok(keep(kit, &other, "two"));
    digest_hex(hex, FIRST.owner, DIGEST_BYTES);
    strcat(owner, hex);
    for (int i = 0; i < 2; i++)
        put(kit, i ? owner : "acme", json_pack("{s:i, s:i}", "rows", 0, "bytes", 0));
    forget(kit, FIRST.now_us + DAY_US);
    assert_counted(kit, 1, 1);
}

static void a_row_of_before_owners_were_counted_is_its_tenants(void **state)
{
    struct kit *kit = *state;
    const struct store_repeat *r = &FIRST;
    char key[CATALOG_KEY_SIZE] = "acme/", hex[DIGEST_HEX_SIZE], request[DIGEST_HEX_SIZE];
    struct store_repeat other = FIRST;
    json_t *answer = NULL;

    digest_hex(hex, r->key, DIGEST_BYTES);
    digest_hex(request, r->request, DIGEST_BYTES);
    strcat(key, hex);
    put(kit, key,
        json_pack("{s:s, s:I, s:{s:s}}", "sha256", request, "at_us", (json_int_t)1, "answer",
                  "body", "before"));
    assert_answer(kit, r, "before");
    other.request[0] = 8;
    assert_int_equal(store_repeat_find(&answer, kit->store, &other), ST_REUSED);
    other = FIRST;
    other.now_us += 1;
    assert_answer(kit, &other, NULL);
    kit_ok(keep(kit, r, "one"));
    assert_answer(kit, r, "one");
    assert_counted(kit, 2, 1);
    forget(kit, DAY_US + 1);
    assert_counted(kit, 1, 1);
}

static void who_has_the_name_of_a_deleted_tenant_gets_nothing_of_its(void **state)
{
    struct kit *kit = *state;
    struct store_repeat other = FIRST;

    other.tenant = "acme-2";
    kit_ok(keep(kit, &FIRST, "one"));
    kit_ok(keep(kit, &other, "two"));
    kit_ok(store_tenant_delete(kit->store, "acme"));
    assert_answer(kit, &FIRST, NULL);
    assert_counted(kit, 0, 0);
    assert_answer(kit, &other, "two");
}

static void what_comes_before_the_group_ends_is_seen_in_it(void **state)
{
    struct kit *kit = *state;

    catalog_group_begin(&kit->store->catalog);
    kit_ok(keep(kit, &FIRST, "one"));
    assert_answer(kit, &FIRST, "one");
    kit_ok(catalog_group_end(&kit->store->catalog));
    assert_answer(kit, &FIRST, "one");
}

/* A change, and its answer. */
static enum st change(struct kit *kit, const char *answer)
{
    struct store_tenant tenant;

    store_tenant_init(&tenant, "changed");
    enum st st = store_tenant_put(kit->store, &tenant);
    return st ? st : keep(kit, &FIRST, answer);
}

static bool is_changed(struct kit *kit)
{
    struct store_tenant tenant;

    return store_tenant_get(&tenant, kit->store, "changed") == ST_OK;
}

static void on_a_full_disk_there_is_neither_the_change_nor_the_answer(void **state)
{
    struct kit *kit = *state;
    struct catalog *c = &kit->store->catalog;
    struct rlimit whole, short_of;
    char answer[64 << 10];

    memset(answer, 'x', sizeof answer - 1); /* of many pages */
    answer[sizeof answer - 1] = '\0';
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    short_of = whole;
    catalog_group_begin(c);
    catalog_part_begin(c);
    kit_ok(change(kit, answer));
    kit_ok(catalog_part_end(c, true));
    short_of.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &short_of), 0);
    assert_int_not_equal(catalog_group_end(c), ST_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_false(is_changed(kit));
    assert_answer(kit, &FIRST, NULL);

    catalog_group_begin(c);
    catalog_part_begin(c);
    kit_ok(change(kit, answer));
    kit_ok(catalog_part_end(c, true));
    kit_ok(catalog_group_end(c));
    assert_true(is_changed(kit));
    assert_answer(kit, &FIRST, answer);
}

static void a_change_whose_answer_cannot_be_kept_is_not_made(void **state)
{
    struct kit *kit = *state;
    struct catalog *c = &kit->store->catalog;
    char *answer = calloc(1, STORE_REPEAT_ANSWER_MAX + 1);

    assert_non_null(answer);
    memset(answer, 'x', STORE_REPEAT_ANSWER_MAX);
    catalog_group_begin(c);
    catalog_part_begin(c);
    enum st st = change(kit, answer);
    assert_int_equal(st, ST_TOO_LARGE);
    kit_ok(catalog_part_end(c, !st));
    kit_ok(catalog_group_end(c));
    assert_false(is_changed(kit));
    assert_answer(kit, &FIRST, NULL);
    free(answer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_set_up, kit_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_that_of_its_tenant_key_and_request),
        TEST(after_a_day_a_key_is_a_new_one),
        TEST(an_answer_has_a_bound),
        TEST(a_subject_has_half_of_its_tenants_keys_and_another_one_does_not_feel_it),
        TEST(answers_have_a_bound_until_they_are_forgotten),
        TEST(what_there_is_is_counted_whatever_becomes_of_it),
        TEST(a_key_whose_answer_is_damaged_is_refused_for_a_day_and_no_other_is),
        TEST(a_counter_that_knows_of_less_than_there_is_is_made_anew),
        TEST(a_row_of_before_owners_were_counted_is_its_tenants),
        TEST(who_has_the_name_of_a_deleted_tenant_gets_nothing_of_its),
        TEST(what_comes_before_the_group_ends_is_seen_in_it),
        TEST(on_a_full_disk_there_is_neither_the_change_nor_the_answer),
        TEST(a_change_whose_answer_cannot_be_kept_is_not_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
