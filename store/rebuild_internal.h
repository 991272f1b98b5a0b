/* A rebuild that goes on: rebuild.c puts a new catalog in the place of the old one, and
 * rebuild_files.c is what the head files say. Room-private. */
#ifndef EVERLINE_STORE_REBUILD_INTERNAL_H
#define EVERLINE_STORE_REBUILD_INTERNAL_H

#include "store/rebuild.h"
#include "store/revive.h"

struct rebuild {
    const struct store_rebuild_options *options;
    struct store *store;
    char path[FS_PATH_MAX], aside[FS_PATH_MAX]; /* of the catalog; "": there was none */
    char why[256];
    json_t *damaged, *made;
    uint64_t last_order;
    unsigned tenants;
    bool done;
    struct revival revival;
};

enum st rebuild_no_memory(void);

/* Looks at every head file; r->damaged names those that cannot be read. ST_CORRUPT, code
 * HEADS_DAMAGED, unless they are to be gone without. */
enum st rebuild_refuse_damaged(struct rebuild *r) ST_MUST_USE;
/* Tenants, definitions, versions and pointers into an empty catalog. */
void rebuild_restore_all(struct catalog_txn *t, struct rebuild *r);

#endif
