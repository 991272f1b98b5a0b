/* Programs beside this one, as its children. */
#ifndef EVERLINE_BASE_PROGRAM_H
#define EVERLINE_BASE_PROGRAM_H

#include "base/fs.h"

#include <sys/types.h>

/* Path of a program beside this one ("everline-ingest"). */
enum st program_sibling(char out[FS_PATH_MAX], const char *name) ST_MUST_USE;

/* Starts `program` with signals as they are at first, no open file but the first three, and SIGTERM
 * when the calling thread ends. Its standard input and output are `in` and `out`, or the caller's
 * (-1). -1 and errno. */
pid_t program_start(const char *program, char *const *argv, int in, int out);

/* Waits for it: asks `go_on_fn` (may be NULL) several times a second, and ends it by SIGKILL when
 * that fails. *status as waitpid(2)'s. */
enum st program_wait(int *status, pid_t pid, enum st (*go_on_fn)(void *ctx), void *ctx) ST_MUST_USE;

#endif
