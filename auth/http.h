/* Requests to others, by libcurl: https with its certificate verified, or plain to this machine.
 * The only user of libcurl. */
#ifndef EVERLINE_AUTH_HTTP_H
#define EVERLINE_AUTH_HTTP_H

#include "base/buf.h"

#include <stdatomic.h>
#include <stdint.h>

struct auth_http_call {
    const char *url;            /* that auth_http_takes */
    const char *ca_file;        /* or NULL: the system's */
    const char *const *headers; /* "Name: value", ended by NULL; or NULL */
    const void *body;           /* NULL: a GET, otherwise a POST */
    size_t body_len;
    const _Atomic bool *stop; /* ends it early */
    struct buf *answer;       /* filled up to its cap */
    unsigned status;          /* set: of the answer */
    int64_t max_age_s;        /* set: what Cache-Control says, or -1 */
};

/* https, or http to a loopback address; no spaces or control characters. */
bool auth_http_takes(const char *url);

/* Follows no redirects and takes ten seconds at most. ST_UNREACHABLE with the reason when there is
 * no whole answer; any status is ST_OK. Blocks. */
enum st auth_http_call(struct auth_http_call *c) ST_MUST_USE;

#endif
