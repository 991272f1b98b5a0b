/* When the threads that offer the cores wake up, by a clock of the test's. */
#include "ingest/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MS UINT64_C(1000000)
#define ROUND_NS (500 * MS)
#define ROUNDS 50
#define LATE_NS 40000 /* a timer is that late, or a third less */

static void *(*thread_fns[3])(void *); /* who looks, and two who offer */
static void *contexts[3];
static size_t thread_count;
static long interruptions; /* between two looks */
static uint64_t now_ns, end_ns;
static unsigned woken[ROUNDS + 1], in_the_still[ROUNDS + 1];
static jmp_buf ended;

uint64_t __wrap_clock_steady_ns(void);
uint64_t __wrap_clock_steady_ns(void)
{
    return now_ns;
}

int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *at,
                           struct timespec *left);
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *at,
                           struct timespec *left)
{
    uint64_t until_ns = (uint64_t)at->tv_sec * 1000 * MS + (uint64_t)at->tv_nsec;

    assert_true(clock == CLOCK_MONOTONIC && flags == TIMER_ABSTIME && !left);
    if (until_ns > now_ns)
        now_ns = until_ns;
    now_ns += LATE_NS - now_ns / 7 % (LATE_NS / 3);
    if (now_ns >= end_ns)
        longjmp(ended, 1);
    woken[now_ns / ROUND_NS]++;
    in_the_still[now_ns / ROUND_NS] += now_ns % ROUND_NS > MS && now_ns % ROUND_NS < 20 * MS;
    return 0;
}

int __wrap_getrusage(int who, struct rusage *used);
int __wrap_getrusage(int who, struct rusage *used)
{
    static long all;

    assert_int_equal(who, RUSAGE_SELF);
    all += interruptions;
    used->ru_nivcsw = all;
    return 0;
}

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *cores);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *cores)
{
    assert_true(pid == 0 && size == sizeof *cores);
    CPU_ZERO(cores);
    CPU_SET(0, cores);
    CPU_SET(5, cores);
    return 0;
}

int __wrap_pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *cores);
int __wrap_pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *cores)
{
    (void)thread;
    assert_true(size == sizeof *cores && CPU_COUNT(cores) == 1);
    return 0;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *ctx);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *ctx)
{
    (void)attributes;
    assert_true(thread_count < 3);
    memset(thread, 0, sizeof *thread);
    thread_fns[thread_count] = fn;
    contexts[thread_count++] = ctx;
    return 1; /* there is no thread to detach */
}

void __wrap_process_short_turns(void);
void __wrap_process_short_turns(void)
{
}

/* A thread, until `rounds` of them have passed. */
static void run(size_t thread, unsigned rounds)
{
    now_ns = 3 * MS;
    end_ns = rounds * ROUND_NS;
    memset(woken, 0, sizeof woken);
    memset(in_the_still, 0, sizeof in_the_still);
    if (setjmp(ended) == 0)
        thread_fns[thread](contexts[thread]);
}

static int set_up(void **state)
{
    (void)state;
    thread_count = 0;
    turns_offer(2);
    return thread_count == 3 ? 0 : -1;
}

static void who_has_a_core_left_offers_none(void **state)
{
    (void)state;
    thread_count = 0;
    turns_offer(1);
    assert_int_equal(thread_count, 0);
}

static void nobody_who_wants_the_cores_is_offered_them(void **state)
{
    (void)state;
    interruptions = 1;
    run(0, 3);
    run(1, ROUNDS);
    for (unsigned i = 1; i < ROUNDS; i++)
        assert_in_range(woken[i], 0, 3);
}

static void who_wants_the_cores_is_offered_them_in_each_round(void **state)
{
    (void)state;
    interruptions = 100;
    run(0, 3);
    run(1, ROUNDS);
    for (unsigned i = 1; i < ROUNDS; i++) {
        assert_in_range(woken[i], 3000, 5000);
        assert_int_equal(in_the_still[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nobody_who_wants_the_cores_is_offered_them, set_up),
        cmocka_unit_test_setup(who_wants_the_cores_is_offered_them_in_each_round, set_up),
        cmocka_unit_test_setup(who_has_a_core_left_offers_none, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
