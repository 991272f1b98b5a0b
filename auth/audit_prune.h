/* Which files of a tenant's audit go: those that are too old, and the oldest when there are too
 * many bytes. The newest of each chain goes only for its age, and when no process appends to it. */
#ifndef EVERLINE_AUTH_AUDIT_PRUNE_H
#define EVERLINE_AUTH_AUDIT_PRUNE_H

#include "auth/audit_file.h"
#include "base/fs.h"

struct audit_doomed {
    unsigned chain;
    uint64_t first;      /* of the file that goes, */
    uint64_t kept_first; /* of the one behind it; 0: it is the newest */
};

/* free(*out). Files that were last written before `before_s` (seconds since the epoch; 0: age is
 * nothing), and the oldest beyond `max_bytes` (0: no limit). In the order in which they are to go.
 * A file goes after all that are before it in its chain, whatever their times say. */
enum st audit_prune_find(struct audit_doomed **out, size_t *count, const char *directory,
                         const char *tenant, int64_t before_s, uint64_t max_bytes) ST_MUST_USE;
/* Once the catalog knows that the chain begins behind it; of the newest, that it ends there. */
enum st audit_prune_remove(const char *directory, const char *tenant,
                           const struct audit_doomed *doomed) ST_MUST_USE;

#endif
