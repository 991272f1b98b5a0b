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

struct member {
    const char *name;
    size_t len;
    int weight; /* -1: it is not understood */
};

/* The next member of a list; false: there is none. */
static bool next_member(struct member *out, const char **p)
{
    *p += strspn(*p, " \t,");
    if (!**p)
        return false;
    size_t all = strcspn(*p, ",");
    *out = (struct member){.name = *p, .len = strcspn(*p, ",; \t")};
    out->weight = weight_of(skip_space(*p + out->len), *p + all);
    *p += all;
    return true;
}

static bool is_named(const struct member *m, const char *name, size_t len)
{
    return m->len == len && strncasecmp(m->name, name, len) == 0;
}

int api_weight_gzip(const char *header)
{
    int gzip = -1, any = -1;
    struct member m;

    for (const char *p = header; p && next_member(&m, &p);) {
        if (is_named(&m, "gzip", 4) || is_named(&m, "x-gzip", 6))
            gzip = m.weight > gzip ? m.weight : gzip;
        else if (is_named(&m, "*", 1))
            any = m.weight;
    }
    int found = gzip >= 0 ? gzip : any;
    return found > 0 ? found : 0;
}

int api_weight_type(const char *header, const char *type)
{
    size_t major = strcspn(type, "/") + 1;
    int weights[] = {-1, -1, -1}; /* of all, of the type's kind, of the type */
    struct member m;

    if (!header || !*header)
        return WHOLE;
    for (const char *p = header; next_member(&m, &p);) {
        if (is_named(&m, type, strlen(type)))
            weights[2] = m.weight;
        else if (m.len == major + 1 && strncasecmp(m.name, type, major) == 0 &&
                 m.name[major] == '*')
            weights[1] = m.weight;
        else if (is_named(&m, "*/*", 3))
            weights[0] = m.weight;
    }
    for (unsigned i = 3; i-- > 0;)
        if (weights[i] >= 0)
            return weights[i];
    return 0;
}
