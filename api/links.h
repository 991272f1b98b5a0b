/* How long a client may take to send a request and to read its answer, and how many connections one
 * address may have. libmicrohttpd's timeout starts anew with each byte, so that a head that comes a
 * byte at a time lives for ever. Here a request has the request timeout from its first byte to the
 * last of its body; then the time is ours, and between two requests there is the idle timeout only,
 * but for a client that has ended its half: it asks nothing more.
 *
 * Nobody tells of the first byte: a sweep asks the kernel how many have come to each connection
 * that is between two requests. It is late by at most the time between two sweeps, an eighth of the
 * timeout and a second at most.
 *
 * An answer that the client's side does not take, less of it than API_READ_MIN_BYTES_PER_S over a
 * request timeout, ends the connection too; a byte now and then is enough for libmicrohttpd. */
#ifndef EVERLINE_API_LINKS_H
#define EVERLINE_API_LINKS_H

#include "base/status.h"

#include "api/client.h"
#include "base/metrics.h"

#include <microhttpd.h>

#include <stdbool.h>
#include <stdint.h>

struct api_link; /* one connection */
struct api_links;

#define API_READ_MIN_BYTES_PER_S 1024

struct api_links_limits {
    uint64_t timeout_ms;
    unsigned per_address;              /* connections; 0: any number */
    const struct api_proxies *proxies; /* who may have any number; borrowed for ever */
};

/* `refused` counts connections that were over the limit of their address. */
enum st api_links_new(struct api_links **out, struct metric *refused) ST_MUST_USE;
/* Before the first connection, and then at any time, for what begins afterwards; by the thread that
 * sweeps. */
void api_links_limit(struct api_links *l, const struct api_links_limits *limits);
void api_links_free(struct api_links *l); /* no connection may be left */

/* libmicrohttpd's MHD_OPTION_NOTIFY_CONNECTION; cls is the struct api_links. */
void api_on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                       enum MHD_ConnectionNotificationCode code);

/* The connection's, for its worker thread; NULL when it is being closed for want of memory. */
struct api_link *api_link_of(struct MHD_Connection *connection);
void api_link_begin(struct api_link *link, const struct api_links *l); /* the first line is there */
void api_link_pause(struct api_link *link); /* the request is there, or is not read any more */
void api_link_end(struct api_link *link);   /* the answer is out: another request may come */

/* Says goodbye (RFC 9112 section 9.6) to the connections that are between two requests and have
 * sent nothing since it was called last: our half is shut, the other one is read until the client
 * closes it, so that what crosses the goodbye is not met by a reset. Such a request finds its link
 * parted, and cannot be answered. By the thread that sweeps. */
void api_links_part(struct api_links *l);
bool api_link_is_parted(const struct api_link *link);

/* Closes the connections whose requests have taken too long, when it is time for a sweep: to be
 * called at least every api_links_period_ms, by one thread. */
void api_links_sweep(struct api_links *l);
uint64_t api_links_period_ms(const struct api_links *l);

#endif
