/* The cells of one rollup: a hash table from tuple to cell while records go by. What outgrows its
 * share of memory is put aside in order of the tuples (ingest/spill.h), and cells of one tuple are
 * merged in the end; so that where they have been leaves no trace. Room-private. */
#ifndef EVERLINE_INGEST_CELLS_H
#define EVERLINE_INGEST_CELLS_H

#include "ingest/merge.h"
#include "ingest/payload.h"

struct cells;

/* `rollup` and `spill` are borrowed. */
enum st cells_new(struct cells **out, const struct store_rollup *rollup, struct spill *spill,
                  uint64_t memory_bytes) ST_MUST_USE;
void cells_free(struct cells *c);

/* One record: its tuple, and one input per term of the rollup. */
enum st cells_add(struct cells *c, const void *tuple, size_t len,
                  const struct payload_inputs *inputs) ST_MUST_USE;
/* As if all records of `cell` were added. */
enum st cells_merge(struct cells *c, const void *tuple, size_t len,
                    const struct store_cell *cell) ST_MUST_USE;

/* Ends the adding: from now on cells are in the order of their tuples' bytes. */
enum st cells_finish(struct cells *c) ST_MUST_USE;
size_t cells_count(const struct cells *c);

/* All cells in order, any number of times: after a rewind comes the first. ST_END after the last. A
 * cell is borrowed until the next call. */
enum st cells_rewind(struct cells *c) ST_MUST_USE;
enum st cells_next(struct cells *c, const void **tuple, size_t *len,
                   struct store_cell **cell) ST_MUST_USE;

/* A cell's number in that order; cells_count: there is none. Only of cells that are in memory. */
bool cells_in_memory(const struct cells *c);
size_t cells_find(const struct cells *c, const void *tuple, size_t len);

#endif
