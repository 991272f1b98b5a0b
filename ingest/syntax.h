/* What a definition's SQL may say, judged on DuckDB's own syntax tree (json_serialize_sql) before
 * anything is bound. Room-private. */
#ifndef EVERLINE_INGEST_SYNTAX_H
#define EVERLINE_INGEST_SYNTAX_H

#include "ingest/duck.h"
#include "store/definition.h"

/* `prepare`: one SELECT over the declared sources (and its own common table expressions) and
 * nothing else: no file, setting, catalog table, sampling, function that gives another answer
 * another time, or word that needs an order of the rows and has none. ST_INVALID, code SQL, place
 * "/prepare, line L, column C". */
enum st syntax_check_query(struct duck *d, const struct store_definition *definition) ST_MUST_USE;

/* One scalar expression of a record: as above, and no subquery, aggregate, window or star. */
enum st syntax_check_expression(struct duck *d, const char *expression,
                                const char *pointer) ST_MUST_USE;

/* A type's name as a source declares it, and nothing but that. */
enum st syntax_check_type(struct duck *d, const char *type, const char *pointer) ST_MUST_USE;

/* Turns a failure about `sql` into one with a place: "pointer, line L, column C"; `offset` in bytes
 * (DUCK_NO_OFFSET: the pointer alone). Returns `status`. */
enum st syntax_place(enum st status, const char *pointer, const char *sql, size_t offset);

#endif
