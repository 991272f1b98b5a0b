/* Requests to others, by libcurl: https with its certificate verified, or plain to this machine.
 * The only user of libcurl.
 *
 * Whom a server asks is written by people who may do nothing else on its network: `outgoing` keeps
 * them from having it ask what only it can reach. What counts is the address that is connected to,
 * whatever a name resolved to before; so no proxy is used, whatever the environment names: it would
 * resolve names itself. */
#ifndef EVERLINE_AUTH_HTTP_H
#define EVERLINE_AUTH_HTTP_H

#include "base/buf.h"
#include "base/network.h"

#include <stdatomic.h>
#include <stdint.h>

struct auth_http_call {
    const char *url;
    const char *ca_file;        /* or NULL: the system's */
    const char *const *headers; /* "Name: value", ended by NULL; or NULL */
    const void *body;           /* NULL: a GET, otherwise a POST */
    size_t body_len;
    /* What may be asked beside public addresses; NULL: all. */
    const struct network_list *outgoing;
    const _Atomic bool *stop; /* ends it early */
    struct buf *answer;       /* filled up to its cap */
    unsigned status;          /* set: of the answer */
    int64_t max_age_s;        /* set: what Cache-Control says, or -1 */
};

/* https, or http to a loopback address; no user, spaces or control characters. */
bool auth_http_takes(const char *url);
/* False: it names an address that would not be asked. What a name leads to is seen then only. */
bool auth_http_may_ask(const char *url, const struct network_list *outgoing);

/* Follows no redirects and takes ten seconds at most. ST_UNREACHABLE with the reason when there is
 * no whole answer, code NOT_PUBLIC when none of its addresses may be asked, BAD_URL when it is none
 * that auth_http_takes; any status is ST_OK. Blocks. */
enum st auth_http_call(struct auth_http_call *c) ST_MUST_USE;

#endif
