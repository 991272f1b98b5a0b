#include "store/adopt.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/retention.h"
#include "store/seal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Opening a segment hashes, maps and touches the whole file; closing one unmaps it. Both can take
 * seconds, so that they happen on a thread of their own, and the catalog thread stays free to swap
 * views. While requests are answered that thread works in short steps and rests in between. The
 * list of entries belongs to the catalog thread; work and results cross through two queues under
 * one mutex. */

#define RETRY_MS 2000
#define RESERVE_BYTES ((uint64_t)64 << 20) /* of memory that warming leaves alone */

enum work_kind { WORK_OPEN, WORK_CLOSE, WORK_PURGE };

struct work {
    enum work_kind kind;
    struct adopted *entry;  /* OPEN: whose result it is */
    char path[FS_PATH_MAX]; /* of the file; PURGE: of the directory */
    struct store_segment_ref ref;
    enum adopted_trust trust;
    char tenant[STORE_NAME_SIZE];
    struct store_definition *definition; /* its own copy */
    struct store_segment *segment;       /* OPEN: the result; CLOSE: the task */
    struct seal seal;                    /* OPEN: of the file, when it was hashed */
    struct st_report report;
    enum st status;
    struct work *next;
};

struct queue {
    struct work *first, *last;
};

struct adopter {
    char keys_dir[FS_PATH_MAX];
    unsigned slots;
    const struct adopter_metrics *metrics;
    struct adopted *entries;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t todo_cond, done_cond;
    struct queue todo[ADOPT_URGENCIES], done;
    _Atomic bool stopping; /* what is being done is left; nothing is begun */
    _Atomic bool resting;  /* there are requests to be answered */
};

bool adopted_is_damaged(const struct adopted *entry)
{
    return entry->state == ADOPTED_BAD && strncmp(entry->report.code, "SEGMENT_", 8) == 0;
}

static void push(struct queue *q, struct work *w)
{
    w->next = NULL;
    if (q->last)
        q->last->next = w;
    else
        q->first = w;
    q->last = w;
}

static struct work *pop(struct queue *q)
{
    struct work *w = q->first;

    if (w) {
        q->first = w->next;
        if (!q->first)
            q->last = NULL;
    }
    return w;
}

static struct work *pop_todo(struct adopter *a)
{
    struct work *w = NULL;

    for (int i = 0; !w && i < ADOPT_URGENCIES; i++)
        w = pop(&a->todo[i]);
    return w;
}

static void free_work(struct work *w)
{
    store_definition_free(w->definition);
    free(w);
}

/* What does not fit beside what is served stays out, and is read when it is asked for. */
static enum st warm_segment(const struct adopter *a, struct work *w, struct pace *pace)
{
    uint64_t spare = memory_spare_bytes(), cold;
    enum st st = store_segment_warm(&cold, w->segment,
                                    spare > RESERVE_BYTES ? spare - RESERVE_BYTES : 0, pace);

    metric_add(a->metrics->cold_bytes, 0, cold);
    if (!st && cold)
        log_event(LOG_LEVEL_WARN, "cold",
                  "segment %.12s: %llu of %llu bytes were not brought into memory, which has no "
                  "room for them beside what is served",
                  w->ref.sha256, (unsigned long long)cold, (unsigned long long)w->ref.bytes);
    return st;
}

static enum st verify(struct work *w, struct pace *pace)
{
    switch (w->trust) {
    case ADOPT_SEALED:
        return store_segment_file_check(w->path, &w->ref);
    case ADOPT_BROKEN:
        return store_segment_file_scrub(&w->seal, w->path, &w->ref, pace);
    default:
        return store_segment_file_verify(&w->seal, w->path, &w->ref, pace);
    }
}

static void open_segment(const struct adopter *a, struct work *w)
{
    uint64_t start_ns = clock_steady_ns();
    struct pace pace;

    pace_begin(&pace, &a->resting, &a->stopping);
    w->status = verify(w, &pace);
    if (!w->status)
        w->status = store_segment_open_checked(&w->segment, w->path, a->keys_dir, w->tenant,
                                               w->definition, a->slots);
    if (!w->status) {
        w->status = warm_segment(a, w, &pace);
        if (!w->status) {
            metric_observe_ns(a->metrics->open_seconds, 0, clock_steady_ns() - start_ns);
        } else {
            store_segment_close(w->segment);
            w->segment = NULL;
        }
    }
    if (w->status)
        st_save(&w->report, w->status);
}

static void put_away(const struct adopter *a, struct work *w)
{
    struct pace pace;

    pace_begin(&pace, &a->resting, &a->stopping);
    if (w->kind == WORK_PURGE)
        store_purge(w->path);
    else
        store_segment_cool(w->segment, &pace);
    store_segment_close(w->segment);
    free_work(w);
}

static void *adopter_main(void *arg)
{
    struct adopter *a = arg;

    pthread_mutex_lock(&a->mutex);
    for (;;) {
        struct work *w = pop_todo(a);
        if (!w && a->stopping)
            break;
        if (w && a->stopping && w->kind == WORK_OPEN) { /* nobody will look at it */
            free_work(w);
            continue;
        }
        if (!w) {
            pthread_cond_wait(&a->todo_cond, &a->mutex);
            continue;
        }
        pthread_mutex_unlock(&a->mutex);
        if (w->kind == WORK_OPEN) {
            open_segment(a, w);
        } else {
            put_away(a, w);
            w = NULL;
        }
        pthread_mutex_lock(&a->mutex);
        if (w) {
            push(&a->done, w);
            pthread_cond_signal(&a->done_cond);
        }
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

enum st adopter_start(struct adopter **out, const char *keys_dir, unsigned slots,
                      const struct adopter_metrics *metrics)
{
    pthread_condattr_t monotonic;
    struct adopter *a = calloc(1, sizeof *a);
    enum st st =
        a ? fs_path(a->keys_dir, "%s", keys_dir) : st_fail(ST_NOMEM, NULL, "out of memory");

    *out = NULL;
    if (st) {
        free(a);
        return st;
    }
    a->slots = slots;
    a->metrics = metrics;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->todo_cond, NULL);
    pthread_cond_init(&a->done_cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&a->thread, NULL, adopter_main, a);
    if (rc != 0) {
        free(a);
        return st_fail_errno(rc, "starting the thread that opens segments");
    }
    *out = a;
    return ST_OK;
}

void adopter_step_back(struct adopter *a)
{
    atomic_store(&a->resting, true);
}

static void submit(struct adopter *a, struct work *w, enum adopter_urgency urgency)
{
    pthread_mutex_lock(&a->mutex);
    push(&a->todo[urgency], w);
    pthread_cond_signal(&a->todo_cond);
    pthread_mutex_unlock(&a->mutex);
}

void adopter_stop(struct adopter *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->mutex);
    a->stopping = true;
    pthread_cond_signal(&a->todo_cond);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    adopter_collect(a, NULL, NULL);
    while (a->entries) {
        struct adopted *entry = a->entries;
        a->entries = entry->next;
        store_segment_close(entry->segment);
        free(entry);
    }
    pthread_mutex_destroy(&a->mutex);
    pthread_cond_destroy(&a->todo_cond);
    pthread_cond_destroy(&a->done_cond);
    free(a);
}

/* The first of this name from `entry` on. New ones come first in the list. */
static struct adopted *find(struct adopted *entry, const char *sha256)
{
    while (entry && (entry->state == ADOPTED_LEFT || strcmp(entry->ref.sha256, sha256) != 0))
        entry = entry->next;
    return entry;
}

struct adopted *adopter_touch(struct adopted **newest, struct adopter *a, const char *sha256,
                              uint64_t round)
{
    struct adopted *entry = *newest = find(a->entries, sha256);

    while (entry && !entry->segment)
        entry = find(entry->next, sha256);
    if (!entry)
        entry = *newest;
    if (entry)
        entry->wanted = (*newest)->wanted = round;
    return entry;
}

/* Hands the segment to the helper thread to be closed, unless somebody uses it. */
static void close_segment(struct adopter *a, struct adopted *entry)
{
    struct work *w = entry->uses ? NULL : calloc(1, sizeof *w);

    if (!w)
        return; /* another time */
    w->kind = WORK_CLOSE;
    w->segment = entry->segment;
    entry->segment = NULL;
    submit(a, w, ADOPT_NOW);
}

struct adopted *adopter_want(struct adopter *a, const char *path,
                             const struct store_segment_ref *ref, enum adopted_trust trust,
                             uint64_t inode, const char *tenant,
                             const struct store_definition *definition,
                             enum adopter_urgency urgency, uint64_t round)
{
    struct adopted *entry = find(a->entries, ref->sha256);

    if (entry && entry->state == ADOPTED_OPEN && entry->inode != inode)
        entry = NULL; /* it is served until its successor is open */
    if (entry && entry->state == ADOPTED_BAD && entry->segment)
        close_segment(a, entry); /* when no view has it */
    if (!entry || (entry->state == ADOPTED_BAD && !entry->segment)) {
        struct work *w = calloc(1, sizeof *w);
        struct adopted *fresh = entry ? entry : calloc(1, sizeof *fresh);
        if (!fresh || !w || store_definition_parse(&w->definition, definition->document)) {
            if (!entry)
                free(fresh);
            free(w);
            return NULL;
        }
        if (!entry) {
            fresh->next = a->entries;
            a->entries = fresh;
        }
        entry = fresh;
        entry->state = ADOPTED_OPENING;
        entry->retry_ms = 0;
        entry->ref = w->ref = *ref;
        w->entry = entry;
        w->trust = trust;
        entry->sealed = trust == ADOPT_SEALED;
        entry->inode = inode;
        strncpy(w->path, path, sizeof w->path - 1);
        strncpy(w->tenant, tenant, sizeof w->tenant - 1);
        submit(a, w, urgency);
    }
    entry->wanted = round;
    return entry;
}

void adopter_hurry(struct adopter *a, struct adopted *entry)
{
    struct queue rest = {0};
    struct work *w;

    if (entry->state != ADOPTED_OPENING)
        return;
    pthread_mutex_lock(&a->mutex);
    while ((w = pop(&a->todo[ADOPT_STANDBY])))
        push(w->entry == entry ? &a->todo[ADOPT_NOW] : &rest, w);
    a->todo[ADOPT_STANDBY] = rest;
    pthread_mutex_unlock(&a->mutex);
}

void adopter_condemn(struct adopted *entry)
{
    entry->state = ADOPTED_BAD;
    entry->sealed = false; /* a seal that comes later is news */
    st_save(&entry->report,
            st_fail(ST_CORRUPT, "SEGMENT_DAMAGED",
                    "segment %.12s does not have its bytes any more: they changed on the disk",
                    entry->ref.sha256));
}

bool adopter_find_unreadable(struct adopter *a)
{
    bool any = false;

    for (struct adopted *entry = a->entries; entry; entry = entry->next)
        if (entry->state == ADOPTED_OPEN && store_segment_is_unreadable(entry->segment)) {
            entry->state = ADOPTED_BAD;
            st_save(&entry->report,
                    st_fail(ST_CORRUPT, "SEGMENT_UNREADABLE",
                            "segment %.12s cannot be read any more: its file was cut or a page of "
                            "the disk is bad",
                            entry->ref.sha256));
            any = true;
        }
    return any;
}

bool adopter_due(const struct adopter *a, uint64_t now_ms)
{
    for (const struct adopted *entry = a->entries; entry; entry = entry->next)
        if (entry->state == ADOPTED_BAD && entry->retry_ms && entry->retry_ms <= now_ms)
            return true;
    return false;
}

void adopter_retry_all(struct adopter *a)
{
    for (struct adopted *entry = a->entries; entry; entry = entry->next)
        if (entry->state == ADOPTED_BAD)
            entry->retry_ms = 1;
}

bool adopter_collect(struct adopter *a,
                     void (*verified_fn)(const char *sha256, const struct seal *seal, void *ctx),
                     void *ctx)
{
    bool changed = false;
    struct work *w;

    pthread_mutex_lock(&a->mutex);
    while ((w = pop(&a->done))) {
        pthread_mutex_unlock(&a->mutex);
        struct adopted *before =
            w->status ? NULL : find(w->entry->next, w->ref.sha256); /* of the file it replaced */
        if (before)
            before->state = ADOPTED_LEFT;
        w->entry->segment = w->segment;
        w->entry->report = w->report;
        w->entry->state = w->status ? ADOPTED_BAD : ADOPTED_OPEN;
        if (w->status && !adopted_is_damaged(w->entry))
            w->entry->retry_ms = clock_steady_ns() / 1000000u + RETRY_MS;
        if (verified_fn && w->trust != ADOPT_SEALED && !w->status)
            verified_fn(w->ref.sha256, &w->seal, ctx);
        free_work(w);
        changed = true;
        pthread_mutex_lock(&a->mutex);
    }
    pthread_mutex_unlock(&a->mutex);
    return changed;
}

bool adopter_sweep(struct adopter *a, uint64_t round)
{
    bool released = false;

    for (struct adopted **at = &a->entries; *at;) {
        struct adopted *entry = *at;
        bool idle = entry->uses == 0 && entry->wanted != round && entry->state != ADOPTED_OPENING;

        bool unused = entry->state == ADOPTED_BAD && entry->segment && entry->uses == 0;

        if (unused || (idle && entry->segment))
            close_segment(a, entry);
        released |= unused && !idle;
        if (!idle || entry->segment) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        free(entry);
    }
    return released;
}

void adopter_purge(struct adopter *a, const char *build_dir)
{
    struct work *w = calloc(1, sizeof *w);

    if (!w)
        return; /* the next purge takes them too */
    w->kind = WORK_PURGE;
    strncpy(w->path, build_dir, sizeof w->path - 1);
    submit(a, w, ADOPT_STANDBY);
}

void adopter_wait(struct adopter *a, unsigned timeout_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)timeout_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&a->mutex);
    if (!a->done.first)
        (void)pthread_cond_timedwait(&a->done_cond, &a->mutex, &until);
    pthread_mutex_unlock(&a->mutex);
}

unsigned adopter_open_count(const struct adopter *a)
{
    unsigned count = 0;

    for (const struct adopted *entry = a->entries; entry; entry = entry->next)
        count += entry->state == ADOPTED_OPEN;
    return count;
}
