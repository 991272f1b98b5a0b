/* Text sources, from files to a build: what cannot be read is rejected up to a ratio and reported
 * by its place, in any number of threads. */
#include "ingest_kit.h"

#include "ingest/build.h"
#include "ingest/text_internal.h"

#define SOURCE(source)                                                                             \
    "{'name':'t','sources':{'t':{" source "}},'prepare':'SELECT id, n, colour FROM t',"            \
    "'key':{'fields':['id']},'record':{'n':'INTEGER','colour':'VARCHAR'}}"
#define CSV(more) SOURCE("'format':'csv','columns':{'n':'INTEGER'}" more)
#define NDJSON(more)                                                                               \
    SOURCE("'format':'ndjson','columns':{'id':'VARCHAR','n':'INTEGER','colour':'VARCHAR'}" more)

static enum st build(json_t **report, struct kit *kit, unsigned threads)
{
    json_t *rows;
    kit->task.threads = threads;
    enum st st = kit_build(&rows, report, kit, NULL);
    json_decref(rows);
    return st;
}

static void assert_json(const json_t *report, const char *member, const char *wanted)
{
    char *text =
        json_dumps(json_object_get(json_object_get(report, "rejects"), member), JSON_COMPACT);
    char *copy = strdup(wanted);
    assert_non_null(copy);
    kit_quotes(copy);
    assert_string_equal(text, copy);
    free(copy);
    free(text);
}

static json_int_t number(const json_t *report, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(report, "rows"), name));
}

static void assert_rows(const json_t *report, json_int_t read, json_int_t parsed,
                        json_int_t unparsable)
{
    assert_int_equal(number(report, "read"), read);
    assert_int_equal(number(report, "parsed"), parsed);
    assert_int_equal(number(report, "unparsable"), unparsable);
}

static const char bad[] = "n,id,colour\n1,a,red\nSecret,b,blue\n3,c\n4,d,red,x\n5,\xff,red\n"
                          "99999999999,f,red\n7,g,\"a\nb\"\n8.5,h,red\n";

static void records_that_cannot_be_read_are_rejected_up_to_a_ratio(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    for (unsigned threads = 1; threads <= 3; threads++) {
        kit_define(kit, CSV(",'max_reject_ratio':0.75"));
        kit_add(kit, 0, "a.csv", bad);
        kit_ok(build(&report, kit, threads));
        assert_rows(report, 8, 2, 6);
        assert_json(report, "rules",
                    "[{'rule':'CSV_SHORT_ROW','rows':1},{'rule':'CSV_LONG_ROW',"
                    "'rows':1},{'rule':'CSV_UTF8','rows':1},{'rule':'CSV_CAST',"
                    "'rows':3}]");
        assert_json(report, "places",
                    "[{'source':'t','file':'a.csv','line':3,'column':1,'rule':'CSV_CAST'},"
                    "{'source':'t','file':'a.csv','line':4,'column':3,'rule':'CSV_SHORT_ROW'},"
                    "{'source':'t','file':'a.csv','line':5,'column':4,'rule':'CSV_LONG_ROW'},"
                    "{'source':'t','file':'a.csv','line':6,'column':2,'rule':'CSV_UTF8'},"
                    "{'source':'t','file':'a.csv','line':7,'column':1,'rule':'CSV_CAST'},"
                    "{'source':'t','file':'a.csv','line':10,'column':1,'rule':'CSV_CAST'}]");
        json_decref(report);
        kit_define(kit, CSV(",'max_reject_ratio':0.74"));
        kit_add(kit, 0, "a.csv", bad);
        kit_fails(build(&report, kit, threads), "CSV_CAST", "a.csv:3:1", "Secret");
        assert_non_null(strstr(st_message(), "line 3: the column \"n\" is not an INTEGER; 6 of 8 "
                                             "records of the source t cannot be read"));
        assert_non_null(strstr(st_hint_text(), "a.csv:4:3, "));
        assert_rows(report, 8, 2, 6);
        json_decref(report);
    }
}

static void a_file_with_a_long_name_is_said_to_be_wrong_where_it_is(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    char name[200];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    kit_define(kit, CSV(""));
    kit_add(kit, 0, name, "n,id,colour\nSecret,a,red\n2,b\n");
    char place[sizeof name + 10];
    snprintf(place, sizeof place, "%s:2:1", name);
    kit_fails(build(&report, kit, 1), "CSV_CAST", place, "Secret");
    assert_non_null(strstr(st_message(), "line 2: the column \"n\" is not an INTEGER"));
    assert_non_null(strstr(st_hint_text(), "; `everline rejects` lists them all"));
    json_decref(report);
}

/* More than a piece of a file, with a fault in every hundredth record. */
static void add_large(struct kit *kit, const char *name, unsigned from, unsigned to, bool faults)
{
    struct buf text;
    buf_init(&text, 64u << 20);
    buf_addstr(&text, from ? "colour,n,id\n" : "id,n,colour\n");
    for (unsigned i = from; i < to; i++) {
        const char *n = faults && i % 100 == 99 ? "x" : "";
        if (from)
            buf_addf(&text, "\"red \"\"%u\"\"\",%u%s,\"line\n%u\"\n", i, i, n, i);
        else
            buf_addf(&text, "\"line\n%u\",%u%s,\"red \"\"%u\"\"\"\n", i, i, n, i);
    }
    kit_ok(buf_status(&text));
    kit_add(kit, 0, name, text.data);
    buf_release(&text);
}

static void threads_and_pieces_change_nothing(void **state)
{
    struct kit *kit = *state;
    unsigned char sums[3][DIGEST_BYTES];
    char path[FS_PATH_MAX];
    struct buf segment;
    for (unsigned i = 0; i < 3; i++) {
        json_t *report;
        kit_define(kit, CSV(",'max_reject_ratio':0.01"));
        add_large(kit, "a.csv", 0, 90000, true);
        add_large(kit, "b.csv", 90000, 200000, true);
        kit_ok(build(&report, kit, (unsigned[]){1, 2, 5}[i]));
        assert_rows(report, 200000, 198000, 2000);
        json_t *places = json_object_get(json_object_get(report, "rejects"), "places");
        assert_int_equal(json_array_size(places), REJECTS_MAX);
        for (size_t k = 0; k < 900;
             k++) /* line breaks in quotes: a record begins in every second */
            assert_int_equal(json_integer_value(json_object_get(json_array_get(places, k), "line")),
                             2 + 2 * (99 + 100 * k));
        assert_string_equal(json_string_value(json_object_get(json_array_get(places, 999), "file")),
                            "b.csv");
        json_decref(report);
        buf_init(&segment, 256u << 20);
        kit_ok(fs_path(path, "%s/%s", kit->task.directory, TASK_SEGMENT));
        kit_ok(fs_read(&segment, path));
        digest_sha256(sums[i], segment.data, segment.len);
        buf_release(&segment);
        assert_memory_equal(sums[i], sums[0], DIGEST_BYTES);
    }
}

/* 1.4.4 reads on from the next line that looks right, and loses rows without a word. */
static void a_quote_that_does_not_end_fails_in_every_number_of_threads(void **state)
{
    struct kit *kit = *state;
    struct buf text;
    json_t *report;
    buf_init(&text, 64u << 20);
    buf_addstr(&text, "id,n,colour\n");
    for (unsigned i = 0; i < 150000; i++)
        buf_addf(&text, i == 70000 ? "%u,%u,\"red\n" : "%u,%u,red\n", i, i);
    kit_ok(buf_status(&text));
    for (unsigned threads = 1; threads <= 4; threads++) {
        kit_define(kit, CSV(",'max_reject_ratio':1"));
        kit_add(kit, 0, "a.csv", text.data);
        kit_fails(build(&report, kit, threads), "CSV_RECORD_TOO_LONG", "a.csv:70002", NULL);
        json_decref(report);
        kit_define(kit, CSV(",'max_reject_ratio':1"));
        kit_add(kit, 0, "b.csv", "id,n,colour\n1,1,red\n2,2,\"red\n3,3,red\n");
        kit_fails(build(&report, kit, threads), "CSV_QUOTE", "b.csv:3", NULL);
        json_decref(report);
    }
    buf_release(&text);
}

static void a_file_without_a_header_line_has_the_names_of_its_source(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    kit_define(kit, SOURCE("'format':'csv','delimiter':'|','quote':'','null':'NULL',"
                           "'header':false,'names':['id','n','colour'],'columns':{'n':'INTEGER'}"));
    kit_ok(build_check(&kit->task));
    kit_add(kit, 0, "a.csv", "1|5|\"red\n2|NULL|\n3|x|blue\n");
    kit_fails(build(&report, kit, 1), "CSV_CAST", "a.csv:3:2", NULL);
    json_decref(report);
    kit_add(kit, 0, "b.csv", "");
    kit_fails(build(&report, kit, 1), "CSV_CAST", "a.csv:3:2", NULL);
    assert_rows(report, 3, 2, 1);
    json_decref(report);
}

/* Of such files nothing is read before the batch, but that they can be is seen. */
static void a_file_without_a_header_line_that_cannot_be_opened_is_refused(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    kit_define(kit, SOURCE("'format':'csv','header':false,'names':['id','n','colour']"));
    kit_add(kit, 0, "a.csv", "1,5,red\n");
    kit_add(kit, 0, "b.csv", "PK\3\4");
    kit_fails(build_bind(&kit->task), "COMPRESSION", "b.csv", NULL);
    kit_path(path, kit, "a.csv");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(build_bind(&kit->task), ST_CONFLICT);
    assert_string_equal(st_code(), "SOURCE_CHANGED");
}

static void ndjson_is_a_source_as_csv_is(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    kit_define(kit, NDJSON(",'max_reject_ratio':0.5"));
    kit_ok(build_check(&kit->task));
    kit_add(kit, 0, "a.ndjson",
            "{'id':'a','n':1,'colour':'red'}\n7\n\n{'n':2}\n{'id':'c','n':'3'}\n{'id':'d',");
    kit_ok(build_bind(&kit->task));
    kit_fails(build(&report, kit, 2), "NDJSON_SYNTAX", "a.ndjson:1", NULL);
    json_decref(report);
    char text[] = "{'id':'a','n':1,'colour':'red'}\n7\n\n{'id':'b','n':2e1}\n{'id':'c','n':'3'}\n"
                  "{'id':'d','more':[{}]}\n";
    kit_quotes(text);
    kit_define(kit, NDJSON(",'max_reject_ratio':0.5"));
    kit_add(kit, 0, "a.ndjson", text);
    kit_ok(build(&report, kit, 2));
    assert_rows(report, 5, 3, 2);
    assert_json(report, "places",
                "[{'source':'t','file':'a.ndjson','line':2,'column':null,'rule':'NDJSON_OBJECT'},"
                "{'source':'t','file':'a.ndjson','line':4,'column':2,'rule':'NDJSON_CAST'}]");
    json_decref(report);
    kit_define(kit, NDJSON(",'columns_complete':true,'max_reject_ratio':0.5"));
    kit_add(kit, 0, "a.ndjson", text);
    kit_fails(build(&report, kit, 1), "NDJSON_OBJECT", "a.ndjson:2", NULL);
    json_decref(report);
}

/* DuckDB's casts round, and leave offsets away. */
static void values_are_what_they_say_whatever_their_type_is_called(void **state)
{
    static const struct {
        const char *type, *good, *bad;
    } values[] = {
        {"INTEGER", "7", "1.5"},
        {"INT32", "7", "1.5"},
        {"int64", "7", "1.5"},
        {"INTEGRAL", "7.0", "1e1"},
        {"UINT8", "7", "1.5"},
        {"HUGEINT", "7", "1.5"},
        {"UHUGEINT", "7", "1.5"},
        {"DECIMAL(4,1)", "1.50", "1.55"},
        {"numeric(4, 1)", "15e-1", "1.55"},
        {"DECIMAL(4,1)", "1e-1\t", "1e-1_0"},
        {"DECIMAL", "1.005", "1.0005"},
        {"INTEGER[]", "[7, NULL]", "[7, 1.5]"},
        {"INTEGER[]", "[]", "[7, x]"},
        {"DECIMAL(4,1)[]", "[1.50, -2, NULL]", "[1.55]"},
        {"DATE[]", "[2020-02-29, NULL]", "[2020-02-29, 2020-02-30]"},
        {"DATE[]", "[2020-02-29 00:00:00]", "[2020-02-29 and more]"},
        {"DATE", "2020-02-29", "2020-02-29x"},
        {"DATE", "2020-02-29T00:00:00Z", "2020-02-29 10:00:00"},
        {"DATE", "2020-02-29\t", "2020-02-29\t1"},
        {"DATE", "2020-02-29 00:00:00 UTC", "2020-02-29 10:00:00 UTC"},
        {"DATE", "0044-03-15 (BC)", "0044-03-15(BC)"},
        {"DATE", "infinity", "2020-02-29,5"},
        {"BIGNUM", "340282366920938463463374607431768211456", "1.5"},
        {"BIGNUM", "-0", "7 "},
        {"BIGNUM", "+00", "-"},
        {"BIGNUM[]", "[7, NULL]", "[.5]"},
        {"BIGNUM[]", "[-7]", "[x]"},
        {"INTERVAL", "1 year", "9999999999 years"},
        {"INTERVAL[]", "[1 year]", "[9999999999 years]"},
        {"VARCHAR[]", "[x, NULL]", "Secret"},
        {"TIMESTAMP", "2020-01-02T10:00:00+00:00", "2020-01-02T10:00:00-08:00"},
        {"datetime", "2020-01-02 10:00:00", "2020-01-02 10:00:00+05"},
        {"TIMESTAMP_S", "2020-01-02 10:00:00", "2020-01-02 10:00:00+05"},
        {"TIMESTAMP_NS", "2020-01-02 10:00:00Z", "2020-01-02 10:00:00+05"},
        {"TIMESTAMP[]", "[2020-01-02 10:00:00Z]", "[2020-01-02 10:00:00+05]"},
        {"TIMESTAMPTZ[]", "[2020-01-02T10:00:00-08:00, infinity]",
         "[2020-01-02 10:00:00 Europe/Berlin]"},
        {"TIMESTAMPTZ", "2020-01-02T10:00:00-08:00", "2020-01-02 10:00:00 Europe/Berlin"},
    };
    enum { COUNT = sizeof values / sizeof *values };
    struct kit *kit = *state;
    struct buf columns, names, rows;
    json_t *report;
    buf_init(&columns, 4096);
    buf_init(&names, 4096);
    buf_init(&rows, 1u << 16);
    for (size_t row = 0; row <= COUNT; row++) {
        buf_addf(&rows, "\n%zu", row);
        for (size_t i = 0; i < COUNT; i++)
            buf_addf(&rows, ";%s", i + 1 == row ? values[i].bad : values[i].good);
    }
    for (size_t i = 0; i < COUNT; i++) {
        buf_addf(&columns, "%s'n%zu':'%s'", i ? "," : "", i, values[i].type);
        buf_addf(&names, ";n%zu", i);
    }
    char definition[8192], text[1u << 16];
    snprintf(definition, sizeof definition,
             "{'name':'t','sources':{'t':{'format':'csv','delimiter':';','max_reject_ratio':1,"
             "'columns':{%s}}},'prepare':'SELECT id FROM t','key':{'fields':['id']},'record':{}}",
             columns.data);
    snprintf(text, sizeof text, "id%s%s\n", names.data, rows.data);
    kit_define(kit, definition);
    kit_add(kit, 0, "a.csv", text);
    kit_ok(build(&report, kit, 1));
    assert_rows(report, COUNT + 1, 1, COUNT);
    json_t *places = json_object_get(json_object_get(report, "rejects"), "places");
    for (size_t i = 0; i < COUNT; i++) {
        json_t *place = json_array_get(places, i);
        assert_string_equal(json_string_value(json_object_get(place, "rule")), "CSV_CAST");
        assert_int_equal(json_integer_value(json_object_get(place, "line")), i + 3);
        assert_int_equal(json_integer_value(json_object_get(place, "column")), i + 2);
    }
    json_decref(report);
    buf_release(&columns);
    buf_release(&names);
    buf_release(&rows);
}

static void a_nested_value_becomes_the_list_that_is_declared(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    char text[] = "{'id':'a','tags':['x','y, z'],'sums':[1,2]}\n{'id':'b','tags':[],'sums':null}\n"
                  "{'id':'c','tags':'no','sums':[1]}\n{'id':'d','tags':['x'],'sums':['no']}\n"
                  "{'id':'e','sums':[null, '-3', 4]}\n{'id':'f','sums':[1, 1.5]}\n";
    kit_quotes(text);
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'ndjson','max_reject_ratio':0.5,"
                    "'columns':{'id':'VARCHAR','tags':'VARCHAR[]','sums':'INTEGER[]'}}},"
                    "'prepare':'SELECT id, tags, sums, tags[2] AS second FROM t',"
                    "'key':{'fields':['id']},'record':{'tags':'VARCHAR[]','sums':'INTEGER[]',"
                    "'second':'VARCHAR'},'checks':[{'expect':'id <> `a` OR second = `y, z`'}]}");
    kit_add(kit, 0, "a.ndjson", text);
    kit_ok(build(&report, kit, 1));
    assert_rows(report, 6, 3, 3);
    assert_json(report, "places",
                "[{'source':'t','file':'a.ndjson','line':3,'column':2,'rule':'NDJSON_CAST'},"
                "{'source':'t','file':'a.ndjson','line':4,'column':3,'rule':'NDJSON_CAST'},"
                "{'source':'t','file':'a.ndjson','line':6,'column':3,'rule':'NDJSON_CAST'}]");
    json_decref(report);
}

/* DuckDB reads 12345678901234567.89 in JSON as a DOUBLE. */
static void elements_of_a_list_are_what_is_written(void **state)
{
    struct kit *kit = *state;
    json_t *report;
    char text[] = "{'id':'a','texts':[1.10, true,null , 'x\\'y', {'n': ['\\\\', 1e400]}, []],"
                  "'sums':[12345678901234567.89, '-1', null]}\n"
                  "{'id':'b','texts':[ ],'sums':[1.005]}\n{'id':'c','sums':[1e-3]}\n"
                  "{'id':'d','texts':{}}\n{'id':'e','texts':'[1]'}\n{'id':'f','texts':[1,]}\n"
                  "{'id':'g','texts':[1\n";
    kit_quotes(text);
    kit_define(
        kit, "{'name':'t','sources':{'t':{'format':'ndjson','max_reject_ratio':0.9,"
             "'columns':{'id':'VARCHAR','texts':'VARCHAR[]','sums':'DECIMAL(19,2)[]'}}},"
             "'prepare':'SELECT * FROM t','key':{'fields':['id']},'record':{},'checks':["
             "{'name':'texts','expect':'texts = [`1.10`, `true`, NULL, `x\\\"y`, "
             "`{\\\"n\\\": [\\\"\\\\\\\\\\\", 1e400]}`, `[]`]'},"
             "{'name':'sums','expect':'sums::VARCHAR = `[12345678901234567.89, -1.00, NULL]`'}]}");
    kit_add(kit, 0, "a.ndjson", text);
    kit_ok(build(&report, kit, 1));
    assert_rows(report, 7, 1, 6);
    json_decref(report);
}

static void sql_of_a_definition_cannot_read_what_is_fed(void **state)
{
    static const char *const tails[] = {", \\\"#read\\\"()", "WHERE \\\"#keep\\\"(1, 2)",
                                        "WHERE \\\"#shaped\\\"(id, 1)"};
    static const char *const places[] = {"/prepare, line 1, column 31",
                                         "/prepare, line 1, column 35",
                                         "/prepare, line 1, column 35"};
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char text[1000];
        snprintf(text, sizeof text,
                 "{'name':'t','sources':{'t':{'format':'ndjson','columns':{'id':'VARCHAR',"
                 "'n':'INTEGER'}}},'prepare':'SELECT id, n, colour FROM t %s','key':"
                 "{'fields':['id']},'record':{'n':'INTEGER'}}",
                 tails[i]);
        kit_define(kit, text);
        kit_fails(build_check(&kit->task), "SQL", places[i], NULL);
    }
}

/* A source of one record, and the database that reads it. */
static struct source_text *open_text(struct duck **d, struct kit *kit)
{
    struct source_text *t = NULL;
    kit_define(kit, CSV(""));
    kit_add(kit, 0, "a.csv", "id,n,colour\na,1,red\n");
    char *files[] = {kit->task.sources[0].files[0].path};
    kit_ok(duck_open(d, &(struct duck_options){0, 1, files, 1}));
    kit_ok(source_bind(*d, &kit->task));
    kit_ok(source_text_open(&t, *d, &kit->task.definition->sources[0], &kit->task.sources[0], 0,
                            NULL));
    return t;
}

/* Within a tick of the clock a file can change and keep its stamp. */
static void a_header_that_changed_is_refused_by_every_reading(void **state)
{
    struct kit *kit = *state;
    struct task now = {0};
    struct duck *d = NULL;
    char path[FS_PATH_MAX];
    struct source_text *t = open_text(&d, kit);
    kit_write(kit, "a.csv", "id,x,colour\na,1,red\n");
    kit_path(path, kit, "a.csv");
    kit_ok(task_add_file(&now, 0, path, NULL));
    kit->task.sources[0].files[0].stamp = now.sources[0].files[0].stamp;
    for (int i = 0; i < 2; i++) {
        void *reading = NULL, *worker = NULL;
        size_t count;
        kit_ok(text_reading_begin(&reading, t));
        kit_ok(text_worker_open(&worker, reading));
        assert_int_equal(text_worker_fill(&count, NULL, worker), ST_CONFLICT);
        assert_string_equal(st_code(), "SOURCE_CHANGED");
        text_worker_close(worker);
        text_reading_end(reading);
    }
    source_text_close(t);
    duck_close(d);
    task_release(&now);
}

static long allocations, failing = -1; /* how many there were, and which one fails */

static bool must_fail(void)
{
    return allocations++ == failing;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __real_calloc(count, size);
}

/* The database ends what it was given, also when that failed. */
static void without_memory_a_reading_or_worker_is_none(void **state)
{
    struct kit *kit = *state;
    void *reading = NULL, *worker = NULL;
    struct duck *d = NULL;
    struct source_text *t = open_text(&d, kit);
    for (failing = 0; !reading; failing++) {
        allocations = 0;
        enum st st = text_reading_begin(&reading, t);
        assert_int_equal(st, reading ? ST_OK : ST_NOMEM);
    }
    assert_int_equal(failing, allocations + 1);
    for (failing = 0; !worker; failing++) {
        allocations = 0;
        enum st st = text_worker_open(&worker, reading);
        assert_int_equal(st, worker ? ST_OK : ST_NOMEM);
    }
    assert_int_equal(failing, allocations + 1);
    failing = -1;
    text_worker_close(worker);
    text_reading_end(reading);
    source_text_close(t);
    duck_close(d);
}

/* DuckDB puts away what a query used on whichever of its threads comes last. */
static void a_reading_can_end_when_its_source_is_closed(void **state)
{
    struct kit *kit = *state;
    void *reading = NULL, *worker = NULL;
    struct duck *d = NULL;
    struct source_text *t = open_text(&d, kit);
    kit_ok(text_reading_begin(&reading, t));
    kit_ok(text_worker_open(&worker, reading));
    source_text_close(t);
    text_worker_close(worker);
    text_reading_end(reading);
    duck_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(records_that_cannot_be_read_are_rejected_up_to_a_ratio),
        kit_test(a_file_with_a_long_name_is_said_to_be_wrong_where_it_is),
        kit_test(threads_and_pieces_change_nothing),
        kit_test(a_quote_that_does_not_end_fails_in_every_number_of_threads),
        kit_test(a_file_without_a_header_line_has_the_names_of_its_source),
        kit_test(a_file_without_a_header_line_that_cannot_be_opened_is_refused),
        kit_test(ndjson_is_a_source_as_csv_is),
        kit_test(values_are_what_they_say_whatever_their_type_is_called),
        kit_test(a_nested_value_becomes_the_list_that_is_declared),
        kit_test(elements_of_a_list_are_what_is_written),
        kit_test(sql_of_a_definition_cannot_read_what_is_fed),
        kit_test(a_header_that_changed_is_refused_by_every_reading),
        kit_test(without_memory_a_reading_or_worker_is_none),
        kit_test(a_reading_can_end_when_its_source_is_closed),
    };
    return cmocka_run_group_tests_name("ingest_text", tests, NULL, NULL);
}
