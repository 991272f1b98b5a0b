/* Sketches: states of metrics that one number cannot hold. All are a map from a number to a count,
 * a digit or a rank, so that they merge by joining maps, and the same inputs leave the same bytes
 * whatever their order was. Room-private.
 *
 *   SUM       of doubles, exact: a number of up to 2,100 bits in digits of 32 bits
 *   DISTINCT  HyperLogLog with 4,096 registers (Flajolet et al. 2007): about 1.6 % off
 *   QUANTILE  counts in logarithmic buckets, as in DDSketch (Masson et al. 2019), 128 for each
 *             power of two: a quantile is at most 0.4 % off
 */
#ifndef EVERLINE_STORE_SKETCH_H
#define EVERLINE_STORE_SKETCH_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

enum sketch_kind { SKETCH_SUM, SKETCH_DISTINCT, SKETCH_QUANTILE };

struct sketch;

struct sketch *sketch_new(enum sketch_kind kind); /* NULL: out of memory */
void sketch_free(struct sketch *s);
size_t sketch_bytes(const struct sketch *s); /* of memory; of NULL 0 */

enum st sketch_add_double(struct sketch *s, double value) ST_MUST_USE; /* SUM, QUANTILE; finite */
enum st sketch_add_hash(struct sketch *s, uint64_t hash) ST_MUST_USE;  /* DISTINCT */
enum st sketch_merge(struct sketch *into, const struct sketch *from) ST_MUST_USE; /* same kind */

double sketch_sum(const struct sketch *s); /* to the nearest double */
uint64_t sketch_distinct(const struct sketch *s);
/* The value at rank q x (count - 1), q from 0 to 1; 0 when there are none. */
double sketch_quantile(const struct sketch *s, double q);

/* What decodes encodes to the same bytes. ST_CORRUPT otherwise; *used is the encoding's length. */
void sketch_encode(struct buf *out, struct sketch *s);
enum st sketch_decode(struct sketch **out, size_t *used, enum sketch_kind kind, const void *bytes,
                      size_t len) ST_MUST_USE;

#endif
