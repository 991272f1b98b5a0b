/* Damage to a segment, done while nobody has it open: it is told, takes out its version and nothing
 * else, and the same batch mends it. What the file system hides (rot beneath the file) is told by a
 * deep verification, and kills nobody before that. */
#include "damage_kit.h"
#include "store/internal.h"
#include "store/keeper.h"
#include "store/seal.h"

#include <fcntl.h>
#include <lmdb.h>

#define PARCELS                                                                                    \
    "{\"name\":\"parcels\",\"sources\":{\"parcels\":{\"format\":\"csv\"}},"                        \
    "\"prepare\":\"SELECT * FROM parcels\","                                                       \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},"                                          \
    "\"record\":{\"note\":\"VARCHAR\",\"weight\":\"BIGINT\",\"shelf\":\"VARCHAR\"},"               \
    "\"rollups\":{\"by_shelf\":{\"dimensions\":[\"shelf\"],"                                       \
    "\"metrics\":{\"parcels\":\"count(*)\"}}}}"

enum { RECORDS = 1500, SHELVES = 250, PAGES_MAX = 400 };
enum { HARMLESS, TOLD, FAILED, WRONG }; /* exit codes of children */

static struct kit prepared;                    /* a data directory, closed, that nobody changes */
static char damaged_file[2 * DIGEST_HEX_SIZE]; /* below it: the segment of version 2 */

/* ---- a batch ---- */

struct entry {
    unsigned char key[STORE_KEY_BYTES];
    int i;
};

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct entry *)a)->key, ((const struct entry *)b)->key, STORE_KEY_BYTES);
}

/* Batches differ in the weights. Every fiftieth note has pages of its own. */
static size_t note_len(int i)
{
    return i % 50 == 7 ? 5000 : 20 + (size_t)(i % 30);
}

static int64_t weight(int i, int batch)
{
    return 10 * (int64_t)i + batch;
}

static struct store_value text(const char *bytes, size_t len)
{
    return (struct store_value){.as.text = {bytes, len}};
}

static void shelf_name(char out[16], int shelf)
{
    snprintf(out, 16, "s%05d", shelf);
}

static void encode_record(struct buf *row, const struct store_definition *d, int i, int batch)
{
    static char note[5000];
    char id[16], shelf[16];
    struct store_value values[4] = {0};

    memset(note, 'a' + i % 26, sizeof note);
    snprintf(id, sizeof id, "p%d", i);
    shelf_name(shelf, i % SHELVES);
    values[0] = text(id, strlen(id));
    values[1] = text(note, note_len(i));
    values[2].as.i = weight(i, batch);
    values[3] = text(shelf, strlen(shelf));
    buf_reset(row);
    kit_ok(store_row_encode(row, d->row, d->row_count, values));
}

static void key_of(unsigned char key[STORE_KEY_BYTES], struct store_hasher *hasher, int i)
{
    char id[16];

    snprintf(id, sizeof id, "p%d", i);
    kit_ok(store_hasher_sum(key, hasher, &(struct store_text){id, strlen(id)}));
}

static void write_cells(struct store_segment_writer *w, const struct store_definition *d)
{
    const struct store_rollup *rollup = &d->rollups[0];
    const int64_t inputs[4] = {0};
    const bool nulls[4] = {false};
    struct buf tuple;

    buf_init(&tuple, STORE_TUPLE_MAX);
    for (int s = 0; s < SHELVES; s++) {
        struct store_cell cell;
        char shelf[16];

        shelf_name(shelf, s);
        struct store_value value = text(shelf, strlen(shelf));
        store_cell_init(&cell);
        for (int i = s; i < RECORDS; i += SHELVES)
            kit_ok(store_cell_add(&cell, rollup, inputs, nulls, NULL));
        buf_reset(&tuple);
        kit_ok(store_tuple_encode(&tuple, rollup, &value));
        kit_ok(store_segment_writer_cell(w, 0, tuple.data, tuple.len, &cell));
    }
    buf_release(&tuple);
}

static void write_parcels(struct kit *kit, const struct store_build *b, int batch)
{
    struct store_definition *d = kit_definition(PARCELS);
    struct store_segment_info info = {.definition = d, .tenant = "acme", .key_id = ""};
    struct store_segment_writer *w = NULL;
    char key_id[STORE_NAME_SIZE], path[FS_PATH_MAX];
    struct store_hasher *hasher = kit_hasher(kit, d, key_id);
    struct entry *entries = calloc(RECORDS, sizeof *entries);
    struct buf row;

    assert_non_null(entries);
    kit_ok(store_hasher_check_value(info.check_value, hasher));
    for (int i = 0; i < RECORDS; i++) {
        key_of(entries[i].key, hasher, i);
        entries[i].i = i;
    }
    qsort(entries, RECORDS, sizeof *entries, by_key);
    buf_init(&row, STORE_ROW_MAX);
    kit_ok(fs_path(path, "%s/one.segment", store_build_directory(b)));
    kit_ok(store_segment_writer_open(&w, path, &info));
    for (int i = 0; i < RECORDS; i++) {
        encode_record(&row, d, entries[i].i, batch);
        kit_ok(store_segment_writer_add(w, entries[i].key, row.data, row.len));
    }
    write_cells(w, d);
    kit_ok(store_segment_writer_finish(w));
    store_segment_writer_free(w);
    buf_release(&row);
    free(entries);
    store_hasher_free(hasher);
    store_definition_free(d);
}

static enum store_outcome publish_parcels(struct kit *kit, int batch)
{
    struct store_lease lease;

    kit_lease(&lease, kit, "parcels");
    struct store_build *b = kit_begin(kit, &lease, PARCELS);
    write_parcels(kit, b, batch);
    kit_ok(store_build_seal(b, "one.segment", NULL, NULL));
    return kit_finish(kit, &lease, b);
}

static void note_file(struct kit *kit)
{
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", "parcels", 2));
    const char *sha256 = json_string_value(
        json_object_get(json_array_get(json_object_get(row, "segments"), 0), "sha256"));
    assert_non_null(sha256);
    snprintf(damaged_file, sizeof damaged_file, "segments/%.2s/%s.mdb", sha256, sha256);
    json_decref(row);
}

/* ---- the pages of the file, by what they are for ---- */

enum page_class {
    CLASS_FREE, /* that no tree comes to */
    CLASS_META,
    CLASS_NAMES, /* of the main tree: which databases there are */
    CLASS_META_DB,
    CLASS_RECORD_BRANCH,
    CLASS_RECORD_LEAF,
    CLASS_OVERFLOW,
    CLASS_ROLLUP_BRANCH,
    CLASS_ROLLUP_LEAF,
    CLASSES
};
static const char *const CLASS_NAMES_TEXT[CLASSES] = {
    "a free page",      "a meta page",          "the main tree",
    "the tree of meta", "a branch of records",  "a leaf of records",
    "an overflow page", "a branch of a rollup", "a leaf of a rollup"};

struct file {
    unsigned char *bytes;
    off_t pages;
    enum page_class classes[PAGES_MAX];
};
static struct file file;

static uint64_t number_at(const unsigned char *p, size_t len)
{
    uint64_t n = 0;

    memcpy(&n, p, len);
    return n;
}

/* The layout of pages is drawn in store/catalog_check.c. */
static void classify(uint64_t page, enum page_class branch, enum page_class leaf)
{
    const unsigned char *p = file.bytes + page * DAMAGE_PAGE;
    bool is_branch = number_at(p + 10, 2) == 1;
    size_t count = (size_t)(number_at(p + 12, 2) - 16) / 2;

    file.classes[page] = is_branch ? branch : leaf;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *node = p + number_at(p + 16 + 2 * i, 2);
        const unsigned char *key = node + 8, *value = key + number_at(node + 6, 2);
        uint64_t flags = number_at(node + 4, 2);
        if (is_branch) {
            classify(number_at(node, 4), branch, leaf);
        } else if (flags & 2) { /* a tree: its root is its last number */
            enum page_class its_leaf = memcmp(key, "meta", 4) == 0      ? CLASS_META_DB
                                       : memcmp(key, "records", 7) == 0 ? CLASS_RECORD_LEAF
                                                                        : CLASS_ROLLUP_LEAF;
            classify(number_at(value + 40, 8),
                     its_leaf == CLASS_RECORD_LEAF ? CLASS_RECORD_BRANCH : CLASS_ROLLUP_BRANCH,
                     its_leaf);
        } else if (flags & 1) {
            uint64_t first = number_at(value, 8);
            uint64_t pages = number_at(file.bytes + first * DAMAGE_PAGE + 12, 4);
            for (uint64_t j = 0; j < pages; j++)
                file.classes[first + j] = CLASS_OVERFLOW;
        }
    }
}

static void read_file(void)
{
    char path[FS_PATH_MAX];
    struct stat sb;

    kit_ok(fs_path(path, "%s/%s", prepared.dir, damaged_file));
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &sb) == 0);
    file.pages = sb.st_size / DAMAGE_PAGE;
    assert_true(file.pages <= PAGES_MAX);
    file.bytes = malloc((size_t)sb.st_size);
    assert_non_null(file.bytes);
    assert_int_equal(pread(fd, file.bytes, (size_t)sb.st_size, 0), sb.st_size);
    close(fd);
    file.classes[0] = file.classes[1] = CLASS_META;
    unsigned newer = number_at(file.bytes + 144, 8) < number_at(file.bytes + 144 + 4096, 8);
    classify(number_at(file.bytes + newer * DAMAGE_PAGE + 128, 8), CLASS_NAMES, CLASS_NAMES);
}

static int publish_all(struct kit *kit)
{
    char path[FS_PATH_MAX];

    kit_open(kit);
    kit_tenant(kit);
    kit_dataset(kit, KIT_THINGS);
    kit_publish(kit, KIT_THINGS, "red");
    kit_dataset(kit, PARCELS);
    publish_parcels(kit, 1);
    publish_parcels(kit, 2);
    note_file(kit);
    kit_close(kit);
    kit_ok(fs_path(path, "%s/damaged", kit->dir));
    kit_ok(fs_write_atomic(path, damaged_file, strlen(damaged_file), 0600));
    return HARMLESS;
}

/* In a child: the guard takes signals over once in a process, and cmocka does before each test. */
static int prepare(void **state)
{
    char path[FS_PATH_MAX];
    struct buf name;

    (void)state;
    damage_directory(&prepared);
    assert_int_equal(damage_in_child(publish_all, &prepared), HARMLESS);
    kit_ok(fs_path(path, "%s/damaged", prepared.dir));
    buf_init(&name, sizeof damaged_file - 1);
    kit_ok(fs_read(&name, path));
    strcpy(damaged_file, name.data);
    buf_release(&name);
    assert_int_equal(unlink(path), 0);
    read_file();
    return 0;
}

static int clean(void **state)
{
    (void)state;
    free(file.bytes);
    kit_ok(fs_remove_tree(prepared.dir));
    return 0;
}

/* ---- what a process sees ---- */

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);                            \
            _exit(FAILED);                                                                         \
        }                                                                                          \
    } while (0)

static struct store_keeper *serve(struct kit *kit)
{
    struct store_keeper *k = NULL;

    kit_close(kit);
    kit_ok(store_keeper_start(
        &k, &(struct store_keeper_options){.store.data_dir = kit->dir, .slots = 1}));
    return k;
}

static const struct store_served *served(struct store_keeper *k, const char *dataset)
{
    const struct store_served *d = NULL;

    kit_ok(store_view_dataset(&d, store_view_enter(k, 0), "acme", dataset));
    return d;
}

struct answers {
    int batch;
    unsigned right, wrong, refused;
    uint64_t cells, records;
};

static void ask(struct answers *a, const struct store_served *d, struct store_hasher *hasher, int i,
                struct buf *expected)
{
    unsigned char key[STORE_KEY_BYTES];
    const void *row;
    size_t len;

    key_of(key, hasher, i);
    enum st st = store_served_get(d, 0, key, &row, &len);
    if (i < RECORDS)
        encode_record(expected, d->definition, i, a->batch);
    if (st && st != ST_NOT_FOUND)
        a->refused++;
    else if (i < RECORDS
                 ? st == ST_OK && len == expected->len && memcmp(row, expected->data, len) == 0
                 : st == ST_NOT_FOUND)
        a->right++;
    else
        a->wrong++;
}

static enum st take_cell(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                         void *ctx)
{
    struct answers *a = ctx;
    struct store_cell cell;
    struct store_definition *d = NULL;

    (void)tuple;
    (void)tuple_len;
    d = kit_definition(PARCELS);
    enum st st = store_cell_decode(&cell, &d->rollups[0], bytes, len);
    store_definition_free(d);
    a->cells++;
    a->records += st ? 0 : cell.records;
    return st;
}

/* Every key of the version, some that it does not have, and its rollup. */
static struct answers ask_all(const struct store_served *d, int batch)
{
    struct answers a = {.batch = batch};
    struct store_hasher *hasher = NULL;
    struct buf expected;

    buf_init(&expected, STORE_ROW_MAX);
    kit_ok(store_served_hasher(&hasher, d, 0));
    for (int i = 0; i < RECORDS + 20; i++)
        ask(&a, d, hasher, i, &expected);
    buf_release(&expected);
    if (store_segment_each_cell(d->segments[0], 0, &d->definition->rollups[0].sets[0], NULL, 0,
                                take_cell, &a))
        a.refused++;
    else if (a.cells == SHELVES && a.records == RECORDS)
        a.right++;
    else
        a.wrong++;
    return a;
}

static bool is_right(const struct store_served *d, int batch)
{
    struct answers a = ask_all(d, batch);

    return !a.wrong && !a.refused;
}

/* Is it as a report says: version 2 of parcels, or nothing? */
static bool verify_tells(struct kit *kit, bool deep)
{
    json_t *report = NULL;
    enum st st = store_verify(&report, kit->store, deep);
    const json_t *problems = json_object_get(report, "problems");
    const json_t *p = json_array_get(problems, 0);

    must(st == ST_OK || st == ST_CORRUPT);
    must(json_array_size(problems) == (st ? 1 : 0));
    if (p)
        must(strcmp(json_string_value(json_object_get(p, "dataset")), "parcels") == 0 &&
             json_integer_value(json_object_get(p, "version")) == 2 &&
             *json_string_value(json_object_get(p, "hint")) &&
             *json_string_value(json_object_get(p, "problem")));
    json_decref(report);
    return st != ST_OK;
}

/* Serves: what is damaged is refused and named, the rest is right. True: it is refused. */
static bool serving_tells(struct kit *kit)
{
    struct store_keeper *k = serve(kit);
    const struct store_served *d = served(k, "parcels");
    enum st st = store_served_ready(d);
    struct buf why;

    buf_init(&why, 4096);
    must(store_keeper_ready(k, &why));
    must(st == ST_OK || (st == ST_UNAVAILABLE && strcmp(st_code(), "VERSION_UNAVAILABLE") == 0));
    if (st)
        must(why.data && strstr(why.data, "acme/parcels version 2: ") == why.data);
    else
        must(is_right(d, 2));
    buf_release(&why);
    must(store_served_ready(served(k, "things")) == ST_OK);
    store_view_leave(k, 0);
    store_keeper_stop(k);
    return st != ST_OK;
}

static int use_and_mend(struct kit *kit)
{
    bool told = serving_tells(kit);

    kit_open(kit);
    must(verify_tells(kit, false) == told);
    must(verify_tells(kit, true) == told);
    enum store_outcome outcome = publish_parcels(kit, 2);
    must(outcome == STORE_IDENTICAL || outcome == STORE_FLIPPED);
    must(!verify_tells(kit, true));
    must(!serving_tells(kit));
    return told ? TOLD : HARMLESS;
}

static int roll_back(struct kit *kit)
{
    struct store_move move = {
        .tenant = "acme", .dataset = "parcels", .from = 2, .to = 0, .actor = KIT_ACTOR};
    json_t *head = NULL;

    kit_open(kit);
    kit_ok(store_move_wait(kit->store, &move, true));
    kit_ok(store_rollback(&head, kit->store, &move));
    json_decref(head);
    struct store_keeper *k = serve(kit);
    must(is_right(served(k, "parcels"), 1));
    store_view_leave(k, 0);
    store_keeper_stop(k);
    return TOLD;
}

/* ---- rot: bytes change beneath the file, which looks as it did ---- */

static void reseal(struct kit *kit)
{
    char path[FS_PATH_MAX], sha256[DIGEST_HEX_SIZE];
    struct catalog_txn t;
    struct seal seal;

    kit_ok(fs_path(path, "%s/%s", kit->dir, damaged_file));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    kit_ok(seal_begin(&seal, fd));
    seal_end(&seal, fd);
    close(fd);
    snprintf(sha256, sizeof sha256, "%.64s", strrchr(damaged_file, '/') + 1);
    kit_open(kit);
    catalog_begin_write(&t, &kit->store->catalog);
    store_seal_write(&t, sha256, &seal);
    kit_ok(catalog_commit(&t));
    kit_close(kit);
}

/* What is wrong is not known at first, but kills nobody. */
static int use_rotten(struct kit *kit)
{
    reseal(kit);
    struct store_keeper *k = serve(kit);
    const struct store_served *d = served(k, "parcels");
    if (store_served_ready(d) == ST_OK)
        (void)ask_all(d, 2);
    must(store_served_ready(served(k, "things")) == ST_OK);
    store_view_leave(k, 0);
    store_keeper_stop(k);
    kit_open(kit);
    must(verify_tells(kit, true));
    must(publish_parcels(kit, 2) != STORE_HELD_BACK);
    must(!verify_tells(kit, true));
    must(!serving_tells(kit));
    return TOLD;
}

/* ---- trying ---- */

struct trial {
    int (*fn)(struct kit *kit);
    struct damage (*damage_at)(size_t point);
};

static bool try_one(size_t point, void *ctx)
{
    const struct trial *t = ctx;
    struct damage d = t->damage_at(point);
    char path[FS_PATH_MAX];
    struct kit kit;

    damage_copy(&kit, prepared.dir);
    kit_ok(fs_path(path, "%s/%s", kit.dir, damaged_file));
    assert_int_equal(chmod(path, 0640), 0);
    damage_do(&d, path);
    int end = damage_in_child(t->fn, &kit);
    if (end != TOLD && end != HARMLESS)
        fail_msg("%s: page %lld, byte %lld, value %d ended with %d", d.name, (long long)d.page,
                 (long long)d.at, d.value, end);
    kit_free(&kit);
    return end == TOLD;
}

/* A bit of a page of the class that is tried: all of the first bytes, and some of the rest. */
enum { HEADER_BITS = 24 * 8, BODY_BITS = 16, BITS = HEADER_BITS + BODY_BITS };
static enum page_class class_tried;

static size_t pages_of_class(void)
{
    size_t n = 0;

    for (off_t i = 0; i < file.pages; i++)
        n += file.classes[i] == class_tried;
    return n;
}

static struct damage flipped(size_t point)
{
    size_t nth = point / BITS, bit = point % BITS;
    off_t page = 0;

    for (; file.classes[page] != class_tried || nth; page++)
        nth -= file.classes[page] == class_tried;
    if (bit >= HEADER_BITS) /* spread over the page, each at another bit */
        bit = HEADER_BITS + (bit - HEADER_BITS) * ((DAMAGE_PAGE - 24) / BODY_BITS) * 8 + bit % 8;
    return (struct damage){CLASS_NAMES_TEXT[class_tried], page, (off_t)(bit / 8), DAMAGE_FLIP,
                           (int)(bit % 8)};
}

static void a_segment_that_is_cut_is_told_and_mended(void **state)
{
    struct trial pages = {use_and_mend, damage_cut_at_page},
                 odd = {use_and_mend, damage_cut_in_page};
    size_t count = (size_t)file.pages;

    (void)state;
    assert_true(damage_try("cut at a page", count, 12, try_one, &pages) >= 12);
    assert_true(damage_try("cut in a page", 4 * count, 12, try_one, &odd) >= 12);
}

static void a_page_that_is_overwritten_is_told_and_mended(void **state)
{
    struct trial t = {use_and_mend, damage_overwritten};

    (void)state;
    assert_true(damage_try("overwritten", 2 * (size_t)file.pages, 24, try_one, &t) >= 12);
}

static void a_flipped_bit_is_told_and_mended(void **state)
{
    struct trial t = {use_and_mend, flipped};

    (void)state;
    for (class_tried = 0; class_tried < CLASSES; class_tried++) {
        size_t points = pages_of_class() * BITS;
        assert_true(points > 0 || class_tried == CLASS_FREE);
        size_t tried = points < 10 ? points : 10;
        assert_true(damage_try(CLASS_NAMES_TEXT[class_tried], points, 10, try_one, &t) >= tried);
    }
}

static void rot_kills_nobody_and_a_deep_verification_tells_it(void **state)
{
    struct trial flips = {use_rotten, flipped}, fills = {use_rotten, damage_overwritten};

    (void)state;
    damage_try("rotten pages", 2 * (size_t)file.pages, 24, try_one, &fills);
    for (class_tried = 0; class_tried < CLASSES; class_tried++)
        damage_try(CLASS_NAMES_TEXT[class_tried], pages_of_class() * BITS, 10, try_one, &flips);
}

static void a_rollback_serves_what_is_whole(void **state)
{
    struct trial t = {roll_back, damage_overwritten};

    (void)state;
    damage_try("rolled back from", 2 * (size_t)file.pages, 4, try_one, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_that_is_cut_is_told_and_mended),
        cmocka_unit_test(a_page_that_is_overwritten_is_told_and_mended),
        cmocka_unit_test(a_flipped_bit_is_told_and_mended),
        cmocka_unit_test(rot_kills_nobody_and_a_deep_verification_tells_it),
        cmocka_unit_test(a_rollback_serves_what_is_whole),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
