/* Every allocation of our code, of LMDB, jansson and OpenSSL fails once, and from some point on for
 * good, in everything that moves, checks or reads versions: the process lives, says why, and what
 * is on disk afterwards is the state before or the state after. What it serves is one version or
 * nothing. (The linker puts __wrap_malloc in the place of malloc: tests/CMakeLists.txt.) */
#include "damage_kit.h"
#include "store/catalog.h"
#include "store/internal.h"
#include "store/keeper.h"
#include "store/repeat.h"
#include "store/retention.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <jansson.h>
#include <limits.h>

#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* Exit codes of children. */
enum { FAILED = 1, DONE, REFUSED }; /* FAILED is kit_ok's */

/* Shared with the children. */
static struct {
    _Atomic long count; /* allocations while it is armed */
    long from, until;   /* those that fail; from < 0: none */
    _Atomic bool armed;
} * faults;

static struct kit prepared;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);

static bool must_fail(void)
{
    if (!faults || !atomic_load(&faults->armed))
        return false;
    long n = atomic_fetch_add(&faults->count, 1);
    return faults->from >= 0 && n >= faults->from && n < faults->until;
}

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *__wrap_malloc(size_t size)
{
    return must_fail() ? no_memory() : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? no_memory() : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? no_memory() : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return must_fail() ? no_memory() : __real_reallocarray(old, count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return must_fail() ? no_memory() : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return must_fail() ? no_memory() : __real_strdup(text);
}

#if !defined(__SANITIZE_ADDRESS__)
static void *crypto_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return __wrap_malloc(size);
}

static void *crypto_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return __wrap_realloc(old, size);
}

static void crypto_free(void *old, const char *file, int line)
{
    (void)file, (void)line;
    free(old);
}
#endif

/* ---- what is done ---- */

static enum st open_and_close(struct kit *kit)
{
    kit_close(kit);
    return store_open(&kit->store, &(struct store_options){.data_dir = kit->dir});
}

static struct store_build *sealed; /* made before memory gets short */

/* By a local job, which ends with its process. */
static void seal(struct kit *kit)
{
    char job[STORE_JOB_ID_SIZE];
    json_t *spec = json_object(), *leased = NULL;
    struct store_lease lease;

    kit_ok(store_job_enqueue(job, NULL, NULL, kit->store,
                             &(struct store_job_request){.tenant = "acme",
                                                         .dataset = "things",
                                                         .spec = spec,
                                                         .local = true,
                                                         .actor = KIT_ACTOR}));
    kit_ok(store_job_lease(&lease, &leased, kit->store, job, STORE_LEASE_MS));
    json_decref(spec);
    json_decref(leased);
    sealed = kit_begin(kit, &lease, KIT_THINGS);
    kit_segment(kit, sealed, KIT_THINGS, "one.segment", "green");
}

static enum st publish(struct kit *kit)
{
    enum store_outcome outcome;
    enum st st = store_build_seal(sealed, "one.segment", NULL, NULL);

    (void)kit;
    if (!st)
        st = store_build_publish(&outcome, sealed, 20000, NULL, NULL);
    store_build_free(sealed);
    return st;
}

static enum st move(struct kit *kit,
                    enum st (*fn)(json_t **, struct store *, const struct store_move *),
                    uint64_t from, uint64_t to)
{
    struct store_move m = {
        .tenant = "acme", .dataset = "things", .from = from, .to = to, .actor = KIT_ACTOR};
    json_t *head = NULL;
    enum st st = store_move_wait(kit->store, &m, fn == store_rollback);

    if (!st)
        st = fn(&head, kit->store, &m);
    json_decref(head);
    return st;
}

static enum st roll_back(struct kit *kit)
{
    return move(kit, store_rollback, 3, 0);
}

static enum st promote(struct kit *kit)
{
    return move(kit, store_promote, 0, 1);
}

static enum st retire(struct kit *kit)
{
    struct store_move m = {
        .tenant = "acme", .dataset = "things", .from = 0, .to = 1, .actor = KIT_ACTOR};
    json_t *head = NULL;
    enum st st = store_retire(&head, kit->store, &m);

    json_decref(head);
    return st;
}

static enum st retain(struct kit *kit)
{
    unsigned retired = 0;
    enum st st = store_retention_run(&retired, kit->store, "acme", "things");

    return st ? st : store_sweep(NULL, kit->store);
}

static enum st verify(struct kit *kit)
{
    json_t *report = NULL;
    enum st st = store_verify(&report, kit->store, false);

    json_decref(report);
    return st;
}

static enum st verify_deep(struct kit *kit)
{
    json_t *report = NULL;
    enum st st = store_verify(&report, kit->store, true);

    json_decref(report);
    return st;
}

/* The colour of id "1": what is served must be that of its version. */
static enum st look_up(const struct store_served *d)
{
    static const char *const COLOURS[] = {NULL, "red", "blue", "white", "green"};
    struct store_hasher *hasher = NULL;
    unsigned char key[STORE_KEY_BYTES];
    struct store_value values[2];
    const void *row;
    size_t len;
    enum st st = store_served_ready(d);

    if (!st)
        st = store_served_hasher(&hasher, d, 0);
    if (!st)
        st = store_hasher_sum(key, hasher, &(struct store_text){"1", 1});
    if (!st)
        st = store_served_get(d, 0, key, &row, &len);
    if (st == ST_NOT_FOUND)
        _exit(FAILED); /* a key that is there */
    if (!st)
        st = store_row_decode(values, d->definition->row, d->definition->row_count, row, len);
    if (st)
        return st;
    const struct store_value *last = &values[d->definition->row_count - 1];
    const char *expected = strcmp(d->dataset, "people") == 0 ? "grey" : COLOURS[d->version];
    if (last->as.text.len != strlen(expected) ||
        memcmp(last->as.text.bytes, expected, last->as.text.len) != 0)
        _exit(FAILED);
    return ST_OK;
}

static enum st look_up_all(struct store_keeper *k)
{
    const struct store_view *v = store_view_enter(k, 0);
    const struct store_served *d;
    enum st st = ST_OK;

    for (size_t i = 0; !st && (d = store_view_dataset_at(v, i)); i++)
        st = look_up(d);
    store_view_leave(k, 0);
    return st;
}

/* A start, and lookups with hashers that are made then. */
static enum st serve(struct kit *kit)
{
    struct store_keeper *k = NULL;

    kit_close(kit);
    enum st st = store_keeper_start(
        &k, &(struct store_keeper_options){.store.data_dir = kit->dir, .slots = 1});
    if (!st)
        st = look_up_all(k);
    store_keeper_stop(k);
    return st;
}

/* A rollback in a server: views are made, adopted and swapped, and it is served in the end. */
struct rollback_task {
    struct store_task task;
    enum st st;
    sem_t done;
};

static const struct store_repeat REPEAT = {
    .tenant = "acme", .key = {1}, .request = {2}, .now_us = INT64_MAX}; /* not over for long */

/* With an Idempotency-Key: the move and its answer are one. */
static void run_rollback(struct store *s, struct store_wait *wait, void *ctx)
{
    struct rollback_task *r = ctx;
    struct store_move m = {
        .tenant = "acme", .dataset = "things", .from = 3, .to = 0, .actor = KIT_ACTOR};
    json_t *head = NULL, *answer = NULL;

    r->st = store_repeat_find(&answer, s, &REPEAT);
    if (answer)
        _exit(FAILED); /* nothing was answered before */
    if (!r->st)
        r->st = store_rollback(&head, s, &m);
    if (!r->st)
        r->st = store_repeat_keep(s, &REPEAT, head);
    wait->undo = r->st != ST_OK;
    if (!r->st) {
        strcpy(wait->tenant, "acme");
        strcpy(wait->dataset, "things");
        wait->sequence = (uint64_t)json_integer_value(json_object_get(head, "sequence"));
    }
    json_decref(head);
}

static void end_rollback(enum st status, void *ctx)
{
    struct rollback_task *r = ctx;

    r->st = r->st ? r->st : status;
    sem_post(&r->done);
}

static uint64_t served_version(struct store_keeper *k)
{
    const struct store_served *d = NULL;

    kit_ok(store_view_dataset(&d, store_view_enter(k, 0), "acme", "things"));
    uint64_t version = d->version;
    store_view_leave(k, 0);
    return version;
}

/* Looks every 200 us: most allocations are to be those of the flip, not of who asks meanwhile. */
static bool is_done(struct rollback_task *r)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return sem_timedwait(&r->done, &until) == 0;
}

static enum st flip(struct kit *kit)
{
    struct store_keeper *k = NULL;
    struct rollback_task r = {.task = {.run_fn = run_rollback, .done_fn = end_rollback}};

    assert_int_equal(sem_init(&r.done, 0, 0), 0);
    atomic_store(&faults->armed, false);
    kit_close(kit);
    kit_ok(store_keeper_start(
        &k, &(struct store_keeper_options){.store.data_dir = kit->dir, .slots = 1}));
    r.task.ctx = &r;
    atomic_store(&faults->armed, true);
    store_keeper_post(k, &r.task);
    enum st st = ST_OK;
    do {
        enum st looked = look_up_all(k);
        st = st ? st : looked;
        if (atomic_load(&faults->count) > 1000000) /* it is tried again and again without memory */
            atomic_store(&faults->armed, false);
    } while (!is_done(&r));
    atomic_store(&faults->armed, false);
    if (!r.st && served_version(k) != 2)
        _exit(FAILED);
    store_keeper_stop(k);
    return r.st ? r.st : st;
}

static bool is_answered(struct kit *kit)
{
    json_t *answer = NULL;

    kit_ok(store_repeat_find(&answer, kit->store, &REPEAT));
    json_decref(answer);
    return answer != NULL;
}

static const struct operation {
    const char *name;
    void (*before)(struct kit *kit);
    enum st (*fn)(struct kit *kit);
    uint64_t after; /* current, when it has happened; before: 3 */
    bool once;      /* for good would be for ever */
} OPERATIONS[] = {
    {"opening", NULL, open_and_close, 3, false},
    {"publishing", seal, publish, 4, false},
    {"rollback", NULL, roll_back, 2, false},
    {"promotion", NULL, promote, 1, false},
    {"deleting a version", NULL, retire, 3, false},
    {"retention", NULL, retain, 3, false},
    {"verify", NULL, verify, 3, false},
    {"verify --deep", NULL, verify_deep, 3, false},
    {"serving", NULL, serve, 3, false},
    {"a flip in a server", NULL, flip, 2, true},
};

/* ---- trying ---- */

static int publish_all(struct kit *kit)
{
    static const char *const COLOURS[] = {"red", "blue", "white"};

    kit_open(kit);
    kit_tenant(kit);
    kit_dataset(kit, KIT_PEOPLE);
    kit_publish(kit, KIT_PEOPLE, "grey");
    kit_dataset(kit, KIT_THINGS);
    for (int i = 0; i < 3; i++)
        kit_publish(kit, KIT_THINGS, COLOURS[i]);
    kit_close(kit);
    return DONE;
}

static int prepare(void **state)
{
    (void)state;
    damage_directory(&prepared);
    return damage_in_child(publish_all, &prepared) == DONE ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    kit_ok(fs_remove_tree(prepared.dir));
    return 0;
}

static const struct operation *tried;
static unsigned bad; /* tries that went wrong */

#if defined(__SANITIZE_ADDRESS__)
int __lsan_do_recoverable_leak_check(void);
#else
static int __lsan_do_recoverable_leak_check(void)
{
    return 0;
}
#endif

static int do_it(struct kit *kit)
{
    kit_open(kit);
    if (tried->before)
        tried->before(kit);
    atomic_store(&faults->count, 0);
    atomic_store(&faults->armed, true);
    enum st st = tried->fn(kit);
    atomic_store(&faults->armed, false);
    if (st && (!*st_message() || st == ST_CORRUPT || st == ST_NOT_FOUND)) {
        print_error("%s: %s (%s)\n", st_name(st), st_message(), st_code());
        return FAILED; /* no memory is no damage */
    }
    kit_close(kit);
    if (__lsan_do_recoverable_leak_check())
        return FAILED;
    return st ? REFUSED : DONE;
}

/* Afterwards, with memory: one of the two states, whole, and the operation can be done. */
static int look_after(struct kit *kit)
{
    kit_open(kit);
    uint64_t current = kit_current(kit, "things");
    if (current != 3 && current != tried->after)
        return FAILED;
    if (is_answered(kit) != (tried->fn == flip && current == tried->after))
        return FAILED;
    kit_ok(verify_deep(kit));
    kit_ok(serve(kit));
    kit_open(kit);
    if (current == 3 && tried->after != 3) {
        kit_ok(store_job_settle(NULL, kit->store)); /* the job of who has died */
        if (tried->before)
            tried->before(kit);
        kit_ok(tried->fn(kit));
        kit_open(kit);
    }
    kit_ok(verify_deep(kit));
    return current == 3 ? DONE : REFUSED;
}

static bool try_one(size_t point, void *ctx)
{
    size_t counted = *(size_t *)ctx;
    struct kit kit;

    faults->from = (long)(point % counted);
    faults->until = point < counted ? faults->from + 1 : LONG_MAX;
    damage_copy(&kit, prepared.dir);
    int end = damage_in_child(do_it, &kit);
    faults->from = -1;
    int after = end == DONE || end == REFUSED ? damage_in_child(look_after, &kit) : FAILED;
    bool moves = tried->after != 3;
    if (after == FAILED || after == DAMAGE_DIED || (moves && end == DONE && after != REFUSED)) {
        print_error("%s, allocation %zu%s: ended with %d, then %d\n", tried->name, point % counted,
                    point < counted ? "" : " and all after it", end, after);
        bad++;
    }
    kit_free(&kit);
    return end == REFUSED;
}

static size_t count_allocations(void)
{
    struct kit kit;

    faults->from = -1;
    damage_copy(&kit, prepared.dir);
    assert_int_equal(damage_in_child(do_it, &kit), DONE);
    kit_free(&kit);
    return (size_t)atomic_load(&faults->count);
}

static void without_memory_it_is_done_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof OPERATIONS[0]; i++) {
        tried = &OPERATIONS[i];
        size_t counted = count_allocations();
        assert_true(counted > 20);
        size_t told =
            damage_try(tried->name, tried->once ? counted : 2 * counted, 24, try_one, &counted);
        assert_true(told >= 6);
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_it_is_done_or_refused),
    };

    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (faults == MAP_FAILED)
        return 1;
#if !defined(__SANITIZE_ADDRESS__) /* OpenSSL leaks a name when its first use runs out of memory   \
                                    */
    if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free))
        return 1;
#endif
    json_set_alloc_funcs(__wrap_malloc, free);
    return cmocka_run_group_tests(tests, prepare, clean);
}
