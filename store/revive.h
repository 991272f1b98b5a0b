/* A catalog's life after its data directory's: what restore and rebuild do alike. Room-private. */
#ifndef EVERLINE_STORE_REVIVE_H
#define EVERLINE_STORE_REVIVE_H

#include "store/internal.h"

struct revival {
    struct store *store;
    const char *event; /* "restored": of each head */
    const char *code;  /* "RESTORED": of the versions and jobs that end by it */
    const char *why;
    const struct store_actor *actor;
    unsigned datasets, versions, failed; /* counted; versions: those with files */
};

/* Fails the head's versions that are being built, and saves it with the event; the head file too.
 */
void revive_head(struct catalog_txn *t, struct revival *r, struct head *h);

/* Every tenant's file. */
void revive_tenants(struct catalog_txn *t, const struct revival *r);

/* Every head and tenant of the catalog, with their files; jobs that had not ended fail. */
void revive_all(struct catalog_txn *t, struct revival *r);

#endif
