#include "api/connection.h"

#include "api/tls.h"
#include "base/fs.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTION_MEMORY                                                                          \
    (8u << 10) /* emptied after each request, and held by idle connections                         \
                */
#define IDLE_TIMEOUT_S 60
#define BACKLOG 511
#define PROBE_CONNECTIONS 64
#define OPTIONS_MAX 16

static const char UNIX[] = "unix:";

/* ---- addresses ---- */

static enum st read_path(struct api_listener *l, const char *path)
{
    struct sockaddr_un *address = &l->address.path;

    if (!*path || strlen(path) >= sizeof address->sun_path)
        return st_fail(ST_USAGE, NULL, "the path of a unix socket has 1 to %zu bytes",
                       sizeof address->sun_path - 1);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    return ST_OK;
}

static enum st read_address(struct api_listener *l, const char *text)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    struct addrinfo *found = NULL,
                    hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};

    l->text = text;
    if (strncmp(text, UNIX, sizeof UNIX - 1) == 0)
        return read_path(l, text + sizeof UNIX - 1);
    if (!colon || len >= sizeof host)
        return st_fail(ST_USAGE, NULL,
                       "ADDRESS:PORT expected, such as 127.0.0.1:8080, or unix:PATH");
    if (len > 1 && text[0] == '[' && colon[-1] == ']')
        snprintf(host, sizeof host, "%.*s", (int)len - 2, text + 1);
    else
        snprintf(host, sizeof host, "%.*s", (int)len, text);
    /* getaddrinfo takes a larger port modulo 65536. */
    if (!colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || atoi(colon + 1) > 65535 ||
        getaddrinfo(len ? host : NULL, colon + 1, &hints, &found) != 0)
        return st_fail(ST_USAGE, NULL, "\"%.100s\" is not a numeric address and port", text);
    memcpy(&l->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return ST_OK;
}

enum st api_listener_check(const char *text)
{
    struct api_listener l = {.probes = false};

    return read_address(&l, text);
}

static enum st add(struct api_listeners *out, struct api_server *server, const char *text,
                   bool probes)
{
    if (!probes && out->count == API_LISTENERS_MAX)
        return st_fail(ST_USAGE, NULL, "--listen: at most %d", API_LISTENERS_MAX);
    struct api_listener *l = &out->list[out->count++];
    *l = (struct api_listener){.server = server, .probes = probes};
    enum st st = read_address(l, text);
    l->tls = !st && !probes && server->options.tls_cert && l->address.any.sa_family != AF_UNIX;
    return st ? st_wrap(st, probes ? "--metrics-listen" : "--listen") : ST_OK;
}

enum st api_listeners_read(struct api_listeners *out, struct api_server *server)
{
    const struct api_options *o = &server->options;
    enum st st = ST_OK;

    for (const char *const *text = o->listen; !st && *text; text++)
        st = add(out, server, *text, false);
    if (!st && o->metrics_listen)
        st = add(out, server, o->metrics_listen, true);
    out->has_probes = o->metrics_listen != NULL;
    return st;
}

bool api_listener_is_exposed(const struct api_listener *l)
{
    const struct sockaddr *address = &l->address.any;

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 != 127;
    }
    const struct sockaddr_in6 *in6 = (const void *)address;
    return address->sa_family == AF_INET6 && !IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* ---- what the library waits with ---- */

/* Instead of the C library's, of this program and of the libraries that it loads: after a call that
 * gave as many events as fit, libmicrohttpd (MHD_epoll, 0.9.75 to 1.0.1) asks for more before it
 * looks at them, and waits: for another event, or for the minute after which a connection is
 * closed. Exactly 128 requests at once would each be answered a minute late. After such a call none
 * waits. tests/api/burst.test.mjs fails without it. */
int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
    static _Thread_local bool are_more;
    int count = epoll_pwait(epoll, events, most, are_more ? 0 : timeout_ms, NULL);

    are_more = count == most;
    return count;
}

/* ---- daemons ---- */

static unsigned threads_of(const struct api_listener *l)
{
    return l->probes ? 1 : l->server->options.workers;
}

unsigned api_listeners_threads(const struct api_listeners *l)
{
    unsigned all = 0;

    for (size_t i = 0; i < l->count; i++)
        all += threads_of(&l->list[i]);
    return all;
}

/* A socket that nobody listens on is what a killed server left. */
static enum st remove_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stat sb;

    if (fd < 0)
        return st_fail_errno(errno, "socket");
    bool alive = connect(fd, (const void *)address, sizeof *address) == 0;
    close(fd);
    if (!alive && lstat(address->sun_path, &sb) == 0 && S_ISSOCK(sb.st_mode))
        unlink(address->sun_path);
    return ST_OK;
}

/* Its owner and group may connect: who may is who may enter its directory, and is of that group. */
static enum st open_path(int *fd, struct api_listener *l)
{
    const struct sockaddr_un *address = &l->address.path;
    enum st st = remove_stale(address);

    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!st && *fd < 0)
        st = st_fail_errno(errno, "socket");
    if (!st && bind(*fd, (const void *)address, sizeof *address) != 0)
        st = st_fail_errno(errno, "listening on %s", l->text);
    l->bound = !st;
    if (!st && (chmod(address->sun_path, 0660) != 0 || listen(*fd, BACKLOG) != 0))
        st = st_fail_errno(errno, "listening on %s", l->text);
    if (st)
        fs_close(fd);
    return st;
}

static enum st fail_listening(int err, const struct api_listener *l)
{
    enum st st = st_fail_errno(err, "listening on %s", l->text);

    if (err == EADDRINUSE)
        return st_hint(st, "another process listens there (ss -ltnp names it): stop it, or give "
                           "another --listen; port 0 takes a free one");
    if (err == EADDRNOTAVAIL)
        return st_hint(st, "this machine has no such address; 0.0.0.0 and [::] are all it has");
    if (err == EACCES)
        return st_hint(st, "ports below 1024 need CAP_NET_BIND_SERVICE; others do not");
    return st;
}

static enum st start(struct api_listener *l)
{
    struct api_server *server = l->server;
    struct MHD_OptionItem options[OPTIONS_MAX] = {
        {MHD_OPTION_CONNECTION_LIMIT,
         l->probes ? PROBE_CONNECTIONS : server->options.connection_limit, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, NULL},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)api_on_uri, l},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)api_on_unescape, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)api_on_completed, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)api_on_connection, server->links},
    };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    size_t n = 7;
    int fd = -1;
    enum st st = ST_OK;

    if (threads_of(l) > 1) /* a pool of one is refused: one thread is the ordinary mode */
        options[n++] =
            (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads_of(l), NULL};
    if (l->tls) {
        flags |= MHD_USE_TLS;
        api_tls_options(options + n);
        n += API_TLS_OPTIONS;
    }
    if (l->address.any.sa_family == AF_UNIX) {
        st = open_path(&fd, l);
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_LISTEN_SOCKET, fd, NULL};
    } else {
        flags |= l->address.any.sa_family == AF_INET6 ? (unsigned)MHD_USE_IPv6 : 0u;
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_SOCK_ADDR, 0, &l->address};
    }
    options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    errno = 0;
    if (!st)
        l->daemon = MHD_start_daemon(flags, 0, NULL, NULL, api_on_request, server, MHD_OPTION_ARRAY,
                                     options, MHD_OPTION_END);
    if (!st && !l->daemon)
        st = fail_listening(errno ? errno : EADDRINUSE, l);
    return st;
}

enum st api_listener_url(char url[192], unsigned *port, const struct api_listener *l)
{
    const struct sockaddr *address = &l->address.any;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_BIND_PORT);
    char host[128];

    *port = 0;
    if (address->sa_family == AF_UNIX) {
        snprintf(url, 192, "%s", l->text);
        return ST_OK;
    }
    if (!info)
        return st_fail(ST_IO, NULL, "the port that was bound is not known");
    *port = info->port;
    if (getnameinfo(address, sizeof l->address, host, sizeof host, NULL, 0, NI_NUMERICHOST))
        snprintf(host, sizeof host, "localhost");
    snprintf(url, 192, address->sa_family == AF_INET6 ? "%s://[%s]:%u" : "%s://%s:%u",
             l->tls ? "https" : "http", host, *port);
    return ST_OK;
}

enum st api_listeners_start(struct api_listeners *l)
{
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < l->count; i++)
        st = start(&l->list[i]);
    return st;
}

unsigned api_listeners_connections(const struct api_listeners *l)
{
    unsigned all = 0;

    for (size_t i = 0; i < l->count; i++) {
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(l->list[i].daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        all += info ? info->num_connections : 0;
    }
    return all;
}

void api_listeners_close(struct api_listeners *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(l->list[i].daemon, MHD_DAEMON_INFO_LISTEN_FD);
        if (info)
            shutdown(info->listen_fd, SHUT_RDWR);
    }
}

void api_listeners_stop(struct api_listeners *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->list[i].daemon)
            MHD_stop_daemon(l->list[i].daemon);
        if (l->list[i].bound)
            unlink(l->list[i].address.path.sun_path);
    }
}
