/* A definition that is drafted has all that was found, or is none. */
#include "ingest_kit.h"
#include "json_memory_kit.h"

#include "ingest/draft.h"

/* Whichever allocation fails. */
static void without_memory_no_draft_says_less(void **state)
{
    struct kit *kit = *state;
    json_t *whole = NULL;

    kit_define(kit, "{'name':'d','sources':{'d':{'format':'csv'}},'prepare':'SELECT * FROM d',"
                    "'key':{'fields':['id']},'record':{}}");
    kit_add(kit, 0, "people.csv", "id;n\na;2\n");
    kit_ok(draft_make(&whole, &kit->task));
    for (long n = 0, failed = 1; failed; n++) {
        json_t *draft = NULL;
        json_fail_after(n);
        enum st st = draft_make(&draft, &kit->task);
        failed = json_heal();
        assert_int_equal(st, failed ? ST_NOMEM : ST_OK);
        assert_true(failed ? draft == NULL : json_equal(draft, whole));
        json_decref(draft);
    }
    json_decref(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(without_memory_no_draft_says_less),
    };
    return cmocka_run_group_tests_name("ingest_draft", tests, NULL, NULL);
}
