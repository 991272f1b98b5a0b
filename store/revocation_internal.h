/* Revocations as views share them. Room-private. */
#ifndef EVERLINE_STORE_REVOCATION_INTERNAL_H
#define EVERLINE_STORE_REVOCATION_INTERNAL_H

#include "store/catalog.h"
#include "store/revocation.h"

struct revoked {
    char key[CATALOG_KEY_SIZE];
    int64_t until_s; /* a subject's tokens issued until then */
};

struct revocations {
    uint64_t epoch;
    unsigned views; /* that have it; the catalog thread's */
    bool uncounted; /* the counter is damaged */
    size_t count;
    struct revoked *list; /* by key */
};

/* What the catalog has: `previous` (may be NULL) when that is it. Failure is the transaction's. */
struct revocations *revocations_load(struct catalog_txn *t, struct revocations *previous);
void revocations_release(struct revocations *r); /* gives one use back */

#endif
