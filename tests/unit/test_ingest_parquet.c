/* The rows of a Parquet file are those of its pages, whatever its footer says. */
#include "ingest_kit.h"

#include "ingest/build.h"
#include "ingest/parquet_pages.h"

#define THINGS                                                                                     \
    "{'name':'t','sources':{'t':{'format':'parquet'}},'prepare':'SELECT id, colour FROM t',"       \
    "'key':{'fields':['id']},'record':{'colour':'VARCHAR'}}"

/* Two row groups: DuckDB's have 122,880 rows. */
#define ROWS 125000
#define SELECT_THINGS "SELECT i::VARCHAR AS id, 'red' AS colour FROM range(125000) r(i)"
/* As a footer has them, which are fields of 64 bits: 2,120, the rows of the second; all of them. */
#define OF_GROUP "\x16\x90\x21"
#define OF_FILE "\x16\x90\xa1\x0f"

static enum st build(json_t **rows, struct kit *kit)
{
    return kit_build(rows, NULL, kit, NULL);
}

static void define(struct kit *kit)
{
    kit_define(kit, THINGS);
    kit_add_file(kit, 0, "a.parquet");
}

static void read_file(struct buf *out, const struct kit *kit)
{
    char path[FS_PATH_MAX];
    kit_path(path, kit, "a.parquet");
    buf_reset(out);
    kit_ok(fs_read(out, path));
}

/* Where the footer has `number` for the `nth` time, from 0. */
static char *find(const struct buf *file, const char *number, unsigned nth)
{
    uint32_t len;
    memcpy(&len, file->data + file->len - 8, sizeof len);
    char *end = file->data + file->len - 8, *at = end - len - 1;
    do
        at = memmem(at + 1, (size_t)(end - at - 1), number, strlen(number));
    while (at && nth--);
    if (!at)
        fail_msg("the footer is not as it was expected");
    return at;
}

/* Of the footer's numbers of the second row group: its columns' values, then its own rows; of all
 * rows. */
enum { FIRST_COLUMN = 1, SECOND_COLUMN = 2, GROUP = 4, FILE_ROWS = 8 };

/* Writes the file with these one greater or less. */
static void write_wrong(const struct kit *kit, const struct buf *file, unsigned which, int by)
{
    struct buf copy;
    buf_init(&copy, 64u << 20);
    buf_add(&copy, file->data, file->len);
    kit_ok(buf_status(&copy));
    char *at[] = {find(&copy, OF_GROUP, 0), find(&copy, OF_GROUP, 1), find(&copy, OF_GROUP, 2),
                  find(&copy, OF_FILE, 0)};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (which >> i & 1)
            at[i][1] = (char)(at[i][1] + 2 * by);
    kit_write_bytes(kit, "a.parquet", copy.data, copy.len);
    buf_release(&copy);
}

static void a_footer_that_says_other_rows_than_its_pages_fails_the_batch(void **state)
{
    static const struct {
        unsigned which;
        const char *says[2]; /* one less, one more */
    } cases[] = {
        {FIRST_COLUMN | SECOND_COLUMN | GROUP | FILE_ROWS,
         {"says 2119 values of column 1, but their pages have 2120",
          "says 2121 values of column 1, but their pages have 2120"}},
        {FIRST_COLUMN,
         {"says 2119 values of column 1, but their pages have 2120",
          "says 2121 values of column 1, but their pages have 2120"}},
        {SECOND_COLUMN,
         {"says 2119 values of column 2, but their pages have 2120",
          "says 2121 values of column 2, but their pages have 2120"}},
        {GROUP,
         {"says 2119 rows, but the pages of column 1 have 2120",
          "says 2121 rows, but the pages of column 1 have 2120"}},
        {FILE_ROWS,
         {"says 124999 rows, but its pages have 125000",
          "says 125001 rows, but its pages have 125000"}},
    };
    struct kit *kit = *state;
    struct buf file;
    json_t *rows;
    buf_init(&file, 64u << 20);
    kit_write_parquet(kit, "a.parquet", SELECT_THINGS);
    read_file(&file, kit);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        bool more = i % 2;
        write_wrong(kit, &file, cases[i / 2].which, more ? 1 : -1);
        define(kit);
        kit_fails(build(&rows, kit), "PARQUET", "a.parquet", NULL);
        if (!strstr(st_message(), cases[i / 2].says[more]) ||
            (cases[i / 2].which != FILE_ROWS && !strstr(st_message(), "row group 2")))
            fail_msg("case %zu: %s", i, st_message());
        assert_true(st_hint_text()[0]);
    }
    buf_release(&file);
}

static int64_t rows_read(const json_t *rows)
{
    return json_integer_value(json_object_get(rows, "read"));
}

/* What is counted and what the footer says, of a file with these columns. */
static void rows_are_counted_by_columns_without_lists(void **state)
{
    static const char *const selects[] = {
        SELECT_THINGS,
        "SELECT [1, 2] AS l, {'a': i, 'b': [i]} AS s, i::VARCHAR AS id, 'red' AS colour FROM "
        "range(125000) r(i)",
        "SELECT NULL::VARCHAR[] AS l, [[i]] AS m, MAP {i: 'x'} AS n, {'s': {'t': i}} AS s, "
        "i::VARCHAR AS id, NULL::VARCHAR AS colour FROM range(125000) r(i)",
    };
    struct kit *kit = *state;
    json_t *rows;
    for (size_t i = 0; i < sizeof selects / sizeof *selects; i++) {
        kit_write_parquet(kit, "a.parquet", selects[i]);
        define(kit);
        kit_ok(build(&rows, kit));
        assert_int_equal(rows_read(rows), ROWS);
        json_decref(rows);
    }
    kit_define(kit, "{'name':'t','sources':{'t':{'format':'parquet'}},'prepare':"
                    "'SELECT DISTINCT l[1]::VARCHAR AS id FROM t','key':{'fields':['id']},"
                    "'record':{}}");
    /* Nothing but lists in pages of version 1: these do not say their rows. */
    kit_write_parquet(kit, "b.parquet", "SELECT [i % 10, 1] AS l FROM range(3000) r(i)");
    kit_add_file(kit, 0, "b.parquet");
    kit_ok(build(&rows, kit));
    assert_int_equal(rows_read(rows), 3000);
    json_decref(rows);
}

static enum st count_pages(uint64_t *rows, struct kit *kit)
{
    const struct task_file *f = &kit->task.sources[0].files[0];
    char *files[] = {kit->task.sources[0].files[0].path};
    struct duck *d;
    kit_ok(duck_open(&d, &(struct duck_options){0, 1, files, 1}));
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    enum st st = parquet_pages_check(rows, d, f, fd);
    fs_close(&fd);
    duck_close(d);
    return st;
}

/* Five columns, of which the last has lists: ten values in five rows. */
static void pages_of_version_2_say_their_rows(void **state)
{
    enum { LISTS = 243 };
    const char *root = getenv("EVERLINE_SOURCE_DIR");
    struct kit *kit = *state;
    struct parquet_page page;
    struct buf file;
    char path[FS_PATH_MAX];
    uint64_t rows;
    buf_init(&file, 1u << 20);
    kit_ok(fs_path(path, "%s/tests/kit/parquet/datapage_v2.snappy.parquet", root ? root : "."));
    kit_ok(fs_read(&file, path));
    kit_write_bytes(kit, "a.parquet", file.data, file.len);
    /* A dictionary is before it. */
    const unsigned char *at = (unsigned char *)file.data + LISTS;
    assert_true(parquet_page_read(&page, at, file.len - LISTS));
    assert_false(page.has_rows);
    at += page.header_bytes + (size_t)page.bytes;
    assert_true(parquet_page_read(&page, at, (size_t)((unsigned char *)file.data + file.len - at)));
    assert_int_equal(page.values, 10);
    assert_true(page.has_rows);
    assert_int_equal(page.rows, 5);
    define(kit);
    kit_ok(count_pages(&rows, kit));
    assert_int_equal(rows, 5);

    char *of_page = memmem(at, page.header_bytes, "\x15\x14\x15\x04\x15\x0a", 6);
    assert_non_null(of_page);
    of_page[5] = 0x0c;
    kit_write_bytes(kit, "a.parquet", file.data, file.len);
    define(kit);
    kit_fails(count_pages(&rows, kit), "PARQUET", "a.parquet", NULL);
    if (!strstr(st_message(), "row group 1") ||
        !strstr(st_message(), "says 5 rows, but the pages of column 5 have 6"))
        fail_msg("%s", st_message());
    buf_release(&file);
}

/* A number of 64 bits in the footer becomes another one, which takes no more bytes; `field` is what
 * stands before it. */
static void replace(struct buf *file, char field, uint64_t from, uint64_t to)
{
    char old[12] = {field}, new[12] = {field};
    size_t len = 1;
    for (from *= 2, to *= 2; from; from >>= 7, to >>= 7, len++) {
        old[len] = (char)((from & 0x7f) | 0x80);
        new[len] = (char)((to & 0x7f) | 0x80);
    }
    assert_int_equal(to, 0);
    old[len - 1] &= 0x7f;
    new[len - 1] &= 0x7f;
    memcpy(find(file, old, 0), new, len);
}

static uint64_t ask(const struct kit *kit, const char *what, unsigned column)
{
    char path[FS_PATH_MAX], sql[FS_PATH_MAX + 200];
    struct duck *d;
    int64_t number;
    kit_path(path, kit, "a.parquet");
    char *files[] = {path};
    kit_ok(duck_open(&d, &(struct duck_options){0, 1, files, 1}));
    snprintf(sql, sizeof sql, "SELECT %s FROM parquet_metadata('%s') WHERE column_id = %u", what,
             path, column);
    kit_ok(duck_count(&number, d, "asking", sql));
    duck_close(d);
    return (uint64_t)number;
}

/* Otherwise each would be read again for each chunk that has it. */
static void pages_belong_to_one_column_chunk(void **state)
{
    struct kit *kit = *state;
    struct buf file;
    uint64_t rows;
    kit_write_parquet(kit, "a.parquet",
                      "SELECT hash(i) AS a, (hash(i) % 4000000000)::UINTEGER AS b "
                      "FROM range(15000) r(i)");
    define(kit);
    kit_ok(count_pages(&rows, kit));
    assert_int_equal(rows, 15000);
    buf_init(&file, 1u << 20);
    read_file(&file, kit);
    replace(&file, 0x16, ask(kit, "total_compressed_size", 1),
            ask(kit, "total_compressed_size", 0));
    replace(&file, 0x26, ask(kit, "data_page_offset", 1), ask(kit, "data_page_offset", 0));
    kit_write_bytes(kit, "a.parquet", file.data, file.len);
    assert_int_equal(ask(kit, "data_page_offset", 1), ask(kit, "data_page_offset", 0));
    define(kit);
    kit_fails(count_pages(&rows, kit), "PARQUET", "a.parquet", NULL);
    assert_non_null(strstr(st_message(), "its pages have more bytes than the file"));
    buf_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_footer_that_says_other_rows_than_its_pages_fails_the_batch),
        kit_test(rows_are_counted_by_columns_without_lists),
        kit_test(pages_of_version_2_say_their_rows),
        kit_test(pages_belong_to_one_column_chunk),
    };
    return cmocka_run_group_tests_name("ingest_parquet", tests, NULL, NULL);
}
