/* IP networks. An IPv4 address is IPv6's ::ffff:a.b.c.d here, so that there is one kind. */
#ifndef EVERLINE_BASE_NETWORK_H
#define EVERLINE_BASE_NETWORK_H

#include "base/status.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct network {
    struct in6_addr address;
    unsigned bits; /* of 128 that count */
};

struct network_list {
    struct network *items;
    size_t count;
};

/* "192.0.2.1" or "2001:db8::1", and no more; `text` need not end after `len`. */
bool network_address_read(struct in6_addr *out, const char *text, size_t len);
/* The address of a peer; false: it has none (a unix socket). */
bool network_address_of(struct in6_addr *out, const struct sockaddr *peer);

/* Anybody in the internet can have it: none of the special purposes of RFC 6890 (loopback, private,
 * link-local, multicast, documentation ...), and no IPv6 address that stands for an IPv4 one
 * (NAT64, 6to4, Teredo). */
bool network_is_public(const struct in6_addr *address);

/* Adds "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32" to a list that was all zeros. ST_USAGE,
 * ST_NOMEM. Release it in any case. */
enum st network_list_add(struct network_list *list, const char *text) ST_MUST_USE;
bool network_list_has(const struct network_list *list, const struct in6_addr *address);
void network_list_release(struct network_list *list);

#endif
