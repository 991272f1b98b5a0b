#include "api/watch.h"

#include "api/watch_batch.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

/* A thread that looks at the inbox when inotify says that something changed there, and every half
 * minute besides: network file systems do not tell, and a watch can be missing. Nothing is known
 * here of what was started: the catalog knows (store/start.h). */

#define LOOK_MS 1000     /* between looks at which datasets are watched */
#define SCAN_MS 30000    /* between looks at every directory, whatever inotify says */
#define BATCHES_MAX 4096 /* of one dataset that are looked up: those before have been */
#define EVENTS (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_ONLYDIR)

struct api_watch {
    const char *inbox;
    struct store_keeper *keeper;
    int events, stop; /* inotify and eventfd */
    pthread_t thread;
    struct store_starters starters; /* touched by the catalog thread while this one waits for it */
    uint64_t scan_ms;               /* when everything is looked at next */
};

/* ---- errands for the catalog thread ---- */

static void load(struct store *s, struct store_wait *wait, void *ctx)
{
    struct api_watch *w = ctx;

    bool changed;

    (void)wait;
    if (store_starters_refresh(&changed, &w->starters, s, clock_wall_us()))
        log_failure(LOG_LEVEL_WARN, "inbox", "the watched datasets cannot be listed now");
    else if (changed)
        w->scan_ms = 0;
}

struct look {
    const struct store_starter *starter;
    struct store_batch *batches;
    size_t count;
    bool first;
    enum st status;
};

static void look(struct store *s, struct store_wait *wait, void *ctx)
{
    struct look *l = ctx;

    (void)wait;
    l->status = store_batches_look(&l->first, s, l->starter, l->batches, l->count);
    if (l->status)
        log_failure(LOG_LEVEL_WARN, "inbox", "the batches of %s/%s cannot be looked up now",
                    l->starter->tenant, l->starter->dataset);
}

struct begin {
    const struct store_starter *starter;
    const struct store_batch *batch;
    json_t *sources;
};

static void begin(struct store *s, struct store_wait *wait, void *ctx)
{
    const struct begin *b = ctx;
    bool started;

    (void)wait;
    if (store_batch_start(&started, s, b->starter, b->batch, b->sources))
        log_failure(LOG_LEVEL_WARN, "inbox", "batch %s of %s/%s waits", b->batch->name,
                    b->starter->tenant, b->starter->dataset);
}

static bool on_catalog_thread(struct api_watch *w,
                              void (*run_fn)(struct store *s, struct store_wait *wait, void *ctx),
                              void *ctx)
{
    return store_keeper_call(w->keeper, run_fn, ctx) == ST_OK;
}

/* ---- one dataset ---- */

static void start_batch(struct api_watch *w, const struct store_starter *starter, int directory,
                        const struct store_batch *batch, bool passed_over)
{
    struct begin b = {.starter = starter, .batch = batch};
    enum st st =
        passed_over ? ST_OK : watch_batch_sources(&b.sources, directory, starter, batch->name);

    if (st) /* told once: until its marker is written anew */
        log_failure(LOG_LEVEL_ERROR, "inbox", "batch %s of %s/%s is passed over", batch->name,
                    starter->tenant, starter->dataset);
    if (!on_catalog_thread(w, begin, &b))
        log_failure(LOG_LEVEL_WARN, "inbox", "batch %s of %s/%s waits", batch->name,
                    starter->tenant, starter->dataset);
    json_decref(b.sources);
}

/* Where nothing was ever started, the newest batch is what counts: those before it were replaced
 * by it. */
static void look_at(struct api_watch *w, const struct store_starter *starter, int directory)
{
    struct look l = {.starter = starter};

    l.count = watch_list_batches(&l.batches, BATCHES_MAX, directory, w->events, EVENTS);
    if (l.count && on_catalog_thread(w, look, &l) && !l.status)
        for (size_t i = 0; i < l.count; i++)
            if (!l.batches[i].started)
                start_batch(w, starter, directory, &l.batches[i], l.first && i + 1 < l.count);
    free(l.batches);
}

/* What there is of INBOX/TENANT/DATASET is watched, whichever part of it is made next. */
static void look_for(struct api_watch *w, const struct store_starter *starter)
{
    char path[FS_PATH_MAX];

    if (fs_path(path, "%s/%s", w->inbox, starter->tenant))
        return;
    int tenant = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int dataset = tenant < 0 ? -1 : fs_open_below(tenant, starter->dataset, O_RDONLY | O_DIRECTORY);
    if (tenant >= 0)
        watch_directory(w->events, tenant, EVENTS);
    if (dataset >= 0) {
        watch_directory(w->events, dataset, EVENTS);
        look_at(w, starter, dataset);
    }
    fs_close(&dataset);
    fs_close(&tenant);
}

static void scan(struct api_watch *w)
{
    (void)inotify_add_watch(w->events, w->inbox, EVENTS);
    for (size_t i = 0; i < w->starters.count; i++)
        if (w->starters.items[i].watched)
            look_for(w, &w->starters.items[i]);
}

/* ---- the thread ---- */

/* True: there were some. */
static bool drain(int events)
{
    char buffer[4096] __attribute__((aligned(8)));
    bool any = false;

    while (read(events, buffer, sizeof buffer) > 0)
        any = true;
    return any;
}

static void *watch_main(void *arg)
{
    struct api_watch *w = arg;
    struct pollfd fds[] = {{.fd = w->stop, .events = POLLIN}, {.fd = w->events, .events = POLLIN}};

    while (!fds[0].revents) {
        bool told = drain(w->events);
        if (!on_catalog_thread(w, load, w))
            break; /* the server stops */
        uint64_t now_ms = clock_steady_ns() / 1000000u;
        if (told || now_ms >= w->scan_ms) {
            w->scan_ms = now_ms + SCAN_MS;
            scan(w);
        }
        (void)poll(fds, 2, LOOK_MS);
    }
    return NULL;
}

static void release(struct api_watch *w)
{
    fs_close(&w->events);
    fs_close(&w->stop);
    store_starters_free(&w->starters);
    free(w);
}

enum st api_watch_start(struct api_watch **out, const char *inbox, struct store_keeper *keeper)
{
    *out = NULL;
    if (!inbox)
        return ST_OK;
    struct api_watch *w = calloc(1, sizeof *w);
    if (!w)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    w->inbox = inbox;
    w->keeper = keeper;
    w->events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    w->stop = w->events < 0 ? -1 : eventfd(0, EFD_CLOEXEC);
    int rc = w->stop < 0 ? errno : pthread_create(&w->thread, NULL, watch_main, w);
    if (rc != 0) {
        release(w);
        return st_fail_errno(rc, "watching the inbox");
    }
    *out = w;
    return ST_OK;
}

void api_watch_stop(struct api_watch *w)
{
    const uint64_t one = 1;

    if (!w)
        return;
    if (write(w->stop, &one, sizeof one) != (ssize_t)sizeof one) {
        /* a counter of 2^64 stops: it cannot be full */
    }
    pthread_join(w->thread, NULL);
    release(w);
}
