#include "api/audit.h"

#include "api/audit_prune.h"
#include "api/audit_queue.h"
#include "auth/audit_chain.h"
#include "auth/audit_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/anchor.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The writer. Each interval it takes what the request threads have pushed, in the order of time,
 * makes lines of it in the chains of their tenants, and commits each of those once. Every
 * ANCHOR_MS, and at the end, the heads of the chains go to the catalog. A chain is opened by its
 * tenant's first record.
 *
 * The catalog only holds anchors: when it cannot be read or written, the audit goes on. */

#define QUEUE_MAX (32u << 20) /* of a worker: seconds of lookups while the disk stands still */
#define QUEUE_FULL_ENOUGH (1u << 20) /* the writer does not wait for the interval */
#define ANCHOR_MS 10000
#define RETRY_MS 1000
#define PRUNE_MS 60000
#define HKDF_INFO "everline audit 1"

struct tenant_audit {
    struct audit_chain *chain;
    char key_id[STORE_NAME_SIZE]; /* that hmac is of */
    struct digest_hmac *hmac;     /* NULL: there is no such key */
    uint64_t anchored;            /* the last line whose hash is in the catalog, */
    uint64_t offered;             /* and that whose hash was given to it */
    bool key_missing;             /* which was told */
};

struct api_audit {
    struct api_audit_options options;
    char directory[FS_PATH_MAX];
    int lock;
    unsigned number;
    struct audit_queue *queues;
    _Atomic bool failing;
    bool complained;
    struct tenant_audit **tenants;
    size_t tenant_count;
    struct metric *lines, *fails;
    uint64_t anchor_ms, prune_ms;

    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    bool hurry, stopping;

    struct store_task task; /* that anchors: what follows is the catalog thread's meanwhile */
    _Atomic bool anchoring;
    bool put;
    struct store_anchor *anchors;
    size_t anchor_count;
};

/* ---- request threads ---- */

static enum st unavailable(void)
{
    return st_hint(st_fail(ST_UNAVAILABLE, "AUDIT_UNAVAILABLE",
                           "the audit cannot be written, and without it this is not answered"),
                   "the server's log says why");
}

enum st api_audit_ready(const struct api_audit *a)
{
    return a && atomic_load_explicit(&a->failing, memory_order_relaxed) ? unavailable() : ST_OK;
}

static void hurry(struct api_audit *a)
{
    pthread_mutex_lock(&a->mutex);
    a->hurry = true;
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->mutex);
}

enum st api_audit_push(struct api_audit *a, unsigned slot, const struct audit_record *record)
{
    size_t bytes = 0;

    if (!a)
        return ST_OK;
    if (atomic_load_explicit(&a->failing, memory_order_relaxed) ||
        !audit_queue_push(&a->queues[slot], record, &bytes))
        return unavailable();
    if (bytes > QUEUE_FULL_ENOUGH)
        hurry(a);
    return ST_OK;
}

/* ---- chains ---- */

struct anchor_call {
    const char *tenant;
    unsigned chain;
    struct store_anchor anchor;
    enum st st;
};

static void get_anchor(struct store *s, struct store_wait *wait, void *ctx)
{
    struct anchor_call *call = ctx;

    (void)wait;
    call->st = store_anchor_get(&call->anchor, s, call->tenant, call->chain);
}

static enum st open_chain(struct tenant_audit *t, struct api_audit *a, const char *tenant)
{
    struct anchor_call call = {.tenant = tenant, .chain = a->number};
    struct audit_head head = {0};
    enum st st = store_keeper_call(a->options.keeper, get_anchor, &call);

    if (!st && !call.st) {
        head.sequence = call.anchor.sequence;
        memcpy(head.hash, call.anchor.hash, sizeof head.hash);
    }
    st = audit_chain_open(&t->chain, a->directory, tenant, a->number, &head, AUDIT_ROTATE_BYTES);
    t->anchored = t->offered = head.sequence;
    return st;
}

static struct tenant_audit *find_tenant(struct api_audit *a, const char *tenant)
{
    for (size_t i = 0; i < a->tenant_count; i++)
        if (strcmp(audit_chain_tenant(a->tenants[i]->chain), tenant) == 0)
            return a->tenants[i];
    struct tenant_audit **grown =
        reallocarray(a->tenants, a->tenant_count + 1, sizeof(struct tenant_audit *));
    struct tenant_audit *t = grown ? calloc(1, sizeof *t) : NULL;
    if (grown)
        a->tenants = grown;
    enum st st = t ? open_chain(t, a, tenant) : st_fail(ST_NOMEM, NULL, "out of memory");
    if (st) {
        free(t);
        return NULL;
    }
    return a->tenants[a->tenant_count++] = t;
}

/* The key of the audit is derived from the one that protects the dataset's keys. */
static void take_key(struct tenant_audit *t, const struct api_audit *a,
                     const struct audit_record *r)
{
    struct secret key = {0}, derived = {0};

    if (strcmp(t->key_id, r->key_id) == 0 && t->hmac)
        return;
    snprintf(t->key_id, sizeof t->key_id, "%s", r->key_id);
    digest_hmac_free(t->hmac);
    t->hmac = NULL;
    enum st st = store_hmac_key_read(&key, a->options.keys_dir, r->tenant, r->key_id);
    if (!st)
        st = digest_hkdf(&derived, &key, HKDF_INFO);
    if (!st)
        st = digest_hmac_new(&t->hmac, &derived);
    secret_release(&key);
    secret_release(&derived);
    if (st && !t->key_missing)
        log_failure(LOG_LEVEL_ERROR, "audit", "keys that are looked up are left out of the audit");
    t->key_missing = st != ST_OK;
}

static enum st take_lock(struct api_audit *a)
{
    return a->lock >= 0 ? ST_OK : audit_chain_take(&a->lock, &a->number, a->directory);
}

/* The queue whose next record is the oldest; NULL: all are empty. */
static struct audit_queue *oldest(struct audit_record *record, struct api_audit *a)
{
    struct audit_queue *best = NULL;
    struct audit_record r;

    for (unsigned i = 0; i < a->options.slots; i++)
        if (audit_queue_peek(&r, &a->queues[i]) && (!best || r.at_us < record->at_us)) {
            best = &a->queues[i];
            *record = r;
        }
    return best;
}

static enum st add_records(struct api_audit *a)
{
    struct audit_record record;
    struct audit_queue *q;
    enum st st = take_lock(a);

    while (!st && (q = oldest(&record, a))) {
        struct tenant_audit *t = find_tenant(a, record.tenant);
        if (!t)
            return st_wrap(ST_IO, "the audit of a tenant cannot be begun");
        if (record.key_count)
            take_key(t, a, &record);
        st = audit_chain_add(t->chain, &record, t->hmac);
        if (!st) {
            audit_queue_next(q);
            metric_add(a->lines, 0, 1);
        }
    }
    return st;
}

static enum st commit(struct api_audit *a)
{
    for (unsigned i = 0; i < a->options.slots; i++)
        audit_queue_take(&a->queues[i]);
    enum st st = add_records(a), failure = st;
    for (size_t i = 0; i < a->tenant_count; i++) {
        st = audit_chain_commit(a->tenants[i]->chain);
        if (st && !failure)
            failure = st;
    }
    return failure;
}

static void note_state(struct api_audit *a, enum st st)
{
    atomic_store(&a->failing, st != ST_OK);
    metric_set(a->fails, 0, st != ST_OK);
    if (st && !a->complained)
        log_failure(LOG_LEVEL_ERROR, "audit",
                    "it cannot be written: protected datasets are not answered");
    else if (!st && a->complained)
        log_event(LOG_LEVEL_INFO, "audit", "it is written again");
    a->complained = st != ST_OK;
}

/* ---- anchors ---- */

static void put_anchors(struct store *s, struct store_wait *wait, void *ctx)
{
    struct api_audit *a = ctx;

    (void)wait;
    a->put = store_anchor_put(s, a->anchors, a->anchor_count) == ST_OK;
    if (!a->put)
        log_failure(LOG_LEVEL_WARN, "audit", "the heads of its chains are not in the catalog");
}

static void anchors_are_put(enum st status, void *ctx)
{
    struct api_audit *a = ctx;

    a->put = a->put && status == ST_OK;
    atomic_store(&a->anchoring, false);
}

/* What could not be put is offered again, also when no line has come since. */
static void note_anchored(struct api_audit *a)
{
    for (size_t i = 0; a->put && i < a->tenant_count; i++)
        a->tenants[i]->anchored = a->tenants[i]->offered;
    a->put = false;
    free(a->anchors);
    a->anchors = NULL;
}

static bool collect_anchors(struct api_audit *a)
{
    a->anchor_count = 0;
    a->anchors = calloc(a->tenant_count + 1, sizeof *a->anchors);
    for (size_t i = 0; a->anchors && i < a->tenant_count; i++) {
        struct tenant_audit *t = a->tenants[i];
        const struct audit_head *head = audit_chain_head(t->chain);
        if (head->sequence == t->anchored)
            continue;
        struct store_anchor *anchor = &a->anchors[a->anchor_count++];
        *anchor = (struct store_anchor){.chain = a->number, .sequence = head->sequence, .first = 1};
        memcpy(anchor->hash, head->hash, sizeof anchor->hash);
        snprintf(anchor->tenant, sizeof anchor->tenant, "%s", audit_chain_tenant(t->chain));
        t->offered = head->sequence;
    }
    return a->anchor_count > 0;
}

static void anchor(struct api_audit *a)
{
    if (atomic_load(&a->anchoring))
        return;
    note_anchored(a);
    if (!collect_anchors(a))
        return;
    atomic_store(&a->anchoring, true);
    a->task = (struct store_task){.run_fn = put_anchors, .done_fn = anchors_are_put, .ctx = a};
    store_keeper_post(a->options.keeper, &a->task);
}

static void anchor_at_the_end(struct api_audit *a)
{
    while (atomic_load(&a->anchoring))
        usleep(1000);
    note_anchored(a);
    if (collect_anchors(a) && store_keeper_call(a->options.keeper, put_anchors, a))
        log_failure(LOG_LEVEL_WARN, "audit", "the heads of its chains are not in the catalog");
    note_anchored(a);
}

static void prune(struct api_audit *a)
{
    int64_t before_s = api_audit_too_old(a->options.retention_ms);
    bool rest = true;

    for (size_t i = 0; i < a->tenant_count; i++)
        rest = audit_chain_rest(a->tenants[i]->chain, before_s) && rest;
    if (api_audit_prune(a->options.keeper, a->directory, rest ? a->number : 0, before_s))
        log_failure(LOG_LEVEL_WARN, "audit", "what is old of it stays for now");
}

/* ---- the thread ---- */

static bool wait_for_work(struct api_audit *a)
{
    uint64_t ms = a->complained ? RETRY_MS : a->options.interval_ms;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000 * 1000000);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&a->mutex);
    int rc = 0;
    while (!a->stopping && !a->hurry && rc == 0)
        rc = pthread_cond_timedwait(&a->cond, &a->mutex, &until);
    a->hurry = false;
    bool stopping = a->stopping;
    pthread_mutex_unlock(&a->mutex);
    return !stopping;
}

static void *audit_main(void *arg)
{
    struct api_audit *a = arg;

    note_state(a, take_lock(a));
    for (bool goes_on = true; goes_on;) {
        goes_on = wait_for_work(a);
        note_state(a, commit(a));
        uint64_t now_ms = clock_steady_ns() / 1000000u;
        if (now_ms >= a->anchor_ms) {
            a->anchor_ms = now_ms + ANCHOR_MS;
            anchor(a);
        }
        if (now_ms >= a->prune_ms) {
            a->prune_ms = now_ms + PRUNE_MS;
            prune(a);
        }
    }
    note_state(a, commit(a)); /* what came while the one before was at it */
    anchor_at_the_end(a);
    return NULL;
}

static enum st make(struct api_audit *a)
{
    size_t bytes = a->options.slots * sizeof *a->queues;
    pthread_condattr_t attributes;

    a->queues = aligned_alloc(_Alignof(struct audit_queue), bytes);
    if (!a->queues)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (unsigned i = 0; i < a->options.slots; i++)
        audit_queue_init(&a->queues[i], QUEUE_MAX);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&a->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    enum st st = fs_path(a->directory, "%s/audit", a->options.data_dir);
    if (!st)
        st = metrics_register(&a->lines, a->options.metrics,
                              &(struct metric_info){.name = "everline_audit_lines_total",
                                                    .help = "Lines written to the audit.",
                                                    .kind = METRIC_COUNTER});
    if (!st)
        st = metrics_register(
            &a->fails, a->options.metrics,
            &(struct metric_info){.name = "everline_audit_failing",
                                  .help = "1: the audit cannot be written, and protected datasets "
                                          "are not answered.",
                                  .kind = METRIC_GAUGE});
    return st;
}

enum st api_audit_start(struct api_audit **out, const struct api_audit_options *options)
{
    struct api_audit *a = calloc(1, sizeof *a);

    *out = a;
    if (!a)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    a->options = *options;
    a->lock = -1;
    enum st st = make(a);
    if (!st && pthread_create(&a->thread, NULL, audit_main, a) != 0)
        st = st_fail(ST_IO, NULL, "the audit's thread cannot be started");
    a->started = !st;
    return st;
}

void api_audit_stop(struct api_audit *a)
{
    if (!a)
        return;
    if (a->started) {
        pthread_mutex_lock(&a->mutex);
        a->stopping = true;
        pthread_cond_signal(&a->cond);
        pthread_mutex_unlock(&a->mutex);
        pthread_join(a->thread, NULL);
    }
    for (unsigned i = 0; a->queues && i < a->options.slots; i++)
        audit_queue_release(&a->queues[i]);
    for (size_t i = 0; i < a->tenant_count; i++) {
        audit_chain_close(a->tenants[i]->chain);
        digest_hmac_free(a->tenants[i]->hmac);
        free(a->tenants[i]);
    }
    free(a->tenants);
    free(a->queues);
    fs_close(&a->lock);
    free(a);
}
