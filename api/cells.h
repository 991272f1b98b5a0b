/* Cells of a rollup as text: objects of a JSON list, or lines of CSV (RFC 4180) with the same
 * columns. */
#ifndef EVERLINE_API_CELLS_H
#define EVERLINE_API_CELLS_H

#include "base/buf.h"
#include "store/rollup.h"

/* Dimensions, time, the metrics that have a bit in `metrics`, and whether the cell is hidden.
 * `values` has the dimensions, then the time if there is one. */
typedef void (*api_cell_fn)(struct buf *out, const struct store_rollup *rollup, uint32_t metrics,
                            const struct store_value *values, const struct store_cell *cell);

void api_cell_json(struct buf *out, const struct store_rollup *rollup, uint32_t metrics,
                   const struct store_value *values, const struct store_cell *cell);
/* Null is nothing. */
void api_cell_csv(struct buf *out, const struct store_rollup *rollup, uint32_t metrics,
                  const struct store_value *values, const struct store_cell *cell);
/* The line with the names of the columns. */
void api_cells_csv_names(struct buf *out, const struct store_rollup *rollup, uint32_t metrics);

#endif
