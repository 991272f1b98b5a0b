/* Values of the row types from the inside: what is in range, and what text stands for what.
 * Room-private. */
#ifndef EVERLINE_STORE_VALUE_H
#define EVERLINE_STORE_VALUE_H

#include "base/utf8.h"
#include "store/row.h"

extern const struct value_type {
    const char *name;
    unsigned char bytes; /* in a row; 0: variable */
    int64_t min, max;
} value_types[]; /* by base type */

/* Bytes of a value in a row; 0: as long as it says. */
static inline unsigned value_bytes(enum store_type type)
{
    return value_types[STORE_TYPE_BASE(type)].bytes;
}

/* May a value of this type be `i`? Dates and times have years of four digits, 0001 to 9999, because
 * that is all RFC 3339 can say. Not for DOUBLE and text. */
bool value_in_decimal_range(enum store_type type, int64_t i);
static inline bool value_in_range(enum store_type type, int64_t i)
{
    return STORE_TYPE_BASE(type) == STORE_DECIMAL
               ? value_in_decimal_range(type, i)
               : i >= value_types[type].min && i <= value_types[type].max;
}
bool value_is_signed(enum store_type type); /* of integers */

/* A number of units of the digit `scale` places behind the point. */
__extension__ typedef __int128 value_wide;
void value_add_decimal(struct buf *out, value_wide units, unsigned scale);

/* Exactly YYYY-MM-DD, ASCII, a date that exists. */
bool value_parse_civil(int *year, unsigned *month, unsigned *day, const char *text, size_t len);
bool value_parse_date(int64_t *days, const char *text, size_t len); /* since 1970-01-01 */

#endif
