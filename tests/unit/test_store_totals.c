/* The totals of rollups against the records: a segment that is right, and every way to be wrong. */
#include "segment_kit.h"
#include "store_format_kit.h"

#include "base/fs.h"
#include "store/segment.h"

/* Every kind of argument that is a field; `big` is none, nor is what adds to one. */
#define SHOP                                                                                       \
    "{\"name\":\"shop\",\"sources\":{\"s\":{\"format\":\"csv\"}},\"prepare\":\"SELECT 1\","        \
    "\"key\":{\"fields\":[\"id\"],\"protect\":\"none\"},\"record\":{\"ok\":\"BOOLEAN\","           \
    "\"n\":\"INTEGER\",\"price\":\"DECIMAL(9,2)\",\"weight\":\"DOUBLE\",\"day\":\"DATE\","         \
    "\"at\":\"TIMESTAMP\",\"who\":\"VARCHAR\",\"user\":\"INTEGER\"},\"rollups\":{"                 \
    "\"by\":{\"dimensions\":[\"who\"],\"grouping_sets\":[[\"who\"],[]],\"metrics\":{"              \
    "\"rows\":\"count(*)\",\"oks\":\"sum(ok::INT)\",\"filled\":\"count(n)\",\"sum\":\"sum(N)\","   \
    "\"paid\":\"sum(price)\",\"mean\":\"avg(weight)\",\"first\":\"min(day)\","                     \
    "\"last\":\"max(at)\",\"people\":\"distinct(who)\",\"median\":\"quantile(weight, 0.5)\","      \
    "\"rate\":{\"ratio\":[\"sum(n::BIGINT)\",\"count(*)\"]},\"other\":\"sum(n + 1)\","             \
    "\"big\":\"max(big)\",\"users\":\"sum(user)\"}}}}"

enum { ROWS = 60, OKS, FILLED, SUM, PAID, MEAN, FIRST, LAST, PEOPLE, MEDIAN, RATE, RATE_ROWS };
enum { OTHER = RATE_ROWS + 1, BIG, USERS, END, TERMS = END - ROWS };

static char path[] = "/tmp/everline-totals-XXXXXX";
static struct store_definition *definition;

static const char *const WHO[] = {"ada", "bob", "cy"};

static int64_t bits(double d)
{
    int64_t i;

    memcpy(&i, &d, sizeof i);
    return i;
}

/* The arguments of all terms for the i-th record; every tenth has nulls. */
static void make_inputs(int64_t inputs[TERMS], bool nulls[TERMS], unsigned char kinds[TERMS],
                        int64_t i)
{
    const char *who = WHO[i % 3];
    const int64_t all[TERMS] = {
        0, i % 2, 0,     i,        i * 7, bits((double)i / 3), i, i * 1000, 0, bits((double)i / 3),
        i, 0,     i + 1, 1000 - i, 42};

    memcpy(inputs, all, sizeof all);
    inputs[PEOPLE - ROWS] = (int64_t)store_distinct_hash(who, strlen(who));
    memset(kinds, STORE_INPUT_INTEGER, TERMS);
    kinds[PAID - ROWS] = STORE_INPUT_DECIMAL + 2;
    kinds[MEAN - ROWS] = kinds[MEDIAN - ROWS] = STORE_INPUT_DOUBLE;
    kinds[FIRST - ROWS] = STORE_INPUT_DATE;
    kinds[LAST - ROWS] = STORE_INPUT_TIMESTAMP;
    memset(nulls, 0, TERMS * sizeof *nulls);
    nulls[FILLED - ROWS] = nulls[SUM - ROWS] = nulls[RATE - ROWS] = i % 10 == 0;
}

static void add_record(struct store_segment_writer *w, struct buf *row, int64_t i)
{
    unsigned char key[STORE_KEY_BYTES] = {[15] = (unsigned char)i};
    const char *who = WHO[i % 3];
    struct store_value values[] = {KIT_TEXT("k"),
                                   KIT_INT(i % 2),
                                   {.null = i % 10 == 0, .as.i = i},
                                   KIT_INT(i * 7),
                                   {.as.d = (double)i / 3},
                                   KIT_INT(i),
                                   KIT_INT(i * 1000),
                                   {.as.text = {who, strlen(who)}},
                                   KIT_INT(i)};

    buf_reset(row);
    assert_int_equal(store_row_encode(row, definition->row, definition->row_count, values), ST_OK);
    assert_int_equal(store_segment_writer_add(w, key, row->data, row->len), ST_OK);
}

/* The cell of every third record from `who` on (-1: of all); the last one's `wrong` input is not
 * the record's. */
static void add_cell(struct store_segment_writer *w, struct buf *tuple, size_t set, int who,
                     int wrong)
{
    const struct store_rollup *r = &definition->sets[set];
    struct store_value value = {
        .as.text = {who < 0 ? "" : WHO[who], who < 0 ? 0 : strlen(WHO[who])}};
    int64_t inputs[TERMS];
    bool nulls[TERMS];
    unsigned char kinds[TERMS];
    struct store_cell cell;

    store_cell_init(&cell);
    for (int64_t i = who < 0 ? 0 : who; i < ROWS; i += who < 0 ? 1 : 3) {
        make_inputs(inputs, nulls, kinds, i);
        if (wrong && i == ROWS - 1)
            inputs[wrong - ROWS] ^= 0x5555555555555555;
        if (wrong == FILLED && i == ROWS - 1)
            nulls[FILLED - ROWS] = true;
        assert_int_equal(store_cell_add(&cell, r, inputs, nulls, kinds), ST_OK);
    }
    buf_reset(tuple);
    assert_int_equal(store_tuple_encode(tuple, r, &value), ST_OK);
    assert_int_equal(store_segment_writer_cell(w, set, tuple->data, tuple->len, &cell), ST_OK);
    store_cell_release(&cell, r);
}

/* What verification says of a segment in which one input of a set is wrong. */
static enum st verdict(size_t wrong_set, int wrong)
{
    struct store_segment_info info = {.definition = definition, .tenant = "acme", .key_id = ""};
    struct store_segment_writer *w = NULL;
    struct store_segment *s = NULL;
    struct buf bytes;

    buf_init(&bytes, STORE_ROW_MAX);
    unlink(path);
    assert_int_equal(store_segment_writer_open(&w, path, &info), ST_OK);
    for (int64_t i = 0; i < ROWS; i++)
        add_record(w, &bytes, i);
    for (int who = 0; who < 3; who++)
        add_cell(w, &bytes, 0, who, wrong_set == 0 && who == 2 ? wrong : 0);
    add_cell(w, &bytes, 1, -1, wrong_set == 1 ? wrong : 0);
    assert_int_equal(store_segment_writer_finish(w), ST_OK);
    store_segment_writer_free(w);
    assert_int_equal(store_segment_open(&s, path, "acme", "shop", 1), ST_OK);
    enum st st = store_segment_verify(s, 0, definition);
    store_segment_close(s);
    buf_release(&bytes);
    return st;
}

static void right_totals_are_right(void **state)
{
    (void)state;
    if (verdict(0, 0) != ST_OK)
        fail_msg("%s", st_message());
}

static void each_term_is_held_against_the_records(void **state)
{
    (void)state;
    for (size_t set = 0; set < 2; set++)
        for (int wrong = OKS; wrong < END; wrong++) {
            if (wrong == FIRST || wrong == RATE_ROWS)
                continue; /* more changes no minimum; there is no input of count(*) */
            if (verdict(set, wrong) != ST_CORRUPT)
                fail_msg("term %d of set %zu is not looked at", wrong - ROWS, set);
            assert_non_null(strstr(st_message(), "totals"));
        }
}

static int set_up(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    definition = kit_definition(SHOP);
    close(fd);
    return fd < 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_definition_free(definition);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_totals_are_right),
        cmocka_unit_test(each_term_is_held_against_the_records),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
