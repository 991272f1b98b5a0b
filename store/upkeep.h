/* What a serving process does beside serving: settles jobs of the dead, starts what is
 * scheduled, retires versions by age, sweeps. A small step at a time on the catalog thread, so that
 * a flip never waits for it; several servers may do it at once. Room-private. */
#ifndef EVERLINE_STORE_UPKEEP_H
#define EVERLINE_STORE_UPKEEP_H

#include "store/internal.h"
#include "store/queue_internal.h"
#include "store/start.h"

struct upkeep {
    char key[CATALOG_KEY_SIZE]; /* of the dataset looked at last */
    uint64_t next_ms;
    bool failed;        /* something in this round of datasets */
    unsigned said;      /* each makes the next complaint come twice as late */
    uint64_t say_ms;    /* when the next one may come */
    uint64_t sweep_ms;  /* when the next sweep is due, whatever happened */
    uint64_t expire_ms; /* when uploads are looked at next */
    uint64_t forget_ms; /* when what may be forgotten is */
    struct store_queue_stats queue;
    struct queue_forgetting forgetting;
    uint64_t swept; /* what had been read of the catalog at the last one */
    struct store_starters starters;
    uint64_t start_ms; /* when schedules are looked at next */
};

/* True: something waits to be purged. Failures are logged. */
bool upkeep_step(struct upkeep *u, struct store *s, uint64_t now_ms);
void upkeep_release(struct upkeep *u); /* accepts a zeroed struct */

#endif
