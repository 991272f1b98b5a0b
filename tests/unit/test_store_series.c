/* Series: what a walk over the segments of a version gives is held against a model of them. */
#include "segment_kit.h"
#include "store_kit.h"

#include "store/scan.h"
#include "store/series.h"

#define ENTITIES 4
#define VALUES 40 /* sort values, from -VALUES / 2 on */
#define LAYERS 3

#define SERIES                                                                                     \
    "{\"name\":\"series\",\"sources\":{\"s\":{\"format\":\"csv\"}},\"prepare\":\"SELECT 1\","      \
    "\"key\":{\"fields\":[\"id\"],\"sort\":\"at\"},\"record\":{\"layer\":\"INTEGER\","             \
    "\"at\":\"BIGINT\"}}"

enum said { NOTHING, THERE, GONE };

static enum said model[LAYERS][ENTITIES][VALUES]; /* the newest layer first */
static unsigned char keys[ENTITIES][STORE_KEY_BYTES];
static struct store_definition *definition;
static struct store_segment *segments[LAYERS];
static uint64_t seed = 20260131;

static unsigned chance(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % below;
}

static int64_t value_of(int i)
{
    return i == 0 ? INT64_MIN : i == VALUES - 1 ? INT64_MAX : i - VALUES / 2;
}

static void make_row(struct buf *row, int entity, int layer, int64_t at)
{
    char id[2] = {(char)('a' + entity), '\0'};
    struct store_value values[3] = {
        {.as.text = {id, 1}}, {.as.i = layer}, {.as.i = at}}; /* the key field comes first */

    buf_reset(row);
    kit_ok(store_row_encode(row, definition->row, definition->row_count, values));
}

static void make_key(unsigned char out[STORE_RECORD_KEY_MAX], int entity, int i)
{
    memcpy(out, keys[entity], STORE_KEY_BYTES);
    store_sort_encode(out + STORE_KEY_BYTES, value_of(i));
}

/* No build writes tombstones yet: records that the layer says are gone are made into them. */
static void bury(const char *path, int layer)
{
    unsigned char key[STORE_RECORD_KEY_MAX];
    struct segment_edit edit;

    segment_edit_begin(&edit, path);
    for (int e = 0; e < ENTITIES; e++)
        for (int i = 0; i < VALUES; i++) {
            make_key(key, e, i);
            if (model[layer][e][i] == GONE)
                segment_edit_put(&edit, "records", key, sizeof key, "\2", 1);
        }
    segment_edit_end(&edit);
}

static struct store_segment *write_segment(const char *path, int layer, int64_t shift)
{
    struct store_segment_info info = {.definition = definition, .tenant = "acme", .key_id = ""};
    struct store_segment_writer *w = NULL;
    struct store_segment *s = NULL;
    unsigned char key[STORE_RECORD_KEY_MAX];
    struct buf row;

    buf_init(&row, STORE_ROW_MAX);
    kit_ok(store_segment_writer_open(&w, path, &info));
    for (int e = 0; e < ENTITIES; e++)
        for (int i = 0; i < VALUES; i++) {
            if (model[layer][e][i] == NOTHING)
                continue;
            make_key(key, e, i);
            make_row(&row, e, layer, value_of(i) + shift);
            kit_ok(store_segment_writer_add(w, key, row.data, row.len));
        }
    kit_ok(store_segment_writer_finish(w));
    store_segment_writer_free(w);
    buf_release(&row);
    bury(path, layer);
    kit_ok(store_segment_open(&s, path, "acme", "series", 1));
    return s;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, STORE_KEY_BYTES);
}

static void setup_model(struct kit *kit, size_t layers)
{
    char path[FS_PATH_MAX];

    definition = kit_definition(SERIES);
    for (int e = 0; e < ENTITIES; e++)
        for (int b = 0; b < STORE_KEY_BYTES; b++)
            keys[e][b] = b < 8 ? 7 : (unsigned char)chance(256); /* hashes that begin alike */
    qsort(keys, ENTITIES, STORE_KEY_BYTES, by_key);
    for (size_t l = 0; l < layers; l++) {
        for (int e = 0; e < ENTITIES - 1; e++) /* the last one has no records */
            for (int i = 0; i < VALUES; i++)
                model[l][e][i] = (enum said)chance(3);
        kit_ok(fs_path(path, "%s/%zu.mdb", kit->dir, l));
        segments[l] = write_segment(path, (int)l, 0);
    }
}

static void release_model(size_t layers)
{
    for (size_t l = 0; l < layers; l++)
        store_segment_close(segments[l]);
    store_definition_free(definition);
    memset(model, 0, sizeof model);
}

/* Which layer's record is served, or -1. */
static int layer_of(int entity, int i)
{
    for (int l = 0; l < LAYERS; l++)
        if (model[l][entity][i] != NOTHING)
            return model[l][entity][i] == THERE ? l : -1;
    return -1;
}

struct seen {
    int64_t sorts[VALUES + 1];
    int layers[VALUES + 1];
    size_t count, stop;
};

static enum st see(int64_t sort, const void *row, size_t row_len, void *ctx)
{
    struct store_value values[3];
    struct seen *seen = ctx;

    kit_ok(store_row_decode(values, definition->row, definition->row_count, row, row_len));
    assert_true(values[2].as.i == sort);
    seen->sorts[seen->count] = sort;
    seen->layers[seen->count++] = (int)values[1].as.i;
    return seen->count == seen->stop ? ST_END : ST_OK;
}

static void compare_walk(size_t layers, int entity, const struct store_series_range *range,
                         size_t stop)
{
    struct seen seen = {.stop = stop};
    size_t count = 0;

    kit_ok(store_series_each(segments, layers, 0, keys[entity], range, see, &seen));
    for (int n = 0; n < VALUES && (!stop || count < stop); n++) {
        int i = range->back ? VALUES - 1 - n : n, layer = layer_of(entity, i);
        if (layer < 0 || value_of(i) < range->from || value_of(i) > range->to)
            continue;
        assert_true(count < seen.count);
        assert_true(seen.sorts[count] == value_of(i));
        assert_int_equal(seen.layers[count++], layer);
    }
    assert_int_equal(seen.count, count);
}

/* The first of the tests: the guard takes signals over once in a process, and cmocka does before
 * each.
 */
static void a_file_that_was_cut_short_is_unavailable(void **state)
{
    static const struct store_series_range all = {INT64_MIN, INT64_MAX, false};
    struct kit kit;
    struct seen seen = {0};
    char path[FS_PATH_MAX];
    const void *row;
    size_t len;

    (void)state;
    kit_new(&kit);
    setup_model(&kit, 1);
    kit_ok(fs_path(path, "%s/0.mdb", kit.dir));
    assert_int_equal(truncate(path, 2 * 4096), 0); /* the meta pages are left */
    for (int round = 0; round < 2; round++) {
        assert_int_equal(store_series_each(segments, 1, 0, keys[0], &all, see, &seen),
                         ST_UNAVAILABLE);
        assert_string_equal(st_code(), "SEGMENT_UNREADABLE");
    }
    assert_int_equal(store_series_last(segments, 1, 0, keys[0], &row, &len), ST_UNAVAILABLE);
    assert_true(store_segment_is_unreadable(segments[0]));
    release_model(1);
    kit_free(&kit);
}

static void a_walk_gives_what_the_newest_segment_says(void **state)
{
    for (size_t layers = 1; layers <= LAYERS; layers++) {
        setup_model(*state, layers);
        for (int round = 0; round < 400; round++) {
            struct store_series_range range = {value_of((int)chance(VALUES)),
                                               value_of((int)chance(VALUES)), chance(2)};
            if (chance(4) == 0)
                range = (struct store_series_range){INT64_MIN, INT64_MAX, chance(2)};
            compare_walk(layers, (int)chance(ENTITIES), &range, chance(5));
        }
        release_model(layers);
        kit_free(*state);
        kit_new(*state);
    }
}

static void the_last_record_is_the_greatest_that_is_there(void **state)
{
    const void *row;
    size_t len;

    setup_model(*state, LAYERS);
    for (int e = 0; e < ENTITIES; e++) {
        struct store_value values[3];
        int last = VALUES - 1;
        while (last >= 0 && layer_of(e, last) < 0)
            last--;
        enum st st = store_series_last(segments, LAYERS, 0, keys[e], &row, &len);
        assert_int_equal(st, last < 0 ? ST_NOT_FOUND : ST_OK);
        if (last < 0)
            continue;
        kit_ok(store_row_decode(values, definition->row, definition->row_count, row, len));
        assert_true(values[2].as.i == value_of(last));
        assert_int_equal(values[1].as.i, layer_of(e, last));
    }
    release_model(LAYERS);
}

static void a_scan_gives_each_key_and_sort_value_once(void **state)
{
    struct store_scan *scan = NULL;
    struct store_record r;
    enum st st;

    setup_model(*state, LAYERS);
    kit_ok(store_scan_new(&scan, segments, LAYERS, 0));
    for (int e = 0; e < ENTITIES; e++)
        for (int i = 0; i < VALUES; i++) {
            unsigned char key[STORE_RECORD_KEY_MAX];
            if (layer_of(e, i) < 0)
                continue;
            make_key(key, e, i);
            kit_ok(store_scan_next(scan, &r));
            assert_memory_equal(r.key, key, sizeof key);
        }
    st = store_scan_next(scan, &r);
    assert_int_equal(st, ST_END);
    store_scan_free(scan);
    release_model(LAYERS);
}

static void a_record_out_of_its_place_is_found(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];

    definition = kit_definition(SERIES);
    memset(keys, 7, sizeof keys);
    model[0][0][3] = model[0][0][4] = THERE;
    kit_ok(fs_path(path, "%s/right.mdb", kit->dir));
    segments[0] = write_segment(path, 0, 0);
    kit_ok(store_segment_verify(segments[0], 0, definition));
    kit_ok(fs_path(path, "%s/wrong.mdb", kit->dir));
    segments[1] = write_segment(path, 0, 1);
    assert_int_equal(store_segment_verify(segments[1], 0, definition), ST_CORRUPT);
    assert_non_null(strstr(st_message(), "out of its place"));
    release_model(2);
}

static int setup(void **state)
{
    static struct kit kit;

    kit_new(&kit);
    *state = &kit;
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_was_cut_short_is_unavailable),
        cmocka_unit_test_setup_teardown(a_walk_gives_what_the_newest_segment_says, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_record_is_the_greatest_that_is_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_scan_gives_each_key_and_sort_value_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_out_of_its_place_is_found, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
