/* Offers: before the pointer moves to a version, every live server is asked to verify, open and
 * warm it, so that the move itself is one pointer (DESIGN section 5). Servers watch the catalog
 * (store/refresh.c) and write one acknowledgement each. An offer belongs to a job or to a process,
 * and is swept when its owner is gone.
 *
 * A job has one at a time. A process has one for each of its moves, and lives on when a move ends,
 * however that ends: so a move asks for its offer again and again, and one that was not asked for
 * since the last look is nobody's any more, and withdrawn. Room-private. */
#ifndef EVERLINE_STORE_OFFER_H
#define EVERLINE_STORE_OFFER_H

#include "store/internal.h"
#include "store/queue.h"

#define OFFER_NONCE_SIZE (RUN_NAME_SIZE + 56)

struct offer {
    const char *tenant, *dataset;
    const char *owner; /* a job's id, or the name of a process in DATA/run */
    uint64_t number;   /* among those of a process; 0: of a job */
    unsigned attempt;  /* tells this offer from earlier ones of the same owner */
    uint64_t version;
    const struct store_segment_ref *segments;
    size_t segment_count;
};

/* Names the candidate, in place of an earlier one with its owner and number. */
void offer_write(struct catalog_txn *t, const struct offer *o);
void offer_withdraw(struct catalog_txn *t, const char *tenant, const char *dataset,
                    const char *owner, uint64_t number);

/* ST_OK: all live servers (*servers of them; may be NULL) have it open. ST_NOT_FOUND: not yet.
 * ST_CORRUPT, code CANDIDATE_REFUSED: one found it damaged. */
enum st offer_look(size_t *servers, struct store *s, const struct offer *o) ST_MUST_USE;

/* ---- of this process ---- */

/* Makes the offer: this process becomes its owner and gives it its number, which is not 0. */
enum st offer_make(struct offer *o, struct store *s) ST_MUST_USE;
/* Is this the number of an offer of this version? It is not nobody's, then. */
bool offer_ask(struct store *s, uint64_t number, uint64_t version);
/* Withdraws those that were not asked for since the last call; what fails is for the next one. */
enum st offers_tidy(struct store *s) ST_MUST_USE;
/* Withdraws all, as far as that can be done at once. */
void offers_close(struct store *s);

#endif
