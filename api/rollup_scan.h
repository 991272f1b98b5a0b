/* The cells of one page of a rollup: a scan in the order of tuples, from the one that the cursor
 * names, with filters; or, in another order, a scan of all for each page. */
#ifndef EVERLINE_API_ROLLUP_SCAN_H
#define EVERLINE_API_ROLLUP_SCAN_H

#include "api/cells.h"
#include "api/cursor.h"
#include "api/ranking.h"
#include "api/rollup_query.h"
#include "store/segment.h"

/* Cells that are looked at for a page, because the thread answers others, too. In their own order
 * the page then ends there, with fewer cells than it may have; in another one it is refused where
 * there are more, or fewer when they have sketches. */
#define API_ROLLUP_VISITS_MAX 100000

struct api_rollup_scan {
    /* The caller's; borrowed. */
    const struct store_rollup *rollup; /* a grouping set */
    struct api_rollup_query query;
    api_cell_fn add_fn;
    struct buf *out;
    const struct api_cursor *from; /* no tuple: the first page */

    /* What came of it. */
    int64_t count;          /* cells written to `out` */
    size_t visited;         /* cells looked at in their own order */
    struct api_cursor next; /* of the next page; no tuple when the answer is complete */

    /* While it runs. */
    struct buf scratch, prefix;
    struct ranking *ranking; /* of another order than that of tuples */
    bool found;              /* what the cursor names, in another order */
};

/* Adds to `out`. ST_INVALID: TOO_MANY_CELLS; INVALID_CURSOR: it names no cell of the query. */
enum st api_rollup_scan_run(struct api_rollup_scan *s, struct store_segment *segment,
                            unsigned slot) ST_MUST_USE;

#endif
