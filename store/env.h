/* The one place where LMDB's return codes become statuses. Room-private. */
#ifndef EVERLINE_STORE_ENV_H
#define EVERLINE_STORE_ENV_H

#include "base/status.h"

#include <lmdb.h>

/* `rc` is not 0. `what` says what was being done ("opening the catalog"). MDB_MAP_FULL and ENOSPC
 * are ST_FULL, MDB_CORRUPTED and its kin ST_CORRUPT, MDB_NOTFOUND ST_NOT_FOUND, the rest ST_IO or
 * what the errno says. */
enum st store_env_fail(int rc, const char *what);

/* For mdb_env_set_assert: an assertion that fails inside a guard (store/guard.h) leaves it. */
void store_env_assert(MDB_env *env, const char *text);

#endif
