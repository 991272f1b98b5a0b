/* What the server counts. */
#ifndef EVERLINE_API_METRICS_H
#define EVERLINE_API_METRICS_H

#include "base/metrics.h"
#include "store/store.h"

struct api_metrics {
    struct metric *requests; /* by operation */
    struct metric *statuses; /* by class: 2xx ... */
    struct metric *duration; /* by operation and class of tenant */
    struct metric *in_flight;
    struct metric *matches; /* lookups by outcome */
    struct metric *tokens;  /* cached, verified, refused */
    struct metric *certificate_end;
    struct metric *refused; /* connections over the limit of their address */
    struct metric *shed;    /* requests under overload */
    struct metric *limited; /* requests, by the limit that refused them */
};

/* A request that a limit has refused; `code` is the problem's. */
void api_metrics_limited(const struct api_metrics *counts, const char *code);

enum st api_metrics_register(struct api_metrics *out, struct metrics *m) ST_MUST_USE;
struct api_route;

/* Classes of tenants as metrics name them: that of requests without one is 0. */
unsigned api_metrics_class(const struct store_tenant *tenant);

/* `route` is NULL for a request that has none: counted by its status only. */
void api_metrics_count(const struct api_metrics *counts, const struct api_route *route,
                       unsigned tenant_class, unsigned status, uint64_t duration_ns);
void api_metrics_lookups(const struct api_metrics *counts, uint64_t matches, uint64_t misses);

#endif
