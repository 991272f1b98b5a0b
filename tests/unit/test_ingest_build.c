/* Builds in this process: from files to a segment, or to an error that says where and quotes
 * nothing. */
#include "ingest_kit.h"

#include "ingest/build_internal.h"
#include "ingest/csv.h"
#include "ingest/duck.h"
#include "store/segment.h"

#define PEOPLE                                                                                     \
    "{'name':'people','sources':{'people':{'format':'csv','columns':{'n':'INTEGER'}}},"            \
    "'prepare':'SELECT id, name, n, day FROM people',"                                             \
    "'key':{'fields':['id','name'],'normalize':{'id':'digits','name':'person_name'},"              \
    "'protect':'hmac-sha256'},'record':{'n':'INTEGER','day':'DATE'},"                              \
    "'rollups':{'r':{'dimensions':['n'],'time':{'field':'day','bucket':'month'},"                  \
    "'metrics':{'c':'count(*)','s':'sum(n)','q':{'ratio':['count(n)','count(*)']}}}}}"
#define THINGS                                                                                     \
    "{'name':'things','sources':{'things':{'format':'csv'}},"                                      \
    "'prepare':'SELECT id, colour, price FROM things','key':{'fields':['id']},"                    \
    "'record':{'colour':'VARCHAR','price':'DOUBLE'}}"
#define PARQUET_THINGS                                                                             \
    "{'name':'things','sources':{'things':{'format':'parquet'}},"                                  \
    "'prepare':'SELECT id, colour, price FROM things','key':{'fields':['id']},"                    \
    "'record':{'colour':'VARCHAR','price':'DOUBLE'}}"

static enum st build(json_t **rows, struct kit *kit)
{
    return kit_build(rows, NULL, kit, NULL);
}

static void segment_path(char out[FS_PATH_MAX], const struct kit *kit)
{
    kit_ok(fs_path(out, "%s/%s", kit->task.directory, TASK_SEGMENT));
}

static void segment_hash(char hex[DIGEST_HEX_SIZE], const struct kit *kit)
{
    char path[FS_PATH_MAX];
    unsigned char sum[DIGEST_BYTES];
    uint64_t size;
    segment_path(path, kit);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    kit_ok(digest_file(sum, &size, fd));
    fs_close(&fd);
    digest_hex(hex, sum, sizeof sum);
}

static struct store_segment *open_segment(const struct kit *kit)
{
    char path[FS_PATH_MAX];
    struct store_segment *segment;
    segment_path(path, kit);
    kit_ok(store_segment_open(&segment, path, "dev", kit->task.definition->name, 1));
    kit_ok(store_segment_verify(segment, 0, kit->task.definition));
    return segment;
}

/* The record of a key, as JSON; "" when there is none. */
static void look_up(char out[512], const struct kit *kit, const char *key_text)
{
    const struct store_definition *def = kit->task.definition;
    struct store_segment *segment = open_segment(kit);
    struct store_hasher *hasher;
    unsigned char key[STORE_KEY_BYTES];
    char text[256];
    json_t *document = NULL;
    const void *row;
    size_t len;
    struct buf json;
    snprintf(text, sizeof text, "%s", key_text);
    kit_quotes(text);
    kit_ok(jx_parse_object(&document, text, strlen(text)));
    kit_ok(store_hasher_new(&hasher, &def->key, def->name,
                            kit->task.hmac_key.len ? &kit->task.hmac_key : NULL));
    kit_ok(store_hasher_sum_json(key, hasher, document, ""));
    buf_init(&json, 500);
    enum st st = store_segment_get(segment, 0, key, &row, &len);
    if (!st)
        kit_ok(store_row_json(&json, def->row, def->row_count, row, len));
    snprintf(out, 512, "%s", st ? "" : json.data);
    buf_release(&json);
    store_hasher_free(hasher);
    json_decref(document);
    store_segment_close(segment);
}

static void counts(const json_t *rows, const char *expected)
{
    static const char *const names[] = {"read",     "parsed",   "unparsable", "prepared",
                                        "accepted", "rejected", "duplicates"};
    char text[128] = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(json_is_integer(json_object_get(rows, names[i])));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%lld ",
                 (long long)json_integer_value(json_object_get(rows, names[i])));
    }
    assert_string_equal(text, expected);
}

/* One source with this text fails so. */
static void fails(struct kit *kit, const char *definition, const char *text, const char *code,
                  const char *place)
{
    json_t *rows = NULL;
    kit_define(kit, definition);
    kit_add(kit, 0, "a.csv", text);
    kit_fails(build(&rows, kit), code, place, "Secret");
    assert_null(rows);
}

static void a_batch_becomes_a_segment(void **state)
{
    struct kit *kit = *state;
    char out[512];
    json_t *rows = NULL;
    kit_define(kit, PEOPLE);
    kit_add(kit, 0, "a.csv",
            "id,name,n,day\n1,Ann,5,2020-01-31\n2,\"O'Neil, Bob\",,2020-02-01\n3,Cy,5,\n");
    kit_ok(build(&rows, kit));
    counts(rows, "3 3 0 3 3 0 0 ");
    look_up(out, kit, "{'id':'1','name':' ANN '}");
    assert_string_equal(out, "{\"n\":5,\"day\":\"2020-01-31\"}");
    look_up(out, kit, "{'id':'2','name':'o`neil, bob'}");
    assert_string_equal(out, "{\"n\":null,\"day\":\"2020-02-01\"}");
    look_up(out, kit, "{'id':'2','name':'Ann'}");
    assert_string_equal(out, "");
    json_decref(rows);
}

struct cell_text {
    const struct store_rollup *rollup;
    struct buf text;
};

static enum st add_cell(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                        void *ctx)
{
    struct cell_text *c = ctx;
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct store_cell cell;
    struct buf scratch;
    buf_init(&scratch, 4096);
    kit_ok(store_tuple_decode(values, &scratch, c->rollup, tuple, tuple_len));
    kit_ok(store_cell_decode(&cell, c->rollup, bytes, len));
    store_value_json(&c->text, STORE_INTEGER, &values[0]);
    buf_addch(&c->text, ' ');
    store_value_json(&c->text, STORE_DATE, &values[1]);
    for (size_t m = 0; m < c->rollup->metric_count; m++) {
        buf_addch(&c->text, ' ');
        store_metric_json(&c->text, c->rollup, &cell, m);
    }
    buf_addch(&c->text, '\n');
    buf_release(&scratch);
    return ST_OK;
}

static void rollups_count_each_record_once(void **state)
{
    struct kit *kit = *state;
    json_t *rows = NULL;
    kit_define(kit, PEOPLE);
    kit_add(kit, 0, "a.csv",
            "id,name,n,day\n1,a,5,2020-01-31\n2,b,5,2020-01-01\n2,b,5,2020-01-01\n3,c,,2020-02-02\n"
            "4,d,-7,\n5,e,5,2020-02-28\n2,b,5,2020-01-01\n");
    kit_ok(build(&rows, kit));
    counts(rows, "7 7 0 7 5 0 2 ");
    struct cell_text c = {.rollup = &kit->task.definition->rollups[0]};
    struct store_segment *segment = open_segment(kit);
    buf_init(&c.text, 4096);
    kit_ok(store_segment_each_cell(segment, 0, c.rollup, "", 0, add_cell, &c));
    assert_string_equal(c.text.data, "null \"2020-02-01\" 1 null 0\n"
                                     "-7 null 1 -7 1\n"
                                     "5 \"2020-01-01\" 2 10 1\n"
                                     "5 \"2020-02-01\" 1 5 1\n");
    buf_release(&c.text);
    store_segment_close(segment);
    json_decref(rows);
}

static void the_same_rows_give_the_same_bytes(void **state)
{
    enum { ROWS = 30000 };
    struct kit *kit = *state;
    char first[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
    json_t *rows = NULL;
    for (unsigned round = 0; round < 3; round++) {
        struct buf text;
        buf_init(&text, 16u << 20);
        buf_addstr(&text, round == 2 ? "day,n,name,id\r\n" : "id,name,n,day\n");
        for (unsigned i = 0; i < ROWS; i++) {
            unsigned n = round ? (i * 7919 + 13) % ROWS : i; /* a permutation */
            if (round == 2)
                buf_addf(&text, "2020-%02u-03,%u,\"person %u\",%u\r\n", n % 12 + 1, n % 100, n, n);
            else
                buf_addf(&text, "%u,person %u,%u,2020-%02u-03\n", n, n, n % 100, n % 12 + 1);
        }
        kit_ok(buf_status(&text));
        kit_define(kit, PEOPLE);
        kit->task.threads = round == 1 ? 2 : 1;
        kit->task.memory_bytes = round == 2 ? 128u << 20 : 1u << 30;
        kit_add(kit, 0, "a.csv", text.data);
        buf_release(&text);
        kit_ok(build(&rows, kit));
        counts(rows, "30000 30000 0 30000 30000 0 0 ");
        json_decref(rows);
        segment_hash(round ? other : first, kit);
        if (round)
            assert_string_equal(first, other);
    }
}

/* With a rollup of one cell per two records, and duplicates; spilling, where memory is short. */
static void memory_threads_and_order_leave_no_trace(void **state)
{
    static const struct {
        uint64_t memory;
        unsigned threads, step;
        bool spills;
    } rounds[] = {{1u << 30, 1, 1, false},
                  {1u << 30, 3, 7919, false},
                  {40u << 20, 1, 7919, true},
                  {40u << 20, 2, 104729, true}};
    enum { ROWS = 200000 };
    struct kit *kit = *state;
    char first[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
    for (size_t r = 0; r < sizeof rounds / sizeof *rounds; r++) {
        struct buf text;
        json_t *report = NULL, *rows = NULL;
        buf_init(&text, 64u << 20);
        buf_addstr(&text, "id,name,n,day\n");
        for (uint64_t i = 0; i < ROWS; i++) {
            uint64_t n = i * rounds[r].step % ROWS / 100 * 99 + i * rounds[r].step % 100 % 99;
            buf_addf(&text, "%llu,person of the number %llu,%llu,2020-01-03\n",
                     (unsigned long long)n, (unsigned long long)n, (unsigned long long)n / 2);
        }
        kit_ok(buf_status(&text));
        kit_define(kit, PEOPLE);
        kit->task.threads = rounds[r].threads;
        kit_add(kit, 0, "a.csv", text.data);
        buf_release(&text);
        kit->task.memory_bytes = rounds[r].memory;
        kit_ok(kit_build(&rows, &report, kit, NULL));
        counts(rows, "200000 200000 0 200000 198000 0 2000 ");
        assert_int_equal(json_integer_value(json_object_get(json_object_get(report, "used"),
                                                            "temporary_bytes")) > 0,
                         rounds[r].spills);
        json_decref(rows);
        json_decref(report);
        segment_hash(r ? other : first, kit);
        if (r)
            assert_string_equal(first, other);
    }
}

static void several_files_of_a_source_are_one_batch(void **state)
{
    struct kit *kit = *state;
    char out[512];
    json_t *rows = NULL;
    kit_define(kit, THINGS);
    kit_add(kit, 0, "a.csv", "id,colour,price\n0042,red,1.5\n");
    kit_add(kit, 0, "b.csv", "price,id,colour\n2,b,\"blue\nand green\"\n,c,\n");
    kit_add(kit, 0, "c.csv", "id,colour,price\n");
    kit_ok(build(&rows, kit));
    counts(rows, "3 3 0 3 3 0 0 ");
    look_up(out, kit, "{'id':'0042'}");
    assert_string_equal(out, "{\"id\":\"0042\",\"colour\":\"red\",\"price\":1.5}");
    look_up(out, kit, "{'id':'b'}");
    assert_string_equal(out, "{\"id\":\"b\",\"colour\":\"blue\\nand green\",\"price\":2}");
    json_decref(rows);
    kit_define(kit, THINGS);
    kit_add(kit, 0, "a.csv", "id,colour,price\n1,red,1.5\n");
    kit_add(kit, 0, "b.csv", "id,color,price\n1,red,1.5\n");
    kit_fails(build(&rows, kit), "CSV_HEADER", "b.csv:1", NULL);
}

static void a_batch_without_records_is_a_version_without_records(void **state)
{
    struct kit *kit = *state;
    json_t *rows = NULL;
    kit_define(kit, PEOPLE);
    kit_add(kit, 0, "a.csv", "id,name,n,day\n");
    kit_ok(build(&rows, kit));
    counts(rows, "0 0 0 0 0 0 0 ");
    struct store_segment *segment = open_segment(kit);
    assert_int_equal(store_segment_records(segment), 0);
    store_segment_close(segment);
    json_decref(rows);
}

static void malformed_files_fail_at_their_line(void **state)
{
    struct kit *kit = *state;
    fails(kit, THINGS, "id,colour,price\n1,red,1\n2,Secret\n", "CSV_SHORT_ROW", "a.csv:3:3");
    fails(kit, THINGS, "id,colour,price\n1,red,1,Secret\n", "CSV_LONG_ROW", "a.csv:2:4");
    fails(kit, THINGS, "id,colour,price\n1,\"Secret,1\n2,blue,1\n", "CSV_QUOTE", "a.csv:2");
    fails(kit, THINGS, "", "CSV_HEADER", "a.csv:1");
    fails(kit, THINGS, "id,colour\n1,red\n", "SQL", "/prepare, line 1, column 20");
}

static void a_declared_type_that_does_not_hold_fails_at_its_line(void **state)
{
    struct kit *kit = *state;
    fails(kit, PEOPLE, "id,name,n,day\n1,a,1,\n2,b,Secret,\n", "CSV_CAST", "a.csv:3:3");
    /* Lines of the file, not records; whatever the line ends and the byte order mark. */
    fails(kit, PEOPLE, "id,name,n,day\n1,\"a\n\nb\",1,\n2,\"b\",Secret,\n", "CSV_CAST",
          "a.csv:5:3");
    fails(kit, PEOPLE, "id,name,n,day\r\n1,\"a\r\nb\",1,\r\n2,b,Secret,\r\n", "CSV_CAST",
          "a.csv:4:3");
    fails(kit, PEOPLE,
          "\xef\xbb\xbf"
          "id,name,n,day\n1,a,1,\n2,b,Secret,\n",
          "CSV_CAST", "a.csv:3:3");
    assert_non_null(strstr(st_message(), "the column \"n\" is not an INTEGER"));
    fails(kit, PEOPLE, "id,name,n,day\n1,a,99999999999,\n", "CSV_CAST", "a.csv:2:3");
    fails(kit, PEOPLE, "id,name,day\n1,a,\n", "CSV_HEADER", "a.csv:1");
}

/* A reader that rounds, or that knows other notations, would take these. */
static void nothing_but_an_integer_is_an_integer(void **state)
{
    static const char *const bad[] = {"1.5", "2.01", "1e3", "0x1F", "1_000", "\"1.5\""};
    static const char *const good[] = {"5", "-5", "\"5\"", "007", "2.0", "5\t", ""};
    struct kit *kit = *state;
    char text[128];
    json_t *rows = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "id,name,n,day\n1,a,%s,\n", bad[i]);
        fails(kit, PEOPLE, text, "CSV_CAST", "a.csv:2:3");
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "id,name,n,day\n1,a,%s,\n", good[i]);
        kit_define(kit, PEOPLE);
        kit_add(kit, 0, "a.csv", text);
        kit_ok(build(&rows, kit));
        json_decref(rows);
    }
}

static void rejected_rows_are_counted_by_rule(void **state)
{
    struct kit *kit = *state;
    json_t *rows = NULL;
    kit_define(kit, PEOPLE);
    kit_add(kit, 0, "a.csv",
            "id,name,n,day\n1,a,1,2020-01-01\n,Secret,1,\nSecret,b,1,\n3,,1,\n4,d,1,Secret\n"
            "5,e,1,2020-02-30\n6,f,1,infinity\n7,g,1,\n");
    kit_fails(build(&rows, kit), "ROWS_REJECTED", "", "Secret");
    assert_string_equal(st_message(), "6 of 8 prepared rows were rejected: key_id 2, key_name 1, "
                                      "cast_day 3");
    fails(kit, THINGS, "id,colour,price\n1,red,nan\n2,red,1e999\n3,red,x\n", "ROWS_REJECTED", "");
    assert_string_equal(st_message(), "3 of 3 prepared rows were rejected: cast_price 3");
}

static void records_that_contradict_each_other_fail(void **state)
{
    struct kit *kit = *state;
    fails(kit, THINGS, "id,colour,price\n1,red,1\n2,blue,1\n1,green,1\n3,x,1\n3,y,1\n3,z,1\n",
          "DUPLICATE_KEY", "");
    assert_memory_equal(st_message(), "2 key(s)", 8);
    assert_true(strstr(st_message(), "id=\"1\"") || strstr(st_message(), "id=\"3\""));
    /* The same key after normalising; nothing of a protected one is said. */
    fails(kit, PEOPLE, "id,name,n,day\n1,Secret,1,\n2,b,1,\n1,SECRET,2,\n", "DUPLICATE_KEY", "");
    assert_null(strstr(st_message(), "SECRET"));
    /* Equal records with other rollup inputs contradict each other too. */
    fails(kit,
          "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':'SELECT * FROM t',"
          "'key':{'fields':['id']},'record':{},'rollups':{'r':{'dimensions':['c'],"
          "'metrics':{'n':'count(*)'}}}}",
          "id,c\n1,x\n1,y\n", "DUPLICATE_KEY", "");
}

static void no_personal_value_is_in_the_files(void **state)
{
    static const char *const values[] = {"Marmaduke", "marmaduke", "MARMADUKE", "987654321"};
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    struct buf file;
    json_t *rows = NULL;
    kit_define(kit, PEOPLE);
    kit_add(kit, 0, "a.csv", "id,name,n,day\n987-654-321,Marmaduke,5,2020-01-31\n");
    kit_ok(build(&rows, kit));
    json_decref(rows);
    segment_path(path, kit);
    buf_init(&file, 64u << 20);
    kit_ok(fs_read(&file, path));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_null(memmem(file.data, file.len, values[i], strlen(values[i])));
    buf_release(&file);
    struct fs_list list;
    kit_ok(fs_list_dir(&list, kit->task.directory));
    assert_int_equal(list.count, 1);
    fs_list_free(&list);
}

static void sql_that_fails_on_a_row_quotes_nothing(void **state)
{
    struct kit *kit = *state;
    fails(kit,
          "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':'SELECT id, c::INT AS c FROM t',"
          "'key':{'fields':['id']},'record':{'c':'INTEGER'}}",
          "id,c\n1,2\n2,Secret\n", "SQL_RUNTIME", "");
    fails(kit,
          "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':'SELECT id, c FROM t',"
          "'key':{'fields':['id']},'record':{},'rollups':{'r':{'dimensions':[],"
          "'metrics':{'n':'sum(c::INT)'}}}}",
          "id,c\n1,2\n2,Secret\n", "SQL_RUNTIME", "");
}

static void a_source_that_changes_is_refused(void **state)
{
    struct kit *kit = *state;
    json_t *rows = NULL;
    kit_define(kit, THINGS);
    kit_add(kit, 0, "a.csv", "id,colour,price\n1,red,1\n");
    kit_write(kit, "a.csv", "id,colour,price\n2,red,1\n");
    kit_fails(build(&rows, kit), "SOURCE_CHANGED", "", NULL);
    kit_fails(build_bind(&kit->task), "SOURCE_CHANGED", "", NULL);
}

static void a_header_is_bound_before_anything_is_read(void **state)
{
    struct kit *kit = *state;
    kit_define(kit, THINGS);
    kit_add(kit, 0, "a.csv", "id,colour\n1,red\n2,too,long\n");
    kit_fails(build_bind(&kit->task), "SQL", "/prepare, line 1, column 20", NULL);
    kit_define(kit, THINGS);
    kit_add(kit, 0, "a.csv", "id,colour,price\n1,red\n");
    kit_ok(build_bind(&kit->task));
    kit_define(kit, THINGS);
    kit_fails(build_bind(&kit->task), "MISSING_SOURCE", "", NULL);
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'csv','columns':{'id':'VARCHAR'},"
                    "'columns_complete':true}},'prepare':'SELECT id FROM t',"
                    "'key':{'fields':['id']},'record':{}}");
    kit_add(kit, 0, "a.csv", "id,more\n1,2\n");
    kit_fails(build_bind(&kit->task), "CSV_HEADER", "a.csv:1:2", NULL);
}

#define FLIGHTS(columns)                                                                           \
    "{'name':'f','sources':{'f':{'format':'parquet','columns':{" columns "}}},"                    \
    "'prepare':'SELECT origin AS o, count(*) AS n, min(date) AS first FROM f GROUP BY origin',"    \
    "'key':{'fields':['o']},'record':{'n':'INTEGER','first':'TIMESTAMP'}}"

static void parquet_is_read_with_its_own_types(void **state)
{
    struct kit *kit = *state;
    const char *root = getenv("EVERLINE_SOURCE_DIR");
    char path[FS_PATH_MAX], out[512];
    json_t *rows = NULL;
    kit_ok(fs_path(path, "%s/deploy/sample/flights/flights.parquet", root ? root : "."));
    if (access(path, R_OK) != 0)
        fail_msg("%s is missing: set EVERLINE_SOURCE_DIR", path);
    kit_define(kit, FLIGHTS("'delay':'BIGINT'"));
    kit_ok(task_add_file(&kit->task, 0, path, NULL));
    kit_ok(build(&rows, kit));
    assert_true(json_integer_value(json_object_get(rows, "read")) > 1000);
    assert_int_equal(json_integer_value(json_object_get(rows, "read")),
                     json_integer_value(json_object_get(rows, "parsed")));
    look_up(out, kit, "{'o':'ATL'}");
    assert_memory_equal(out, "{\"o\":\"ATL\",\"n\":", 15);
    json_decref(rows);
    kit_define(kit, FLIGHTS("'delay':'DOUBLE'"));
    kit_ok(task_add_file(&kit->task, 0, path, NULL));
    kit_fails(build_bind(&kit->task), "SOURCE_TYPE", "/sources/f/columns/delay", NULL);
    kit_define(kit, FLIGHTS("'nosuch':'DOUBLE'"));
    kit_ok(task_add_file(&kit->task, 0, path, NULL));
    kit_fails(build_bind(&kit->task), "PARQUET_COLUMNS", "/sources/f/columns/nosuch", NULL);
    kit_define(kit, FLIGHTS(""));
    kit_add(kit, 0, "a.parquet", "PAR1 this is no Parquet file PAR1");
    kit_fails(build_bind(&kit->task), "PARQUET", "a.parquet", NULL);
}

static void memory_that_is_not_enough_is_an_error(void **state)
{
    struct kit *kit = *state;
    json_t *rows = NULL;
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':"
                    "'SELECT id || i AS id, min(md5(i::VARCHAR)) AS m FROM t, "
                    "range(2000000) r(i) GROUP BY id || i',"
                    "'key':{'fields':['id']},'record':{'m':'VARCHAR'}}");
    kit->task.memory_bytes = 96u << 20;
    kit_add(kit, 0, "a.csv", "id\nx\n");
    kit_fails(build(&rows, kit), "OUT_OF_MEMORY", "", NULL);
    assert_string_equal(st_hint_text(), "raise --memory");
}

/* `ctx`: the phase before, or NULL. */
static void see_phase(const char *phase, uint64_t rows, uint64_t total, void *ctx)
{
    const char **last = ctx;
    bool begins = !*last || strcmp(*last, phase) != 0;
    *last = phase;
    if (begins && total && rows >= total)
        fail_msg("%s has just begun, and %llu of %llu rows are done", phase,
                 (unsigned long long)rows, (unsigned long long)total);
}

static void a_phase_that_begins_is_not_said_to_be_done(void **state)
{
    struct kit *kit = *state;
    const char *last = NULL;
    struct ingest_progress progress = {.fn = see_phase, .ctx = &last};
    json_t *rows;
    kit_define(kit, THINGS);
    kit_add(kit, 0, "a.csv", "id,colour,price\n1,red,2.5\n2,blue,1\n");
    kit_ok(kit_build(&rows, NULL, kit, &progress));
    assert_non_null(last);
    json_decref(rows);
}

/* ---- rows that are lost on their way ---- */

static const char *lost_in; /* the counting that gives one more; NULL: none */

enum st __real_csv_scan_finish(struct csv_scan *s);
enum st __wrap_csv_scan_finish(struct csv_scan *s);
enum st __wrap_csv_scan_finish(struct csv_scan *s)
{
    enum st st = __real_csv_scan_finish(s);
    s->records += lost_in && strcmp(lost_in, "scan") == 0;
    return st;
}

enum st __real_duck_count(int64_t *out, struct duck *d, const char *what, const char *sql);
enum st __wrap_duck_count(int64_t *out, struct duck *d, const char *what, const char *sql);
enum st __wrap_duck_count(int64_t *out, struct duck *d, const char *what, const char *sql)
{
    enum st st = __real_duck_count(out, d, what, sql);
    *out += lost_in && strcmp(lost_in, what) == 0;
    return st;
}

static void a_row_that_is_lost_on_its_way_fails_the_batch(void **state)
{
    static const struct {
        const char *counting, *says;
        bool parquet;
    } cases[] = {
        {"scan", "the source things has 3 records, but 2 were parsed and 0 refused", false},
        {"counting rows", "pages of 2 rows, but 3 were read", true},
        {"running prepare", "prepare gave 3 rows, but 2 came out of the database", false},
    };
    struct kit *kit = *state;
    json_t *rows = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kit_define(kit, cases[i].parquet ? PARQUET_THINGS : THINGS);
        if (cases[i].parquet)
            kit_write_parquet(kit, "a.file",
                              "SELECT * FROM (VALUES ('1','red',1.0::DOUBLE),('2','tea',2.5)) "
                              "t(id, colour, price)");
        else
            kit_write(kit, "a.file", "id,colour,price\n1,red,1\n2,tea,2.5\n");
        kit_add_file(kit, 0, "a.file");
        lost_in = cases[i].counting;
        enum st st = build(&rows, kit);
        lost_in = NULL;
        kit_fails(st, "LEDGER", "", NULL);
        assert_non_null(strstr(st_message(), cases[i].says));
        kit_ok(build(&rows, kit));
        counts(rows, "2 2 0 2 2 0 0 ");
        json_decref(rows);
    }
}

/* All sources together, and what came of the rows that were prepared. */
static void counts_that_do_not_add_up_fail_the_batch(void **state)
{
    static const struct build WRONG[] = {
        {.sources = {{.read = 3, .parsed = 2}}},
        {.sources = {{.read = 3, .parsed = 3, .unparsable = 1}}},
        {.collected.prepared = 3, .accepted = 2},
        {.collected = {.prepared = 3, .rejected = 1}, .accepted = 2, .duplicates = 1},
    };
    struct build right = {.sources = {{.read = 4, .parsed = 3, .unparsable = 1}},
                          .collected = {.prepared = 3, .rejected = 1},
                          .accepted = 1,
                          .duplicates = 1};
    struct kit *kit = *state;
    json_t *report;
    kit_define(kit, THINGS);
    kit_add(kit, 0, "a.csv", "id,colour,price\n");
    right.task = &kit->task;
    kit_ok(build_report(&report, &right, true));
    json_decref(report);
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        struct build b = WRONG[i];
        b.task = &kit->task;
        kit_fails(build_report(&report, &b, true), "LEDGER", "", NULL);
        json_decref(report);
        kit_ok(build_report(&report, &b, false)); /* it failed before: it says how far it came */
        json_decref(report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_batch_becomes_a_segment),
        kit_test(a_phase_that_begins_is_not_said_to_be_done),
        kit_test(rollups_count_each_record_once),
        kit_test(the_same_rows_give_the_same_bytes),
        kit_test(memory_threads_and_order_leave_no_trace),
        kit_test(several_files_of_a_source_are_one_batch),
        kit_test(a_batch_without_records_is_a_version_without_records),
        kit_test(malformed_files_fail_at_their_line),
        kit_test(a_declared_type_that_does_not_hold_fails_at_its_line),
        kit_test(nothing_but_an_integer_is_an_integer),
        kit_test(rejected_rows_are_counted_by_rule),
        kit_test(records_that_contradict_each_other_fail),
        kit_test(no_personal_value_is_in_the_files),
        kit_test(sql_that_fails_on_a_row_quotes_nothing),
        kit_test(a_source_that_changes_is_refused),
        kit_test(a_header_is_bound_before_anything_is_read),
        kit_test(parquet_is_read_with_its_own_types),
        kit_test(memory_that_is_not_enough_is_an_error),
        kit_test(a_row_that_is_lost_on_its_way_fails_the_batch),
        kit_test(counts_that_do_not_add_up_fail_the_batch),
    };
    return cmocka_run_group_tests_name("ingest_build", tests, NULL, NULL);
}
