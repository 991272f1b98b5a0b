#include "api/commands.h"
#include "api/server.h"
#include "base/log.h"

enum st serve_cmd(const struct cmd_args *args)
{
    struct api_options options = {
        .store = commands_store_options(args, false),
        .listen = cmd_string(args, "listen"),
        .port_file = cmd_string(args, "port-file"),
        .workers = (unsigned)cmd_uint(args, "workers"),
        .connection_limit = (unsigned)cmd_uint(args, "connections"),
        .body_limit_bytes = cmd_bytes(args, "body-limit"),
        .drain_timeout_ms = cmd_duration_ms(args, "drain-timeout"),
        .request_timeout_ms = cmd_duration_ms(args, "request-timeout"),
        .production = cmd_flag(args, "production"),
    };

    if (options.workers > 256)
        return st_fail(ST_USAGE, NULL, "--workers: at most 256");
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    return api_serve(&options);
}
