/* Records from one thread to another: all of them, in order, and what went wrong. */
#include "ingest_kit.h"

#include "ingest/handoff.h"

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#define RECORDS 100000u /* more than all batches hold */
#define LARGE (3u << 20)

static void key_of(unsigned char key[STORE_KEY_BYTES], unsigned n)
{
    memset(key, 0, STORE_KEY_BYTES);
    memcpy(key, &n, sizeof n);
}

static enum st give_many(struct handoff *h, void *ctx)
{
    unsigned char key[STORE_KEY_BYTES];
    char payload[32];
    enum st st = ST_OK;
    for (unsigned n = 0; !st && n < *(const unsigned *)ctx; n++) {
        key_of(key, n);
        int len = snprintf(payload, sizeof payload, "%u", n);
        st = handoff_give(h, key, sizeof key, payload, (size_t)len);
    }
    return st;
}

/* Takes `count` records of give_many. */
static void take_many(struct handoff *h, unsigned count)
{
    unsigned char key[STORE_KEY_BYTES];
    char payload[32];
    struct record r;
    for (unsigned n = 0; n < count; n++) {
        kit_ok(handoff_take(&r, h));
        key_of(key, n);
        size_t len = (size_t)snprintf(payload, sizeof payload, "%u", n);
        assert_int_equal(r.key_len, sizeof key);
        assert_memory_equal(r.bytes, key, sizeof key);
        assert_int_equal(r.len - r.key_len, len);
        assert_memory_equal(r.bytes + r.key_len, payload, len);
    }
}

static void all_records_come_in_order(void **state)
{
    (void)state;
    for (unsigned count = 0; count <= RECORDS; count += RECORDS / 2) {
        struct handoff *h;
        struct record r;
        kit_ok(handoff_start(&h, give_many, &count));
        take_many(h, count);
        assert_int_equal(handoff_take(&r, h), ST_END);
        assert_int_equal(handoff_take(&r, h), ST_END);
        handoff_end(h);
    }
}

static _Atomic pid_t giver;

static enum st give_with_name(struct handoff *h, void *ctx)
{
    giver = gettid();
    return give_many(h, ctx);
}

/* Does the giver's thread sleep? */
static bool is_waiting(void)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)giver);
    FILE *f = giver ? fopen(path, "re") : NULL;
    if (f) {
        (void)!fread(text, 1, sizeof text - 1, f);
        (void)fclose(f);
    }
    return strstr(text, ") S ") != NULL;
}

/* The giver fills all there is, and waits: the batch that is being taken from stays as it is. */
static void a_giver_that_is_far_ahead_waits_for_the_taker(void **state)
{
    unsigned count = RECORDS;
    struct handoff *h;
    struct record first;
    unsigned char key[STORE_KEY_BYTES];
    (void)state;
    kit_ok(handoff_start(&h, give_with_name, &count));
    kit_ok(handoff_take(&first, h));
    while (!is_waiting())
        sched_yield();
    key_of(key, 0);
    assert_memory_equal(first.bytes, key, sizeof key);
    for (unsigned n = 1; n < count; n++) {
        struct record r;
        kit_ok(handoff_take(&r, h));
        key_of(key, n);
        assert_memory_equal(r.bytes, key, sizeof key);
    }
    handoff_end(h);
}

static enum st give_large(struct handoff *h, void *ctx)
{
    unsigned char key[STORE_KEY_BYTES] = {0};
    enum st st = handoff_give(h, key, sizeof key, ctx, LARGE);
    return st ? st : handoff_give(h, key, sizeof key, ctx, 0);
}

static void a_record_may_be_larger_than_a_batch(void **state)
{
    (void)state;
    struct handoff *h;
    struct record r;
    char *payload = malloc(LARGE);
    assert_non_null(payload);
    memset(payload, 'x', LARGE);
    kit_ok(handoff_start(&h, give_large, payload));
    kit_ok(handoff_take(&r, h));
    assert_int_equal(r.len, r.key_len + LARGE);
    assert_memory_equal(r.bytes + r.key_len, payload, LARGE);
    kit_ok(handoff_take(&r, h));
    assert_int_equal(r.len, r.key_len);
    assert_int_equal(handoff_take(&r, h), ST_END);
    handoff_end(h);
    free(payload);
}

static enum st give_and_fail(struct handoff *h, void *ctx)
{
    enum st st = give_many(h, ctx);
    return st ? st : st_fail(ST_CORRUPT, "SPILL_DAMAGED", "a run is damaged");
}

static void what_the_giver_fails_with_is_what_is_taken(void **state)
{
    (void)state;
    unsigned count = RECORDS;
    struct handoff *h;
    struct record r;
    enum st st;
    kit_ok(handoff_start(&h, give_and_fail, &count));
    while (!(st = handoff_take(&r, h)))
        ;
    kit_fails(st, "SPILL_DAMAGED", "", "Secret");
    handoff_end(h);
}

static void the_giver_stops_when_nobody_takes_any_more(void **state)
{
    (void)state;
    unsigned forever = UINT32_MAX;
    for (unsigned taken = 0; taken <= 50000; taken += 50000) {
        struct handoff *h;
        kit_ok(handoff_start(&h, give_many, &forever));
        take_many(h, taken);
        handoff_end(h);
    }
    handoff_end(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_records_come_in_order),
        cmocka_unit_test(a_giver_that_is_far_ahead_waits_for_the_taker),
        cmocka_unit_test(a_record_may_be_larger_than_a_batch),
        cmocka_unit_test(what_the_giver_fails_with_is_what_is_taken),
        cmocka_unit_test(the_giver_stops_when_nobody_takes_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
