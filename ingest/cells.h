/* The cells of one rollup while records go by: a hash table from tuple to cell. Room-private. */
#ifndef EVERLINE_INGEST_CELLS_H
#define EVERLINE_INGEST_CELLS_H

#include "ingest/collect.h"

struct cells;

/* `rollup` is borrowed. Over the cap: ST_NOMEM, code OUT_OF_MEMORY. */
enum st cells_new(struct cells **out, const struct store_rollup *rollup,
                  uint64_t memory_bytes) ST_MUST_USE;
void cells_free(struct cells *c);

/* One record: its tuple, and one input per term of the rollup. */
enum st cells_add(struct cells *c, const void *tuple, size_t len,
                  const struct collect_inputs *inputs) ST_MUST_USE;
/* As if all records of `cell` were added. */
enum st cells_merge(struct cells *c, const void *tuple, size_t len,
                    const struct store_cell *cell) ST_MUST_USE;

/* Ends the adding: from now on cells are in the order of their tuples' bytes. */
void cells_finish(struct cells *c);
size_t cells_count(const struct cells *c);
struct store_cell *cells_at(struct cells *c, size_t i, const void **tuple, size_t *len);
size_t cells_find(const struct cells *c, const void *tuple, size_t len); /* count: none */

#endif
