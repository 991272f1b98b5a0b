/* Checks, rejected rows and duplicates, from a file to the report of its build. */
#include "ingest_kit.h"
#include "json_memory_kit.h"

#include "ingest/build_internal.h"
#include "store/segment.h"

#define VISITS(rest)                                                                               \
    "{'name':'v','sources':{'v':{'format':'csv','columns':{'n':'INTEGER'}},"                       \
    "'states':{'format':'csv'}},"                                                                  \
    "'prepare':'SELECT id, name, n, state, day FROM v','key':{'fields':['id'],'protect':"          \
    "'hmac-sha256'},'record':{'name':'VARCHAR','n':'INTEGER','state':'VARCHAR','day':'DATE'}" rest \
    "}"
#define HEADER "id,name,n,state,day\n"

/* Builds from these rows; the report is kept. */
static enum st build(json_t **report, struct kit *kit, const char *definition, const char *rows)
{
    char text[2048];
    json_t *ledger;
    snprintf(text, sizeof text, HEADER "%s", rows);
    kit_define(kit, definition);
    kit_add(kit, 0, "v.csv", text);
    kit_add(kit, 1, "states.csv", "code\nOH\nIA\n");
    enum st st = kit_build(&ledger, report, kit, NULL);
    json_decref(ledger);
    return st;
}

static long long number(const json_t *report, const char *part, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(report, part), name));
}

/* The check's state, and what of how much broke it: "rejected 2/8". */
static void assert_check(const json_t *report, size_t i, const char *expected)
{
    const json_t *check = json_array_get(json_object_get(report, "checks"), i);
    char text[64];
    snprintf(text, sizeof text, "%s %lld/%lld", json_string_value(json_object_get(check, "state")),
             (long long)json_integer_value(json_object_get(check, "broken")),
             (long long)json_integer_value(json_object_get(check, "of")));
    assert_string_equal(text, expected);
}

#define FOUR "1,a,5,OH,2020-01-31\n2,b,-1,IA,\n3,c,,ZZ,2020-02-01\n4,d,7,,2020-02-01\n"

static void a_check_rejects_warns_or_fails(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    kit_ok(build(&report, kit,
                 VISITS(",'checks':[{'name':'positive','expect':'n > 0','on_fail':'reject'},"
                        "{'name':'known','accepted_values':{'field':'state','values':['OH','IA']},"
                        "'on_fail':'warn'},{'name':'id','not_null':['id','name']},"
                        "{'name':'some','metric':'count(*)','min':1}]"),
                 FOUR));
    assert_check(report, 0, "rejected 1/4");
    assert_check(report, 1, "warned 1/4");
    assert_check(report, 2, "passed 0/4");
    assert_int_equal(number(report, "rows", "accepted"), 3);
    assert_int_equal(number(report, "rows", "rejected"), 1);
    json_t *some = json_array_get(json_object_get(report, "checks"), 3);
    assert_int_equal(json_integer_value(json_object_get(some, "value")), 3);
    json_decref(report);

    kit_fails(build(&report, kit, VISITS(",'checks':[{'name':'positive','expect':'n > 0'}]"), FOUR),
              "CHECK_FAILED", "/checks/0", NULL);
    assert_string_equal(st_message(),
                        "check positive failed: 1 of 4 rows break it, at most 0 of them may");
    assert_check(report, 0, "failed 1/4");
    assert_int_equal(number(report, "rows", "prepared"), 4);
    json_decref(report);
    kit_ok(build(&report, kit, VISITS(",'checks':[{'expect':'n > 0','max_ratio':0.25}]"), FOUR));
    assert_int_equal(number(report, "rows", "accepted"), 4);
    json_decref(report);
    kit_fails(build(&report, kit,
                    VISITS(",'checks':[{'expect':'n > 0','on_fail':'reject','max_ratio':0.2}]"),
                    FOUR),
              "CHECK_FAILED", "/checks/0", NULL);
    json_decref(report);
    kit_fails(build(&report, kit, VISITS(",'checks':[{'metric':'sum(n)','max':10}]"), FOUR),
              "CHECK_FAILED", "/checks/0", NULL);
    json_decref(report);
    /* Key fields may be checked, and are not in the message. */
    kit_fails(build(&report, kit, VISITS(",'checks':[{'expect':'id <> `3`'}]"), FOUR),
              "CHECK_FAILED", "/checks/0", "3,");
    json_decref(report);
}

static void values_are_checked_across_rows_and_sources(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    kit_ok(build(&report, kit,
                 VISITS(",'checks':[{'unique':['day'],'on_fail':'warn'},"
                        "{'name':'pair','unique':['day','state']},"
                        "{'references':{'from':'state','to':'states.code'},'on_fail':'warn'},"
                        "{'name':'back','references':{'from':'states.code','to':'v.state'}}]"),
                 FOUR));
    assert_check(report, 0, "warned 1/2");
    assert_check(report, 1, "passed 0/2");
    assert_check(report, 2, "warned 1/3");
    assert_check(report, 3, "passed 0/2");
    json_decref(report);
    kit_fails(build(&report, kit, VISITS(",'checks':[{'unique':'day'}]"), FOUR), "CHECK_FAILED",
              "/checks/0", NULL);
    json_decref(report);
    /* Rows that are the same in everything are one record, not two. */
    kit_ok(build(&report, kit, VISITS(",'checks':[{'unique':'day'}]"),
                 "1,a,5,OH,2020-01-31\n1,a,5,OH,2020-01-31\n"));
    json_decref(report);
}

static void a_check_that_does_not_bind_is_named(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    static const struct {
        const char *definition, *code, *place;
    } BAD[] = {
        {VISITS(",'checks':[{'expect':'nothing > 0'}]"), "SQL",
         "/checks/0/expect, line 1, column 1"},
        {VISITS(",'checks':[{'expect':'n'}]"), "INVALID_DEFINITION", "/checks/0/expect"},
        {VISITS(",'checks':[{'expect':'n > (SELECT 1)'}]"), "SQL",
         "/checks/0/expect, line 1, column 5"},
        {VISITS(",'checks':[{'expect':'n > random()'}]"), "SQL",
         "/checks/0/expect, line 1, column 5"},
        {VISITS(",'checks':[{'metric':'sum(id::INT)','min':1}]"), "SQL",
         "/checks/0/metric, line 1, column 1"},
        {VISITS(",'gates':[{'name':'g','metric':'min(id::INT)','min':1}]"), "SQL",
         "/gates/0/metric, line 1, column 1"},
        {VISITS(",'checks':[{'unique':'nothing'}]"), "SQL", "/checks/0/unique"},
        {VISITS(",'checks':[{'references':{'from':'n','to':'states.no'}}]"), "SQL",
         "/checks/0/references"},
        {VISITS(",'on_duplicate':'last','duplicate_order':'no'"), "INVALID_DEFINITION",
         "/duplicate_order"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        kit_fails(build(&report, kit, BAD[i].definition, FOUR), BAD[i].code, BAD[i].place, NULL);
        json_decref(report);
    }
}

static void rows_that_cannot_be_cast_are_rejected_up_to_a_ratio(void **state)
{
    static const char rows[] = "1,a,5,OH,2020-01-31\n2,b,5,OH,Secret\n,c,5,OH,\n4,d,5,OH,\n";
    struct kit *kit = *state;
    json_t *report;
    kit_ok(build(&report, kit, VISITS(",'max_reject_ratio':0.5"), rows));
    assert_int_equal(number(report, "rows", "accepted"), 2);
    assert_int_equal(number(report, "rows", "rejected"), 2);
    char *text = json_dumps(json_object_get(report, "rejects"), JSON_COMPACT);
    assert_string_equal(text, "{\"unparsable\":0,\"rejected\":2,\"rules\":[{\"rule\":\"key_id\","
                              "\"rows\":1},{\"rule\":\"cast_day\",\"rows\":1}],"
                              "\"places\":[{\"source\":\"v\",\"file\":\"v.csv\",\"line\":3,"
                              "\"column\":null,\"rule\":\"cast_day\"},{\"source\":\"v\","
                              "\"file\":\"v.csv\",\"line\":4,\"column\":null,"
                              "\"rule\":\"key_id\"}]}");
    free(text);
    json_decref(report);
    kit_fails(build(&report, kit, VISITS(",'max_reject_ratio':0.4"), rows), "ROWS_REJECTED", "",
              "Secret");
    assert_int_equal(number(report, "rows", "rejected"), 2);
    json_decref(report);
}

static void of_duplicates_the_first_or_the_last_counts(void **state)
{
    static const struct {
        const char *definition, *rows;
        int n;
    } CASES[] = {
        {VISITS(",'on_duplicate':'last','duplicate_order':'day'"),
         "1,a,1,OH,2020-01-31\n1,a,2,OH,2020-03-01\n1,a,3,OH,\n1,a,4,OH,2020-02-01\n", 2},
        {VISITS(",'on_duplicate':'first','duplicate_order':'day'"),
         "1,a,1,OH,2020-01-31\n1,a,2,OH,2020-03-01\n1,a,4,OH,2019-02-01\n", 4},
        {VISITS(",'on_duplicate':'last','duplicate_order':'n'"),
         "1,a,-1,OH,2020-01-31\n1,a,-20,OH,2020-03-01\n", -1},
        {VISITS(",'on_duplicate':'first','duplicate_order':'name'"),
         "1,ab,1,OH,\n1,a,2,OH,\n1,b,3,OH,\n", 2},
    };
    struct kit *kit = *state;
    json_t *report;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char gates[512];
        snprintf(gates, sizeof gates, "%.*s,'gates':[{'name':'g','metric':'sum(n)','min':-99}]}",
                 (int)strlen(CASES[i].definition) - 1, CASES[i].definition);
        kit_ok(build(&report, kit, gates, CASES[i].rows));
        json_t *gate = json_array_get(json_object_get(report, "gates"), 0);
        assert_int_equal(json_integer_value(json_object_get(gate, "value")), CASES[i].n);
        assert_int_equal(number(report, "rows", "accepted"), 1);
        assert_int_equal(number(report, "rows", "duplicates"),
                         number(report, "rows", "prepared") - 1);
        json_decref(report);
    }
}

static void assert_value(const json_t *list, const char *metric)
{
    const json_t *entry = json_array_get(list, 0);

    assert_int_equal(json_array_size(list), 1);
    assert_int_equal(json_integer_value(json_object_get(entry, "value")), 3);
    assert_int_equal(json_number_value(json_object_get(entry, "min")), 1);
    if (metric)
        assert_string_equal(json_string_value(json_object_get(entry, "metric")), metric);
}

/* Whichever allocation fails. */
static void without_memory_no_metric_is_left_out(void **state)
{
    struct kit *kit = *state;
    struct judge_counts counts = {0};
    struct store_cell cell;
    kit_define(kit, VISITS(",'checks':[{'name':'some','metric':'count(*)','min':1}],"
                           "'gates':[{'name':'drift','metric':'count(*)','min':1}]"));
    const struct store_definition *def = kit->task.definition;
    store_cell_init(&cell);
    store_cell_count(&cell, &def->judged, 3);
    for (int gates = 0; gates < 2; gates++)
        for (long n = 0, failed = 1; failed; n++) {
            json_t *list = NULL;
            json_fail_after(n);
            enum st st = gates ? judge_gate_values(&list, def, &cell)
                               : judge_checks(&list, def, &counts, &cell);
            failed = json_heal();
            assert_int_equal(st, failed ? ST_NOMEM : ST_OK);
            if (!failed)
                assert_value(list, gates ? "count(*)" : NULL);
            json_decref(list);
        }
    store_cell_release(&cell, &def->judged);
}

/* Whichever allocation fails. */
static void without_memory_a_report_has_all_sources_or_is_none(void **state)
{
    struct kit *kit = *state;
    struct build *b = calloc(1, sizeof *b);
    json_t *report = NULL;
    kit_define(kit, VISITS(""));
    kit_add(kit, 0, "v.csv", HEADER);
    kit_add(kit, 1, "states.csv", "code\n");
    assert_non_null(b);
    b->task = &kit->task;
    for (long n = 0, failed = 1; failed; n++) {
        json_fail_after(n);
        enum st st = build_report(&report, b, true);
        failed = json_heal();
        assert_int_equal(st, failed ? ST_NOMEM : ST_OK);
    }
    const json_t *rows = json_object_get(report, "rows");
    assert_int_equal(json_array_size(json_object_get(rows, "sources")), 2);
    json_decref(report);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_check_rejects_warns_or_fails),
        kit_test(values_are_checked_across_rows_and_sources),
        kit_test(a_check_that_does_not_bind_is_named),
        kit_test(rows_that_cannot_be_cast_are_rejected_up_to_a_ratio),
        kit_test(of_duplicates_the_first_or_the_last_counts),
        kit_test(without_memory_no_metric_is_left_out),
        kit_test(without_memory_a_report_has_all_sources_or_is_none),
    };
    return cmocka_run_group_tests_name("ingest_judge", tests, NULL, NULL);
}
