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

#define AUTH_HTTP_TAG_SIZE 64

struct auth_http_call {
    const char *url;
    const char *method;         /* NULL: a GET, or a POST when something is sent */
    const char *ca_file;        /* or NULL: the system's */
    const char *const *headers; /* "Name: value", ended by NULL; or NULL */
    const void *body;           /* or NULL */
    size_t body_len;
    /* Instead of `body`: `size` bytes that come from here, as fread(3) gives them; 0: it failed. */
    size_t (*send_fn)(char *to, size_t size, void *ctx);
    uint64_t send_bytes;
    /* Instead of `answer`: takes the body, in pieces; what it fails with is the call's failure. */
    enum st (*take_fn)(unsigned status, const char *bytes, size_t len, void *ctx);
    void *ctx; /* of both */
    /* How long it may take, 0: ten seconds. With send_fn or take_fn, how long it may go on below a
     * KiB a second: data takes as long as it takes. */
    uint64_t timeout_ms;
    /* What may be asked beside public addresses; NULL: all. */
    const struct network_list *outgoing;
    const _Atomic bool *stop;     /* ends it early; or NULL */
    struct buf *answer;           /* filled up to its cap; or NULL: nothing is expected */
    unsigned status;              /* set: of the answer */
    int64_t max_age_s;            /* set: what Cache-Control says, or -1 */
    char tag[AUTH_HTTP_TAG_SIZE]; /* set: its ETag; "" without one, or when it is longer */
};

/* https, or http to a loopback address; no user, spaces or control characters. */
bool auth_http_takes(const char *url);
/* False: it names an address that would not be asked. What a name leads to is seen then only. */
bool auth_http_may_ask(const char *url, const struct network_list *outgoing);

/* Follows no redirects. ST_UNREACHABLE with the reason when there is
 * no whole answer, code NOT_PUBLIC when none of its addresses may be asked, BAD_URL when it is none
 * that auth_http_takes; any status is ST_OK. Blocks. */
enum st auth_http_call(struct auth_http_call *c) ST_MUST_USE;

#endif
