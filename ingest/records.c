#include "ingest/records.h"

#include <ctype.h>
#include <string.h>

#define EXPONENT_MAX 9999 /* no DECIMAL has one that is near it */

static int read_exponent(const char *bytes, size_t len)
{
    size_t i = len && (*bytes == '-' || *bytes == '+') ? 1 : 0;
    int exponent = 0;
    for (; i < len && bytes[i] >= '0' && bytes[i] <= '9' && exponent < EXPONENT_MAX / 10; i++)
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
        if (c < '0' || c > '9')
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

/* DuckDB 1.4.4 takes a zone that is named for that of the rows behind it, too. Words such as
 * "infinity" are no dates with one. */
static bool has_no_zone(const char *bytes, size_t len)
{
    bool date = false;
    for (size_t i = 0; i < len; i++) {
        date = date || isdigit((unsigned char)bytes[i]);
        if (!date || !isalpha((unsigned char)bytes[i]))
            continue;
        bool separates = (bytes[i] == 'T' || bytes[i] == 't') && i + 1 < len &&
                         isdigit((unsigned char)bytes[i + 1]);
        if (!separates)
            return (len - i == 1 && bytes[i] == 'Z') ||
                   (len - i == 3 && !memcmp(bytes + i, "UTC", 3));
    }
    return true;
}

/* DuckDB takes no notice of what stands behind a date. */
static bool is_date(const char *bytes, size_t len)
{
    static const char midnight[] = {' ', 'T', 't', ':', '.', '0', 'Z',
                                    'z', '+', '-', '(', 'B', 'C', ')'};
    size_t i = 0;
    for (unsigned numbers = 0; numbers < 3; numbers++) {
        while (i < len && !isdigit((unsigned char)bytes[i]))
            i++;
        while (i < len && isdigit((unsigned char)bytes[i]))
            i++;
    }
    while (i < len && memchr(midnight, bytes[i], sizeof midnight))
        i++;
    return i == len;
}

bool record_has_shape_of(unsigned char shape, const char *bytes, size_t len)
{
    if (shape >= RECORD_DECIMAL)
        return is_decimal(bytes, len, shape - RECORD_DECIMAL);
    if (shape == RECORD_DATE)
        return is_date(bytes, len);
    return shape == RECORD_UTC ? is_utc(bytes, len) : has_no_zone(bytes, len);
}
