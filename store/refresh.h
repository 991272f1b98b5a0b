/* One round of looking at the catalog: what should be open, and the view that follows. The catalog
 * thread's. Room-private. */
#ifndef EVERLINE_STORE_REFRESH_H
#define EVERLINE_STORE_REFRESH_H

#include "store/view_internal.h"

/* A version that somebody asked for, to be open beside the current one. */
struct pin {
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    uint64_t version;
    uint64_t asked_ms;
};

struct refresh {
    struct store *store;
    struct adopter *adopter;
    const struct store_view *previous; /* or NULL */
    unsigned slots;
    uint64_t round, now_ms;
    const char *server; /* this process's name in DATA/run, for acknowledgements */
    const struct pin *pins;
    size_t pin_count;

    /* results */
    struct store_view *view;    /* the next one; NULL after a failure */
    bool changed;               /* it differs from `previous` */
    unsigned late, unavailable; /* datasets */
    unsigned versions[VERSION_STATES];
    struct buf why; /* a line for each of those */
    json_t *acks;   /* key -> ack: to be written */
    uint64_t seen;  /* id of the transaction that was read */
};

/* The tenants of the next view, and its epoch of them. A failure is the transaction's. */
void refresh_tenants(struct refresh *r, struct catalog_txn *t);
enum st refresh_run(struct refresh *r) ST_MUST_USE;
void refresh_release(struct refresh *r); /* also frees `view` unless it was taken (set to NULL) */

/* Writes the acknowledgements, and the seals of files that were hashed and found right. */
enum st refresh_write(struct store *s, const json_t *acks, const json_t *verified) ST_MUST_USE;

#endif
