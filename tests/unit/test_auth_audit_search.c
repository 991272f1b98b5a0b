/* Reading the audit: what each parameter finds, and that nothing is left out without a word. */
#include "json_memory_kit.h"

#include "auth/audit_search.h"
#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define TENANT "dev"
#define START_US INT64_C(1800000000000000)

static char directory[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/everline-audit-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(directory) == ST_OK ? 0 : -1;
}

/* One chain of these lines, with their keys under an HMAC key. */
static void write_lines(const struct audit_record *records, size_t count)
{
    const struct audit_head origin = {0};
    struct audit_chain *c = NULL;
    struct digest_hmac *hmac = NULL;
    struct secret key = {0};

    assert_int_equal(secret_copy(&key, "0123456789abcdef0123456789abcdef", 32), ST_OK);
    assert_int_equal(digest_hmac_new(&hmac, &key), ST_OK);
    assert_int_equal(audit_chain_open(&c, directory, TENANT, 1, &origin, 1 << 20), ST_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(audit_chain_add(c, &records[i], hmac), ST_OK);
    assert_int_equal(audit_chain_commit(c), ST_OK);
    audit_chain_close(c);
    digest_hmac_free(hmac);
    secret_release(&key);
}

static bool sees_all(const char *dataset, void *ctx)
{
    (void)dataset, (void)ctx;
    return true;
}

static enum st go_on(void *ctx)
{
    (void)ctx;
    return ST_OK;
}

static const struct audit_query ALL = {
    .limit = 100, .max_bytes = AUDIT_SEARCH_BYTES, .sees_fn = sees_all};

static enum st search(json_t **items, const struct audit_query *query)
{
    struct audit_place place = {.at = ""};
    bool more;
    enum st st = audit_search(items, &more, &place, directory, TENANT, query, go_on, NULL);

    assert_false(!st && more);
    return st;
}

/* What a line has of a parameter. */
static const char *value_of(const json_t *line, const char *parameter)
{
    const json_t *value = json_object_get(line, parameter);

    if (strcmp(parameter, "key") == 0)
        value = json_array_get(json_object_get(line, "keys"), 0);
    return json_string_value(value);
}

/* Two lines that have nothing in common; `from` and `to` name the time of the newer one. */
static void each_parameter_finds_the_lines_that_it_is_of_and_no_other(void **state)
{
    static const unsigned char key[][AUDIT_KEY_BYTES] = {"one key", "another"}, found = 1;
    const struct audit_record records[] = {{.at_us = START_US,
                                            .event = "lookup",
                                            .dataset = "people",
                                            .outcome = "match",
                                            .subject = "ada",
                                            .token_id = "token-1",
                                            .request_id = "request-1",
                                            .keys = key[0],
                                            .found = &found,
                                            .key_count = 1,
                                            .key_id = "k1"},
                                           {.at_us = START_US + 1,
                                            .event = "lookupBatch",
                                            .dataset = "things",
                                            .outcome = "done",
                                            .subject = "li",
                                            .token_id = "token-2",
                                            .request_id = "request-2",
                                            .keys = key[1],
                                            .found = &found,
                                            .key_count = 1,
                                            .key_id = "k1"}};
    json_t *both;

    (void)state;
    write_lines(records, 2);
    assert_int_equal(search(&both, &ALL), ST_OK);
    assert_int_equal(json_array_size(both), 2);
    for (size_t i = 0; i < AUDIT_PARAMETERS; i++)
        for (size_t k = 0; k < 2; k++) {
            const char *name = audit_parameter(i);
            bool from = strcmp(name, "from") == 0, to = strcmp(name, "to") == 0;
            const json_t *line = json_array_get(both, from ? 0 : to ? 1 : k);
            const char *value =
                from || to ? value_of(json_array_get(both, 0), "at") : value_of(line, name);
            struct audit_query query = ALL;
            json_t *items;

            assert_non_null(value);
            assert_int_equal(audit_query_set(&query, i, value), ST_OK);
            assert_int_equal(search(&items, &query), ST_OK);
            if (json_array_size(items) != 1 || !json_equal(json_array_get(items, 0), line))
                fail_msg("%s=%s finds %zu lines", name, value, json_array_size(items));
            json_decref(items);
        }
    json_decref(both);
}

static void without_memory_no_line_is_left_out(void **state)
{
    struct audit_record records[20];

    (void)state;
    for (size_t i = 0; i < 20; i++)
        records[i] = (struct audit_record){.at_us = START_US + (int64_t)i, .event = "lookup"};
    write_lines(records, 20);
    for (long n = 0, failed = 1; failed; n++) { /* whichever allocation fails */
        json_t *items = NULL;
        json_fail_after(n);
        enum st st = search(&items, &ALL);
        failed = json_heal();
        assert_int_equal(st, failed ? ST_NOMEM : ST_OK);
        assert_true(failed || json_array_size(items) == 20);
        json_decref(items);
    }
}

static void a_search_that_looks_at_little_each_time_comes_to_its_end(void **state)
{
    struct audit_record records[20];
    struct audit_query query = ALL;
    struct audit_place place = {.at = ""};
    size_t pages = 0;
    bool more = true;

    (void)state;
    for (size_t i = 0; i < 20; i++)
        records[i] = (struct audit_record){.at_us = START_US + (int64_t)i, .event = "lookup"};
    records[0].event = "rollBack";
    write_lines(records, 20);
    query.event = "rollBack";
    query.max_bytes = 300; /* of lines of 150 */
    while (more && pages <= 20) {
        json_t *items = NULL;
        assert_int_equal(
            audit_search(&items, &more, &place, directory, TENANT, &query, go_on, NULL), ST_OK);
        assert_int_equal(json_array_size(items), more ? 0 : 1);
        json_decref(items);
        pages++;
    }
    assert_false(more);
    assert_true(pages > 5);
}

static enum st note_asked(void *ctx)
{
    *(bool *)ctx = true;
    return ST_OK;
}

static void files_that_are_newer_than_what_is_asked_for_are_not_read(void **state)
{
    const struct audit_head origin = {0};
    struct audit_query by_time = ALL;
    struct audit_place place = {.chain = 1, .sequence = 2};
    struct audit_chain *c = NULL;
    bool more, asked = false; /* it is every 4096 lines */
    json_t *items;

    (void)state;
    assert_int_equal(audit_chain_open(&c, directory, TENANT, 1, &origin, 1), ST_OK);
    for (int i = 0; i < 5000; i++) {
        struct audit_record r = {.at_us = START_US + i, .event = "lookup"};
        assert_int_equal(audit_chain_add(c, &r, NULL), ST_OK);
        if (i == 1)
            assert_int_equal(audit_chain_commit(c), ST_OK); /* the rest is another file */
    }
    assert_int_equal(audit_chain_commit(c), ST_OK);
    audit_chain_close(c);

    clock_format(place.at, START_US + 1);
    clock_format(by_time.to, START_US + 1);
    assert_int_equal(
        audit_search(&items, &more, &place, directory, TENANT, &ALL, note_asked, &asked), ST_OK);
    assert_int_equal(json_array_size(items), 1);
    json_decref(items);
    assert_false(asked);
    place.at[0] = '\0';
    assert_int_equal(
        audit_search(&items, &more, &place, directory, TENANT, &by_time, note_asked, &asked),
        ST_OK);
    assert_int_equal(json_array_size(items), 1);
    json_decref(items);
    assert_false(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_parameter_finds_the_lines_that_it_is_of_and_no_other,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_no_line_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_search_that_looks_at_little_each_time_comes_to_its_end,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_that_are_newer_than_what_is_asked_for_are_not_read,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
