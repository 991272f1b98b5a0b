#include "base/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/sched/types.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

static struct sched_attr scheduling(void)
{
    struct sched_attr attr;

    assert_int_equal(syscall(SYS_sched_getattr, 0, &attr, (unsigned)sizeof attr, 0U), 0);
    return attr;
}

static void short_turns_are_the_thread_s_own_and_leave_its_share(void **state)
{
    (void)state;
    struct sched_attr before = scheduling();
    process_short_turns();
    struct sched_attr after = scheduling();
    assert_int_equal(after.sched_policy, before.sched_policy);
    assert_int_equal(after.sched_nice, before.sched_nice);
    if (!before.sched_runtime || before.sched_policy)
        skip(); /* Linux before 6.12 knows one length for all */
    assert_int_equal(after.sched_runtime, 100000);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        _exit(scheduling().sched_runtime == before.sched_runtime ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_holds_secrets_leaves_no_core),
        cmocka_unit_test(short_turns_are_the_thread_s_own_and_leave_its_share),
    };
    return cmocka_run_group_tests_name("base_process", tests, NULL, NULL);
}
