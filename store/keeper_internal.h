/* The keeper from the inside: the catalog thread's state, and what its files do for each other.
 *
 *   keeper.c         its life, and what other threads ask of it
 *   keeper_thread.c  the thread: rounds of looking at the catalog
 *   keeper_view.c    the view that is served, and those that still are used
 *   keeper_pin.c     kept versions, open on demand
 *   keeper_task.c    what is posted to the thread
 *   keeper_turn.c    whose task is next
 *
 * Everything here is called on the catalog thread. Room-private. */
#ifndef EVERLINE_STORE_KEEPER_INTERNAL_H
#define EVERLINE_STORE_KEEPER_INTERNAL_H

#include "store/keeper.h"
#include "store/queue_tally.h"
#include "store/refresh.h"
#include "store/scrub.h"
#include "store/upkeep.h"

#include <pthread.h>
#include <stdatomic.h>

struct slot {
    _Alignas(64) _Atomic(struct store_view *) inside;
};

struct store_keeper {
    struct store_keeper_options options;
    struct store *store;
    struct adopter *adopter;
    struct run_entry server;
    struct slot *slots;
    _Atomic(struct store_view *) current;
    _Atomic bool hurried;       /* tasks wait for no other process any more */
    _Atomic uint64_t looked_ms; /* when the thread last looked whether the catalog moved */
    struct store_view *retired;
    uint64_t round;
    json_t *verified; /* sha256 -> seal: found right since the last write */
    json_t *acks;     /* of the last round, not written yet; or NULL */
    uint64_t write_retry_ms;
    uint64_t stuck_since_ms, readers_checked_ms, complained_ms, catalog_looked_ms;

    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    struct store_task *posted, **posted_last;
    bool stopping, reload;
    struct store_queue_stats queue;
    bool ready, catalog_damaged;
    char *why; /* NUL-terminated, or NULL */

    /* The thread's own: not run yet; of this round, to be run again, and to be committed; waited
     * for. */
    struct store_task *queued, *repeated, *grouped, *waiting;
    bool crowded; /* the last round ended before all that was queued had its turn */
    struct pin pins[STORE_PINS_MAX];
    size_t pin_count;
    bool pins_changed;
    bool again, forced; /* a round is due, with a new view in any case */
    uint64_t retry_ms;  /* not before; after a round that failed */
    struct upkeep upkeep;
    struct queue_metrics queue_metrics;
    struct scrub *scrub;
    struct {
        struct metric *flips, *segments, *late, *unavailable, *versions, *catalog_damaged;
        struct adopter_metrics adopter;
    } metrics;
};

/* ---- the thread ---- */

void *keeper_main(void *keeper);
/* Rounds until every current version is open, or known bad. ST_UNAVAILABLE, code STOPPING. */
enum st keeper_load_first_view(struct store_keeper *k) ST_MUST_USE;

/* ---- views ---- */

void keeper_swap_view(struct store_keeper *k, struct store_view *next);
/* Of the views that were swapped out, those that no slot is inside of. */
void keeper_free_retired(struct store_keeper *k);

/* ---- kept versions ---- */

/* What a task waits for is to be open. ST_UNAVAILABLE, code TOO_MANY_VERSIONS. */
enum st keeper_add_pin(struct store_keeper *k, const struct store_wait *wait) ST_MUST_USE;
void keeper_close_idle_pin(struct store_keeper *k);
/* Is the version open, or is there no use in waiting for it? */
bool keeper_version_settled(struct store_keeper *k, const struct store_view *v,
                            const struct store_wait *wait);

/* ---- tasks ---- */

/* Runs what was posted, as far as the round lasts; when the keeper stops, refuses it. */
void keeper_serve_tasks(struct store_keeper *k, struct store_task *posted, bool stopping);
/* Ends those for which what they wait for is served; or all. */
void keeper_finish_waiting(struct store_keeper *k, bool all);

/* ---- turns ---- */

void keeper_append_tasks(struct store_task **list, struct store_task *tasks);
/* Removes the first one, and lets all others go before the rest of its tenant's. NULL: none. */
struct store_task *keeper_take_task(struct store_task **list);

#endif
