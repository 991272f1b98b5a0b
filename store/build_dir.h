/* Build directories: DATA/build/JOB.ATTEMPT, under the flock of its owner for as long as that
 * lives; one whose lock can be taken is dead. Any thread. Room-private. */
#ifndef EVERLINE_STORE_BUILD_DIR_H
#define EVERLINE_STORE_BUILD_DIR_H

#include <stdbool.h>

/* The lock of a build's directory, the caller's to close; -1 with errno when there is none or
 * somebody holds it (EWOULDBLOCK). */
int build_dir_lock(const char *path);

/* `parent` is DATA/build. Is one of its directories dead? */
bool build_dir_any_dead(const char *parent);

/* Removes the dead ones, each under its lock. Best effort: what stays is swept the next time. */
void build_dir_sweep(const char *parent);

#endif
