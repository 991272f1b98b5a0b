/* Rollups: pre-aggregated cells. The tuple codec (order-preserving: memcmp order of the bytes is
 * the order of the values, null first) and the metric states (mergeable, exact). Layouts in
 * rollup.c. */
#ifndef EVERLINE_STORE_ROLLUP_H
#define EVERLINE_STORE_ROLLUP_H

#include "base/buf.h"
#include "store/definition.h"

#define STORE_TUPLE_MAX 511 /* LMDB's key limit */

/* Dimensions in order, then the time bucket when the rollup has one. Empty tuple (no dimension, no
 * time) is one byte. ST_TOO_LARGE over STORE_TUPLE_MAX; ST_INVALID, code OUT_OF_RANGE, for a value
 * that its type cannot have (dates and times have the years 0001 to 9999). */
enum st store_tuple_encode(struct buf *out, const struct store_rollup *rollup,
                           const struct store_value *values) ST_MUST_USE;
/* `scratch` takes unescaped text; values borrow from it. ST_CORRUPT. */
enum st store_tuple_decode(struct store_value *values, struct buf *scratch,
                           const struct store_rollup *rollup, const void *bytes,
                           size_t len) ST_MUST_USE;

/* Start of the bucket that holds `value` (days for DATE, microseconds for TIMESTAMP). */
int64_t store_bucket_start(enum store_bucket bucket, enum store_type type, int64_t value);

/* What the argument of a term is; DuckDB tells when the SQL is bound, so that states keep it. */
enum store_input {
    STORE_INPUT_INTEGER,
    STORE_INPUT_DOUBLE,
    STORE_INPUT_DATE,
    STORE_INPUT_TIMESTAMP,
    STORE_INPUT_DECIMAL = 16, /* + digits behind the point: an integer of the smallest unit */
};

/* State of one term: exact and order-independent. */
struct store_term_state {
    uint64_t count;      /* non-null inputs (all rows for count(*)) */
    unsigned char input; /* enum store_input; 0 without inputs */
    __extension__ __int128 sum;
    int64_t min, max;      /* valid when count > 0; the bits of a DOUBLE */
    struct sketch *sketch; /* sums of DOUBLE, distinct, quantile; owned; NULL without inputs */
};

/* A cell: the number of records, and one state per term of the rollup (metric by metric). A hidden
 * one says nothing but that it is there (min_cell). */
struct store_cell {
    uint64_t records; /* 0: hidden */
    struct store_term_state terms[2 * STORE_METRICS_MAX];
};

void store_cell_init(struct store_cell *cell);
void store_cell_release(struct store_cell *cell, const struct store_rollup *rollup);
/* So many records at once, in each of which all inputs are null. */
void store_cell_count(struct store_cell *cell, const struct store_rollup *rollup, uint64_t records);
/* `inputs`: one per term as int64 (a DOUBLE's bits; of `distinct` a hash), `nulls` likewise, and
 * what they are (`kinds`; NULL: all are integers). */
enum st store_cell_add(struct store_cell *cell, const struct store_rollup *rollup,
                       const int64_t *inputs, const bool *nulls,
                       const unsigned char *kinds) ST_MUST_USE;
enum st store_cell_merge(struct store_cell *into, const struct store_rollup *rollup,
                         const struct store_cell *from) ST_MUST_USE;
size_t store_cell_bytes(const struct store_cell *cell,
                        const struct store_rollup *rollup); /* of memory, beside the struct */
/* Bytes of an encoded cell: any of integers and DECIMALs has fewer. */
#define STORE_CELL_MAX ((8u << 20) - 1024)
enum st store_cell_too_large(const struct store_rollup *rollup) ST_MUST_USE; /* ST_TOO_LARGE */
/* Canonical: the sketches of `cell` are brought into their one form. */
void store_cell_encode(struct buf *out, const struct store_rollup *rollup, struct store_cell *cell);
/* Whatever `out` held is forgotten, not released; the caller releases it after ST_OK. ST_CORRUPT.
 */
enum st store_cell_decode(struct store_cell *out, const struct store_rollup *rollup,
                          const void *bytes, size_t len) ST_MUST_USE;

/* A stable 64-bit hash of a value's text, for `distinct`. */
uint64_t store_distinct_hash(const char *bytes, size_t len);

/* Appends the metric's value as JSON: integers and decimals exactly, avg, ratio and doubles as the
 * shortest decimal that reads back; null for sum, min, max, avg, quantile of nothing, for a ratio
 * over zero, and in a hidden cell. */
void store_metric_json(struct buf *out, const struct store_rollup *rollup,
                       const struct store_cell *cell, size_t metric_index);

/* The same as a number; false: it has no value. */
bool store_metric_value(double *out, const struct store_rollup *rollup,
                        const struct store_cell *cell, size_t metric_index);

#endif
