/* What the files of the plan share. */
#ifndef EVERLINE_INGEST_PLAN_INTERNAL_H
#define EVERLINE_INGEST_PLAN_INTERNAL_H

#include "ingest/plan.h"

#define PLAN_SQL_MAX (8u << 20)

struct binding {
    struct duck *duck;
    const struct store_definition *definition;
    struct duck_statement *prepared; /* for its columns */
    struct plan *plan;
    const struct placed *placed; /* NULL: nobody asks where rows come from */
    struct buf sql;
};

/* Everything that the columns of `prepared` become, once the views are there, and the statement. */
enum st plan_bind_parts(struct binding *b) ST_MUST_USE;

/* The field of `record` with this name; NULL: there is none. */
const struct store_field *plan_record_field(const struct store_definition *definition,
                                            const char *name);

/* The casts of prepared columns to declared types, into the plan. */
enum st plan_collect_casts(struct binding *b) ST_MUST_USE;
/* The cast of a prepared column, null where it fails; its name may be spelled as here. */
void plan_add_cast(struct binding *b, size_t column, const char *name, enum store_type type);
/* "CASE ... END": the number of the cast that fails, or changes the value; -1: none does. */
void plan_add_bad(struct binding *b);

/* The failure of `sql` = head, the definition's `text`, and something behind, at its place. */
enum st plan_place(const struct binding *b, enum st st, const char *pointer, const char *text,
                   const char *head);

/* Metrics: scalar expressions, as "#".visible has their columns; their types go into the plan. */
enum st plan_check_terms(struct duck *d, const struct store_definition *definition) ST_MUST_USE;
enum st plan_bind_terms(struct binding *b) ST_MUST_USE;
/* ", <argument>" for each term of a rollup but count(*); *inputs, its arguments' kinds, moves on.
 */
enum st plan_add_terms(struct buf *sql, const struct store_definition *definition,
                       const struct store_rollup *rollup, const unsigned char **inputs) ST_MUST_USE;

/* Conditions of single rows: allowed functions, scalar expressions. */
enum st plan_check_rows(struct duck *d, const struct store_definition *definition) ST_MUST_USE;
/* Checks bind against "#".checked, where every prepared column is as it was cast. */
enum st plan_bind_checks(struct binding *b) ST_MUST_USE;
/* Finds what `duplicate_order` can be compared as. */
enum st plan_bind_order(struct binding *b) ST_MUST_USE;

/* ", <bits of broken row checks> AS "#failed"" and, with an order, ", <it> AS "#order"". */
void plan_add_rules(struct binding *b);

#endif
