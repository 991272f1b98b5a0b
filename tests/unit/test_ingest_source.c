/* Files become relations: what they may say about themselves, and what happens when they are not
 * what they were. */
#include "ingest_kit.h"

#include "ingest/build.h"
#include "ingest/parquet_pages.h"
#include "ingest/source_internal.h"

#include <sys/stat.h>

#define HEADERLESS                                                                                 \
    "Qwertz,Asdfgh Yxcvb,1971-03-04,\"4711 Main's, \"\"Qwertz\"\" Road\",Zoë\n1,2,3,4,5\n"

static const char *const cells[] = {"Qwertz", "Asdfgh", "Yxcvb", "1971", "4711", "Road", "Zoë"};

static enum st build(json_t **rows, struct kit *kit, const struct ingest_progress *progress)
{
    return kit_build(rows, NULL, kit, progress);
}

#define THINGS(format)                                                                             \
    "{'name':'t','sources':{'t':{'format':'" format "'}},"                                         \
    "'prepare':'SELECT id, colour FROM t','key':{'fields':['id']},"                                \
    "'record':{'colour':'VARCHAR'}}"

static void a_directory_named_like_a_column_is_only_a_directory(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    json_t *rows;
    kit_path(path, kit, "colour=Wrong");
    kit_ok(fs_mkdir(path, 0700));
    kit_define(kit, THINGS("csv"));
    kit_add(kit, 0, "colour=Wrong/a.csv", "id,colour\n1,red\n");
    kit_ok(build(&rows, kit, NULL));
    json_decref(rows);
    char first[FS_PATH_MAX];
    kit_ok(fs_path(first, "%s/%s", kit->task.directory, TASK_SEGMENT));

    kit_define(kit, THINGS("parquet"));
    kit_write_parquet(kit, "colour=Wrong/a.parquet", "SELECT '1' AS id, 'red' AS colour");
    kit_add_file(kit, 0, "colour=Wrong/a.parquet");
    kit_ok(build(&rows, kit, NULL));
    json_decref(rows);

    /* The same records give the same bytes; "Wrong" would not. */
    struct buf a, b;
    buf_init(&a, 1u << 24);
    buf_init(&b, 1u << 24);
    kit_ok(fs_path(path, "%s/%s", kit->task.directory, TASK_SEGMENT));
    kit_ok(fs_read(&a, first));
    kit_ok(fs_read(&b, path));
    assert_non_null(memmem(a.data, a.len, "red", 3));
    assert_null(memmem(a.data, a.len, "Wrong", 5));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    buf_release(&a);
    buf_release(&b);

    /* Nor does it add a column that the files lack. */
    kit_path(path, kit, "more=1");
    kit_ok(fs_mkdir(path, 0700));
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'parquet'}},'prepare':"
                    "'SELECT id, more FROM t','key':{'fields':['id']},"
                    "'record':{'more':'VARCHAR'}}");
    kit_write_parquet(kit, "more=1/a.parquet", "SELECT '1' AS id, 'red' AS colour");
    kit_add_file(kit, 0, "more=1/a.parquet");
    kit_fails(build_bind(&kit->task), "SQL", "/prepare, line 1, column 12", NULL);
}

static void a_path_that_names_other_files_too_is_refused(void **state)
{
    static const char *const names[] = {"a[1].csv", "a*.csv", "a?.csv"};
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    kit_write(kit, "a1.csv", "id,colour\n1,red\n");
    kit_define(kit, THINGS("csv"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kit_write(kit, names[i], "id,colour\n2,blue\n");
        kit_path(path, kit, names[i]);
        kit_fails(task_add_file(&kit->task, 0, path, NULL), "SOURCE_FILE", "", NULL);
    }
}

/* Binding a file without a header line fails, and nothing of the file is told. */
static void assert_silent(struct kit *kit, const char *prepare, const char *more)
{
    char text[4096];
    json_t *rows;
    snprintf(text, sizeof text,
             "{'name':'d','sources':{'people':{'format':'csv'}},'prepare':'%s','key':"
             "{'fields':['id'],'protect':'hmac-sha256'},'record':{'name':'VARCHAR'}%s}",
             prepare, more);
    kit_define(kit, text);
    kit_add(kit, 0, "people.csv", HEADERLESS);
    for (unsigned round = 0; round < 2; round++) {
        enum st st = round ? build(&rows, kit, NULL) : build_bind(&kit->task);
        if (!st)
            fail_msg("accepted: %s", prepare);
        for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
            if (strstr(st_message(), cells[i]) || strstr(st_hint_text(), cells[i]) ||
                strstr(st_place_text(), cells[i]))
                fail_msg("%s: %s is told: %s (%s) at %s", prepare, cells[i], st_message(),
                         st_hint_text(), st_place_text());
    }
}

static void a_file_without_a_header_line_is_not_quoted(void **state)
{
    static const char *const selects[] = {
        "SELECT id, name FROM people",
        "SELECT people.id, name FROM people",
        "SELECT p.id, p.name FROM people p",
        "SELECT * FROM people",
        "SELECT *, 1 AS id, 2 AS name FROM people UNION ALL SELECT 1, 2",
        "SELECT p.*, q.* FROM people p, people q",
        "SELECT sum(people) AS id, 1 AS name FROM people",
        "SELECT people + 1 AS id, 1 AS name FROM people",
        "SELECT people.zz.zz AS id, 1 AS name FROM people",
        "SELECT struct_extract(people, `zz`) AS id, 1 AS name FROM people",
        "SELECT COLUMNS(`zz`), 1 AS id, 1 AS name FROM people",
        "SELECT * EXCLUDE (zz), 1 AS id, 1 AS name FROM people",
        "SELECT * REPLACE (1 AS zz), 1 AS id, 1 AS name FROM people",
        "SELECT * RENAME (zz AS id), 1 AS name FROM people",
        "SELECT sum(COLUMNS(*)), 1 AS id, 1 AS name FROM people",
        "SELECT id, name FROM people JOIN people q USING (zz)",
        "SELECT id, name FROM people NATURAL JOIN (SELECT 1 AS zz)",
        "SELECT *, count(*) AS id, 1 AS name FROM people",
        "SELECT id, name FROM (UNPIVOT people ON zz INTO NAME id VALUE name)",
        "SELECT id, name FROM (UNPIVOT people ON COLUMNS(*) INTO NAME id VALUE nam)",
        "SELECT id, name FROM people WHERE people > 1",
        "SELECT unnest(people) AS id, 1 AS name FROM people",
        "SELECT id, name FROM people ORDER BY zz",
        "SELECT (SELECT people) + 1 AS id, 1 AS name FROM people",
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof selects / sizeof *selects; i++)
        assert_silent(kit, selects[i], "");
    assert_silent(kit, "SELECT *, 1 AS id, 2 AS name FROM people",
                  ",'rollups':{'r':{'dimensions':[],'metrics':{'m':'sum(zz)'}}}");
    assert_silent(kit, "SELECT *, 1 AS id, 2 AS name FROM people",
                  ",'rollups':{'r':{'dimensions':['zz'],'metrics':{'m':'count(*)'}}}");
    assert_silent(kit, "SELECT *, 1 AS id, 2 AS name FROM people",
                  ",'rollups':{'r':{'dimensions':[],'metrics':{'m':'sum(COLUMNS(*)::INT)'}}}");
}

static void what_the_definition_names_is_told_when_a_header_lacks_it(void **state)
{
    struct kit *kit = *state;
    kit_define(kit, THINGS("csv"));
    kit_add(kit, 0, "a.csv", "id,Secret\n1,red\n");
    kit_fails(build_bind(&kit->task), "SQL", "/prepare, line 1, column 12", "Secret");
    assert_string_equal(st_message(), "Referenced column \"colour\" not found in FROM clause!");
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':"
                    "'SELECT id, upper(id::INTEGER[]) AS colour FROM t','key':{'fields':['id']},"
                    "'record':{'colour':'VARCHAR'}}");
    kit_add(kit, 0, "a.csv", "id,Secret\n1,red\n");
    kit_fails(build_bind(&kit->task), "SQL", "/prepare, line 1, column 12", "Secret");
    assert_non_null(strstr(st_message(), "upper(INTEGER[])"));
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':'SELECT id FROM t',"
                    "'key':{'fields':['id']},'record':{'colour':'VARCHAR'}}");
    kit_add(kit, 0, "a.csv", "id,Secret\n1,red\n");
    kit_fails(build_bind(&kit->task), "INVALID_DEFINITION", "/record/colour", "Secret");
    assert_string_equal(st_hint_text(), "its columns: id");
}

static void a_column_that_prepare_lacks_is_told_however_many_it_has(void **state)
{
    struct kit *kit = *state;
    char columns[10000] = "", definition[sizeof columns + 500];
    for (int i = 0; i < 300; i++)
        sprintf(columns + strlen(columns), ",1 AS a_column_of_many_%d", i);
    snprintf(definition, sizeof definition,
             "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':'SELECT id%s FROM t',"
             "'key':{'fields':['id']},'record':{'colour':'VARCHAR'}}",
             columns);
    kit_define(kit, definition);
    kit_add(kit, 0, "a.csv", "id\n1\n");
    kit_fails(build_bind(&kit->task), "INVALID_DEFINITION", "/record/colour", NULL);
    assert_string_equal(st_message(), "prepare gives no column named \"colour\"");
}

static void a_faulty_header_is_named_before_any_SQL(void **state)
{
    static const char *const bad[][2] = {
        {"id,colour,ID\n1,red,2\n", "a.csv:1:3"},
        {"id,colour,\n1,red,2\n", "a.csv:1:3"},
        {"id,,colour", "a.csv:1:2"},
        {"colour,colour\n", "a.csv:1:2"},
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kit_define(kit, THINGS("csv"));
        kit_add(kit, 0, "a.csv", bad[i][0]);
        kit_fails(build_bind(&kit->task), "CSV_HEADER", bad[i][1], NULL);
    }
}

static void parquet_columns_are_those_that_are_declared(void **state)
{
    struct kit *kit = *state;
    static const char complete[] =
        "{'name':'t','sources':{'t':{'format':'parquet','columns':{'id':'VARCHAR',"
        "'colour':'VARCHAR'},'columns_complete':true}},'prepare':'SELECT id, colour FROM t',"
        "'key':{'fields':['id']},'record':{'colour':'VARCHAR'}}";
    kit_write_parquet(kit, "a.parquet", "SELECT '1' AS id, 'red' AS COLOUR");
    kit_write_parquet(kit, "b.parquet", "SELECT '2' AS id, 'red' AS colour, 7 AS Secret");
    kit_write_parquet(kit, "c.parquet", "SELECT '2' AS id");
    kit_write_parquet(kit, "d.parquet", "SELECT 'red' AS colour, '2' AS id");
    kit_define(kit, complete);
    kit_add_file(kit, 0, "a.parquet");
    kit_ok(build_bind(&kit->task));
    kit_define(kit, complete);
    kit_add_file(kit, 0, "b.parquet");
    kit_fails(build_bind(&kit->task), "PARQUET_COLUMNS", "b.parquet", "Secret");
    assert_non_null(strstr(st_message(), "column 3"));
    kit_define(kit, complete);
    kit_add_file(kit, 0, "c.parquet");
    kit_fails(build_bind(&kit->task), "PARQUET_COLUMNS", "/sources/t/columns/colour", NULL);
    /* The files of a source are alike, whatever the order of their columns. */
    for (unsigned i = 0; i < 3; i++) {
        static const char *const others[] = {"b.parquet", "c.parquet", "d.parquet"};
        kit_define(kit, THINGS("parquet"));
        kit_add_file(kit, 0, "a.parquet");
        kit_add_file(kit, 0, others[i]);
        if (i < 2)
            kit_fails(build_bind(&kit->task), "PARQUET_COLUMNS", others[i], "Secret");
        else
            kit_ok(build_bind(&kit->task));
    }
}

static void a_parquet_file_with_too_many_columns_is_not_said_to_be_damaged(void **state)
{
    struct kit *kit = *state;
    char select[900] = "WITH t AS (SELECT 1 AS a";
    for (int i = 1; i < 64; i++)
        sprintf(select + strlen(select), ",%d", i);
    strcat(select, ") SELECT * FROM t t0");
    for (int i = 1; i <= DUCK_COLUMNS_MAX / 64; i++)
        sprintf(select + strlen(select), ",t t%d", i);
    kit_write_parquet(kit, "a.parquet", select);
    kit_define(kit, THINGS("parquet"));
    kit_add_file(kit, 0, "a.parquet");
    kit_fails(build_bind(&kit->task), "TOO_LARGE", "a.parquet", NULL);
    assert_non_null(strstr(st_message(), "a.parquet: more than 2048 columns"));
    assert_non_null(strstr(st_hint_text(), "definition"));
}

/* The first one's types would be theirs, too, and 1.5 an INTEGER. */
static void parquet_files_of_a_source_have_the_same_types(void **state)
{
    static const struct {
        const char *first, *other;
        bool same;
    } pairs[] = {
        {"1::INTEGER", "1.5::DOUBLE", false},
        {"1::INTEGER", "3::BIGINT", true},
        {"1::UTINYINT", "3::INTEGER", true},
        {"1::INTEGER", "`7`", false},
        {"true", "7", false},
        {"1.5::DECIMAL(10,1)", "1.55::DECIMAL(10,2)", false},
        {"[1]", "[1.5::DOUBLE]", false},
        {"{a: 1}", "{b: 1}", false},
        {"{a: 1}", "{a: 1.5::DOUBLE}", false},
        {"MAP {`a`: 1}", "MAP {`a`: 1.5::DOUBLE}", false},
        {"MAP {`a`: [1]}", "MAP {`b`: [2]}", true},
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int k = 0; k < 2; k++) {
            char first[100], other[100];
            snprintf(first, sizeof first, "SELECT 1 AS id, %s AS colour",
                     k ? pairs[i].other : pairs[i].first);
            snprintf(other, sizeof other, "SELECT %s AS COLOUR, 2 AS id",
                     k ? pairs[i].first : pairs[i].other);
            kit_quotes(first);
            kit_quotes(other);
            kit_write_parquet(kit, "a.parquet", first);
            kit_write_parquet(kit, "b.parquet", other);
            kit_define(kit, THINGS("parquet"));
            kit_add_file(kit, 0, "a.parquet");
            kit_add_file(kit, 0, "b.parquet");
            if (pairs[i].same)
                kit_ok(build_bind(&kit->task));
            else
                kit_fails(build_bind(&kit->task), "PARQUET_COLUMNS", "b.parquet", "olour");
        }
    kit_write_parquet(kit, "a.parquet", "SELECT 1 AS id, 1::INTEGER AS colour");
    kit_write_parquet(kit, "b.parquet", "SELECT 2 AS id, 1.5::DOUBLE AS colour");
    kit_define(kit, THINGS("parquet"));
    kit_add_file(kit, 0, "a.parquet");
    kit_add_file(kit, 0, "b.parquet");
    kit_fails(build_bind(&kit->task), "PARQUET_COLUMNS", "b.parquet", "olour");
    assert_non_null(strstr(st_message(), "b.parquet (DOUBLE) has another type in "));
}

/* Does something to the kit's a.file when the rows begin to be read. */
struct meddler {
    const struct kit *kit;
    void (*meddle)(const struct kit *kit, const char *path);
    bool done;
};

static void meddle_when_preparing(const char *phase, uint64_t rows, uint64_t total, void *ctx)
{
    struct meddler *m = ctx;
    char path[FS_PATH_MAX];
    (void)rows;
    (void)total;
    if (m->done || strcmp(phase, "preparing") != 0)
        return;
    m->done = true;
    kit_path(path, m->kit, "a.file");
    m->meddle(m->kit, path);
}

static void replace(const struct kit *kit, const char *path)
{
    char other[FS_PATH_MAX];
    kit_path(other, kit, "other.file");
    assert_int_equal(rename(other, path), 0);
}

static void overwrite(const struct kit *kit, const char *path)
{
    struct buf text;
    char other[FS_PATH_MAX];
    buf_init(&text, 1u << 20);
    kit_path(other, kit, "other.file");
    kit_ok(fs_read(&text, other));
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.data, text.len), (ssize_t)text.len);
    fs_close(&fd);
    buf_release(&text);
}

static void cut_off(const struct kit *kit, const char *path)
{
    (void)kit;
    assert_int_equal(truncate(path, 10), 0);
}

static void take_away(const struct kit *kit, const char *path)
{
    (void)kit;
    assert_int_equal(unlink(path), 0);
}

static void write_thing(const struct kit *kit, const char *name, bool parquet, const char *colour)
{
    char text[100];
    snprintf(text, sizeof text, parquet ? "SELECT '1' AS id, '%s' AS colour" : "id,colour\n1,%s\n",
             colour);
    if (parquet)
        kit_write_parquet(kit, name, text);
    else
        kit_write(kit, name, text);
}

/* The clock of a file system may be coarse: what was written a moment ago and is written again has
 * the same time. */
static void make_old(const char *path)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void a_file_that_changes_is_refused(void **state)
{
    static void (*const meddles[])(const struct kit *, const char *) = {replace, overwrite, cut_off,
                                                                        take_away};
    struct kit *kit = *state;
    char path[FS_PATH_MAX];
    json_t *rows;
    kit_path(path, kit, "a.file");
    for (size_t i = 0; i < 4 * sizeof meddles / sizeof *meddles; i++) {
        struct meddler m = {kit, meddles[i / 4], false};
        struct ingest_progress progress = {.fn = meddle_when_preparing, .ctx = &m};
        bool parquet = i / 2 % 2;
        write_thing(kit, "a.file", parquet, "red");
        write_thing(kit, "other.file", parquet, "tea");
        make_old(path);
        kit_define(kit, parquet ? THINGS("parquet") : THINGS("csv"));
        kit_add_file(kit, 0, "a.file");
        if (i % 2) { /* while its rows are read, or before it is opened first */
            kit_fails(build(&rows, kit, &progress), "SOURCE_CHANGED", "", NULL);
            assert_true(m.done);
        } else {
            m.meddle(kit, path);
            kit_fails(build_bind(&kit->task), "SOURCE_CHANGED", "", NULL);
        }
    }
}

static void a_parquet_file_that_is_cut_or_damaged_is_refused(void **state)
{
    struct kit *kit = *state;
    struct buf text;
    json_t *rows;
    kit_write_parquet(kit, "a.parquet",
                      "SELECT md5(i::VARCHAR) AS id, 'red' AS colour FROM range(50000) r(i)");
    char path[FS_PATH_MAX];
    kit_path(path, kit, "a.parquet");
    buf_init(&text, 64u << 20);
    kit_ok(fs_read(&text, path));
    for (size_t eighths = 0; eighths < 8; eighths++) {
        kit_write_bytes(kit, "cut.parquet", text.data, text.len / 8 * eighths + 4);
        kit_define(kit, THINGS("parquet"));
        kit_add_file(kit, 0, "cut.parquet");
        kit_fails(build_bind(&kit->task), "PARQUET", "cut.parquet", NULL);
    }
    memset(text.data + 20, 0x5a, 1000); /* in the first page */
    kit_write_bytes(kit, "damaged.parquet", text.data, text.len);
    kit_define(kit, THINGS("parquet"));
    kit_add_file(kit, 0, "damaged.parquet");
    kit_fails(build(&rows, kit, NULL), "PARQUET", "damaged.parquet", NULL);
    buf_release(&text);
}

/* A file of tests/kit/parquet, as a.parquet of the kit; its pages' bytes are in the file. */
static void take_sample(struct buf *bytes, const struct kit *kit, const char *name)
{
    const char *root = getenv("EVERLINE_SOURCE_DIR");
    char path[FS_PATH_MAX];
    kit_ok(fs_path(path, "%s/tests/kit/parquet/%s", root ? root : ".", name));
    buf_reset(bytes);
    if (fs_read(bytes, path))
        fail_msg("%s is missing: set EVERLINE_SOURCE_DIR", path);
    kit_write_bytes(kit, "a.parquet", bytes->data, bytes->len);
}

static enum st check_pages(struct duck *d, struct kit *kit)
{
    const struct task_file *f = &kit->task.sources[0].files[0];
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    uint64_t rows;
    enum st st = parquet_pages_check(&rows, d, f, fd);
    fs_close(&fd);
    return st;
}

/* One bit of each byte of the first page, which begins at `from`, after the other. */
static void assert_every_byte_counts(struct kit *kit, struct buf *bytes, size_t from, size_t len)
{
    struct duck *d;
    char *files[] = {kit->task.sources[0].files[0].path};
    kit_ok(duck_open(&d, &(struct duck_options){0, 1, files, 1}));
    for (size_t i = from; i < from + len; i++) {
        bytes->data[i] ^= 1;
        kit_write_bytes(kit, "a.parquet", bytes->data, bytes->len);
        kit_fails(check_pages(d, kit), "PARQUET", "a.parquet", NULL);
        bytes->data[i] ^= 1;
    }
    kit_write_bytes(kit, "a.parquet", bytes->data, bytes->len);
    kit_ok(check_pages(d, kit));
    duck_close(d);
}

#define SAMPLE(prepare)                                                                            \
    "{'name':'t','sources':{'t':{'format':'parquet'}},'prepare':'" prepare                         \
    "','key':{'fields':['id']},'record':{}}"

static void without_memory_a_parquet_file_is_not_said_to_be_damaged(void **state)
{
    struct kit *kit = *state;
    struct duck *d;
    kit_write_parquet(kit, "a.parquet", "SELECT 1 AS id, repeat('red', 5000000) AS colour");
    kit_define(kit, THINGS("parquet"));
    kit_add_file(kit, 0, "a.parquet");
    const struct task_source *files = &kit->task.sources[0];
    for (unsigned i = 0; i < 2; i++) {
        kit_ok(duck_open(
            &d, &(struct duck_options){(i ? 256u : 8u) << 20, 1, &files->files[0].path, 1}));
        enum st st = source_parquet_blame(d, files, true);
        assert_int_equal(st, i ? ST_OK : ST_NOMEM);
        duck_close(d);
    }
}

static void a_page_that_is_not_what_its_checksum_says_is_found(void **state)
{
    struct kit *kit = *state;
    struct parquet_page page;
    struct buf bytes;
    json_t *rows;
    buf_init(&bytes, 1u << 20);
    take_sample(&bytes, kit, "plain-dict-uncompressed-checksum.parquet");
    kit_define(kit, SAMPLE("SELECT DISTINCT binary_field AS id FROM t"));
    kit_add_file(kit, 0, "a.parquet");
    assert_true(parquet_page_read(&page, (unsigned char *)bytes.data + 4, bytes.len - 4));
    assert_true(page.has_crc && page.bytes > 0);
    assert_every_byte_counts(kit, &bytes, 4 + page.header_bytes, (size_t)page.bytes);
    for (size_t len = 0; len < page.header_bytes; len++)
        assert_false(parquet_page_read(&page, (unsigned char *)bytes.data + 4, len));

    take_sample(&bytes, kit, "rle-dict-snappy-checksum.parquet");
    kit_define(kit, SAMPLE("SELECT DISTINCT binary_field AS id FROM t"));
    kit_add_file(kit, 0, "a.parquet");
    kit_ok(build(&rows, kit, NULL));
    json_decref(rows);

    /* Also when no value was needed, or what was wrong showed as something else. */
    static const char *const prepares[] = {SAMPLE("SELECT DISTINCT binary_field AS id FROM t"),
                                           SAMPLE("SELECT count(*)::VARCHAR AS id FROM t"),
                                           SAMPLE("SELECT NULL::VARCHAR AS id FROM t")};
    take_sample(&bytes, kit, "rle-dict-uncompressed-corrupt-checksum.parquet");
    for (size_t i = 0; i < sizeof prepares / sizeof *prepares; i++) {
        kit_define(kit, prepares[i]);
        kit_add_file(kit, 0, "a.parquet");
        kit_fails(build(&rows, kit, NULL), "PARQUET", "a.parquet", NULL);
        assert_non_null(strstr(st_message(), "checksum"));
    }
    buf_release(&bytes);
}

static void assert_sum(const json_t *rows, size_t file, const struct kit *kit, const char *name)
{
    json_t *source = json_array_get(json_object_get(rows, "sources"), 0);
    json_t *entry = json_array_get(json_object_get(source, "files"), file);
    char path[FS_PATH_MAX], hex[DIGEST_HEX_SIZE];
    unsigned char sum[DIGEST_BYTES];
    struct buf text;
    buf_init(&text, 1u << 24);
    kit_path(path, kit, name);
    kit_ok(fs_read(&text, path));
    digest_sha256(sum, text.data, text.len);
    digest_hex(hex, sum, sizeof sum);
    assert_string_equal(json_string_value(json_object_get(entry, "sha256")), hex);
    assert_string_equal(json_string_value(json_object_get(entry, "file")), name);
    assert_int_equal(json_integer_value(json_object_get(entry, "bytes")), text.len);
    buf_release(&text);
}

static void the_ledger_has_the_sha256_of_every_file(void **state)
{
    struct kit *kit = *state;
    struct buf text;
    json_t *rows;
    buf_init(&text, 8u << 20);
    buf_addstr(&text, "id,colour\n");
    for (unsigned i = 0; i < 200000; i++) /* several pieces */
        buf_addf(&text, "%u,colour %u\n", i, i);
    kit_ok(buf_status(&text));
    kit_define(kit, THINGS("csv"));
    kit_add(kit, 0, "a.csv", text.data);
    kit_add(kit, 0, "b.csv", "id,colour\nx,y\n");
    buf_release(&text);
    kit_ok(build(&rows, kit, NULL));
    assert_sum(rows, 0, kit, "a.csv");
    assert_sum(rows, 1, kit, "b.csv");
    json_decref(rows);

    kit_write_parquet(kit, "a.parquet",
                      "SELECT i::VARCHAR AS id, 'red' AS colour FROM range(1000) r(i)");
    kit_define(kit, THINGS("parquet"));
    kit_add_file(kit, 0, "a.parquet");
    kit_ok(build(&rows, kit, NULL));
    assert_sum(rows, 0, kit, "a.parquet");
    json_decref(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_directory_named_like_a_column_is_only_a_directory),
        kit_test(a_path_that_names_other_files_too_is_refused),
        kit_test(a_file_without_a_header_line_is_not_quoted),
        kit_test(what_the_definition_names_is_told_when_a_header_lacks_it),
        kit_test(a_column_that_prepare_lacks_is_told_however_many_it_has),
        kit_test(a_faulty_header_is_named_before_any_SQL),
        kit_test(parquet_columns_are_those_that_are_declared),
        kit_test(a_parquet_file_with_too_many_columns_is_not_said_to_be_damaged),
        kit_test(parquet_files_of_a_source_have_the_same_types),
        kit_test(a_file_that_changes_is_refused),
        kit_test(a_parquet_file_that_is_cut_or_damaged_is_refused),
        kit_test(without_memory_a_parquet_file_is_not_said_to_be_damaged),
        kit_test(a_page_that_is_not_what_its_checksum_says_is_found),
        kit_test(the_ledger_has_the_sha256_of_every_file),
    };
    return cmocka_run_group_tests_name("ingest_source", tests, NULL, NULL);
}
