/* From the cells of a rollup over all its dimensions to those of its grouping sets, and which of
 * them must be hidden. Room-private. */
#ifndef EVERLINE_INGEST_LATTICE_H
#define EVERLINE_INGEST_LATTICE_H

#include "ingest/cells.h"

/* Called for the cells of set 0, 1, ... of the rollup, each in the order of its tuples. */
typedef enum st (*lattice_fn)(size_t set, const void *tuple, size_t len, struct store_cell *cell,
                              void *ctx);

/* `base` has the cells over all dimensions and the time, and takes no more. Levels beside it have
 * `memory_bytes` together. ST_NOMEM, code OUT_OF_MEMORY: min_cell must be decided over coarser
 * cells than fit in memory. */
enum st lattice_write(struct cells *base, const struct store_rollup *rollup, struct spill *spill,
                      uint64_t memory_bytes, lattice_fn fn, void *ctx) ST_MUST_USE;

#endif
