/* How many connections each address has. An IPv6 address is its /64, which is what one client
 * gets. Not thread-safe. */
#ifndef EVERLINE_API_PEERS_H
#define EVERLINE_API_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>

struct api_peer; /* an address that has connections */
struct api_peers;

struct api_peers *api_peers_new(void);    /* NULL: out of memory */
void api_peers_free(struct api_peers *p); /* accepts NULL */

/* One connection more; NULL: it would be over `limit`, or there is no memory. */
struct api_peer *api_peers_add(struct api_peers *p, const struct in6_addr *address, unsigned limit);
void api_peers_remove(struct api_peers *p, struct api_peer *peer); /* one less; accepts NULL */

#endif
