#include "base/pace.h"

#include "base/clock.h"

#include <stddef.h>
#include <time.h>

void pace_begin(struct pace *p, const _Atomic bool *resting, const _Atomic bool *stopping)
{
    *p = (struct pace){.resting = resting, .stopping = stopping, .since_ns = clock_steady_ns()};
}

bool pace_rest(struct pace *p)
{
    if (!p)
        return true;
    if (atomic_load_explicit(p->stopping, memory_order_relaxed))
        return false;
    if (!atomic_load_explicit(p->resting, memory_order_relaxed))
        return true;
    uint64_t took_ns = clock_steady_ns() - p->since_ns;
    struct timespec rest = {.tv_sec = (time_t)(took_ns / 1000000000u),
                            .tv_nsec = (long)(took_ns % 1000000000u)};

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
    p->since_ns = clock_steady_ns();
    return true;
}
