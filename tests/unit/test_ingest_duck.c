#include "ingest_kit.h"

#include "ingest/duck.h"

#include <pthread.h>

/* A database that may read a.csv of the kit and nothing else. */
static struct duck *open_for(const struct kit *kit, const char *file, uint64_t memory_bytes)
{
    char path[FS_PATH_MAX];
    struct duck *d;
    kit_path(path, kit, file);
    char *files[] = {path};
    kit_ok(duck_open(&d, &(struct duck_options){memory_bytes, 2, files, 1}));
    return d;
}

static enum st run(struct duck *d, const struct kit *kit, const char *fmt, const char *file)
{
    char path[FS_PATH_MAX], sql[2 * FS_PATH_MAX];
    kit_path(path, kit, file);
    snprintf(sql, sizeof sql, fmt, path);
    return duck_run(d, "the step", sql);
}

static void only_the_files_of_the_batch_can_be_read(void **state)
{
    static const char *const reads[] = {
        "SELECT * FROM '%s'", "SELECT * FROM read_csv('%s')", "SELECT * FROM read_text('%s')",
        "SELECT * FROM read_blob('%s')", "SELECT * FROM glob('%s')"};
    struct kit *kit = *state;
    kit_write(kit, "a.csv", "id,name\n1,Secret\n");
    kit_write(kit, "b.csv", "id,name\n1,Secret\n");
    struct duck *d = open_for(kit, "a.csv", 0);
    kit_ok(run(d, kit, "SELECT * FROM read_csv('%s')", "a.csv"));
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        kit_fails(run(d, kit, reads[i], "b.csv"), "SQL_RUNTIME", "", "b.csv");
        kit_fails(run(d, kit, reads[i], "*.csv"), "SQL_RUNTIME", "", NULL);
        kit_fails(run(d, kit, reads[i], "../../etc/passwd"), "SQL_RUNTIME", "", NULL);
    }
    duck_close(d);
}

static void nothing_can_be_written_attached_or_installed(void **state)
{
    static const char *const statements[] = {
        "COPY (SELECT 1) TO '%s'",  "ATTACH '%s'",          "INSTALL httpfs",
        "INSTALL httpfs FROM '%s'", "LOAD httpfs",          "LOAD '%s'",
        "EXPORT DATABASE '%s'",     "IMPORT DATABASE '%s'",
    };
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    kit_write(kit, "a.csv", "id\n1\n");
    struct duck *d = open_for(kit, "a.csv", 0);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        assert_int_not_equal(run(d, kit, statements[i], "out"), ST_OK);
    kit_path(path, kit, "out");
    assert_int_equal(access(path, F_OK), -1);
    duck_close(d);
}

static void the_configuration_is_locked(void **state)
{
    static const char *const statements[] = {
        "SET threads=1",
        "SET enable_external_access=true",
        "SET allowed_paths=['/etc/passwd']",
        "SET allowed_directories=['/']",
        "SET lock_configuration=false",
        "SET memory_limit='1TB'",
        "SET temp_directory='/tmp'",
        "RESET memory_limit",
        "SET profile_output='/tmp/x'",
    };
    struct kit *kit = *state;
    kit_write(kit, "a.csv", "id\n1\n");
    struct duck *d = open_for(kit, "a.csv", 0);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (!run(d, kit, statements[i], ""))
            fail_msg("accepted: %s", statements[i]);
    duck_close(d);
}

static void a_definition_may_only_select(void **state)
{
    static const char *const statements[] = {"COPY (SELECT 1) TO 'a.csv'",
                                             "CREATE TABLE x (a INT)",
                                             "INSERT INTO t VALUES (1)",
                                             "DELETE FROM t",
                                             "DROP TABLE t",
                                             "UPDATE t SET a = 1",
                                             "ATTACH 'x.db'",
                                             "SET threads=1",

                                             "CALL pragma_version()",
                                             "EXPLAIN SELECT 1",
                                             "BEGIN",
                                             "LOAD httpfs",
                                             "SELECT 1; SELECT 2",
                                             "SELECT 1; DROP TABLE t",
                                             "",
                                             "   ",
                                             "-- nothing",
                                             "SELECT $1",
                                             "SELECT a FROM t WHERE a = ?",
                                             "VACUUM",
                                             "CHECKPOINT",
                                             "PREPARE p AS SELECT 1"};
    struct kit *kit = *state;
    struct duck_statement *statement;
    kit_write(kit, "a.csv", "id\n1\n");
    struct duck *d = open_for(kit, "a.csv", 0);
    kit_ok(duck_run(d, "a table", "CREATE TABLE t (a INTEGER)"));
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!duck_prepare(&statement, d, statements[i]))
            fail_msg("accepted: %s", statements[i]);
        assert_null(statement);
    }
    kit_ok(duck_prepare(&statement, d, "WITH x AS (SELECT a FROM t) SELECT a, a::DOUBLE FROM x;"));
    assert_int_equal(duck_statement_columns(statement), 2);
    assert_string_equal(duck_statement_name(statement, 0), "a");
    assert_int_equal(duck_statement_kind(statement, 0), DUCK_INTEGRAL);
    assert_int_equal(duck_statement_kind(statement, 1), DUCK_OTHER);
    assert_string_equal(duck_statement_type(statement, 1), "DOUBLE");
    duck_statement_free(statement);
    duck_statement_free(NULL);
    duck_close(d);
}

static void an_error_of_binding_says_where(void **state)
{
    struct kit *kit = *state;
    struct duck_statement *statement;
    kit_write(kit, "a.csv", "id\n1\n");
    struct duck *d = open_for(kit, "a.csv", 0);
    kit_ok(duck_run(d, "a table", "CREATE TABLE t (a INTEGER)"));
    kit_fails(duck_prepare(&statement, d, "SELECT a,\n b FROM t"), "SQL", "", NULL);
    assert_non_null(strstr(st_message(), "\"b\""));
    assert_int_equal(duck_error_offset(d), 11);
    kit_fails(duck_prepare(&statement, d, "SELECT a FROM FROM t"), "SQL", "", NULL);
    assert_int_equal(duck_error_offset(d), 14);
    kit_fails(duck_prepare(&statement, d, "SELECT 1; SELECT 2"), "SQL", "", NULL);
    assert_int_equal(duck_error_offset(d), DUCK_NO_OFFSET);
    duck_close(d);
}

static enum st ignore_rows(const struct duck_column *columns, size_t rows, void *ctx)
{
    (void)columns;
    (void)rows;
    (void)ctx;
    return ST_OK;
}

static void an_error_at_run_time_quotes_no_value(void **state)
{
    static const char *const selects[] = {
        "SELECT a::INT FROM t", "SELECT a::DATE FROM t", "SELECT a::BOOLEAN FROM t",
        "SELECT error('Secret ' || a) FROM t", "SELECT strptime(a, '%Y') FROM t"};
    struct kit *kit = *state;
    struct duck_statement *statement;
    kit_write(kit, "a.csv", "id\n1\n");
    struct duck *d = open_for(kit, "a.csv", 0);
    kit_ok(duck_run(d, "a table", "CREATE TABLE t AS SELECT 'Secret' AS a"));
    for (size_t i = 0; i < sizeof selects / sizeof *selects; i++) {
        kit_ok(duck_prepare(&statement, d, selects[i]));
        kit_fails(duck_each(statement, ignore_rows, NULL), "SQL_RUNTIME", "", "Secret");
        duck_statement_free(statement);
    }
    duck_close(d);
}

/* The same files give the same version everywhere. */
static void times_are_in_UTC_wherever_the_machine_is(void **state)
{
    struct kit *kit = *state;
    struct buf text;
    size_t rows, columns;
    kit_write(kit, "a.csv", "id\n1\n");
    buf_init(&text, 1000);
    struct duck *d = open_for(kit, "a.csv", 0);
    kit_ok(duck_text(&text, &rows, &columns, d, "a time",
                     "SELECT '2020-01-02 10:00:00+00'::TIMESTAMPTZ::VARCHAR"));
    duck_close(d);
    assert_int_equal(rows, 1);
    assert_string_equal(text.data, "2020-01-02 10:00:00+00");
    buf_release(&text);
}

struct totals {
    pthread_mutex_t lock;
    size_t rows, nulls;
    int64_t sum;
    unsigned refuse_after; /* chunks; 0: never */
};

static enum st add_rows(const struct duck_column *columns, size_t rows, void *ctx)
{
    struct totals *t = ctx;
    const struct duck_column n = columns[0], s = columns[1], constant = columns[2];
    pthread_mutex_lock(&t->lock);
    t->rows += rows;
    for (size_t i = 0; i < rows; i++) {
        char expected[40];
        int64_t number = ((const int64_t *)n.data)[i];
        struct store_text text = duck_varchar(&s, i);
        assert_int_equal(((const int64_t *)constant.data)[i], 7);
        if (duck_is_null(&n, i)) {
            t->nulls++;
            continue;
        }
        t->sum += number;
        snprintf(expected, sizeof expected, "%s%lld", number % 2 ? "long text number " : "",
                 (long long)number);
        assert_int_equal(text.len, strlen(expected));
        assert_memory_equal(text.bytes, expected, text.len);
    }
    bool refuses = t->refuse_after && !--t->refuse_after;
    pthread_mutex_unlock(&t->lock);
    return refuses ? st_fail(ST_FULL, "ENOUGH", "no more") : ST_OK;
}

static void rows_come_as_they_are_stored(void **state)
{
    struct totals t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct kit *kit = *state;
    struct duck_statement *statement;
    kit_write(kit, "a.csv", "id\n1\n");
    struct duck *d = open_for(kit, "a.csv", 0);
    kit_ok(
        duck_run(d, "a table",
                 "CREATE TABLE t AS SELECT CASE WHEN i % 3 THEN i END AS n, CASE WHEN i % 2 THEN "
                 "'long text number ' || i ELSE i::VARCHAR END AS s FROM range(10000) r(i)"));
    kit_ok(duck_prepare(&statement, d, "SELECT n, s, 7::BIGINT FROM t"));
    kit_ok(duck_each(statement, add_rows, &t));
    assert_int_equal(t.rows, 10000);
    assert_int_equal(t.nulls, 3334);
    assert_int_equal(t.sum, 49995000 - 3 * (3333 * 3334 / 2));
    /* Once more; and who takes the rows may have had enough. */
    kit_ok(duck_each(statement, add_rows, &t));
    assert_int_equal(t.rows, 20000);
    t.refuse_after = 2;
    kit_fails(duck_each(statement, add_rows, &t), "ENOUGH", "", NULL);
    duck_statement_free(statement);
    duck_close(d);
}

static void what_does_not_fit_in_memory_says_which_option_helps(void **state)
{
    struct kit *kit = *state;
    kit_write(kit, "a.csv", "id\n1\n");
    struct duck *d = open_for(kit, "a.csv", 32u << 20);
    kit_fails(duck_run(d, "a large table",
                       "CREATE TABLE t AS SELECT md5(i::VARCHAR) AS s FROM range(3000000) r(i)"),
              "OUT_OF_MEMORY", "", NULL);
    assert_string_equal(st_hint_text(), "raise --memory");
    duck_close(d);
}

static void names_and_literals_are_quoted(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    duck_add_literal(&b, "it's");
    duck_add_name(&b, "a \"b\"");
    assert_string_equal(b.data, "'it''s'\"a \"\"b\"\"\"");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(only_the_files_of_the_batch_can_be_read),
        kit_test(nothing_can_be_written_attached_or_installed),
        kit_test(the_configuration_is_locked),
        kit_test(a_definition_may_only_select),
        kit_test(an_error_of_binding_says_where),
        kit_test(an_error_at_run_time_quotes_no_value),
        kit_test(times_are_in_UTC_wherever_the_machine_is),
        kit_test(rows_come_as_they_are_stored),
        kit_test(what_does_not_fit_in_memory_says_which_option_helps),
        cmocka_unit_test(names_and_literals_are_quoted),
    };
    if (setenv("TZ", "Asia/Tokyo", 1) != 0) /* it is read once in a process */
        return 1;
    return cmocka_run_group_tests_name("ingest_duck", tests, NULL, NULL);
}
