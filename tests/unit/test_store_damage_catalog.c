/* Damage to the catalog. Done while nobody has it open: it is told before LMDB could die of it, and
 * the head files give the catalog back, or it has done no harm. Done while it is open, at any step
 * of a transaction: an error with the way out, and no signal. */
#include "rebuild_kit.h"
#include "store/catalog_check.h"
#include "store/internal.h"

static struct kit prepared; /* a data directory, closed, that nobody changes */

static int publish_all(struct kit *kit)
{
    kit_open(kit);
    kit_tenant(kit);
    publish_six(kit);
    kit_close(kit);
    return SERVES;
}

/* In a child: the guard takes signals over once in a process, and cmocka does before each test. */
static int prepare(void **state)
{
    (void)state;
    damage_directory(&prepared);
    assert_int_equal(damage_in_child(publish_all, &prepared), SERVES);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    kit_ok(fs_remove_tree(prepared.dir));
    return 0;
}

/* ---- done while it is closed ---- */

/* What verify finds, its report says: also what was found because of it. */
static bool reports_the_way_out(const json_t *report)
{
    const json_t *problem;
    size_t i;

    json_array_foreach(json_object_get(report, "problems"), i, problem)
    {
        if (strstr(json_string_value(json_object_get(problem, "hint")), WAY_OUT))
            return true;
    }
    return false;
}

/* Reads all there is and writes some; says which kind of end it came to. */
static int use(struct kit *kit)
{
    json_t *items = NULL, *report = NULL;
    enum store_outcome outcome;
    struct store_lease lease;
    json_t *spec = json_object(), *leased = NULL;
    char job[STORE_JOB_ID_SIZE];
    bool more;
    enum st st = open_it(kit);

    if (!st)
        st = store_verify(&report, kit->store, true);
    if (!st)
        st = store_version_list(&items, &more, kit->store, "acme", "things", 0, SIZE_MAX);
    if (!st)
        st = store_event_list(&items, &more, kit->store, "acme", "things", 0, SIZE_MAX);
    if (!st)
        st = store_job_enqueue(
            job, NULL, NULL, kit->store,
            &(struct store_job_request){
                .tenant = "acme", .dataset = "things", .spec = spec, .actor = KIT_ACTOR});
    if (!st)
        st = store_job_lease(&lease, &leased, kit->store, job, STORE_LEASE_MS);
    if (!st) {
        struct store_build *b = kit_build(kit, &lease, KIT_THINGS, "green");
        st = store_build_publish(&outcome, b, 20000, NULL, NULL);
    }
    if (!st && kit_current(kit, "things") == 0)
        return FAILED;
    if (st && !tells_the_way_out(st) && !reports_the_way_out(report)) {
        print_error("%s: %s (%s; %s)\n", st_name(st), st_message(), st_code(), st_hint_text());
        return FAILED;
    }
    return st ? REFUSES : SERVES;
}

/* True: it was told. What is not told must have done no harm. */
static bool try_one(size_t point, void *ctx)
{
    struct damage d = (*(struct damage(**)(size_t))ctx)(point);
    char path[FS_PATH_MAX];
    struct kit kit;

    damage_copy(&kit, prepared.dir);
    catalog_path(path, &kit);
    damage_do(&d, path);
    int end = damage_in_child(use, &kit);
    if (end == REFUSES)
        end = damage_in_child(rebuild_and_use, &kit) == SERVES ? REFUSES : FAILED;
    if (end != SERVES && end != REFUSES)
        fail_msg("%s, page %lld, byte %lld, value %d: ended with %d", d.name, (long long)d.page,
                 (long long)d.at, d.value, end);
    kit_free(&kit);
    return end == REFUSES;
}

static size_t try(const char *name, size_t points, size_t count, struct damage (*at)(size_t point))
{
    return damage_try(name, points, count, try_one, (void *)&at);
}

static size_t pages(void)
{
    char path[FS_PATH_MAX];
    struct stat sb;

    catalog_path(path, &prepared);
    assert_int_equal(stat(path, &sb), 0);
    assert_true(sb.st_size > 8 * DAMAGE_PAGE);
    return (size_t)sb.st_size / DAMAGE_PAGE;
}

/* All bits of a page's header and its first offsets of nodes, some of the rest, each another. */
enum { HEADER_BITS = 24 * 8, BODY_BITS = 64, BITS = HEADER_BITS + BODY_BITS };

static struct damage flipped(size_t point)
{
    size_t bit = point % BITS;

    if (bit >= HEADER_BITS)
        bit = HEADER_BITS + (bit - HEADER_BITS) * ((DAMAGE_PAGE - 24) / BODY_BITS) * 8 + bit % 8;
    return (struct damage){"flipped", (off_t)(point / BITS), (off_t)(bit / 8), DAMAGE_FLIP,
                           (int)(bit % 8)};
}

/* What the two meta pages say. */
enum { META_BYTES = 152 };

static struct damage flipped_in_meta(size_t point)
{
    return (struct damage){"flipped in a meta page", (off_t)(point / (META_BYTES * 8)),
                           (off_t)(point % (META_BYTES * 8) / 8), DAMAGE_FLIP, (int)(point % 8)};
}

static void a_catalog_that_is_cut_is_refused_and_rebuilt(void **state)
{
    (void)state;
    /* Free pages at the end need not be there. */
    assert_true(try("cut at a page", pages(), 20, damage_cut_at_page) > 5);
    assert_true(try("cut in a page", 4 * pages(), 12, damage_cut_in_page) > 3);
}

static void a_page_that_is_gone_is_told_or_not_needed(void **state)
{
    (void)state;
    assert_true(try("overwritten", 2 * pages(), 40, damage_overwritten) > 8);
}

static void a_flipped_bit_is_told_or_does_no_harm(void **state)
{
    (void)state;
    assert_true(try("flipped", BITS * pages(), 90, flipped) > 9);
    assert_true(try("flipped in a meta page", 2 * META_BYTES * 8, 30, flipped_in_meta) > 5);
}

/* Random work, checked in between: a whole catalog must never be called damaged. */
static void whole_catalogs_are_whole(void **state)
{
    char path[FS_PATH_MAX], text[9000], key[64];
    struct catalog c = {0};
    struct catalog_txn t, reader;
    bool reading = false;

    (void)state;
    memset(text, 'x', sizeof text);
    kit_ok(fs_path(path, "%s/other.mdb", prepared.dir));
    kit_ok(catalog_open(&c, path));
    srandom(20260131);
    for (int round = 0; round < 120; round++) {
        catalog_begin_write(&t, &c);
        for (int i = 0; i < 200; i++) {
            enum catalog_table table = (enum catalog_table)(random() % CATALOG_TABLES);
            size_t len = (size_t)(random() % 12 == 0 ? random() % 8999 : random() % 300);
            snprintf(key, sizeof key, "%0*ld", (int)(random() % 40) + 1, random() % 400);
            if (random() % 3 == 0) {
                catalog_delete(&t, table, key);
                continue;
            }
            json_t *value = json_pack("{s:s#}", "text", text, (int)len);
            catalog_put(&t, table, key, value);
            json_decref(value);
        }
        if (round % 9 == 0)
            kit_ok(catalog_end(&t)); /* given up */
        else
            kit_ok(catalog_commit(&t));
        if (round % 20 == 3) { /* a reader keeps pages from being used again */
            catalog_begin_read(&reader, &c);
            reading = true;
        } else if (round % 20 == 13) {
            kit_ok(catalog_end(&reader));
            reading = false;
        }
        kit_ok(catalog_check(&c, round % 4 == 0));
    }
    if (reading)
        kit_ok(catalog_end(&reader));
    catalog_close(&c);
    kit_ok(catalog_check_file(path));
    assert_int_equal(unlink(path), 0);
}

/* ---- done while it is open ---- */

/* A transaction of many steps, which is harmed before one of them. */
enum { STEPS = 12, SIZES = 4 };

static struct {
    size_t step;
    off_t bytes; /* that are left; -1: the file is removed; -2: another has its name */
    bool lock;   /* it is the lock's file that is cut */
    bool write;
} harm;

static void do_harm(struct kit *kit)
{
    char path[FS_PATH_MAX], other[FS_PATH_MAX];

    catalog_path(path, kit);
    if (harm.lock)
        strcat(path, "-lock");
    kit_ok(fs_path(other, "%s.other", path));
    if (harm.bytes >= 0) {
        if (truncate(path, harm.bytes) != 0)
            _exit(FAILED);
    } else if (harm.bytes == -1) {
        unlink(path);
    } else {
        damage_copy_file(path, other, 0600);
        if (rename(other, path) != 0)
            _exit(FAILED);
    }
}

static void pass(size_t *step, struct kit *kit)
{
    if ((*step)++ == harm.step)
        do_harm(kit);
}

static enum st transact(struct kit *kit)
{
    struct catalog *c = &kit->store->catalog;
    char key[CATALOG_KEY_SIZE] = "";
    size_t step = 0, rows = 0;
    json_t *value = json_pack("{s:s}", "colour", "green");
    struct catalog_txn t;

    pass(&step, kit);
    if (harm.write)
        catalog_begin_write(&t, c);
    else
        catalog_begin_read(&t, c);
    pass(&step, kit);
    json_decref(catalog_get(&t, CATALOG_HEADS, "acme/things"));
    pass(&step, kit);
    for (json_t *row; (row = catalog_after(&t, CATALOG_EVENTS, "", key)); json_decref(row))
        if (rows++ % 4 == 0)
            pass(&step, kit);
    for (int i = 0; harm.write && i < 40; i++) {
        snprintf(key, sizeof key, "%d", i * 7919);
        catalog_put(&t, (enum catalog_table)(i % CATALOG_TABLES), key, value);
        if (i % 10 == 9)
            pass(&step, kit);
    }
    if (harm.write)
        catalog_delete(&t, CATALOG_EVENTS, "acme/things/00000000000000000001");
    pass(&step, kit);
    json_decref(value);
    return harm.write ? catalog_commit(&t) : catalog_end(&t);
}

/* The step, and everything after it in the same process. */
static int use_harmed(struct kit *kit)
{
    kit_open(kit);
    enum st st = transact(kit);
    if (st && st != ST_UNKNOWN_OUTCOME && !tells_the_way_out(st)) {
        print_error("%s: %s\n", st_name(st), st_message());
        return FAILED;
    }
    harm.step = STEPS * 100; /* done */
    harm.write = false;
    (void)catalog_moved(&kit->store->catalog, 0);
    catalog_check_readers(&kit->store->catalog);
    bool told = tells_the_way_out(catalog_look(&kit->store->catalog));
    st = transact(kit);
    if (st && !tells_the_way_out(st))
        return FAILED;
    kit_close(kit);
    return st || told ? REFUSES : SERVES;
}

static bool try_harm(size_t point, void *ctx)
{
    static const off_t SIZE[SIZES] = {0, 2 * DAMAGE_PAGE, 5 * DAMAGE_PAGE + 77, -1};
    struct kit kit;

    (void)ctx;
    harm.step = point / 2 / (SIZES + 2) % STEPS;
    harm.write = point % 2;
    size_t way = point / 2 % (SIZES + 2);
    harm.lock = way == SIZES;
    harm.bytes = way < SIZES ? SIZE[way] : way == SIZES ? 0 : -2;
    damage_copy(&kit, prepared.dir);
    int end = damage_in_child(use_harmed, &kit);
    if (end != SERVES && end != REFUSES)
        fail_msg("step %zu, %lld bytes left, lock %d, write %d: ended with %d", harm.step,
                 (long long)harm.bytes, harm.lock, harm.write, end);
    kit_free(&kit);
    return end == REFUSES;
}

static void harm_done_to_an_open_catalog_is_an_error_and_no_signal(void **state)
{
    (void)state;
    damage_try("harm while it is open", 2 * (SIZES + 2) * STEPS, 2 * (SIZES + 2) * STEPS, try_harm,
               NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_catalog_that_is_cut_is_refused_and_rebuilt),
        cmocka_unit_test(a_page_that_is_gone_is_told_or_not_needed),
        cmocka_unit_test(a_flipped_bit_is_told_or_does_no_harm),
        cmocka_unit_test(harm_done_to_an_open_catalog_is_an_error_and_no_signal),
        cmocka_unit_test(whole_catalogs_are_whole), /* last: it runs in this process */
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
