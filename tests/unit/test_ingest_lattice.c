/* Grouping sets and hidden cells: what is published never adds up to what is hidden. */
#include "ingest_kit.h"

#include "ingest/lattice.h"

#define DEFINITION                                                                                 \
    "{'name':'d','sources':{'s':{'format':'csv'}},'prepare':'SELECT 1','key':{'fields':['id']},"   \
    "'record':{},'rollups':{'r':{'dimensions':['state','program'],'metrics':{'n':'count(*)'},"     \
    "'grouping_sets':%s}}}"
#define ALL_SETS "[['state','program'],['program'],['state'],[]]"

/* state, program, records */
struct group {
    const char *state, *program;
    int records;
};

struct seen {
    const struct store_rollup *rollup;
    char text[2048];
};

static enum st see(size_t set, const void *tuple, size_t len, struct store_cell *cell, void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct seen *seen = ctx;
    struct buf scratch;
    size_t used = strlen(seen->text);
    buf_init(&scratch, 4096);
    kit_ok(store_tuple_decode(values, &scratch, &seen->rollup->sets[set], tuple, len));
    for (size_t i = 0; i < seen->rollup->sets[set].dimension_count; i++)
        used += (size_t)snprintf(seen->text + used, sizeof seen->text - used, "%.*s",
                                 (int)values[i].as.text.len, values[i].as.text.bytes);
    if (cell->records)
        snprintf(seen->text + used, sizeof seen->text - used, ":%llu ",
                 (unsigned long long)cell->records);
    else
        snprintf(seen->text + used, sizeof seen->text - used, ":- ");
    buf_release(&scratch);
    return ST_OK;
}

/* What is written of these groups: "ohA:5 ..." with "-" for a hidden one. The cells over all
 * dimensions are in memory, or (0 bytes) put aside. */
static void show_in(uint64_t base_bytes, struct seen *seen, struct kit *kit, const char *sets,
                    const struct group *groups, size_t count)
{
    char text[1024];
    struct spill *spill;
    struct cells *cells;
    struct buf tuple;
    snprintf(text, sizeof text, DEFINITION, sets);
    kit_define(kit, text);
    *seen = (struct seen){.rollup = &kit->task.definition->rollups[0]};
    buf_init(&tuple, 4096);
    kit_ok(spill_open(&spill, kit->dir));
    kit_ok(cells_new(&cells, seen->rollup, spill, base_bytes));
    for (size_t i = 0; i < count; i++)
        for (int n = 0; n < groups[i].records; n++) {
            struct store_value values[2] = {
                {.as.text = {groups[i].state, strlen(groups[i].state)}},
                {.as.text = {groups[i].program, strlen(groups[i].program)}}};
            buf_reset(&tuple);
            kit_ok(store_tuple_encode(&tuple, seen->rollup, values));
            kit_ok(
                cells_add(cells, tuple.data, tuple.len, &(struct payload_inputs){.values = {0}}));
        }
    kit_ok(lattice_write(cells, seen->rollup, spill, 1u << 20, see, seen));
    assert_int_equal(spill_peak_bytes(spill) > 0, base_bytes == 0);
    cells_free(cells);
    spill_close(spill);
    buf_release(&tuple);
}

static void show(struct seen *seen, struct kit *kit, const char *sets, const struct group *groups,
                 size_t count)
{
    struct seen aside;
    show_in(1u << 20, seen, kit, sets, groups, count);
    if (count > 1) {
        show_in(0, &aside, kit, sets, groups, count);
        assert_string_equal(aside.text, seen->text);
    }
}
#define SHOW(seen, kit, sets, groups) show(seen, kit, sets, groups, sizeof groups / sizeof *groups)

static void every_set_has_the_totals_of_its_cells(void **state)
{
    static const struct group groups[] = {{"oh", "A", 5}, {"ia", "B", 2}, {"oh", "B", 1}};
    struct seen seen;
    SHOW(&seen, *state, ALL_SETS, groups);
    assert_string_equal(seen.text, "iaB:2 ohA:5 ohB:1 A:5 B:3 ia:2 oh:6 :8 ");
}

static void a_hidden_cell_hides_what_gives_it_away(void **state)
{
    /* iaA is small; its row's and column's neighbours go with it, and then the fourth corner. */
    static const struct group groups[] = {{"ia", "A", 3},  {"ia", "B", 50}, {"ia", "C", 60},
                                          {"oh", "A", 20}, {"oh", "B", 70}, {"oh", "C", 80}};
    struct seen seen;
    SHOW(&seen, *state, ALL_SETS ",'min_cell':11", groups);
    assert_string_equal(seen.text, "iaA:- iaB:- iaC:60 ohA:- ohB:- ohC:80 "
                                   "A:23 B:120 C:140 ia:113 oh:170 :283 ");
}

static void two_hidden_ones_must_be_enough_together(void **state)
{
    static const struct group groups[] = {{"ia", "A", 2}, {"ia", "B", 3}, {"ia", "C", 60}};
    struct seen seen;
    SHOW(&seen, *state, ALL_SETS ",'min_cell':11", groups);
    /* 2 + 3 are too few, so C goes too; then nothing is left but the total of all. */
    assert_string_equal(seen.text, "iaA:- iaB:- iaC:- A:- B:- C:- ia:65 :65 ");
}

/* The version's row has it. */
static void the_number_of_all_records_gives_nothing_away(void **state)
{
    static const struct group groups[] = {{"ia", "A", 3}, {"oh", "A", 50}, {"ut", "A", 60}};
    struct seen seen;
    SHOW(&seen, *state, "[['state']],'min_cell':11", groups);
    assert_string_equal(seen.text, "ia:- oh:- ut:60 ");
}

static void where_nothing_is_small_nothing_is_hidden(void **state)
{
    static const struct group groups[] = {{"ia", "A", 11}, {"oh", "B", 12}};
    struct seen seen;
    SHOW(&seen, *state, ALL_SETS ",'min_cell':11", groups);
    assert_null(strchr(seen.text, '-'));
}

/* Random tables: under every published parent the hidden are two at least and enough together. */
static void no_published_sum_says_too_much(void **state)
{
    static const char *const states[] = {"a", "b", "c", "d"}, *const programs[] = {"P", "Q", "R"};
    struct kit *kit = *state;
    unsigned random = 7;
    for (int round = 0; round < 200; round++) {
        struct group groups[12];
        struct seen seen;
        for (size_t i = 0; i < 12; i++) {
            random = random * 1103515245 + 12345;
            unsigned small = random >> 16 & 3;
            groups[i] = (struct group){states[i % 4], programs[i / 4],
                                       (int)((random >> 18) % (small ? 40 : 9))};
        }
        SHOW(&seen, kit, ALL_SETS ",'min_cell':5", groups);
        for (size_t line = 0; line < 7; line++) { /* 4 states, 3 programs */
            char name[8];
            int hidden = 0, records = 0;
            snprintf(name, sizeof name, " %s:", line < 4 ? states[line] : programs[line - 4]);
            const char *parent = strstr(seen.text, name);
            if (!parent || parent[strlen(name)] == '-')
                continue;
            for (size_t i = 0; i < 12; i++) {
                char cell[16], padded[2100];
                snprintf(cell, sizeof cell, " %s%s:-", groups[i].state, groups[i].program);
                snprintf(padded, sizeof padded, " %s", seen.text);
                bool under = line < 4 ? i % 4 == line : i / 4 == line - 4;
                if (under && groups[i].records && strstr(padded, cell)) {
                    hidden++;
                    records += groups[i].records;
                }
            }
            if (hidden && (hidden < 2 || records < 5))
                fail_msg("round %d,%s %d hidden of %d records: %s", round, name, hidden, records,
                         seen.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(every_set_has_the_totals_of_its_cells),
        kit_test(a_hidden_cell_hides_what_gives_it_away),
        kit_test(two_hidden_ones_must_be_enough_together),
        kit_test(the_number_of_all_records_gives_nothing_away),
        kit_test(where_nothing_is_small_nothing_is_hidden),
        kit_test(no_published_sum_says_too_much),
    };
    return cmocka_run_group_tests_name("ingest_lattice", tests, NULL, NULL);
}
