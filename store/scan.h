/* The records of a version in key order: its segments merged, the newest that names a key winning,
 * tombstones taken out. Memory does not grow with the version. */
#ifndef EVERLINE_STORE_SCAN_H
#define EVERLINE_STORE_SCAN_H

#include "store/segment.h"

struct store_scan;

/* `segments`, newest first, are borrowed until _free; `slot` is the scan's until then. */
enum st store_scan_new(struct store_scan **out, struct store_segment *const *segments, size_t count,
                       unsigned slot) ST_MUST_USE;
/* The next record, or ST_END. */
enum st store_scan_next(struct store_scan *s, struct store_record *record) ST_MUST_USE;
/* Records of all segments gone through so far, hidden ones and tombstones included. */
uint64_t store_scan_position(const struct store_scan *s);
void store_scan_free(struct store_scan *s);

#endif
