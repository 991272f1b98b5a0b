/* A document from a URL or a file. Private to auth/. */
#ifndef EVERLINE_AUTH_FETCH_H
#define EVERLINE_AUTH_FETCH_H

#include "base/buf.h"
#include "base/network.h"

#include <stdatomic.h>
#include <stdint.h>

/* As of a call (auth/http.h). */
struct auth_fetch_options {
    const char *ca_file;
    const struct network_list *outgoing;
    uint64_t timeout_ms;
    const _Atomic bool *stop;
};

/* Fills `out`, up to its cap. https only, its certificate verified, but for loopback; no redirects.
 * *max_age_s is what Cache-Control says, -1 when it does not. ST_UNREACHABLE with the reason.
 * Blocks. */
enum st auth_fetch(struct buf *out, int64_t *max_age_s, const char *location,
                   const struct auth_fetch_options *options) ST_MUST_USE;

bool auth_fetch_takes(const char *location); /* a location of those kinds */

#endif
