#include "api/workers.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/program.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A thread of its own, because the kernel tells a child of the death of the thread that made it.
 *
 * One worker is started at a time, while jobs wait that nobody has leased; one that ended badly
 * makes the next wait, longer each time. Nothing else is known of the workers: what they work on,
 * and what becomes of it when they die, is between them and the queue. */

#define LOOK_MS 50
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
#define STOP_MS 5000 /* for a worker to give its job back */
#define ARGUMENTS_MAX 16

struct api_workers {
    struct api_workers_options options;
    struct store_keeper *keeper;
    char program[FS_PATH_MAX];
    char *argv[ARGUMENTS_MAX];
    pthread_t thread;
    _Atomic bool stopping;
    pid_t *pids; /* 0: free */
    uint64_t start_ms, backoff_ms;
};

static void fill_arguments(struct api_workers *w)
{
    const struct api_workers_options *o = &w->options;
    const char *const all[][2] = {{"--data", o->data_dir},
                                  {"--keys", o->keys_dir},
                                  {"--inbox", o->inbox},
                                  {"--config", o->config_file},
                                  {"--idle-exit", "30s"}};
    size_t n = 0;

    w->argv[n++] = w->program;
    w->argv[n++] = (char *)(uintptr_t) "worker";
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i][1]) {
            w->argv[n++] = (char *)(uintptr_t)all[i][0];
            w->argv[n++] = (char *)(uintptr_t)all[i][1];
        }
}

static void start_one(struct api_workers *w, uint64_t now_ms)
{
    for (unsigned i = 0; i < w->options.limit; i++) {
        if (w->pids[i])
            continue;
        pid_t pid = program_start(w->program, w->argv, -1, -1);
        if (pid > 0)
            w->pids[i] = pid;
        else
            log_event(LOG_LEVEL_ERROR, "worker", "cannot be started: %s", strerror(errno));
        w->start_ms = now_ms + LOOK_MS; /* it looks at the queue before another one is started */
        return;
    }
}

static void collect(struct api_workers *w, uint64_t now_ms)
{
    for (unsigned i = 0; i < w->options.limit; i++) {
        int status = 0;
        if (!w->pids[i] || waitpid(w->pids[i], &status, WNOHANG) != w->pids[i])
            continue;
        w->pids[i] = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            w->backoff_ms = 0;
            continue;
        }
        w->backoff_ms = w->backoff_ms ? w->backoff_ms * 2 : BACKOFF_MIN_MS;
        if (w->backoff_ms > BACKOFF_MAX_MS)
            w->backoff_ms = BACKOFF_MAX_MS;
        w->start_ms = now_ms + w->backoff_ms;
        log_event(LOG_LEVEL_ERROR, "worker", "ended by %s %d; the next is started in %llu ms",
                  WIFSIGNALED(status) ? "signal" : "exit",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                  (unsigned long long)w->backoff_ms);
    }
}

static unsigned count(const struct api_workers *w)
{
    unsigned alive = 0;

    for (unsigned i = 0; i < w->options.limit; i++)
        alive += w->pids[i] != 0;
    return alive;
}

static void signal_all(const struct api_workers *w, int number)
{
    for (unsigned i = 0; i < w->options.limit; i++)
        if (w->pids[i])
            kill(w->pids[i], number);
}

static void stop_all(struct api_workers *w)
{
    uint64_t end_ms = clock_steady_ns() / 1000000u + STOP_MS;

    signal_all(w, SIGTERM);
    while (count(w) && clock_steady_ns() / 1000000u < end_ms) {
        poll(NULL, 0, LOOK_MS / 10);
        collect(w, 0);
    }
    signal_all(w, SIGKILL);
    while (count(w)) {
        poll(NULL, 0, LOOK_MS / 10);
        collect(w, 0);
    }
}

static void *workers_main(void *arg)
{
    struct api_workers *w = arg;

    while (!atomic_load(&w->stopping)) {
        uint64_t now_ms = clock_steady_ns() / 1000000u;
        struct store_queue_stats stats;

        collect(w, now_ms);
        store_keeper_queue(w->keeper, &stats);
        if (stats.waiting && now_ms >= w->start_ms)
            start_one(w, now_ms);
        poll(NULL, 0, LOOK_MS);
    }
    stop_all(w);
    return NULL;
}

enum st api_workers_start(struct api_workers **out, const struct api_workers_options *options,
                          struct store_keeper *keeper)
{
    *out = NULL;
    if (!options->limit)
        return ST_OK;
    struct api_workers *w = calloc(1, sizeof *w);
    if (!w)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    w->options = *options;
    w->keeper = keeper;
    w->pids = calloc(options->limit, sizeof *w->pids);
    enum st st = w->pids ? program_sibling(w->program, "everline-ingest")
                         : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st) {
        fill_arguments(w);
        int rc = pthread_create(&w->thread, NULL, workers_main, w);
        if (rc != 0)
            st = st_fail_errno(rc, "starting the thread of the workers");
    }
    if (st) {
        free(w->pids);
        free(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

void api_workers_dismiss(struct api_workers *w)
{
    if (w)
        atomic_store(&w->stopping, true);
}

void api_workers_stop(struct api_workers *w)
{
    if (!w)
        return;
    api_workers_dismiss(w);
    pthread_join(w->thread, NULL);
    free(w->pids);
    free(w);
}
