#include "store/scrub.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/seal.h"
#include "store/target.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The thread reads, and touches nothing else; the catalog thread chooses and writes down. What goes
 * between them is one reading, which belongs to the side that its state names.
 *
 * It reads with O_DIRECT. Through the page cache it would read of what is served what is in memory
 * already, and learn nothing of the disk; and of all else it would fill memory with what nobody
 * asks for, in the place of what is served. */

#define STEP_MS 250
#define CLAIM_MS 2000 /* between two attempts to be the one that reads */
#define RETRY_MS 5000
#define CLAIM "scrub"

enum reading_state {
    READING_NONE,  /* the catalog thread's */
    READING_GIVEN, /* the thread's */
    READING_DONE,  /* the catalog thread's, to be written down */
};

/* Of a segment among its dataset's: the newest version first, then as the version has them. */
struct place {
    uint64_t version; /* 0: before all */
    size_t index;
};

struct reading {
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    struct place place;
    struct store_segment_ref ref;
    char path[FS_PATH_MAX];
    struct seal seal; /* results */
    enum st status;
    struct st_report report;
};

/* What a round of looking has seen of the kept segments. */
struct tally {
    unsigned damaged;
    int64_t oldest_us; /* of the readings that are longest ago; INT64_MAX: no segments */
};

struct scrub {
    struct store_scrub_options options;
    struct run_entry claim; /* fd -1: another process has it, or nobody */
    char key[CATALOG_KEY_SIZE];
    struct place
        after;        /* in the dataset behind `key`: what is up to it is not read in this round */
    int64_t round_us; /* when the round of looking began */
    struct tally tally;
    uint64_t next_ms, claim_ms;
    _Atomic unsigned damaged;
    struct scrub_metrics metrics;

    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    enum reading_state state;
    _Atomic bool stopping;
    struct reading reading;
};

/* ---- the thread ---- */

/* Twice before it says that a file is bad: a wrong byte may come from the way to the disk, too. */
static void read_segment(struct scrub *sc, struct reading *r)
{
    struct pace pace;

    for (int i = 0; i < 2; i++) {
        pace_begin_rate(&pace, sc->options.bytes_per_s, &sc->stopping);
        r->status = store_segment_file_scrub(&r->seal, r->path, &r->ref, &pace);
        if (r->status != ST_CORRUPT && r->status != ST_IO)
            break;
    }
    if (r->status == ST_IO && r->seal.inode)
        r->status =
            st_fail(ST_CORRUPT, "SEGMENT_UNREADABLE",
                    "segment %.12s cannot be read: a page of the disk is bad", r->ref.sha256);
    if (r->status)
        st_save(&r->report, r->status);
}

static void *scrub_main(void *arg)
{
    struct scrub *sc = arg;

    pthread_mutex_lock(&sc->mutex);
    while (!sc->stopping) {
        if (sc->state != READING_GIVEN) {
            pthread_cond_wait(&sc->cond, &sc->mutex);
            continue;
        }
        pthread_mutex_unlock(&sc->mutex);
        read_segment(sc, &sc->reading);
        pthread_mutex_lock(&sc->mutex);
        sc->state = READING_DONE;
    }
    pthread_mutex_unlock(&sc->mutex);
    return NULL;
}

static enum reading_state state_of(struct scrub *sc)
{
    pthread_mutex_lock(&sc->mutex);
    enum reading_state state = sc->state;
    pthread_mutex_unlock(&sc->mutex);
    return state;
}

static void pass_on(struct scrub *sc, enum reading_state state)
{
    pthread_mutex_lock(&sc->mutex);
    sc->state = state;
    pthread_cond_signal(&sc->cond);
    pthread_mutex_unlock(&sc->mutex);
}

/* ---- what was found ---- */

/* The version that has the file and matters most: the current one, else the newest. NULL: none has
 * it any more. */
static const struct head_version *find_owner(const struct head *h, const char *sha256)
{
    const struct head_version *owner = NULL;

    for (size_t i = 0; i < h->version_count; i++) {
        const struct head_version *v = &h->versions[i];
        for (size_t j = 0; head_keeps(v) && j < v->segment_count; j++)
            if (strcmp(v->segments[j].sha256, sha256) == 0 &&
                (!owner || owner->version != h->current))
                owner = v;
    }
    return owner;
}

static void complain(const struct store *s, const struct reading *r, const struct head *h,
                     const struct head_version *owner, uint64_t target)
{
    char hint[STORE_MEND_HINT_SIZE];

    store_mend_hint(hint, s, h, owner->version, target);
    log_event(LOG_LEVEL_ERROR, "scrub", "%s/%s version %llu%s: %s; %s", r->tenant, r->dataset,
              (unsigned long long)owner->version, owner->version == h->current ? " (current)" : "",
              r->report.message, hint);
}

static void count(struct scrub *sc, const struct reading *r)
{
    metric_add(sc->metrics.segments, 0, 1);
    metric_add(sc->metrics.failures, 0, r->status == ST_CORRUPT);
    metric_add(sc->metrics.bytes, 0, (uint64_t)r->seal.bytes);
}

static enum st write_down(struct scrub *sc, struct store *s, const struct reading *r)
{
    bool bad = r->status == ST_CORRUPT;
    const struct head_version *owner = NULL;
    struct head h = {0};
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    store_head_load_any(&h, &t, r->tenant, r->dataset); /* deleted since: owns nothing */
    if (!t.status)
        owner = find_owner(&h, r->ref.sha256);
    if (owner)
        store_seal_note(&t, r->ref.sha256, &r->seal, bad ? r->report.code : NULL);
    uint64_t target = owner && bad ? store_rollback_target(&t, s, &h) : 0;
    enum st st = owner ? catalog_commit(&t) : catalog_end(&t);
    if (!st && owner)
        count(sc, r);
    if (!st && owner && bad)
        complain(s, r, &h, owner, target);
    head_release(&h);
    return st;
}

/* It is gone on behind it. */
static void give_up(struct scrub *sc, const char *what)
{
    log_failure(LOG_LEVEL_WARN, "scrub", "segment %.12s cannot be %s now", sc->reading.ref.sha256,
                what);
    sc->after = sc->reading.place;
    pass_on(sc, READING_NONE);
}

/* What could not be written down is tried again; what could not be read, or whose head is damaged
 * by now, with the next round. */
static void finish(struct scrub *sc, struct store *s, uint64_t now_ms)
{
    struct reading *r = &sc->reading;

    if (r->status && r->status != ST_CORRUPT) {
        (void)st_restore(&r->report);
        give_up(sc, "looked at");
        return;
    }
    r->seal.checked_us = clock_wall_us();
    enum st st = write_down(sc, s, r);
    if (catalog_is_busy(st))
        return;
    if (st == ST_CORRUPT) {
        give_up(sc, "written down");
    } else if (st && st != ST_NOT_FOUND) { /* the dataset may be gone */
        log_failure(LOG_LEVEL_WARN, "scrub", "what was read cannot be written down");
        sc->next_ms = now_ms + RETRY_MS;
    } else {
        pass_on(sc, READING_NONE);
    }
}

/* ---- what is next ---- */

/* What was read since the round began is not, however short the interval: else a round would have
 * no end. A time in the future is of a clock that was wrong. */
static bool is_due(const struct scrub *sc, int64_t checked_us)
{
    int64_t now_us = clock_wall_us();
    bool old = now_us - checked_us >= (int64_t)sc->options.interval_ms * 1000;

    return checked_us > now_us || (old && checked_us < sc->round_us);
}

static bool is_behind(struct place place, struct place other)
{
    return !other.version || place.version < other.version ||
           (place.version == other.version && place.index > other.index);
}

static void look_at_segment(struct scrub *sc, struct reading *r, struct tally *tally,
                            struct catalog_txn *t, const struct store *s,
                            const struct store_segment_ref *ref, struct place place)
{
    char path[FS_PATH_MAX];
    int64_t checked_us = 0;

    catalog_fail(t, store_segment_path(path, s, ref->sha256));
    if (!t->status) {
        checked_us = store_seal_checked_us(t, ref->sha256, path);
        tally->damaged += store_seal_is_broken(t, ref->sha256, path);
        tally->oldest_us = checked_us < tally->oldest_us ? checked_us : tally->oldest_us;
    }
    if (!t->status && !r->ref.bytes && is_behind(place, sc->after) && is_due(sc, checked_us)) {
        r->ref = *ref;
        r->place = place;
        memcpy(r->path, path, sizeof path);
    }
}

/* *r is the first that is to be read; its ref is empty when there is none. */
static void look_at_head(struct scrub *sc, struct reading *r, struct tally *tally,
                         struct catalog_txn *t, const struct store *s, const struct head *h)
{
    memcpy(r->tenant, h->tenant, sizeof r->tenant);
    memcpy(r->dataset, h->dataset, sizeof r->dataset);
    for (size_t i = h->version_count; i-- > 0;) { /* the newest first */
        const struct head_version *v = &h->versions[i];
        for (size_t j = 0; head_keeps(v) && j < v->segment_count; j++)
            look_at_segment(sc, r, tally, t, s, &v->segments[j], (struct place){v->version, j});
    }
}

static void begin_round(struct scrub *sc)
{
    sc->key[0] = '\0';
    sc->after = (struct place){0};
    sc->round_us = clock_wall_us();
    sc->tally = (struct tally){.oldest_us = INT64_MAX};
}

static void end_round(struct scrub *sc)
{
    int64_t oldest_us = sc->tally.oldest_us == INT64_MAX ? clock_wall_us() : sc->tally.oldest_us;

    metric_set(sc->metrics.complete, 0, oldest_us / 1000000);
    metric_set(sc->metrics.damaged, 0, sc->tally.damaged);
    atomic_store_explicit(&sc->damaged, sc->tally.damaged, memory_order_relaxed);
    begin_round(sc);
}

static bool may_read(struct scrub *sc, const struct store *s, uint64_t now_ms)
{
    if (sc->claim.fd < 0 && now_ms >= sc->claim_ms) {
        sc->claim_ms = now_ms + CLAIM_MS;
        if (run_claim(&sc->claim, s->run_dir, CLAIM) == ST_OK)
            log_event(LOG_LEVEL_DEBUG, "scrub", "this process reads the segments of all");
    }
    return sc->claim.fd >= 0;
}

/* The dataset after the last one. It is gone on to when nothing of it is to be read. */
static void look_at_next(struct scrub *sc, struct store *s, uint64_t now_ms)
{
    struct reading r = {.status = ST_OK};
    struct tally tally = sc->tally;
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    struct head h = {0};

    memcpy(key, sc->key, sizeof key);
    catalog_begin_read(&t, &s->catalog);
    json_t *document = catalog_after(&t, CATALOG_HEADS, "", key);
    if (document)
        catalog_fail(&t, head_from_json(&h, document));
    if (document && !t.status)
        look_at_head(sc, &r, &tally, &t, s, &h);
    head_release(&h);
    json_decref(document);
    bool over = !document && !t.status;
    enum st st = catalog_end(&t);
    if (over) {
        end_round(sc);
    } else if (!st && r.ref.bytes && may_read(sc, s, now_ms)) {
        sc->reading = r;
        pass_on(sc, READING_GIVEN);
    } else { /* a damaged head is told of by who serves it */
        memcpy(sc->key, key, sizeof key);
        sc->after = (struct place){0};
        sc->tally = tally;
    }
}

void scrub_step(struct scrub *sc, struct store *s, uint64_t now_ms)
{
    if (!sc->options.bytes_per_s || now_ms < sc->next_ms)
        return;
    sc->next_ms = now_ms + STEP_MS;
    if (state_of(sc) == READING_DONE)
        finish(sc, s, now_ms);
    if (state_of(sc) == READING_NONE)
        look_at_next(sc, s, now_ms);
}

unsigned scrub_damaged(const struct scrub *sc)
{
    return atomic_load_explicit(&sc->damaged, memory_order_relaxed);
}

/* ---- start and stop ---- */

enum st scrub_start(struct scrub **out, const struct store_scrub_options *options,
                    struct metrics *metrics)
{
    struct scrub *sc = calloc(1, sizeof *sc);
    enum st st = sc ? scrub_metrics_register(&sc->metrics, metrics)
                    : st_fail(ST_NOMEM, NULL, "out of memory");

    *out = NULL;
    if (st) {
        free(sc);
        return st;
    }
    sc->options = *options;
    sc->claim.fd = -1;
    begin_round(sc);
    pthread_mutex_init(&sc->mutex, NULL);
    pthread_cond_init(&sc->cond, NULL);
    int rc = options->bytes_per_s ? pthread_create(&sc->thread, NULL, scrub_main, sc) : 0;
    if (rc != 0) {
        pthread_mutex_destroy(&sc->mutex);
        pthread_cond_destroy(&sc->cond);
        free(sc);
        return st_fail_errno(rc, "starting the thread that scrubs");
    }
    *out = sc;
    return ST_OK;
}

void scrub_stop(struct scrub *sc, const struct store *s)
{
    if (!sc)
        return;
    pthread_mutex_lock(&sc->mutex);
    sc->stopping = true;
    pthread_cond_signal(&sc->cond);
    pthread_mutex_unlock(&sc->mutex);
    if (sc->options.bytes_per_s)
        pthread_join(sc->thread, NULL);
    run_unregister(&sc->claim, s->run_dir);
    pthread_mutex_destroy(&sc->mutex);
    pthread_cond_destroy(&sc->cond);
    free(sc);
}
