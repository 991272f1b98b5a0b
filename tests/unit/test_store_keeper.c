/* The keeper: a serving process that watches what another process publishes. One long file: every
 * test drives the same small server, step by step, beside a publisher in the same directory. */
#include "store_kit.h"

#include "base/clock.h"
#include "store/internal.h"
#include "store/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define DEADLINE_S 60
#define SLOTS 2

/* What utf8proc says of itself; the library's is not asked. */
static const char *unicode_version = "14.0.0";

const char *utf8proc_unicode_version(void)
{
    return unicode_version;
}

static int setup(void **state)
{
    struct kit *kit = malloc(sizeof *kit);

    assert_non_null(kit);
    kit_new(kit);
    kit_dataset(kit, KIT_THINGS);
    kit_dataset(kit, KIT_PEOPLE);
    assert_int_equal(kit_publish(kit, KIT_THINGS, "red"), STORE_FLIPPED);
    assert_int_equal(kit_publish(kit, KIT_PEOPLE, "grey"), STORE_FLIPPED);
    *state = kit;
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    free(*state);
    return 0;
}

/* The catalog may be open once per process: the kit's handle is closed first. */
static struct store_keeper *start(struct kit *kit)
{
    struct store_keeper *k = NULL;
    struct store_keeper_options options = {.store.data_dir = kit->dir, .slots = SLOTS};

    kit_close(kit);
    alarm(DEADLINE_S); /* a start that never ends fails */
    kit_ok(store_keeper_start(&k, &options));
    alarm(0);
    return k;
}

/* ---- another process that publishes when told to ---- */

struct publisher {
    pid_t pid;
    int go;
};

/* Forked before the keeper has threads; it publishes `colour` once, and ends with 0 when that came
 * out as expected. It would wait ten minutes for an acknowledgement, and is killed long before. */
static struct publisher publisher_new(struct kit *kit, const char *colour,
                                      enum store_outcome expected)
{
    int ends[2];
    char byte;

    kit_close(kit);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_lease lease;
        enum store_outcome outcome;

        kit_is_child = true;
        close(ends[1]);
        if (read(ends[0], &byte, 1) != 1)
            _exit(2);
        alarm(DEADLINE_S);
        kit_open(kit);
        kit_lease(&lease, kit, "things");
        struct store_build *b = kit_build(kit, &lease, KIT_THINGS, colour);
        kit_ok(store_build_publish(&outcome, b, 600000, NULL, NULL));
        store_build_free(b);
        kit_close(kit);
        _exit(outcome == expected ? 0 : 3);
    }
    close(ends[0]);
    return (struct publisher){pid, ends[1]};
}

static void publisher_run(struct publisher *p)
{
    int status = -1;

    assert_int_equal(write(p->go, "x", 1), 1);
    close(p->go);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- looking ---- */

static const struct store_served *served(const struct store_view *v, const char *dataset)
{
    const struct store_served *d = NULL;

    kit_ok(store_view_dataset(&d, v, "acme", dataset));
    return d;
}

/* Has the answer for id "1" this colour? Asserts nothing: other threads ask too. */
static bool has_colour(const struct store_served *d, unsigned slot, const char *colour)
{
    struct store_hasher *hasher = NULL;
    unsigned char key[STORE_KEY_BYTES];
    struct store_value values[2];
    const void *row;
    size_t len;

    if (store_served_ready(d) || store_served_hasher(&hasher, d, slot) ||
        store_hasher_sum(key, hasher, &(struct store_text){"1", 1}) ||
        store_served_get(d, slot, key, &row, &len) ||
        store_row_decode(values, d->definition->row, d->definition->row_count, row, len))
        return false;
    const struct store_value *last = &values[d->definition->row_count - 1];
    return last->as.text.len == strlen(colour) &&
           memcmp(last->as.text.bytes, colour, strlen(colour)) == 0;
}

static void assert_colour(const struct store_served *d, unsigned slot, const char *colour)
{
    if (!has_colour(d, slot, colour))
        fail_msg("version %llu is not %s: %s", (unsigned long long)d->version, colour,
                 st_message());
}

static void await_version(struct store_keeper *k, unsigned slot, uint64_t version)
{
    uint64_t end_ns = clock_steady_ns() + DEADLINE_S * 1000000000ull, now = 0;

    while (now != version) {
        now = served(store_view_enter(k, slot), "things")->version;
        store_view_leave(k, slot);
        if (now != version && clock_steady_ns() > end_ns)
            fail_msg("version %llu is not served in time", (unsigned long long)version);
        sched_yield();
    }
}

static void assert_unavailable(const struct store_served *d)
{
    assert_non_null(d->unavailable);
    assert_int_equal(store_served_ready(d), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "VERSION_UNAVAILABLE");
}

static void the_first_view_serves_every_current_version(void **state)
{
    struct store_keeper *k = start(*state);
    const struct store_view *v = store_view_enter(k, 0);
    const struct store_served *d = NULL;

    assert_true(store_keeper_ready(k, NULL));
    assert_int_equal(served(v, "things")->version, 1);
    assert_colour(served(v, "things"), 0, "red");
    assert_colour(served(v, "people"), 0, "grey");
    assert_int_equal(store_view_dataset(&d, v, "acme", "nothing"), ST_NOT_FOUND);
    assert_string_equal(st_code(), "UNKNOWN_DATASET");
    assert_int_equal(store_view_dataset(&d, v, "other", "things"), ST_NOT_FOUND);
    store_view_leave(k, 0);
    store_keeper_stop(k);
}

static void a_publish_by_another_process_is_acknowledged_and_served(void **state)
{
    struct publisher p = publisher_new(*state, "blue", STORE_FLIPPED);
    struct store_keeper *k = start(*state);

    publisher_run(&p);
    await_version(k, 0, 2);
    assert_colour(served(store_view_enter(k, 0), "things"), 0, "blue");
    store_view_leave(k, 0);
    store_keeper_stop(k);
}

static void an_offer_that_is_damaged_keeps_no_other_from_being_taken_in(void **state)
{
    struct kit *kit = *state;
    struct catalog_txn t;
    json_t *bad = json_pack("{s:i, s:[{s:s}]}", "version", 7, "segments", "sha256", "rubbish");

    catalog_begin_write(&t, &kit->store->catalog);
    catalog_put(&t, CATALOG_CANDIDATES, "acme", bad);
    catalog_put(&t, CATALOG_CANDIDATES, "acme/people/job-1", bad);
    kit_ok(catalog_commit(&t));
    json_decref(bad);
    struct publisher p = publisher_new(kit, "green", STORE_FLIPPED);
    struct store_keeper *k = start(kit);

    publisher_run(&p);
    await_version(k, 0, 2);
    assert_colour(served(store_view_enter(k, 0), "things"), 0, "green");
    store_view_leave(k, 0);
    store_keeper_stop(k);
}

static void a_view_entered_before_a_flip_goes_on_reading_the_old_version(void **state)
{
    struct publisher p = publisher_new(*state, "blue", STORE_FLIPPED);
    struct store_keeper *k = start(*state);
    const struct store_served *old = served(store_view_enter(k, 0), "things");

    publisher_run(&p);
    await_version(k, 1, 2);
    assert_int_equal(old->version, 1);
    assert_colour(old, 0, "red");
    store_view_leave(k, 0);
    assert_int_equal(served(store_view_enter(k, 0), "things")->version, 2);
    store_view_leave(k, 0);
    store_keeper_stop(k);
}

/* The file of the first segment of the dataset's version 1. */
static int open_segment(struct kit *kit, const char *dataset)
{
    char path[FS_PATH_MAX];
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", dataset, 1));
    json_t *segment = json_array_get(json_object_get(row, "segments"), 0);
    kit_ok(store_segment_path(path, kit->store,
                              json_string_value(json_object_get(segment, "sha256"))));
    json_decref(row);
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Flips the middle byte of the first segment of the dataset's version 1. */
static void damage(struct kit *kit, const char *dataset)
{
    int fd = open_segment(kit, dataset);
    struct stat sb;
    char byte;

    assert_int_equal(fstat(fd, &sb), 0);
    assert_int_equal(pread(fd, &byte, 1, sb.st_size / 2), 1);
    byte = (char)(byte ^ 0x40);
    assert_int_equal(pwrite(fd, &byte, 1, sb.st_size / 2), 1);
    close(fd);
}

static void a_damaged_segment_takes_away_its_dataset_and_no_other(void **state)
{
    damage(*state, "things");
    struct store_keeper *k = start(*state);
    const struct store_view *v = store_view_enter(k, 0);

    assert_unavailable(served(v, "things"));
    assert_int_equal(served(v, "things")->version, 1);
    assert_int_equal(served(v, "things")->segment_count, 0);
    assert_colour(served(v, "people"), 0, "grey");
    store_view_leave(k, 0);
    struct buf why;
    buf_init(&why, 4096);
    assert_true(store_keeper_ready(k, &why)); /* known to be unservable is not late */
    assert_non_null(why.data);
    assert_non_null(strstr(why.data, "things"));
    assert_null(strstr(why.data, "people"));
    buf_release(&why);
    store_keeper_stop(k);
}

/* Writes `to` over every `from` of the file, which have the same length. */
static void write_over(int fd, const char *from, const char *to)
{
    size_t len = strlen(from);
    char *bytes, *at;
    struct stat sb;

    assert_int_equal(fstat(fd, &sb), 0);
    size_t left = (size_t)sb.st_size;
    bytes = malloc(left);
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, left, 0), sb.st_size);
    for (at = bytes; (at = memmem(at, left - (size_t)(at - bytes), from, len)); at += len)
        assert_int_equal(pwrite(fd, to, len, at - bytes), len);
    free(bytes);
    close(fd);
}

static bool serves_colour(struct store_keeper *k, const char *colour)
{
    bool right = has_colour(served(store_view_enter(k, 0), "things"), 0, colour);

    store_view_leave(k, 0);
    return right;
}

/* Does this process have a file mapped that has no name any more? */
static bool maps_removed_file(const char *dir)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[FS_PATH_MAX + 256];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        found |= strstr(line, dir) && strstr(line, "/segments/") && strstr(line, "(deleted)");
    fclose(maps);
    return found;
}

static void a_file_that_was_replaced_by_a_whole_one_is_left_for_it(void **state)
{
    struct kit *kit = *state;
    uint64_t end_ns = clock_steady_ns() + DEADLINE_S * 1000000000ull;
    int fd = open_segment(kit, "things");
    struct publisher p = publisher_new(kit, "red", STORE_IDENTICAL);
    struct store_keeper *k = start(kit);

    assert_true(serves_colour(k, "red"));
    write_over(fd, "red", "rad");
    assert_true(serves_colour(k, "rad"));
    publisher_run(&p);
    while (!serves_colour(k, "red") || maps_removed_file(kit->dir)) {
        if (clock_steady_ns() > end_ns)
            fail_msg("the damaged file is still %s", serves_colour(k, "red") ? "open" : "served");
        sched_yield();
    }
    assert_true(store_keeper_ready(k, NULL));
    assert_int_equal(served(store_view_enter(k, 0), "things")->version, 1);
    store_view_leave(k, 0);
    store_keeper_stop(k);
}

static void a_wrong_hmac_key_makes_the_dataset_unavailable_instead_of_empty(void **state)
{
    struct kit *kit = *state;
    struct store_tenant tenant;
    char path[FS_PATH_MAX];
    unsigned char other[32];

    kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
    kit_ok(fs_path(path, "%s/acme/hmac/%s.key", store_keys_dir(kit->store), tenant.hmac_key_id));
    assert_int_equal(access(path, F_OK), 0);
    memset(other, 0xC3, sizeof other);
    kit_ok(fs_write_atomic(path, other, sizeof other, 0600));
    struct store_keeper *k = start(kit);
    const struct store_view *v = store_view_enter(k, 0);
    assert_unavailable(served(v, "people"));
    assert_colour(served(v, "things"), 0, "red");
    store_view_leave(k, 0);
    store_keeper_stop(k);
}

/* ---- tasks ---- */

struct chore {
    struct store_task task;
    uint64_t to; /* promote this version */
    struct store_move offered;
    bool could_wait[3]; /* by run */
    bool ran;
    enum st status, move;
    uint64_t transaction;
    unsigned refused; /* how often it was to be run again */
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

static void chore_done(enum st status, void *ctx)
{
    struct chore *c = ctx;

    c->status = status;
    sem_post(&c->done);
}

static void chore_wait(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;

    (void)s;
    (void)wait;
    c->ran = true;
    sem_post(&c->entered);
    sem_wait(&c->go);
}

/* Promotes a version and asks to wait until that is served. */
static void chore_promote(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;
    struct store_move m = {.tenant = "acme", .dataset = "things", .to = c->to, .actor = KIT_ACTOR};
    json_t *head = NULL;

    c->ran = true;
    c->move = store_promote(&head, s, &m);
    strcpy(wait->tenant, "acme");
    strcpy(wait->dataset, "things");
    wait->sequence = (uint64_t)json_integer_value(json_object_get(head, "sequence"));
    json_decref(head);
}

static struct chore *chore_new(void (*run_fn)(struct store *, struct store_wait *, void *))
{
    struct chore *c = calloc(1, sizeof *c);

    assert_non_null(c);
    c->task = (struct store_task){.run_fn = run_fn, .done_fn = chore_done, .ctx = c};
    c->status = ST_UNKNOWN_OUTCOME;
    sem_init(&c->entered, 0, 0);
    sem_init(&c->go, 0, 0);
    sem_init(&c->done, 0, 0);
    return c;
}

static void a_task_is_done_when_what_it_moved_is_served(void **state)
{
    struct chore *c = chore_new(chore_promote);

    assert_int_equal(kit_publish(*state, KIT_THINGS, "blue"), STORE_FLIPPED);
    struct store_keeper *k = start(*state);
    c->to = 1;
    store_keeper_post(k, &c->task);
    await(&c->done);
    assert_true(c->ran);
    assert_int_equal(c->move, ST_OK);
    assert_int_equal(c->status, ST_OK);
    const struct store_served *d = served(store_view_enter(k, 0), "things");
    assert_int_equal(d->version, 1); /* no polling: done means served */
    assert_colour(d, 0, "red");
    store_view_leave(k, 0);
    store_keeper_stop(k);
    free(c);
}

/* ---- readers and flips at the same time ---- */

#define FLIPS 100

struct reader {
    pthread_t thread;
    struct store_keeper *keeper;
    unsigned slot;
    const _Atomic bool *stopping;
    _Atomic unsigned wrong, seen[3]; /* by version */
};

/* Two answers from one view are of one version, and have what it contains. */
static void *read_main(void *arg)
{
    static const char *const COLOURS[] = {"", "red", "blue"};
    struct reader *r = arg;

    while (!atomic_load(r->stopping)) {
        const struct store_view *v = store_view_enter(r->keeper, r->slot);
        const struct store_served *d = NULL;
        bool good = store_view_dataset(&d, v, "acme", "things") == ST_OK && d->version <= 2;

        for (int i = 0; good && i < 2; i++)
            good = has_colour(d, r->slot, COLOURS[d->version]);
        if (good)
            atomic_fetch_add(&r->seen[d->version], 1);
        else
            atomic_fetch_add(&r->wrong, 1);
        store_view_leave(r->keeper, r->slot);
        sched_yield();
    }
    return NULL;
}

/* Keeps the readers' answers and the flips apart only as the keeper does: for the thread sanitizer.
 */
static void readers_see_whole_versions_while_the_pointer_goes_to_and_fro(void **state)
{
    _Atomic bool stopping = false;
    struct reader readers[SLOTS] = {0};

    assert_int_equal(kit_publish(*state, KIT_THINGS, "blue"), STORE_FLIPPED);
    struct store_keeper *k = start(*state);
    for (unsigned i = 0; i < SLOTS; i++) {
        readers[i].keeper = k;
        readers[i].slot = i;
        readers[i].stopping = &stopping;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_main, &readers[i]), 0);
    }
    for (unsigned i = 0; i < FLIPS; i++) {
        struct chore *c = chore_new(chore_promote);
        c->to = 1 + i % 2;
        store_keeper_post(k, &c->task);
        if (i % 10 == 0)
            store_keeper_reload(k);
        await(&c->done);
        assert_int_equal(c->move, ST_OK);
        assert_true(store_keeper_ready(k, NULL));
        unsigned seen = atomic_load(&readers[i % SLOTS].seen[c->to]);
        for (uint64_t end_ns = clock_steady_ns() + DEADLINE_S * 1000000000ull;
             atomic_load(&readers[i % SLOTS].seen[c->to]) == seen; sched_yield())
            if (clock_steady_ns() > end_ns)
                fail_msg("nobody reads version %llu", (unsigned long long)c->to);
        free(c);
    }
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < SLOTS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(atomic_load(&readers[i].wrong), 0);
    }
    store_keeper_stop(k);
}

/* Writes something, and remembers in which transaction. */
static void chore_write(struct store *s, struct store_wait *wait, void *ctx)
{
    struct catalog_txn t;
    struct chore *c = ctx;
    char key[CATALOG_KEY_SIZE];
    json_t *row = json_object();

    snprintf(key, sizeof key, "test-%p", ctx);
    catalog_begin_write(&t, &s->catalog);
    c->transaction = catalog_txn_id(&t);
    catalog_put(&t, CATALOG_JOBS, key, row);
    json_decref(row);
    c->move = catalog_commit(&t);
    wait->busy = catalog_is_busy(c->move) && wait->can_wait;
    c->refused += wait->busy;
    if (c->refused == 1)
        sem_post(&c->entered);
}

/* As who offers a version does, and looks for the acknowledgement later. */
static void chore_write_and_look_again(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;

    chore_write(s, wait, ctx);
    c->refused++;
    wait->again = c->move == ST_OK && c->refused < 3;
}

static void a_task_that_looks_again_hears_that_its_commit_failed(void **state)
{
    struct rlimit whole, short_of;
    struct store_keeper *k = start(*state);
    struct chore *well = chore_new(chore_write_and_look_again),
                 *failing = chore_new(chore_write_and_look_again);

    store_keeper_post(k, &well->task);
    await(&well->done);
    assert_int_equal(well->status, ST_OK);
    assert_int_equal(well->refused, 3);

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    short_of = whole;
    short_of.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &short_of), 0);
    store_keeper_post(k, &failing->task);
    await(&failing->done);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_not_equal(failing->status, ST_OK);
    assert_int_equal(failing->refused, 1);
    store_keeper_stop(k);
    free(well);
    free(failing);
}

static void chore_write_and_undo(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;

    chore_write(s, wait, ctx);
    strcpy(wait->tenant, "acme");
    strcpy(wait->dataset, "things");
    wait->sequence = 1000; /* of what is undone: it will never be served */
    wait->undo = c->move == ST_OK;
}

static void what_a_task_undoes_is_in_no_commit_and_those_beside_it_are(void **state)
{
    enum { COUNT = 3, UNDONE = 1 };
    struct store_keeper *k = start(*state);
    struct chore *first = chore_new(chore_wait), *writers[COUNT];
    uint64_t begun_ns = clock_steady_ns();

    store_keeper_post(k, &first->task);
    await(&first->entered);
    for (int i = 0; i < COUNT; i++) {
        writers[i] = chore_new(i == UNDONE ? chore_write_and_undo : chore_write);
        store_keeper_post(k, &writers[i]->task);
    }
    sem_post(&first->go);
    for (int i = 0; i < COUNT; i++) {
        await(&writers[i]->done);
        assert_int_equal(writers[i]->status, ST_OK);
        assert_int_equal(writers[i]->move, ST_OK);
    }
    assert_true(clock_steady_ns() - begun_ns < STORE_SERVE_WAIT_MS * 1000000ull);
    store_keeper_stop(k);
    kit_open(*state);
    for (int i = 0; i < COUNT; i++) {
        char key[CATALOG_KEY_SIZE];
        json_t *row = NULL;
        snprintf(key, sizeof key, "test-%p", (void *)writers[i]);
        assert_int_equal(store_job_get(&row, ((struct kit *)*state)->store, NULL, key),
                         i == UNDONE ? ST_NOT_FOUND : ST_OK);
        json_decref(row);
        free(writers[i]);
    }
    free(first);
}

static void *stop_main(void *k)
{
    store_keeper_stop(k);
    return NULL;
}

static void posted_tasks_are_answered_unavailable_when_the_keeper_stops(void **state)
{
    enum { MOST = 20000 };
    struct store_keeper *k = start(*state);
    struct chore *first = chore_new(chore_wait), *late = NULL;
    struct chore **queued = calloc(MOST, sizeof(struct chore *));
    size_t count = 0;
    pthread_t thread;

    assert_non_null(queued);
    store_keeper_post(k, &first->task);
    await(&first->entered); /* the catalog thread is busy: what follows stays posted */
    queued[count] = chore_new(chore_wait);
    store_keeper_post(k, &queued[count++]->task);
    assert_int_equal(sem_trywait(&queued[0]->done), -1);
    assert_int_equal(pthread_create(&thread, NULL, stop_main, k), 0);
    while (!late) { /* until stop has begun: then a post is answered at once */
        assert_true(count < MOST);
        struct chore *c = chore_new(chore_wait);
        store_keeper_post(k, &c->task);
        if (sem_trywait(&c->done) == 0)
            late = c;
        else
            queued[count++] = c;
        sched_yield();
    }
    sem_post(&first->go);
    pthread_join(thread, NULL);
    assert_int_equal(first->status, ST_OK); /* it ran */
    assert_int_equal(late->status, ST_UNAVAILABLE);
    assert_false(late->ran);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sem_trywait(&queued[i]->done), 0);
        assert_int_equal(queued[i]->status, ST_UNAVAILABLE);
        assert_false(queued[i]->ran);
        free(queued[i]);
    }
    free(queued);
    free(first);
    free(late);
}

/* A process that holds the catalog's write lock and is stopped. The kit's handle is closed. */
static pid_t stopped_writer(struct kit *kit)
{
    int status;

    kit_close(kit);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct catalog_txn t;
        kit_is_child = true;
        kit_open(kit);
        catalog_begin_write(&t, &kit->store->catalog);
        raise(SIGSTOP);
        _exit(catalog_end(&t));
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    return pid;
}

/* Who reads goes on, who writes waits, and its death frees the lock. */
static void a_stopped_writer_stops_no_reader_and_its_death_frees_the_lock(void **state)
{
    struct kit *kit = *state;
    pid_t pid = stopped_writer(kit);
    struct publisher p = publisher_new(kit, "blue", STORE_FLIPPED);
    struct store_keeper *k = start(kit);
    const struct store_view *v = store_view_enter(k, 0);

    assert_colour(served(v, "things"), 0, "red");
    store_view_leave(k, 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    publisher_run(&p);
    await_version(k, 0, 2);
    store_keeper_stop(k);
}

static _Atomic uint64_t skew_ns; /* what this process's clock is ahead by */

uint64_t __real_clock_steady_ns(void);
uint64_t __wrap_clock_steady_ns(void);

uint64_t __wrap_clock_steady_ns(void)
{
    return __real_clock_steady_ns() + atomic_load(&skew_ns);
}

/* Waits for others, finds the catalog busy, and finds it busy still; each takes twice the time that
 * a busy catalog has. */
static void chore_take_long(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;

    (void)s;
    c->could_wait[c->refused] = wait->can_wait;
    wait->again = c->refused == 0;
    wait->busy = c->refused == 1;
    c->refused++;
    atomic_fetch_add(&skew_ns, 2 * STORE_WRITE_WAIT_MS * 1000000ull);
}

static void the_time_for_a_busy_catalog_begins_when_it_is_busy(void **state)
{
    struct store_keeper *k = start(*state);
    struct chore *c = chore_new(chore_take_long);

    store_keeper_post(k, &c->task);
    await(&c->done);
    assert_int_equal(c->status, ST_OK);
    assert_int_equal(c->refused, 3);
    assert_true(c->could_wait[0]);
    assert_true(c->could_wait[1]);
    assert_false(c->could_wait[2]);
    store_keeper_stop(k);
    free(c);
}

/* As an operation that moves the pointer does. */
static void chore_roll_back(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;
    bool ready;

    c->move = store_move_prepare(&ready, s, &c->offered, true);
    wait->again = !c->move && !ready;
    if (wait->again && ++c->refused == 3)
        sem_post(&c->entered);
}

static void count_candidates(struct store *s, struct store_wait *wait, void *ctx)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *candidate;
    size_t *count = ctx;

    (void)wait;
    *count = 0;
    catalog_begin_read(&t, &s->catalog);
    for (; (candidate = catalog_after(&t, CATALOG_CANDIDATES, "", key)); ++*count)
        json_decref(candidate);
    kit_ok(catalog_end(&t));
}

static size_t candidates(struct store_keeper *k)
{
    size_t count;

    kit_ok(store_keeper_call(k, count_candidates, &count));
    return count;
}

static void the_servers_are_asked_no_longer_when_the_move_they_were_asked_for_failed(void **state)
{
    struct kit *kit = *state;
    char run_dir[FS_PATH_MAX];
    struct run_entry silent; /* a server that does not answer */

    assert_int_equal(kit_publish(kit, KIT_THINGS, "blue"), STORE_FLIPPED);
    assert_int_equal(kit_publish(kit, KIT_THINGS, "green"), STORE_FLIPPED);
    struct store_keeper *k = start(kit);
    kit_ok(fs_path(run_dir, "%s/run", kit->dir));
    kit_ok(run_register(&silent, run_dir, RUN_SERVER));
    struct chore *back = chore_new(chore_roll_back), *forth = chore_new(chore_promote);
    back->offered = (struct store_move){
        .tenant = "acme", .dataset = "things", .from = 3, .to = 1, .actor = KIT_ACTOR};
    store_keeper_post(k, &back->task);
    await(&back->entered);
    assert_int_equal(candidates(k), 1);
    forth->to = 2;
    store_keeper_post(k, &forth->task);
    await(&forth->done);
    await(&back->done);
    assert_int_equal(back->move, ST_PRECONDITION);
    uint64_t end_ns = clock_steady_ns() + DEADLINE_S * 1000000000ull;
    while (candidates(k))
        if (clock_steady_ns() > end_ns)
            fail_msg("the offer stays");
    run_unregister(&silent, run_dir);
    store_keeper_stop(k);
    free(back);
    free(forth);
}

/* The catalog thread does not wait either: what can be done is done meanwhile. */
static void a_task_that_finds_the_catalog_busy_is_run_again(void **state)
{
    struct kit *kit = *state;
    pid_t pid = stopped_writer(kit);
    struct store_keeper *k = start(kit);
    struct chore *writer = chore_new(chore_write), *reader = chore_new(chore_wait);

    store_keeper_post(k, &writer->task);
    await(&writer->entered);
    sem_post(&reader->go);
    store_keeper_post(k, &reader->task);
    await(&reader->done);
    assert_int_equal(reader->status, ST_OK);
    assert_int_equal(sem_trywait(&writer->done), -1);
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    await(&writer->done);
    assert_int_equal(writer->status, ST_OK);
    assert_int_equal(writer->move, ST_OK);
    store_keeper_stop(k);
    free(writer);
    free(reader);
}

/* Asks to wait for a move of "things" that is never served. */
static void chore_await_more(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;

    (void)s;
    strcpy(wait->tenant, "acme");
    strcpy(wait->dataset, "things");
    wait->sequence = 1000;
    sem_post(&c->entered);
}

static void chore_delete(struct store *s, struct store_wait *wait, void *ctx)
{
    struct chore *c = ctx;

    strcpy(wait->tenant, "acme");
    strcpy(wait->dataset, "things");
    c->move = store_dataset_delete(
        &wait->sequence, s,
        &(struct store_move){.tenant = "acme", .dataset = "things", .actor = KIT_ACTOR});
}

static void who_waits_for_a_dataset_that_is_deleted_meanwhile_is_answered(void **state)
{
    struct store_keeper *k = start(*state);
    struct chore *put = chore_new(chore_await_more), *delete = chore_new(chore_delete);
    const struct store_served *d = NULL;

    store_keeper_post(k, &put->task);
    await(&put->entered);
    store_keeper_post(k, &delete->task);
    await(&delete->done);
    assert_int_equal(delete->move, ST_OK);
    assert_int_equal(store_view_dataset(&d, store_view_enter(k, 0), "acme", "things"),
                     ST_NOT_FOUND); /* done means served nowhere */
    store_view_leave(k, 0);
    await(&put->done);
    assert_int_equal(put->status, ST_OK);
    store_keeper_stop(k);
    free(put);
    free(delete);
}

static void nobody_waits_for_ever_for_what_is_not_served(void **state)
{
    struct store_keeper *k = start(*state);
    struct chore *c = chore_new(chore_await_more), *later = chore_new(chore_wait);

    store_keeper_post(k, &c->task);
    await(&c->entered);
    sem_post(&later->go);
    store_keeper_post(k, &later->task);
    await(&later->done);
    assert_int_equal(sem_trywait(&c->done), -1);
    atomic_fetch_add(&skew_ns, STORE_SERVE_WAIT_MS * 1000000ull);
    await(&c->done);
    assert_int_equal(c->status, ST_OK);
    store_keeper_stop(k);
    free(c);
    free(later);
}

static void another_unicode_version_makes_the_dataset_unavailable_instead_of_empty(void **state)
{
    unicode_version = "99.0.0"; /* all that is looked up could be written otherwise now */
    struct store_keeper *k = start(*state);
    const struct store_view *v = store_view_enter(k, 0);
    const struct store_served *d = served(v, "people");

    unicode_version = "14.0.0";
    assert_int_equal(store_served_ready(d), ST_UNAVAILABLE);
    assert_string_equal(d->unavailable_code, "KEY_MISMATCH");
    store_view_leave(k, 0);
    store_keeper_stop(k);
}

static bool say_stop(void *ctx)
{
    ++*(int *)ctx;
    return true;
}

/* Opening what is served may take long, and a signal need not wait for it. */
static void a_start_can_be_stopped(void **state)
{
    struct kit *kit = *state;
    struct store_keeper *k = NULL;
    int asked = 0;
    struct store_keeper_options options = {
        .store.data_dir = kit->dir, .slots = SLOTS, .stop_fn = say_stop, .ctx = &asked};

    kit_close(kit);
    assert_int_equal(store_keeper_start(&k, &options), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "STOPPING");
    assert_int_equal(asked, 1);
    assert_null(k);
}

/* The last one: the order of the keys holds. */
static void a_tenant_whose_name_cannot_be_takes_no_other_along(void **state)
{
    struct kit *kit = *state;
    struct store_tenant tenant;

    store_tenant_init(&tenant, "zulu-tango");
    kit_ok(store_tenant_put(kit->store, &tenant));
    kit_turn(kit, "zulu-tango", 0, 0x80);
    struct store_keeper *k = start(kit);
    const struct store_view *v = store_view_enter(k, 0);
    assert_true(store_keeper_ready(k, NULL));
    assert_non_null(store_view_tenant(v, "acme"));
    assert_null(store_view_tenant_at(v, 1));
    assert_colour(served(v, "things"), 0, "red");
    store_view_leave(k, 0);
    store_keeper_stop(k);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_view_serves_every_current_version),
        TEST(a_tenant_whose_name_cannot_be_takes_no_other_along),
        TEST(a_publish_by_another_process_is_acknowledged_and_served),
        TEST(an_offer_that_is_damaged_keeps_no_other_from_being_taken_in),
        TEST(a_view_entered_before_a_flip_goes_on_reading_the_old_version),
        TEST(a_damaged_segment_takes_away_its_dataset_and_no_other),
        TEST(a_stopped_writer_stops_no_reader_and_its_death_frees_the_lock),
        TEST(a_task_that_finds_the_catalog_busy_is_run_again),
        TEST(who_waits_for_a_dataset_that_is_deleted_meanwhile_is_answered),
        TEST(nobody_waits_for_ever_for_what_is_not_served),
        TEST(a_task_that_looks_again_hears_that_its_commit_failed),
        TEST(what_a_task_undoes_is_in_no_commit_and_those_beside_it_are),
        TEST(another_unicode_version_makes_the_dataset_unavailable_instead_of_empty),
        TEST(a_start_can_be_stopped),
        TEST(a_task_is_done_when_what_it_moved_is_served),
        TEST(readers_see_whole_versions_while_the_pointer_goes_to_and_fro),
        TEST(posted_tasks_are_answered_unavailable_when_the_keeper_stops),
        TEST(a_file_that_was_replaced_by_a_whole_one_is_left_for_it),
        TEST(the_time_for_a_busy_catalog_begins_when_it_is_busy),
        TEST(the_servers_are_asked_no_longer_when_the_move_they_were_asked_for_failed),
        TEST(a_wrong_hmac_key_makes_the_dataset_unavailable_instead_of_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
