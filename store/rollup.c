#include "store/rollup.h"

#include "base/clock.h"
#include "store/value.h"

#include <endian.h>
#include <string.h>

/* A tuple is its values one after the other:
 *
 *   null       00
 *   VARCHAR    02  bytes, 00 escaped as 00 FF  00 00
 *   others     01  8 bytes, big-endian, the sign bit flipped
 *
 * memcmp order of tuples is the order of their values, null first. A tuple of no values is the one
 * byte 7F. A tuple has one encoding: what decodes encodes to the same bytes. */

enum { TAG_NULL = 0x00, TAG_NUMBER = 0x01, TAG_TEXT = 0x02, TAG_EMPTY = 0x7F };

#define DAY_US 86400000000LL
#define HOUR_US 3600000000LL

static size_t value_count(const struct store_rollup *r)
{
    return r->dimension_count + (r->bucket != STORE_BUCKET_NONE);
}

static enum store_type value_type(const struct store_rollup *r, size_t i)
{
    return i < r->dimension_count ? r->dimensions[i].type : r->time.type;
}

static enum st too_long(const struct store_rollup *r)
{
    return st_fail(ST_TOO_LARGE, "DIMENSIONS_TOO_LONG",
                   "rollup %s: the dimensions of a row together are longer than about %d bytes",
                   r->name, STORE_TUPLE_MAX);
}

#define NUMBER_BYTES (1 + sizeof(uint64_t))
#define TEXT_BYTES(len) (1 + 2 * (len) + 2) /* at most */

static char *put_text(char *to, const char *bytes, size_t len)
{
    *to++ = TAG_TEXT;
    for (size_t i = 0; i < len; i++) {
        *to++ = bytes[i];
        if (bytes[i] == '\0')
            *to++ = '\xff';
    }
    *to++ = '\0';
    *to++ = '\0';
    return to;
}

static char *put_number(char *to, int64_t value)
{
    uint64_t bits = htobe64((uint64_t)value ^ (1ULL << 63));

    *to++ = TAG_NUMBER;
    memcpy(to, &bits, sizeof bits);
    return to + sizeof bits;
}

enum st store_tuple_encode(struct buf *out, const struct store_rollup *r,
                           const struct store_value *values)
{
    size_t count = value_count(r), room = 1 + count * NUMBER_BYTES;

    for (size_t i = 0; i < count; i++)
        if (!values[i].null && value_type(r, i) == STORE_VARCHAR) {
            if (values[i].as.text.len > STORE_TUPLE_MAX)
                return too_long(r);
            room += TEXT_BYTES(values[i].as.text.len);
        }
    char *tuple = buf_reserve(out, room), *to = tuple;
    if (!tuple)
        return out->status == ST_TOO_LARGE ? too_long(r) : buf_status(out);
    if (count == 0)
        *to++ = TAG_EMPTY;
    for (size_t i = 0; i < count; i++) {
        if (values[i].null) {
            *to++ = TAG_NULL;
        } else if (value_type(r, i) == STORE_VARCHAR) {
            to = put_text(to, values[i].as.text.bytes, values[i].as.text.len);
        } else if (!value_in_range(value_type(r, i), values[i].as.i)) {
            *tuple = '\0';
            return st_fail(ST_INVALID, "OUT_OF_RANGE", "rollup %s: a value of %s is no %s", r->name,
                           i < r->dimension_count ? r->dimensions[i].name : r->time.name,
                           store_type_name(value_type(r, i)));
        } else {
            to = put_number(to, values[i].as.i);
        }
    }
    bool fits = to - tuple <= STORE_TUPLE_MAX;
    out->len += fits ? (size_t)(to - tuple) : 0;
    out->data[out->len] = '\0';
    return fits ? ST_OK : too_long(r);
}

static enum st corrupt(void)
{
    return st_fail(ST_CORRUPT, "CELL_DAMAGED", "a stored rollup cell does not decode");
}

/* Text at *p up to its end mark; its place in `scratch` is given as an offset, because it may move.
 */
static enum st decode_text(size_t *offset, size_t *len, struct buf *scratch,
                           const unsigned char **p, const unsigned char *end)
{
    *offset = scratch->len;
    for (;; (*p)++) {
        if (*p == end)
            return corrupt();
        if (**p != 0) {
            buf_addch(scratch, (char)**p);
            continue;
        }
        if (++*p == end || (**p != 0 && **p != 0xff))
            return corrupt();
        if (**p == 0)
            break;
        buf_addch(scratch, '\0');
    }
    (*p)++;
    *len = scratch->len - *offset;
    return buf_status(scratch);
}

enum st store_tuple_decode(struct store_value *values, struct buf *scratch,
                           const struct store_rollup *r, const void *bytes, size_t len)
{
    const unsigned char *p = bytes, *end = p + len;
    size_t offsets[STORE_DIMENSIONS_MAX + 1] = {0};
    size_t count = value_count(r);

    buf_reset(scratch);
    if (count == 0)
        return len == 1 && *p == TAG_EMPTY ? ST_OK : corrupt();
    for (size_t i = 0; i < count; i++) {
        bool is_text = value_type(r, i) == STORE_VARCHAR;
        values[i] = (struct store_value){0};
        if (p == end)
            return corrupt();
        unsigned char tag = *p++;
        if (tag == TAG_NULL) {
            values[i].null = true;
        } else if (tag == TAG_TEXT && is_text) {
            enum st st = decode_text(&offsets[i], &values[i].as.text.len, scratch, &p, end);
            if (st)
                return st;
        } else if (tag == TAG_NUMBER && !is_text && end - p >= 8) {
            uint64_t bits;
            memcpy(&bits, p, sizeof bits);
            values[i].as.i = (int64_t)(be64toh(bits) ^ (1ULL << 63));
            p += sizeof bits;
            if (!value_in_range(value_type(r, i), values[i].as.i))
                return corrupt();
        } else {
            return corrupt();
        }
    }
    for (size_t i = 0; i < count; i++)
        if (!values[i].null && value_type(r, i) == STORE_VARCHAR)
            values[i].as.text.bytes = scratch->data ? scratch->data + offsets[i] : "";
    return p == end ? ST_OK : corrupt();
}

/* The ends of the number line, which no date reaches, stay where they are. */
static int64_t floor_to(int64_t value, int64_t unit)
{
    int64_t rest = value % unit, start;

    return __builtin_sub_overflow(value, rest < 0 ? rest + unit : rest, &start) ? value : start;
}

int64_t store_bucket_start(enum store_bucket bucket, enum store_type type, int64_t value)
{
    int64_t scale = type == STORE_TIMESTAMP ? DAY_US : 1;
    unsigned month, day;
    int year;

    if (bucket == STORE_BUCKET_HOUR)
        return floor_to(value, HOUR_US);
    int64_t days = floor_to(value, scale) / scale;
    if (bucket == STORE_BUCKET_DAY || bucket == STORE_BUCKET_NONE)
        return days * scale;
    clock_civil_from_days((int32_t)days, &year, &month, &day);
    if (bucket == STORE_BUCKET_QUARTER)
        month -= (month - 1) % 3;
    else if (bucket == STORE_BUCKET_YEAR)
        month = 1;
    return clock_days_from_civil(year, month, 1) * scale;
}
