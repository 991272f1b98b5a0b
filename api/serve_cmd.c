#include "api/client.h"
#include "api/commands.h"
#include "api/cors.h"
#include "api/listener.h"
#include "api/server.h"

#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX 256
#define CONNECTIONS_MAX 1000000
#define CORS_ORIGINS_MAX 64
#define TRUSTED_PROXIES_MAX 64
#define OUTGOING_MAX 64
#define AUDIT_INTERVAL_MAX_MS 60000
#define SCRUB_INTERVAL_MAX_MS (400ull * COMMANDS_TIMEOUT_MAX_MS)

/* Options as they were read, at the start and by each reload since; the server borrows from all. */
struct reading {
    const struct cmd_args *args;
    struct cmd_args *own; /* `args` of a reload, to be freed */
    const char *listen[API_LISTENERS_MAX + 1];
    const char *cors_origins[CORS_ORIGINS_MAX + 1];
    const char *trusted_proxies[TRUSTED_PROXIES_MAX + 1];
    const char *outgoing[OUTGOING_MAX + 1];
    struct reading *before;
};

/* What a running server cannot change. */
static const char *const FIXED[] = {"data",
                                    "keys",
                                    "listen",
                                    "metrics-listen",
                                    "port-file",
                                    "workers",
                                    "connections",
                                    "ingest-workers",
                                    "inbox",
                                    "scrub-rate",
                                    "production",
                                    "scrub-interval",
                                    "outgoing",
                                    "jwks-ca",
                                    "jwks-timeout",
                                    "audit-interval",
                                    "audit-retention",
                                    "usage-interval",
                                    NULL};

static enum st read_word(unsigned *out, const struct cmd_args *args, const char *name,
                         const char *const *words)
{
    const char *text = cmd_string(args, name);

    for (*out = 0; words[*out]; ++*out)
        if (strcmp(words[*out], text) == 0)
            return ST_OK;
    enum st st =
        st_fail(ST_USAGE, NULL, "--%s: \"%.32s\" is none of those that --help names", name, text);
    return cmd_blame(st, args, name, NULL);
}

static enum st read_log(struct api_options *o, const struct cmd_args *args)
{
    static const char *const LEVELS[] = {"debug", "info", "warn", "error", NULL};
    static const char *const FORMATS[] = {"auto", "json", "text", NULL};
    unsigned level = 0, format = 0;
    enum st st = read_word(&level, args, "log-level", LEVELS);

    if (!st)
        st = read_word(&format, args, "log-format", FORMATS);
    o->log_level = (enum log_level)level;
    o->log_format = (enum log_format)format;
    return st;
}

/* All that were given, NULL at the end, each checked. */
static enum st read_list(const char **out, size_t max, const struct cmd_args *args,
                         const char *name, enum st (*check_fn)(const char *text))
{
    size_t n = 0;

    for (; n < max && (out[n] = cmd_list(args, name, (unsigned)n)); n++) {
        enum st st = check_fn(out[n]);
        if (st)
            return cmd_blame(st, args, name, out[n]);
    }
    out[n] = NULL;
    return cmd_list(args, name, (unsigned)n)
               ? cmd_blame(st_fail(ST_USAGE, NULL, "--%s: at most %zu", name, max), args, name,
                           NULL)
               : ST_OK;
}

static enum st check_proxy(const char *text)
{
    struct api_proxies proxies;
    enum st st = api_proxies_read(&proxies, (const char *const[]){text, NULL}, false);

    api_proxies_release(&proxies);
    return st;
}

static enum st check_listen(const char *text)
{
    enum st st = api_listener_check(text);

    return st ? st_wrap(st, "--listen") : ST_OK;
}

static enum st check_outgoing(const char *text)
{
    struct network_list list = {0};
    enum st st = network_list_add(&list, text);

    network_list_release(&list);
    return st ? st_wrap(st, "--outgoing") : ST_OK;
}

static enum st read_proxies(struct api_options *o, struct reading *r)
{
    static const char *const HEADERS[] = {"x-forwarded-for", "forwarded", NULL};
    uint64_t per_address = 0;
    unsigned header = 0;
    enum st st =
        read_list(r->trusted_proxies, TRUSTED_PROXIES_MAX, r->args, "trusted-proxy", check_proxy);

    if (!st)
        st = read_word(&header, r->args, "proxy-header", HEADERS);
    if (!st)
        st = cmd_range(&per_address, r->args, "connections-per-address", 0, CONNECTIONS_MAX);
    o->trusted_proxies = r->trusted_proxies;
    o->forwarded = header == 1;
    o->per_address = (unsigned)per_address;
    return st;
}

/* What a reload reads too. */
static enum st read_settings(struct api_options *o, struct reading *r)
{
    const struct cmd_args *args = r->args;

    o->gzip_min_bytes = cmd_bytes(args, "gzip-min");
    o->cors_origins = r->cors_origins;
    o->body_limit_bytes = cmd_bytes(args, "body-limit");
    o->upload_limit_bytes = cmd_bytes(args, "upload-limit");
    o->tls_cert = cmd_string(args, "tls-cert");
    o->tls_key = cmd_string(args, "tls-key");
    enum st st = cmd_range(&o->drain_timeout_ms, args, "drain-timeout", 1, COMMANDS_TIMEOUT_MAX_MS);
    if (!st)
        st = cmd_range(&o->request_timeout_ms, args, "request-timeout", 1, COMMANDS_TIMEOUT_MAX_MS);
    if (!st)
        st = cmd_range(&o->max_wait_ms, args, "max-wait", 0, COMMANDS_TIMEOUT_MAX_MS);
    if (!st)
        st = read_list(r->cors_origins, CORS_ORIGINS_MAX, args, "cors-origin", api_cors_check);
    if (!st)
        st = read_proxies(o, r);
    return st ? st : read_log(o, args);
}

static enum st check_metrics_listen(const char *text, const struct cmd_args *args)
{
    enum st st = api_listener_check(text);

    return st ? cmd_blame(st_wrap(st, "--metrics-listen"), args, "metrics-listen", NULL) : ST_OK;
}

/* Of file and environment together: each may have a half, which serve_check does not see. */
static enum st check_pair(const struct api_options *o, const struct cmd_args *args)
{
    if (!o->tls_cert == !o->tls_key)
        return ST_OK;
    return cmd_blame(st_fail(ST_USAGE, NULL, "--tls-cert and --tls-key are given together"), args,
                     o->tls_cert ? "tls-cert" : "tls-key", NULL);
}

static enum st read_options(struct api_options *o, struct reading *r)
{
    const struct cmd_args *args = r->args;
    uint64_t workers = 0, connections = 0, ingest_workers = 0;

    o->store = commands_store_options(args, false);
    o->listen = r->listen;
    o->metrics_listen = cmd_string(args, "metrics-listen");
    o->port_file = cmd_string(args, "port-file");
    o->scrub.bytes_per_s = cmd_bytes(args, "scrub-rate");
    o->jwks_ca = cmd_string(args, "jwks-ca");
    o->outgoing = r->outgoing;
    o->inbox = cmd_string(args, "inbox");
    o->config_file = cmd_config_file(args);
    o->production = cmd_flag(args, "production");
    enum st st = read_list(r->listen, API_LISTENERS_MAX, args, "listen", check_listen);
    if (!st && o->metrics_listen)
        st = check_metrics_listen(o->metrics_listen, args);
    if (!st)
        st = read_list(r->outgoing, OUTGOING_MAX, args, "outgoing", check_outgoing);
    if (!st)
        st = cmd_range(&workers, args, "workers", 0, WORKERS_MAX);
    if (!st)
        st = cmd_range(&ingest_workers, args, "ingest-workers", 0, WORKERS_MAX);
    if (!st)
        st = cmd_range(&connections, args, "connections", 1, CONNECTIONS_MAX);
    if (!st)
        st = cmd_range(&o->scrub.interval_ms, args, "scrub-interval", 1, SCRUB_INTERVAL_MAX_MS);
    if (!st)
        st = cmd_range(&o->audit_interval_ms, args, "audit-interval", 1, AUDIT_INTERVAL_MAX_MS);
    if (!st)
        st = cmd_range(&o->audit_retention_ms, args, "audit-retention", 0, INT64_MAX);
    if (!st)
        st = cmd_range(&o->jwks_timeout_ms, args, "jwks-timeout", 1, COMMANDS_TIMEOUT_MAX_MS);
    if (!st)
        st = cmd_range(&o->usage_interval_ms, args, "usage-interval", 1, COMMANDS_TIMEOUT_MAX_MS);
    o->workers = (unsigned)workers;
    o->ingest_workers = (unsigned)ingest_workers;
    o->connection_limit = (unsigned)connections;
    return st ? st : read_settings(o, r);
}

static enum st reload(struct api_options *o, void *ctx)
{
    struct reading *first = ctx, *r = calloc(1, sizeof *r);
    enum st st =
        r ? cmd_read_again(&r->own, first->args) : st_fail(ST_NOMEM, NULL, "out of memory");

    if (!st) {
        r->args = r->own;
        st = read_settings(o, r);
        if (!st)
            st = check_pair(o, r->args);
    }
    if (st) {
        if (r)
            cmd_free(r->own);
        free(r);
        return st;
    }
    for (const char *const *name = FIXED; *name; name++)
        if (!cmd_same(first->args, r->own, *name))
            log_event(LOG_LEVEL_WARN, "reload", "--%s has changed: it counts after a restart",
                      *name);
    r->before = first->before;
    first->before = r;
    return ST_OK;
}

enum st serve_check(const struct cmd_args *args)
{
    struct reading r = {.args = args};
    struct api_options options = {.reload_fn = NULL};

    return read_options(&options, &r);
}

enum st serve_cmd(const struct cmd_args *args)
{
    struct reading first = {.args = args}, *before;
    struct api_options options = {.reload_fn = reload, .ctx = &first};
    enum st st = read_options(&options, &first);

    if (!st)
        st = check_pair(&options, args);
    if (!st) {
        log_configure(options.log_level, options.log_format);
        st = api_serve(&options);
    }
    for (struct reading *r = first.before; r; r = before) {
        before = r->before;
        cmd_free(r->own);
        free(r);
    }
    return st;
}
