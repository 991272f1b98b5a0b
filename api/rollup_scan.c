#include "api/rollup_scan.h"

#include "api/internal.h"

#include <string.h>

static enum st set_next(struct api_rollup_scan *s, const void *tuple, size_t len)
{
    if (len > sizeof s->next.tuple)
        return st_fail(ST_CORRUPT, NULL, "a tuple of %zu bytes", len);
    memcpy(s->next.tuple, tuple, len);
    s->next.tuple_len = len;
    return ST_OK;
}

static enum st add_cell(struct api_rollup_scan *s, const struct store_value *values,
                        const void *bytes, size_t len)
{
    struct store_cell cell;
    enum st st = store_cell_decode(&cell, s->rollup, bytes, len);

    if (st)
        return st;
    if (s->count++ && s->add_fn == api_cell_json)
        buf_addch(s->out, ',');
    s->add_fn(s->out, s->rollup, s->query.metrics, values, &cell);
    store_cell_release(&cell, s->rollup);
    return s->out->status;
}

/* ---- in their own order ---- */

/* The values that are filtered first are how the tuples begin of all cells that are asked for.
 * Empty: it is not known how. */
static void find_prefix(struct api_rollup_scan *s)
{
    size_t count = 0;

    while (count < s->rollup->dimension_count && s->query.filtered[count])
        count++;
    if (count == 0)
        return;
    struct store_rollup leading = *s->rollup;
    leading.dimension_count = count;
    leading.bucket = STORE_BUCKET_NONE;
    if (store_tuple_encode(&s->prefix, &leading, s->query.filters) != ST_OK)
        buf_reset(&s->prefix); /* longer than any tuple: no cell has it */
}

static bool has_prefix(const struct api_rollup_scan *s, const void *tuple, size_t len)
{
    return len >= s->prefix.len && memcmp(tuple, s->prefix.data, s->prefix.len) == 0;
}

static enum st visit(const void *tuple, size_t tuple_len, const void *bytes, size_t len, void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct api_rollup_scan *s = ctx;
    enum st st;

    if (s->prefix.len && !has_prefix(s, tuple, tuple_len))
        return ST_END;
    if (s->visited == API_ROLLUP_VISITS_MAX) {
        st = set_next(s, tuple, tuple_len);
        return st ? st : ST_END;
    }
    s->visited++;
    st = store_tuple_decode(values, &s->scratch, s->rollup, tuple, tuple_len);
    if (st || !api_rollup_query_has(&s->query, s->rollup, values))
        return st;
    if (s->count < s->query.limit)
        return add_cell(s, values, bytes, len);
    st = set_next(s, tuple, tuple_len);
    return st ? st : ST_END;
}

static enum st scan_in_order(struct api_rollup_scan *s, struct store_segment *segment,
                             unsigned slot)
{
    const void *begin = s->from->tuple;
    size_t len = s->from->tuple_len;

    find_prefix(s);
    if (len == 0) {
        begin = s->prefix.data;
        len = s->prefix.len;
    } else if (s->prefix.len && !has_prefix(s, begin, len)) {
        return api_cursor_refuse();
    }
    return store_segment_each_cell(segment, slot, s->rollup, begin, len, visit, s);
}

/* ---- in the order of a metric or of one dimension ---- */

typedef enum st (*rank_fn)(struct ranking *r, const void *tuple, size_t tuple_len,
                           const struct store_value *values, const struct store_cell *cell);

static enum st rank(struct api_rollup_scan *s, rank_fn fn, const void *tuple, size_t tuple_len,
                    const struct store_value *values, const void *bytes, size_t len)
{
    struct store_cell cell;

    if (s->query.order == API_BY_DIMENSION)
        return fn(s->ranking, tuple, tuple_len, values, NULL);
    enum st st = store_cell_decode(&cell, s->rollup, bytes, len);

    if (st)
        return st;
    st = fn(s->ranking, tuple, tuple_len, values, &cell);
    store_cell_release(&cell, s->rollup);
    return st;
}

static enum st visit_any(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                         void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct api_rollup_scan *s = ctx;
    enum st st = store_tuple_decode(values, &s->scratch, s->rollup, tuple, tuple_len);

    if (st || !api_rollup_query_has(&s->query, s->rollup, values))
        return st;
    return rank(s, ranking_add, tuple, tuple_len, values, bytes, len);
}

/* The cell that the cursor names, if the first one that is met is that. */
static enum st visit_begin(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                           void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct api_rollup_scan *s = ctx;

    if (tuple_len != s->from->tuple_len || memcmp(tuple, s->from->tuple, tuple_len) != 0)
        return ST_END;
    s->found = true;
    enum st st = store_tuple_decode(values, &s->scratch, s->rollup, tuple, tuple_len);
    if (!st)
        st = rank(s, ranking_begin_at, tuple, tuple_len, values, bytes, len);
    return st ? st : ST_END;
}

/* The first cell that is met. */
static enum st visit_one(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                         void *ctx)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1];
    struct api_rollup_scan *s = ctx;
    enum st st = store_tuple_decode(values, &s->scratch, s->rollup, tuple, tuple_len);

    if (!st)
        st = add_cell(s, values, bytes, len);
    return st ? st : ST_END;
}

/* A sketch costs as much as many numbers, whether or not it is what cells are ordered by. */
static size_t sketches(const struct store_rollup *r)
{
    size_t count = 0;

    for (size_t i = 0; i < r->metric_count; i++)
        for (size_t k = 0; k < (r->metrics[i].ratio ? 2u : 1u); k++) {
            enum store_aggregate a = r->metrics[i].terms[k].aggregate;
            count += a == STORE_DISTINCT || a == STORE_QUANTILE;
        }
    return count;
}

/* This thread answers others, too. */
static enum st check_ranked(const struct api_rollup_scan *s, const struct store_segment *segment)
{
    uint64_t max = API_ROLLUP_VISITS_MAX;

    if (s->query.order == API_BY_METRIC)
        max /= 1 + sketches(s->rollup);
    if (store_segment_cells(segment, s->rollup) <= max)
        return ST_OK;
    return st_place(st_hint(st_fail(ST_INVALID, "TOO_MANY_CELLS",
                                    "more than %llu cells are not put into another order",
                                    (unsigned long long)max),
                            "read them in their own, or choose a grouping set that has fewer "
                            "with group_by"),
                    "query/order_by");
}

static enum st scan_ranked(struct api_rollup_scan *s, struct store_segment *segment, unsigned slot)
{
    const struct api_cursor *from = s->from;
    const void *tuple;
    size_t len;
    enum st st = check_ranked(s, segment);

    if (!st)
        st = ranking_new(&s->ranking, s->rollup, &s->query);
    if (!st && from->tuple_len)
        st = store_segment_each_cell(segment, slot, s->rollup, from->tuple, from->tuple_len,
                                     visit_begin, s);
    if (!st && from->tuple_len && !s->found)
        st = api_cursor_refuse();
    if (!st)
        st = store_segment_each_cell(segment, slot, s->rollup, NULL, 0, visit_any, s);
    while (!st && s->count < s->query.limit &&
           (tuple = ranking_tuple(&len, s->ranking, (size_t)s->count)) != NULL)
        st = store_segment_each_cell(segment, slot, s->rollup, tuple, len, visit_one, s);
    if (!st && (tuple = ranking_tuple(&len, s->ranking, (size_t)s->query.limit)) != NULL)
        st = set_next(s, tuple, len);
    ranking_free(s->ranking);
    return st;
}

enum st api_rollup_scan_run(struct api_rollup_scan *s, struct store_segment *segment, unsigned slot)
{
    buf_init(&s->scratch, 4 * STORE_TUPLE_MAX);
    buf_init(&s->prefix, 4 * STORE_TUPLE_MAX);
    enum st st = s->query.order == API_BY_TUPLE ? scan_in_order(s, segment, slot)
                                                : scan_ranked(s, segment, slot);
    buf_release(&s->scratch);
    buf_release(&s->prefix);
    return st;
}
