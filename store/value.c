#include "store/value.h"

#include "base/clock.h"
#include "base/number.h"
#include "base/word.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US 86400000000LL
#define FIRST_DAY (-719162LL) /* 0001-01-01 */
#define LAST_DAY 2932896LL    /* 9999-12-31 */
#define NUMBER_MAX 64         /* bytes of a number, date or time as text */

const struct value_type value_types[] = {
    [STORE_BOOLEAN] = {"BOOLEAN", 1, 0, 1},
    [STORE_TINYINT] = {"TINYINT", 1, INT8_MIN, INT8_MAX},
    [STORE_SMALLINT] = {"SMALLINT", 2, INT16_MIN, INT16_MAX},
    [STORE_INTEGER] = {"INTEGER", 4, INT32_MIN, INT32_MAX},
    [STORE_BIGINT] = {"BIGINT", 8, INT64_MIN, INT64_MAX},
    [STORE_DOUBLE] = {"DOUBLE", 8, 0, 0},
    [STORE_VARCHAR] = {"VARCHAR", 0, 0, 0},
    [STORE_DATE] = {"DATE", 4, FIRST_DAY, LAST_DAY},
    [STORE_TIMESTAMP] = {"TIMESTAMP", 8, FIRST_DAY *DAY_US, (LAST_DAY + 1) * DAY_US - 1},
    [STORE_UTINYINT] = {"UTINYINT", 1, 0, UINT8_MAX},
    [STORE_USMALLINT] = {"USMALLINT", 2, 0, UINT16_MAX},
    [STORE_UINTEGER] = {"UINTEGER", 4, 0, UINT32_MAX},
    [STORE_DECIMAL] = {"DECIMAL", 8, 0, 0},
    [STORE_LIST] = {"LIST", 0, 0, 0},
};
#define SCALARS STORE_DECIMAL /* the types before it have no parameters */

/* Names with their parameters, made once. */
static char decimals[STORE_DECIMAL_WIDTH_MAX + 1][STORE_DECIMAL_WIDTH_MAX + 1][32];
static char lists[SCALARS][24];

static void make_names(void)
{
    for (int width = 1; width <= STORE_DECIMAL_WIDTH_MAX; width++)
        for (int scale = 0; scale <= width; scale++)
            snprintf(decimals[width][scale], sizeof decimals[width][scale], "DECIMAL(%d,%d)", width,
                     scale);
    for (size_t i = 0; i < SCALARS; i++)
        snprintf(lists[i], sizeof lists[i], "%s[]", value_types[i].name);
}

static bool parse_scalar(enum store_type *out, const char *name, size_t len)
{
    for (size_t i = 0; i < SCALARS; i++)
        if (strlen(value_types[i].name) == len &&
            strncasecmp(value_types[i].name, name, len) == 0) {
            *out = (enum store_type)i;
            return true;
        }
    return false;
}

static bool parse_decimal_type(enum store_type *out, const char *name)
{
    int width, scale, end = 0;
    char kind[8];

    if (sscanf(name, "%7[a-zA-Z] (%2d ,%2d )%n", kind, &width, &scale, &end) != 3 || !end ||
        name[end] || strcasecmp(kind, "DECIMAL") != 0 || width < 1 ||
        width > STORE_DECIMAL_WIDTH_MAX || scale < 0 || scale > width)
        return false;
    *out = STORE_DECIMAL_OF(width, scale);
    return true;
}

enum st store_type_parse(enum store_type *out, const char *name)
{
    size_t len = strlen(name);

    if (parse_scalar(out, name, len) || parse_decimal_type(out, name))
        return ST_OK;
    if (len > 2 && strcmp(name + len - 2, "[]") == 0 && parse_scalar(out, name, len - 2)) {
        *out = STORE_LIST_OF(*out);
        return ST_OK;
    }
    return st_hint(
        st_fail(ST_INVALID, "UNKNOWN_TYPE", "\"%.*s\" is not a type", utf8_cut(name, 40), name),
        "types: %s", store_type_names());
}

const char *store_type_name(enum store_type type)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_names);
    if (STORE_TYPE_BASE(type) == STORE_DECIMAL)
        return decimals[(unsigned)type >> 8 & 0xff][STORE_DECIMAL_SCALE(type)];
    return STORE_TYPE_BASE(type) == STORE_LIST ? lists[STORE_LIST_ELEMENT(type)]
                                               : value_types[type].name;
}

const char *store_type_names(void)
{
    return "BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT, UTINYINT, USMALLINT, UINTEGER, DOUBLE, "
           "DECIMAL(p,s) of up to 18 digits, VARCHAR, DATE, TIMESTAMP, and lists such as VARCHAR[]";
}

bool store_type_is_text(enum store_type type)
{
    return type == STORE_VARCHAR || STORE_TYPE_BASE(type) == STORE_LIST;
}

bool store_type_is_sortable(enum store_type type)
{
    return !store_type_is_text(type) && STORE_TYPE_BASE(type) != STORE_DECIMAL &&
           type != STORE_BOOLEAN && type != STORE_DOUBLE;
}

bool value_is_signed(enum store_type type)
{
    return STORE_TYPE_BASE(type) == STORE_DECIMAL || value_types[type].min < 0;
}

static int64_t power_of_ten(unsigned n)
{
    int64_t power = 1;

    while (n--)
        power *= 10;
    return power;
}

bool value_in_decimal_range(enum store_type type, int64_t i)
{
    int64_t end = power_of_ten((unsigned)type >> 8 & 0xff);

    return i > -end && i < end;
}

/* ---- to JSON ---- */

static void add_double(struct buf *out, double d)
{
    char text[NUMBER_SIZE];

    if (fabs(d) < 1e15 && d == (double)(int64_t)d)
        buf_addi64(out, (int64_t)d);
    else
        buf_addstr(out, number_text(text, d));
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

void value_add_decimal(struct buf *out, value_wide value, unsigned scale)
{
    char digits[64];
    size_t i = sizeof digits, first = sizeof digits - scale;
    bool negative = value < 0;

    do {
        int digit = (int)(value % 10);
        digits[--i] = (char)('0' + (digit < 0 ? -digit : digit));
        value /= 10;
        if (i == first && scale)
            digits[--i] = '.';
    } while (value || i > first || (scale && digits[i] == '.'));
    if (negative)
        buf_addch(out, '-');
    buf_add(out, digits + i, sizeof digits - i);
}

void store_value_json(struct buf *out, enum store_type type, const struct store_value *v)
{
    if (v->null) {
        buf_addstr(out, "null");
        return;
    }
    switch (STORE_TYPE_BASE(type)) {
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
    case STORE_UTINYINT:
    case STORE_USMALLINT:
    case STORE_UINTEGER:
        buf_addi64(out, v->as.i);
        break;
    case STORE_DECIMAL:
        value_add_decimal(out, v->as.i, STORE_DECIMAL_SCALE(type));
        break;
    case STORE_LIST:
        buf_add(out, v->as.text.bytes, v->as.text.len);
        break;
    }
}

/* ---- from text ---- */

bool value_parse_civil(int *year, unsigned *month, unsigned *day, const char *text, size_t len)
{
    static const uint64_t SHAPE = 0x2d30302d30303030u; /* "0000-00-", the first byte lowest */

    if (len != 10)
        return false;
    uint64_t eight = word_load(text) ^ SHAPE; /* digits are 0 to 9 now, and hyphens 0 */
    unsigned tens = (unsigned char)(text[8] - '0'), ones = (unsigned char)(text[9] - '0');
    if (((eight + 0x7f76767f76767676u) | eight) & WORD_HIGH || tens > 9 || ones > 9)
        return false;
    *year = (int)((eight & 15) * 1000 + (eight >> 8 & 15) * 100 + (eight >> 16 & 15) * 10 +
                  (eight >> 24 & 15));
    *month = (unsigned)((eight >> 40 & 15) * 10 + (eight >> 48 & 15));
    *day = tens * 10 + ones;
    return *year >= 1 && clock_date_exists(*year, *month, *day);
}

bool value_parse_date(int64_t *days, const char *text, size_t len)
{
    int year;
    unsigned month, day;

    if (!value_parse_civil(&year, &month, &day, text, len))
        return false;
    *days = clock_days_from_civil(year, month, day);
    return true;
}

static enum st expected(const char *what)
{
    return st_fail(ST_INVALID, "INVALID_VALUE", "%s is expected", what);
}

static enum st parse_timestamp(int64_t *us, const char *text, size_t len)
{
    int64_t days;

    if (value_parse_date(&days, text, len))
        *us = days * DAY_US;
    else if (clock_parse(us, text) || !value_in_range(STORE_TIMESTAMP, *us))
        return expected("a time such as 2026-01-31T08:00:00Z, or a date,");
    return ST_OK;
}

static enum st parse_double(double *out, const char *text)
{
    char *end;

    *out = number_read(text, &end);
    if (strspn(text, "0123456789+-.eE") != strlen(text) || end == text || *end || !isfinite(*out))
        return expected("a number");
    return ST_OK;
}

static enum st parse_integer(int64_t *out, enum store_type type, const char *text)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    if ((text[0] != '-' && (text[0] < '0' || text[0] > '9')) || end == text || *end || errno ||
        !value_in_range(type, *out))
        return st_fail(ST_INVALID, "INVALID_VALUE", "an integer of type %s is expected",
                       store_type_name(type));
    return ST_OK;
}

static enum st parse_decimal(int64_t *out, enum store_type type, const char *text)
{
    unsigned scale = STORE_DECIMAL_SCALE(type), behind = 0;
    bool negative = *text == '-', point = false, any = false;
    int64_t units = 0;

    for (text += negative; *text; text++) {
        if (*text == '.' && !point && any) {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9' || (point && behind++ == scale) ||
            __builtin_mul_overflow(units, 10, &units) ||
            __builtin_add_overflow(units, *text - '0', &units))
            return expected(store_type_name(type));
        any = true;
    }
    for (; behind < scale; behind++)
        if (__builtin_mul_overflow(units, 10, &units))
            return expected(store_type_name(type));
    *out = negative ? -units : units;
    return any && value_in_range(type, units) ? ST_OK : expected(store_type_name(type));
}

enum st store_value_parse(struct store_value *out, enum store_type type, const char *text,
                          size_t len)
{
    char number[NUMBER_MAX];

    *out = (struct store_value){0};
    if (type == STORE_VARCHAR) {
        out->as.text.bytes = text;
        out->as.text.len = len;
        return utf8_is_valid(text, len) ? ST_OK : expected("valid UTF-8");
    }
    if (len >= sizeof number || memchr(text, '\0', len))
        return expected(store_type_name(type));
    memcpy(number, text, len);
    number[len] = '\0';
    switch (STORE_TYPE_BASE(type)) {
    case STORE_BOOLEAN:
        out->as.i = strcmp(number, "true") == 0;
        return out->as.i || strcmp(number, "false") == 0 ? ST_OK : expected("true or false");
    case STORE_DATE:
        return value_parse_date(&out->as.i, number, len) ? ST_OK : expected("a date, YYYY-MM-DD,");
    case STORE_TIMESTAMP:
        return parse_timestamp(&out->as.i, number, len);
    case STORE_DOUBLE:
        return parse_double(&out->as.d, number);
    case STORE_DECIMAL:
        return parse_decimal(&out->as.i, type, number);
    default:
        return parse_integer(&out->as.i, type, number);
    }
}
