/* In which order the catalog thread runs what is posted to it. */
#include "store/keeper_internal.h"
#include "store_kit.h"

#include "base/clock.h"

#include <errno.h>
#include <semaphore.h>
#include <time.h>

#define DEADLINE_S 60
#define LONG_NS 1000000000ull /* a task that takes so long ends its round */

/* This process's clock, which goes on only when it is told to: so what is quick takes no time. */
static _Atomic uint64_t now_ns = 3600000000000ull;

uint64_t __wrap_clock_steady_ns(void);

uint64_t __wrap_clock_steady_ns(void)
{
    return atomic_load(&now_ns);
}

struct fixture {
    struct kit kit;
    struct store_keeper *keeper;
    char order[64]; /* the names of what ran */
    size_t ran;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct store_keeper_options options = {.slots = 1};

    assert_non_null(f);
    kit_new(&f->kit);
    kit_close(&f->kit);
    options.store.data_dir = f->kit.dir;
    kit_ok(store_keeper_start(&f->keeper, &options));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->keeper)
        store_keeper_stop(f->keeper);
    kit_free(&f->kit);
    free(f);
    return 0;
}

struct chore {
    struct store_task task;
    struct fixture *f;
    char name;
    uint64_t transaction; /* in which it wrote */
    enum st status;
    sem_t entered, go, done;
};

static void await(sem_t *sem)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    while (sem_timedwait(sem, &until) != 0)
        if (errno != EINTR)
            fail_msg("not in time");
}

static bool is_done(struct chore *c)
{
    return sem_trywait(&c->done) == 0;
}

static void chore_done(enum st status, void *ctx)
{
    struct chore *c = ctx;

    c->status = status;
    sem_post(&c->done);
}

static void chore_quick(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;

    (void)s;
    (void)wait;
    c->f->order[c->f->ran++ % sizeof c->f->order] = c->name;
}

static void chore_long(struct store *s, struct store_wait *wait, void *ctx)
{
    chore_quick(s, wait, ctx);
    atomic_fetch_add(&now_ns, LONG_NS);
}

/* A long one that lasts until it is told to end. */
static void chore_wait(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;

    chore_long(s, wait, ctx);
    sem_post(&c->entered);
    sem_wait(&c->go);
}

static void chore_write(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;
    char key[] = {'t', 'e', 's', 't', c->name, '\0'};
    struct catalog_txn t;
    json_t *row = json_object();

    chore_quick(s, wait, ctx);
    catalog_begin_write(&t, &s->catalog);
    c->transaction = catalog_txn_id(&t);
    catalog_put(&t, CATALOG_COUNTERS, key, row);
    json_decref(row);
    wait->busy = catalog_is_busy(catalog_commit(&t));
}

static void post(struct chore *c, struct fixture *f, const char *tenant, char name,
                 void (*run_fn)(struct store *, struct store_wait *, void *))
{
    *c = (struct chore){.f = f, .name = name, .status = ST_UNKNOWN_OUTCOME};
    c->task = (struct store_task){run_fn, chore_done, c, .tenant = tenant};
    sem_init(&c->entered, 0, 0);
    sem_init(&c->go, 0, 0);
    sem_init(&c->done, 0, 0);
    store_keeper_post(f->keeper, &c->task);
}

/* ---- the list ---- */

static void add(struct store_task **list, struct store_task *task, const char *tenant)
{
    *task = (struct store_task){.tenant = tenant};
    keeper_append_tasks(list, task);
}

static void tenants_that_wait_take_turns_and_so_does_the_server(void **state)
{
    static const char *const TENANTS[] = {"acme", "acme", "acme", "zulu", NULL, "zulu", "mike"};
    static const int ORDER[] = {0, 3, 4, 6, 1, 5, 2};
    struct store_task tasks[7], *list = NULL;

    (void)state;
    for (int i = 0; i < 7; i++)
        add(&list, &tasks[i], TENANTS[i]);
    for (int i = 0; i < 7; i++)
        assert_ptr_equal(keeper_take_task(&list), &tasks[ORDER[i]]);
    assert_null(keeper_take_task(&list));
}

static void who_comes_again_at_once_gets_no_more_than_its_turn(void **state)
{
    struct store_task own[4], others[2], *list = NULL;

    (void)state;
    add(&list, &own[0], "acme");
    add(&list, &others[0], "zulu");
    add(&list, &others[1], "zulu");
    assert_ptr_equal(keeper_take_task(&list), &own[0]);
    add(&list, &own[1], "acme");
    assert_ptr_equal(keeper_take_task(&list), &others[0]);
    add(&list, &own[2], "acme");
    assert_ptr_equal(keeper_take_task(&list), &own[1]);
    add(&list, &own[3], "acme");
    assert_ptr_equal(keeper_take_task(&list), &others[1]);
    assert_ptr_equal(keeper_take_task(&list), &own[2]);
    assert_ptr_equal(keeper_take_task(&list), &own[3]);
    assert_null(list);
}

/* ---- the thread ---- */

/* Also who came while another's was running, and after all of its others. */
static void a_task_waits_for_one_of_each_other_tenant_at_most(void **state)
{
    struct fixture *f = *state;
    struct chore own[4], other, later, server;

    post(&own[0], f, "acme", 'a', chore_wait);
    await(&own[0].entered);
    post(&own[1], f, "acme", 'b', chore_wait);
    post(&own[2], f, "acme", 'c', chore_long);
    post(&own[3], f, "acme", 'd', chore_long);
    post(&other, f, "zulu", 'o', chore_long);
    sem_post(&own[0].go);
    await(&own[1].entered);
    post(&later, f, "zulu", 'l', chore_long);
    post(&server, f, NULL, 's', chore_long);
    sem_post(&own[1].go);
    await(&own[3].done);
    assert_true(is_done(&other));
    assert_true(is_done(&later));
    assert_true(is_done(&server));
    assert_string_equal(f->order, "abocsld");
}

static void what_was_written_is_committed_before_a_long_round_would_end(void **state)
{
    struct fixture *f = *state;
    struct chore first, writer, own[2];

    post(&first, f, "acme", 'f', chore_wait);
    await(&first.entered);
    post(&writer, f, "zulu", 'w', chore_write);
    post(&own[0], f, "acme", 'a', chore_long);
    post(&own[1], f, "acme", 'b', chore_wait);
    sem_post(&first.go);
    await(&own[1].entered);
    bool was_done = is_done(&writer);
    sem_post(&own[1].go);
    await(&own[1].done);
    assert_true(was_done);
    assert_int_equal(writer.status, ST_OK);
    assert_string_equal(f->order, "fwab");
}

static void what_waits_at_the_same_time_is_one_commit(void **state)
{
    enum { COUNT = 5 };
    struct fixture *f = *state;
    struct chore first, writers[COUNT];

    post(&first, f, "acme", 'f', chore_wait);
    await(&first.entered); /* the thread is busy: what follows is there when it looks again */
    for (int i = 0; i < COUNT; i++)
        post(&writers[i], f, i % 2 ? "acme" : "zulu", (char)('0' + i), chore_write);
    sem_post(&first.go);
    for (int i = 0; i < COUNT; i++)
        await(&writers[i].done);
    assert_true(is_done(&first));
    assert_string_equal(f->order, "f01234");
    store_keeper_stop(f->keeper);
    f->keeper = NULL;
    kit_open(&f->kit);
    for (int i = 0; i < COUNT; i++) {
        struct catalog_txn t;
        char key[] = {'t', 'e', 's', 't', writers[i].name, '\0'};
        assert_int_equal(writers[i].status, ST_OK);
        assert_int_equal(writers[i].transaction, writers[0].transaction);
        catalog_begin_read(&t, &f->kit.store->catalog);
        json_t *row = catalog_get(&t, CATALOG_COUNTERS, key);
        assert_non_null(row);
        json_decref(row);
        kit_ok(catalog_end(&t));
    }
}

/* Unless the catalog has moved meanwhile, which the thread itself makes it do now and then. */
static void who_has_only_read_does_not_wait_for_the_rest_of_the_round(void **state)
{
    struct fixture *f = *state;
    time_t end_s = time(NULL) + DEADLINE_S;
    struct chore first, reader, own;
    bool was_done = false;

    while (!was_done) {
        if (time(NULL) > end_s)
            fail_msg("it waits each time");
        post(&first, f, "acme", 'f', chore_wait);
        await(&first.entered);
        post(&reader, f, "zulu", 'r', chore_quick);
        post(&own, f, "acme", 'a', chore_wait);
        sem_post(&first.go);
        await(&own.entered);
        was_done = is_done(&reader);
        sem_post(&own.go);
        await(&own.done);
        if (!was_done)
            await(&reader.done);
        assert_true(is_done(&first));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tenants_that_wait_take_turns_and_so_does_the_server),
        cmocka_unit_test(who_comes_again_at_once_gets_no_more_than_its_turn),
        TEST(a_task_waits_for_one_of_each_other_tenant_at_most),
        TEST(what_was_written_is_committed_before_a_long_round_would_end),
        TEST(what_waits_at_the_same_time_is_one_commit),
        TEST(who_has_only_read_does_not_wait_for_the_rest_of_the_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
