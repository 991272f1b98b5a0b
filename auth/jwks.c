#include "auth/jwks.h"

#include "auth/fetch.h"
#include "auth/jwk.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One thread, one fetch at a time, the mutex held only between fetches. A source that is not wanted
 * any more while it is being fetched is freed when that is over. */

#define DOCUMENT_MAX (256u << 10)
#define MINUTE_MS 60000u
#define FRESH_MIN_S 60
#define FRESH_MAX_S 86400
#define FRESH_S 300
#define RETRY_MS 10000u /* after a failure; doubled with each, up to RETRY_MAX_MS */
#define RETRY_MAX_MS 300000u

struct source {
    struct source *next;
    char location[AUTH_JWKS_LOCATION_MAX];
    struct auth_jwk_set set; /* the last good one */
    unsigned char digest[DIGEST_BYTES];
    uint64_t due_ms;
    unsigned failures; /* in a row */
    bool tried, wanted;
};

struct auth_jwks {
    struct auth_jwks_options options;
    char ca_file[FS_PATH_MAX];
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    struct source *sources;
    struct source *fetching;
    _Atomic bool stopping;
    _Atomic uint64_t asked_ms; /* of the last refresh for an unknown key id */
    struct metric *count, *failing;
};

static uint64_t now_ms(void)
{
    return clock_steady_ns() / 1000000u;
}

enum st auth_jwks_check(const char *location)
{
    if (strlen(location) < AUTH_JWKS_LOCATION_MAX && auth_fetch_takes(location))
        return ST_OK;
    return st_hint(st_fail(ST_INVALID, "BAD_JWKS", "this is no place for a JWK Set"),
                   "https://..., an absolute path, or http:// on 127.0.0.1, [::1] or localhost");
}

static void free_source(struct source *s)
{
    auth_jwk_set_release(&s->set);
    free(s);
}

static struct source *find(const struct auth_jwks *j, const char *location)
{
    struct source *s = j->sources;

    while (s && strcmp(s->location, location) != 0)
        s = s->next;
    return s;
}

static void count(struct auth_jwks *j)
{
    int64_t sources = 0, failing = 0;

    for (const struct source *s = j->sources; s; s = s->next) {
        sources++;
        failing += s->failures > 0;
    }
    metric_set(j->count, 0, sources);
    metric_set(j->failing, 0, failing);
}

static void forget_unwanted(struct auth_jwks *j)
{
    for (struct source **at = &j->sources; *at;) {
        struct source *s = *at;
        if (s->wanted || s == j->fetching) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        free_source(s);
    }
    count(j);
}

static struct source *add_source(struct auth_jwks *j, const char *location)
{
    struct source *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    strncat(s->location, location, sizeof s->location - 1);
    s->next = j->sources;
    j->sources = s;
    return s;
}

enum st auth_jwks_want(struct auth_jwks *j, const char *const *locations, size_t location_count)
{
    enum st st = ST_OK;

    pthread_mutex_lock(&j->mutex);
    for (size_t i = 0; !st && i < location_count; i++)
        if (!find(j, locations[i]) && !add_source(j, locations[i]))
            st = st_fail(ST_NOMEM, NULL, "out of memory for JWK Sets");
    if (!st) { /* else those of before stay: their keys are in force */
        for (struct source *s = j->sources; s; s = s->next)
            s->wanted = false;
        for (size_t i = 0; i < location_count; i++)
            find(j, locations[i])->wanted = true;
    }
    forget_unwanted(j);
    pthread_cond_signal(&j->cond);
    pthread_mutex_unlock(&j->mutex);
    return st;
}

enum st auth_jwks_add(struct auth_jwks *j, struct auth_keyset *set, const char *tenant,
                      const char *location)
{
    enum st st = ST_OK;

    pthread_mutex_lock(&j->mutex);
    const struct source *s = find(j, location);
    for (size_t i = 0; s && !st && i < s->set.count; i++)
        st = auth_keyset_add_fetched(set, tenant, s->set.keys[i]);
    pthread_mutex_unlock(&j->mutex);
    return st;
}

/* Every one, now. The mutex is held. */
static void make_due(struct auth_jwks *j)
{
    for (struct source *s = j->sources; s; s = s->next)
        s->due_ms = 0;
    pthread_cond_signal(&j->cond);
}

void auth_jwks_ask(struct auth_jwks *j)
{
    uint64_t now = now_ms(), last = atomic_load(&j->asked_ms);

    if ((last && now - last < MINUTE_MS) ||
        !atomic_compare_exchange_strong(&j->asked_ms, &last, now))
        return;
    pthread_mutex_lock(&j->mutex);
    make_due(j);
    pthread_mutex_unlock(&j->mutex);
}

void auth_jwks_reload(struct auth_jwks *j)
{
    pthread_mutex_lock(&j->mutex);
    make_due(j);
    pthread_mutex_unlock(&j->mutex);
}

void auth_jwks_look(struct auth_jwks_state *out, struct auth_jwks *j)
{
    *out = (struct auth_jwks_state){.settled = true};
    pthread_mutex_lock(&j->mutex);
    for (const struct source *s = j->sources; s; s = s->next) {
        out->sources++;
        out->failing += s->failures > 0;
        out->settled = out->settled && s->tried;
    }
    pthread_mutex_unlock(&j->mutex);
}

/* ---- the thread ---- */

uint64_t auth_jwks_pause_ms(const char *location, int64_t max_age_s, unsigned failures)
{
    if (failures > 0) {
        uint64_t pause_ms = RETRY_MS << (failures < 6 ? failures - 1 : 5);
        return pause_ms < RETRY_MAX_MS ? pause_ms : RETRY_MAX_MS;
    }
    int64_t fresh_s = *location == '/' ? FRESH_MIN_S : max_age_s < 0 ? FRESH_S : max_age_s;
    fresh_s = fresh_s < FRESH_MIN_S ? FRESH_MIN_S : fresh_s > FRESH_MAX_S ? FRESH_MAX_S : fresh_s;
    return (uint64_t)fresh_s * 800; /* before it expires */
}

/* Takes in what was fetched; true when the keys are others now. The mutex is held. */
static bool take_in(struct source *s, const struct buf *document, enum st st)
{
    unsigned char digest[DIGEST_BYTES];
    struct auth_jwk_set set;

    if (!st)
        digest_sha256(digest, document->data, document->len);
    if (!st && s->set.count && memcmp(digest, s->digest, sizeof digest) == 0) {
        s->failures = 0;
        return false;
    }
    if (!st)
        st = auth_jwk_set_parse(&set, document->data, document->len);
    if (st) {
        if (s->failures++ == 0)
            log_failure(LOG_LEVEL_ERROR, "jwks", "the keys at %s cannot be had; %s", s->location,
                        s->set.count ? "the last good ones stay" : "there are none");
        return false;
    }
    log_event(LOG_LEVEL_INFO, "jwks", "%s has %zu keys for tokens (%zu others)", s->location,
              set.count, set.ignored);
    auth_jwk_set_release(&s->set);
    s->set = set;
    memcpy(s->digest, digest, sizeof digest);
    s->failures = 0;
    return true;
}

/* The mutex is held on entry and on return, not meanwhile. */
static void refresh(struct auth_jwks *j, struct source *s)
{
    const struct auth_fetch_options o = {.ca_file = j->options.ca_file ? j->ca_file : NULL,
                                         .outgoing = j->options.outgoing,
                                         .timeout_ms = j->options.timeout_ms,
                                         .stop = &j->stopping};
    int64_t max_age_s = -1;
    struct buf document;

    buf_init(&document, DOCUMENT_MAX);
    s->due_ms = UINT64_MAX; /* unless a reload comes meanwhile */
    j->fetching = s;        /* its location does not change */
    pthread_mutex_unlock(&j->mutex);
    enum st st = auth_fetch(&document, &max_age_s, s->location, &o);
    if (!st && document.len == 0)
        st = st_fail(ST_INVALID, "BAD_JWKS", "it is empty");
    pthread_mutex_lock(&j->mutex);
    bool changed = !atomic_load(&j->stopping) && take_in(s, &document, st);
    if (s->due_ms == UINT64_MAX)
        s->due_ms = now_ms() + auth_jwks_pause_ms(s->location, max_age_s, s->failures);
    buf_release(&document);
    if (changed) {
        pthread_mutex_unlock(&j->mutex);
        j->options.changed_fn(j->options.ctx);
        pthread_mutex_lock(&j->mutex);
    }
    s->tried = true; /* and whoever sees it sees what changed_fn did */
    j->fetching = NULL;
    forget_unwanted(j);
}

static struct source *first_due(const struct auth_jwks *j)
{
    struct source *first = j->sources;

    for (struct source *s = first; s; s = s->next)
        if (s->due_ms < first->due_ms)
            first = s;
    return first;
}

static void wait_until(struct auth_jwks *j, uint64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000 * 1000000)};

    (void)pthread_cond_timedwait(&j->cond, &j->mutex, &until);
}

static void *jwks_main(void *arg)
{
    struct auth_jwks *j = arg;

    pthread_mutex_lock(&j->mutex);
    while (!atomic_load(&j->stopping)) {
        struct source *s = first_due(j);

        if (!s || s->due_ms > now_ms())
            wait_until(j, s ? s->due_ms : now_ms() + MINUTE_MS);
        else
            refresh(j, s);
    }
    pthread_mutex_unlock(&j->mutex);
    return NULL;
}

static enum st register_metrics(struct auth_jwks *j)
{
    enum st st = metrics_register(&j->count, j->options.metrics,
                                  &(struct metric_info){.name = "everline_jwks_sources",
                                                        .help = "JWK Sets that tenants name.",
                                                        .kind = METRIC_GAUGE});
    if (!st)
        st = metrics_register(
            &j->failing, j->options.metrics,
            &(struct metric_info){.name = "everline_jwks_failing",
                                  .help = "Of them, those that could not be had or read last time.",
                                  .kind = METRIC_GAUGE});
    return st;
}

enum st auth_jwks_start(struct auth_jwks **out, const struct auth_jwks_options *options)
{
    pthread_condattr_t monotonic;
    struct auth_jwks *j = calloc(1, sizeof *j);
    enum st st = ST_OK;

    *out = NULL;
    if (!j)
        return st_fail(ST_NOMEM, NULL, "out of memory for JWK Sets");
    j->options = *options;
    if (options->ca_file)
        st = fs_path(j->ca_file, "%s", options->ca_file);
    if (!st && options->metrics)
        st = register_metrics(j);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&j->mutex, NULL);
    pthread_cond_init(&j->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!st) {
        int rc = pthread_create(&j->thread, NULL, jwks_main, j);
        if (rc != 0)
            st = st_fail_errno(rc, "starting the thread that fetches keys");
    }
    if (st) {
        pthread_mutex_destroy(&j->mutex);
        pthread_cond_destroy(&j->cond);
        free(j);
        return st;
    }
    *out = j;
    return ST_OK;
}

void auth_jwks_stop(struct auth_jwks *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->mutex);
    atomic_store(&j->stopping, true);
    pthread_cond_signal(&j->cond);
    pthread_mutex_unlock(&j->mutex);
    pthread_join(j->thread, NULL);
}

void auth_jwks_free(struct auth_jwks *j)
{
    if (!j)
        return;
    for (struct source *s = j->sources, *next; s; s = next) {
        next = s->next;
        free_source(s);
    }
    pthread_mutex_destroy(&j->mutex);
    pthread_cond_destroy(&j->cond);
    free(j);
}

enum st auth_jwks_load(struct auth_keyset *set, const char *tenant, const char *location,
                       const struct auth_jwks_options *options)
{
    const struct auth_fetch_options o = {.ca_file = options->ca_file,
                                         .outgoing = options->outgoing,
                                         .timeout_ms = options->timeout_ms};
    struct auth_jwk_set keys = {.count = 0};
    struct buf document;
    int64_t max_age_s;

    buf_init(&document, DOCUMENT_MAX);
    enum st st = auth_fetch(&document, &max_age_s, location, &o);
    if (!st)
        st = auth_jwk_set_parse(&keys, document.data ? document.data : "", document.len);
    for (size_t i = 0; !st && i < keys.count; i++)
        st = auth_keyset_add_fetched(set, tenant, keys.keys[i]);
    auth_jwk_set_release(&keys);
    buf_release(&document);
    return st ? st_wrap(st, "the keys at %s", location) : ST_OK;
}
