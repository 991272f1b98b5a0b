/* The server: libmicrohttpd's threads in front of the keeper's views. */
#ifndef EVERLINE_API_SERVER_H
#define EVERLINE_API_SERVER_H

#include "base/buf.h"
#include "base/log.h"
#include "base/status.h"
#include "store/keeper.h"

#include <stdint.h>

struct api_options {
    struct store_options store;
    /* "127.0.0.1:0", "[::1]:8080", "unix:/run/everline.sock"; NULL ends */
    const char *const *listen;
    const char *metrics_listen;     /* such a place for probes and metrics alone; or NULL */
    const char *tls_cert, *tls_key; /* PEM: TLS on the addresses of `listen`; or both NULL */
    const char *port_file; /* written (atomically) once ready: the first port in decimal; or NULL */
    unsigned workers;      /* request threads of each place; 0: one per CPU */
    unsigned connection_limit;          /* 0: 4096 */
    uint64_t body_limit_bytes;          /* of any request; 0: 1 MiB */
    uint64_t upload_limit_bytes;        /* of a streamed one; 0: no limit */
    unsigned ingest_workers;            /* that may run at a time */
    const char *inbox;                  /* or NULL */
    const char *config_file;            /* or NULL; for the workers */
    uint64_t gzip_min_bytes;            /* 0: nothing is compressed */
    const char *const *cors_origins;    /* NULL ends */
    unsigned per_address;               /* connections of one; 0: any number */
    const char *const *trusted_proxies; /* api/client.h; NULL ends */
    bool forwarded;                     /* they write Forwarded instead of X-Forwarded-For */
    uint64_t request_timeout_ms;        /* from the first byte of a request to its last; 0: 30 s */
    uint64_t drain_timeout_ms;          /* after SIGTERM: 25 s by default */
    uint64_t max_wait_ms;               /* api/overload.h; 0: nothing is refused */
    struct store_scrub_options scrub;
    uint64_t audit_interval_ms, audit_retention_ms; /* see api/audit.h */
    uint64_t usage_interval_ms;                     /* see api/usage.h */
    const char *const
        *outgoing;            /* networks of webhooks and JWK Sets beside public ones; NULL ends */
    const char *jwks_ca;      /* PEM of who may vouch for issuers' servers; NULL: the system's */
    uint64_t jwks_timeout_ms; /* of a fetch; 0: auth/jwks.h */
    bool production;
    enum log_level log_level;
    enum log_format log_format;
    /* Reads the options again, for SIGHUP; what it cannot change it leaves. Main thread; or NULL.
     */
    enum st (*reload_fn)(struct api_options *options, void *ctx);
    /* Called on the main thread once the server answers, with its base URL; or NULL. */
    void (*ready_fn)(const char *url, void *ctx);
    void *ctx;
};

/* Serves until SIGTERM or SIGINT, then drains and returns ST_OK. ST_IO when the address is taken.
 */
enum st api_serve(const struct api_options *options) ST_MUST_USE;

/* One GET as `tenant` with every reading scope, through the same routes and handlers, without a
 * server: appends the body to `out`, *status is the HTTP status. */
enum st api_get(struct buf *out, unsigned *status, const struct store_options *store,
                const char *tenant, const char *target) ST_MUST_USE;

#endif
