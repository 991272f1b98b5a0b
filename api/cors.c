#include "api/cors.h"

#include <string.h>

#define MAX_AGE_S "600"

/* What pages may send, and see of an answer, beside what every page may. */
#define MAY_SEND                                                                                   \
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Purpose, "           \
    "X-Request-Id, Traceparent"
#define MAY_SEE                                                                                    \
    "ETag, Everline-Version, Everline-Version-State, Location, RateLimit, RateLimit-Policy, "      \
    "Retry-After, WWW-Authenticate, X-Request-Id"

enum st api_cors_check(const char *origin)
{
    const char *host = strstr(origin, "://");

    if (strcmp(origin, "*") == 0)
        return ST_OK;
    if (host && host > origin && host[3] && strlen(origin) < 256 &&
        strspn(origin, "abcdefghijklmnopqrstuvwxyz0123456789+-.:/[]") == strlen(origin) &&
        !strchr(host + 3, '/'))
        return ST_OK;
    return st_hint(st_fail(ST_USAGE, NULL, "--cors-origin: \"%.100s\" is not an origin", origin),
                   "write it as browsers do, such as https://app.example.org, without a path; or "
                   "* for all");
}

const char *api_cors_origin(const struct api_settings *settings, const char *origin)
{
    for (const char *const *listed = settings->cors_origins; origin && *listed; listed++)
        if (strcmp(*listed, "*") == 0 || strcmp(*listed, origin) == 0)
            return *listed;
    return NULL;
}

bool api_cors_add(struct MHD_Response *response, const struct api_exchange *x)
{
    const char *origin = api_cors_origin(x->settings, x->head.origin);

    if (!origin)
        return true;
    bool added = MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
    if (!x->options)
        return added && MHD_add_response_header(response, "Access-Control-Expose-Headers", MAY_SEE);
    return added && MHD_add_response_header(response, "Access-Control-Allow-Methods", x->allow) &&
           MHD_add_response_header(response, "Access-Control-Allow-Headers", MAY_SEND) &&
           MHD_add_response_header(response, "Access-Control-Max-Age", MAX_AGE_S);
}
