/* Putting away what is old of the audit, or more than a tenant may keep. */
#ifndef EVERLINE_API_AUDIT_PRUNE_H
#define EVERLINE_API_AUDIT_PRUNE_H

#include "store/keeper.h"

/* What was written before this second is too old now; 0: nothing is. */
int64_t api_audit_too_old(uint64_t retention_ms);

/* One round over all tenants, from the thread that appends to the chains `own`, none of which has a
 * file open that is too old (audit_chain_rest). 0: the newest file of every chain that a process
 * has the lock of stays, the caller's too. What fails of one tenant is logged, and the others have
 * their turn. */
enum st api_audit_prune(struct store_keeper *keeper, const char *directory, unsigned own,
                        int64_t before_s) ST_MUST_USE;

#endif
