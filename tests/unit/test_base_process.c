#include "base/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/prctl.h>
#include <sys/resource.h>

static void a_process_that_holds_secrets_leaves_no_core(void **state)
{
    struct rlimit limit;

    (void)state;
    process_no_core();
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    assert_int_equal(limit.rlim_cur, 0);
    assert_int_equal(limit.rlim_max, 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_holds_secrets_leaves_no_core),
    };
    return cmocka_run_group_tests_name("base_process", tests, NULL, NULL);
}
