#include "auth/fetch.h"

#include "auth/http.h"
#include "base/fs.h"

#include <stdio.h>

bool auth_fetch_takes(const char *location)
{
    return (location[0] == '/' && location[1]) || auth_http_takes(location);
}

enum st auth_fetch(struct buf *out, int64_t *max_age_s, const char *location,
                   const struct auth_fetch_options *options)
{
    struct auth_http_call call = {.url = location,
                                  .ca_file = options->ca_file,
                                  .outgoing = options->outgoing,
                                  .timeout_ms = options->timeout_ms,
                                  .stop = options->stop,
                                  .answer = out};
    struct st_report report;

    *max_age_s = -1;
    if (*location == '/')
        return fs_read(out, location);
    enum st st = auth_http_call(&call);
    *max_age_s = call.max_age_s;
    if (!st && call.status != 200)
        return st_fail(ST_UNREACHABLE, "BAD_JWKS", "the answer has status %u", call.status);
    if (st != ST_UNREACHABLE)
        return st;
    st_save(&report, st);
    snprintf(report.code, sizeof report.code, "BAD_JWKS");
    return st_restore(&report);
}
