/* What the parameters of a read of a rollup ask for. */
#ifndef EVERLINE_API_ROLLUP_QUERY_H
#define EVERLINE_API_ROLLUP_QUERY_H

#include "api/exchange.h"
#include "store/rollup.h"

/* What cells are ordered by: their tuples, or one metric, or one dimension (or the time, which
 * counts as the last) and then their tuples. */
enum api_rollup_order { API_BY_TUPLE, API_BY_METRIC, API_BY_DIMENSION };

/* Which cells of a rollup a query asks for, what of them, in which order, and how many at most.
 * Text is borrowed from it. */
struct api_rollup_query {
    struct store_value filters[STORE_DIMENSIONS_MAX];
    bool filtered[STORE_DIMENSIONS_MAX];
    bool has_from, has_to;
    int64_t from, to; /* days for DATE, microseconds for TIMESTAMP */
    uint32_t metrics; /* a bit for each that is given */
    enum api_rollup_order order;
    size_t order_index; /* of the metric or dimension */
    bool descending;
    int64_t limit;
};

/* ST_INVALID, place "query/<name>": UNKNOWN_PARAMETER, INVALID_PARAMETER, INVALID_VALUE,
 * UNKNOWN_METRIC, UNKNOWN_ORDER. */
enum st api_rollup_query_read(struct api_rollup_query *q, const struct store_rollup *rollup,
                              const struct api_request *request) ST_MUST_USE;

/* Does it ask for the cell of these dimensions and this time? */
bool api_rollup_query_has(const struct api_rollup_query *q, const struct store_rollup *rollup,
                          const struct store_value *values);

#endif
