/* Routing: from method and raw path to an operation of the contract. The table is generated from
 * openapi/everline.yaml at build time, so that the server cannot drift from it. */
#ifndef EVERLINE_API_ROUTE_H
#define EVERLINE_API_ROUTE_H

#include "api/exchange.h"

#define API_SEGMENTS_MAX 8
#define API_QUERY_PARAMS_MAX 12

/* What the audit has of an operation: nothing, an act whatever came of it, or each key. */
enum api_audited { API_AUDITED_NOT, API_AUDITED_ACT, API_AUDITED_LOOKUP };

enum api_type { API_TEXT, API_INTEGER, API_BOOLEAN };

struct api_param {
    const char *name;
    enum api_type type;
    int64_t min, max;  /* of an integer, or of a text's length in bytes */
    const char *words; /* that a text can be, ", " between them; NULL: any */
};

enum api_place {
    API_ROUTE_API,     /* not where probes and metrics are alone */
    API_ROUTE_PROBE,   /* everywhere */
    API_ROUTE_METRICS, /* where they are alone, if there is such a place */
};

struct api_route {
    const char *operation; /* operationId */
    const char *method;
    const char *segments[API_SEGMENTS_MAX]; /* NULL: a parameter */
    size_t segment_count;
    struct api_param path_params[API_PATH_PARAMS_MAX];
    size_t path_param_count;
    struct api_param query_params[API_QUERY_PARAMS_MAX];
    size_t query_param_count;
    bool free_query; /* other query parameters are the handler's to judge */
    enum api_place place;
    uint32_t scope;         /* enum auth_scope; 0: no token needed */
    size_t body_limit;      /* bytes; 0: no body */
    const char *media_type; /* of the body; NULL: no body, or any */
    enum api_audited audited;
    bool repeatable;  /* it takes an Idempotency-Key */
    bool stream;      /* a body of another media type goes to the spool as it comes */
    api_data_fn data; /* one of the two */
    api_control_fn control;
    api_before_fn before; /* comes before `control`, or NULL */
    api_later_fn later;   /* the long part of `control`, or NULL */
};

/* Room for the decoded parameters of one request: nothing is allocated. */
struct api_target {
    char text[4096];
    size_t len;
};

/* Routes `method` and the raw request target ("/v1/datasets/a%20b?limit=3", or the same behind
 * "http://" and any authority), decoding each segment
 * and each query part once, and checks them against the table. Fills route, path_params and query
 * of `request`; what it points at lives in `target`. HEAD is routed as GET. ST_NOT_FOUND
 * (NO_ROUTE), ST_METHOD (allow gets "GET, POST"; for OPTIONS of "*" what any path takes),
 * ST_INVALID (INVALID_PARAMETER, UNKNOWN_PARAMETER, DUPLICATE_PARAMETER, INVALID_TARGET),
 * ST_TOO_LARGE. */
enum st api_route_match(struct api_request *request, struct api_target *target, char allow[64],
                        const char *method, const char *raw) ST_MUST_USE;

/* Can a parameter of an operation's query have this value? ST_INVALID, code INVALID_PARAMETER. */
enum st api_route_check(const char *operation, const char *parameter,
                        const char *value) ST_MUST_USE;

/* Index of a route in the table, and the operations' names, NULL-terminated, in the same order. */
unsigned api_route_index(const struct api_route *route);
const char *const *api_route_operations(void);

#endif
