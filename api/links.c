#include "api/links.h"

#include "api/peers.h"
#include "base/clock.h"
#include "base/log.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u
#define PERIOD_MIN_MS 10
#define PERIOD_MAX_MS 1000
#define CLOSE_WAIT 8 /* of netinet/tcp.h, whose struct tcp_info lacks what linux/tcp.h's has */

/* What `until_ns` is besides a time. */
enum {
    ENDED = 0,   /* between two requests, and no sweep has looked since */
    WAITING = 1, /* between two requests; `bytes` had come by then */
};
#define OURS UINT64_MAX /* we are at work */

struct api_link {
    struct api_link *next, *previous;
    int fd;
    struct api_peer *peer;     /* NULL: not counted */
    uint64_t bytes;            /* the sweep's */
    uint64_t taken, slow_ns;   /* bytes of ours that the client had at the time; 0: all is sent */
    uint64_t parting_bytes;    /* that had come when api_links_part was called last */
    _Atomic uint64_t until_ns; /* the rest of the request must be there */
    _Atomic bool parted;
};

struct api_links {
    pthread_mutex_t mutex; /* the list; who holds it knows that no descriptor in it gets closed */
    struct api_link *first;
    struct api_peers *peers;
    unsigned per_address;
    const struct api_proxies *proxies;
    struct metric *refused_metric;
    unsigned refused; /* that the log has not told of */
    _Atomic uint64_t timeout_ns;
    uint64_t period_ns, swept_ns;
};

enum st api_links_new(struct api_links **out, struct metric *refused)
{
    struct api_links *l = calloc(1, sizeof *l);
    struct api_peers *peers = api_peers_new();

    *out = NULL;
    if (!l || !peers) {
        api_peers_free(peers);
        free(l);
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    l->peers = peers;
    l->refused_metric = refused;
    pthread_mutex_init(&l->mutex, NULL);
    *out = l;
    return ST_OK;
}

void api_links_limit(struct api_links *l, const struct api_links_limits *limits)
{
    uint64_t period_ms = limits->timeout_ms / 8;

    atomic_store(&l->timeout_ns, limits->timeout_ms * NS_PER_MS);
    pthread_mutex_lock(&l->mutex);
    l->per_address = limits->per_address;
    l->proxies = limits->proxies;
    pthread_mutex_unlock(&l->mutex);
    period_ms = period_ms < PERIOD_MIN_MS ? PERIOD_MIN_MS : period_ms;
    l->period_ns = (period_ms < PERIOD_MAX_MS ? period_ms : PERIOD_MAX_MS) * NS_PER_MS;
}

void api_links_free(struct api_links *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->mutex);
    api_peers_free(l->peers);
    free(l);
}

uint64_t api_links_period_ms(const struct api_links *l)
{
    return l->period_ns / NS_PER_MS;
}

static int socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info ? info->connect_fd : -1;
}

/* Under the mutex. False: the address has as many as it may. */
static bool count_peer(struct api_links *l, struct api_link *link, const struct sockaddr *peer)
{
    struct in6_addr address;

    if (!l->per_address || api_is_proxy(l->proxies, peer) || !network_address_of(&address, peer))
        return true;
    link->peer = api_peers_add(l->peers, &address, l->per_address);
    return link->peer != NULL;
}

static struct api_link *start(struct api_links *l, int fd, const struct sockaddr *peer)
{
    struct api_link *link = calloc(1, sizeof *link);

    if (!link) { /* nothing would limit it */
        shutdown(fd, SHUT_RDWR);
        return NULL;
    }
    link->fd = fd;
    link->parting_bytes = UINT64_MAX;
    atomic_init(&link->until_ns, WAITING);
    pthread_mutex_lock(&l->mutex);
    link->next = l->first;
    if (l->first)
        l->first->previous = link;
    l->first = link;
    bool welcome = count_peer(l, link, peer);
    l->refused += !welcome;
    pthread_mutex_unlock(&l->mutex);
    if (!welcome) {
        metric_add(l->refused_metric, 0, 1);
        shutdown(fd, SHUT_RDWR); /* its worker sees the end of it */
    }
    return link;
}

static void stop(struct api_links *l, struct api_link *link)
{
    if (!link)
        return;
    pthread_mutex_lock(&l->mutex);
    if (link->next)
        link->next->previous = link->previous;
    if (link->previous)
        link->previous->next = link->next;
    else
        l->first = link->next;
    api_peers_remove(l->peers, link->peer);
    pthread_mutex_unlock(&l->mutex);
    free(link);
}

/* Both calls come while the descriptor is open. */
void api_on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                       enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
        *socket_context = start(cls, socket_of(connection), info ? info->client_addr : &nobody);
    } else {
        stop(cls, *socket_context);
        *socket_context = NULL;
    }
}

struct api_link *api_link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static bool is_time(uint64_t until_ns)
{
    return until_ns != ENDED && until_ns != WAITING && until_ns != OURS;
}

void api_link_begin(struct api_link *link, const struct api_links *l)
{
    if (link && !is_time(atomic_load(&link->until_ns))) /* else a sweep has seen the first byte */
        atomic_store(&link->until_ns, clock_coarse_ns() + l->timeout_ns);
}

void api_link_pause(struct api_link *link)
{
    if (link)
        atomic_store(&link->until_ns, OURS);
}

void api_link_end(struct api_link *link)
{
    if (link)
        atomic_store(&link->until_ns, ENDED);
}

/* False: the kernel does not say. */
static bool ask_kernel(struct tcp_info *info, int fd)
{
    socklen_t len = sizeof *info;

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0 &&
           len >= offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info->tcpi_bytes_received;
}

static bool count_bytes(uint64_t *out, int fd)
{
    struct tcp_info info = {0};
    bool known = ask_kernel(&info, fd);

    *out = info.tcpi_bytes_received;
    return known;
}

/* Has the client been too slow to take what was sent to it? */
static bool is_slow(struct api_link *link, uint64_t now_ns, uint64_t timeout_ns)
{
    struct tcp_info info = {0};
    int waiting = 0;

    if (ioctl(link->fd, SIOCOUTQ, &waiting) != 0 || waiting == 0 || !ask_kernel(&info, link->fd)) {
        link->slow_ns = 0;
        return false;
    }
    uint64_t taken = info.tcpi_bytes_acked;
    uint64_t enough = timeout_ns / NS_PER_S * API_READ_MIN_BYTES_PER_S + 1;
    if (!link->slow_ns || taken - link->taken >= enough) {
        link->slow_ns = now_ns;
        link->taken = taken;
    }
    return now_ns - link->slow_ns >= timeout_ns;
}

/* The client has ended its half, and all it sent was read. libmicrohttpd does not see the end
 * behind a body that is larger than its buffer. */
static bool is_over(const struct api_link *link, const struct tcp_info *info)
{
    int unread = 0;

    return info->tcpi_state == CLOSE_WAIT && ioctl(link->fd, SIOCINQ, &unread) == 0 && unread == 0;
}

/* Between two requests: has the next one begun, or will there be none? What its worker has said
 * meanwhile stands. */
static void look(struct api_link *link, uint64_t until_ns, uint64_t deadline_ns)
{
    struct tcp_info info = {0};
    bool known = ask_kernel(&info, link->fd);
    uint64_t bytes = info.tcpi_bytes_received;

    if (!known || (until_ns == WAITING && bytes != link->bytes)) {
        atomic_compare_exchange_strong(&link->until_ns, &until_ns, deadline_ns);
    } else if (until_ns == ENDED) {
        link->bytes = bytes;
        atomic_compare_exchange_strong(&link->until_ns, &until_ns, WAITING);
    } else if (is_over(link, &info)) {
        shutdown(link->fd, SHUT_RDWR); /* its worker sees a connection that has been hung up */
    }
}

bool api_link_is_parted(const struct api_link *link)
{
    return link && atomic_load(&link->parted);
}

/* The worker says first that a request has begun, and then asks whether the link is parted: of the
 * two of us one sees the other. */
static void part(struct api_link *link)
{
    atomic_store(&link->parted, true);
    uint64_t until_ns = atomic_load(&link->until_ns);
    if (until_ns == ENDED || until_ns == WAITING)
        shutdown(link->fd, SHUT_WR);
    else
        atomic_store(&link->parted, false);
}

void api_links_part(struct api_links *l)
{
    pthread_mutex_lock(&l->mutex);
    for (struct api_link *link = l->first; link; link = link->next) {
        uint64_t until_ns = atomic_load(&link->until_ns), bytes;

        if ((until_ns != ENDED && until_ns != WAITING) || atomic_load(&link->parted) ||
            !count_bytes(&bytes, link->fd))
            continue;
        if (bytes == link->parting_bytes)
            part(link);
        link->parting_bytes = bytes;
    }
    pthread_mutex_unlock(&l->mutex);
}

void api_links_sweep(struct api_links *l)
{
    uint64_t now_ns = clock_steady_ns(), timeout_ns = atomic_load(&l->timeout_ns);
    unsigned closed = 0, slow = 0;

    if (now_ns - l->swept_ns < l->period_ns)
        return;
    l->swept_ns = now_ns;
    pthread_mutex_lock(&l->mutex);
    for (struct api_link *link = l->first; link; link = link->next) {
        uint64_t until_ns = atomic_load(&link->until_ns);

        if (!is_time(until_ns) && until_ns != OURS)
            look(link, until_ns, now_ns + timeout_ns);
        else if (until_ns == OURS && is_slow(link, now_ns, timeout_ns))
            slow += shutdown(link->fd, SHUT_RDWR) == 0;
        else if (until_ns < now_ns && shutdown(link->fd, SHUT_RDWR) == 0)
            closed++;
    }
    unsigned refused = l->refused;
    l->refused = 0;
    pthread_mutex_unlock(&l->mutex);
    if (refused)
        log_event(LOG_LEVEL_WARN, "connections_per_address",
                  "%u connections refused: their addresses have as many as they may", refused);
    if (slow)
        log_event(LOG_LEVEL_INFO, "read_timeout",
                  "%u connections closed: their clients did not read the answer", slow);
    if (closed)
        log_event(LOG_LEVEL_INFO, "request_timeout",
                  "%u connections closed: their requests were not whole in time", closed);
}
