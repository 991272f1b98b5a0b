/* The cells of one rollup while records go by: a hash table from tuple to cell. Room-private. */
#ifndef EVERLINE_INGEST_CELLS_H
#define EVERLINE_INGEST_CELLS_H

#include "store/rollup.h"

struct cells;

/* `rollup` is borrowed. Over the cap: ST_NOMEM, code OUT_OF_MEMORY. */
enum st cells_new(struct cells **out, const struct store_rollup *rollup,
                  uint64_t memory_bytes) ST_MUST_USE;
void cells_free(struct cells *c);

/* One record: its tuple, and one input per term of the rollup. */
enum st cells_add(struct cells *c, const void *tuple, size_t len, const int64_t *inputs,
                  const bool *nulls) ST_MUST_USE;

size_t cells_count(const struct cells *c);

/* In the order of the tuples' bytes. Ends the adding. */
enum st cells_each(struct cells *c,
                   enum st (*fn)(const void *tuple, size_t len, const struct store_cell *cell,
                                 void *ctx),
                   void *ctx) ST_MUST_USE;

#endif
