/* Live processes: each holds a flock on its file in DATA/run for as long as it lives, however it
 * ends. Files whose lock is free are removed by whoever sees them. Room-private. */
#ifndef EVERLINE_STORE_RUN_H
#define EVERLINE_STORE_RUN_H

#include "base/fs.h"

#define RUN_NAME_SIZE 48

enum run_kind {
    RUN_PROCESS,
    RUN_SERVER,
    RUN_REBUILD, /* alone: it puts another catalog in place */
};

struct run_entry {
    char name[RUN_NAME_SIZE]; /* "process-0123...", "server-0123..." */
    int fd;
};

/* Makes the entry and takes its lock; on a full disk it may be empty. ST_UNAVAILABLE, code
 * PID_NAMESPACE, when a live process of another PID namespace uses the directory: LMDB's reader
 * table would be confused. */
enum st run_register(struct run_entry *out, const char *run_dir, enum run_kind kind) ST_MUST_USE;
void run_unregister(struct run_entry *e, const char *run_dir); /* accepts fd -1 */

/* What one process of all is to do: ST_CONFLICT when another one does it already. _unregister gives
 * it back. */
enum st run_claim(struct run_entry *out, const char *run_dir, const char *what) ST_MUST_USE;

bool run_alive(const char *run_dir, const char *name);

/* Names of the live entries of a kind; removes those of the dead. Free with fs_list_free. */
enum st run_list(struct fs_list *out, const char *run_dir, enum run_kind kind) ST_MUST_USE;

#endif
