#include "api/commands.h"
#include "api/server.h"
#include "base/log.h"

#define WORKERS_MAX 256
#define CONNECTIONS_MAX 1000000
#define TIMEOUT_MAX_MS (24u * 3600 * 1000)
#define SCRUB_INTERVAL_MAX_MS (400ull * TIMEOUT_MAX_MS)

enum st serve_cmd(const struct cmd_args *args)
{
    uint64_t workers = 0, connections = 0, ingest_workers = 0;
    struct api_options options = {
        .store = commands_store_options(args, false),
        .listen = cmd_string(args, "listen"),
        .port_file = cmd_string(args, "port-file"),
        .body_limit_bytes = cmd_bytes(args, "body-limit"),
        .scrub.bytes_per_s = cmd_bytes(args, "scrub-rate"),
        .jwks_ca = cmd_string(args, "jwks-ca"),
        .upload_limit_bytes = cmd_bytes(args, "upload-limit"),
        .inbox = cmd_string(args, "inbox"),
        .config_file = cmd_config_file(args),
        .production = cmd_flag(args, "production"),
    };

    enum st st = cmd_range(&workers, args, "workers", 0, WORKERS_MAX);
    if (!st)
        st = cmd_range(&ingest_workers, args, "ingest-workers", 0, WORKERS_MAX);
    if (!st)
        st = cmd_range(&connections, args, "connections", 1, CONNECTIONS_MAX);
    if (!st)
        st = cmd_range(&options.drain_timeout_ms, args, "drain-timeout", 1, TIMEOUT_MAX_MS);
    if (!st)
        st = cmd_range(&options.request_timeout_ms, args, "request-timeout", 1, TIMEOUT_MAX_MS);
    if (!st)
        st =
            cmd_range(&options.scrub.interval_ms, args, "scrub-interval", 1, SCRUB_INTERVAL_MAX_MS);
    if (st)
        return st;
    options.workers = (unsigned)workers;
    options.ingest_workers = (unsigned)ingest_workers;
    options.connection_limit = (unsigned)connections;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    return api_serve(&options);
}
