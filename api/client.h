/* Who asks: the address that is connected or, behind a proxy that is trusted, the one that it has
 * seen (RFC 7239, or X-Forwarded-For). */
#ifndef EVERLINE_API_CLIENT_H
#define EVERLINE_API_CLIENT_H

#include "base/network.h"

/* Proxies whose word on their client's address is taken. */
struct api_proxies {
    struct network_list networks;
    bool local;     /* who is at a unix socket is one */
    bool forwarded; /* they write Forwarded, else X-Forwarded-For; the other is anybody's */
};

/* `texts`: "10.0.0.0/8", "::1", "unix"; NULL ends. ST_USAGE, ST_NOMEM. Release `out` in any case.
 */
enum st api_proxies_read(struct api_proxies *out, const char *const *texts,
                         bool forwarded) ST_MUST_USE;
void api_proxies_release(struct api_proxies *p);

bool api_is_proxy(const struct api_proxies *p, const struct sockaddr *peer);

/* The client of a request whose connection is with `peer`; `header` is the value of the header that
 * proxies write, or NULL. Read from its end, where the nearest proxy has written, for as long as
 * what it says is the address of a proxy too. AF_INET6 with the port 0; AF_UNIX: nobody knows. */
void api_client_address(struct sockaddr_in6 *out, const struct api_proxies *p,
                        const struct sockaddr *peer, const char *header);

#endif
