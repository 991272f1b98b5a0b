/* Directories of work in progress below DATA/build: 0700, locked by their owner, swept when it is
 * gone. Room-private but for the dry run's. */
#ifndef EVERLINE_STORE_SCRATCH_H
#define EVERLINE_STORE_SCRATCH_H

#include "base/fs.h"
#include "store/store.h"

/* Makes and locks `path`, whose name is "job-...." followed by a dot and digits; *fd holds the
 * lock.
 */
enum st scratch_make(int *fd, const char *path) ST_MUST_USE;
/* Directories whose owner is gone, each under its lock. Best effort: what stays is swept the next
 * time. */
void scratch_sweep(const struct store *s);

/* A directory for a build that nobody will publish. */
enum st store_scratch_open(char path[FS_PATH_MAX], int *fd, struct store *s) ST_MUST_USE;
/* Removes it and gives up the lock; *fd -1: nothing. */
void store_scratch_close(const char *path, int *fd);

#endif
