#include "store/guard.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local struct guard *innermost;
static struct sigaction before_bus, before_segv;

void guard_leave(void)
{
    struct guard *g = innermost;

    if (!g)
        return;
    innermost = g->outer;
    siglongjmp(g->env, 1);
}

/* Outside a guard the signal does what it did before we came. */
static void on_signal(int signal_number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    guard_leave();
    sigaction(signal_number, signal_number == SIGBUS ? &before_bus : &before_segv, NULL);
    raise(signal_number);
}

/* SA_NODEFER: the handler is left by a jump, which does not restore the signal mask. */
static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before_bus);
    sigaction(SIGSEGV, &action, &before_segv);
}

void guard_enter(struct guard *g)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, install);
    g->outer = innermost;
    innermost = g;
}

void guard_end(struct guard *g)
{
    innermost = g->outer;
}

enum st guard_unreadable(void)
{
    return st_fail(ST_UNAVAILABLE, "SEGMENT_UNREADABLE",
                   "a file of this version cannot be read any more");
}

enum st guard_call(enum st (*fn)(void *ctx), void *ctx)
{
    struct guard g;
    enum st st;

    if (!guard_begin(&g))
        return guard_unreadable();
    st = fn(ctx);
    guard_end(&g);
    return st;
}
