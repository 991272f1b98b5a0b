/* A copy of the catalog as one transaction sees it. Room-private. */
#ifndef EVERLINE_STORE_CATALOG_COPY_H
#define EVERLINE_STORE_CATALOG_COPY_H

#include "store/catalog.h"

/* Writes all tables into a new catalog at `path`, which must not exist, and syncs the file; those
 * of which `left_out` is true are empty. Every checksum is looked at on the way. Compact: it holds
 * no free pages. A failure leaves the file for the caller to remove. */
enum st catalog_copy(const char *path, struct catalog_txn *from,
                     const bool left_out[CATALOG_TABLES]) ST_MUST_USE;

#endif
