/* An open-loop client: it sends at a constant rate, whether or not answers come, and counts a
 * request's time from the moment at which it should have been sent. A server that stops for a
 * moment is thus charged for everybody who would have come in that moment, not only for those who
 * were lucky enough to be in its queue.
 *
 * usage: bench_load PORT PATH TOKEN BODIES CONNECTIONS RATE SECONDS RESULT
 *
 * Sends POST PATH with a line of the file BODIES each, or, where PATH ends with a slash, GET PATH
 * with the line behind it, of which what follows a space is the ETag that is known; RATE a second
 * (0: closed loop, each connection asks again when it is answered), for SECONDS or until SIGTERM.
 * RESULT gets five doubles a request: the moments at which it should have been sent, was sent, and
 * was answered, in microseconds of CLOCK_MONOTONIC; the status (0: the connection broke); and the
 * version that the answer names. Requests take connections in turn, so that every worker of the
 * server has some. */
#include "base/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX (256u << 10) /* that of a batch */
#define EVENTS 64
#define LAST_ANSWERS_NS 10000000000 /* how long they are waited for */

struct connection {
    int fd;
    double due, sent; /* us, of the request in flight */
    size_t len;
    char answer[ANSWER_MAX];
    struct connection *next; /* idle */
};

struct client {
    const char *port, *path, *token;
    bool gets;
    char **bodies;
    size_t body_count, body_next;
    double interval; /* us; 0: closed loop */
    int epoll;
    struct connection *idle, **idle_last;
    size_t in_flight;
    FILE *result;
};

static volatile sig_atomic_t stopping;

static void on_signal(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void put_idle(struct client *c, struct connection *n)
{
    n->next = NULL;
    n->len = 0;
    *c->idle_last = n;
    c->idle_last = &n->next;
}

static struct connection *take_idle(struct client *c)
{
    struct connection *n = c->idle;

    c->idle = n->next;
    if (!c->idle)
        c->idle_last = &c->idle;
    return n;
}

static void dial(struct client *c, struct connection *n)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(c->port))};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = n};
    int one = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    n->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (n->fd < 0 || connect(n->fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connecting");
    if (fcntl(n->fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        epoll_ctl(c->epoll, EPOLL_CTL_ADD, n->fd, &event) != 0)
        fail("a connection");
}

static void record(struct client *c, struct connection *n, int status, double version)
{
    double row[] = {n->due, n->sent, now_us(), status, version};

    if (fwrite(row, sizeof row, 1, c->result) != 1)
        fail("writing the result");
    c->in_flight--;
}

static void broke(struct client *c, struct connection *n)
{
    record(c, n, 0, 0);
    close(n->fd);
    dial(c, n);
    put_idle(c, n);
}

static void ask(struct client *c, double due)
{
    struct connection *n = take_idle(c);
    const char *body = c->bodies[c->body_next++ % c->body_count];
    char text[ANSWER_MAX];
    size_t name = strcspn(body, " ");
    const char *known = body[name] ? body + name + 1 : NULL;
    int len =
        c->gets ? snprintf(text, sizeof text,
                           "GET %s%.*s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n%s%s"
                           "%s\r\n",
                           c->path, (int)name, body, c->token, known ? "If-None-Match: " : "",
                           known ? known : "", known ? "\r\n" : "")
                : snprintf(text, sizeof text,
                           "POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n"
                           "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                           c->path, c->token, strlen(body), body);

    n->due = due;
    n->sent = now_us();
    c->in_flight++;
    if (send(n->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
        broke(c, n);
}

/* Takes in what has come. The answer is whole: true. */
static bool receive(struct client *c, struct connection *n, int *status, double *version)
{
    ssize_t got = recv(n->fd, n->answer + n->len, sizeof n->answer - 1 - n->len, 0);
    char *end, *field;

    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0) {
        broke(c, n);
        return false;
    }
    n->len += (size_t)got;
    n->answer[n->len] = '\0';
    end = strstr(n->answer, "\r\n\r\n");
    field = end ? strcasestr(n->answer, "\r\nContent-Length:") : NULL;
    if (!field || n->len < (size_t)(end + 4 - n->answer) + strtoul(field + 17, NULL, 10))
        return false;
    field = strstr(end, "\"version\":");
    *status = atoi(n->answer + strlen("HTTP/1.1 "));
    *version = field ? strtod(field + 10, NULL) : 0;
    return true;
}

static void wait_for_answers(struct client *c, double until)
{
    struct epoll_event events[EVENTS];
    double left = (until - now_us()) * 1e3;
    struct timespec timeout = {.tv_sec = (time_t)(left > 0 ? left / 1e9 : 0)};

    if (left > 0)
        timeout.tv_nsec = (long)(left - (double)timeout.tv_sec * 1e9);
    int count = epoll_pwait2(c->epoll, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        struct connection *n = events[i].data.ptr;
        double version;
        int status;

        if (!receive(c, n, &status, &version))
            continue;
        record(c, n, status, version);
        put_idle(c, n);
    }
}

static void run(struct client *c, double seconds)
{
    double due = now_us(), end = due + seconds * 1e6;

    while (!stopping && now_us() < end) {
        while (c->interval > 0 && c->idle && due <= now_us()) {
            ask(c, due);
            due += c->interval;
        }
        while (c->interval == 0 && c->idle)
            ask(c, now_us());
        /* With none idle the next one is late already: it waits for a connection, and counts. */
        wait_for_answers(c, c->interval > 0 && c->idle && due < end ? due : end);
    }
    for (end = now_us() + LAST_ANSWERS_NS / 1e3; c->in_flight && now_us() < end;)
        wait_for_answers(c, end);
}

static void read_bodies(struct client *c, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    if (!file)
        fail(path);
    while ((len = getline(&line, &room, file)) > 0) {
        line[len - 1] = '\0';
        c->bodies = realloc(c->bodies, (c->body_count + 1) * sizeof *c->bodies);
        if (!c->bodies || !(c->bodies[c->body_count++] = strdup(line)))
            fail("bodies");
    }
    free(line);
    fclose(file);
    if (c->body_count == 0)
        fail(path);
}

int main(int argc, char **argv)
{
    struct client c = {.idle_last = &c.idle};

    if (argc != 9) {
        fprintf(stderr,
                "usage: bench_load PORT PATH TOKEN BODIES CONNECTIONS RATE SECONDS RESULT\n");
        return 2;
    }
    double rate = strtod(argv[6], NULL);
    size_t count = strtoul(argv[5], NULL, 10);
    struct connection *connections = calloc(count, sizeof *connections);

    c.port = argv[1];
    c.path = argv[2];
    c.gets = *c.path && c.path[strlen(c.path) - 1] == '/';
    c.token = argv[3];
    c.interval = rate > 0 ? 1e6 / rate : 0;
    c.epoll = epoll_create1(EPOLL_CLOEXEC);
    c.result = fopen(argv[8], "w");
    if (!connections || c.epoll < 0 || !c.result)
        fail(argv[8]);
    read_bodies(&c, argv[4]);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    process_short_turns();                /* what waits here for a core is not the server's */
    (void)prctl(PR_SET_TIMERSLACK, 1000); /* ns: what is due is sent then */
    for (size_t i = 0; i < count; i++) {
        dial(&c, &connections[i]);
        put_idle(&c, &connections[i]);
    }
    run(&c, strtod(argv[7], NULL));
    if (fclose(c.result) != 0)
        fail(argv[8]);
    for (size_t i = 0; i < count; i++)
        close(connections[i].fd);
    free(connections);
    for (size_t i = 0; i < c.body_count; i++)
        free(c.bodies[i]);
    free(c.bodies);
    if (c.in_flight)
        fprintf(stderr, "bench_load: %zu requests were never answered\n", c.in_flight);
    return c.in_flight ? 1 : 0;
}
