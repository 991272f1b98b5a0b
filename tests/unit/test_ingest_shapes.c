/* A text is taken for a value of a type, or is not, wherever it comes from: a column of CSV or
 * NDJSON, an element of a list there, or what prepare gives. What is taken is what DuckDB's cast
 * makes of it, and only where that is what the text says. */
#include "ingest_kit.h"

#include "ingest/rejects.h"

#define TEXTS 900 /* of one batch: all of them can be listed as rejected */
#define PARTS 6
#define CHOICES 16

/* Each text is one of each row, one after the other. */
typedef const char *parts[PARTS][CHOICES];

static parts numbers = {
    {"", "", "", "", "", " ", "\t", "\""},
    {"", "", "", "-", "+", "- "},
    {"0", "7", "42", "007", "1_0", "0x1", "200", "99999999999", "", "1", "120", "-3"},
    {"", "", ".", ".0", ".5", ".50", ".25", ".125", ".000", ".0_0", ".005", "."},
    {"", "", "", "", "", "", "e0", "e1", "E-1", "e-3", "e+2", "e", "e1_0", "e-1_0"},
    {"", "", "", "", " ", "\t", "\r\n", "\v\f", "x", "\""},
};
static parts times = {
    {"", "", "", "", " ", "\t"},
    {"2020-02-29", "2020-02-29", "2020-02-29", "2020/2/29", "0044-03-15", "-0044-03-15", "infinity",
     "2020-02-29 (BC)", "2020-02-29(BC)", "0045-03-15 (bc)", "epoch", "2021-02-29", "10000-01-01"},
    {"", "", "", " 00:00", "T00:00:00", "t00:00:00", "\t00:00:00", "  10:00:00", " T00:00", " 00",
     " 24:00:00", " 0:0:0", " 00:00:00", "T10:00"},
    {"", "", "", "", ".0", ".000000", ".5", "."},
    {"", "", "", "Z", "z", " UTC", " utc", "UTC", "+00", "-00:00", "+05", "-0530", " +00",
     "+00:00:01"},
    {"", "", "", "", " ", "\t", "\r\n", "x", "-"},
};
static parts floats = {
    {"", "-"},
    {"0", "7", "12345678901234", "900719925474", "99999999999999", "1677721", "-1", "1234567.",
     "3."},
    {"", "000", "1234", "999", "456", "001"},
    {"", ".5", ".25", ".4567", ".12345", ".0001", ".3", "00", ".1000"},
    {"", "", "", "", "e1", "e-3", "e2", "e-9"},
    {""},
};

#define SAME "TRY_CAST(v AS %1$s) = "
#define DATED "year(TRY_CAST(v AS %1$s)) BETWEEN 1 AND 9999 AND "
static const char whole[] =
    SAME "TRY_CAST(v AS DECIMAL(38,9)) AND NOT regexp_matches(v, `[a-zA-Z_]`)";
static const char decimal[] = SAME "TRY_CAST(v AS DECIMAL(38,19))";
static const char timestamp[] = DATED SAME "TRY_CAST(v AS TIMESTAMPTZ)::TIMESTAMP";
static const char date[] =
    DATED "coalesce(TRY_CAST(v AS %1$s)::TIMESTAMP = TRY_CAST(v AS TIMESTAMPTZ)::TIMESTAMP, "
          "regexp_full_match(v, `([^0-9]*[0-9]+){3}([ ][(][bB][cC][)])?[ \\t\\r\\n0TtZz:.+-]*"
          "([uU][tT][cC])?[ \\t\\r\\n]*`))";

static const struct type {
    const char *name, *oracle;
    parts *parts;
    bool listed; /* a list of it can be a field */
} types[] = {
    {"INTEGER", whole, &numbers, true},          {"UTINYINT", whole, &numbers, true},
    {"BIGINT", whole, &numbers, true},           {"DECIMAL(9,2)", decimal, &numbers, false},
    {"DECIMAL(18,6)", decimal, &numbers, false}, {"DATE", date, &times, true},
    {"TIMESTAMP", timestamp, &times, true},
};

/* ---- texts ---- */

struct texts {
    char *text[TEXTS];
    uint64_t line[TEXTS]; /* of the CSV file */
    struct buf csv, ndjson;
};

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static void add_csv(struct texts *t, size_t i, uint64_t *line)
{
    t->line[i] = *line;
    buf_addf(&t->csv, "%zu,\"", i);
    for (const char *p = t->text[i]; *p; p++) {
        buf_addf(&t->csv, *p == '"' ? "\"\"" : "%c", *p);
        *line += *p == '\n';
    }
    buf_addstr(&t->csv, "\"\n");
    ++*line;
}

static void add_ndjson(struct texts *t, size_t i)
{
    json_t *text = json_string(t->text[i]);
    buf_addf(&t->ndjson, "{\"id\":\"%zu\",\"v\":", i);
    jx_write(&t->ndjson, text, false);
    buf_addstr(&t->ndjson, ",\"l\":[");
    jx_write(&t->ndjson, text, false);
    buf_addstr(&t->ndjson, "]}\n");
    json_decref(text);
}

static void make_texts(struct texts *t, parts *choices, unsigned seed)
{
    uint64_t line = 2;
    buf_init(&t->csv, 1u << 20);
    buf_init(&t->ndjson, 1u << 20);
    buf_addstr(&t->csv, "id,v\n");
    for (size_t i = 0; i < TEXTS; i++) {
        char text[100] = "";
        for (size_t p = 0; p < PARTS; p++) {
            size_t count = 0;
            while (count < CHOICES && (*choices)[p][count])
                count++;
            strcat(text, (*choices)[p][next_random(&seed) % count]);
        }
        t->text[i] = strdup(*text ? text : " "); /* an empty one is null in CSV */
        add_csv(t, i, &line);
        add_ndjson(t, i);
    }
    kit_ok(buf_status(&t->csv));
    kit_ok(buf_status(&t->ndjson));
}

static void release_texts(struct texts *t)
{
    for (size_t i = 0; i < TEXTS; i++)
        free(t->text[i]);
    buf_release(&t->csv);
    buf_release(&t->ndjson);
}

/* ---- ways ---- */

/* What became of the texts: which were rejected, and the segment of those that were not. */
struct outcome {
    bool rejected[TEXTS];
    size_t count;
    struct buf segment;
};

static void read_segment(struct buf *out, const struct kit *kit)
{
    char path[FS_PATH_MAX];
    buf_init(out, 1u << 24);
    kit_ok(fs_path(path, "%s/%s", kit->task.directory, TASK_SEGMENT));
    kit_ok(fs_read(out, path));
}

/* `ndjson`: NULL is CSV. `column`: of the source; `field`: of the record. */
static void take(struct outcome *out, struct kit *kit, const struct texts *t, bool ndjson,
                 const char *column, const char *select, const char *field, const char *checks)
{
    char definition[4096];
    json_t *rows, *report, *place;
    size_t i;
    *out = (struct outcome){0};
    snprintf(definition, sizeof definition,
             "{'name':'t','sources':{'t':{'format':'%s','columns':{'id':'VARCHAR',%s},"
             "'max_reject_ratio':1}},'prepare':'SELECT id, %s AS v FROM t','key':{'fields':['id']},"
             "'record':{'v':'%s'},'max_reject_ratio':1,'checks':[%s]}",
             ndjson ? "ndjson" : "csv", column, select, field, checks);
    kit_define(kit, definition);
    kit_write_bytes(kit, "a.txt", ndjson ? t->ndjson.data : t->csv.data,
                    ndjson ? t->ndjson.len : t->csv.len);
    kit_add_file(kit, 0, "a.txt");
    kit_ok(kit_build(&rows, &report, kit, NULL));
    json_array_foreach(json_object_get(json_object_get(report, "rejects"), "places"), i, place)
    {
        uint64_t line = (uint64_t)json_integer_value(json_object_get(place, "line"));
        size_t row = 0;
        while (row < TEXTS && (ndjson ? row + 1 : t->line[row]) != line)
            row++;
        assert_in_range(row, 0, TEXTS - 1);
        out->rejected[row] = true;
        out->count++;
    }
    assert_int_equal(json_integer_value(json_object_get(rows, "accepted")), TEXTS - out->count);
    read_segment(&out->segment, kit);
    json_decref(rows);
    json_decref(report);
}

static void assert_same(const struct outcome *expected, const struct outcome *found,
                        const struct texts *t, const char *way, const char *type)
{
    for (size_t i = 0; i < TEXTS; i++)
        if (expected->rejected[i] != found->rejected[i])
            fail_msg("<%s> %s %s, %s", t->text[i],
                     found->rejected[i] ? "is not taken for a" : "is taken for a", type, way);
}

static void assert_same_records(const struct outcome *a, const struct outcome *b, const char *way)
{
    if (a->segment.len != b->segment.len ||
        memcmp(a->segment.data, b->segment.data, a->segment.len))
        fail_msg("%s gives other values", way);
}

static void each_way(struct kit *kit, const struct type *type, const struct texts *t)
{
    struct outcome oracle, of[5];
    static const char *const ways[] = {"in a column of CSV", "in a column of NDJSON",
                                       "in a list of NDJSON", "prepared", "in a list, prepared"};
    char column[100], list[100], field[100], oracle_sql[1000], checks[1200];
    snprintf(column, sizeof column, "'v':'%s'", type->name);
    snprintf(list, sizeof list, "'l':'%s[]'", type->name);
    snprintf(field, sizeof field, "%s[]", type->name);
    snprintf(oracle_sql, sizeof oracle_sql, type->oracle, type->name);
    snprintf(checks, sizeof checks,
             "{'name':'oracle','expect':'coalesce(%s, false)','on_fail':'reject'}", oracle_sql);
    take(&oracle, kit, t, false, "'v':'VARCHAR'", "v", "VARCHAR", checks);
    take(&of[0], kit, t, false, column, "v", type->name, "");
    take(&of[1], kit, t, true, column, "v", type->name, "");
    take(&of[2], kit, t, true, list, "l[1]", type->name, "");
    take(&of[3], kit, t, false, "'v':'VARCHAR'", "v", type->name, "");
    take(&of[4], kit, t, false, "'v':'VARCHAR'", type->listed ? "[v]" : "v",
         type->listed ? field : type->name, "");
    for (size_t i = 0; i < 5; i++) {
        assert_same(&oracle, &of[i], t, ways[i], type->name);
        if (i < 4)
            assert_same_records(&of[0], &of[i], ways[i]);
    }
    for (size_t i = 0; i < 5; i++)
        buf_release(&of[i].segment);
    buf_release(&oracle.segment);
    assert_in_range(oracle.count, TEXTS / 10, TEXTS - TEXTS / 25); /* some are taken, some not */
}

static void a_text_is_taken_for_a_value_wherever_it_comes_from(void **state)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct texts t;
        make_texts(&t, types[i].parts, (unsigned)i);
        each_way(*state, &types[i], &t);
        release_texts(&t);
    }
}

static void a_floating_number_is_the_decimal_that_it_is_written_as(void **state)
{
    static const char *const sources[] = {"FLOAT", "DOUBLE"};
    for (size_t i = 0; i < 2; i++) {
        struct texts t;
        struct outcome oracle, written, number;
        char column[32];
        snprintf(column, sizeof column, "'v':'%s'", sources[i]);
        make_texts(&t, &floats, 1);
        take(&oracle, *state, &t, false, column, "v::VARCHAR", "VARCHAR",
             "{'name':'oracle','expect':'coalesce(TRY_CAST(v AS DECIMAL(18,4)) = TRY_CAST(v AS "
             "DECIMAL(38,20)), false)','on_fail':'reject'}");
        take(&written, *state, &t, false, column, "v::VARCHAR", "DECIMAL(18,4)", "");
        take(&number, *state, &t, false, column, "v", "DECIMAL(18,4)", "");
        assert_same(&oracle, &written, &t, "as text", sources[i]);
        assert_same(&oracle, &number, &t, "as it is", sources[i]);
        assert_same_records(&written, &number, sources[i]);
        assert_in_range(oracle.count, TEXTS / 10, TEXTS - TEXTS / 10);
        buf_release(&oracle.segment);
        buf_release(&written.segment);
        buf_release(&number.segment);
        release_texts(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_text_is_taken_for_a_value_wherever_it_comes_from),
        kit_test(a_floating_number_is_the_decimal_that_it_is_written_as),
    };
    return cmocka_run_group_tests_name("ingest_shapes", tests, NULL, NULL);
}
