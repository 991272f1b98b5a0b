/* Sorts records by key, then by their bytes, so that the order of arrival leaves no trace, nor does
 * how much memory there was or how many threads. Each thread has a lane: a buffer of fixed size
 * that is sorted when it is full, and then put aside (ingest/spill.h) as a run. What comes out is
 * the merge of all runs with what is still in the buffers; a small batch is one of these and never
 * touches the disk. Room-private. */
#ifndef EVERLINE_INGEST_SORT_H
#define EVERLINE_INGEST_SORT_H

#include "ingest/merge.h"
#include "store/key.h"

struct sorter;
struct sort_lane;

#define SORT_LANE_MIN (3u << 20) /* bytes; no lane is smaller, whatever the memory */

/* At most `lanes` lanes, fewer where memory is short. Keys have `key_bytes`: a hash, and in a
 * series the sort value. `spill` is borrowed. */
enum st sorter_new(struct sorter **out, struct spill *spill, size_t key_bytes,
                   uint64_t memory_bytes, size_t lanes) ST_MUST_USE;
void sorter_free(struct sorter *s);

size_t sorter_lane_count(const struct sorter *s);
/* Used by one thread at a time. */
struct sort_lane *sorter_lane(struct sorter *s, size_t i);

/* A record of that key comes soon: its place is fetched, which would hold up all that is written
 * after it. */
void sort_lane_expect(const struct sort_lane *lane, const unsigned char *key);
/* Copies. ST_TOO_LARGE: the record does not fit a lane. */
enum st sort_lane_add(struct sort_lane *lane, const unsigned char *key, const void *payload,
                      size_t len) ST_MUST_USE;
/* After the last add. */
enum st sorter_finish(struct sorter *s) ST_MUST_USE;
/* In order; ST_END after the last. Borrowed until the next call. */
enum st sorter_next(struct sorter *s, const unsigned char **key, const void **payload,
                    size_t *len) ST_MUST_USE;

#endif
