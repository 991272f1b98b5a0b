/* Build directories: DATA/build/JOB.ATTEMPT, 0700, under the flock of their owner for as long as
 * that lives; one whose lock can be taken is dead. Any thread. */
#ifndef EVERLINE_STORE_BUILD_DIR_H
#define EVERLINE_STORE_BUILD_DIR_H

#include "base/fs.h"
#include "store/queue.h"

#include <stdbool.h>

/* Makes and locks `path`, whose name is "job-...." followed by a dot and digits; *fd holds the
 * lock. */
enum st build_dir_make(int *fd, const char *path) ST_MUST_USE;

/* The one of a leased job; *path is where. */
enum st build_dir_make_leased(char path[FS_PATH_MAX], int *fd, const struct store *s,
                              const struct store_lease *lease) ST_MUST_USE;

/* One for a build that nobody will publish; `lease` NULL: it is no job. Sweeps those of the dead.
 */
enum st build_dir_make_unpublished(char path[FS_PATH_MAX], int *fd, struct store *s,
                                   const struct store_lease *lease) ST_MUST_USE;

/* Removes it and gives up the lock; *fd -1: nothing. */
void build_dir_remove(const char *path, int *fd);

/* `parent` is DATA/build. Is one of its directories dead? */
bool build_dir_any_dead(const char *parent);

/* Removes the dead ones, each under its lock. Best effort: what stays is swept the next time. */
void build_dir_sweep(const char *parent);

#endif
