/* The plan: from a definition and the sources' relations to one SELECT whose columns are everything
 * that a record needs. Binding it is the check of all SQL of a definition. Room-private. */
#ifndef EVERLINE_INGEST_PLAN_H
#define EVERLINE_INGEST_PLAN_H

#include "ingest/placed.h"
#include "store/rollup.h"

/* Columns of the statement, from left to right:
 *   key fields as VARCHAR | record fields, typed | INTEGER: which cast failed, or -1 |
 *   BIGINT: bits of the row checks that are broken | duplicate_order, when there is one |
 *   per rollup, and for the judged metrics: dimensions, time (when it has one), one column per
 *   term except count(*): BIGINT, DOUBLE, DECIMAL(18,s), TIMESTAMP, or VARCHAR for distinct | of a
 * placed plan, BIGINT: where the row comes from  */
struct plan {
    struct duck_statement *statement;
    /* What the failed cast's number means. */
    struct plan_cast {
        char field[STORE_NAME_SIZE];
        enum store_type type;
    } * casts;
    size_t cast_count;
    /* What the arguments of metrics are (enum store_input), term by term: the rollups' one after
     * the other, then the judged metrics'. */
    unsigned char *inputs;
    size_t input_count;
    /* What duplicate_order is cast to: BIGINT, DOUBLE, TIMESTAMP or VARCHAR. */
    enum store_type order;
    size_t place; /* which column it is; 0: there is none */
};

/* Checks that need no sources: one SELECT, allowed functions, scalar expressions. */
enum st plan_check(struct duck *d, const struct store_definition *definition) ST_MUST_USE;

/* Binds against the sources' relations, which must be there. ST_INVALID, code SQL (or
 * INVALID_DEFINITION for a column that prepare lacks), with JSON pointer, SQL line and column. */
enum st plan_bind(struct plan *out, struct duck *d,
                  const struct store_definition *definition) ST_MUST_USE;
/* The same plan again, after plan_bind, over the relation PLACED_SOURCE. ST_NOT_FOUND without a
 * report: a row is not made of one row of it. */
enum st plan_bind_placed(struct plan *out, struct duck *d,
                         const struct store_definition *definition,
                         const struct placed *placed) ST_MUST_USE;
void plan_release(struct plan *p); /* accepts a zeroed struct; before the database closes */

/* Of a check of UNIQUE or REFERENCE kind, once the sources are loaded: how many values break it, of
 * how many. */
enum st plan_count_values(uint64_t *broken, uint64_t *of, struct duck *d,
                          const struct store_check *check) ST_MUST_USE;

#endif
