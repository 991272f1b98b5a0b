#include "api/negotiate.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WHOLE 1000

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t");
}

/* "0.5", "1", "1.000" up to `end`; -1: it is none. */
static int read_weight(const char *p, const char *end)
{
    int value = 0, digits = 0;

    if (p == end || (*p != '0' && *p != '1'))
        return -1;
    value = (*p++ - '0') * WHOLE;
    if (p < end && *p == '.')
        for (p++; p < end && digits < 3 && isdigit((unsigned char)*p); p++)
            value += (*p - '0') * (digits == 0 ? 100 : digits == 1 ? 10 : 1), digits++;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p == end && value <= WHOLE ? value : -1;
}

/* The weight among the parameters of one member, which begin at `p`. */
static int weight_of(const char *p, const char *end)
{
    while (p < end) {
        p = skip_space(p + 1); /* the semicolon */
        const char *next = p;
        while (next < end && *next != ';')
            next++;
        if (next - p >= 2 && (*p == 'q' || *p == 'Q') && p[1] == '=')
            return read_weight(p + 2, next);
        p = next;
    }
    return WHOLE;
}

int api_weight_gzip(const char *header)
{
    int gzip = -1, any = -1;

    for (const char *p = header; p && *p;) {
        p += strspn(p, " \t,");
        size_t member = strcspn(p, ","), name = strcspn(p, ",; \t");
        const char *parameters = skip_space(p + name);
        int weight = weight_of(parameters, p + member);

        if ((name == 4 && strncasecmp(p, "gzip", 4) == 0) ||
            (name == 6 && strncasecmp(p, "x-gzip", 6) == 0))
            gzip = weight > gzip ? weight : gzip;
        else if (name == 1 && *p == '*')
            any = weight;
        p += member;
    }
    int found = gzip >= 0 ? gzip : any;
    return found > 0 ? found : 0;
}
