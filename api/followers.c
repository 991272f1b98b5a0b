#include "api/followers.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A thread asks the catalog thread, LOOK_MS after LOOK_MS, how all jobs are that somebody follows.
 * A connection that has nothing to send is suspended by the request thread and resumed by this one;
 * both do it, and everything else with a follower, under the one mutex. A client that does not read
 * gets no more until it has read: an event says all, and those in between are not missed. Now and
 * then a comment is sent: only a write tells that a client is gone. */

#define LOOK_MS 250
#define PING_MS 15000
#define EVENT_MAX (1u << 20)
#define BLOCK_BYTES 4096

struct api_follower {
    struct api_followers *all;         /* NULL: it is not among them */
    struct MHD_Connection *connection; /* once its answer has begun */
    char tenant[STORE_NAME_SIZE], job[STORE_JOB_ID_SIZE];
    struct buf pending; /* not sent yet */
    char *last;         /* the event that was sent last */
    uint64_t said_ms;
    bool suspended, ended;
    struct api_follower *next;
};

struct api_followers {
    struct store_keeper *keeper;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    struct api_follower *first;
    unsigned count;
    bool ending, stopping;
};

static uint64_t now_ms(void)
{
    return clock_steady_ns() / 1000000u;
}

/* Has the job made a version, so short a time ago that this may not be served yet? */
static bool has_just_made(const json_t *job)
{
    const char *state = json_string_value(json_object_get(job, "state"));
    const char *ended = json_string_value(json_object_get(job, "ended_at"));
    int64_t ended_us, now_us = clock_wall_us();

    return state && (strcmp(state, "succeeded") == 0 || strcmp(state, "held") == 0) &&
           json_is_integer(json_object_get(job, "version")) && ended &&
           clock_parse(&ended_us, ended) == ST_OK && ended_us <= now_us &&
           now_us - ended_us < STORE_SERVE_WAIT_MS * INT64_C(1000);
}

void api_job_await(struct store_wait *wait, struct store *s, const char *tenant, const json_t *job)
{
    const char *dataset = json_string_value(json_object_get(job, "dataset"));
    uint64_t sequence;

    if (!has_just_made(job) || store_dataset_sequence(&sequence, s, tenant, dataset))
        return;
    snprintf(wait->tenant, sizeof wait->tenant, "%s", tenant);
    snprintf(wait->dataset, sizeof wait->dataset, "%s", dataset);
    wait->sequence = sequence;
}

void api_follower_event(struct buf *out, json_t *job)
{
    const char *state = json_string_value(json_object_get(job, "state"));
    bool goes_on = state && (strcmp(state, "queued") == 0 || strcmp(state, "running") == 0);

    buf_addf(out, "event: %s\ndata: ", goes_on ? "progress" : "end");
    json_object_del(job, "report"); /* who may see all of it is decided where it is asked for */
    jx_write(out, job, false);
    buf_addstr(out, "\n\n");
}

/* ---- the stream, on a request thread ---- */

static ssize_t read_stream(void *cls, uint64_t pos, char *to, size_t max)
{
    struct api_follower *f = cls;
    ssize_t n = 0;

    (void)pos;
    pthread_mutex_lock(&f->all->mutex);
    if (f->pending.len) {
        n = (ssize_t)(f->pending.len < max ? f->pending.len : max);
        memcpy(to, f->pending.data, (size_t)n);
        f->pending.len -= (size_t)n;
        memmove(f->pending.data, f->pending.data + n, f->pending.len);
    } else if (f->ended || f->pending.status) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        f->suspended = true;
        MHD_suspend_connection(f->connection);
    }
    pthread_mutex_unlock(&f->all->mutex);
    return n;
}

static void free_stream(void *cls)
{
    api_follower_free(cls);
}

/* ---- who follows ---- */

static void leave(struct api_follower *f)
{
    struct api_followers *all = f->all;
    struct api_follower **at = &all->first;

    pthread_mutex_lock(&all->mutex);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    all->count--;
    pthread_mutex_unlock(&all->mutex);
}

/* The mutex is held. */
static bool is_full(const struct api_followers *all, const char *tenant)
{
    unsigned theirs = 0;

    for (const struct api_follower *one = all->first; one; one = one->next)
        theirs += strcmp(one->tenant, tenant) == 0;
    return all->count >= API_FOLLOWERS_MAX || theirs >= API_FOLLOWERS_OF_TENANT_MAX;
}

/* Nothing is done with it until its first event has been sent. */
static enum st add(struct api_follower *f, struct api_followers *all)
{
    pthread_mutex_lock(&all->mutex);
    bool full = is_full(all, f->tenant);
    if (!full) {
        f->all = all;
        f->ended = all->ending || strncmp(f->last, "event: end", 10) == 0;
        f->next = all->first;
        all->first = f;
        all->count++;
    }
    pthread_mutex_unlock(&all->mutex);
    return full ? st_hint(st_fail(ST_UNAVAILABLE, "BUSY", "too many jobs are being followed"),
                          "ask GET /v1/jobs/{job} now and then instead")
                : ST_OK;
}

enum st api_follower_new(struct api_follower **out, struct api_followers *all, const char *tenant,
                         const char *job, const char *first)
{
    struct api_follower *f = *out = calloc(1, sizeof *f);

    if (!f)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    f->said_ms = now_ms();
    f->last = strdup(first);
    snprintf(f->tenant, sizeof f->tenant, "%s", tenant);
    snprintf(f->job, sizeof f->job, "%s", job);
    buf_init(&f->pending, EVENT_MAX);
    buf_addstr(&f->pending, first);
    enum st st = f->last ? buf_status(&f->pending) : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st)
        st = add(f, all);
    if (st) {
        api_follower_free(f);
        *out = NULL;
    }
    return st;
}

void api_follower_free(struct api_follower *f)
{
    if (!f)
        return;
    if (f->all)
        leave(f);
    buf_release(&f->pending);
    free(f->last);
    free(f);
}

struct MHD_Response *api_follower_response(struct api_follower *f,
                                           struct MHD_Connection *connection)
{
    f->connection = connection;
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
                                                                      read_stream, f, free_stream);
    if (!response)
        api_follower_free(f);
    return response;
}

/* ---- the jobs, on the catalog thread ---- */

static void wake(struct api_follower *f)
{
    f->said_ms = now_ms();
    if (f->suspended) {
        f->suspended = false;
        MHD_resume_connection(f->connection);
    }
}

static bool can_be_told(struct api_follower *f, struct store *s, const json_t *job)
{
    struct store_wait wait = {.sequence = 0};

    api_job_await(&wait, s, f->tenant, job);
    return !wait.sequence || store_keeper_serves(f->all->keeper, &wait);
}

static void look_at(struct api_follower *f, struct store *s)
{
    struct buf event;
    json_t *job = NULL;

    if (f->ended || f->pending.len)
        return;
    buf_init(&event, EVENT_MAX);
    if (store_job_get(&job, s, f->tenant, f->job) == ST_OK && can_be_told(f, s, job))
        api_follower_event(&event, job);
    if (!event.status && event.len && strcmp(f->last, event.data) != 0) {
        buf_add(&f->pending, event.data, event.len);
        f->ended = strncmp(event.data, "event: end", 10) == 0;
        free(f->last);
        f->last = buf_take(&event);
        wake(f);
    } else if (now_ms() - f->said_ms >= PING_MS) {
        buf_addstr(&f->pending, ":\n\n");
        wake(f);
    }
    buf_release(&event);
    json_decref(job);
}

static void look(struct store *s, struct store_wait *wait, void *ctx)
{
    struct api_followers *all = ctx;

    (void)wait;
    pthread_mutex_lock(&all->mutex);
    for (struct api_follower *f = all->first; f; f = f->next)
        look_at(f, s);
    pthread_mutex_unlock(&all->mutex);
}

static void *followers_main(void *arg)
{
    struct api_followers *all = arg;

    pthread_mutex_lock(&all->mutex);
    while (!all->stopping) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&all->cond, &all->mutex, &until);
        if (!all->first || all->stopping)
            continue;
        pthread_mutex_unlock(&all->mutex);
        if (store_keeper_call(all->keeper, look, all))
            log_failure(LOG_LEVEL_WARN, "followers", "jobs cannot be followed now");
        pthread_mutex_lock(&all->mutex);
    }
    pthread_mutex_unlock(&all->mutex);
    return NULL;
}

/* ---- start and stop ---- */

enum st api_followers_start(struct api_followers **out, struct store_keeper *keeper)
{
    struct api_followers *all = calloc(1, sizeof *all);
    pthread_condattr_t monotonic;

    *out = NULL;
    if (!all)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    all->keeper = keeper;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&all->mutex, NULL);
    pthread_cond_init(&all->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&all->thread, NULL, followers_main, all);
    if (rc != 0) {
        free(all);
        return st_fail_errno(rc, "starting the thread of the event streams");
    }
    *out = all;
    return ST_OK;
}

void api_followers_end(struct api_followers *all)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->mutex);
    all->ending = true;
    for (struct api_follower *f = all->first; f; f = f->next) {
        f->ended = true;
        wake(f);
    }
    pthread_mutex_unlock(&all->mutex);
}

void api_followers_stop(struct api_followers *all)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->mutex);
    all->stopping = true;
    pthread_cond_signal(&all->cond);
    pthread_mutex_unlock(&all->mutex);
    pthread_join(all->thread, NULL);
    pthread_mutex_destroy(&all->mutex);
    pthread_cond_destroy(&all->cond);
    free(all);
}
