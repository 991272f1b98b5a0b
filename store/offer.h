/* Offers: before the pointer moves to a version, every live server is asked to verify, open and
 * warm it, so that the move itself is one pointer (DESIGN section 5). Servers watch the catalog
 * (store/refresh.c) and write one acknowledgement each. An offer belongs to a job or to a process,
 * and is swept when its owner is gone. Room-private. */
#ifndef EVERLINE_STORE_OFFER_H
#define EVERLINE_STORE_OFFER_H

#include "store/internal.h"
#include "store/queue.h"

#define OFFER_NONCE_SIZE (RUN_NAME_SIZE + 24)

struct offer {
    const char *tenant, *dataset;
    const char *owner; /* a job's id, or the name of a process in DATA/run */
    unsigned attempt;  /* tells this offer from earlier ones of the same owner */
    uint64_t version;
    const struct store_segment_ref *segments;
    size_t segment_count;
};

/* Names the candidate, in place of an earlier one of the owner. */
void offer_write(struct catalog_txn *t, const struct offer *o);
void offer_withdraw(struct catalog_txn *t, const char *tenant, const char *dataset,
                    const char *owner);

/* How many milliseconds ago this very offer was made; false: it was not. */
bool offer_age(uint64_t *age_ms, struct catalog_txn *t, const struct offer *o);

/* ST_OK: all live servers (*servers of them; may be NULL) have it open. ST_NOT_FOUND: not yet.
 * ST_CORRUPT, code CANDIDATE_REFUSED: one found it damaged. */
enum st offer_look(size_t *servers, struct store *s, const struct offer *o) ST_MUST_USE;

#endif
