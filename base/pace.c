#include "base/pace.h"

#include "base/clock.h"

#include <stddef.h>
#include <time.h>

void pace_begin(struct pace *p, const _Atomic bool *resting)
{
    *p = (struct pace){.resting = resting, .since_ns = clock_steady_ns()};
}

void pace_rest(struct pace *p)
{
    if (!p || !atomic_load_explicit(p->resting, memory_order_relaxed))
        return;
    uint64_t took_ns = clock_steady_ns() - p->since_ns;
    struct timespec rest = {.tv_sec = (time_t)(took_ns / 1000000000u),
                            .tv_nsec = (long)(took_ns % 1000000000u)};

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
    p->since_ns = clock_steady_ns();
}
