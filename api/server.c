#include "api/connection.h"

#include "api/followers.h"
#include "api/gzip.h"
#include "api/helper.h"
#include "api/hooks.h"
#include "api/production.h"
#include "api/responses.h"
#include "api/watch.h"
#include "api/workers.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* The server's life: keeper first (the first view is whole before anybody can ask), then the
 * daemon, then the port file. SIGTERM turns readiness off, lets requests in flight finish, says
 * goodbye to idle connections, and stops daemon and keeper in that order. The main thread waits for
 * signals, and sweeps the connections (api/links.h). */

#define DRAIN_POLL_MS 5
#define ALONE_MS 50
#define OPEN_MS 1000
#define NS_PER_MS 1000000u

static enum st publish_place(struct api_server *server)
{
    char text[16], url[192], first[192] = "";
    unsigned port, published = 0;
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < server->listeners.count; i++) {
        const struct api_listener *l = &server->listeners.list[i];
        st = api_listener_url(url, &port, l);
        if (st)
            break;
        log_event(LOG_LEVEL_INFO, "serving", l->probes ? "%s: probes and metrics" : "%s", url);
        if (!*first)
            snprintf(first, sizeof first, "%s", url);
        if (!published && !l->probes)
            published = port;
    }
    if (!st && server->options.port_file) {
        int n = snprintf(text, sizeof text, "%u\n", published);
        st = fs_write_atomic(server->options.port_file, text, (size_t)n, 0644);
    }
    if (!st && server->options.ready_fn)
        server->options.ready_fn(first, server->options.ctx);
    return st;
}

/* This thread sweeps while it waits, here and in the drain. */
static void wait_for_signal(struct api_server *server, const sigset_t *signals)
{
    for (;;) {
        uint64_t period_ms = api_links_period_ms(server->links);
        struct timespec period = {.tv_sec = (time_t)(period_ms / 1000),
                                  .tv_nsec = (long)(period_ms % 1000 * 1000000)};

        api_links_sweep(server->links);
        int signal_number = sigtimedwait(signals, NULL, &period);
        if (signal_number < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (signal_number != SIGHUP)
            return;
        api_settings_reload(server);
    }
}

static void nap(struct api_server *server)
{
    poll(NULL, 0, DRAIN_POLL_MS);
    api_links_sweep(server->links);
}

/* The door stays open until nobody has been there for a moment, at most for OPEN_MS: so long a
 * balancer has to hear of the stop, and each connection to ask once more and to be told that it
 * ends with the answer. Who was never busy need not wait. */
static void wait_for_word(struct api_server *server, uint64_t start_ns, uint64_t until_ns)
{
    uint64_t now_ns = start_ns,
             busy_ns = api_listeners_connections(&server->listeners) ? start_ns : 0;
    unsigned seen = 0;

    while (now_ns < until_ns && now_ns - busy_ns < ALONE_MS * NS_PER_MS) {
        nap(server);
        now_ns = clock_steady_ns();
        unsigned late = atomic_load(&server->late_requests);
        if (late != seen || api_listeners_connections(&server->listeners))
            busy_ns = now_ns;
        seen = late;
    }
}

/* Who is still there has asked nothing for OPEN_MS, or has only just come, and is waited for. */
static void say_goodbye(struct api_server *server, uint64_t end_ns)
{
    uint64_t start_ns = clock_steady_ns();

    for (unsigned i = 1; i <= 2; i++) {
        api_links_part(server->links);
        while (api_listeners_connections(&server->listeners) && clock_steady_ns() < end_ns &&
               clock_steady_ns() - start_ns < i * OPEN_MS * NS_PER_MS)
            nap(server);
    }
}

/* Those that have begun get their answers. When others keep coming, the door is closed: each of
 * their answers ends its connection, so that there is an end. */
static void wait_for_requests(struct api_server *server, uint64_t end_ns)
{
    unsigned late = atomic_load(&server->late_requests);

    while (atomic_load(&server->in_flight) && clock_steady_ns() < end_ns) {
        nap(server);
        if (atomic_load(&server->late_requests) != late)
            api_listeners_close(&server->listeners);
    }
}

/* The deadline holds whatever hangs, a stopped process that has the catalog's lock for one. What
 * was acknowledged is durable: nothing is lost by ending here. */
static void give_up(int signal_number)
{
    static const char LINE[] = "everline: the drain timeout has passed: ending at once\n";
    ssize_t n = write(STDERR_FILENO, LINE, sizeof LINE - 1);

    (void)signal_number;
    (void)n;
    _exit(0);
}

static void arm_deadline(uint64_t timeout_ms)
{
    struct sigaction action = {.sa_handler = give_up};
    struct itimerval timer = {.it_value = {.tv_sec = (time_t)(timeout_ms / 1000),
                                           .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void drain(struct api_server *server)
{
    uint64_t start_ns = clock_steady_ns(), timeout_ms = server->options.drain_timeout_ms;
    uint64_t end_ns = start_ns + timeout_ms * NS_PER_MS / 10 * 9; /* the rest is for stopping */
    uint64_t open_ns = start_ns + OPEN_MS * NS_PER_MS;

    atomic_store(&server->stopping, true);
    store_keeper_hurry(server->keeper);
    api_workers_dismiss(server->ingest_workers);
    api_followers_end(server->followers);
    arm_deadline(timeout_ms);
    log_event(LOG_LEVEL_INFO, "drain", "%u requests in flight", atomic_load(&server->in_flight));
    api_links_part(server->links); /* nobody yet: it sees who asks from now on */
    wait_for_word(server, start_ns, open_ns < end_ns ? open_ns : end_ns);
    wait_for_requests(server, end_ns);
    api_listeners_close(&server->listeners);
    say_goodbye(server, end_ns);
    atomic_store(&server->closing, true);
    while (atomic_load(&server->suspended)) /* libmicrohttpd aborts when it is stopped with one */
        nap(server);
    wait_for_requests(server, end_ns);
    if (atomic_load(&server->in_flight))
        log_event(LOG_LEVEL_WARN, "drain", "%u requests are cut off",
                  atomic_load(&server->in_flight));
}

static void set_defaults(struct api_options *o)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (o->workers == 0)
        o->workers = cpus > 0 ? (unsigned)cpus : 1;
    if (o->connection_limit == 0)
        o->connection_limit = 4096;
    if (o->drain_timeout_ms == 0)
        o->drain_timeout_ms = 25000;
    if (o->audit_interval_ms == 0)
        o->audit_interval_ms = 100;
    if (o->usage_interval_ms == 0)
        o->usage_interval_ms = 10000;
    if (o->request_timeout_ms == 0)
        o->request_timeout_ms = 30000;
}

static enum st find_keys(struct api_server *server)
{
    const struct store_options *o = &server->options.store;

    return o->keys_dir ? fs_path(server->keys_dir, "%s", o->keys_dir)
                       : fs_path(server->keys_dir, "%s/keys", o->data_dir);
}

static enum st make_worker(struct api_worker *w)
{
    enum st st = auth_cache_new(&w->tokens, API_TOKENS_BYTES);

    return st ? st : api_responses_new(&w->responses);
}

/* What was made is released by the caller, also after a failure. */
static enum st make_workers(struct api_server *server)
{
    enum st st = ST_OK;

    server->slots = api_listeners_threads(&server->listeners);
    size_t bytes = server->slots * sizeof *server->workers;
    server->workers = aligned_alloc(_Alignof(struct api_worker), bytes);
    if (!server->workers)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    memset(server->workers, 0, bytes);
    for (unsigned i = 0; !st && i < server->slots; i++)
        st = make_worker(&server->workers[i]);
    return st;
}

static void release_workers(struct api_server *server)
{
    for (unsigned i = 0; server->workers && i < server->slots; i++) {
        auth_cache_free(server->workers[i].tokens);
        free(server->workers[i].spare);
        api_responses_free(server->workers[i].responses);
        api_gzip_free(server->workers[i].gzip);
    }
    free(server->workers);
}

/* They are blocked, and wait for who looks. */
static bool is_told_to_stop(void *ctx)
{
    sigset_t pending;

    (void)ctx;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

enum st api_start_keeper(struct api_server *server, unsigned slots)
{
    struct store_keeper_options o = {
        .store = server->options.store,
        .scrub = server->options.scrub,
        .slots = slots,
        .extend_fn = api_keys_extend,
        .release_fn = api_keys_release,
        .stop_fn = is_told_to_stop,
        .ctx = server,
    };
    enum st st = find_keys(server);

    struct auth_jwks_options jwks = {.ca_file = server->options.jwks_ca,
                                     .outgoing = &server->outgoing,
                                     .timeout_ms = server->options.jwks_timeout_ms,
                                     .changed_fn = api_keys_changed,
                                     .ctx = server};

    if (!st)
        st = metrics_new(&server->metrics);
    jwks.metrics = server->metrics;
    if (!st)
        st = api_metrics_register(&server->counts, server->metrics);
    o.metrics = server->metrics;
    if (!st && server->options.listen) /* else there are no tokens */
        st = auth_jwks_start(&server->jwks, &jwks);
    if (!st)
        st = store_keeper_start(&server->keeper, &o);
    if (!st && server->jwks) {
        atomic_store(&server->reloadable, server->keeper);
        if (atomic_load(&server->keys_generation)) /* some keys came before it could be told */
            store_keeper_reload(server->keeper);
    }
    return st;
}

static enum st start_workers(struct api_server *server)
{
    const struct api_options *o = &server->options;
    struct api_workers_options w = {.data_dir = o->store.data_dir,
                                    .keys_dir = o->store.keys_dir,
                                    .inbox = o->inbox,
                                    .config_file = o->config_file,
                                    .limit = o->ingest_workers};

    server->run_name = store_keeper_run_name(server->keeper);
    return api_workers_start(&server->ingest_workers, &w, server->keeper);
}

static enum st start_audit(struct api_server *server)
{
    const struct api_options *o = &server->options;
    struct api_audit_options a = {.data_dir = o->store.data_dir,
                                  .keys_dir = server->keys_dir,
                                  .interval_ms = o->audit_interval_ms,
                                  .retention_ms = o->audit_retention_ms,
                                  .slots = server->slots,
                                  .keeper = server->keeper,
                                  .metrics = server->metrics};

    return api_audit_start(&server->audit, &a);
}

static enum st read_outgoing(struct api_server *server)
{
    enum st st = ST_OK;

    for (const char *const *text = server->options.outgoing; !st && *text; text++)
        st = network_list_add(&server->outgoing, *text);
    return st ? st_wrap(st, "--outgoing") : ST_OK;
}

/* In the order in which one needs the other; what was started is stopped by the caller, also after
 * a failure. */
static enum st start(struct api_server *server)
{
    enum st st = api_listeners_read(&server->listeners, server);

    if (!st)
        st = read_outgoing(server);
    if (!st && server->options.production)
        st = api_check_production(&server->options, &server->listeners);
    if (!st)
        st = make_workers(server);
    if (!st)
        st = api_start_keeper(server, server->slots);
    if (!st)
        st = api_helpers_start(&server->helpers);
    if (!st)
        st = api_pool_start(&server->pool);
    if (!st)
        st = api_followers_start(&server->followers, server->keeper);
    if (!st)
        st = start_workers(server);
    if (!st)
        st = api_watch_start(&server->watch, server->options.inbox, server->keeper);
    if (!st)
        st = api_hooks_start(&server->hooks, server->keeper, &server->outgoing);
    if (!st)
        st = start_audit(server);
    if (!st)
        st = api_usage_start(&server->usage, server->keeper, server->slots,
                             server->options.usage_interval_ms);
    if (!st)
        st = api_links_new(&server->links, server->counts.refused);
    if (!st)
        st = api_settings_apply(server, &server->options);
    if (!st)
        st = api_listeners_start(&server->listeners);
    return st ? st : publish_place(server);
}

static void stop(struct api_server *server)
{
    api_listeners_stop(&server->listeners);
    api_settings_release(server);
    api_links_free(server->links);
    api_usage_stop(server->usage);
    api_audit_stop(server->audit);
    api_hooks_stop(server->hooks);
    api_watch_stop(server->watch);
    api_workers_stop(server->ingest_workers);
    api_followers_stop(server->followers);
    api_pool_stop(server->pool);
    api_helpers_stop(server->helpers);
    auth_jwks_stop(server->jwks);
    store_keeper_stop(server->keeper);
    auth_jwks_free(server->jwks);
    auth_limits_close(atomic_load(&server->limits));
    network_list_release(&server->outgoing);
    release_workers(server);
    metrics_free(server->metrics);
    arm_deadline(0);
}

/* Every thread inherits them. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

enum st api_serve(const struct api_options *options)
{
    struct api_server server = {
        .options = *options,
        .exports = API_PLACES_INIT(API_EXPORTS_MAX, API_EXPORTS_OF_TENANT_MAX),
        .checks = API_PLACES_INIT(API_CHECKS_MAX, API_CHECKS_OF_TENANT_MAX),
        .repeats = API_REPEATS_INIT,
    };
    sigset_t signals;

    set_defaults(&server.options);
    block_signals(&signals);
    enum st st = start(&server);
    if (st == ST_UNAVAILABLE && strcmp(st_code(), "STOPPING") == 0) {
        st = ST_OK; /* as it was told to, before it could serve */
    } else if (!st) {
        wait_for_signal(&server, &signals);
        drain(&server);
    }
    stop(&server);
    if (!st)
        log_event(LOG_LEVEL_INFO, "stopped", "drained");
    return st;
}
