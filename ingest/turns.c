/* Linux looks whose turn it is when a thread wakes up, and else at each tick, every 1 to 10 ms. A
 * thread that wakes up again a moment after it had its share is to wait for others to have theirs,
 * and waits for the tick, also if those are niced and had it a moment later: lookups beside a batch
 * waited for whole ticks.
 *
 * So on each core a thread of this process wakes up every PERIOD_NS and sleeps again: the kernel
 * has looked. That costs 2 to 20 % of the core (a timer of a virtual machine is dear), hence it is
 * only done while somebody else wants the cores. In each round all these threads are still for a
 * moment, the same by the clock: who then interrupts this process is somebody else.
 */
#include "ingest/turns.h"

#include "base/clock.h"
#include "base/process.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#define PERIOD_NS UINT64_C(100000)
#define ROUND_NS UINT64_C(500000000)
#define STILL_NS UINT64_C(22000000)
#define LOOK_NS UINT64_C(20000000)
#define OTHERS 10 /* interruptions within LOOK_NS; one is who looks */

static _Atomic bool wanted; /* the cores, by somebody else */

static void sleep_until(uint64_t ns)
{
    const struct timespec at = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static long interrupted(void)
{
    struct rusage used;

    return getrusage(RUSAGE_SELF, &used) == 0 ? used.ru_nivcsw : 0;
}

static void offer_until(uint64_t end_ns)
{
    for (uint64_t ns; (ns = clock_steady_ns() + PERIOD_NS) < end_ns;)
        sleep_until(ns);
}

static uint64_t this_round(void)
{
    return clock_steady_ns() / ROUND_NS * ROUND_NS;
}

static void *look(void *ctx)
{
    prctl(PR_SET_NAME, "looks");
    for (;;) {
        uint64_t start_ns = this_round() + ROUND_NS;
        sleep_until(start_ns);
        long before = interrupted();
        sleep_until(start_ns + LOOK_NS);
        wanted = interrupted() - before >= OTHERS;
    }
    return ctx;
}

static void *offer(void *ctx)
{
    cpu_set_t core;

    CPU_ZERO(&core);
    CPU_SET((size_t)(uintptr_t)ctx, &core);
    if (pthread_setaffinity_np(pthread_self(), sizeof core, &core))
        return NULL; /* elsewhere it would be of no use */
    prctl(PR_SET_NAME, "turns");
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    process_short_turns();
    for (;;) {
        uint64_t start_ns = this_round(); /* it has just begun: sleep ends late */
        sleep_until(start_ns + STILL_NS);
        if (wanted)
            offer_until(start_ns + ROUND_NS);
        sleep_until(start_ns + ROUND_NS);
    }
    return NULL;
}

static void begin(void *(*fn)(void *), size_t core)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, fn, (void *)(uintptr_t)core) == 0)
        pthread_detach(thread);
}

void turns_offer(unsigned threads)
{
    cpu_set_t cores;

    if (sched_getaffinity(0, sizeof cores, &cores) || threads < (unsigned)CPU_COUNT(&cores))
        return;
    begin(look, 0);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &cores))
            begin(offer, i);
}
