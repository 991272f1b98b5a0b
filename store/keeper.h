/* The keeper: a serving process's catalog thread. It owns the struct store, watches for commits of
 * other processes, has candidates verified, opened and warmed by a helper thread, acknowledges
 * them, and swaps views. Everything that needs the catalog during a request is posted to it as a
 * task.
 */
#ifndef EVERLINE_STORE_KEEPER_H
#define EVERLINE_STORE_KEEPER_H

#include "base/metrics.h"
#include "store/queue.h"
#include "store/view.h"

struct store_keeper;

/* Segments are read again in the background (store/scrub.h). */
struct store_scrub_options {
    uint64_t bytes_per_s; /* 0: never */
    uint64_t interval_ms; /* each one is, so long after it was last read */
};

struct store_keeper_options {
    struct store_options store;
    struct store_scrub_options scrub;
    unsigned slots;          /* worker threads that will enter views */
    struct metrics *metrics; /* flips, open segments, ...; may be NULL */

    /* Called on the catalog thread for every new view; the result is handed out by
     * store_view_extension. `previous` is NULL for the first. On error the new view is given up,
     * the old one stays, and it is tried again; on the first view, start fails. `release_fn` is
     * called once per extension that was made. All may be NULL. */
    enum st (*extend_fn)(void **extension, const struct store_view *next,
                         const struct store_view *previous, void *ctx);
    void (*release_fn)(void *extension, void *ctx);
    /* Asked now and then while the first view is loaded, which may hash and read for long: true
     * ends the start, ST_UNAVAILABLE, code STOPPING. May be NULL. */
    bool (*stop_fn)(void *ctx);
    void *ctx;
};

/* Opens the data directory, registers in DATA/run, loads the first view (all current versions
 * verified, open and warm, or known bad) and starts the threads. */
enum st store_keeper_start(struct store_keeper **out,
                           const struct store_keeper_options *options) ST_MUST_USE;
void store_keeper_stop(struct store_keeper *k); /* no slot may be inside; waits for tasks */

/* Request threads: `slot` < slots, used by one thread at a time; enter and leave pair up and do not
 * nest. Wait-free. */
const struct store_view *store_view_enter(struct store_keeper *k, unsigned slot);
void store_view_leave(struct store_keeper *k, unsigned slot);

/* Where a task says what it moved, or what it needs: the reply waits until this process serves that
 * state, or has that kept version open (or knows that it cannot). At most STORE_PINS_MAX kept
 * versions are open beside the current ones; the one unused for longest makes room.
 *
 * The move is made, whether it is served here or not: what cannot be served for
 * STORE_SERVE_WAIT_MS, because something is wrong with the dataset, is waited for no longer. (The
 * command line and most clients wait half a minute for an answer.) */
#define STORE_PINS_MAX 16
#define STORE_SERVE_WAIT_MS 20000
struct store_wait {
    char tenant[STORE_NAME_SIZE];
    char dataset[STORE_NAME_SIZE];
    uint64_t sequence; /* 0: nothing to wait for */
    uint64_t version;  /* 0: none to open */
    bool can_wait;     /* for run_fn: whether it may say `busy` */
    bool again; /* nothing was done yet: run_fn is to be called again in a few milliseconds */
    bool busy;  /* the same because the catalog is busy, for STORE_WRITE_WAIT_MS at a stretch */
    bool undo;  /* what it has committed is left out of the group's commit */
};

/* Work for the catalog thread. run_fn is called there, once unless it says `again` or `busy`; then,
 * when what `wait` names is served (or at once), done_fn, also there. Tenants take turns; a
 * tenant's tasks are begun in the order in which they were posted. What tasks that wait at the same
 * time change is one commit, if they are quick: when it fails, done_fn gets its status. After stop
 * began: run_fn is not called, done_fn gets ST_UNAVAILABLE. The task's memory is the caller's until
 * done_fn. */
struct store_task {
    void (*run_fn)(struct store *s, struct store_wait *wait, void *ctx);
    void (*done_fn)(enum st status, void *ctx);
    void *ctx;
    const char *tenant;      /* whose turn it takes; borrowed until done_fn. NULL: the server's */
    struct store_task *next; /* the keeper's */
    struct store_wait wait;  /* the keeper's */
    uint64_t busy_since_ms;  /* the keeper's; 0: the catalog was not busy the last time */
    uint64_t accepted_ms;    /* the keeper's; when it had run, and began to wait */
};
void store_keeper_post(struct store_keeper *k, struct store_task *task);
/* Posts run_fn and waits for its end; the status of done_fn. Not on the catalog thread. */
enum st store_keeper_call(struct store_keeper *k,
                          void (*run_fn)(struct store *s, struct store_wait *wait, void *ctx),
                          void *ctx) ST_MUST_USE;

/* Does this process serve what `wait` says was moved? On the catalog thread. */
bool store_keeper_serves(struct store_keeper *k, const struct store_wait *wait);

/* Makes a new view soon even if nothing moved, so that extend_fn runs again (keys were reloaded).
 * Any thread; returns at once. */
void store_keeper_reload(struct store_keeper *k);

/* What was last seen of the queue. Any thread. */
void store_keeper_queue(struct store_keeper *k, struct store_queue_stats *out);

/* What this process is called in DATA/run. Borrowed, until stop. */
const char *store_keeper_run_name(const struct store_keeper *k);

/* The process is about to stop: a task that finds the catalog busy is not run again. Any thread. */
void store_keeper_hurry(struct store_keeper *k);

/* True when every current version is served by this process, or known to be unservable; not when
 * the catalog thread has not looked for five seconds (the process was stopped, or a disk hangs).
 * *why (may be NULL) gets one line per dataset that is late or unavailable. Any thread. */
bool store_keeper_ready(struct store_keeper *k, struct buf *why);

/* How many segments of kept versions are known to be bad. Any thread. */
unsigned store_keeper_damaged_segments(const struct store_keeper *k);

/* Did the catalog come to harm while it was open? What is served stays served. Any thread. */
bool store_keeper_catalog_damaged(struct store_keeper *k);

#endif
