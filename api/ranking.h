/* The first cells of a rollup in the order of a metric or of a dimension, out of all that are shown
 * to it: those of one page, and the one behind it. */
#ifndef EVERLINE_API_RANKING_H
#define EVERLINE_API_RANKING_H

#include "api/rollup_query.h"

struct ranking;

/* Of query->limit cells and one. Both are borrowed. */
enum st ranking_new(struct ranking **out, const struct store_rollup *rollup,
                    const struct api_rollup_query *query) ST_MUST_USE;
void ranking_free(struct ranking *r);

/* Only this cell, and those behind it, count from now on. Here and below, `cell` is looked at where
 * metrics are what cells are ordered by. */
enum st ranking_begin_at(struct ranking *r, const void *tuple, size_t tuple_len,
                         const struct store_value *values,
                         const struct store_cell *cell) ST_MUST_USE;
/* Copies. */
enum st ranking_add(struct ranking *r, const void *tuple, size_t tuple_len,
                    const struct store_value *values, const struct store_cell *cell) ST_MUST_USE;

/* In order: the i-th one's tuple, or NULL. */
const void *ranking_tuple(size_t *len, const struct ranking *r, size_t i);

#endif
