#include "api/links.h"

#include "base/clock.h"
#include "base/log.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NS_PER_MS 1000000u
#define PERIOD_MIN_MS 10
#define PERIOD_MAX_MS 1000

/* What `until_ns` is besides a time. */
enum {
    ENDED = 0,   /* between two requests, and no sweep has looked since */
    WAITING = 1, /* between two requests; `bytes` had come by then */
};
#define OURS UINT64_MAX /* we are at work */

struct api_link {
    struct api_link *next, *previous;
    int fd;
    uint64_t bytes;            /* the sweep's */
    uint64_t parting_bytes;    /* that had come when api_links_part was called last */
    _Atomic uint64_t until_ns; /* the rest of the request must be there */
    _Atomic bool parted;
};

struct api_links {
    pthread_mutex_t mutex; /* the list; who holds it knows that no descriptor in it gets closed */
    struct api_link *first;
    _Atomic uint64_t timeout_ns;
    uint64_t period_ns, swept_ns;
};

enum st api_links_new(struct api_links **out)
{
    struct api_links *l = calloc(1, sizeof *l);

    *out = l;
    if (!l)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    pthread_mutex_init(&l->mutex, NULL);
    return ST_OK;
}

void api_links_set_timeout(struct api_links *l, uint64_t timeout_ms)
{
    uint64_t period_ms = timeout_ms / 8;

    atomic_store(&l->timeout_ns, timeout_ms * NS_PER_MS);
    period_ms = period_ms < PERIOD_MIN_MS ? PERIOD_MIN_MS : period_ms;
    l->period_ns = (period_ms < PERIOD_MAX_MS ? period_ms : PERIOD_MAX_MS) * NS_PER_MS;
}

void api_links_free(struct api_links *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->mutex);
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

static struct api_link *start(struct api_links *l, int fd)
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
    pthread_mutex_unlock(&l->mutex);
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
    pthread_mutex_unlock(&l->mutex);
    free(link);
}

/* Both calls come while the descriptor is open. */
void api_on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                       enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = start(cls, socket_of(connection));
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
        atomic_store(&link->until_ns, clock_steady_ns() + l->timeout_ns);
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
static bool count_bytes(uint64_t *out, int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
        return false;
    *out = info.tcpi_bytes_received;
    return true;
}

/* Between two requests: has the next one begun? What its worker has said meanwhile stands. */
static void look(struct api_link *link, uint64_t until_ns, uint64_t deadline_ns)
{
    uint64_t bytes = 0;
    bool known = count_bytes(&bytes, link->fd);

    if (!known || (until_ns == WAITING && bytes != link->bytes)) {
        atomic_compare_exchange_strong(&link->until_ns, &until_ns, deadline_ns);
    } else if (until_ns == ENDED) {
        link->bytes = bytes;
        atomic_compare_exchange_strong(&link->until_ns, &until_ns, WAITING);
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
    uint64_t now_ns = clock_steady_ns();
    unsigned closed = 0;

    if (now_ns - l->swept_ns < l->period_ns)
        return;
    l->swept_ns = now_ns;
    pthread_mutex_lock(&l->mutex);
    for (struct api_link *link = l->first; link; link = link->next) {
        uint64_t until_ns = atomic_load(&link->until_ns);

        if (!is_time(until_ns) && until_ns != OURS)
            look(link, until_ns, now_ns + l->timeout_ns);
        else if (until_ns < now_ns && shutdown(link->fd, SHUT_RDWR) == 0)
            closed++; /* its worker sees a connection that has been hung up */
    }
    pthread_mutex_unlock(&l->mutex);
    if (closed)
        log_event(LOG_LEVEL_INFO, "request_timeout",
                  "%u connections closed: their requests were not whole in time", closed);
}
