/* Casts of what prepare gives to the types that `record` declares: a row whose value they would
 * change is rejected. */
#include "ingest_kit.h"

#include "ingest/build.h"

static const struct {
    const char *type, *good, *bad; /* of a field; two expressions of one type */
} values[] = {
    {"INTEGER", "`7`", "`1.5`"},
    {"BIGINT", "`9007199254740993.0`", "`9007199254740993.5`"},
    {"UTINYINT", "` 7 `", "`1e1`"},
    {"INTEGER", "`7\\t`", "`0x1F`"},
    {"INTEGER", "7.0::DOUBLE", "1.5::DOUBLE"},
    {"INTEGER", "7.0::FLOAT", "`nan`::FLOAT"},
    {"BIGINT", "7.00::DECIMAL(9,2)", "7.01::DECIMAL(9,2)"},
    {"BIGINT", "7::HUGEINT", "170141183460469231731687303715884105727::HUGEINT"},
    {"DECIMAL(9,2)", "`-1.500`", "`1.005`"},
    {"DECIMAL(9,2)", "`15e-1\\r`", "`15e-3`"},
    {"DECIMAL(9,2)", "1.1::DOUBLE", "1.125::DOUBLE"},
    {"DECIMAL(18,4)", "12345678901234.5::DOUBLE", "12345678.12345::DOUBLE"},
    {"DECIMAL(18,2)", "1.5e15::DOUBLE", "1e16::DOUBLE"},
    {"DECIMAL(18,0)", "1e17::DOUBLE", "`nan`::DOUBLE"},
    {"DECIMAL(9,2)", "1.1::FLOAT", "1.125::FLOAT"},
    {"DECIMAL(9,2)", "round(1.005::DOUBLE, 2)", "1.005::DOUBLE"},
    {"DECIMAL(9,2)", "1.50::DECIMAL(9,3)", "1.505::DECIMAL(9,3)"},
    {"DECIMAL(9,2)", "1.5::DECIMAL(9,1)", "10000000.5::DECIMAL(9,1)"},
    {"DECIMAL(9,2)", "`\\\"1.50\\\"`::JSON", "`\\\"1.505\\\"`::JSON"},
    {"SMALLINT[]", "[`1`, NULL, `2.0`]", "[`1.5`]"},
    {"SMALLINT[]", "`[1, NULL]`", "`[1, 1.5]`"},
    {"SMALLINT[]", "[1.0::DOUBLE, NULL]", "[1.5::DOUBLE]"},
    {"SMALLINT[]", "[1.0::DECIMAL(4,1)]", "[1.5::DECIMAL(4,1)]"},
    {"SMALLINT[]", "[1.0, NULL]::DOUBLE[2]", "[1.5, NULL]::DOUBLE[2]"},
    {"DATE", "`2020-02-29`", "`2020-02-29x`"},
    {"DATE", "`2020-02-29 00:00:00Z`", "`2020-02-29 10:00:00`"},
    {"DATE", "`2020-02-29 00:00 UTC\\t`", "`2020-02-29\\t1`"},
    {"DATE", "TIMESTAMP `2020-02-29 10:00:00`", "TIMESTAMP `infinity`"},
    {"DATE", "`2020-02-29`::ENUM(`2020-02-29`, `2020-03-01 10:00`)",
     "`2020-03-01 10:00`::ENUM(`2020-02-29`, `2020-03-01 10:00`)"},
    {"DATE[]", "[`2020-02-29`]", "[`2020-02-29, 2020-03-01`]"},
    {"TIMESTAMP", "`2020-02-29 10:00:00Z`", "`2020-02-29 10:00:00-08:00`"},
    {"TIMESTAMP", "TIMESTAMP_NS `2020-02-29 10:00:00.000001000`",
     "TIMESTAMP_NS `2020-02-29 10:00:00.000001001`"},
    {"TIMESTAMP[]", "`[2020-02-29 10:00:00]`", "`[2020-02-29 10:00:00+05]`"},
    {"DOUBLE", "`1e1`", "`x`"},
    {"VARCHAR[]", "[`1.5`]", "NULL"},
};
#define COUNT (sizeof values / sizeof *values)

static void a_row_whose_value_a_cast_would_change_is_rejected(void **state)
{
    struct kit *kit = *state;
    struct buf prepare, record, rows, definition;
    json_t *counts, *report;
    char rule[32];
    buf_init(&prepare, 1u << 16);
    buf_init(&record, 1u << 16);
    buf_init(&rows, 1u << 16);
    buf_init(&definition, 1u << 17);
    for (size_t i = 0; i < COUNT; i++) {
        buf_addf(&prepare, ", [%s, %s][1 + (id = `%zu`)::INTEGER] AS v%zu", values[i].good,
                 values[i].bad, i, i);
        buf_addf(&record, "%s'v%zu':'%s'", i ? "," : "", i, values[i].type);
        buf_addf(&rows, "%zu\n", i);
    }
    buf_addf(&definition,
             "{'name':'t','sources':{'t':{'format':'csv','header':false,'names':['id']}},"
             "'prepare':'SELECT id%s FROM t','key':{'fields':['id']},'record':{%s},"
             "'max_reject_ratio':1}",
             prepare.data, record.data);
    kit_define(kit, definition.data);
    kit_add(kit, 0, "a.csv", rows.data);
    kit_ok(kit_build(&counts, &report, kit, NULL));
    json_t *rejects = json_object_get(report, "rejects"),
           *rules = json_object_get(rejects, "rules");
    for (size_t i = 0; i < COUNT - 1; i++) {
        json_t *item = json_array_get(rules, i);
        snprintf(rule, sizeof rule, "cast_v%zu", i);
        const char *name = json_string_value(json_object_get(item, "rule"));
        if (!name || strcmp(name, rule) != 0)
            fail_msg("%s of %s: %s", values[i].bad, values[i].type, name ? name : "not rejected");
        assert_int_equal(json_integer_value(json_object_get(item, "rows")), 1);
    }
    assert_int_equal(json_integer_value(json_object_get(counts, "accepted")), 1);
    json_decref(counts);
    json_decref(report);
    buf_release(&prepare);
    buf_release(&record);
    buf_release(&rows);
    buf_release(&definition);
}

static void a_batch_with_such_rows_is_told_how_to_round(void **state)
{
    struct kit *kit = *state;
    json_t *counts, *report;
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':'SELECT id, n::DOUBLE "
                    "AS n FROM t','key':{'fields':['id']},'record':{'n':'INTEGER'}}");
    kit_add(kit, 0, "a.csv", "id,n\na,1\nb,1.5\n");
    kit_fails(kit_build(&counts, &report, kit, NULL), "ROWS_REJECTED", "", NULL);
    assert_string_equal(st_message(), "1 of 2 prepared rows were rejected: cast_n 1");
    assert_non_null(strstr(st_hint_text(), "cast_FIELD: not of its type, or rounded"));
    assert_non_null(strstr(st_hint_text(), "a.csv:3 cast_n"));
    json_decref(report);
}

/* JSON has no word for it, and a metric that left it out would not be that of all records. */
static void a_row_without_a_finite_time_is_in_no_metric_of_times(void **state)
{
    struct kit *kit = *state;
    json_t *counts, *report;
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'csv','columns':{'d':'DATE','t':"
                    "'TIMESTAMP'}}},'prepare':'SELECT id, d, t FROM t','key':{'fields':['id']},"
                    "'record':{},'rollups':{'all':{'dimensions':[],'metrics':{'first':'min(d)',"
                    "'last':'max(t)'}}},'max_reject_ratio':1}");
    kit_add(kit, 0, "a.csv",
            "id,d,t\na,0001-01-01,9999-12-31 23:59:59.999999\nb,,\nc,infinity,\nd,,infinity\n"
            "e,,-infinity\nf,0044-03-15 (BC),\ng,10000-01-01,\nh,,10000-01-01\n");
    kit_ok(kit_build(&counts, &report, kit, NULL));
    assert_int_equal(json_integer_value(json_object_get(counts, "accepted")), 2);
    json_t *rules = json_object_get(json_object_get(report, "rejects"), "rules");
    assert_int_equal(json_array_size(rules), 1);
    json_t *rule = json_array_get(rules, 0);
    assert_string_equal(json_string_value(json_object_get(rule, "rule")), "not_finite");
    assert_int_equal(json_integer_value(json_object_get(rule, "rows")), 6);
    json_decref(counts);
    json_decref(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_row_whose_value_a_cast_would_change_is_rejected),
        kit_test(a_batch_with_such_rows_is_told_how_to_round),
        kit_test(a_row_without_a_finite_time_is_in_no_metric_of_times),
    };
    return cmocka_run_group_tests_name("ingest_casts", tests, NULL, NULL);
}
