#include "store/rollup.h"

#include "store/sketch.h"
#include "store/value.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A cell, all little-endian:
 *
 *   records 8 B, then, unless it is 0 (hidden), for each term, metric by metric:
 *     count 7 B, what the inputs are 1 B
 *     sum, avg: sum 16 B, of DOUBLE a sketch; min: min 8 B; max: max 8 B; distinct, quantile: a
 *     sketch
 *
 * Sketches are as store/sketch.c draws them; without inputs there are none, and a term that saw
 * nothing is all zeroes. Adding and merging give the same state in any order. */

#define COUNT_BITS 56

struct step {
    const struct store_term *term;
    struct store_term_state *state;
    size_t index;
};
typedef enum st (*term_fn)(const struct step *step, void *ctx);

/* Metric by metric, term by term: the order in which states are kept. Inline, and `fn` with it:
 * every record of a build comes here. */
static inline __attribute__((always_inline)) enum st
each_term(const struct store_rollup *r, struct store_cell *cell, term_fn fn, void *ctx)
{
    enum st st = ST_OK;
    size_t index = 0;

    for (size_t m = 0; m < r->metric_count; m++)
        for (size_t k = 0; !st && k < (r->metrics[m].ratio ? 2u : 1u); k++, index++)
            st = fn(&(struct step){&r->metrics[m].terms[k], &cell->terms[index], index}, ctx);
    return st;
}

/* Does a term with such inputs keep a sketch, and which? */
static bool has_sketch(enum sketch_kind *kind, enum store_aggregate aggregate, unsigned char input)
{
    *kind = aggregate == STORE_DISTINCT   ? SKETCH_DISTINCT
            : aggregate == STORE_QUANTILE ? SKETCH_QUANTILE
                                          : SKETCH_SUM;
    return aggregate == STORE_DISTINCT || aggregate == STORE_QUANTILE ||
           ((aggregate == STORE_SUM || aggregate == STORE_AVG) && input == STORE_INPUT_DOUBLE);
}

static double to_double(int64_t bits)
{
    double d;

    memcpy(&d, &bits, sizeof d);
    return d;
}

/* By value: the bits of doubles do not order as they do. */
static bool is_less(int64_t a, int64_t b, unsigned char input)
{
    return input == STORE_INPUT_DOUBLE ? to_double(a) < to_double(b) : a < b;
}

void store_cell_init(struct store_cell *cell)
{
    memset(cell, 0, sizeof *cell);
}

static enum st release_term(const struct step *step, void *ctx)
{
    (void)ctx;
    sketch_free(step->state->sketch);
    *step->state = (struct store_term_state){0};
    return ST_OK;
}

void store_cell_release(struct store_cell *cell, const struct store_rollup *r)
{
    (void)each_term(r, cell, release_term, NULL);
    cell->records = 0;
}

size_t store_cell_bytes(const struct store_cell *cell, const struct store_rollup *r)
{
    size_t bytes = 0;

    for (size_t i = 0; i < r->term_count; i++)
        if (cell->terms[i].sketch)
            bytes += sketch_bytes(cell->terms[i].sketch);
    return bytes;
}

/* ---- adding and merging ---- */

struct inputs {
    const int64_t *values;
    const bool *nulls;
    const unsigned char *kinds;
};

static enum st add_to_sketch(struct store_term_state *s, enum sketch_kind kind, int64_t value)
{
    double number = to_double(value);

    if (!s->sketch)
        s->sketch = sketch_new(kind);
    if (!s->sketch)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    if (kind == SKETCH_DISTINCT)
        return sketch_add_hash(s->sketch, (uint64_t)value);
    if (s->input != STORE_INPUT_DOUBLE)
        number = (double)value;
    return sketch_add_double(s->sketch, number);
}

static enum st add_input(const struct step *step, void *ctx)
{
    enum store_aggregate aggregate = step->term->aggregate;
    struct store_term_state *s = step->state;
    const struct inputs *in = ctx;
    enum sketch_kind kind;

    if (aggregate != STORE_COUNT_ALL && in->nulls[step->index])
        return ST_OK;
    if (aggregate == STORE_COUNT_ALL || aggregate == STORE_COUNT) {
        s->count++; /* the rest of its state stays zero */
        return ST_OK;
    }
    int64_t value = in->values[step->index];
    if (in->kinds)
        s->input = in->kinds[step->index];
    if (s->input == STORE_INPUT_DOUBLE && to_double(value) == 0)
        value = 0; /* -0.0 */
    if (s->count == 0 || is_less(value, s->min, s->input))
        s->min = value;
    if (s->count == 0 || is_less(s->max, value, s->input))
        s->max = value;
    s->count++;
    if (has_sketch(&kind, aggregate, s->input))
        return add_to_sketch(s, kind, value);
    s->sum += value;
    return ST_OK;
}

enum st store_cell_add(struct store_cell *cell, const struct store_rollup *r, const int64_t *inputs,
                       const bool *nulls, const unsigned char *kinds)
{
    cell->records++;
    return each_term(r, cell, add_input, &(struct inputs){inputs, nulls, kinds});
}

static enum st count_term(const struct step *step, void *ctx)
{
    const uint64_t *records = ctx;

    if (step->term->aggregate == STORE_COUNT_ALL)
        step->state->count += *records;
    return ST_OK;
}

void store_cell_count(struct store_cell *cell, const struct store_rollup *r, uint64_t records)
{
    cell->records += records;
    (void)each_term(r, cell, count_term, &records);
}

static enum st merge_term(const struct step *step, void *ctx)
{
    const struct store_cell *from = ctx;
    struct store_term_state *a = step->state;
    const struct store_term_state *b = &from->terms[step->index];
    enum sketch_kind kind;

    if (b->count == 0)
        return ST_OK;
    if (a->count && a->input != b->input)
        return st_fail(ST_INVALID, "METRIC_TYPE", "a metric has arguments of different types");
    a->input = b->input;
    if (a->count == 0 || is_less(b->min, a->min, a->input))
        a->min = b->min;
    if (a->count == 0 || is_less(a->max, b->max, a->input))
        a->max = b->max;
    a->count += b->count;
    a->sum += b->sum;
    if (!has_sketch(&kind, step->term->aggregate, a->input))
        return ST_OK;
    if (!a->sketch && !(a->sketch = sketch_new(kind)))
        return st_fail(ST_NOMEM, NULL, "out of memory");
    return sketch_merge(a->sketch, b->sketch);
}

enum st store_cell_merge(struct store_cell *into, const struct store_rollup *r,
                         const struct store_cell *from)
{
    into->records += from->records;
    return each_term(r, into, merge_term, (void *)(uintptr_t)from);
}

uint64_t store_distinct_hash(const char *bytes, size_t len)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a, then the last steps of MurmurHash3 */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 1099511628211u;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

/* ---- bytes ---- */

static void add_u64(struct buf *out, uint64_t value)
{
    value = htole64(value);
    buf_add(out, &value, sizeof value);
}

static enum st encode_term(const struct step *step, void *ctx)
{
    struct store_term_state *s = step->state;
    struct buf *out = ctx;
    enum sketch_kind kind;

    add_u64(out, s->count | (uint64_t)s->input << COUNT_BITS);
    if (s->count && has_sketch(&kind, step->term->aggregate, s->input)) {
        sketch_encode(out, s->sketch);
        return ST_OK;
    }
    switch (step->term->aggregate) {
    case STORE_COUNT_ALL:
    case STORE_COUNT:
    case STORE_DISTINCT:
    case STORE_QUANTILE:
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
    return ST_OK;
}

void store_cell_encode(struct buf *out, const struct store_rollup *r, struct store_cell *cell)
{
    add_u64(out, cell->records);
    if (cell->records)
        (void)each_term(r, cell, encode_term, out);
}

enum st store_cell_too_large(const struct store_rollup *r)
{
    return st_hint(st_fail(ST_TOO_LARGE, "CELL_TOO_LARGE",
                           "a cell of the rollup %s is larger than %u bytes", r->name,
                           STORE_CELL_MAX),
                   "divide its quantiles among several rollups, or make them of DECIMALs");
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

static bool is_input(unsigned char input)
{
    return input <= STORE_INPUT_TIMESTAMP ||
           (input >= STORE_INPUT_DECIMAL && input <= STORE_INPUT_DECIMAL + 18);
}

static enum st decode_term(const struct step *step, void *ctx)
{
    enum store_aggregate aggregate = step->term->aggregate;
    struct store_term_state *s = step->state;
    struct reader *in = ctx;
    enum sketch_kind kind;
    uint64_t count = read_u64(in);

    *s = (struct store_term_state){.count = count & ((1ull << COUNT_BITS) - 1),
                                   .input = (unsigned char)(count >> COUNT_BITS)};
    if (s->count && has_sketch(&kind, aggregate, s->input)) {
        size_t used = 0;
        enum st st = in->failed
                         ? ST_CORRUPT
                         : sketch_decode(&s->sketch, &used, kind, in->p, (size_t)(in->end - in->p));
        in->p += used;
        in->failed = in->failed || st == ST_CORRUPT;
        if (st == ST_NOMEM)
            return st;
    } else if (aggregate == STORE_SUM || aggregate == STORE_AVG) {
        __extension__ typedef unsigned __int128 wide;
        uint64_t low = read_u64(in);
        s->sum = (__typeof__(s->sum))((wide)read_u64(in) << 64 | low);
    } else if (aggregate == STORE_MIN) {
        s->min = (int64_t)read_u64(in);
    } else if (aggregate == STORE_MAX) {
        s->max = (int64_t)read_u64(in);
    }
    if (!is_input(s->input) || s->count > in->records ||
        (s->count == 0 && (s->sum || s->min || s->max || s->input)) ||
        (aggregate == STORE_COUNT_ALL && s->count != in->records))
        in->failed = true;
    return in->failed ? ST_CORRUPT : ST_OK;
}

enum st store_cell_decode(struct store_cell *out, const struct store_rollup *r, const void *bytes,
                          size_t len)
{
    struct reader in = {bytes, (const unsigned char *)bytes + len, 0, false};

    memset(out->terms, 0, r->term_count * sizeof *out->terms);
    out->records = in.records = read_u64(&in);
    enum st st = in.records ? each_term(r, out, decode_term, &in) : ST_OK;
    if (st == ST_NOMEM) {
        store_cell_release(out, r);
        return st;
    }
    if (!in.failed && in.p == in.end)
        return ST_OK;
    store_cell_release(out, r);
    return st_fail(ST_CORRUPT, "CELL_DAMAGED", "a stored rollup cell does not decode");
}

/* ---- values of metrics ---- */

static unsigned scale_of(unsigned char input)
{
    return input >= STORE_INPUT_DECIMAL ? (unsigned)input - STORE_INPUT_DECIMAL : 0;
}

static double input_value(int64_t value, unsigned char input)
{
    return input == STORE_INPUT_DOUBLE ? to_double(value)
                                       : (double)value / pow(10, scale_of(input));
}

static double sum_value(const struct store_term_state *s)
{
    return s->sketch ? sketch_sum(s->sketch) : (double)s->sum / pow(10, scale_of(s->input));
}

static double quantile_value(const struct store_term *term, const struct store_term_state *s)
{
    double value = sketch_quantile(s->sketch, term->quantile);

    return s->input == STORE_INPUT_INTEGER ? round(value) : value;
}

/* Whether the term has a value, and which as a number. */
static bool term_value(double *out, const struct store_term *term, const struct store_term_state *s)
{
    bool counts = term->aggregate == STORE_COUNT_ALL || term->aggregate == STORE_COUNT ||
                  term->aggregate == STORE_DISTINCT;

    *out = 0;
    if (!s->count)
        return counts;
    switch (term->aggregate) {
    case STORE_COUNT_ALL:
    case STORE_COUNT:
        *out = (double)s->count;
        break;
    case STORE_SUM:
        *out = sum_value(s);
        break;
    case STORE_AVG:
        *out = sum_value(s) / (double)s->count;
        break;
    case STORE_MIN:
        *out = input_value(s->min, s->input);
        break;
    case STORE_MAX:
        *out = input_value(s->max, s->input);
        break;
    case STORE_DISTINCT:
        *out = (double)sketch_distinct(s->sketch);
        break;
    case STORE_QUANTILE:
        *out = quantile_value(term, s);
        break;
    }
    return isfinite(*out);
}

static void add_number(struct buf *out, double d)
{
    store_value_json(out, STORE_DOUBLE, &(struct store_value){.as.d = d});
}

static void add_extreme(struct buf *out, int64_t value, unsigned char input)
{
    if (input == STORE_INPUT_DATE || input == STORE_INPUT_TIMESTAMP)
        store_value_json(out, input == STORE_INPUT_DATE ? STORE_DATE : STORE_TIMESTAMP,
                         &(struct store_value){.as.i = value});
    else if (input == STORE_INPUT_DOUBLE)
        add_number(out, to_double(value));
    else
        value_add_decimal(out, value, scale_of(input));
}

static void add_term(struct buf *out, const struct store_term *term,
                     const struct store_term_state *s)
{
    double value;

    if (!term_value(&value, term, s))
        buf_addstr(out, "null");
    else if (term->aggregate == STORE_SUM && !s->sketch)
        value_add_decimal(out, s->sum, scale_of(s->input));
    else if (term->aggregate == STORE_MIN || term->aggregate == STORE_MAX)
        add_extreme(out, term->aggregate == STORE_MIN ? s->min : s->max, s->input);
    else if (term->aggregate == STORE_COUNT || term->aggregate == STORE_COUNT_ALL)
        buf_addu64(out, s->count);
    else
        add_number(out, value);
}

static const struct store_term_state *
metric_state(const struct store_rollup *r, const struct store_cell *cell, size_t metric_index)
{
    const struct store_term_state *s = cell->terms;

    for (size_t i = 0; i < metric_index; i++)
        s += r->metrics[i].ratio ? 2 : 1;
    return s;
}

static bool is_hidden(const struct store_rollup *r, const struct store_cell *cell)
{
    return cell->records == 0 && r->min_cell;
}

bool store_metric_value(double *out, const struct store_rollup *r, const struct store_cell *cell,
                        size_t metric_index)
{
    const struct store_metric *m = &r->metrics[metric_index];
    const struct store_term_state *s = metric_state(r, cell, metric_index);
    double under;

    if (is_hidden(r, cell) || !term_value(out, &m->terms[0], s))
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

    if (is_hidden(r, cell))
        buf_addstr(out, "null");
    else if (!m->ratio)
        add_term(out, &m->terms[0], metric_state(r, cell, metric_index));
    else if (store_metric_value(&value, r, cell, metric_index))
        add_number(out, value);
    else
        buf_addstr(out, "null");
}
