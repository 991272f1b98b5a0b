/* What SIGHUP changes while the server serves: a value that never changes itself, and is replaced
 * as a whole. A request goes on with the one it began with. */
#ifndef EVERLINE_API_SETTINGS_H
#define EVERLINE_API_SETTINGS_H

#include "api/client.h"
#include "base/status.h"

#include <stdint.h>

struct api_options;
struct api_server;

struct api_settings {
    uint64_t body_limit_bytes;   /* of any request; 0: what the contract says */
    uint64_t upload_limit_bytes; /* of a streamed one; 0: no limit */
    uint64_t gzip_min_bytes;     /* smaller answers go as they are; 0: all of them */
    uint64_t max_wait_ms;        /* api/overload.h; 0: nothing is refused */
    struct api_proxies proxies;
    const char *const *cors_origins; /* that browsers' pages may come from; NULL ends */
    struct api_settings *before;     /* kept until the end: a request may still use it */
};

/* Makes settings, certificate and log of the options, and puts all in force or, on a failure,
 * nothing. On the main thread; the options' texts are borrowed for ever. */
enum st api_settings_apply(struct api_server *server,
                           const struct api_options *options) ST_MUST_USE;

/* SIGHUP: reads options and token keys again. What fails stays as it was, and is told in the log
 * and by /readyz?verbose. */
void api_settings_reload(struct api_server *server);

void api_settings_release(struct api_server *server); /* when nobody asks any more */

#endif
