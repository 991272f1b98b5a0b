/* A definition as a start: what the beginning of some files looks like. Guesses are for people to
 * look at here; an ingest makes none. Room-private. */
#ifndef EVERLINE_INGEST_DRAFT_H
#define EVERLINE_INGEST_DRAFT_H

#include "ingest/task.h"

/* A document that `dataset check` takes, a new reference: each of source 0's files is a source, the
 * first one is prepared, and its first column is the key. The failures of opening and reading the
 * files, and of a CSV header. */
enum st draft_make(json_t **out, const struct task *t) ST_MUST_USE;

#endif
