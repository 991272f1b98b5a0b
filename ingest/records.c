#include "ingest/records.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define EXPONENT_MAX 9999 /* no DECIMAL has one that is near it */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What DuckDB passes over around a value, and a JSON string's quotes. */
static bool is_around(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '"';
}

/* From where it is more than digits on: behind a point there are but zeros. */
static bool is_integer(const char *bytes, size_t len)
{
    bool point = false;
    for (size_t i = 0; i < len; i++) {
        if (is_digit(bytes[i]) ? point && bytes[i] != '0'
                               : !is_around(bytes[i]) && !memchr("-+.", bytes[i], 3))
            return false;
        point = point || bytes[i] == '.';
    }
    return true;
}

static bool is_bignum(const char *bytes, size_t len)
{
    size_t i = len && (*bytes == '-' || *bytes == '+') ? 1 : 0;
    bool some = i < len;
    while (i < len && is_digit(bytes[i]))
        i++;
    return some && i == len;
}

/* DuckDB takes 1_0 for 10 here, too. */
static int read_exponent(const char *bytes, size_t len)
{
    size_t i = len && (*bytes == '-' || *bytes == '+') ? 1 : 0;
    int exponent = 0;
    for (; i < len && (is_digit(bytes[i]) || bytes[i] == '_') && exponent < EXPONENT_MAX / 10; i++)
        if (bytes[i] != '_')
            exponent = 10 * exponent + (bytes[i] - '0');
    return len && *bytes == '-' ? -exponent : exponent;
}

/* It has nothing to be rounded. */
static bool is_decimal(const char *bytes, size_t len, unsigned scale)
{
    long behind = 0, zeros = 0; /* digits behind the point; at the end of all digits */
    bool point = false, some = false;
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        if (c == 'e' || c == 'E')
            return !some ||
                   behind - zeros - read_exponent(bytes + i + 1, len - i - 1) <= (long)scale;
        point = point || c == '.';
        if (!is_digit(c))
            continue;
        behind += point;
        some = some || c != '0';
        zeros = c == '0' ? zeros + 1 : 0;
    }
    return !some || behind - zeros <= (long)scale;
}

/* DuckDB leaves an offset away, which stands behind the time. */
static bool is_utc(const char *bytes, size_t len)
{
    bool time = false, offset = false;
    for (size_t i = 0; i < len; i++) {
        if (offset && bytes[i] >= '1' && bytes[i] <= '9')
            return false;
        time = time || bytes[i] == ':';
        offset = offset || (time && (bytes[i] == '-' || bytes[i] == '+'));
    }
    return true;
}

/* "Z" or "UTC", and nothing behind it. */
static bool ends_in_utc(const char *bytes, size_t len)
{
    size_t i = len && *bytes == 'Z' ? 1 : len >= 3 && !strncasecmp(bytes, "UTC", 3) ? 3 : 0;
    bool named = i > 0;
    while (i < len && is_around(bytes[i]))
        i++;
    return named && i == len;
}

/* DuckDB 1.4.4 takes a zone that is named for that of the rows behind it, too. Words such as
 * "infinity" are no dates with one. */
static bool has_no_zone(const char *bytes, size_t len)
{
    bool date = false;
    for (size_t i = 0; i < len; i++) {
        date = date || is_digit(bytes[i]);
        if (!date || !isalpha((unsigned char)bytes[i]))
            continue;
        bool separates =
            (bytes[i] == 'T' || bytes[i] == 't') && i + 1 < len && is_digit(bytes[i + 1]);
        if (!separates)
            return ends_in_utc(bytes + i, len - i);
    }
    return true;
}

static bool is_midnight(const char *bytes, size_t len)
{
    static const char parts[] = {'T', 't', ':', '.', '0', 'Z', 'z', '+', '-'};
    size_t i = 0;
    while (i < len && (is_around(bytes[i]) || memchr(parts, bytes[i], sizeof parts)))
        i++;
    return i == len || ends_in_utc(bytes + i, len - i);
}

/* DuckDB takes no notice of what stands behind a date, unless it is " (BC)". */
static bool is_date(const char *bytes, size_t len)
{
    size_t i = 0;
    for (unsigned numbers = 0; numbers < 3; numbers++) {
        while (i < len && !is_digit(bytes[i]))
            i++;
        while (i < len && is_digit(bytes[i]))
            i++;
    }
    if (len - i >= 5 && is_around(bytes[i]) && !strncasecmp(bytes + i + 1, "(BC)", 4))
        i += 5;
    return is_midnight(bytes + i, len - i);
}

bool record_has_shape_of(unsigned char shape, const char *bytes, size_t len)
{
    switch (shape) {
    case RECORD_INTEGER:
        return is_integer(bytes, len);
    case RECORD_BIGNUM:
        return is_bignum(bytes, len);
    case RECORD_UTC:
        return is_utc(bytes, len);
    case RECORD_OFFSET:
        return has_no_zone(bytes, len);
    case RECORD_DATE:
        return is_date(bytes, len);
    default:
        return is_decimal(bytes, len, shape - RECORD_DECIMAL);
    }
}

unsigned char record_shape(const char *type, unsigned scale)
{
    static const struct {
        const char *type;
        unsigned char shape;
    } shapes[] = {
        {"TINYINT", RECORD_INTEGER},   {"SMALLINT", RECORD_INTEGER},
        {"INTEGER", RECORD_INTEGER},   {"BIGINT", RECORD_INTEGER},
        {"HUGEINT", RECORD_INTEGER},   {"UTINYINT", RECORD_INTEGER},
        {"USMALLINT", RECORD_INTEGER}, {"UINTEGER", RECORD_INTEGER},
        {"UBIGINT", RECORD_INTEGER},   {"UHUGEINT", RECORD_INTEGER},
        {"BIGNUM", RECORD_BIGNUM},     {"DATE", RECORD_DATE},
        {"TIMESTAMP", RECORD_UTC},     {"TIMESTAMP_S", RECORD_UTC},
        {"TIMESTAMP_MS", RECORD_UTC},  {"TIMESTAMP_NS", RECORD_UTC},
        {"DECIMAL", RECORD_DECIMAL},   {"TIMESTAMP WITH TIME ZONE", RECORD_OFFSET},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(shapes[i].type, type))
            return (unsigned char)(shapes[i].shape + scale);
    return RECORD_ANY;
}
