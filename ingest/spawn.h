/* Runs a child and listens to it. Room-private. */
#ifndef EVERLINE_INGEST_SPAWN_H
#define EVERLINE_INGEST_SPAWN_H

#include "ingest/child.h"
#include "ingest/source.h"
#include "ingest/task.h"

/* Called at least every 50 ms while the child works; an error from it kills the child and is what
 * spawn_run returns. */
typedef enum st (*spawn_tick_fn)(void *ctx);

/* Starts this program again (/proc/self/exe) as `mode`, gives it the task and waits for its end.
 * *report (may be NULL) is that of a build, a new reference, also when it fails, if it came that
 * far; else NULL. The child's own failure is returned; a child that died without a word:
 * ST_UNAVAILABLE, code CHILD_DIED. */
enum st spawn_run(json_t **report, enum child_mode mode, const struct task *t,
                  const struct ingest_progress *progress, spawn_tick_fn tick_fn,
                  void *ctx) ST_MUST_USE;

#endif
