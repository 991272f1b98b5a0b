#include "base/process.h"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHORT_TURN_NS 100000 /* the kernel's least */

void process_no_core(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    prctl(PR_SET_DUMPABLE, 0);
}

void process_keep_children(void)
{
    signal(SIGCHLD, SIG_DFL);
}

void process_short_turns(void)
{
    struct sched_attr attr; /* glibc 2.36 has neither it nor the calls */

    if (syscall(SYS_sched_getattr, 0, &attr, (unsigned)sizeof attr, 0U) ||
        attr.sched_policy != SCHED_NORMAL)
        return;
    attr.sched_runtime = SHORT_TURN_NS;
    attr.sched_flags |= SCHED_FLAG_RESET_ON_FORK;
    (void)syscall(SYS_sched_setattr, 0, &attr, 0U);
}
