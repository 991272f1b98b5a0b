/* The writers' lock of the catalog: a POSIX record lock on a file beside it (CATALOG-writer), taken
 * before LMDB's own writer mutex and given back after it.
 *
 * LMDB's mutex cannot be waited for with an end: who asks for it while its owner is stopped hangs
 * as long as the owner does. Every writer of ours holds this lock while it holds that mutex, so
 * that the mutex is free for whoever has the lock. The kernel gives it back when its owner ends,
 * however that ends, and says who has it. Record locks belong to the process: one catalog a
 * process, and nobody else opens the file. Room-private.
 */
#ifndef EVERLINE_STORE_CATALOG_LOCK_H
#define EVERLINE_STORE_CATALOG_LOCK_H

#include "base/status.h"

#include <signal.h>
#include <stdint.h>

struct catalog_lock {
    int fd;    /* while `open` */
    bool open; /* false in a zeroed struct */
    bool held;
    bool refused;     /* this process may not write: nobody could see that it lives */
    uint64_t wait_ms; /* how long _take waits for others */
    const volatile sig_atomic_t *stop; /* NULL, or not 0 when nobody is to be waited for any more */
};

/* ST_TIMEOUT, code CATALOG_BUSY: others have it; message and hint say who. ST_UNAVAILABLE, code
 * READ_ONLY: the disk is. */
enum st catalog_lock_take(struct catalog_lock *l, const char *catalog_path) ST_MUST_USE;
void catalog_lock_give_back(struct catalog_lock *l);
void catalog_lock_close(struct catalog_lock *l); /* accepts a zeroed struct */

#endif
