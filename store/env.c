#include "store/env.h"

#include "store/guard.h"

#include <errno.h>
#include <stddef.h>

static const struct {
    int rc;
    enum st status;
} CODES[] = {
    {MDB_MAP_FULL, ST_FULL},
    {MDB_NOTFOUND, ST_NOT_FOUND},
    {MDB_CORRUPTED, ST_CORRUPT},
    {MDB_PAGE_NOTFOUND, ST_CORRUPT},
    {MDB_INVALID, ST_CORRUPT},
    {MDB_VERSION_MISMATCH, ST_CORRUPT},
    {MDB_PAGE_FULL, ST_CORRUPT},
    {MDB_CURSOR_FULL, ST_CORRUPT},
    {MDB_BAD_TXN, ST_IO},
    {MDB_PANIC, ST_IO},
    {MDB_READERS_FULL, ST_UNAVAILABLE},
    {MDB_KEYEXIST, ST_CONFLICT},
    {MDB_BAD_VALSIZE, ST_TOO_LARGE},
    {EIO, ST_IO},
};

/* LMDB says EIO of a write that was cut short, which is how a disk that fills up begins. */
#define SHORT_WRITE "the disk may be full, or failing: make room, or look at the system's log"

enum st store_env_fail(int rc, const char *what)
{
    for (size_t i = 0; i < sizeof CODES / sizeof CODES[0]; i++)
        if (CODES[i].rc == rc) {
            enum st st = st_fail(CODES[i].status, NULL, "%s: %s", what, mdb_strerror(rc));
            return rc == EIO ? st_hint(st, SHORT_WRITE) : st;
        }
    return rc > 0 ? st_fail_errno(rc, "%s", what)
                  : st_fail(ST_IO, NULL, "%s: %s", what, mdb_strerror(rc));
}

void store_env_assert(MDB_env *env, const char *text)
{
    (void)env;
    (void)text;
    guard_leave();
}
