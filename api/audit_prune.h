/* Putting away what is old of the audit, or more than a tenant may keep. */
#ifndef EVERLINE_API_AUDIT_PRUNE_H
#define EVERLINE_API_AUDIT_PRUNE_H

#include "store/keeper.h"

/* One round over all tenants, from any thread but the catalog's. */
enum st api_audit_prune(struct store_keeper *keeper, const char *directory,
                        uint64_t retention_ms) ST_MUST_USE;

#endif
