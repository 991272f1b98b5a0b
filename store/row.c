#include "store/row.h"

#include "base/word.h"
#include "store/value.h"

#include <endian.h>
#include <math.h>
#include <string.h>

/* A row of n fields:
 *
 *   +--------------------+---------+---------+-----+
 *   | null bits, n/8 up  | value 0 | value 1 | ... |      null fields have no value
 *   +--------------------+---------+---------+-----+
 *
 *   BOOLEAN, TINYINT   1 byte
 *   SMALLINT           2 bytes, INTEGER and DATE 4, BIGINT, DECIMAL and TIMESTAMP 8: little-endian;
 *                      unsigned types as those of their size
 *   DOUBLE             8 bytes, IEEE 754, little-endian
 *   VARCHAR, lists     4 bytes length, little-endian, then the bytes; a list is a JSON array
 *
 * Bit i%8 of byte i/8 is set when field i is null; the bits past n are zero. Equal values have
 * equal bytes (-0.0 is stored as 0.0), and what decodes to values encodes to the same bytes. */

#define NUMBER_BYTES 8u /* of the longest */

/* What a text takes, checked. */
static enum st text_room(size_t *room, const struct store_field *field, const struct store_value *v)
{
    if (v->as.text.len > STORE_ROW_MAX)
        return st_fail(ST_TOO_LARGE, "ROW_TOO_LARGE", "field %s: text is too long", field->name);
    if (!utf8_is_valid(v->as.text.bytes, v->as.text.len))
        return st_fail(ST_INVALID, "INVALID_TEXT", "field %s: text is not valid UTF-8",
                       field->name);
    *room = sizeof(uint32_t) + v->as.text.len;
    return ST_OK;
}

static char *put_text(char *to, const struct store_value *v)
{
    uint32_t len = htole32((uint32_t)v->as.text.len);

    memcpy(to, &len, sizeof len);
    word_copy(to + sizeof len, v->as.text.bytes, v->as.text.len);
    return to + sizeof len + v->as.text.len;
}

static enum st number_bits(uint64_t *bits, const struct store_field *field,
                           const struct store_value *v)
{
    if (field->type == STORE_DOUBLE) {
        double d = v->as.d == 0 ? 0.0 : v->as.d;
        if (!isfinite(d))
            return st_fail(ST_INVALID, "NOT_FINITE", "field %s: NaN and infinity cannot be served",
                           field->name);
        memcpy(bits, &d, sizeof *bits);
        return ST_OK;
    }
    if (!value_in_range(field->type, v->as.i))
        return st_fail(ST_INVALID, "OUT_OF_RANGE", "field %s: the value is no %s", field->name,
                       field->type == STORE_DATE || field->type == STORE_TIMESTAMP
                           ? "date or time of the years 0001 to 9999"
                           : store_type_name(field->type));
    *bits = (uint64_t)v->as.i;
    return ST_OK;
}

enum st store_row_encode(struct buf *out, const struct store_field *fields, size_t count,
                         const struct store_value *values)
{
    size_t bitmap_len = (count + 7) / 8, room = bitmap_len + count * NUMBER_BYTES;
    unsigned char bitmap[(STORE_FIELDS_MAX + 7) / 8] = {0};
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < count; i++) {
        size_t of_text = 0;
        if (!values[i].null && store_type_is_text(fields[i].type))
            st = text_room(&of_text, &fields[i], &values[i]);
        room += of_text;
    }
    char *row = st ? NULL : buf_reserve(out, room), *to = row ? row + bitmap_len : NULL;
    if (!row)
        return st ? st : buf_status(out);
    for (size_t i = 0; !st && i < count; i++) {
        uint64_t bits = 0;
        if (values[i].null) {
            bitmap[i / 8] |= (unsigned char)(1u << (i % 8));
        } else if (store_type_is_text(fields[i].type)) {
            to = put_text(to, &values[i]);
        } else if (!(st = number_bits(&bits, &fields[i], &values[i]))) {
            word_store(to, bits); /* the low bytes come first; those behind are written over */
            to += value_bytes(fields[i].type);
        }
    }
    if (!st && (size_t)(to - row) > STORE_ROW_MAX)
        st = st_fail(ST_TOO_LARGE, "ROW_TOO_LARGE", "a row is larger than %u bytes", STORE_ROW_MAX);
    if (!st) {
        memcpy(row, bitmap, bitmap_len);
        out->len += (size_t)(to - row);
    }
    out->data[out->len] = '\0';
    return st;
}

static enum st corrupt(void)
{
    return st_fail(ST_CORRUPT, "ROW_DAMAGED", "a stored row does not decode");
}

/* Little-endian, sign-extended where the type has a sign. */
static int64_t load_integer(const unsigned char *p, enum store_type type)
{
    unsigned bits = value_bytes(type) * 8;
    uint64_t value = 0;

    memcpy(&value, p, bits / 8);
    value = le64toh(value);
    if (value_is_signed(type) && bits < 64 && (value >> (bits - 1)) & 1)
        value |= ~0ULL << bits;
    return (int64_t)value;
}

static enum st decode_text(struct store_value *v, const unsigned char *p, size_t len, size_t *used)
{
    uint32_t text_len;

    if (len < sizeof text_len)
        return corrupt();
    memcpy(&text_len, p, sizeof text_len);
    text_len = le32toh(text_len);
    if (text_len > len - sizeof text_len)
        return corrupt();
    v->as.text.bytes = (const char *)p + sizeof text_len;
    v->as.text.len = text_len;
    *used = sizeof text_len + text_len;
    return ST_OK;
}

/* One value at p; *used is its length. */
static enum st decode_value(struct store_value *v, enum store_type type, const unsigned char *p,
                            size_t len, size_t *used)
{
    *v = (struct store_value){0};
    if (store_type_is_text(type))
        return decode_text(v, p, len, used);
    *used = value_bytes(type);
    if (len < *used)
        return corrupt();
    if (type == STORE_DOUBLE) {
        uint64_t bits;
        memcpy(&bits, p, sizeof bits);
        bits = le64toh(bits);
        memcpy(&v->as.d, &bits, sizeof bits);
        return isfinite(v->as.d) && (v->as.d != 0 || bits == 0) ? ST_OK : corrupt();
    }
    v->as.i = load_integer(p, type);
    return value_in_range(type, v->as.i) ? ST_OK : corrupt();
}

enum st store_row_decode(struct store_value *values, const struct store_field *fields, size_t count,
                         const void *row, size_t row_len)
{
    const unsigned char *p = row, *end = p + row_len;
    const unsigned char *bitmap = p;
    size_t bitmap_len = (count + 7) / 8;

    if (row_len < bitmap_len || (count % 8 && bitmap[bitmap_len - 1] >> (count % 8)))
        return corrupt();
    p += bitmap_len;
    for (size_t i = 0; i < count; i++) {
        size_t used = 0;
        if (bitmap[i / 8] >> (i % 8) & 1) {
            values[i] = (struct store_value){.null = true};
            continue;
        }
        enum st st = decode_value(&values[i], fields[i].type, p, (size_t)(end - p), &used);
        if (st)
            return st;
        p += used;
    }
    return p == end ? ST_OK : corrupt();
}

enum st store_row_json(struct buf *out, const struct store_field *fields, size_t count,
                       const void *row, size_t row_len)
{
    struct store_value values[STORE_FIELDS_MAX];
    enum st st = store_row_decode(values, fields, count, row, row_len);

    if (st)
        return st;
    buf_addch(out, '{');
    for (size_t i = 0; i < count; i++) {
        buf_addstr(out, i ? ",\"" : "\"");
        buf_addstr(out, fields[i].name); /* checked names need no escape */
        buf_addstr(out, "\":");
        store_value_json(out, fields[i].type, &values[i]);
    }
    buf_addch(out, '}');
    /* Text was checked when it was written. */
    return out->status == ST_INVALID ? corrupt() : buf_status(out);
}
