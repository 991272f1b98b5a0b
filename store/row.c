#include "store/row.h"

#include "base/clock.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of n fields:
 *
 *   +--------------------+---------+---------+-----+
 *   | null bits, n/8 up  | value 0 | value 1 | ... |      null fields have no value
 *   +--------------------+---------+---------+-----+
 *
 *   BOOLEAN, TINYINT   1 byte
 *   SMALLINT           2 bytes, INTEGER and DATE 4, BIGINT and TIMESTAMP 8: little-endian
 *   DOUBLE             8 bytes, IEEE 754, little-endian
 *   VARCHAR            4 bytes length, little-endian, then the bytes
 *
 * Bit i%8 of byte i/8 is set when field i is null; the bits past n are zero. Equal values have equal
 * bytes (-0.0 is stored as 0.0). */

static const struct type_info {
    const char *name;
    unsigned char bytes; /* 0: variable */
    bool is_signed_integer;
} TYPES[] = {
    [STORE_BOOLEAN] = {"BOOLEAN", 1, false},   [STORE_TINYINT] = {"TINYINT", 1, true},
    [STORE_SMALLINT] = {"SMALLINT", 2, true},  [STORE_INTEGER] = {"INTEGER", 4, true},
    [STORE_BIGINT] = {"BIGINT", 8, true},      [STORE_DOUBLE] = {"DOUBLE", 8, false},
    [STORE_VARCHAR] = {"VARCHAR", 0, false},   [STORE_DATE] = {"DATE", 4, true},
    [STORE_TIMESTAMP] = {"TIMESTAMP", 8, true},
};
#define TYPE_COUNT (sizeof TYPES / sizeof TYPES[0])
#define DAY_US 86400000000LL

enum st store_type_parse(enum store_type *out, const char *name)
{
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (strcasecmp(TYPES[i].name, name) == 0) {
            *out = (enum store_type)i;
            return ST_OK;
        }
    return st_hint(st_fail(ST_INVALID, "UNKNOWN_TYPE", "\"%.40s\" is not a type", name),
                   "types: %s", store_type_names());
}

const char *store_type_name(enum store_type type)
{
    return TYPES[type].name;
}

const char *store_type_names(void)
{
    return "BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT, DOUBLE, VARCHAR, DATE, TIMESTAMP";
}

static enum st encode_text(struct buf *out, const struct store_field *field,
                           const struct store_value *v)
{
    struct buf check;

    buf_init(&check, SIZE_MAX / 2);
    buf_add_json_string(&check, v->as.text.bytes, v->as.text.len);
    enum st st = check.status;
    buf_release(&check);
    if (st == ST_INVALID)
        return st_fail(ST_INVALID, "INVALID_TEXT", "field %s: text is not valid UTF-8", field->name);
    if (st || v->as.text.len > STORE_ROW_MAX)
        return st_fail(ST_TOO_LARGE, NULL, "field %s: text is too long", field->name);
    uint32_t len = htole32((uint32_t)v->as.text.len);
    buf_add(out, &len, sizeof len);
    buf_add(out, v->as.text.bytes, v->as.text.len);
    return ST_OK;
}

static enum st encode_value(struct buf *out, const struct store_field *field,
                            const struct store_value *v)
{
    uint64_t bits;

    if (field->type == STORE_VARCHAR)
        return encode_text(out, field, v);
    if (field->type == STORE_DOUBLE) {
        double d = v->as.d == 0 ? 0.0 : v->as.d;
        if (!isfinite(d))
            return st_fail(ST_INVALID, "NOT_FINITE", "field %s: NaN and infinity cannot be served",
                           field->name);
        memcpy(&bits, &d, sizeof bits);
    } else {
        bits = (uint64_t)v->as.i;
    }
    bits = htole64(bits); /* the low bytes come first */
    buf_add(out, &bits, TYPES[field->type].bytes);
    return ST_OK;
}

enum st store_row_encode(struct buf *out, const struct store_field *fields, size_t count,
                         const struct store_value *values)
{
    size_t before = out->len;
    size_t bitmap_len = (count + 7) / 8;
    unsigned char bitmap[(STORE_FIELDS_MAX + 7) / 8] = {0};
    enum st st = ST_OK;

    for (size_t i = 0; i < count; i++)
        if (values[i].null)
            bitmap[i / 8] |= (unsigned char)(1u << (i % 8));
    buf_add(out, bitmap, bitmap_len);
    for (size_t i = 0; !st && i < count; i++)
        if (!values[i].null)
            st = encode_value(out, &fields[i], &values[i]);
    if (!st)
        st = buf_status(out);
    if (!st && out->len - before > STORE_ROW_MAX)
        st = st_fail(ST_TOO_LARGE, "ROW_TOO_LARGE", "a row is larger than %u bytes", STORE_ROW_MAX);
    return st;
}

static enum st corrupt(void)
{
    return st_fail(ST_CORRUPT, "ROW_DAMAGED", "a stored row does not decode");
}

static int64_t load_integer(const unsigned char *p, unsigned bytes, bool is_signed)
{
    uint64_t bits = 0;

    memcpy(&bits, p, bytes);
    bits = le64toh(bits);
    if (is_signed && bytes < 8 && (bits >> (bytes * 8 - 1)) & 1)
        bits |= ~0ULL << (bytes * 8);
    return (int64_t)bits;
}

/* One value at p; *used is its length. */
static enum st decode_value(struct store_value *v, enum store_type type, const unsigned char *p,
                            size_t len, size_t *used)
{
    const struct type_info *info = &TYPES[type];

    *v = (struct store_value){0};
    if (type == STORE_VARCHAR) {
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
    if (len < info->bytes)
        return corrupt();
    *used = info->bytes;
    if (type == STORE_DOUBLE) {
        int64_t bits = load_integer(p, 8, false);
        memcpy(&v->as.d, &bits, sizeof bits);
        return isfinite(v->as.d) ? ST_OK : corrupt();
    }
    v->as.i = load_integer(p, info->bytes, info->is_signed_integer);
    return type == STORE_BOOLEAN && (v->as.i & ~1LL) ? corrupt() : ST_OK;
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

/* The shortest of three precisions that reads back; never locale-dependent: the programs set none. */
static void add_double(struct buf *out, double d)
{
    char text[40];

    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, d);
        if (strtod(text, NULL) == d)
            break;
    }
    buf_addstr(out, text);
}

static void add_date(struct buf *out, int64_t days)
{
    unsigned month, day;
    int year;

    clock_civil_from_days((int32_t)days, &year, &month, &day);
    buf_addf(out, "\"%04d-%02u-%02u\"", year, month, day);
}

static void add_timestamp(struct buf *out, int64_t us)
{
    int64_t days = us / DAY_US, rest = us % DAY_US;
    unsigned month, day;
    int year;

    if (rest < 0) {
        rest += DAY_US;
        days--;
    }
    clock_civil_from_days((int32_t)days, &year, &month, &day);
    int64_t s = rest / 1000000, fraction = rest % 1000000;
    buf_addf(out, "\"%04d-%02u-%02uT%02d:%02d:%02d", year, month, day, (int)(s / 3600),
             (int)(s / 60 % 60), (int)(s % 60));
    if (fraction)
        buf_addf(out, ".%06d", (int)fraction);
    buf_addstr(out, "Z\"");
}

void store_value_json(struct buf *out, enum store_type type, const struct store_value *v)
{
    if (v->null) {
        buf_addstr(out, "null");
        return;
    }
    switch (type) {
    case STORE_BOOLEAN:
        buf_addstr(out, v->as.i ? "true" : "false");
        break;
    case STORE_DOUBLE:
        add_double(out, v->as.d);
        break;
    case STORE_VARCHAR:
        buf_add_json_string(out, v->as.text.bytes, v->as.text.len);
        break;
    case STORE_DATE:
        add_date(out, v->as.i);
        break;
    case STORE_TIMESTAMP:
        add_timestamp(out, v->as.i);
        break;
    case STORE_TINYINT:
    case STORE_SMALLINT:
    case STORE_INTEGER:
    case STORE_BIGINT:
        buf_addi64(out, v->as.i);
        break;
    }
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
    return buf_status(out);
}

static enum st parse_date(int64_t *days, const char *text, size_t len)
{
    int year, month, day, used = 0;

    if (len != 10 || sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3 || used != 10 ||
        month < 1 || day < 1 || !clock_date_exists(year, (unsigned)month, (unsigned)day))
        return st_fail(ST_INVALID, "INVALID_VALUE", "a date, YYYY-MM-DD, is expected");
    *days = clock_days_from_civil(year, (unsigned)month, (unsigned)day);
    return ST_OK;
}

static enum st parse_integer(int64_t *out, enum store_type type, const char *text)
{
    unsigned bits = TYPES[type].bytes * 8u;
    int64_t max = bits == 64 ? INT64_MAX : (int64_t)(1ULL << (bits - 1)) - 1;
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end || end == text || errno || value > max || value < -max - 1 || *text == ' ' || *text == '+')
        return st_fail(ST_INVALID, "INVALID_VALUE", "an integer of type %s is expected",
                       TYPES[type].name);
    *out = value;
    return ST_OK;
}

enum st store_value_parse(struct store_value *out, enum store_type type, const char *text, size_t len)
{
    char *end;

    *out = (struct store_value){0};
    if (type == STORE_VARCHAR) {
        out->as.text.bytes = text;
        out->as.text.len = len;
        return ST_OK;
    }
    if (strlen(text) != len)
        return st_fail(ST_INVALID, "INVALID_VALUE", "a NUL is in the value");
    switch (type) {
    case STORE_BOOLEAN:
        out->as.i = strcmp(text, "true") == 0;
        return out->as.i || strcmp(text, "false") == 0
                   ? ST_OK
                   : st_fail(ST_INVALID, "INVALID_VALUE", "true or false is expected");
    case STORE_DATE:
        return parse_date(&out->as.i, text, len);
    case STORE_TIMESTAMP:
        return parse_date(&out->as.i, text, len) == ST_OK
                   ? (out->as.i *= DAY_US, ST_OK)
                   : clock_parse(&out->as.i, text);
    case STORE_DOUBLE:
        out->as.d = strtod(text, &end);
        return *end || end == text || !isfinite(out->as.d)
                   ? st_fail(ST_INVALID, "INVALID_VALUE", "a number is expected")
                   : ST_OK;
    default:
        return parse_integer(&out->as.i, type, text);
    }
}
