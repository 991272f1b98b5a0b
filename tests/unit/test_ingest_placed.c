/* Which record of which file a rejected row is: told where prepare picks rows and columns of one
 * source, and not told, rather than told wrongly, where it does anything else. */
#include "ingest_kit.h"
#include "json_memory_kit.h"

#include "ingest/collect.h"
#include "ingest/placed.h"
#include "ingest/source.h"
#include "ingest/spill.h"

static json_t *build_in(struct kit *kit, unsigned threads)
{
    json_t *rows, *report, *rejects;
    kit->task.threads = threads;
    kit_ok(kit_build(&rows, &report, kit, NULL));
    rejects = json_incref(json_object_get(report, "rejects"));
    json_int_t rejected = json_integer_value(json_object_get(rows, "rejected"));
    assert_int_equal(rejected, json_integer_value(json_object_get(rejects, "rejected")));
    assert_int_equal(json_integer_value(json_object_get(rows, "prepared")),
                     json_integer_value(json_object_get(rows, "accepted")) + rejected +
                         json_integer_value(json_object_get(rows, "duplicates")));
    assert_int_equal(json_integer_value(json_object_get(rows, "read")),
                     json_integer_value(json_object_get(rows, "parsed")) +
                         json_integer_value(json_object_get(rows, "unparsable")));
    json_decref(rows);
    json_decref(report);
    return rejects;
}

/* "a.csv:3 cast_n, b.csv:2 key_id" */
static void assert_places(struct kit *kit, const char *what, const char *wanted)
{
    char text[4096] = "";
    size_t i, len = 0;
    json_t *item, *rejects = build_in(kit, 2);
    json_array_foreach(json_object_get(rejects, "places"), i, item)
    {
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s:%lld %s", i ? ", " : "",
                                json_string_value(json_object_get(item, "file")),
                                (long long)json_integer_value(json_object_get(item, "line")),
                                json_string_value(json_object_get(item, "rule")));
        assert_true(len < sizeof text);
    }
    if (strcmp(text, wanted) != 0)
        print_error("%s\n", what);
    assert_string_equal(text, wanted);
    char *all = json_dumps(rejects, 0);
    assert_null(strstr(all, "Secret"));
    assert_null(strstr(all, "Qwertz"));
    free(all);
    json_decref(rejects);
}

#define A "id,n\na,1\n\"b\nc\",Secret\nd,3\nshort\ne,Secret4\n"
#define B "n,id\nSecret5,f\n7,\n8,g\n"

/* Of two sources; the first has no files yet. */
static void define_only(struct kit *kit, const char *prepare)
{
    char text[8192];
    snprintf(text, sizeof text,
             "{'name':'t','sources':{'t':{'format':'csv','max_reject_ratio':1},'u':{'format':'csv'}"
             "},'prepare':'%s','key':{'fields':['id']},'record':{'n':'INTEGER'},"
             "'max_reject_ratio':1}",
             prepare);
    kit_define(kit, text);
    kit_add(kit, 1, "u.csv", "id,n\na,1\nf,Secret\n");
}

static void define(struct kit *kit, const char *prepare)
{
    define_only(kit, prepare);
    kit_add(kit, 0, "a.csv", A);
    kit_add(kit, 0, "b.csv", B);
}

#define SHORT "a.csv:6 CSV_SHORT_ROW"
#define ALL SHORT ", a.csv:3 cast_n, a.csv:7 cast_n, b.csv:2 cast_n, b.csv:3 key_id"

static void rows_that_are_picked_from_one_source_have_a_place(void **state)
{
    static const char *const ROWS[][2] = {
        {"SELECT * FROM t", ALL},
        {"FROM t", ALL},
        {"SELECT id, n FROM t -- the end", ALL},
        {"SELECT n, id, id AS more FROM T;", ALL},
        {"SELECT x.* FROM t AS x", ALL},
        {"SELECT * FROM t AS \\\"#source\\\"", ALL},
        {"SELECT trim(\\\"W \\\"\\\"T\\\".id) AS ID, nullif(n, `9`) AS \\\"N\\\", `\\\"` AS quote "
         "FROM t AS \\\"W \\\"\\\"T\\\"",
         ALL},
        {"SELECT * REPLACE (trim(n) AS n) FROM t", ALL},
        {"SELECT * RENAME (n AS m), n FROM t", ALL},
        {"SELECT id, n FROM t WHERE 1.5 > 0.25 AND n <> `0.5` AND n <> 7.3::VARCHAR", ALL},
        {"SELECT * EXCLUDE (n), t.n || `` AS n FROM t", ALL},
        {"SELECT id, list_transform([n], x -> x)[1] AS n FROM t", ALL},
        {"SELECT id, n FROM t WHERE false", SHORT},
        {"SELECT id, list_transform([n], lambda \\\"#place\\\": \\\"#place\\\" || ``)[1] AS n FROM "
         "t",
         ALL},
        {"SELECT id, CASE WHEN n = `x` THEN NULL ELSE n END AS n FROM t WHERE length(n) BETWEEN 1 "
         "AND 99 AND DATE `2020-01-31` + INTERVAL 3 DAY > DATE `2020-01-01`",
         ALL},
        {"SELECT id, n FROM t WHERE n <> `Secret` AND id IS NOT NULL",
         SHORT ", a.csv:7 cast_n, b.csv:2 cast_n"},
        {"SELECT id, n FROM t WHERE n IN (`1`, `Secret`, `3`, `4`, `5`, `6`, `7`, `8`, `9`, `10`, "
         "`11`, `12`, `13`)",
         SHORT ", a.csv:3 cast_n, b.csv:3 key_id"},
        {"SELECT id, n, 9007199254740993 AS exact FROM t WHERE 9007199254740993 > 9007199254740992",
         ALL},
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        define(kit, ROWS[i][0]);
        assert_places(kit, ROWS[i][0], ROWS[i][1]);
    }
}

static void rows_of_anything_else_have_none(void **state)
{
    static const char *const ROWS[] = {
        "SELECT DISTINCT id, n FROM t",
        "SELECT DISTINCT ON (id) id, n FROM t ORDER BY id, n",
        "SELECT id, n FROM t UNION ALL SELECT id, n FROM u",
        "SELECT id, n FROM t EXCEPT SELECT id, n FROM u",
        "SELECT id, max(n) AS n FROM t GROUP BY id",
        "SELECT id, max(n) AS n FROM t GROUP BY ALL",
        "SELECT `x` AS id, max(n) AS n FROM t",
        "SELECT id, n FROM t GROUP BY id, n",
        "SELECT id, n FROM t GROUP BY id, n HAVING count(*) = 1",
        "SELECT t.id, t.n FROM t JOIN u USING (id)",
        "SELECT t.id, t.n FROM t LEFT JOIN u USING (id)",
        "SELECT t.id, t.n FROM t, u",
        "SELECT t.id, t.n FROM t SEMI JOIN u USING (id)",
        "SELECT id, n FROM t, range(2)",
        "SELECT id, n FROM t, LATERAL (SELECT 1)",
        "SELECT id, n, unnest([1, 2]) AS z FROM t",
        "SELECT id, n, unnest(string_split(n, `e`)) AS z FROM t",
        "WITH t AS (SELECT id, CASE n WHEN `1` THEN `Secret` WHEN `Secret` THEN `1` ELSE n END AS "
        "n "
        "FROM t) SELECT id, n FROM t",
        "WITH t AS (SELECT id, n || `x` AS n FROM u) SELECT id, n FROM t",
        "SELECT id, n FROM (SELECT * FROM t)",
        "SELECT id, n FROM (SELECT * FROM t ORDER BY id, n LIMIT 5)",
        "SELECT id, n FROM t ORDER BY n DESC, id LIMIT 3",
        "SELECT id, n FROM t ORDER BY id",
        "SELECT id, n FROM t QUALIFY row_number() OVER (PARTITION BY id ORDER BY n) = 1",
        "SELECT id, n, count(*) OVER (PARTITION BY id) AS c FROM t",
        "SELECT id, n FROM t WHERE id IN (SELECT id FROM u)",
        "SELECT id, n FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
        "SELECT id, n, (SELECT max(id) FROM u) AS m FROM t",
        "SELECT id, n, t::VARCHAR AS row FROM t",
        "SELECT id, n, hash(x) AS h FROM t AS x",
        "SELECT id, n FROM t WHERE length(t::VARCHAR) > 0",
        "SELECT id, n, struct_pack(*COLUMNS(*)) AS s FROM t",
        "SELECT COLUMNS(`id|n`) FROM t",
        "SELECT id, n FROM t WHERE length(COLUMNS(`id`)) > 0",
        "SELECT id, n, coalesce(*COLUMNS(*)) AS c FROM t",
        "SELECT id, n FROM t AS x(id, n)",
        "SELECT * LIKE `%` FROM t",
        "SELECT id, n FROM t WHERE 170141183460469231731687303715884105727 > length(id)",
        "SELECT id, n FROM (VALUES (`a`, `Secret`)) AS v(id, n)",
        /* DuckDB writes these DOUBLEs as DECIMALs, and others in another way, or without a sign. */
        "SELECT id, n FROM t WHERE n <> 7e3::VARCHAR",
        "SELECT id, n, 1e-1 AS d FROM t",
        "SELECT id, n, -0e0 AS d FROM t",
        "SELECT id, n, typeof(1e0) AS d FROM t",
        "SELECT id, n FROM t WHERE list_transform([3], lambda y: y * 0.1e0)[1]::VARCHAR <> `0.3`",
        "SELECT id, n, [y * 0.1e0 FOR y IN [3]] AS d FROM t",
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        define(kit, ROWS[i]);
        assert_places(kit, ROWS[i], SHORT);
    }
}

#define RULES                                                                                      \
    "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':'SELECT id, day, "                     \
    "repeat(w, repeats::INTEGER) AS w, CASE x WHEN `inf` THEN `inf`::DOUBLE ELSE 1 END AS x, n "   \
    "FROM t','key':{'fields':['id'],'normalize':{'id':'digits'},'sort':'day',"                     \
    "'protect':'hmac-sha256'},'record':{'day':'DATE','w':'VARCHAR','n':'INTEGER'},"                \
    "'checks':[{'name':'small','expect':'n < 100','on_fail':'reject'},"                            \
    "{'name':'even','expect':'n % 2 = 0','on_fail':'warn','max_ratio':1}],"                        \
    "'rollups':{'by_w':{'dimensions':['w'],'metrics':{'s':'sum(x)'}}},'max_reject_ratio':1}"

static void every_rule_has_its_place(void **state)
{
    struct kit *kit = *state;
    kit_define(kit, RULES);
    kit_add(kit, 0, "a.csv",
            "id,day,w,repeats,x,n\n1,2020-01-01,a,1,,2\nQwertz,2020-01-01,a,1,,2\n3,,a,1,,2\n"
            "4,2020-01-01,a,2000000,,2\n5,2020-01-01,a,1000,,2\n6,2020-01-01,a,1,inf,2\n"
            "7,2020-01-01,a,1,,Qwertz\n8,2020-01-01,a,1,,101\n9,2020-01-01,a,1,,3\n");
    assert_places(kit, RULES,
                  "a.csv:3 key_id, a.csv:4 key_day, a.csv:5 row_size, a.csv:6 dimensions_by_w, "
                  "a.csv:7 not_finite, a.csv:8 cast_n, a.csv:9 small");
}

/* The hidden column's name is any that neither the source nor prepare has. */
static void a_column_that_is_called_like_the_hidden_one_is_what_it_was(void **state)
{
    static const char *const PREPARES[] = {
        "SELECT id, \\\"#PLACE\\\" AS n FROM t",
        "SELECT * EXCLUDE (\\\"#place\\\", \\\"#place#\\\"), \\\"#place\\\" AS n FROM t",
        "SELECT t.id, t.\\\"#place\\\" AS n FROM t WHERE \\\"#place#\\\" = `q`",
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof PREPARES / sizeof *PREPARES; i++) {
        define_only(kit, PREPARES[i]);
        kit_add(kit, 0, "c.csv", "id,#place,#place#\na,1,q\nb,Secret,q\n");
        assert_places(kit, PREPARES[i], "c.csv:3 cast_n");
    }
}

/* Far more rows than a thread takes at once, and more of them bad than are listed. */
static void any_number_of_threads_lists_the_same(void **state)
{
    struct kit *kit = *state;
    struct buf text;
    json_t *first = NULL;
    buf_init(&text, 4u << 20);
    define_only(kit, "SELECT id, n FROM t WHERE id <> `7`");
    for (int file = 0; file < 3; file++) {
        buf_reset(&text);
        buf_addstr(&text, "id,n\n");
        for (int i = 0; i < 60000; i++)
            buf_addf(&text, "%d,%s\n", file * 60000 + i, i % 90 == 7 ? "Secret" : "1");
        kit_ok(buf_status(&text));
        char name[] = {(char)('x' + file), '.', 'c', 's', 'v', 0};
        kit_add(kit, 0, name, text.data);
    }
    buf_release(&text);
    for (unsigned threads = 1; threads <= 4; threads++) {
        json_t *rejects = build_in(kit, threads);
        json_t *places = json_object_get(rejects, "places");
        assert_int_equal(json_integer_value(json_object_get(rejects, "rejected")), 2000);
        assert_int_equal(json_array_size(places), 1000);
        first = first ? first : json_incref(rejects);
        assert_true(json_equal(first, rejects));
        json_decref(rejects);
    }
    json_t *places = json_object_get(first, "places"), *last = json_array_get(places, 999);
    assert_string_equal(json_string_value(json_object_get(last, "file")), "y.csv");
    json_decref(first);
}

static void rows_of_ndjson_have_a_place(void **state)
{
    struct kit *kit = *state;
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'ndjson','columns':{'id':'VARCHAR',"
                    "'n':'VARCHAR'}}},'prepare':'SELECT * FROM t','key':{'fields':['id']},"
                    "'record':{'n':'INTEGER'},'max_reject_ratio':1}");
    kit_add(kit, 0, "a.ndjson", "{\"id\":\"a\",\"n\":1}\n\n{\"id\":\"b\",\"n\":\"Secret\"}\n");
    assert_places(kit, "ndjson", "a.ndjson:3 cast_n");
}

static void define_parquet(struct kit *kit, const char *prepare)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{'name':'t','sources':{'t':{'format':'parquet'}},'prepare':'%s','key':{'fields':"
             "['id']},'record':{'n':'INTEGER'},'max_reject_ratio':1}",
             prepare);
    kit_define(kit, text);
}

static void add_parquet(struct kit *kit, const char *name, const char *select)
{
    kit_write_parquet(kit, name, select);
    kit_add_file(kit, 0, name);
}

static void rows_of_parquet_have_their_number(void **state)
{
    struct kit *kit = *state;
    define_parquet(kit, "SELECT * FROM t WHERE i % 2 = 0");
    add_parquet(kit, "a.parquet", "SELECT i::VARCHAR AS id, i, i::VARCHAR AS n FROM range(5) r(i)");
    add_parquet(
        kit, "b.parquet",
        "SELECT i::VARCHAR AS id, i, CASE WHEN i IN (2998, 2999, 149998) THEN 'Secret' ELSE "
        "'1' END AS n FROM range(1000, 150000) r(i)");
    assert_places(kit, "parquet", "b.parquet:1999 cast_n, b.parquet:148999 cast_n");
    define_parquet(kit, "SELECT id, n FROM t");
    add_parquet(kit, "c.parquet", "SELECT 'a' AS id, 'Secret' AS n, 7 AS File_Index");
    assert_places(kit, "parquet", "");
}

/* The statement is the whole one, or there is none. */
static void without_memory_no_place_is_told(void **state)
{
    struct kit *kit = *state;
    char *wanted = NULL;
    struct duck *d = NULL;
    define(kit, "SELECT id, n FROM t WHERE n <> `7`");
    char *files[] = {kit->task.sources[0].files[0].path, kit->task.sources[0].files[1].path,
                     kit->task.sources[1].files[0].path};
    kit_ok(duck_open(&d, &(struct duck_options){0, 1, files, 3}));
    kit_ok(source_bind(d, &kit->task));
    for (long n = -1, failed = 1; failed; n++) {
        struct placed placed;
        if (n >= 0)
            json_fail_after(n);
        enum st st = placed_find(&placed, d, kit->task.definition);
        failed = n < 0 || json_heal();
        if (n >= 0 && failed)
            assert_true(st == ST_NOMEM || st == ST_NOT_FOUND);
        else
            kit_ok(st);
        if (!st)
            assert_string_equal(placed.sql.data, wanted ? wanted : placed.sql.data);
        if (!wanted)
            wanted = strdup(placed.sql.data);
        placed_release(&placed);
    }
    free(wanted);
    duck_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(rows_that_are_picked_from_one_source_have_a_place),
        kit_test(rows_of_anything_else_have_none),
        kit_test(every_rule_has_its_place),
        kit_test(a_column_that_is_called_like_the_hidden_one_is_what_it_was),
        kit_test(any_number_of_threads_lists_the_same),
        kit_test(rows_of_ndjson_have_a_place),
        kit_test(rows_of_parquet_have_their_number),
        kit_test(without_memory_no_place_is_told),
    };
    return cmocka_run_group_tests_name("ingest_placed", tests, NULL, NULL);
}
