/* Programs beside this one, as children of the server. */
#ifndef EVERLINE_API_SPAWN_H
#define EVERLINE_API_SPAWN_H

#include "base/status.h"

#include <sys/types.h>

/* Starts `program` with signals as they are at first, no open file but the first three, and SIGTERM
 * when the calling thread ends. Its standard input and output are `in` and `out`, or the caller's
 * (-1). -1 and errno. */
pid_t api_spawn(const char *program, char *const *argv, int in, int out);

/* Waits for it: asks `go_on_fn` (may be NULL) several times a second, and ends it by SIGKILL when
 * that fails. *status as waitpid(2)'s. */
enum st api_spawn_wait(int *status, pid_t pid, enum st (*go_on_fn)(void *ctx),
                       void *ctx) ST_MUST_USE;

#endif
