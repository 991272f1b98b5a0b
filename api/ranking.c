#include "api/ranking.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* What a cell is ranked by, as bytes that compare like it, and then the cell's tuple. */
struct place {
    size_t rank_len, tuple_len;
    unsigned char rank[STORE_TUPLE_MAX], tuple[STORE_TUPLE_MAX];
};

struct ranking {
    const struct store_rollup *rollup;
    const struct api_rollup_query *query;
    struct store_rollup ranked; /* the dimension alone, so that it is encoded like a tuple */
    struct buf scratch;
    bool begun;
    struct place begin;
    struct place next; /* the cell that is looked at */
    size_t capacity, count;
    struct place *places, **order;
};

enum st ranking_new(struct ranking **out, const struct store_rollup *rollup,
                    const struct api_rollup_query *query)
{
    struct ranking *r = *out = calloc(1, sizeof *r);

    if (!r)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    r->rollup = rollup;
    r->query = query;
    if (query->order == API_BY_DIMENSION) {
        r->ranked.dimension_count = 1;
        r->ranked.dimensions[0] = query->order_index < rollup->dimension_count
                                      ? rollup->dimensions[query->order_index]
                                      : rollup->time;
    }
    r->capacity = (size_t)query->limit + 1;
    r->places = malloc(r->capacity * sizeof *r->places);
    r->order = calloc(r->capacity, sizeof *r->order);
    buf_init(&r->scratch, 4 * STORE_TUPLE_MAX);
    (void)buf_reserve(&r->scratch, 4 * STORE_TUPLE_MAX - 1);
    if (r->places && r->order && r->scratch.status == ST_OK)
        return ST_OK;
    ranking_free(r);
    *out = NULL;
    return st_fail(ST_NOMEM, NULL, "out of memory");
}

void ranking_free(struct ranking *r)
{
    if (!r)
        return;
    buf_release(&r->scratch);
    free(r->places);
    free(r->order);
    free(r);
}

/* A cell without a value is behind all others, whichever way they are ordered. */
static void rank_by_metric(struct place *p, const struct ranking *r, const struct store_cell *cell)
{
    double value;
    uint64_t bits;

    p->rank_len = 1;
    p->rank[0] = !store_metric_value(&value, r->rollup, cell, r->query->order_index);
    if (p->rank[0])
        return;
    value += 0.0; /* zero has one sign */
    memcpy(&bits, &value, sizeof bits);
    bits ^= bits >> 63 ? UINT64_MAX : UINT64_C(1) << 63;
    if (r->query->descending)
        bits = ~bits;
    bits = htobe64(bits);
    memcpy(p->rank + 1, &bits, sizeof bits);
    p->rank_len += sizeof bits;
}

/* No encoding begins with another one, hence its complement has the opposite order. */
static enum st rank_by_dimension(struct place *p, struct ranking *r,
                                 const struct store_value *values)
{
    buf_reset(&r->scratch);
    enum st st = store_tuple_encode(&r->scratch, &r->ranked, &values[r->query->order_index]);

    if (st)
        return st;
    p->rank_len = r->scratch.len;
    memcpy(p->rank, r->scratch.data, p->rank_len);
    for (size_t i = 0; r->query->descending && i < p->rank_len; i++)
        p->rank[i] = (unsigned char)~p->rank[i];
    return ST_OK;
}

static enum st find_place(struct place *p, struct ranking *r, const void *tuple, size_t tuple_len,
                          const struct store_value *values, const struct store_cell *cell)
{
    if (tuple_len > sizeof p->tuple)
        return st_fail(ST_CORRUPT, NULL, "a tuple of %zu bytes", tuple_len);
    p->tuple_len = tuple_len;
    memcpy(p->tuple, tuple, tuple_len);
    if (r->query->order == API_BY_DIMENSION)
        return rank_by_dimension(p, r, values);
    rank_by_metric(p, r, cell);
    return ST_OK;
}

static int compare_bytes(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare(const struct place *a, const struct place *b)
{
    int order = compare_bytes(a->rank, a->rank_len, b->rank, b->rank_len);

    return order ? order : compare_bytes(a->tuple, a->tuple_len, b->tuple, b->tuple_len);
}

enum st ranking_begin_at(struct ranking *r, const void *tuple, size_t tuple_len,
                         const struct store_value *values, const struct store_cell *cell)
{
    r->begun = true;
    return find_place(&r->begin, r, tuple, tuple_len, values, cell);
}

/* Behind all that are not behind it. */
static size_t find_index(const struct ranking *r, const struct place *p)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (compare(r->order[middle], p) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum st ranking_add(struct ranking *r, const void *tuple, size_t tuple_len,
                    const struct store_value *values, const struct store_cell *cell)
{
    enum st st = find_place(&r->next, r, tuple, tuple_len, values, cell);

    if (st || (r->begun && compare(&r->next, &r->begin) < 0))
        return st;
    size_t at = find_index(r, &r->next);
    if (at == r->capacity)
        return ST_OK;
    bool full = r->count == r->capacity;
    struct place *p = full ? r->order[r->count - 1] : &r->places[r->count];
    r->count += !full;
    memmove(&r->order[at + 1], &r->order[at], (r->count - 1 - at) * sizeof *r->order);
    r->order[at] = p;
    *p = r->next;
    return ST_OK;
}

const void *ranking_tuple(size_t *len, const struct ranking *r, size_t i)
{
    if (i >= r->count)
        return NULL;
    *len = r->order[i]->tuple_len;
    return r->order[i]->tuple;
}
