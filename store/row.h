/* Typed rows: the record that a lookup returns, as bytes in a segment. */
#ifndef EVERLINE_STORE_ROW_H
#define EVERLINE_STORE_ROW_H

#include "base/buf.h"
#include "base/status.h"
#include "store/name.h"

#include <stdint.h>

/* A type with parameters carries them above its low byte: DECIMAL(width, scale), lists of one of
 * the others. Two types are the same when they are equal. */
enum store_type {
    STORE_BOOLEAN,
    STORE_TINYINT,
    STORE_SMALLINT,
    STORE_INTEGER,
    STORE_BIGINT,
    STORE_DOUBLE,
    STORE_VARCHAR,
    STORE_DATE,      /* days since 1970-01-01; JSON "YYYY-MM-DD" */
    STORE_TIMESTAMP, /* microseconds since the epoch, UTC; JSON "YYYY-MM-DDThh:mm:ss[.ffffff]Z" */
    STORE_UTINYINT,
    STORE_USMALLINT,
    STORE_UINTEGER,
    STORE_DECIMAL, /* up to 18 digits, in units of the last one; a JSON number */
    STORE_LIST,    /* of scalars, as the text of a JSON array */
};
#define STORE_TYPE_BASE(type) ((enum store_type)((unsigned)(type)&0xff))
#define STORE_DECIMAL_WIDTH_MAX 18
#define STORE_DECIMAL_OF(width, scale)                                                             \
    ((enum store_type)(STORE_DECIMAL | (unsigned)(width) << 8 | (unsigned)(scale) << 16))
#define STORE_DECIMAL_SCALE(type) ((unsigned)(type) >> 16 & 0xff)
#define STORE_LIST_OF(element) ((enum store_type)(STORE_LIST | (unsigned)(element) << 8))
#define STORE_LIST_ELEMENT(type) ((enum store_type)((unsigned)(type) >> 8 & 0xff))

/* "BOOLEAN", "DECIMAL(12,2)", "VARCHAR[]", as DuckDB writes them. */
enum st store_type_parse(enum store_type *out, const char *name) ST_MUST_USE;
const char *store_type_name(enum store_type type); /* static */
bool store_type_is_text(enum store_type type);     /* a value's `text`, not `i` or `d` */
bool store_type_is_sortable(enum store_type type); /* integer, DATE, TIMESTAMP: a series' order */
const char *store_type_names(void);                /* for messages */

struct store_field {
    char name[STORE_NAME_SIZE];
    enum store_type type;
};

/* One value. `i` holds BOOLEAN (0, 1), integers, DECIMAL, DATE (days) and TIMESTAMP (microseconds);
 * `text` is borrowed from the row or the caller. */
struct store_value {
    bool null;
    union {
        int64_t i;
        double d;
        struct {
            const char *bytes;
            size_t len;
        } text;
    } as;
};

#define STORE_FIELDS_MAX 256
#define STORE_ROW_MAX (1u << 20) /* bytes of one encoded row */

/* Appends the encoding of `count` values: layout in row.c. NaN and infinities are ST_INVALID (JSON
 * has no word for them); text must be valid UTF-8; over STORE_ROW_MAX is ST_TOO_LARGE. */
enum st store_row_encode(struct buf *out, const struct store_field *fields, size_t count,
                         const struct store_value *values) ST_MUST_USE;

/* Bytes that are not exactly one row of these fields: ST_CORRUPT. `values` has room for `count`. */
enum st store_row_decode(struct store_value *values, const struct store_field *fields, size_t count,
                         const void *row, size_t row_len) ST_MUST_USE;

/* Appends {"name":value,...} straight from the bytes; null fields are written as null. */
enum st store_row_json(struct buf *out, const struct store_field *fields, size_t count,
                       const void *row, size_t row_len) ST_MUST_USE;

/* One value as JSON. */
void store_value_json(struct buf *out, enum store_type type, const struct store_value *value);

/* Text of a value typed by a client (a rollup filter): ST_INVALID says what is expected. */
enum st store_value_parse(struct store_value *out, enum store_type type, const char *text,
                          size_t len) ST_MUST_USE;

#endif
