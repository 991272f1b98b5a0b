#include "base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void process_no_core(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    prctl(PR_SET_DUMPABLE, 0);
}
