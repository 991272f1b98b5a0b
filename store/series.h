/* The records of one key of a series (store/definition.h, `sort`), in their order: the segments of
 * a version merged, the newest that names a record winning, tombstones taken out. */
#ifndef EVERLINE_STORE_SERIES_H
#define EVERLINE_STORE_SERIES_H

#include "store/segment.h"

/* Which records: from `from` to `to`, both inclusive; those of INT64_MIN to INT64_MAX are all. */
struct store_series_range {
    int64_t from, to;
    bool back; /* from the last to the first */
};

/* ST_OK: go on; ST_END: stop; an error is what the walk returns. Runs inside a guard
 * (store/guard.h). The row is borrowed during the call. */
typedef enum st (*store_series_fn)(int64_t sort, const void *row, size_t row_len, void *ctx);

/* `segments`, newest first; `slot` is used during the call. ST_UNAVAILABLE, code
 * SEGMENT_UNREADABLE: as store_segment_get. */
enum st store_series_each(struct store_segment *const *segments, size_t count, unsigned slot,
                          const unsigned char key[STORE_KEY_BYTES],
                          const struct store_series_range *range, store_series_fn fn,
                          void *ctx) ST_MUST_USE;

/* The last record, copied into the slot's memory: as store_segment_get. */
enum st store_series_last(struct store_segment *const *segments, size_t count, unsigned slot,
                          const unsigned char key[STORE_KEY_BYTES], const void **row,
                          size_t *row_len) ST_MUST_USE;

#endif
