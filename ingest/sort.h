/* Sorts records by key, then by their bytes, so that the order of arrival leaves no trace. In
 * memory, up to a cap; runs that spill would be added behind this header. Room-private. */
#ifndef EVERLINE_INGEST_SORT_H
#define EVERLINE_INGEST_SORT_H

#include "base/status.h"
#include "store/key.h"

struct sorter;

enum st sorter_new(struct sorter **out, uint64_t memory_bytes) ST_MUST_USE;
void sorter_free(struct sorter *s);

/* Copies. Over the cap: ST_NOMEM, code OUT_OF_MEMORY. */
enum st sorter_add(struct sorter *s, const unsigned char key[STORE_KEY_BYTES], const void *payload,
                   size_t len) ST_MUST_USE;
/* After the last add. */
enum st sorter_finish(struct sorter *s) ST_MUST_USE;
/* In order; ST_END after the last. Borrowed until _free. */
enum st sorter_next(struct sorter *s, const unsigned char **key, const void **payload,
                    size_t *len) ST_MUST_USE;

#endif
