#include "api/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* RFC 4180: whatever a value is, it is one field. */
static void every_value_is_one_field(void **state)
{
    static const char *const COLUMNS[] = {"text", "number", "list", "absent", NULL};
    json_t *items =
        json_pack("[{s:s, s:i, s:[s, s]}, {s:s, s:i, s:[]}]", "text", "a,\"b\"\n", "number", -1,
                  "list", "x,y", "z", "text", "plain", "number", 2, "list");
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    api_csv(&out, items, COLUMNS);
    assert_int_equal(buf_status(&out), ST_OK);
    assert_string_equal(out.data, "text,number,list,absent\n"
                                  "\"a,\"\"b\"\"\n\",-1,\"x,y z\",\n"
                                  "plain,2,,\n");
    buf_release(&out);
    json_decref(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_value_is_one_field)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
