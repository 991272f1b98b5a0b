#include "api/metrics.h"

#include "api/route.h"

#include <string.h>

static const char *const CLASSES[] = {"1xx", "2xx", "3xx", "4xx", "5xx", NULL};
static const char *const TENANT_CLASSES[] = {"none", STORE_TENANT_CLASSES, NULL};
enum { TENANT_CLASS_COUNT = sizeof TENANT_CLASSES / sizeof TENANT_CLASSES[0] - 1 };
static const char *const OUTCOMES[] = {"match", "no_match", NULL};
static const char *const TOKENS[] = {"cached", "verified", "refused", NULL};
static const char *const LIMITS[] = {"RATE_LIMIT", "DAY_LIMIT", "GUESS_LIMIT", NULL};
static const double BOUNDS_S[] = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                  0.005,   0.01,   0.05,    0.25,   1,     5};

unsigned api_metrics_class(const struct store_tenant *tenant)
{
    return tenant ? 1 + tenant->class : 0;
}

enum st api_metrics_register(struct api_metrics *out, struct metrics *m)
{
    const struct {
        struct metric **metric;
        struct metric_info info;
    } rows[] = {
        {&out->requests,
         {.name = "everline_requests_total",
          .help = "Requests by operation of the contract.",
          .kind = METRIC_COUNTER,
          .label = "operation",
          .label_values = api_route_operations()}},
        {&out->statuses,
         {.name = "everline_responses_total",
          .help = "Responses by class of status.",
          .kind = METRIC_COUNTER,
          .label = "class",
          .label_values = CLASSES}},
        {&out->duration,
         {.name = "everline_request_seconds",
          .help = "From the request's head to its reply.",
          .kind = METRIC_HISTOGRAM,
          .label = "operation",
          .label_values = api_route_operations(),
          .label2 = "tenant_class",
          .label2_values = TENANT_CLASSES,
          .bounds_s = BOUNDS_S,
          .bound_count = sizeof BOUNDS_S / sizeof BOUNDS_S[0]}},
        {&out->in_flight,
         {.name = "everline_requests_in_flight",
          .help = "Requests that have no reply yet.",
          .kind = METRIC_GAUGE}},
        {&out->matches,
         {.name = "everline_lookups_total",
          .help = "Keys looked up, by outcome.",
          .kind = METRIC_COUNTER,
          .label = "outcome",
          .label_values = OUTCOMES}},
        {&out->tokens,
         {.name = "everline_tokens_total",
          .help = "Tokens by what became of them: known to be good, found to be good, refused.",
          .kind = METRIC_COUNTER,
          .label = "outcome",
          .label_values = TOKENS}},
        {&out->refused,
         {.name = "everline_connections_refused_total",
          .help = "Connections refused because their address had as many as it may.",
          .kind = METRIC_COUNTER}},
        {&out->shed,
         {.name = "everline_requests_shed_total",
          .help = "Requests refused because they had waited too long and too many were waiting.",
          .kind = METRIC_COUNTER}},
        {&out->limited,
         {.name = "everline_requests_limited_total",
          .help = "Requests refused by limits of tenants and subjects, and of guesses.",
          .kind = METRIC_COUNTER,
          .label = "code",
          .label_values = LIMITS}},
        {&out->certificate_end,
         {.name = "everline_tls_certificate_end_timestamp_seconds",
          .help = "When the certificate of the server expires; 0: there is none.",
          .kind = METRIC_GAUGE}},
    };
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < sizeof rows / sizeof rows[0]; i++)
        st = metrics_register(rows[i].metric, m, &rows[i].info);
    return st;
}

void api_metrics_count(const struct api_metrics *counts, const struct api_route *route,
                       unsigned tenant_class, unsigned status, uint64_t duration_ns)
{
    metric_add(counts->statuses, status / 100 - 1, 1);
    if (!route)
        return;
    metric_add(counts->requests, api_route_index(route), 1);
    metric_observe_ns(counts->duration, api_route_index(route) * TENANT_CLASS_COUNT + tenant_class,
                      duration_ns);
}

void api_metrics_lookups(const struct api_metrics *counts, uint64_t matches, uint64_t misses)
{
    if (matches)
        metric_add(counts->matches, 0, matches);
    if (misses)
        metric_add(counts->matches, 1, misses);
}

void api_metrics_limited(const struct api_metrics *counts, const char *code)
{
    for (unsigned i = 0; LIMITS[i]; i++)
        if (strcmp(LIMITS[i], code) == 0)
            metric_add(counts->limited, i, 1);
}
