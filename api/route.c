#include "api/route.h"

#include "api_routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ROUTE_COUNT (sizeof API_ROUTES / sizeof API_ROUTES[0])

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes %XX once into the target's text. NULL: no room; *bad: a wrong escape or a NUL. */
static const char *decode(struct api_target *t, const char *raw, size_t len, bool plus,
                          size_t *out_len, bool *bad)
{
    char *start = t->text + t->len, *to = start;

    if (sizeof t->text - t->len <= len)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        char c = raw[i];
        if (c == '%') {
            int high = i + 1 < len ? hex(raw[i + 1]) : -1, low = i + 2 < len ? hex(raw[i + 2]) : -1;
            if (high < 0 || low < 0 || (high | low) == 0) {
                *bad = true;
                return start;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        *to++ = c;
    }
    *to = '\0';
    *out_len = (size_t)(to - start);
    t->len += *out_len + 1;
    return start;
}

static enum st bad_target(const char *why)
{
    return st_fail(ST_INVALID, "INVALID_TARGET", "the request target %s", why);
}

static enum st too_long(void)
{
    return st_fail(ST_TOO_LARGE, "TARGET_TOO_LONG", "the request target is too long");
}

struct span {
    const char *text;
    size_t len;
};

static bool fits(const struct api_route *route, const struct span *segments, size_t count)
{
    if (route->segment_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (route->segments[i] &&
            (strlen(route->segments[i]) != segments[i].len ||
             memcmp(route->segments[i], segments[i].text, segments[i].len) != 0))
            return false;
    return true;
}

static bool is_get(const struct api_route *route)
{
    return strcmp(route->method, "GET") == 0;
}

/* The route of path and method, or NULL. HEAD is a GET. */
static const struct api_route *find(const char *method, const struct span *segments, size_t count)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (fits(&API_ROUTES[i], segments, count) && strcmp(API_ROUTES[i].method, wanted) == 0)
            return &API_ROUTES[i];
    return NULL;
}

/* The methods of the routes that have the path, or of all when it is NULL; empty: none. */
static void list_methods(char allow[64], const struct span *segments, size_t count)
{
    size_t len = 0;

    allow[0] = '\0';
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if ((!segments || fits(&API_ROUTES[i], segments, count)) &&
            !strstr(allow, API_ROUTES[i].method))
            len += (size_t)snprintf(allow + len, 64 - len, "%s%s%s", len ? ", " : "",
                                    API_ROUTES[i].method, is_get(&API_ROUTES[i]) ? ", HEAD" : "");
}

static enum st check_length(const struct api_param *p, size_t len)
{
    if (len >= (size_t)p->min && len <= (size_t)p->max)
        return ST_OK;
    if (p->min == p->max)
        return st_fail(ST_INVALID, "INVALID_PARAMETER", "\"%s\" must have %lld bytes", p->name,
                       (long long)p->min);
    return st_fail(ST_INVALID, "INVALID_PARAMETER", "\"%s\" must have %lld to %lld bytes", p->name,
                   (long long)p->min, (long long)p->max);
}

static enum st check_word(const struct api_param *p, const char *value, size_t len)
{
    for (const char *at = p->words; *at; at += strspn(at, ", ")) {
        size_t size = strcspn(at, ",");
        if (size == len && memcmp(at, value, len) == 0)
            return ST_OK;
        at += size;
    }
    return st_fail(ST_INVALID, "INVALID_PARAMETER", "\"%s\" must be one of %s", p->name, p->words);
}

static enum st check_value(const struct api_param *p, const char *value, size_t len)
{
    char *end;

    if (p->type == API_BOOLEAN)
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0 || len == 0
                   ? ST_OK
                   : st_fail(ST_INVALID, "INVALID_PARAMETER", "\"%s\" must be true or false",
                             p->name);
    if (p->type == API_TEXT)
        return p->words ? check_word(p, value, len) : check_length(p, len);
    errno = 0;
    long long number = strtoll(value, &end, 10);
    bool digits = len > 0 && len < 20 && strspn(value, "0123456789") == len &&
                  (len == 1 || *value != '0'); /* each number has one form */
    return digits && !errno && number >= p->min && number <= p->max
               ? ST_OK
               : st_fail(ST_INVALID, "INVALID_PARAMETER",
                         "\"%s\" must be an integer from %lld to %lld", p->name, (long long)p->min,
                         (long long)p->max);
}

static enum st take_path(struct api_request *request, struct api_target *t,
                         const struct span *segments)
{
    const struct api_route *route = request->route;
    size_t n = 0;

    for (size_t i = 0; i < route->segment_count; i++) {
        bool bad = false;
        size_t len;

        if (route->segments[i])
            continue;
        const char *value = decode(t, segments[i].text, segments[i].len, false, &len, &bad);
        if (!value)
            return too_long();
        if (bad)
            return bad_target("has a wrong escape");
        /* A name that cannot be is one that is not there. */
        if (check_value(&route->path_params[n], value, len))
            return route->path_params[n].type == API_INTEGER
                       ? st_place(ST_INVALID, "path/%s", route->path_params[n].name)
                       : st_fail(ST_NOT_FOUND, "NO_ROUTE", "there is nothing at this path");
        request->path_params[n++] = value;
    }
    return ST_OK;
}

static enum st check_query(const struct api_request *request, const struct api_pair *pair)
{
    const struct api_route *route = request->route;

    for (size_t i = 0; i + 1 < request->query_count; i++)
        if (strcmp(request->query[i].name, pair->name) == 0)
            return st_place(
                st_fail(ST_INVALID, "DUPLICATE_PARAMETER", "\"%.64s\" is there twice", pair->name),
                "query/%.64s", pair->name);
    for (size_t i = 0; i < route->query_param_count; i++)
        if (strcmp(route->query_params[i].name, pair->name) == 0) {
            enum st st = check_value(&route->query_params[i], pair->value, pair->value_len);
            return st ? st_place(st, "query/%s", pair->name) : ST_OK;
        }
    return route->free_query
               ? ST_OK
               : st_place(st_fail(ST_INVALID, "UNKNOWN_PARAMETER",
                                  "this operation has no parameter \"%.64s\"", pair->name),
                          "query/%.64s", pair->name);
}

static enum st take_query(struct api_request *request, struct api_target *t, const char *query)
{
    while (*query) {
        size_t len = strcspn(query, "&"), name_len = strcspn(query, "=&"), decoded;
        struct api_pair *pair = &request->query[request->query_count];
        bool bad = false;

        if (len > 0) {
            if (request->query_count == API_QUERY_MAX)
                return too_long();
            pair->name = decode(t, query, name_len, true, &decoded, &bad);
            size_t at = name_len < len ? name_len + 1 : len;
            pair->value = pair->name && !bad
                              ? decode(t, query + at, len - at, true, &pair->value_len, &bad)
                              : NULL;
            if (bad)
                return bad_target("has a wrong escape");
            if (!pair->value)
                return too_long();
            request->query_count++;
            enum st st = check_query(request, pair);
            if (st)
                return st;
        }
        query += len;
        query += *query == '&';
    }
    return ST_OK;
}

/* A target in absolute form must be taken, as a proxy gets it (RFC 9112 section 3.2.2): whose name
 * it has does not matter here. NULL: neither form. */
static const char *skip_origin(const char *raw)
{
    static const char SCHEME[] = "http://";

    if (*raw == '/')
        return raw;
    if (strncasecmp(raw, SCHEME, sizeof SCHEME - 1) != 0)
        return NULL;
    raw += sizeof SCHEME - 1;
    size_t authority_len = strcspn(raw, "/?");
    return authority_len ? raw + authority_len : NULL; /* RFC 9110 section 4.2.1 */
}

/* OPTIONS of the server as a whole (RFC 9110 section 9.3.7), or so through a proxy (RFC 9112
 * section 3.2.4). */
static bool asks_of_all(const char *method, const char *raw, const char *path)
{
    return strcmp(method, "OPTIONS") == 0 && (strcmp(raw, "*") == 0 || (path && !*path));
}

static enum st refuse_method(const char *allow)
{
    return st_hint(st_fail(ST_METHOD, "METHOD_NOT_ALLOWED", "this path does not take the method"),
                   "allowed: %s", allow);
}

enum st api_route_match(struct api_request *request, struct api_target *target, char allow[64],
                        const char *method, const char *raw)
{
    struct span segments[API_SEGMENTS_MAX];
    size_t count = 0;

    target->len = 0;
    request->route = NULL;
    request->query_count = 0;
    const char *path = skip_origin(raw);
    if (asks_of_all(method, raw, path)) {
        list_methods(allow, NULL, 0);
        return refuse_method(allow);
    }
    raw = path;
    if (!raw)
        return bad_target("must begin with / or http://");
    size_t path_len = strcspn(raw, "?");
    const char *query = raw[path_len] ? raw + path_len + 1 : "";
    for (const char *p = raw + (*raw == '/'); count < API_SEGMENTS_MAX;) { /* none is / */
        size_t len = strcspn(p, "/?");
        segments[count++] = (struct span){p, len};
        p += len;
        if (*p != '/')
            break;
        p++;
        if (count == API_SEGMENTS_MAX)
            count = API_SEGMENTS_MAX + 1; /* deeper than any route */
    }
    allow[0] = '\0';
    request->route = find(method, segments, count);
    if (!request->route) {
        list_methods(allow, segments, count);
        return *allow ? refuse_method(allow)
                      : st_fail(ST_NOT_FOUND, "NO_ROUTE", "there is nothing at this path");
    }
    enum st st = take_path(request, target, segments);
    return st ? st : take_query(request, target, query);
}

enum st api_route_check(const char *operation, const char *parameter, const char *value)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        for (size_t j = 0; j < API_ROUTES[i].query_param_count; j++)
            if (strcmp(API_ROUTES[i].operation, operation) == 0 &&
                strcmp(API_ROUTES[i].query_params[j].name, parameter) == 0)
                return check_value(&API_ROUTES[i].query_params[j], value, strlen(value));
    return st_fail(ST_INVALID, "UNKNOWN_PARAMETER", "%s has no parameter \"%s\"", operation,
                   parameter);
}

unsigned api_route_index(const struct api_route *route)
{
    return (unsigned)(route - API_ROUTES);
}

const char *const *api_route_operations(void)
{
    return API_OPERATIONS;
}

const char *api_query(const struct api_request *r, const char *name)
{
    for (size_t i = 0; i < r->query_count; i++)
        if (strcmp(r->query[i].name, name) == 0)
            return r->query[i].value;
    return NULL;
}
