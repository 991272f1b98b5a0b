/* A version is described by what its layers say of THINGS_MAX things, written as segments, and
 * compared with what a walk through the arrays says. One long file: every test needs both the
 * writer of such versions and the naive model, which are half of it. */
#include "segment_kit.h"
#include "store_kit.h"

#include "base/clock.h"
#include "store/diff.h"
#include "store/retention.h"

#include <fcntl.h>
#include <sys/stat.h>

#define THINGS_MAX 200
#define LAYERS_MAX 4
#define SAMPLES STORE_DIFF_SAMPLES

#define DATASET(key, record, rollups)                                                              \
    "{\"name\":\"things\",\"sources\":{\"things\":{\"format\":\"csv\"}},"                          \
    "\"prepare\":\"SELECT * FROM things\",\"key\":" key ",\"record\":" record                      \
    ",\"rollups\":" rollups ",\"retention\":{\"keep_versions\":1000}}"
#define KEY "{\"fields\":[\"id\"],\"protect\":\"none\"}"
#define PROTECTED "{\"fields\":[\"id\"],\"protect\":\"hmac-sha256\"}"
#define RECORD "{\"colour\":\"VARCHAR\",\"weight\":\"INTEGER\"}"
#define METRICS                                                                                    \
    "{\"things\":\"count(*)\",\"weight\":\"sum(weight)\",\"least\":\"min(weight)\","               \
    "\"most\":\"max(weight)\",\"mean\":\"avg(weight)\","                                           \
    "\"load\":{\"ratio\":[\"sum(weight)\",\"count(*)\"]}}"
#define ROLLUPS                                                                                    \
    "{\"by_colour\":{\"dimensions\":[\"colour\"],\"metrics\":" METRICS "},"                        \
    "\"total\":{\"dimensions\":[],\"metrics\":{\"things\":\"count(*)\"}}}"
#define THINGS DATASET(KEY, RECORD, ROLLUPS)

enum said { NOTHING, RECORD_THERE, RECORD_GONE };

struct thing {
    enum said said;
    unsigned colour;
    bool weightless;
    int64_t weight;
};

struct layer {
    struct thing things[THINGS_MAX];
};

struct plan { /* layers newest first */
    struct layer layers[LAYERS_MAX];
    size_t count;
};

static const char *const COLOURS[] = {"blue", "green", "red"};
static struct plan plans[2];
static uint64_t seed = 20260131;

static uint64_t chance(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

/* ---- writing what is planned ---- */

struct keyed {
    unsigned char key[STORE_KEY_BYTES];
    size_t thing;
};

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, STORE_KEY_BYTES);
}

static void thing_name(char out[16], size_t i)
{
    snprintf(out, 16, "t%zu", i);
}

static size_t keys_of(struct keyed *out, struct store_hasher *hasher, const struct layer *layer)
{
    size_t count = 0;

    for (size_t i = 0; i < THINGS_MAX; i++) {
        char name[16];
        if (layer->things[i].said == NOTHING)
            continue;
        thing_name(name, i);
        kit_ok(store_hasher_sum(out[count].key, hasher, &(struct store_text){name, strlen(name)}));
        out[count++].thing = i;
    }
    qsort(out, count, sizeof *out, by_key);
    return count;
}

/* Fields by their names, so that a definition may have them in any order. */
static void fill_row(struct buf *row, const struct store_definition *d, const struct layer *layer,
                     size_t i)
{
    const struct thing *thing = &layer->things[i];
    struct store_value values[8] = {0};
    char name[16], weight[24];

    thing_name(name, i);
    snprintf(weight, sizeof weight, "%lld", (long long)thing->weight);
    for (size_t f = 0; f < d->row_count; f++) {
        struct store_value *v = &values[f];
        const char *text = strcmp(d->row[f].name, "id") == 0       ? name
                           : strcmp(d->row[f].name, "colour") == 0 ? COLOURS[thing->colour]
                           : strcmp(d->row[f].name, "weight") == 0 ? weight
                           : strcmp(d->row[f].name, "tags") == 0   ? "[1,2]"
                                                                   : NULL;
        v->null = !text || (text == weight && thing->weightless);
        if (text && store_type_is_text(d->row[f].type)) {
            v->as.text.bytes = text;
            v->as.text.len = strlen(text);
        } else if (d->row[f].type == STORE_DOUBLE) {
            v->as.d = (double)thing->weight;
        } else {
            bool minus = strcmp(d->row[f].name, "minus") == 0;
            v->null = v->null && !minus;
            v->as.i = minus ? -thing->weight : thing->weight;
        }
    }
    buf_reset(row);
    kit_ok(store_row_encode(row, d->row, d->row_count, values));
}

static void add_things(struct store_cell *cell, const struct store_rollup *r,
                       const struct layer *layer, int colour)
{
    store_cell_init(cell);
    for (size_t i = 0; i < THINGS_MAX; i++) {
        const struct thing *thing = &layer->things[i];
        int64_t inputs[2 * STORE_METRICS_MAX];
        bool nulls[2 * STORE_METRICS_MAX];
        if (thing->said != RECORD_THERE || (colour >= 0 && thing->colour != (unsigned)colour))
            continue;
        for (size_t k = 0; k < r->term_count; k++) {
            inputs[k] = thing->weight;
            nulls[k] = thing->weightless;
        }
        kit_ok(store_cell_add(cell, r, inputs, nulls, NULL));
    }
}

static void write_cells(struct store_segment_writer *w, const struct store_definition *d,
                        const struct layer *layer)
{
    struct buf tuple;

    buf_init(&tuple, STORE_TUPLE_MAX);
    for (size_t r = 0; r < d->rollup_count; r++)
        for (int colour = 0; colour < 3; colour++) {
            const struct store_rollup *rollup = &d->rollups[r];
            bool whole = rollup->dimension_count == 0;
            struct store_value value = {.as.text = {COLOURS[colour], strlen(COLOURS[colour])}};
            struct store_cell cell;
            add_things(&cell, rollup, layer, whole ? -1 : colour);
            if (cell.records == 0 || (whole && colour > 0))
                continue;
            buf_reset(&tuple);
            kit_ok(store_tuple_encode(&tuple, rollup, &value));
            kit_ok(store_segment_writer_cell(w, r, tuple.data, tuple.len, &cell));
        }
    buf_release(&tuple);
}

/* No build writes tombstones yet: the records that the layer says are gone are made into them. */
static void bury(const char *path, const struct keyed *keys, size_t count,
                 const struct layer *layer)
{
    struct segment_edit edit;

    segment_edit_begin(&edit, path);
    for (size_t i = 0; i < count; i++)
        if (layer->things[keys[i].thing].said == RECORD_GONE)
            segment_edit_put(&edit, "records", keys[i].key, STORE_KEY_BYTES, "\2", 1);
    segment_edit_end(&edit);
}

static void write_segment(struct kit *kit, const struct store_definition *d, const char *path,
                          const struct layer *layer)
{
    struct store_segment_info info = {.definition = d, .tenant = "acme"};
    struct store_segment_writer *w = NULL;
    struct keyed keys[THINGS_MAX];
    char key_id[STORE_NAME_SIZE];
    struct store_hasher *hasher = kit_hasher(kit, d, key_id);
    size_t count = keys_of(keys, hasher, layer);
    bool buries = false;
    struct buf row;

    info.key_id = key_id;
    buf_init(&row, STORE_ROW_MAX);
    kit_ok(store_hasher_check_value(info.check_value, hasher));
    kit_ok(store_segment_writer_open(&w, path, &info));
    for (size_t i = 0; i < count; i++) {
        fill_row(&row, d, layer, keys[i].thing);
        kit_ok(store_segment_writer_add(w, keys[i].key, row.data, row.len));
        buries |= layer->things[keys[i].thing].said == RECORD_GONE;
    }
    write_cells(w, d, layer);
    kit_ok(store_segment_writer_finish(w));
    store_segment_writer_free(w);
    store_hasher_free(hasher);
    buf_release(&row);
    if (buries)
        bury(path, keys, count, layer);
}

static struct store_build *build(struct kit *kit, const struct store_lease *lease, const char *text,
                                 const struct plan *plan)
{
    struct store_definition *d = kit_definition(text);
    struct store_build *b = kit_begin(kit, lease, text);

    for (size_t i = 0; i < plan->count; i++) {
        char path[FS_PATH_MAX], file[32];
        snprintf(file, sizeof file, "%zu.segment", i);
        kit_ok(fs_path(path, "%s/%s", store_build_directory(b), file));
        write_segment(kit, d, path, &plan->layers[i]);
        kit_ok(store_build_seal(b, file, NULL, NULL));
    }
    store_definition_free(d);
    return b;
}

/* Publishes a version and returns its number. */
static uint64_t publish(struct kit *kit, const char *text, const struct plan *plan)
{
    struct store_lease lease;

    kit_lease(&lease, kit, "things");
    struct store_build *b = build(kit, &lease, text, plan);
    uint64_t version = store_build_version(b);
    kit_finish(kit, &lease, b);
    return version;
}

/* ---- the naive way ---- */

static const struct thing *effective(const struct plan *plan, size_t i)
{
    for (size_t l = 0; l < plan->count; l++) {
        const struct thing *thing = &plan->layers[l].things[i];
        if (thing->said != NOTHING)
            return thing->said == RECORD_THERE ? thing : NULL;
    }
    return NULL;
}

static enum store_diff_kind kind_of(const struct thing *a, const struct thing *b)
{
    if (!a || !b)
        return a ? STORE_DIFF_REMOVED : STORE_DIFF_ADDED;
    bool same = a->colour == b->colour && a->weightless == b->weightless &&
                (a->weightless || a->weight == b->weight);
    return same ? STORE_DIFF_UNCHANGED : STORE_DIFF_CHANGED;
}

struct expected {
    uint64_t before, after, counts[STORE_DIFF_KINDS];
};

static struct expected expect(const struct plan *from, const struct plan *to)
{
    struct expected e = {0};

    for (size_t i = 0; i < THINGS_MAX; i++) {
        const struct thing *a = effective(from, i), *b = effective(to, i);
        e.before += a != NULL;
        e.after += b != NULL;
        if (a || b)
            e.counts[kind_of(a, b)]++;
    }
    return e;
}

static void check_samples(const struct store_diff_result *r, const struct plan *from,
                          const struct plan *to)
{
    for (enum store_diff_kind kind = 0; kind < STORE_DIFF_UNCHANGED; kind++) {
        uint64_t count = r->counts[kind];
        assert_int_equal(r->sample_counts[kind], count < SAMPLES ? count : SAMPLES);
        for (size_t i = 0; i < r->sample_counts[kind]; i++) {
            unsigned thing;
            char text[32];
            assert_int_equal(sscanf(r->samples[kind][i], "{\"id\":\"t%u\"}", &thing), 1);
            snprintf(text, sizeof text, "{\"id\":\"t%u\"}", thing);
            assert_string_equal(r->samples[kind][i], text);
            assert_int_equal(kind_of(effective(from, thing), effective(to, thing)), kind);
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(r->samples[kind][i], r->samples[kind][j]);
        }
    }
}

/* Every metric of by_colour, over all that the layers' records say, hidden ones included. */
static void check_totals(const struct store_diff_result *r, const struct plan *plan, bool after)
{
    long long things = 0, weighed = 0, sum = 0, least = 0, most = 0;
    char text[STORE_DIFF_NUMBER_SIZE];

    for (size_t l = 0; l < plan->count; l++)
        for (size_t i = 0; i < THINGS_MAX; i++) {
            const struct thing *thing = &plan->layers[l].things[i];
            things += thing->said == RECORD_THERE;
            if (thing->said != RECORD_THERE || thing->weightless)
                continue;
            least = weighed == 0 || thing->weight < least ? thing->weight : least;
            most = weighed == 0 || thing->weight > most ? thing->weight : most;
            sum += thing->weight;
            weighed++;
        }
    const long long whole[] = {things, sum, least, most};
    assert_int_equal(r->rollup_count, 2);
    const struct store_diff_rollup *rollup = &r->rollups[0];
    assert_string_equal(rollup->name, "by_colour");
    assert_int_equal(rollup->metric_count, 6);
    for (size_t m = 0; m < 6; m++) {
        const char *is = after ? rollup->metrics[m].after : rollup->metrics[m].before;
        double value = m == 4 ? (double)sum / (double)weighed : (double)sum / (double)things;
        assert_int_equal(rollup->metrics[m].in, STORE_DIFF_IN_BOTH);
        if (m > 0 && weighed == 0)
            assert_string_equal(is, "null");
        else if (m < 4) {
            snprintf(text, sizeof text, "%lld", whole[m]);
            assert_string_equal(is, text);
        } else
            assert_true(strtod(is, NULL) == value);
    }
    snprintf(text, sizeof text, "%lld", things);
    assert_string_equal(r->rollups[1].name, "total");
    assert_string_equal(after ? r->rollups[1].metrics[0].after : r->rollups[1].metrics[0].before,
                        text);
}

static struct store_diff *begin(struct kit *kit, uint64_t from, uint64_t to)
{
    struct store_diff *d = NULL;

    kit_ok(store_diff_begin(&d, kit->store, "acme", "things", from, to));
    return d;
}

/* The diff of two versions, run. */
static struct store_diff *diff(struct kit *kit, uint64_t from, uint64_t to)
{
    struct store_diff *d = begin(kit, from, to);

    kit_ok(store_diff_run(d, false, NULL, NULL));
    return d;
}

static void check(struct kit *kit, uint64_t from, uint64_t to, const struct plan *a,
                  const struct plan *b)
{
    struct expected e = expect(a, b);
    struct store_diff *d = diff(kit, from, to);
    const struct store_diff_result *r = store_diff_result(d);

    assert_true(r->compared && r->sampled && !r->definition_changed);
    assert_int_equal(r->from, from);
    assert_int_equal(r->to, to);
    assert_int_equal(r->before, e.before);
    assert_int_equal(r->after, e.after);
    for (size_t i = 0; i < STORE_DIFF_KINDS; i++)
        assert_int_equal(r->counts[i], e.counts[i]);
    assert_int_equal(r->field_count, 0);
    check_samples(r, a, b);
    check_totals(r, a, false);
    check_totals(r, b, true);
    store_diff_free(d);
}

/* ---- tests ---- */

static void make_layer(struct layer *layer, uint64_t density, uint64_t tombstones)
{
    for (size_t i = 0; i < THINGS_MAX; i++) {
        bool there = chance(100) < density;
        layer->things[i] = (struct thing){
            .said = !there                     ? NOTHING
                    : chance(100) < tombstones ? RECORD_GONE
                                               : RECORD_THERE,
            .colour = (unsigned)chance(3),
            .weightless = chance(4) == 0,
            .weight = (int64_t)chance(5) - 2,
        };
    }
}

static void random_versions_differ_as_the_naive_model_says(void **state)
{
    struct kit *kit = *state;
    uint64_t last = 0;

    for (size_t round = 0; round < 24; round++) {
        struct plan *now = &plans[round % 2], *before = &plans[(round + 1) % 2];
        if (chance(3) == 0)
            *now = *before; /* few differences */
        now->count = now->count && chance(2) ? now->count : 1 + chance(LAYERS_MAX);
        for (size_t l = 0; l < now->count; l++)
            if (now->layers[l].things[0].weight == 0 || chance(3))
                make_layer(&now->layers[l], chance(101), l + 1 < now->count ? 30 : chance(2) * 10);
        uint64_t version = publish(kit, THINGS, now);
        if (last) {
            check(kit, last, version, before, now);
            check(kit, version, last, now, before);
        }
        check(kit, version, version, now, now);
        last = version;
    }
}

static struct plan *one_layer(struct plan *plan, size_t first, size_t count)
{
    *plan = (struct plan){.count = 1};
    for (size_t i = first; i < first + count; i++)
        plan->layers[0].things[i] =
            (struct thing){.said = RECORD_THERE, .colour = (unsigned)(i % 3), .weight = (int64_t)i};
    return plan;
}

static void empty_versions_are_compared(void **state)
{
    struct kit *kit = *state;
    struct plan *some = one_layer(&plans[0], 0, 50), *none = one_layer(&plans[1], 0, 0);

    uint64_t full = publish(kit, THINGS, some), empty = publish(kit, THINGS, none);
    check(kit, full, empty, some, none);
    check(kit, empty, full, none, some);
    check(kit, empty, empty, none, none);
}

static void only_versions_with_records_are_compared(void **state)
{
    struct kit *kit = *state;
    struct store_diff *d = NULL;
    struct store_lease lease;
    json_t *head = NULL;

    kit_dataset(kit, THINGS);
    for (size_t i = 1; i <= 3; i++)
        publish(kit, THINGS, one_layer(&plans[0], i, 9));
    kit_ok(store_retire(
        &head, kit->store,
        &(struct store_move){.tenant = "acme", .dataset = "things", .to = 1, .actor = KIT_ACTOR}));
    json_decref(head);
    kit_lease(&lease, kit, "things");
    struct store_build *b = build(kit, &lease, THINGS, one_layer(&plans[0], 9, 9));
    const struct {
        const char *tenant, *dataset;
        uint64_t from, to;
        enum st status;
        const char *code;
    } REFUSED[] = {
        {"acme", "others", 2, 3, ST_NOT_FOUND, "UNKNOWN_DATASET"},
        {"acme", "../keys", 2, 3, ST_NOT_FOUND, "UNKNOWN_DATASET"},
        {"other", "things", 2, 3, ST_NOT_FOUND, "UNKNOWN_DATASET"},
        {"acme", "things", 2, 99, ST_NOT_FOUND, "UNKNOWN_VERSION"},
        {"acme", "things", 0, 2, ST_NOT_FOUND, "UNKNOWN_VERSION"},
        {"acme", "things", 1, 2, ST_GONE, "VERSION_RETIRED"},
        {"acme", "things", 3, 1, ST_GONE, "VERSION_RETIRED"},
        {"acme", "things", 4, 3, ST_NOT_FOUND, "UNKNOWN_VERSION"}, /* IN_PROGRESS, then FAILED */
    };
    for (int failed = 0; failed < 2; failed++) {
        for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
            assert_int_equal(store_diff_begin(&d, kit->store, REFUSED[i].tenant, REFUSED[i].dataset,
                                              REFUSED[i].from, REFUSED[i].to),
                             REFUSED[i].status);
            assert_string_equal(st_code(), REFUSED[i].code);
            assert_null(d);
        }
        if (!failed)
            kit_ok(store_build_fail(b, st_fail(ST_INVALID, "TEST", "a test")));
    }
    store_build_free(b);
    store_diff_free(NULL);
}

/* A version of 30 things under one definition against the same things under another. */
static struct store_diff *across(struct kit *kit, const char *from, const char *to)
{
    struct plan *plan = one_layer(&plans[0], 0, 30);

    plan->layers[0].things[7].weightless = true;
    uint64_t before = publish(kit, from, plan);
    return begin(kit, before, publish(kit, to, plan));
}

static void keys_made_in_different_ways_are_not_compared(void **state)
{
    static const struct {
        const char *key, *why;
    } OTHERS[] = {
        {PROTECTED, "protects its keys"},
        {"{\"fields\":[\"id\"],\"normalize\":{\"id\":\"person_name\"},\"protect\":\"none\"}",
         "normalisers"},
        {"{\"fields\":[\"name\"],\"protect\":\"none\"}", "other fields"},
    };
    struct kit *kit = *state;

    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        char text[2048];
        snprintf(text, sizeof text, DATASET("%s", RECORD, ROLLUPS), OTHERS[i].key);
        struct store_diff *d = across(kit, THINGS, text);
        assert_int_equal(store_diff_run(d, false, NULL, NULL), ST_CONFLICT);
        assert_string_equal(st_code(), "KEYS_NOT_COMPARABLE");
        assert_non_null(strstr(st_message(), OTHERS[i].why));
        store_diff_free(d);
    }
}

static void rollups_are_compared_where_keys_are_not(void **state)
{
    struct kit *kit = *state;
    struct store_diff *d = across(kit, THINGS, DATASET(PROTECTED, RECORD, ROLLUPS));

    kit_ok(store_diff_run(d, true, NULL, NULL));
    const struct store_diff_result *r = store_diff_result(d);
    assert_true(r->definition_changed && !r->compared && !r->sampled);
    check_totals(r, &plans[0], false);
    check_totals(r, &plans[0], true);
    store_diff_free(d);
}

static void another_hmac_key_makes_other_keys(void **state)
{
    struct kit *kit = *state;
    const char *text = DATASET(PROTECTED, RECORD, ROLLUPS);
    struct plan *plan = one_layer(&plans[0], 0, 30);
    struct store_tenant tenant;

    uint64_t first = publish(kit, text, plan);
    kit_ok(store_tenant_get(&tenant, kit->store, "acme"));
    kit_ok(store_hmac_key_create(tenant.hmac_key_id, kit->store, "acme"));
    kit_ok(store_tenant_put(kit->store, &tenant));
    struct store_diff *d = begin(kit, first, publish(kit, text, plan));
    assert_int_equal(store_diff_run(d, false, NULL, NULL), ST_CONFLICT);
    assert_non_null(strstr(st_message(), "HMAC keys"));
    store_diff_free(d);
}

static void protected_keys_are_counted_and_never_shown(void **state)
{
    struct kit *kit = *state;
    const char *text = DATASET(PROTECTED, RECORD, ROLLUPS);
    uint64_t first = publish(kit, text, one_layer(&plans[0], 0, 30));
    struct store_diff *d = diff(kit, first, publish(kit, text, one_layer(&plans[0], 10, 30)));
    const struct store_diff_result *r = store_diff_result(d);
    struct buf out;

    assert_true(r->compared && !r->sampled);
    assert_int_equal(r->counts[STORE_DIFF_ADDED], 10);
    assert_int_equal(r->counts[STORE_DIFF_REMOVED], 10);
    assert_int_equal(r->counts[STORE_DIFF_UNCHANGED], 20);
    for (size_t i = 0; i < STORE_DIFF_UNCHANGED; i++)
        assert_int_equal(r->sample_counts[i], 0);
    buf_init(&out, 1 << 20);
    store_diff_json(&out, d);
    assert_non_null(strstr(out.data, "\"samples\":null"));
    buf_release(&out);
    store_diff_free(d);
}

static void records_of_other_layouts_are_compared_by_value(void **state)
{
    static const struct {
        const char *record;
        uint64_t changed;
        const char *field;
        enum store_diff_in in;
    } OTHERS[] = {
        {"{\"weight\":\"INTEGER\",\"colour\":\"VARCHAR\"}", 0, NULL, 0}, /* another order */
        {"{\"colour\":\"VARCHAR\",\"weight\":\"BIGINT\"}", 0, "weight", STORE_DIFF_IN_BOTH},
        {"{\"colour\":\"VARCHAR\",\"weight\":\"VARCHAR\"}", 29, "weight", STORE_DIFF_IN_BOTH},
        {"{\"colour\":\"VARCHAR\",\"weight\":\"INTEGER\",\"size\":\"DOUBLE\"}", 0, "size",
         STORE_DIFF_IN_TO},
        {"{\"weight\":\"INTEGER\"}", 0, "colour", STORE_DIFF_IN_FROM},
    };
    struct kit *kit = *state;

    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        char text[2048];
        snprintf(text, sizeof text, DATASET(KEY, "%s", "{}"), OTHERS[i].record);
        struct store_diff *d = across(kit, DATASET(KEY, RECORD, "{}"), text);
        kit_ok(store_diff_run(d, false, NULL, NULL));
        const struct store_diff_result *r = store_diff_result(d);
        assert_int_equal(r->counts[STORE_DIFF_CHANGED], OTHERS[i].changed);
        assert_int_equal(r->counts[STORE_DIFF_UNCHANGED], 30 - OTHERS[i].changed);
        assert_int_equal(r->field_count, OTHERS[i].field != NULL);
        if (OTHERS[i].field) {
            assert_string_equal(r->fields[0].name, OTHERS[i].field);
            assert_int_equal(r->fields[0].in, OTHERS[i].in);
        }
        store_diff_free(d);
    }
}

static void lists_of_other_layouts_are_compared_by_value(void **state)
{
    struct store_diff *d =
        across(*state, DATASET(KEY, "{\"tags\":\"INTEGER[]\"}", "{}"),
               DATASET(KEY, "{\"weight\":\"INTEGER\",\"tags\":\"INTEGER[]\"}", "{}"));

    kit_ok(store_diff_run(d, false, NULL, NULL));
    assert_int_equal(store_diff_result(d)->counts[STORE_DIFF_CHANGED], 0);
    assert_int_equal(store_diff_result(d)->counts[STORE_DIFF_UNCHANGED], 30);
    store_diff_free(d);
}

static void equal_bytes_of_another_order_are_not_equal_records(void **state)
{
    struct kit *kit = *state;
    struct plan *a = one_layer(&plans[0], 3, 1), *b = one_layer(&plans[1], 3, 1);

    b->layers[0].things[3].weight = -3;
    uint64_t first =
        publish(kit, DATASET(KEY, "{\"weight\":\"INTEGER\",\"minus\":\"INTEGER\"}", "{}"), a);
    uint64_t second =
        publish(kit, DATASET(KEY, "{\"minus\":\"INTEGER\",\"weight\":\"INTEGER\"}", "{}"), b);
    struct store_diff *d = diff(kit, first, second); /* 3, -3 in both */
    assert_int_equal(store_diff_result(d)->counts[STORE_DIFF_CHANGED], 1);
    store_diff_free(d);
}

static void rollups_and_metrics_of_one_side_are_said_to_be(void **state)
{
    struct kit *kit = *state;
    struct store_diff *d = across(
        kit,
        DATASET(
            KEY, RECORD,
            "{\"old\":{\"dimensions\":[],\"metrics\":{\"things\":\"count(*)\"}},"
            "\"both\":{\"dimensions\":[],\"metrics\":{\"a\":\"count(*)\",\"b\":\"count(*)\"}}}"),
        DATASET(KEY, RECORD,
                "{\"both\":{\"dimensions\":[],\"metrics\":{\"b\":\"count(*)\",\"c\":\"count(*)\"}},"
                "\"new\":{\"dimensions\":[\"colour\"],\"metrics\":{\"things\":\"count(*)\"}}}"));
    struct buf out;

    kit_ok(store_diff_run(d, false, NULL, NULL));
    buf_init(&out, 1 << 20);
    store_diff_json(&out, d);
    kit_ok(buf_status(&out));
    assert_non_null(
        strstr(out.data, "\"rollups\":["
                         "{\"name\":\"both\",\"in\":\"both\",\"metrics\":["
                         "{\"name\":\"b\",\"in\":\"both\",\"before\":30,\"after\":30},"
                         "{\"name\":\"c\",\"in\":\"to\",\"before\":null,\"after\":30},"
                         "{\"name\":\"a\",\"in\":\"from\",\"before\":30,\"after\":null}]},"
                         "{\"name\":\"new\",\"in\":\"to\",\"metrics\":["
                         "{\"name\":\"things\",\"in\":\"to\",\"before\":null,\"after\":30}]},"
                         "{\"name\":\"old\",\"in\":\"from\",\"metrics\":["
                         "{\"name\":\"things\",\"in\":\"from\",\"before\":30,\"after\":null}]}]}"));
    buf_release(&out);
    store_diff_free(d);
}

static void sums_wider_than_an_integer_are_exact(void **state)
{
    struct kit *kit = *state;
    const char *text =
        DATASET(KEY, "{\"weight\":\"BIGINT\"}",
                "{\"all\":{\"dimensions\":[],\"metrics\":{\"weight\":\"sum(weight)\"}}}");
    struct plan *plan = one_layer(&plans[0], 0, 3);

    for (size_t i = 0; i < 3; i++)
        plan->layers[0].things[i].weight = INT64_MAX;
    uint64_t version = publish(kit, text, plan);
    struct store_diff *d = diff(kit, version, version);
    assert_string_equal(store_diff_result(d)->rollups[0].metrics[0].after, "27670116110564327421");
    store_diff_free(d);
}

static void segment_path(char out[FS_PATH_MAX], struct kit *kit, uint64_t version)
{
    json_t *row = NULL;

    kit_ok(store_version_get(&row, kit->store, "acme", "things", version));
    const json_t *segment = json_array_get(json_object_get(row, "segments"), 0);
    kit_ok(
        store_segment_path(out, kit->store, json_string_value(json_object_get(segment, "sha256"))));
    json_decref(row);
}

static void a_version_that_goes_away_meanwhile_is_compared_to_the_end(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    json_t *head = NULL;

    for (size_t i = 0; i < 3; i++)
        publish(kit, THINGS, one_layer(&plans[0], i, 30));
    struct store_diff *d = begin(kit, 1, 3);
    segment_path(path, kit, 1);
    kit_ok(store_retire(
        &head, kit->store,
        &(struct store_move){.tenant = "acme", .dataset = "things", .to = 1, .actor = KIT_ACTOR}));
    json_decref(head);
    store_tidy(kit->store, "acme", "things");
    assert_int_equal(access(path, F_OK), -1);
    kit_ok(store_diff_run(d, false, NULL, NULL));
    assert_int_equal(store_diff_result(d)->counts[STORE_DIFF_ADDED], 2);
    assert_int_equal(store_diff_result(d)->counts[STORE_DIFF_REMOVED], 2);
    assert_int_equal(store_diff_result(d)->counts[STORE_DIFF_UNCHANGED], 28);
    store_diff_free(d);
}

/* Turns a bit of a colour: nothing but the hash can tell. */
static void damage(const char *path)
{
    char bytes[64 * 1024];
    int fd = open(path, O_RDWR);
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    char *colour = n > 0 ? memmem(bytes, (size_t)n, "reen", 4) : NULL;

    assert_non_null(colour);
    colour[-1] ^= 1;
    assert_int_equal(pwrite(fd, &colour[-1], 1, &colour[-1] - bytes), 1);
    close(fd);
}

static void a_damaged_version_is_not_compared(void **state)
{
    struct kit *kit = *state;
    struct store_diff *d = NULL;
    char path[FS_PATH_MAX];

    for (size_t i = 0; i < 2; i++)
        publish(kit, THINGS, one_layer(&plans[0], i, 30));
    segment_path(path, kit, 1);
    for (int turn = 0; turn < 2; turn++) { /* damaged, and mended: hashed each time */
        damage(path);
        d = begin(kit, 1, 2);
        enum st st = store_diff_run(d, false, NULL, NULL);
        assert_int_equal(st, turn ? ST_OK : ST_UNAVAILABLE);
        if (st)
            assert_string_equal(st_code(), "VERSION_UNAVAILABLE");
        store_diff_free(d);
    }
    assert_int_equal(truncate(path, 8192), 0);
    d = begin(kit, 1, 2);
    assert_int_equal(store_diff_run(d, false, NULL, NULL), ST_UNAVAILABLE);
    store_diff_free(d);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(store_diff_begin(&d, kit->store, "acme", "things", 1, 2), ST_UNAVAILABLE);
    assert_string_equal(st_code(), "VERSION_UNAVAILABLE");
}

static enum st stop_at(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    (void)done;
    (void)total;
    return strcmp(phase, ctx) == 0 ? st_fail(ST_TIMEOUT, "ENOUGH", "enough") : ST_OK;
}

static void it_can_be_stopped_in_every_phase(void **state)
{
    static const char *const PHASES[] = {"verifying", "comparing", "rollups"};
    struct kit *kit = *state;
    char path[FS_PATH_MAX];

    uint64_t version = publish(kit, THINGS, one_layer(&plans[0], 0, 30));
    segment_path(path, kit, version);
    for (size_t i = 0; i < 3; i++) {
        struct store_diff *d = begin(kit, version, version);
        assert_int_equal(store_diff_run(d, false, stop_at, (void *)(uintptr_t)PHASES[i]),
                         ST_TIMEOUT);
        assert_string_equal(st_code(), "ENOUGH");
        store_diff_free(d);
    }
}

static enum st count_down(const char *phase, uint64_t done, uint64_t total, void *ctx)
{
    int *left = ctx;

    (void)phase;
    (void)done;
    (void)total;
    return (*left)-- > 0 ? ST_OK : st_fail(ST_TIMEOUT, "ENOUGH", "enough");
}

static void hashing_can_be_stopped(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    int left = 1; /* the second call is in the middle of the file */

    uint64_t version = publish(kit, THINGS, one_layer(&plans[0], 0, 30));
    segment_path(path, kit, version);
    assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0); /* not as it was verified */
    struct store_diff *d = begin(kit, version, version);
    assert_int_equal(store_diff_run(d, false, count_down, &left), ST_TIMEOUT);
    assert_string_equal(st_code(), "ENOUGH");
    store_diff_free(d);
}

static int set_up(void **state)
{
    static struct kit kit;

    kit_new(&kit);
    kit_dataset(&kit, THINGS);
    *state = &kit;
    return 0;
}

static int tear_down(void **state)
{
    kit_free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_versions_differ_as_the_naive_model_says),
        TEST(empty_versions_are_compared),
        TEST(only_versions_with_records_are_compared),
        TEST(keys_made_in_different_ways_are_not_compared),
        TEST(rollups_are_compared_where_keys_are_not),
        TEST(another_hmac_key_makes_other_keys),
        TEST(protected_keys_are_counted_and_never_shown),
        TEST(records_of_other_layouts_are_compared_by_value),
        TEST(lists_of_other_layouts_are_compared_by_value),
        TEST(equal_bytes_of_another_order_are_not_equal_records),
        TEST(rollups_and_metrics_of_one_side_are_said_to_be),
        TEST(sums_wider_than_an_integer_are_exact),
        TEST(a_version_that_goes_away_meanwhile_is_compared_to_the_end),
        TEST(a_damaged_version_is_not_compared),
        TEST(it_can_be_stopped_in_every_phase),
        TEST(hashing_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
