/* What a process gives up before it reads a batch. Room-private. */
#ifndef EVERLINE_INGEST_CONFINE_H
#define EVERLINE_INGEST_CONFINE_H

#include "ingest/task.h"

/* Between fork and exec, in the child: only async-signal-safe calls. Who `comes_last` gets what
 * nobody else wants of the cores; others are niced, and somebody waits for them. */
void confine_before_exec(int parent_pid, bool comes_last);

/* After exec, before anything is opened: no core dumps, no debugger, private files. */
void confine_early(void);

/* Once the task is known, best effort: with Landlock the process can only read the batch's files
 * and the system's libraries, and only write below the build directory. */
void confine_files(const struct task *t);

#endif
