#include "store_format_kit.h"

#include "store/definition.h"
#include "store/key.h"

static void every_member_is_read(void **state)
{
    struct store_definition *d = kit_definition(KIT_LIFELINE);

    (void)state;
    assert_string_equal(d->name, "lifeline");
    assert_string_equal(d->description, "who is enrolled");
    assert_string_equal(d->prepare, "SELECT * FROM patients");
    assert_int_equal(d->source_count, 2);
    assert_string_equal(d->sources[0].name, "patients");
    assert_int_equal(d->sources[0].format, STORE_CSV);
    assert_true(d->sources[0].columns_complete);
    assert_int_equal(d->sources[0].column_count, 1);
    assert_string_equal(d->sources[0].columns[0].name, "START/YEAR");
    assert_string_equal(d->sources[0].columns[0].type, "INTEGER");
    assert_int_equal(d->sources[1].format, STORE_PARQUET);
    assert_false(d->sources[1].columns_complete);
    assert_int_equal(d->key.field_count, 3);
    assert_string_equal(d->key.fields[1].name, "dob");
    assert_string_equal(store_normalizer_name(d->key.fields[1].normalizer), "date");
    assert_int_equal(d->key.protect, STORE_PROTECT_HMAC_SHA256);
    assert_int_equal(d->keep_versions, 7);
    assert_int_equal(d->keep_days, 30);
    assert_true(d->require_promotion);
    store_definition_free(d);
}

static void record_fields_keep_their_order_and_are_the_row_of_a_protected_dataset(void **state)
{
    static const char *const NAMES[] = {"eligible", "state", "enrolled_on", "visits"};
    static const enum store_type TYPES[] = {STORE_BOOLEAN, STORE_VARCHAR, STORE_DATE,
                                            STORE_INTEGER};
    struct store_definition *d = kit_definition(KIT_LIFELINE);

    (void)state;
    assert_int_equal(d->record_count, 4);
    assert_int_equal(d->row_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(d->record[i].name, NAMES[i]);
        assert_string_equal(d->row[i].name, NAMES[i]);
        assert_int_equal(d->row[i].type, TYPES[i]);
    }
    store_definition_free(d);
}

static void fields_in_no_alphabetical_order_stay_in_it(void **state)
{
    char text[4096] =
        "{\"name\":\"d\",\"sources\":{\"s\":{\"format\":\"csv\"}},\"prepare\":\"SELECT 1\","
        "\"key\":{\"fields\":[\"k\"]},\"record\":{";

    (void)state;
    for (int i = 0; i < 60; i++)
        sprintf(text + strlen(text), "%s\"f%d\":\"BIGINT\"", i ? "," : "", i * 37 % 61);
    strcat(text, "}}");
    struct store_definition *d = kit_definition(text);
    for (int i = 0; i < 60; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", i * 37 % 61);
        assert_string_equal(d->record[i].name, name);
    }
    store_definition_free(d);
}

static void unprotected_rows_begin_with_the_key_fields(void **state)
{
    struct store_definition *d = NULL;
    json_t *json = kit_with(KIT_LIFELINE, "/key/protect", "\"none\"");

    (void)state;
    assert_int_equal(store_definition_parse(&d, json), ST_OK);
    assert_int_equal(d->row_count, 7);
    assert_string_equal(d->row[0].name, "first_name");
    assert_string_equal(d->row[2].name, "ssn_last4");
    assert_int_equal(d->row[2].type, STORE_VARCHAR);
    assert_string_equal(d->row[3].name, "eligible");
    store_definition_free(d);
    json_decref(json);
}

static void rollups_are_taken_apart(void **state)
{
    static const enum store_aggregate AGGREGATES[] = {STORE_COUNT_ALL, STORE_SUM, STORE_AVG,
                                                      STORE_MIN,       STORE_MAX, STORE_SUM};
    struct store_definition *d = kit_definition(KIT_LIFELINE);
    const struct store_rollup *r = store_definition_rollup(d, "by_state");

    (void)state;
    assert_int_equal(d->rollup_count, 2);
    assert_ptr_equal(r, &d->rollups[0]);
    assert_null(store_definition_rollup(d, "by_county"));
    assert_int_equal(r->dimension_count, 2);
    assert_int_equal(r->dimensions[0].type, STORE_VARCHAR);
    assert_int_equal(r->bucket, STORE_BUCKET_MONTH);
    assert_string_equal(r->time.name, "enrolled_on");
    assert_int_equal(r->time.type, STORE_DATE);
    assert_int_equal(r->metric_count, 6);
    assert_int_equal(r->term_count, 7);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(r->metrics[i].terms[0].aggregate, AGGREGATES[i]);
    assert_null(r->metrics[0].terms[0].expression);
    assert_string_equal(r->metrics[1].terms[0].expression, "eligible::INT");
    assert_false(r->metrics[4].ratio);
    assert_true(r->metrics[5].ratio);
    assert_int_equal(r->metrics[5].terms[1].aggregate, STORE_COUNT_ALL);
    assert_int_equal(d->rollups[1].dimension_count, 0);
    assert_int_equal(d->rollups[1].bucket, STORE_BUCKET_NONE);
    assert_int_equal(d->rollups[1].metrics[0].terms[0].aggregate, STORE_COUNT_ALL);
    store_definition_free(d);
}

static void what_is_not_said_has_its_default(void **state)
{
    struct store_definition *d = kit_definition(
        "{\"name\":\"d\",\"sources\":{\"s\":{\"format\":\"csv\"}},\"prepare\":\"SELECT 1\","
        "\"key\":{\"fields\":[\"k\"]},\"record\":{},\"rollups\":null}");

    (void)state;
    assert_string_equal(d->description, "");
    assert_int_equal(d->key.protect, STORE_PROTECT_NONE);
    assert_string_equal(store_normalizer_name(d->key.fields[0].normalizer), "exact");
    assert_int_equal(d->keep_versions, 5);
    assert_int_equal(d->keep_days, 90);
    assert_false(d->require_promotion);
    assert_int_equal(d->rollup_count, 0);
    assert_int_equal(d->row_count, 1);
    store_definition_free(d);
}

/* One change each of a good definition. */
static const struct {
    const char *pointer, *value; /* NULL: removed */
    const char *place, *says;
} WRONG[] = {
    {"/name", NULL, "/name", "missing"},
    {"/name", "7", "/name", "string"},
    {"/name", "\"Life Line\"", "/name", "name"},
    {"/description", "[]", "/description", "string"},
    {"/checks", "{}", "/checks", "array"},
    {"/checks", "[7]", "/checks/0", "object"},
    {"/checks", "[{\"name\":\"a\"}]", "/checks/0", "one thing to check"},
    {"/checks", "[{\"expect\":\"x\",\"not_null\":\"x\"}]", "/checks/0", "one thing to check"},
    {"/checks", "[{\"expect\":7}]", "/checks/0/expect", "condition"},
    {"/checks", "[{\"expect\":\"x\"},{\"expect\":\"y\"}]", "/checks/1", "already"},
    {"/checks", "[{\"expect\":\"x\",\"on_fail\":\"hold\"}]", "/checks/0/on_fail", "reject"},
    {"/checks", "[{\"unique\":\"x\",\"on_fail\":\"reject\"}]", "/checks/0/on_fail", "single rows"},
    {"/checks", "[{\"expect\":\"x\",\"max_ratio\":2}]", "/checks/0/max_ratio", "from 0 to 1"},
    {"/checks", "[{\"expect\":\"x\",\"min\":2}]", "/checks/0/min", "min"},
    {"/checks", "[{\"metric\":\"count(*)\"}]", "/checks/0", "min"},
    {"/checks", "[{\"metric\":\"median(x)\",\"min\":1}]", "/checks/0/metric", "closed list"},
    {"/checks", "[{\"metric\":\"count(*)\",\"min\":2,\"max\":1}]", "/checks/0", "greater"},
    {"/checks", "[{\"not_null\":[]}]", "/checks/0/not_null", "at least one"},
    {"/checks", "[{\"unique\":[1]}]", "/checks/0/unique", "column"},
    {"/checks", "[{\"accepted_values\":{\"field\":\"x\"}}]", "/checks/0/accepted_values/values",
     "values"},
    {"/checks", "[{\"references\":{\"from\":\"x\",\"to\":\"y.z\"}}]", "/checks/0/references/to",
     "SOURCE.COLUMN"},
    {"/gates", "[{\"name\":\"g\"}]", "/gates/0", "metric"},
    {"/gates", "[{\"metric\":\"count(*)\",\"min\":1}]", "/gates/0/name", "missing"},
    {"/gates", "[{\"name\":\"g\",\"metric\":\"count(*)\"}]", "/gates/0", "max_change"},
    {"/gates", "[{\"name\":\"g\",\"metric\":\"count(*)\",\"max_change\":-1}]",
     "/gates/0/max_change", "0 or more"},
    {"/gates", "[{\"name\":\"g\",\"null_rate\":[\"x\"],\"max\":1}]", "/gates/0/null_rate",
     "column"},
    {"/max_reject_ratio", "1.5", "/max_reject_ratio", "from 0 to 1"},
    {"/sources/visits/max_reject_ratio", "\"x\"", "/sources/visits/max_reject_ratio", "number"},
    {"/duplicate_order", "\"day\"", "/duplicate_order", "first or last"},
    {"/schedule", "\"daily\"", "/schedule", "schedule"},
    {"/sources", NULL, "/sources", "source"},
    {"/sources", "{}", "/sources", "source"},
    {"/sources", "[\"a\"]", "/sources", "object"},
    {"/sources/p q", "{\"format\":\"csv\"}", "/sources/p q", "name"},
    {"/sources/PATIENTS", "{\"format\":\"csv\"}", "/sources/PATIENTS", "already"},
    {"/sources/visits", "\"csv\"", "/sources/visits", "object"},
    {"/sources/visits/format", NULL, "/sources/visits/format", "missing"},
    {"/sources/visits/format", "\"json\"", "/sources/visits/format", "csv, ndjson or parquet"},
    {"/sources/visits/format", "\"ndjson\"", "/sources/visits/columns", "needs its columns"},
    {"/sources/visits", "{\"format\":\"ndjson\",\"columns\":{\"a\":\"VARCHAR\"},\"quote\":\"x\"}",
     "/sources/visits/quote", "quote"},
    {"/sources/visits", "{\"format\":\"ndjson\",\"columns\":{\"a\":\"INTEGER[][]\"}}",
     "/sources/visits/columns/a", "list of scalars"},
    {"/sources/visits", "{\"format\":\"csv\",\"delimiter\":\";;\"}", "/sources/visits/delimiter",
     "one character"},
    {"/sources/visits", "{\"format\":\"csv\",\"delimiter\":\"\"}", "/sources/visits/delimiter",
     "one character"},
    {"/sources/visits", "{\"format\":\"csv\",\"delimiter\":\"\\n\"}", "/sources/visits/delimiter",
     "no line end"},
    {"/sources/visits", "{\"format\":\"csv\",\"delimiter\":\"\\u00a7\"}",
     "/sources/visits/delimiter", "ASCII"},
    {"/sources/visits", "{\"format\":\"csv\",\"delimiter\":\"\\\"\"}", "/sources/visits/delimiter",
     "quote"},
    {"/sources/visits", "{\"format\":\"csv\",\"delimiter\":7}", "/sources/visits/delimiter",
     "string"},
    {"/sources/visits", "{\"format\":\"csv\",\"quote\":\"\",\"escape\":\"x\"}",
     "/sources/visits/escape", "without quotes"},
    {"/sources/visits", "{\"format\":\"csv\",\"null\":\"01234567890123456789012345678901\"}",
     "/sources/visits/null", "31 bytes"},
    {"/sources/visits", "{\"format\":\"csv\",\"header\":false}", "/sources/visits/names", "names"},
    {"/sources/visits", "{\"format\":\"csv\",\"names\":[\"a\"]}", "/sources/visits/names",
     "header line"},
    {"/sources/visits", "{\"format\":\"csv\",\"header\":false,\"names\":[\"a\",\"A\"]}",
     "/sources/visits/names/1", "already"},
    {"/sources/visits", "{\"format\":\"csv\",\"header\":false,\"names\":[\"\"]}",
     "/sources/visits/names/0", "1 to 127"},
    {"/sources/visits",
     "{\"format\":\"csv\",\"header\":false,\"names\":[\"a\"],\"columns\":{\"b\":\"DATE\"}}",
     "/sources/visits/columns/b", "no such column"},
    {"/sources/visits/header", "true", "/sources/visits/header", "header"},
    {"/sources/visits/columns_complete", "true", "/sources/visits", "columns"},
    {"/sources/patients/columns", "{}", "/sources/patients", "columns"},
    {"/sources/patients/columns", "[]", "/sources/patients/columns", "object"},
    {"/sources/patients/columns/x", "1", "/sources/patients/columns/x", "type"},
    {"/sources/patients/columns/x", "\"\"", "/sources/patients/columns/x", "type"},
    {"/sources/patients/columns/x", "\"INT; DROP TABLE\"", "/sources/patients/columns/x", "type"},
    {"/sources/patients/columns", "{\"a/b~c\":1}", "/sources/patients/columns/a~1b~0c", "type"},
    {"/sources/patients/columns", "{\"a\":\"INT\",\"A\":\"INT\"}", "/sources/patients/columns/A",
     "already"},
    {"/sources/patients/columns", "{\"\":\"INT\"}", "/sources/patients/columns/", "name"},
    {"/prepare", NULL, "/prepare", "missing"},
    {"/prepare", "\" \\n\"", "/prepare", "SELECT"},
    {"/key", NULL, "/key", "fields"},
    {"/key", "\"dob\"", "/key", "object"},
    {"/key/fields", NULL, "/key/fields", "fields"},
    {"/key/fields", "[]", "/key/fields", "fields"},
    {"/key/fields/1", "7", "/key/fields/1", "column"},
    {"/key/fields/1", "\"\"", "/key/fields/1", "name"},
    {"/key/fields/1", "\"limit\"", "/key/fields/1", "reserved"},
    {"/key/fields/1", "\"First_Name\"", "/key/fields/1", "twice"},
    {"/key/normalize/zip", "\"exact\"", "/key/normalize/zip", "not a field"},
    {"/key/normalize/dob", "\"soundex\"", "/key/normalize/dob", "normaliser"},
    {"/key/normalize/dob", "null", "/key/normalize/dob", "normaliser"},
    {"/key/protect", "\"md5\"", "/key/protect", "hmac-sha256"},
    {"/key/guess", "{}", "/key/guess/fields", "key's fields"},
    {"/key/sort", "\"dob\"", "/key/sort", "not a field of the record"},
    {"/key/sort", "1", "/key/sort", "string"},
    {"/key/sort", "\"\"", "/key/sort", "not a field of the record"},
    {"/key/sort", "\"state\"", "/key/sort", "VARCHAR"},
    {"/key/sort", "\"eligible\"", "/key/sort", "BOOLEAN"},
    {"/record", NULL, "/record", "object"},
    {"/record", "[]", "/record", "object"},
    {"/record/eligible", "\"BOOL\"", "/record/eligible", "type"},
    {"/record/eligible", "1", "/record/eligible", "type"},
    {"/record/limit", "\"DATE\"", "/record/limit", "reserved"},
    {"/record/a b", "\"DATE\"", "/record/a b", "name"},
    {"/record/dob", "\"DATE\"", "/record/dob", "field of the key"},
    {"/record/DOB", "\"DATE\"", "/record/DOB", "field of the key"},
    {"/record/Eligible", "\"DATE\"", "/record/Eligible", "already"},
    {"/on_duplicate", "\"any\"", "/on_duplicate", "fail"},
    {"/on_duplicate", "\"first\"", "/duplicate_order", "column"},
    {"/retention", "5", "/retention", "object"},
    {"/retention/keep_versions", "0", "/retention/keep_versions", "1"},
    {"/retention/keep_versions", "1.5", "/retention/keep_versions", "integer"},
    {"/retention/keep", "1", "/retention/keep", "keep"},
    {"/watch_inbox", "1", "/watch_inbox", "true or false"},
    {"/schedule", "\"daily\"", "/schedule", "object"},
    {"/schedule", "{\"sources\":{}}", "/schedule/cron", "missing"},
    {"/schedule", "{\"cron\":\"* * * * *\"}", "/schedule/sources", "object"},
    {"/schedule", "{\"cron\":\"* * * * *\",\"sources\":{},\"zone\":1}", "/schedule/zone", "zone"},
    {"/schedule", "{\"cron\":\"61 * * * *\",\"sources\":{}}", "/schedule/cron", "minute"},
    {"/schedule", "{\"cron\":\"* * * * *\",\"sources\":{}}", "/schedule/sources", "no file"},
    {"/schedule", "{\"cron\":\"* * * * *\",\"sources\":{\"x\":\"y\"}}", "/schedule/sources/x",
     "no source"},
    {"/schedule", "{\"cron\":\"* * * * *\",\"sources\":{\"patients\":[]}}",
     "/schedule/sources/patients", "path"},
    {"/schedule", "{\"cron\":\"* * * * *\",\"sources\":{\"patients\":[\"a\",\"b/../../c\"]}}",
     "/schedule/sources/patients/1", "below"},
    {"/require_promotion", "1", "/require_promotion", "true or false"},
    {"/rollups", "[]", "/rollups", "object"},
    {"/rollups/By_State", "{\"metrics\":{\"n\":\"count(*)\"}}", "/rollups/By_State", "already"},
    {"/rollups/a-b", "{\"metrics\":{\"n\":\"count(*)\"}}", "/rollups/a-b", "name"},
    {"/rollups/total", "7", "/rollups/total", "object"},
    {"/rollups/total/metrics", "{}", "/rollups/total/metrics", "metrics"},
    {"/rollups/total/metrics", NULL, "/rollups/total/metrics", "metrics"},
    {"/rollups/total/min_cell", "-1", "/rollups/total/min_cell", "0"},
    {"/rollups/total/grouping_sets", "[]", "/rollups/total/grouping_sets", "at least one"},
    {"/rollups/total/grouping_sets", "[[\"x\"]]", "/rollups/total/grouping_sets/0/0", "dimension"},
    {"/rollups/total/grouping_sets", "[[],[]]", "/rollups/total/grouping_sets/1", "twice"},
    {"/rollups/total/grouping_sets", "[{\"dimensions\":[],\"by\":1}]",
     "/rollups/total/grouping_sets/0/by", "by"},
    {"/rollups/total/metrics/q", "\"quantile(visits)\"", "/rollups/total/metrics/q", "0 to 1"},
    {"/rollups/total/metrics/q", "\"quantile(visits, 1.5)\"", "/rollups/total/metrics/q", "0 to 1"},
    {"/rollups/by_state/dimensions/0", "\"ssn_last4\"", "/rollups/by_state/dimensions/0",
     "protected"},
    {"/rollups/by_state/dimensions/0", "\"SSN_last4\"", "/rollups/by_state/dimensions/0",
     "protected"},
    {"/rollups/by_state/dimensions/1", "\"STATE\"", "/rollups/by_state/dimensions/1", "twice"},
    {"/rollups/by_state/dimensions/1", "\"cursor\"", "/rollups/by_state/dimensions/1", "reserved"},
    {"/rollups/by_state/dimensions/1", "1", "/rollups/by_state/dimensions/1", "column"},
    {"/rollups/by_state/dimensions", "{}", "/rollups/by_state/dimensions", "array"},
    {"/rollups/by_state/time/bucket", "\"week\"", "/rollups/by_state/time/bucket", "month"},
    {"/rollups/by_state/time/bucket", "\"hour\"", "/rollups/by_state/time/field", "TIMESTAMP"},
    {"/rollups/by_state/time/bucket", NULL, "/rollups/by_state/time/bucket", "missing"},
    {"/rollups/by_state/time/field", "\"visits\"", "/rollups/by_state/time/field", "DATE"},
    {"/rollups/by_state/time/field", "\"dob\"", "/rollups/by_state/time/field", "protected"},
    {"/rollups/by_state/time/field", "\"from\"", "/rollups/by_state/time/field", "reserved"},
    {"/rollups/by_state/time/zone", "\"UTC\"", "/rollups/by_state/time/zone", "zone"},
    {"/rollups/by_state/metrics/state", "\"count(*)\"", "/rollups/by_state/metrics/state",
     "dimension"},
    {"/rollups/by_state/metrics/Enrolled_on", "\"count(*)\"",
     "/rollups/by_state/metrics/Enrolled_on", "time"},
    {"/rollups/by_state/metrics/rate", "{\"ratio\":[\"count(*)\"]}",
     "/rollups/by_state/metrics/rate", "two"},
    {"/rollups/by_state/metrics/rate", "{\"ratio\":[\"count(*)\",\"x\"]}",
     "/rollups/by_state/metrics/rate/ratio/1", "closed list"},
    {"/rollups/by_state/metrics/rate", "{\"share\":[]}", "/rollups/by_state/metrics/rate/share",
     "share"},
    {"/rollups/by_state/metrics/rate", "5", "/rollups/by_state/metrics/rate", "string"},
};

static void a_wrong_definition_is_refused_where_it_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct store_definition *d = (void *)1;
        json_t *json = kit_with(KIT_LIFELINE, WRONG[i].pointer, WRONG[i].value);

        if (store_definition_parse(&d, json) != ST_INVALID)
            fail_msg("%s = %s was taken", WRONG[i].pointer, WRONG[i].value);
        assert_null(d);
        assert_string_equal(st_code(), "INVALID_DEFINITION");
        if (strcmp(st_place_text(), WRONG[i].place) != 0)
            fail_msg("%s = %s: at %s", WRONG[i].pointer, WRONG[i].value, st_place_text());
        if (!strstr(st_message(), WRONG[i].says))
            fail_msg("%s = %s: %s", WRONG[i].pointer, WRONG[i].value, st_message());
        json_decref(json);
    }
}

static void an_unknown_member_brings_the_known_ones(void **state)
{
    json_t *json = kit_with(KIT_LIFELINE, "/gatess", "[]");
    struct store_definition *d;

    (void)state;
    assert_int_equal(store_definition_parse(&d, json), ST_INVALID);
    assert_non_null(strstr(st_hint_text(), "on_duplicate"));
    assert_non_null(strstr(st_hint_text(), "require_promotion"));
    json_decref(json);
}

static void checks_and_gates_are_taken_apart(void **state)
{
    struct store_definition *d = kit_definition(
        "{\"name\":\"d\",\"sources\":{\"s\":{\"format\":\"csv\"}},\"prepare\":\"SELECT 1\","
        "\"key\":{\"fields\":[\"k\"]},\"record\":{},\"on_duplicate\":\"last\","
        "\"duplicate_order\":\"at\",\"checks\":["
        "{\"name\":\"a\",\"expect\":\"n > 0\",\"on_fail\":\"reject\"},"
        "{\"metric\":\"avg(n)\",\"min\":1,\"max\":2},{\"not_null\":[\"a\",\"b\\\"c\"]},"
        "{\"unique\":[\"a\",\"b\"],\"on_fail\":\"warn\"},"
        "{\"accepted_values\":{\"field\":\"f\",\"values\":[\"it's\",7,true]}},"
        "{\"references\":{\"from\":\"s.x.y\",\"to\":\"S.z\"},\"max_ratio\":0.5}],"
        "\"gates\":[{\"name\":\"g\",\"metric\":\"count(*)\",\"max_change_ratio\":0.2},"
        "{\"name\":\"h\",\"null_rate\":\"a\",\"max\":0.5}]}");

    (void)state;
    assert_int_equal(d->on_duplicate, STORE_DUPLICATES_LAST);
    assert_string_equal(d->duplicate_order, "at");
    assert_int_equal(d->check_count, 6);
    assert_int_equal(d->checks[0].effect, STORE_EFFECT_REJECT);
    assert_float_equal(d->checks[0].max_ratio, 1, 0);
    assert_string_equal(d->checks[1].name, "metric");
    assert_int_equal(d->checks[1].effect, STORE_EFFECT_FAIL);
    assert_string_equal(d->checks[2].expression, "\"a\" IS NOT NULL AND \"b\"\"c\" IS NOT NULL");
    assert_string_equal(d->checks[3].expression, "\"a\", \"b\"");
    assert_string_equal(d->checks[3].condition, "\"a\" IS NOT NULL AND \"b\" IS NOT NULL");
    assert_string_equal(d->checks[4].expression, "\"f\" IN ('it''s', 7, true)");
    assert_string_equal(d->checks[5].from_source, "s");
    assert_string_equal(d->checks[5].from_column, "x.y");
    assert_string_equal(d->checks[5].to_source, "s");
    assert_int_equal(d->judged.metric_count, 3);
    assert_int_equal(d->judged.term_count, 4);
    assert_int_equal(d->gates[0].metric, 1);
    assert_string_equal(d->gates[0].text, "\"count(*)\"");
    assert_true(d->judged.metrics[2].ratio);
    store_definition_free(d);
}

static void a_long_name_is_cut_between_characters(void **state)
{
    char text[1024], name[201] = "a";

    (void)state;
    for (size_t i = 0; i + 4 < sizeof name; i += 2)
        memcpy(name + 1 + i, "\xc3\xa9", 3);
    snprintf(text, sizeof text, "{\"%s\":\"DATE\"}", name);
    json_t *json = kit_with(KIT_LIFELINE, "/record", text);
    struct store_definition *d;
    assert_int_equal(store_definition_parse(&d, json), ST_INVALID);
    struct buf check;
    buf_init(&check, 4096);
    buf_add_json_string(&check, st_place_text(), strlen(st_place_text()));
    buf_add_json_string(&check, st_message(), strlen(st_message()));
    assert_int_equal(buf_status(&check), ST_OK);
    buf_release(&check);
    json_decref(json);
}

static enum st parse_metric(struct store_definition **d, const char *metric)
{
    json_t *json = kit_json(KIT_LIFELINE);
    json_t *rollup = json_object_get(json_object_get(json, "rollups"), "total");

    json_object_set_new(json_object_get(rollup, "metrics"), "m", json_string(metric));
    enum st st = store_definition_parse(d, json);
    json_decref(json);
    return st;
}

static void metrics_are_of_a_closed_list(void **state)
{
    static const struct {
        const char *metric;
        enum store_aggregate aggregate;
        const char *expression;
    } GOOD[] = {
        {"count(*)", STORE_COUNT_ALL, NULL},
        {" COUNT ( * ) ", STORE_COUNT_ALL, NULL},
        {"count(x)", STORE_COUNT, "x"},
        {"Sum( x + 1 )", STORE_SUM, "x + 1"},
        {"min(f(a, g(b)))", STORE_MIN, "f(a, g(b))"},
        {"max(a = ')')", STORE_MAX, "a = ')'"},
        {"max(\"odd ) name\")", STORE_MAX, "\"odd ) name\""},
        {"avg('it''s (')", STORE_AVG, "'it''s ('"},
        {"avg(a)\n", STORE_AVG, "a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        struct store_definition *d;

        if (parse_metric(&d, GOOD[i].metric) != ST_OK)
            fail_msg("%s: %s", GOOD[i].metric, st_message());
        const struct store_term *term = &d->rollups[1].metrics[1].terms[0];
        assert_int_equal(term->aggregate, GOOD[i].aggregate);
        if (GOOD[i].expression)
            assert_string_equal(term->expression, GOOD[i].expression);
        else
            assert_null(term->expression);
        store_definition_free(d);
    }
}

static void what_is_not_one_metric_of_the_list_is_refused(void **state)
{
    static const char *const BAD[] = {
        "",
        "x",
        "count",
        "count()",
        "count( )",
        "sum(*)",
        "sum(x",
        "sum(x))",
        "sum(')",
        "sum(x) + 1",
        "sum(x) FILTER (WHERE y)",
        "sum(x) / count(*)",
        "sum(x); DROP TABLE t",
        "median(x)",
        "sums(x)",
        "(sum(x))",
        "count_of_everything_there_is(x)",
    };

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct store_definition *d;

        if (parse_metric(&d, BAD[i]) != ST_INVALID)
            fail_msg("%s was taken", BAD[i]);
        assert_string_equal(st_code(), "INVALID_DEFINITION");
        assert_string_equal(st_place_text(), "/rollups/total/metrics/m");
        assert_non_null(strstr(st_hint_text(), "count(*)"));
    }
}

static void the_type_of_time_is_that_of_its_field_or_fits_its_bucket(void **state)
{
    static const struct {
        const char *field, *bucket;
        enum store_type type;
    } TIMES[] = {
        {"enrolled_on", "year", STORE_DATE},
        {"seen_at", "hour", STORE_TIMESTAMP},
        {"seen_at", "day", STORE_DATE},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char time[128];
        struct store_definition *d;

        snprintf(time, sizeof time, "{\"field\":\"%s\",\"bucket\":\"%s\"}", TIMES[i].field,
                 TIMES[i].bucket);
        json_t *json = kit_with(KIT_LIFELINE, "/rollups/by_state/time", time);
        assert_int_equal(store_definition_parse(&d, json), ST_OK);
        assert_int_equal(d->rollups[0].time.type, TIMES[i].type);
        store_definition_free(d);
        json_decref(json);
    }
}

static enum st compare(const char *pointer, const char *value, bool backwards)
{
    struct store_definition *old = kit_definition(KIT_LIFELINE), *next = NULL;
    json_t *json = kit_with(KIT_LIFELINE, pointer, value);

    assert_int_equal(store_definition_parse(&next, json), ST_OK);
    enum st st =
        backwards ? store_definition_compatible(next, old) : store_definition_compatible(old, next);
    json_decref(json);
    store_definition_free(next);
    store_definition_free(old);
    return st;
}

static void what_is_served_may_not_go_away_or_change_its_type(void **state)
{
    static const struct {
        const char *pointer, *value, *place;
    } BREAKING[] = {
        {"/record/state", NULL, "/record/state"},
        {"/record/visits", "\"BIGINT\"", "/record/visits"},
        {"/rollups/total", NULL, "/rollups/total"},
        {"/rollups/by_state/dimensions", "[\"program\"]", "/rollups/by_state/dimensions/0"},
        {"/rollups/by_state/time", NULL, "/rollups/by_state/time"},
        {"/rollups/by_state/time/bucket", "\"day\"", "/rollups/by_state/time"},
        {"/rollups/by_state/metrics/mean", NULL, "/rollups/by_state/metrics/mean"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof BREAKING / sizeof BREAKING[0]; i++) {
        assert_int_equal(compare(BREAKING[i].pointer, BREAKING[i].value, false), ST_CONFLICT);
        assert_string_equal(st_code(), "BREAKING_CHANGE");
        assert_string_equal(st_place_text(), BREAKING[i].place);
        assert_non_null(strstr(st_hint_text(), "force"));
    }
    assert_int_equal(compare("/key/protect", "\"none\"", true), ST_CONFLICT);
    assert_string_equal(st_place_text(), "/key/fields/0");
}

static void a_series_stays_one(void **state)
{
    static const char *const orders[] = {NULL, "\"visits\"", "\"enrolled_on\""};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++) {
            struct store_definition *old = NULL, *next = NULL;
            json_t *a = kit_with(KIT_LIFELINE, "/key/sort", orders[i]),
                   *b = kit_with(KIT_LIFELINE, "/key/sort", orders[j]);
            assert_int_equal(store_definition_parse(&old, a), ST_OK);
            assert_int_equal(store_definition_parse(&next, b), ST_OK);
            assert_int_equal(store_record_key_bytes(&old->key), i ? 24 : 16);
            assert_int_equal(store_definition_compatible(old, next),
                             i == 0 || i == j ? ST_OK : ST_CONFLICT);
            if (i && i != j)
                assert_string_equal(st_place_text(), "/key/sort");
            store_definition_free(old);
            store_definition_free(next);
            json_decref(a);
            json_decref(b);
        }
}

static void more_is_welcome(void **state)
{
    (void)state;
    assert_int_equal(compare("/description", "\"other\"", false), ST_OK);
    assert_int_equal(compare("/record/county", "\"VARCHAR\"", false), ST_OK);
    assert_int_equal(compare("/rollups/total/dimensions", "[\"program\"]", false), ST_OK);
    assert_int_equal(compare("/rollups/total/metrics/sum_visits", "\"sum(visits)\"", false), ST_OK);
    assert_int_equal(compare("/prepare", "\"SELECT 2\"", false), ST_OK);
    assert_int_equal(compare("/key/protect", "\"none\"", false), ST_OK);
}

static void counts_over_the_caps_are_refused(void **state)
{
    struct store_definition *d;
    json_t *json = kit_json(KIT_LIFELINE), *many = json_object();
    char name[16];

    (void)state;
    for (int i = 0; i <= STORE_FIELDS_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        json_object_set_new(many, name, json_string("DATE"));
    }
    json_object_set_new(json, "record", many);
    assert_int_equal(store_definition_parse(&d, json), ST_INVALID);
    assert_string_equal(st_place_text(), "/record");
    json_decref(json);

    json = kit_json(KIT_LIFELINE);
    many = json_array();
    for (int i = 0; i <= STORE_DIMENSIONS_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        json_array_append_new(many, json_string(name));
    }
    json_object_set_new(json_object_get(json_object_get(json, "rollups"), "total"), "dimensions",
                        many);
    assert_int_equal(store_definition_parse(&d, json), ST_INVALID);
    json_decref(json);
}

static void what_is_no_object_is_no_definition(void **state)
{
    json_t *json = json_array();
    struct store_definition *d;

    (void)state;
    assert_int_equal(store_definition_parse(&d, json), ST_INVALID);
    assert_int_equal(store_definition_parse(&d, NULL), ST_INVALID);
    json_decref(json);
    store_definition_free(NULL);
}

static void the_document_is_kept_as_it_was_given(void **state)
{
    json_t *json = kit_json(KIT_LIFELINE), *copy = json_deep_copy(json);
    struct store_definition *d;

    (void)state;
    assert_int_equal(store_definition_parse(&d, json), ST_OK);
    json_decref(json);
    assert_true(json_equal(d->document, copy));
    store_definition_free(d);
    json_decref(copy);
}

#define CHECKED(checks)                                                                            \
    "{\"name\":\"d\",\"sources\":{\"s\":{\"format\":\"csv\",\"columns\":{\"a\":\"INTEGER\"}}},"    \
    "\"prepare\":\"SELECT 1\",\"key\":{\"fields\":[\"k\"]},\"record\":{},\"checks\":[" checks "]," \
    "\"rollups\":{\"r\":{\"dimensions\":[\"a\"],\"metrics\":{\"n\":\"sum(x)\"}}},"                 \
    "\"gates\":[{\"name\":\"h\",\"null_rate\":\"a\",\"max\":0.5}]}"

/* The condition that goes with the columns is longer than they are. */
static void what_is_too_long_for_a_check_is_refused(void **state)
{
    char columns[70000] = "", text[sizeof columns + 1000];
    size_t at = 0;

    (void)state;
    for (int i = 0; i < 470; i++)
        at += (size_t)sprintf(columns + at, "%s\"%0125d\"", i ? "," : "", i);
    snprintf(text, sizeof text, CHECKED("{\"unique\":[%s]}"), columns);
    assert_null(kit_parse(text));
    assert_string_equal(st_code(), "INVALID_DEFINITION");
    assert_string_equal(st_place_text(), "/checks/0/unique");
    assert_non_null(strstr(st_message(), "longer than 65536 bytes"));
}

/* Each is compared with those before it. */
static void columns_are_not_more_than_an_ingest_reads(void **state)
{
    static const char *const PLACES[] = {"/sources/s/names", "/sources/s/columns"};
    char names[40000] = "", types[sizeof names] = "", text[sizeof names + 1000];
    size_t at = 0, to = 0;

    (void)state;
    for (int i = 0; i <= STORE_COLUMNS_MAX; i++) {
        at += (size_t)sprintf(names + at, "%s\"c%d\"", i ? "," : "", i);
        to += (size_t)sprintf(types + to, "%s\"c%d\":\"INT\"", i ? "," : "", i);
    }
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text,
                 "{\"name\":\"d\",\"sources\":{\"s\":{\"format\":\"csv\",%s%s%s}},"
                 "\"prepare\":\"SELECT 1\",\"key\":{\"fields\":[\"k\"]},\"record\":{}}",
                 i ? "\"columns\":{" : "\"header\":false,\"names\":[", i ? types : names,
                 i ? "}" : "]");
        assert_null(kit_parse(text));
        assert_string_equal(st_place_text(), PLACES[i]);
        assert_non_null(strstr(st_message(), "more than 2048 columns"));
    }
}

static long allocations, failing = -1; /* how many there were, and which one fails */

static bool must_fail(void)
{
    return allocations++ == failing;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__real_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len);

void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __real_realloc(old, size);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return must_fail() ? NULL : __real_strndup(text, len);
}

static void without_memory_a_definition_is_none_rather_than_one_that_checks_less(void **state)
{
    json_t *document =
        kit_json(CHECKED("{\"expect\":\"n > 0\"},{\"unique\":[\"a\",\"b\"]},{\"not_null\":\"a\"},"
                         "{\"metric\":\"avg(n)\",\"min\":1},"
                         "{\"accepted_values\":{\"field\":\"f\",\"values\":[7]}}"));
    struct store_definition *d = NULL;

    (void)state;
    for (long i = 0; !d; i++) {
        allocations = 0;
        failing = i;
        enum st st = store_definition_parse(&d, document);
        failing = -1;
        assert_int_equal(st, i < allocations ? ST_NOMEM : ST_OK);
    }
    assert_string_equal(d->checks[1].condition, "\"a\" IS NOT NULL AND \"b\" IS NOT NULL");
    store_definition_free(d);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_read),
        cmocka_unit_test(record_fields_keep_their_order_and_are_the_row_of_a_protected_dataset),
        cmocka_unit_test(fields_in_no_alphabetical_order_stay_in_it),
        cmocka_unit_test(unprotected_rows_begin_with_the_key_fields),
        cmocka_unit_test(rollups_are_taken_apart),
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(a_wrong_definition_is_refused_where_it_is_wrong),
        cmocka_unit_test(an_unknown_member_brings_the_known_ones),
        cmocka_unit_test(checks_and_gates_are_taken_apart),
        cmocka_unit_test(a_long_name_is_cut_between_characters),
        cmocka_unit_test(what_is_too_long_for_a_check_is_refused),
        cmocka_unit_test(columns_are_not_more_than_an_ingest_reads),
        cmocka_unit_test(without_memory_a_definition_is_none_rather_than_one_that_checks_less),
        cmocka_unit_test(metrics_are_of_a_closed_list),
        cmocka_unit_test(what_is_not_one_metric_of_the_list_is_refused),
        cmocka_unit_test(the_type_of_time_is_that_of_its_field_or_fits_its_bucket),
        cmocka_unit_test(what_is_served_may_not_go_away_or_change_its_type),
        cmocka_unit_test(a_series_stays_one),
        cmocka_unit_test(more_is_welcome),
        cmocka_unit_test(counts_over_the_caps_are_refused),
        cmocka_unit_test(what_is_no_object_is_no_definition),
        cmocka_unit_test(the_document_is_kept_as_it_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
