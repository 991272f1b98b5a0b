/* The guard around reads of mapped segments (DESIGN section 2.4): a file that was cut short, or a
 * page that the disk cannot give any more, is a signal (SIGBUS) in whoever reads it. A page that
 * has changed beneath the file can lead LMDB out of the map (SIGSEGV), or to an assertion, which
 * leaves the guard by store_env_assert. Inside a guard all of them become an error. Room-private.
 *
 * What runs inside may hold no lock and own nothing that only it would release. */
#ifndef EVERLINE_STORE_GUARD_H
#define EVERLINE_STORE_GUARD_H

#include "base/status.h"

#include <setjmp.h>
#include <stdbool.h>

struct guard {
    sigjmp_buf env;
    struct guard *outer;
};

/* if (guard_begin(&g)) { read; guard_end(&g); } else { what was read is bad }
 * Locals that the reading changes and the else looks at must be volatile. */
#define guard_begin(g) (guard_enter(g), sigsetjmp((g)->env, 0) == 0)
void guard_enter(struct guard *g);
void guard_end(struct guard *g);

/* Leaves the innermost guard as the signal would; without one, returns. */
void guard_leave(void);

/* Runs fn inside a guard. ST_UNAVAILABLE, code SEGMENT_UNREADABLE: it met such a page. */
enum st guard_call(enum st (*fn)(void *ctx), void *ctx) ST_MUST_USE;
enum st guard_unreadable(void);

#endif
