#include "ingest/records.h"

#define EXPONENT_MAX 9999 /* no DECIMAL has one that is near it */

static int read_exponent(const char *bytes, size_t len)
{
    size_t i = len && (*bytes == '-' || *bytes == '+') ? 1 : 0;
    int exponent = 0;
    for (; i < len && bytes[i] >= '0' && bytes[i] <= '9' && exponent < EXPONENT_MAX / 10; i++)
        exponent = 10 * exponent + (bytes[i] - '0');
    return len && *bytes == '-' ? -exponent : exponent;
}

/* Whether it has nothing to be rounded; whether it is a number at all is seen when it is cast. */
bool record_is_decimal(const char *bytes, size_t len, unsigned scale)
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
