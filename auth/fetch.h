/* A document from a URL or a file. Private to auth/. */
#ifndef EVERLINE_AUTH_FETCH_H
#define EVERLINE_AUTH_FETCH_H

#include "base/buf.h"
#include "base/network.h"

#include <stdatomic.h>
#include <stdint.h>

/* Fills `out`, up to its cap. https only, its certificate verified, but for loopback; no redirects;
 * ten seconds; `outgoing` as in auth/http.h. *max_age_s is what Cache-Control says, -1 when it does
 * not. `*stop` ends it early. ST_UNREACHABLE with the reason. Blocks. */
enum st auth_fetch(struct buf *out, int64_t *max_age_s, const char *location, const char *ca_file,
                   const struct network_list *outgoing, const _Atomic bool *stop) ST_MUST_USE;

bool auth_fetch_takes(const char *location); /* a location of those kinds */

#endif
