/* Gates: what holds a version back, and what is said about it. */
#include "json_memory_kit.h"
#include "store_format_kit.h"

#include "store/gate.h"

/* Apostrophes stand for quotation marks. */
static json_t *parse(const char *text)
{
    char copy[1024];

    if (!text)
        return NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *value = json_loads(copy, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static bool passes(char state[32], const char *gates, const char *rows, const char *current)
{
    json_t *g = parse(gates), *r = parse(rows), *c = parse(current), *report = NULL;
    char why[GATE_WHY_SIZE];
    bool passed = false;

    assert_int_equal(gate_judge(&report, &passed, why, g, r, c), ST_OK);
    assert_int_equal(passed, why[0] == '\0');
    const char *said = json_string_value(json_object_get(json_array_get(report, 0), "state"));
    snprintf(state, 32, "%s", said ? said : "none");
    json_decref(report);
    json_decref(g);
    json_decref(r);
    json_decref(c);
    return passed;
}

#define GATE(value, limits) "[{'name':'g','metric':'sum(n)','value':" value "," limits "}]"
#define BEFORE(value)                                                                              \
    "{'rows':{'accepted':9},'gates':[{'name':'x','metric':'sum(n)','value':" value "}]}"

static const struct {
    const char *gates, *current, *state;
} CASES[] = {
    {GATE("120", "'max_change_ratio':0.2"), BEFORE("100"), "passed"},
    {GATE("121", "'max_change_ratio':0.2"), BEFORE("100"), "held"},
    {GATE("79", "'max_change_ratio':0.2"), BEFORE("100"), "held"},
    {GATE("-79", "'max_change_ratio':0.2"), BEFORE("-100"), "held"},
    {GATE("0", "'max_change_ratio':0.2"), BEFORE("0"), "passed"},
    {GATE("1", "'max_change_ratio':0.2"), BEFORE("0"), "held"},
    {GATE("0.55", "'max_change':0.1"), BEFORE("0.5"), "passed"},
    {GATE("0.65", "'max_change':0.1"), BEFORE("0.5"), "held"},
    {GATE("null", "'max_change':0.1"), BEFORE("0.5"), "held"},
    {GATE("null", "'max_change':0.1"), BEFORE("null"), "passed"},
    {GATE("1", "'max_change':0.1"), "{'gates':[]}", "new"},
    {GATE("1", "'max_change':0.1"), NULL, "new"},
    {GATE("1", "'min':2"), NULL, "held"},
    {GATE("2", "'min':2,'max':2"), NULL, "passed"},
    {GATE("3", "'max':2"), NULL, "held"},
    {GATE("null", "'max':2"), NULL, "held"},
    {GATE("1", "'min':2,'max_change':9"), BEFORE("1"), "held"},
    {GATE("3", "'max':2,'max_change_ratio':9"), BEFORE("3"), "held"},
};

static void a_gate_holds_what_is_outside_of_its_limits(void **state)
{
    char said[32];

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        bool passed = passes(said, CASES[i].gates, "{'accepted':5}", CASES[i].current);
        if (strcmp(said, CASES[i].state) != 0 || passed != (strcmp(said, "held") != 0))
            fail_msg("case %zu: %s, not %s", i, said, CASES[i].state);
    }
}

static void the_rows_of_a_version_without_gates_are_known(void **state)
{
    char said[32];

    (void)state;
    assert_false(passes(said, "[{'name':'g','metric':'count(*)','value':5,'max_change':1}]",
                        "{'accepted':5}", "{'rows':{'accepted':9},'gates':[]}"));
}

/* Whichever allocation fails. */
static void without_memory_no_gate_is_passed_that_would_not_be(void **state)
{
    json_t *g = parse("[{'name':'g','metric':'sum(n)','value':1,'min':0}]"),
           *rows = parse("{'accepted':0}"), *current = parse("{'rows':{'accepted':9}}");
    enum st st = ST_NOMEM;
    (void)state;
    for (long n = 0; n < 100; n++) {
        json_t *report = NULL;
        char why[GATE_WHY_SIZE];
        bool passed = false;
        json_fail_after(n);
        st = gate_judge(&report, &passed, why, g, rows, current);
        (void)json_heal();
        assert_true(st == ST_NOMEM || (st == ST_OK && !passed));
        json_decref(report);
    }
    assert_int_equal(st, ST_OK);
    json_decref(g);
    json_decref(rows);
    json_decref(current);
}

static void nothing_does_not_take_the_place_of_something(void **state)
{
    char said[32];

    (void)state;
    assert_false(passes(said, NULL, "{'accepted':0}", "{'rows':{'accepted':9}}"));
    assert_string_equal(said, "held");
    assert_true(passes(said, NULL, "{'accepted':1}", "{'rows':{'accepted':9}}"));
    assert_string_equal(said, "none");
    assert_true(passes(said, NULL, "{'accepted':0}", "{'rows':{'accepted':0}}"));
    assert_true(passes(said, NULL, "{'accepted':0}", NULL));
    assert_true(passes(said, NULL, NULL, "{'rows':{'accepted':9}}"));
    assert_true(passes(said, "[{'name':'not_empty','metric':'count(*)','value':0,'min':0}]",
                       "{'accepted':0}", "{'rows':{'accepted':9}}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gate_holds_what_is_outside_of_its_limits),
        cmocka_unit_test(the_rows_of_a_version_without_gates_are_known),
        cmocka_unit_test(without_memory_no_gate_is_passed_that_would_not_be),
        cmocka_unit_test(nothing_does_not_take_the_place_of_something),
    };
    return cmocka_run_group_tests_name("store_gate", tests, NULL, NULL);
}
