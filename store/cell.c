#include "store/rollup.h"

#include <endian.h>
#include <string.h>

/* A cell, all little-endian:
 *
 *   records 8 B, then for each term, metric by metric:
 *     count 8 B; for sum and avg: sum 16 B; for min: min 8 B; for max: max 8 B
 *
 * Everything is an integer, so that adding and merging give the same state in any order. A term
 * that saw nothing is all zeroes. */

typedef void (*term_fn)(const struct store_term *term, struct store_term_state *state, size_t index,
                        void *ctx);

/* Metric by metric, term by term: the order in which states are kept. */
static void each_term(const struct store_rollup *r, struct store_cell *cell, term_fn fn, void *ctx)
{
    size_t index = 0;

    for (size_t m = 0; m < r->metric_count; m++)
        for (size_t k = 0; k < (r->metrics[m].ratio ? 2u : 1u); k++, index++)
            fn(&r->metrics[m].terms[k], &cell->terms[index], index, ctx);
}

void store_cell_init(struct store_cell *cell)
{
    memset(cell, 0, sizeof *cell);
}

struct inputs {
    const int64_t *values;
    const bool *nulls;
};

static void add_input(const struct store_term *term, struct store_term_state *state, size_t index,
                      void *ctx)
{
    const struct inputs *in = ctx;
    int64_t value = in->values[index];

    if (term->aggregate != STORE_COUNT_ALL && in->nulls[index])
        return;
    if (term->aggregate == STORE_COUNT_ALL || term->aggregate == STORE_COUNT)
        value = 0;
    state->sum += value;
    if (state->count == 0 || value < state->min)
        state->min = value;
    if (state->count == 0 || value > state->max)
        state->max = value;
    state->count++;
}

void store_cell_add(struct store_cell *cell, const struct store_rollup *r, const int64_t *inputs,
                    const bool *nulls)
{
    cell->records++;
    each_term(r, cell, add_input, &(struct inputs){inputs, nulls});
}

void store_cell_merge(struct store_cell *into, const struct store_rollup *r,
                      const struct store_cell *from)
{
    into->records += from->records;
    for (size_t i = 0; i < r->term_count; i++) {
        struct store_term_state *a = &into->terms[i];
        const struct store_term_state *b = &from->terms[i];
        if (b->count == 0)
            continue;
        if (a->count == 0 || b->min < a->min)
            a->min = b->min;
        if (a->count == 0 || b->max > a->max)
            a->max = b->max;
        a->sum += b->sum;
        a->count += b->count;
    }
}

static void add_u64(struct buf *out, uint64_t value)
{
    value = htole64(value);
    buf_add(out, &value, sizeof value);
}

static void encode_term(const struct store_term *term, struct store_term_state *s, size_t index,
                        void *ctx)
{
    struct buf *out = ctx;

    (void)index;
    add_u64(out, s->count);
    switch (term->aggregate) {
    case STORE_COUNT_ALL:
    case STORE_COUNT:
        break;
    case STORE_SUM:
    case STORE_AVG:
        add_u64(out, (uint64_t)s->sum);
        add_u64(out, (uint64_t)(s->sum >> 64));
        break;
    case STORE_MIN:
        add_u64(out, (uint64_t)s->min);
        break;
    case STORE_MAX:
        add_u64(out, (uint64_t)s->max);
        break;
    }
}

void store_cell_encode(struct buf *out, const struct store_rollup *r, const struct store_cell *cell)
{
    add_u64(out, cell->records);
    each_term(r, (struct store_cell *)(uintptr_t)cell, encode_term, out);
}

struct reader {
    const unsigned char *p, *end;
    uint64_t records;
    bool failed;
};

static uint64_t read_u64(struct reader *in)
{
    uint64_t value = 0;

    if (in->end - in->p < (ptrdiff_t)sizeof value) {
        in->failed = true;
        return 0;
    }
    memcpy(&value, in->p, sizeof value);
    in->p += sizeof value;
    return le64toh(value);
}

static void decode_term(const struct store_term *term, struct store_term_state *s, size_t index,
                        void *ctx)
{
    struct reader *in = ctx;

    (void)index;
    *s = (struct store_term_state){.count = read_u64(in)};
    switch (term->aggregate) {
    case STORE_COUNT_ALL:
    case STORE_COUNT:
        break;
    case STORE_SUM:
    case STORE_AVG: {
        uint64_t low = read_u64(in);
        __extension__ typedef unsigned __int128 wide;
        s->sum = (__typeof__(s->sum))((wide)read_u64(in) << 64 | low);
        break;
    }
    case STORE_MIN:
        s->min = (int64_t)read_u64(in);
        break;
    case STORE_MAX:
        s->max = (int64_t)read_u64(in);
        break;
    }
    if (s->count > in->records || (s->count == 0 && (s->sum || s->min || s->max)) ||
        (term->aggregate == STORE_COUNT_ALL && s->count != in->records))
        in->failed = true;
}

enum st store_cell_decode(struct store_cell *out, const struct store_rollup *r, const void *bytes,
                          size_t len)
{
    struct reader in = {bytes, (const unsigned char *)bytes + len, 0, false};

    out->records = in.records = read_u64(&in);
    each_term(r, out, decode_term, &in);
    if (in.failed || in.p != in.end)
        return st_fail(ST_CORRUPT, "CELL_DAMAGED", "a stored rollup cell does not decode");
    return ST_OK;
}

/* ---- values of metrics ---- */

static void add_wide(struct buf *out, __typeof__(((struct store_term_state *)0)->sum) value)
{
    char digits[40];
    size_t i = sizeof digits;
    bool negative = value < 0;

    do {
        int digit = (int)(value % 10);
        digits[--i] = (char)('0' + (digit < 0 ? -digit : digit));
        value /= 10;
    } while (value);
    if (negative)
        buf_addch(out, '-');
    buf_add(out, digits + i, sizeof digits - i);
}

/* Whether the term has a value, and which: avg is the only one that is not an integer. */
static bool term_value(double *out, const struct store_term *term, const struct store_term_state *s)
{
    switch (term->aggregate) {
    case STORE_COUNT_ALL:
    case STORE_COUNT:
        *out = (double)s->count;
        return true;
    case STORE_SUM:
        *out = (double)s->sum;
        return s->count > 0;
    case STORE_MIN:
        *out = (double)s->min;
        return s->count > 0;
    case STORE_MAX:
        *out = (double)s->max;
        return s->count > 0;
    case STORE_AVG:
        *out = s->count ? (double)s->sum / (double)s->count : 0;
        return s->count > 0;
    }
    return false;
}

static void add_number(struct buf *out, double d)
{
    store_value_json(out, STORE_DOUBLE, &(struct store_value){.as.d = d});
}

static void add_term(struct buf *out, const struct store_term *term,
                     const struct store_term_state *s)
{
    double value;

    if (!term_value(&value, term, s))
        buf_addstr(out, "null");
    else if (term->aggregate == STORE_AVG)
        add_number(out, value);
    else if (term->aggregate == STORE_SUM)
        add_wide(out, s->sum);
    else if (term->aggregate == STORE_MIN || term->aggregate == STORE_MAX)
        buf_addi64(out, term->aggregate == STORE_MIN ? s->min : s->max);
    else
        buf_addu64(out, s->count);
}

static const struct store_term_state *
metric_state(const struct store_rollup *r, const struct store_cell *cell, size_t metric_index)
{
    const struct store_term_state *s = cell->terms;

    for (size_t i = 0; i < metric_index; i++)
        s += r->metrics[i].ratio ? 2 : 1;
    return s;
}

bool store_metric_value(double *out, const struct store_rollup *r, const struct store_cell *cell,
                        size_t metric_index)
{
    const struct store_metric *m = &r->metrics[metric_index];
    const struct store_term_state *s = metric_state(r, cell, metric_index);
    double under;

    if (!term_value(out, &m->terms[0], s))
        return false;
    if (!m->ratio)
        return true;
    if (!term_value(&under, &m->terms[1], s + 1) || under == 0)
        return false;
    *out /= under;
    return true;
}

void store_metric_json(struct buf *out, const struct store_rollup *r, const struct store_cell *cell,
                       size_t metric_index)
{
    const struct store_metric *m = &r->metrics[metric_index];
    double value;

    if (!m->ratio)
        add_term(out, &m->terms[0], metric_state(r, cell, metric_index));
    else if (store_metric_value(&value, r, cell, metric_index))
        add_number(out, value);
    else
        buf_addstr(out, "null");
}
