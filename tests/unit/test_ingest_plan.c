/* What a definition's SQL may say, and where an error says it is. */
#include "ingest_kit.h"

#include "ingest/build.h"

#define DECLARED                                                                                   \
    "'sources':{'people':{'format':'csv','columns':{'id':'VARCHAR','name':'VARCHAR',"              \
    "'n':'INTEGER','joined':'DATE'},'columns_complete':true}}"
#define KEY "'key':{'fields':['id'],'protect':'hmac-sha256'}"
#define PLAIN "'key':{'fields':['id']}"

/* A definition over the declared source with this prepare, key, record and rollups. */
static enum st check(struct kit *kit, const char *prepare, const char *key, const char *record,
                     const char *rollups)
{
    char text[8192];
    snprintf(text, sizeof text,
             "{'name':'d'," DECLARED ",'prepare':'%s',%s,'record':{%s},'rollups':{%s}}", prepare,
             key, record, rollups);
    kit_define(kit, text);
    return build_check(&kit->task);
}

/* As check, for what the definition's own parser may refuse first. */
static enum st define_and_check(struct kit *kit, const char *prepare, const char *rollups)
{
    char text[8192];
    json_t *document = NULL;
    snprintf(text, sizeof text,
             "{'name':'d'," DECLARED ",'prepare':'%s'," KEY ",'record':{},'rollups':{%s}}", prepare,
             rollups);
    kit_quotes(text);
    kit_ok(jx_parse_object(&document, text, strlen(text)));
    task_release(&kit->task);
    enum st st = task_define(&kit->task, document);
    json_decref(document);
    return st ? st : build_check(&kit->task);
}

static enum st check_prepare(struct kit *kit, const char *prepare)
{
    return check(kit, prepare, PLAIN, "'name':'VARCHAR'", "");
}

static enum st check_metric(struct kit *kit, const char *metric)
{
    char rollups[2048];
    snprintf(rollups, sizeof rollups, "'r':{'dimensions':[],'metrics':{'m':'%s'}}", metric);
    return check(kit, "SELECT * FROM people", KEY, "'name':'VARCHAR'", rollups);
}

static void a_good_definition_passes(void **state)
{
    struct kit *kit = *state;
    kit_ok(check_prepare(kit, "SELECT id, name FROM people"));
    kit_ok(check_prepare(kit, "WITH x AS (SELECT * FROM people) SELECT x.id, upper(p.name) AS name "
                              "FROM x JOIN PEOPLE p USING (id), range(3), unnest([1]) u(v) "
                              "WHERE x.n > (SELECT avg(n) FROM people);"));
    kit_ok(check_prepare(kit, "SELECT id, name FROM people UNION ALL SELECT * FROM (VALUES "
                              "(`a`, `b`)) v(id, name) -- the end"));
    kit_ok(check(kit, "SELECT *, joined AS day FROM people", KEY,
                 "'name':'VARCHAR','n':'BIGINT','day':'DATE'",
                 "'r':{'dimensions':['name','n'],'time':{'field':'day','bucket':'month'},"
                 "'metrics':{'c':'count(*)','s':'sum(n)','b':'sum((n > 3)::INT)','x':'count(name)',"
                 "'l':'max(length(name))','q':{'ratio':['sum(n)','count(n)']}}}"));
}

static void only_declared_sources_can_be_read(void **state)
{
    static const char *const bad[][2] = {
        {"SELECT id, name FROM nobody", "/prepare, line 1, column 22"},
        {"SELECT id, name FROM `/etc/passwd`", "/prepare, line 1, column 22"},
        {"SELECT id,\\n name\\nFROM \\\"x.csv\\\"", "/prepare, line 3, column 6"},
        {"SELECT id, name FROM read_csv(`x.csv`)", "/prepare, line 1, column 22"},
        {"SELECT id, name FROM people, read_parquet(`x`)", "/prepare, line 1, column 30"},
        {"SELECT id, name FROM people, glob(`*`)", "/prepare, line 1, column 30"},
        {"SELECT id, name FROM people, duckdb_settings()", "/prepare, line 1, column 30"},
        {"SELECT id, name FROM query(`SELECT 1`)", "/prepare, line 1, column 22"},
        {"SELECT id, name FROM query_table(`people`)", "/prepare, line 1, column 22"},
        {"SELECT id, name FROM information_schema.tables", "/prepare, line 1, column 22"},
        {"SELECT id, name FROM main.people", "/prepare, line 1, column 22"},
        {"SELECT id, name FROM duckdb_tables", "/prepare, line 1, column 22"},
        {"SELECT id, name FROM people WHERE id IN (SELECT s FROM pragma_version() v(s))",
         "/prepare, line 1, column 56"},
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        kit_fails(check_prepare(kit, bad[i][0]), "SQL", bad[i][1], NULL);
}

static void nothing_but_one_select_is_allowed(void **state)
{
    static const char *const bad[] = {
        "COPY people TO `x.csv`",
        "CREATE TABLE x AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT id, name FROM people; DROP TABLE people",
        "PRAGMA version",
        "SET threads = 1",
        "INSERT INTO people VALUES (1)",
        "ATTACH `x`",
        "INSTALL httpfs",
        "DESCRIBE people",
        "SUMMARIZE people",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "SELECT * FROM (DESCRIBE people)",
        "SELECT $1 AS id, name FROM people",
        "",
        "SELECT 1) AS x; DROP TABLE people; SELECT (1",
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!define_and_check(kit, bad[i], ""))
            fail_msg("accepted: %s", bad[i]);
}

static void what_gives_another_answer_another_time_is_refused(void **state)
{
    static const char *const bad[] = {
        "random()",
        "now()",
        "current_date",
        "current_timestamp",
        "CURRENT_TIME",
        "today()",
        "uuid()",
        "gen_random_uuid()",
        "getvariable(`x`)",
        "current_setting(`threads`)",
        "nextval(`s`)",
        "current_user",
        "localtimestamp",
        "get_current_timestamp()",
        "txid_current()",
        "setseed(1)",
        "transaction_timestamp()",
        "version()",
        "getenv(`HOME`)",
        "age(joined)",
        "joined.age()",
        "main.age(joined::TIMESTAMP)",
        "pg_conf_load_time()",
        "pg_get_viewdef(1)",
        "current_localtimestamp()",
        "vector_type(name)",
    };
    struct kit *kit = *state;
    char sql[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(sql, sizeof sql, "SELECT id,\\n  %s AS name FROM people", bad[i]);
        kit_fails(check_prepare(kit, sql), "SQL", "/prepare, line 2, column 3", NULL);
    }
    kit_fails(check_prepare(kit, "SELECT id, name FROM people TABLESAMPLE 10%"), "SQL",
              "/prepare, line 1, column 22", NULL);
    kit_ok(check_prepare(kit, "SELECT id, version AS name FROM (SELECT id, name AS version "
                              "FROM people)"));
    kit_ok(check_prepare(kit, "SELECT id, age(joined, DATE `2020-01-01`) AS name FROM people"));
}

static void a_name_of_a_common_table_expression_is_known_where_it_is_seen(void **state)
{
    static const char *const bad[][2] = {
        {"SELECT id, name FROM people, duckdb_tables z, (WITH duckdb_tables AS (SELECT 1) SELECT "
         "1)",
         "/prepare, line 1, column 30"},
        {"WITH duckdb_tables AS (SELECT * FROM duckdb_tables) SELECT id, name FROM people",
         "/prepare, line 1, column 38"},
        {"WITH duckdb_tables AS MATERIALIZED (SELECT * FROM duckdb_tables) SELECT id, name FROM "
         "people",
         "/prepare, line 1, column 51"},
        {"WITH RECURSIVE duckdb_tables AS (SELECT * FROM duckdb_tables UNION ALL SELECT * FROM "
         "duckdb_tables) SELECT id, name FROM people",
         "/prepare, line 1, column 48"},
        {"WITH a AS (SELECT * FROM sqlite_master), sqlite_master AS (SELECT 1) SELECT id, name "
         "FROM people, a",
         "/prepare, line 1, column 26"},
        {"SELECT id, name FROM people WHERE id IN (WITH x AS (SELECT 1) SELECT 1) OR id IN "
         "(SELECT * FROM x)",
         "/prepare, line 1, column 97"},
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        kit_fails(check_prepare(kit, bad[i][0]), "SQL", bad[i][1], NULL);
    kit_ok(check_prepare(kit, "WITH a AS MATERIALIZED (SELECT * FROM people), b AS (SELECT * FROM "
                              "A), c AS MATERIALIZED (SELECT * FROM b) SELECT c.id, (WITH d AS "
                              "(SELECT max(name) AS m FROM b) SELECT m FROM d) AS name FROM c, a "
                              "WHERE a.id IN (SELECT id FROM b)"));
    kit_ok(check_prepare(kit, "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r "
                              "WHERE n < 3) SELECT id, name FROM people JOIN r USING (n)"));
}

static void what_needs_an_order_that_rows_do_not_have_is_refused(void **state)
{
    static const char *const bad[] = {
        "SELECT id, name FROM people LIMIT 3",
        "SELECT id, name FROM people LIMIT 10%",
        "SELECT id, name FROM people OFFSET 1",
        "SELECT id, (SELECT max(name) FROM people LIMIT 1) AS name FROM people ORDER BY 1",
        "SELECT DISTINCT ON (id) id, name FROM people",
        "SELECT id, first(name) AS name FROM people GROUP BY id",
        "SELECT id, LAST(name) AS name FROM people GROUP BY id",
        "SELECT id, string_agg(DISTINCT name, `,`) AS name FROM people GROUP BY id",
        "SELECT id, list(name) AS name FROM people GROUP BY id",
        "SELECT id, json_group_array(name) AS name FROM people GROUP BY id",
        "SELECT id, row_number() OVER () AS name FROM people",
        "SELECT id, lag(name) OVER (PARTITION BY n) AS name FROM people",
        "SELECT id, first_value(name) OVER w AS name FROM people WINDOW w AS (PARTITION BY n)",
        "SELECT id, sum(n) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS name FROM people",
        "SELECT a.id, b.name FROM people a POSITIONAL JOIN people b",
        "SELECT id, reservoir_quantile(n, 0.5) AS name FROM people GROUP BY id",
    };
    static const char *const good[] = {
        "SELECT id, name FROM people ORDER BY id LIMIT 3",
        "WITH a AS MATERIALIZED (SELECT * FROM people) SELECT id, name FROM a ORDER BY ALL LIMIT 3",
        "SELECT id, name FROM people UNION ALL SELECT id, name FROM people ORDER BY id OFFSET 1",
        "SELECT DISTINCT ON (id) id, name FROM people ORDER BY id, name",
        "SELECT DISTINCT id, name FROM people",
        "SELECT id, first(name ORDER BY n) AS name FROM people GROUP BY id",
        "SELECT id, any_value(name) AS name FROM people GROUP BY id",
        "SELECT id, string_agg(name, `,` ORDER BY n, name) AS name FROM people GROUP BY id",
        "SELECT id, row_number() OVER (ORDER BY n) AS name FROM people",
        "SELECT id, sum(n) OVER (PARTITION BY id) AS name FROM people",
        "SELECT id, rank() OVER () AS name FROM people",
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (!check_prepare(kit, bad[i]))
            fail_msg("accepted: %s", bad[i]);
        assert_string_equal(st_code(), "SQL");
        assert_memory_equal(st_place_text(), "/prepare", 8);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        kit_ok(check_prepare(kit, good[i]));
}

static void errors_of_sql_carry_place_and_message(void **state)
{
    struct kit *kit = *state;
    kit_fails(check_prepare(kit, "SELECT id,\\n  nam FROM people"), "SQL",
              "/prepare, line 2, column 3", NULL);
    assert_non_null(strstr(st_message(), "Referenced column \"nam\" not found"));
    kit_fails(check_prepare(kit, "SELECT id, FROM WHERE people"), "SQL",
              "/prepare, line 1, column 17", NULL);
    assert_non_null(strstr(st_message(), "syntax error"));
    kit_fails(check_prepare(kit, "SELECT id, name FROM people WHERE n > [1]"), "SQL",
              "/prepare, line 1, column 37", NULL);
    kit_fails(check_prepare(kit, "SELECT id, nofunc(name) AS name FROM people"), "SQL",
              "/prepare, line 1, column 12", NULL);
}

/* DuckDB says to raise its limit by SET, which is refused here. */
static void sql_that_is_nested_too_deeply_is_told_how_to_be_less(void **state)
{
    struct kit *kit = *state;
    char prepare[4000] = "SELECT id, name FROM people WHERE n = 0";
    for (size_t len = strlen(prepare); len < sizeof prepare - 3; len += 2)
        memcpy(prepare + len, "+1", 3);
    assert_int_equal(check_prepare(kit, prepare), ST_INVALID);
    assert_string_equal(st_code(), "SQL");
    assert_memory_equal(st_place_text(), "/prepare", 8);
    assert_string_equal(st_message(), "the SQL is nested more than 1000 levels deep");
    assert_non_null(strstr(st_hint_text(), "WITH"));
}

static void a_column_that_prepare_lacks_is_named(void **state)
{
    struct kit *kit = *state;
    kit_fails(check_prepare(kit, "SELECT name FROM people"), "INVALID_DEFINITION", "/key/fields/0",
              NULL);
    assert_string_equal(st_hint_text(), "its columns: name");
    kit_fails(check_prepare(kit, "SELECT id FROM people"), "INVALID_DEFINITION", "/record/name",
              NULL);
    kit_fails(check(kit, "SELECT id, name FROM people", PLAIN, "'name':'VARCHAR'",
                    "'r':{'dimensions':['state'],'metrics':{'m':'count(*)'}}"),
              "INVALID_DEFINITION", "/rollups/r/dimensions/0", NULL);
    kit_fails(check(kit, "SELECT id, name FROM people", PLAIN, "'name':'VARCHAR'",
                    "'r':{'dimensions':[],'time':{'field':'day','bucket':'day'},"
                    "'metrics':{'m':'count(*)'}}"),
              "INVALID_DEFINITION", "/rollups/r/time/field", NULL);
    kit_fails(check_prepare(kit, "SELECT id, name, n AS Name FROM people"), "INVALID_DEFINITION",
              "/prepare", NULL);
    kit_fails(check_prepare(kit, "SELECT id, name, n AS \\\"#k0\\\" FROM people"),
              "INVALID_DEFINITION", "/prepare", NULL);
}

static void a_cast_that_cannot_be_is_refused_at_its_field(void **state)
{
    struct kit *kit = *state;
    kit_fails(check(kit, "SELECT id, [n] AS name FROM people", PLAIN, "'name':'INTEGER'", ""),
              "INVALID_DEFINITION", "/record/name", NULL);
    kit_fails(check(kit, "SELECT id, {`a`: n} AS name FROM people", PLAIN, "'name':'DATE'", ""),
              "INVALID_DEFINITION", "/record/name", NULL);
    kit_ok(check(kit, "SELECT id, [n] AS name FROM people", PLAIN, "'name':'VARCHAR'", ""));
}

static void a_metric_is_one_scalar_expression(void **state)
{
    static const char *const bad[] = {
        "sum((SELECT max(n) FROM people))",
        "sum(sum(n))",
        "sum(count(*))",
        "sum(n) FROM people; --",
        "sum(row_number() OVER ())",
        "count(COLUMNS(*))",
        "sum(n, n)",
        "sum(n) + 1",
        "max(random()::INT)",
        "sum(n AS x)",
        "sum(nobody)",
        "sum(n +)",
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char rollups[300];
        snprintf(rollups, sizeof rollups, "'r':{'dimensions':[],'metrics':{'m':'%s'}}", bad[i]);
        enum st st = define_and_check(kit, "SELECT * FROM people", rollups);
        if (!st)
            fail_msg("accepted: %s", bad[i]);
        assert_memory_equal(st_place_text(), "/rollups/r/metrics/m", 20);
    }
    static const char *const mistyped[] = {
        "max(name)",       "sum(joined)",           "avg(joined)",   "quantile(joined, 0.5)",
        "sum(n::HUGEINT)", "sum(n::DECIMAL(30,2))", "distinct([n])", "sum([n])"};
    for (size_t i = 0; i < sizeof mistyped / sizeof *mistyped; i++)
        kit_fails(check_metric(kit, mistyped[i]), "METRIC_TYPE", "/rollups/r/metrics/m", NULL);
    static const char *const good[] = {
        "sum(n * 1.5)",     "min(n::DOUBLE)",        "max(joined)",           "distinct(name)",
        "quantile(n, 0.5)", "avg(n::DECIMAL(18,4))", "min(joined::TIMESTAMP)"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        kit_ok(check_metric(kit, good[i]));
    kit_fails(check_metric(kit, "sum(n +\\n  nobody)"), "SQL",
              "/rollups/r/metrics/m, line 2, column 3", NULL);
    kit_ok(check_metric(kit, "count(name)"));
}

static void a_protected_key_cannot_be_reached_from_a_rollup(void **state)
{
    static const char *const expressions[] = {
        "max(length(id))",
        "sum(length(\\\"#k0\\\"))",
        "max(length(people.id))",
        "max(length(prepared.id))",
        "max(length(visible::VARCHAR))",
        "max(length((\\\"#rows\\\")::VARCHAR))",
        "max(length(ID))",
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        enum st st = check_metric(kit, expressions[i]);
        if (!st)
            fail_msg("accepted: %s", expressions[i]);
    }
    kit_fails(check_metric(kit, "max(length(id))"), "SQL", "/rollups/r/metrics/m, line 1, column 8",
              NULL);
    /* Without protection the key is a column like any other. */
    kit_ok(check(kit, "SELECT * FROM people", PLAIN, "'name':'VARCHAR'",
                 "'r':{'dimensions':['id'],'metrics':{'m':'max(length(id))'}}"));
}

static void a_type_is_a_type_and_nothing_else(void **state)
{
    static const char *const bad[] = {"NOSUCHTYPE", "INTEGER) , (INTEGER",
                                      "INTEGER), b AS (SELECT 1", "INTEGER NOT NULL"};
    struct kit *kit = *state;
    char text[1024];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text,
                 "{'name':'d','sources':{'people':{'format':'csv','columns':{'id':'%s'}}},"
                 "'prepare':'SELECT id FROM people'," PLAIN ",'record':{}}",
                 bad[i]);
        kit_define(kit, text);
        assert_int_equal(build_check(&kit->task), ST_INVALID);
        assert_string_equal(st_code(), "SQL");
        assert_memory_equal(st_place_text(), "/sources/people/columns/id", 26);
    }
}

/* What is in one would be rounded, or null, without a word. */
static void a_column_of_text_is_a_scalar_or_a_list_of_scalars(void **state)
{
    static const char *const types[] = {"STRUCT(a INTEGER, b DECIMAL(4,2))",
                                        "INTEGER[][]",
                                        "MAP(VARCHAR, INTEGER)",
                                        "INTEGER[3]",
                                        "UNION(a INTEGER, b VARCHAR)",
                                        "STRUCT(a INTEGER)[]"};
    struct kit *kit = *state;
    char text[1024];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        snprintf(text, sizeof text,
                 "{'name':'d','sources':{'people':{'format':'csv','columns':{'id':'%s'}}},"
                 "'prepare':'SELECT 1 AS id FROM people'," PLAIN ",'record':{}}",
                 types[i]);
        kit_define(kit, text);
        kit_fails(build_check(&kit->task), "INVALID_DEFINITION", "/sources/people/columns/id",
                  NULL);
        assert_non_null(strstr(st_message(), "a scalar or a list of scalars"));
        assert_string_equal(st_hint_text(), "read it as VARCHAR, and take it apart in prepare");
    }
}

static void a_number_of_any_size_is_refused_before_its_cast_fails(void **state)
{
    struct kit *kit = *state;
    kit_fails(check(kit, "SELECT id, n::BIGNUM AS n FROM people", PLAIN, "'n':'BIGINT'", ""),
              "INVALID_DEFINITION", "/record/n", NULL);
    assert_string_equal(st_message(),
                        "prepare gives a BIGNUM for \"n\", which cannot become BIGINT");
    assert_non_null(strstr(st_hint_text(), "VARCHAR"));
    kit_fails(check(kit, "SELECT id, [n::BIGNUM] AS n FROM people", PLAIN, "'n':'BIGINT[]'", ""),
              "INVALID_DEFINITION", "/record/n", NULL);
    kit_ok(check(kit, "SELECT id, n::BIGNUM AS n FROM people", PLAIN, "'n':'VARCHAR'", ""));
    kit_ok(check(kit, "SELECT id, n::BIGNUM::VARCHAR AS n FROM people", PLAIN, "'n':'BIGINT'", ""));
}

static void without_all_columns_the_rest_is_checked_still(void **state)
{
    struct kit *kit = *state;
    kit_define(kit, "{'name':'d','sources':{'people':{'format':'csv'}},'prepare':"
                    "'SELECT id, whatever FROM people'," PLAIN ",'record':{'whatever':'VARCHAR'}}");
    kit_ok(build_check(&kit->task));
    kit_define(kit, "{'name':'d','sources':{'people':{'format':'csv'}},'prepare':"
                    "'SELECT id, random() AS r FROM people'," PLAIN ",'record':{'r':'DOUBLE'}}");
    kit_fails(build_check(&kit->task), "SQL", "/prepare, line 1, column 12", NULL);
    kit_define(kit, "{'name':'d','sources':{'people':{'format':'csv'}},'prepare':"
                    "'SELECT id FROM people'," PLAIN ",'record':{},'rollups':{'r':{'dimensions':[],"
                    "'metrics':{'m':'sum((SELECT 1))'}}}}");
    kit_fails(build_check(&kit->task), "SQL", "/rollups/r/metrics/m, line 1, column 1", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_good_definition_passes),
        kit_test(only_declared_sources_can_be_read),
        kit_test(nothing_but_one_select_is_allowed),
        kit_test(what_gives_another_answer_another_time_is_refused),
        kit_test(a_name_of_a_common_table_expression_is_known_where_it_is_seen),
        kit_test(what_needs_an_order_that_rows_do_not_have_is_refused),
        kit_test(errors_of_sql_carry_place_and_message),
        kit_test(sql_that_is_nested_too_deeply_is_told_how_to_be_less),
        kit_test(a_column_that_prepare_lacks_is_named),
        kit_test(a_cast_that_cannot_be_is_refused_at_its_field),
        kit_test(a_metric_is_one_scalar_expression),
        kit_test(a_protected_key_cannot_be_reached_from_a_rollup),
        kit_test(a_type_is_a_type_and_nothing_else),
        kit_test(a_column_of_text_is_a_scalar_or_a_list_of_scalars),
        kit_test(a_number_of_any_size_is_refused_before_its_cast_fails),
        kit_test(without_all_columns_the_rest_is_checked_still),
    };
    return cmocka_run_group_tests_name("ingest_plan", tests, NULL, NULL);
}
