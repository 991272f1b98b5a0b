/* The scrub: the segments of kept versions are read again from the disk, one after the other and
 * slowly, and held against their hashes, so that what changes beneath the file system is found
 * before somebody needs it. One process does it of all that serve a data directory.
 *
 * When a segment was read, and whether it was bad, is in its seal (store/seal.h): the next to be
 * read is one that was not for longer than the interval, whoever read it last and why, so that a
 * restart goes on where the last one ended. That a segment is bad is told in the same way: every
 * server that has that very file open takes it out (store/refresh.c). Room-private. */
#ifndef EVERLINE_STORE_SCRUB_H
#define EVERLINE_STORE_SCRUB_H

#include "base/metrics.h"
#include "store/internal.h"
#include "store/keeper.h"

struct scrub;

/* Starts a thread, unless the rate is 0. `metrics` may be NULL. */
enum st scrub_start(struct scrub **out, const struct store_scrub_options *options,
                    struct metrics *metrics) ST_MUST_USE;
void scrub_stop(struct scrub *sc, const struct store *s); /* within a moment; accepts NULL */

/* The catalog thread's part, a small step: looks at the next dataset, gives the thread something to
 * read, writes down what it found. Failures are logged. */
void scrub_step(struct scrub *sc, struct store *s, uint64_t now_ms);

struct scrub_metrics {
    struct metric *bytes, *segments, *failures, *complete, *damaged;
};

/* `m` may be NULL. */
enum st scrub_metrics_register(struct scrub_metrics *out, struct metrics *m) ST_MUST_USE;

/* Segments of kept versions that are known to be bad, as of the last round of looking. */
unsigned scrub_damaged(const struct scrub *sc);

#endif
