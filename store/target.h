/* Where a rollback goes: by what the head says of the versions, and by their files. Room-private.
 */
#ifndef EVERLINE_STORE_TARGET_H
#define EVERLINE_STORE_TARGET_H

#include "store/internal.h"

/* Is each file of the version there, of its size, and not known to be bad? ST_CONFLICT, code
 * NOT_SERVABLE. Bytes are not read: each server verifies them before it opens them. */
enum st store_files_check(struct catalog_txn *t, const struct store *s, const struct head *h,
                          uint64_t version) ST_MUST_USE;

/* Where a rollback goes that names no version: the nearest one that can serve, by its state and its
 * files. It is kept, kept open, and what the operator is told. 0: nowhere. */
uint64_t store_rollback_target(struct catalog_txn *t, const struct store *s, const struct head *h);

#endif
