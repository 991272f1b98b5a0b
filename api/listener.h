/* Where the server listens: addresses and unix sockets of the API, and one for probes and metrics
 * alone. Each is a daemon of libmicrohttpd with threads of its own. */
#ifndef EVERLINE_API_LISTENER_H
#define EVERLINE_API_LISTENER_H

#include "base/status.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#define API_LISTENERS_MAX 8 /* of --listen */

struct api_server;
struct MHD_Daemon;

struct api_listener {
    struct api_server *server;
    const char *text; /* as it was given */
    union {
        struct sockaddr any;
        struct sockaddr_storage room;
        struct sockaddr_un path;
    } address;
    bool tls, probes; /* `probes`: nothing but probes and metrics */
    bool bound;       /* the path of a unix socket is ours */
    struct MHD_Daemon *daemon;
};

struct api_listeners {
    struct api_listener list[API_LISTENERS_MAX + 1];
    size_t count;
    bool has_probes; /* one of them is for probes: the others have no metrics */
};

/* Is it an address to listen on? ST_USAGE. */
enum st api_listener_check(const char *text) ST_MUST_USE;
/* Reads the addresses of the server's options. ST_USAGE, ST_INVALID. */
enum st api_listeners_read(struct api_listeners *out, struct api_server *server) ST_MUST_USE;
/* Request threads of all of them. */
unsigned api_listeners_threads(const struct api_listeners *l);
/* Others than processes of this machine can reach it, and read what passes. */
bool api_listener_is_exposed(const struct api_listener *l);

/* What was started is stopped by the caller, also after a failure: ST_IO when an address is
 * taken. */
enum st api_listeners_start(struct api_listeners *l) ST_MUST_USE;
/* "http://127.0.0.1:8080" of the first one, and its port; "unix:PATH" and 0 when it is a path. */
enum st api_listener_url(char url[192], unsigned *port, const struct api_listener *l) ST_MUST_USE;
unsigned api_listeners_connections(const struct api_listeners *l);
/* From here on whoever wants to connect is refused, and a balancer goes elsewhere. The workers'
 * epoll keeps telling them of the dead socket, which they do not take out: they spin until they are
 * stopped. MHD_quiesce_daemon would take it out, and races with them. */
void api_listeners_close(struct api_listeners *l);
void api_listeners_stop(struct api_listeners *l);

#endif
