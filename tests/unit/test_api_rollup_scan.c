/* What a page of a rollup may cost, in cells that are looked at, and that its pages join to what
 * one without a bound would have. */
#include "store_kit.h"

#include "api/rollup_scan.h"

#define SHOPS 25000
#define COLOURS 10
#define CELLS (SHOPS * COLOURS)
#define DEFINITION                                                                                 \
    "{\"name\":\"things\",\"sources\":{\"things\":{\"format\":\"csv\"}},"                          \
    "\"prepare\":\"SELECT * FROM things\",\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},"     \
    "\"record\":{\"colour\":\"VARCHAR\"},\"rollups\":{\"by_shop\":{\"dimensions\":[\"shop\","      \
    "\"colour\"],\"metrics\":{\"things\":\"count(*)\"}}}}"

static struct kit kit;
static struct store_definition *definition;
static struct store_segment *segment;
static const struct store_rollup *rollup;

static void name(char out[16], char first, int number)
{
    snprintf(out, 16, "%c%05d", first, number);
}

static void write_cells(struct store_segment_writer *w)
{
    struct store_value values[2] = {0};
    char shop[16], colour[16];
    struct store_cell cell;
    struct buf tuple;
    int64_t input = 0;
    bool null = false;

    store_cell_init(&cell);
    kit_ok(store_cell_add(&cell, rollup, &input, &null, NULL));
    buf_init(&tuple, 4 * STORE_TUPLE_MAX);
    for (int i = 0; i < CELLS; i++) {
        name(shop, 's', i / COLOURS);
        name(colour, 'c', i % COLOURS);
        values[0].as.text = (__typeof__(values[0].as.text)){shop, strlen(shop)};
        values[1].as.text = (__typeof__(values[1].as.text)){colour, strlen(colour)};
        buf_reset(&tuple);
        kit_ok(store_tuple_encode(&tuple, rollup, values));
        kit_ok(store_segment_writer_cell(w, 0, tuple.data, tuple.len, &cell));
    }
    buf_release(&tuple);
}

static int set_up(void **state)
{
    struct store_segment_info info = {.tenant = "acme", .key_id = ""};
    struct store_segment_writer *w = NULL;
    char path[FS_PATH_MAX], key_id[STORE_NAME_SIZE];

    (void)state;
    kit_new(&kit);
    info.definition = definition = kit_definition(DEFINITION);
    rollup = &definition->rollups[0].sets[0];
    struct store_hasher *hasher = kit_hasher(&kit, definition, key_id);
    kit_ok(store_hasher_check_value(info.check_value, hasher));
    store_hasher_free(hasher);
    kit_ok(fs_path(path, "%s/many.mdb", kit.dir));
    kit_ok(store_segment_writer_open(&w, path, &info));
    write_cells(w);
    kit_ok(store_segment_writer_finish(w));
    store_segment_writer_free(w);
    kit_ok(store_segment_open(&segment, path, "acme", "things", 1));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_segment_close(segment);
    store_definition_free(definition);
    kit_free(&kit);
    return 0;
}

/* "s00001/c00002 " */
static void tell(struct buf *out, const struct store_rollup *r, uint32_t metrics,
                 const struct store_value *values, const struct store_cell *cell)
{
    (void)r;
    (void)metrics;
    assert_int_equal(cell->records, 1);
    buf_addf(out, "%.*s/%.*s ", (int)values[0].as.text.len, values[0].as.text.bytes,
             (int)values[1].as.text.len, values[1].as.text.bytes);
}

static struct api_rollup_query where(const char *shop, const char *colour)
{
    const char *const texts[] = {shop, colour};
    struct api_rollup_query q = {.limit = 1000, .metrics = UINT32_MAX};

    for (size_t i = 0; i < 2; i++)
        if (texts[i]) {
            q.filtered[i] = true;
            q.filters[i].as.text = (__typeof__(q.filters[i].as.text)){texts[i], strlen(texts[i])};
        }
    return q;
}

struct pages {
    struct buf out;
    size_t count, visited, most; /* pages, and cells that were looked at: in all, and for one */
};

/* All pages of a query. */
static void read_pages(struct pages *p, const struct api_rollup_query *q)
{
    struct api_cursor from = {.tuple_len = 0};

    *p = (struct pages){.count = 0};
    buf_init(&p->out, 64u << 20);
    do {
        struct api_rollup_scan s = {
            .rollup = rollup, .query = *q, .add_fn = tell, .out = &p->out, .from = &from};
        kit_ok(api_rollup_scan_run(&s, segment, 0));
        assert_true(s.count <= q->limit);
        p->count++;
        p->visited += s.visited;
        p->most = s.visited > p->most ? s.visited : p->most;
        from = s.next;
    } while (from.tuple_len);
}

static void what_no_cell_has_is_looked_for_in_bounded_pages(void **state)
{
    struct api_rollup_query q = where(NULL, "none");
    struct pages p;

    (void)state;
    read_pages(&p, &q);
    assert_int_equal(p.out.len, 0);
    assert_int_equal(p.most, API_ROLLUP_VISITS_MAX);
    assert_int_equal(p.visited, CELLS); /* each once */
    assert_int_equal(p.count, (CELLS + API_ROLLUP_VISITS_MAX - 1) / API_ROLLUP_VISITS_MAX);
    buf_release(&p.out);
}

static void pages_that_end_early_join_to_the_whole(void **state)
{
    static const int64_t LIMITS[] = {1000, 7777, INT64_MAX};
    char shop[16];
    struct pages p;
    struct buf whole;

    (void)state;
    buf_init(&whole, 64u << 20);
    for (int i = 0; i < SHOPS; i++) {
        name(shop, 's', i);
        buf_addf(&whole, "%s/c00003 ", shop);
    }
    for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0]; i++) {
        struct api_rollup_query q = where(NULL, "c00003");
        q.limit = LIMITS[i];
        read_pages(&p, &q);
        assert_true(p.most <= API_ROLLUP_VISITS_MAX);
        assert_string_equal(p.out.data, whole.data);
        buf_release(&p.out);
    }
    buf_release(&whole);
}

/* The first dimensions are where a tuple begins. */
static void what_is_filtered_first_is_not_searched_for(void **state)
{
    static const struct {
        const char *shop, *colour, *found;
        size_t visits;
    } rows[] = {
        {"s24999", "c00009", "s24999/c00009 ", 1},
        {"s24999", "none", "", 0},
        {"s1", NULL, "", 0},
        {"zzz", NULL, "", 0},
        {"", NULL, "", 0},
    };
    struct api_rollup_query q = where("s12345", NULL);
    struct pages p;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_rollup_query one = where(rows[i].shop, rows[i].colour);
        read_pages(&p, &one);
        assert_string_equal(p.out.len ? p.out.data : "", rows[i].found);
        assert_int_equal(p.count, 1);
        assert_int_equal(p.visited, rows[i].visits);
        buf_release(&p.out);
    }
    q.limit = 4;
    read_pages(&p, &q);
    assert_int_equal(p.count, 3);
    assert_int_equal(p.visited, COLOURS + 2); /* what the next page begins with is seen twice */
    assert_int_equal(p.out.len, COLOURS * strlen("s12345/c00000 "));
    buf_release(&p.out);
}

static void a_cursor_that_no_cell_of_the_query_has_is_refused(void **state)
{
    struct api_cursor from = {.tuple = {2, 'a', 0, 0}, .tuple_len = 4};
    struct api_rollup_scan s = {
        .rollup = rollup, .query = where("s12345", NULL), .add_fn = tell, .from = &from};

    (void)state;
    assert_int_equal(api_rollup_scan_run(&s, segment, 0), ST_INVALID);
    assert_string_equal(st_code(), "INVALID_CURSOR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_cell_has_is_looked_for_in_bounded_pages),
        cmocka_unit_test(pages_that_end_early_join_to_the_whole),
        cmocka_unit_test(what_is_filtered_first_is_not_searched_for),
        cmocka_unit_test(a_cursor_that_no_cell_of_the_query_has_is_refused),
    };

    return cmocka_run_group_tests_name("api_rollup_scan", tests, set_up, tear_down);
}
