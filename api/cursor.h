/* Cursors of pages of cells and of series: opaque to clients, bound to one version and one query.
 *
 *     "<version>.<check>.<tuple>"      decimal, 16 hexadecimal digits, hexadecimal of any length
 *
 * `tuple` is where the page begins, `check` stands for dataset, rollup or key, and query. A cursor
 * gives nobody more than a query without it would: it is checked, not signed. */
#ifndef EVERLINE_API_CURSOR_H
#define EVERLINE_API_CURSOR_H

#include "api/exchange.h"
#include "store/rollup.h"

#define API_CHECK_BYTES 8

struct api_cursor {
    uint64_t version;
    unsigned char check[API_CHECK_BYTES];
    unsigned char tuple[STORE_TUPLE_MAX];
    size_t tuple_len;
};

/* ST_INVALID, INVALID_CURSOR. What parses is written back as the same text. */
enum st api_cursor_parse(struct api_cursor *out, const char *text) ST_MUST_USE;
enum st api_cursor_refuse(void) ST_MUST_USE; /* so, whoever finds it out */
void api_cursor_write(struct buf *out, const struct api_cursor *cursor);

/* Which items a query asks for, as it was sent, and `what` of: what a cursor is bound to besides
 * the version. How many a page has may change from page to page. */
void api_cursor_query(struct buf *out, const struct api_request *request, const char *what);
enum st api_cursor_sum(unsigned char out[API_CHECK_BYTES], const struct store_served *d,
                       const char *query) ST_MUST_USE;

/* Does it belong here? ST_INVALID, INVALID_CURSOR: to another query; ST_GONE, CURSOR_EXPIRED: to
 * another version. */
enum st api_cursor_check(const struct api_cursor *cursor, uint64_t version,
                         const unsigned char check[API_CHECK_BYTES]) ST_MUST_USE;

#endif
