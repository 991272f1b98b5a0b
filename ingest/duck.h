/* DuckDB, behind one file: an in-memory database with caps, locked to the files of one batch.
 *
 * Two kinds of SQL run here. Ours (duck_run, duck_count, duck_text) is generated from checked
 * names. The definition's (duck_prepare) must be one SELECT; when it does not bind, DuckDB's
 * message is passed on, because it talks about the definition. What fails while rows are read never
 * carries DuckDB's text, because that quotes values; nor, when tables come from files (duck_guard),
 * what does not bind to them. Room-private.
 */
#ifndef EVERLINE_INGEST_DUCK_H
#define EVERLINE_INGEST_DUCK_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "store/key.h"

#include <stdint.h>

#define DUCK_COLUMNS_MAX 2048
#define DUCK_NO_OFFSET SIZE_MAX

struct duck;
struct duck_statement;

struct duck_options {
    uint64_t memory_bytes; /* 0: 1 GiB */
    unsigned threads;      /* 0: 1 */
    char *const *files;    /* the only files that SQL can name; absolute */
    size_t file_count;
};

/* Opens, sets the caps, then locks the configuration for good. */
enum st duck_open(struct duck **out, const struct duck_options *options) ST_MUST_USE;
void duck_close(struct duck *d);

/* From now on columns have names that come from files, and an error may say only what
 * guard_may_say of the definition's document, which is borrowed until close. */
void duck_guard(struct duck *d, const json_t *document);
bool duck_may_say(const struct duck *d, const char *text); /* without a guard, anything */

/* Our own SQL. `what` names the step in a message ("loading source patients"). */
enum st duck_run(struct duck *d, const char *what, const char *sql) ST_MUST_USE;
enum st duck_count(int64_t *out, struct duck *d, const char *what, const char *sql) ST_MUST_USE;
/* All rows of a query, every value as text, cells separated by NUL: for metadata only. */
enum st duck_text(struct buf *out, size_t *rows, size_t *columns, struct duck *d, const char *what,
                  const char *sql) ST_MUST_USE;

/* json_serialize_sql of `sql`: the syntax tree, or what is wrong with it, as text. */
enum st duck_syntax(struct buf *out, struct duck *d, const char *sql) ST_MUST_USE;

#define DUCK_UNSTABLE                                                                              \
    1u /* its answer depends on when it runs, or it asks the session or catalog                    \
        */
#define DUCK_AGGREGATE 2u
/* What DuckDB says of all functions and macros with this name, in lower case; 0 also when there is
 * none. */
enum st duck_function(unsigned *traits, struct duck *d, const char *name) ST_MUST_USE;

/* The definition's SQL: exactly one SELECT, bound now. ST_INVALID, code SQL, with DuckDB's message
 * as far as it may be said;
 * duck_error_offset says where in `sql` (bytes), DUCK_NO_OFFSET when DuckDB does not. */
enum st duck_prepare(struct duck_statement **out, struct duck *d, const char *sql) ST_MUST_USE;
void duck_statement_free(struct duck_statement *s);
/* ST_INVALID, code SQL: what DuckDB says of a definition's SQL, but for advice that nobody here can
 * follow. */
enum st duck_refuse(const char *message) ST_MUST_USE;
size_t duck_error_offset(const struct duck *d);

/* What our own code can do with a column's values. */
enum duck_kind {
    DUCK_INTEGRAL, /* BOOLEAN and integers that fit BIGINT */
    DUCK_NESTED,   /* lists, structs and their like */
    DUCK_OTHER,
};
size_t duck_statement_columns(const struct duck_statement *s);
const char *duck_statement_name(struct duck_statement *s, size_t i); /* borrowed until _free */
enum duck_kind duck_statement_kind(struct duck_statement *s, size_t i);
bool duck_statement_is_flat(struct duck_statement *s, size_t i); /* a scalar, or a list of them */
const char *duck_statement_type(struct duck_statement *s, size_t i);    /* "DECIMAL"; static */
const char *duck_statement_element(struct duck_statement *s, size_t i); /* "": it is no list */
/* Has every value of the one column the other's type, as it is? Integers do whatever their size, or
 * reading them fails. */
bool duck_statement_same_type(const struct duck_statement *a, size_t i,
                              const struct duck_statement *b, size_t j);
/* Of a DECIMAL, or a list of them: digits in all, and behind the point. */
void duck_statement_decimal(unsigned *width, unsigned *scale, struct duck_statement *s, size_t i);

struct duck_column {
    const void *data;
    const uint64_t *validity; /* NULL: no nulls */
};
/* Some rows of a statement, column by column; borrowed. An error ends the query. */
typedef enum st (*duck_rows_fn)(const struct duck_column *columns, size_t rows, void *ctx);
/* Runs a statement, and calls `fn` with all its rows: on all threads of the database at once, and
 * in no order. What `fn` says is returned, otherwise what DuckDB says, by its class. */
enum st duck_each(struct duck_statement *s, duck_rows_fn fn, void *ctx) ST_MUST_USE;

static inline bool duck_is_null(const struct duck_column *c, size_t row)
{
    return c->validity && !(c->validity[row >> 6] >> (row & 63) & 1);
}
struct store_text duck_varchar(const struct duck_column *c, size_t row);

/* A relation whose rows our own code makes: "#read"(number) in our SQL has the columns "#0", "#1"
 * ... of text and "#place", a BIGINT; "#keep"(number, column, place) is true for column 0, and
 * tells see_fn of every row. All functions may be called by several threads at once; a worker is
 * one thread's. */
struct duck_rows;
struct duck_feed {
    size_t columns;
    uint64_t rows; /* about so many, for the planner */
    void *ctx;
    /* Each time that the relation is read; what cannot be made is NULL: */
    enum st (*begin_fn)(void **reading, void *ctx);
    void (*end_fn)(void *reading); /* after its workers */
    enum st (*open_fn)(void **worker, void *reading);
    /* At most duck_rows_max rows, by duck_rows_put; none: the end. */
    enum st (*fill_fn)(size_t *count, struct duck_rows *rows, void *worker);
    void (*close_fn)(void *worker); /* accepts NULL */
    void (*see_fn)(const int32_t *columns, const int64_t *places, size_t count, void *ctx);
};
/* `feed` is borrowed until close. `number` below STORE_SOURCES_MAX. */
void duck_feed(struct duck *d, size_t number, const struct duck_feed *feed);
/* What one of its functions failed with since then; otherwise `st`, as it is. */
enum st duck_feed_failure(const struct duck *d, size_t number, enum st st) ST_MUST_USE;
size_t duck_rows_max(void);
void duck_rows_put(struct duck_rows *rows, size_t row, const struct store_text *fields,
                   int64_t place);

/* SQL text: 'quoted' and "quoted". */
void duck_add_literal(struct buf *b, const char *text);
void duck_add_name(struct buf *b, const char *name);

#endif
