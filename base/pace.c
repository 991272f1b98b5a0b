#include "base/pace.h"

#include "base/clock.h"

#include <stddef.h>
#include <time.h>

void pace_begin(struct pace *p, const _Atomic bool *resting, const _Atomic bool *stopping)
{
    *p = (struct pace){.resting = resting, .stopping = stopping, .since_ns = clock_steady_ns()};
}

void pace_begin_rate(struct pace *p, uint64_t bytes_per_s, const _Atomic bool *stopping)
{
    *p = (struct pace){
        .stopping = stopping, .since_ns = clock_steady_ns(), .bytes_per_s = bytes_per_s};
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

bool pace_rest_after(struct pace *p, uint64_t bytes)
{
    const struct timespec nap = {.tv_nsec = PACE_NAP_MS * 1000000};

    if (!p || !p->bytes_per_s)
        return pace_rest(p);
    double due_ns = (double)bytes / (double)p->bytes_per_s * 1e9;
    bool stopped;

    while (!(stopped = atomic_load_explicit(p->stopping, memory_order_relaxed)) &&
           (double)(clock_steady_ns() - p->since_ns) < due_ns)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
    return !stopped;
}
