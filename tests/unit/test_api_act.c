/* What the audit says an act of the command line came to. */
#include "api/act.h"
#include "auth/audit_file.h"
#include "store_kit.h"

static void the_end_of_an_act_is_what_is_known_of_it(void **state)
{
    static const struct {
        enum st st;
        const char *outcome;
    } ends[] = {{ST_OK, "done"}, {ST_CONFLICT, "refused"}, {ST_UNKNOWN_OUTCOME, "unknown"}};
    struct kit kit;
    char directory[FS_PATH_MAX], wanted[64];
    struct audit_file file = {0};
    struct audit_text line;

    (void)state;
    kit_new(&kit);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const struct audit_record record = {.event = "rollBack", .dataset = "things"};
        struct act act;
        kit_ok(act_begin(&act, kit.store, "acme", &record));
        assert_int_equal(act_end(&act, ends[i].st), ends[i].st);
    }
    kit_ok(fs_path(directory, "%s/audit/acme", kit.dir));
    kit_ok(audit_file_read(&file, directory, 1, 1));
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        for (size_t end = 0; end < 2; end++) {
            snprintf(wanted, sizeof wanted, "\"outcome\":\"%s\"", end ? ends[i].outcome : "begun");
            assert_true(audit_file_next(&line, &file));
            assert_non_null(memmem(line.bytes, line.len, wanted, strlen(wanted)));
        }
    }
    assert_false(audit_file_next(&line, &file));
    audit_file_release(&file);
    kit_free(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_an_act_is_what_is_known_of_it),
    };
    return cmocka_run_group_tests_name("api_act", tests, NULL, NULL);
}
