#include "api/usage.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Each request thread has a table of rows, open addressing by a hash of what a row is of. The
 * thread that flushes takes the tables away and gives empty ones; what it could not commit it
 * keeps, and tries again with what has come since. */

#define DAY_US 86400000000
#define ROOM 16 /* rows of a table at first */

/* Of a tenant in one table, that are of subjects: what comes then is added to STORE_USAGE_OTHERS,
 * so that no tenant's tokens fill the memory between two flushes. */
#define NAMED_MAX STORE_USAGE_SUBJECTS

struct table {
    struct store_usage *rows; /* operation NULL: empty */
    size_t room, count;
};

struct counter {
    _Alignas(64) pthread_mutex_t mutex;
    struct table table;
    int64_t today; /* days since 1970, */
    char day[STORE_DAY_SIZE];
};

struct api_usage {
    struct store_keeper *keeper;
    struct counter *counters;
    unsigned slots;
    uint64_t interval_ms;
    struct table pending; /* the thread's own */
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool stopping;
};

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return (h ^ 0x100) * 0x100000001b3u;
}

static bool is_same(const struct store_usage *a, const struct store_usage *b)
{
    return a->operation == b->operation && strcmp(a->day, b->day) == 0 &&
           strcmp(a->tenant, b->tenant) == 0 && strcmp(a->dataset, b->dataset) == 0 &&
           strcmp(a->subject, b->subject) == 0;
}

static struct store_usage *find(const struct table *t, const struct store_usage *of)
{
    uint64_t h = hash_text(
        hash_text(hash_text(hash_text(0xcbf29ce484222325u, of->tenant), of->subject), of->dataset),
        of->operation);
    size_t i = (size_t)(h ^ h >> 32) % t->room;

    while (t->rows[i].operation && !is_same(&t->rows[i], of))
        i = (i + 1) % t->room;
    return &t->rows[i];
}

static bool grow(struct table *t)
{
    struct table larger = {.room = t->room ? t->room * 2 : ROOM};

    larger.rows = calloc(larger.room, sizeof *larger.rows);
    if (!larger.rows)
        return false;
    for (size_t i = 0; i < t->room; i++)
        if (t->rows[i].operation)
            *find(&larger, &t->rows[i]) = t->rows[i];
    larger.count = t->count;
    free(t->rows);
    *t = larger;
    return true;
}

/* The operation of what a table has beside its rows: how many of a tenant are of subjects. */
static const char NAMED[] = "";

static bool is_usage(const struct store_usage *row)
{
    return row->operation && row->operation != NAMED;
}

/* One more of the tenant; false: there are enough. There is room in the table. */
static bool count_named(struct table *t, const char *tenant)
{
    struct store_usage of = {.operation = NAMED};

    memcpy(of.tenant, tenant, sizeof of.tenant);
    struct store_usage *named = find(t, &of);
    if (!named->operation) {
        *named = of;
        t->count++;
    }
    if (named->requests >= NAMED_MAX)
        return false;
    named->requests++;
    return true;
}

static bool add(struct table *t, const struct store_usage *u)
{
    struct store_usage shared;

    if ((t->count + 2) * 2 > t->room && !grow(t))
        return false;
    struct store_usage *row = find(t, u);
    if (!row->operation && store_usage_is_named(u)) {
        if (!count_named(t, u->tenant)) {
            shared = *u;
            strcpy(shared.subject, STORE_USAGE_OTHERS);
            u = &shared;
        }
        row = find(t, u); /* the count can have taken its place */
    }
    if (row->operation) {
        row->requests += u->requests;
        row->keys += u->keys;
        row->matches += u->matches;
        row->bytes += u->bytes;
        row->job_ms += u->job_ms;
    } else {
        *row = *u;
        t->count++;
    }
    return true;
}

static void set_day(struct counter *c, int64_t now_us)
{
    char text[CLOCK_TEXT_SIZE];

    if (now_us / DAY_US == c->today)
        return;
    c->today = now_us / DAY_US;
    clock_format(text, now_us);
    memcpy(c->day, text, STORE_DAY_SIZE - 1);
    c->day[STORE_DAY_SIZE - 1] = '\0';
}

void api_usage_count(struct api_usage *u, unsigned slot, struct store_usage *count, int64_t now_us)
{
    if (!u)
        return;
    struct counter *c = &u->counters[slot];

    pthread_mutex_lock(&c->mutex);
    set_day(c, now_us);
    memcpy(count->day, c->day, sizeof count->day);
    bool added = add(&c->table, count);
    pthread_mutex_unlock(&c->mutex);
    if (!added)
        log_event(LOG_LEVEL_ERROR, "usage", "a request is not counted: out of memory");
}

/* ---- the thread ---- */

static void keep(struct api_usage *u, const struct store_usage *row)
{
    if (!add(&u->pending, row))
        log_event(LOG_LEVEL_ERROR, "usage", "requests are not counted: out of memory");
}

static void take(struct api_usage *u, struct counter *c)
{
    pthread_mutex_lock(&c->mutex);
    struct table taken = c->table;
    c->table = (struct table){0};
    pthread_mutex_unlock(&c->mutex);
    for (size_t i = 0; i < taken.room; i++)
        if (is_usage(&taken.rows[i]))
            keep(u, &taken.rows[i]);
    free(taken.rows);
}

struct flush {
    const struct store_usage *rows;
    size_t count;
    enum st st;
};

static void run_flush(struct store *s, struct store_wait *wait, void *ctx)
{
    struct flush *f = ctx;

    (void)wait;
    f->st = store_usage_add(s, f->rows, f->count);
}

/* The rows come first, what is none after them. */
static int by_use(const void *a, const void *b)
{
    const struct store_usage *x = a, *y = b;

    return is_usage(y) - is_usage(x);
}

static void flush(struct api_usage *u)
{
    for (unsigned i = 0; i < u->slots; i++)
        take(u, &u->counters[i]);
    if (!u->pending.count)
        return;
    struct table sorted = u->pending;
    qsort(sorted.rows, sorted.room, sizeof *sorted.rows, by_use);
    struct flush f = {.rows = sorted.rows};
    while (f.count < sorted.room && is_usage(&sorted.rows[f.count]))
        f.count++;
    enum st st = store_keeper_call(u->keeper, run_flush, &f);
    if (!st)
        st = f.st;
    u->pending = (struct table){0};
    if (st && st != ST_UNKNOWN_OUTCOME) {
        log_failure(LOG_LEVEL_WARN, "usage", "it is added up later");
        for (size_t i = 0; i < f.count; i++)
            keep(u, &sorted.rows[i]);
    }
    free(sorted.rows);
}

static void *usage_main(void *arg)
{
    struct api_usage *u = arg;

    for (bool stopping = false; !stopping;) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t)(u->interval_ms / 1000);
        until.tv_nsec += (long)(u->interval_ms % 1000 * 1000000);
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&u->mutex);
        for (int rc = 0; !u->stopping && rc == 0;)
            rc = pthread_cond_timedwait(&u->cond, &u->mutex, &until);
        stopping = u->stopping;
        pthread_mutex_unlock(&u->mutex);
        flush(u);
    }
    return NULL;
}

enum st api_usage_start(struct api_usage **out, struct store_keeper *keeper, unsigned slots,
                        uint64_t interval_ms)
{
    struct api_usage *u = calloc(1, sizeof *u);
    pthread_condattr_t attributes;

    *out = u;
    if (!u)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    u->keeper = keeper;
    u->interval_ms = interval_ms;
    u->counters = aligned_alloc(_Alignof(struct counter), slots * sizeof *u->counters);
    if (!u->counters)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    u->slots = slots;
    for (unsigned i = 0; i < slots; i++) {
        pthread_mutex_init(&u->counters[i].mutex, NULL);
        u->counters[i].table = (struct table){0};
        u->counters[i].today = -1;
    }
    pthread_mutex_init(&u->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&u->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&u->thread, NULL, usage_main, u) != 0)
        return st_fail(ST_IO, NULL, "the thread that adds usage up cannot be started");
    u->started = true;
    return ST_OK;
}

void api_usage_stop(struct api_usage *u)
{
    if (!u)
        return;
    if (u->started) {
        pthread_mutex_lock(&u->mutex);
        u->stopping = true;
        pthread_cond_signal(&u->cond);
        pthread_mutex_unlock(&u->mutex);
        pthread_join(u->thread, NULL);
    }
    for (unsigned i = 0; i < u->slots; i++)
        free(u->counters[i].table.rows);
    free(u->pending.rows);
    free(u->counters);
    free(u);
}
