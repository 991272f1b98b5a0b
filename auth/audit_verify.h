/* Is the audit as it was written? */
#ifndef EVERLINE_AUTH_AUDIT_VERIFY_H
#define EVERLINE_AUTH_AUDIT_VERIFY_H

#include "auth/audit_chain.h"

/* What the catalog knows of a chain. */
struct audit_anchor {
    unsigned chain;
    uint64_t first; /* the oldest line that is kept */
    struct audit_head head;
};

/* `line` is the number of the line, 0 when the fault is the whole file's. */
typedef void (*audit_fault_fn)(const char *file, uint64_t line, const char *what, void *ctx);

/* Reads every file of a tenant. Told of each fault; *lines counts those that were read. A failure
 * is one of reading. */
enum st audit_verify(uint64_t *lines, const char *directory, const char *tenant,
                     const struct audit_anchor *anchors, size_t anchor_count,
                     audit_fault_fn fault_fn, void *ctx) ST_MUST_USE;

#endif
