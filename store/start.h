/* Ingests that start by themselves: at the times of a schedule, or because a batch lies complete in
 * a watched folder of the inbox. What started a job is remembered in the transaction that enqueues
 * it, so that however many servers look, and however often they are restarted, each start is one
 * job. */
#ifndef EVERLINE_STORE_START_H
#define EVERLINE_STORE_START_H

#include "store/definition.h"
#include "store/queue.h"

/* A dataset whose definition has a schedule, or watches the inbox. */
struct store_starter {
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    bool watched;
    char source[STORE_NAME_SIZE]; /* the only one; "": there are several */
    bool scheduled;
    struct cron schedule;
    int64_t due_us;  /* of the schedule: the first time that has not been started */
    json_t *sources; /* the job's, of the schedule; owned */
};

struct store_starters {
    struct store_starter *items;
    size_t count;
    uint64_t seen;        /* what the catalog was */
    int64_t looked_us;    /* by store_start_due; 0: not since it was loaded */
    struct st_report bad; /* status ST_OK, or why a dataset is not among them: to be told */
};

/* Loads the list, which was zeroed first, if the catalog has changed since it was; *changed says
 * so. After a failure it is empty. */
enum st store_starters_refresh(bool *changed, struct store_starters *list, struct store *s,
                               int64_t now_us) ST_MUST_USE;
void store_starters_free(struct store_starters *list); /* accepts a zeroed struct */

/* Enqueues a job for every schedule that is due, one however many times it missed, and moves the
 * due times on. What cannot be enqueued is logged, and tried again in a minute. A schedule whose
 * last time is still to come, since the clock was set back, goes on from now. */
void store_start_due(struct store *s, struct store_starters *list, int64_t now_us);

/* ---- batches: INBOX/TENANT/DATASET/BATCH/ with a marker that says that it is complete ---- */

#define STORE_BATCH_NAME_SIZE 120 /* fits into a key with the names of tenant and dataset */

struct store_batch {
    char name[STORE_BATCH_NAME_SIZE];
    int64_t complete_ns; /* when its marker was written */
    uint64_t inode;      /* of the marker */
    bool started;        /* set by store_batches_look */
};

/* Which of them have started their job? *first: none of the dataset ever has. */
enum st store_batches_look(bool *first, struct store *s, const struct store_starter *starter,
                           struct store_batch *batches, size_t count) ST_MUST_USE;

/* Enqueues the batch's job; `sources` NULL: it is passed over, for ever. *started: not by somebody
 * else before. */
enum st store_batch_start(bool *started, struct store *s, const struct store_starter *starter,
                          const struct store_batch *batch, json_t *sources) ST_MUST_USE;

#endif
