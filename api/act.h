/* Acts of the command line in the audit, each two lines: "begun", which is on the disk before the
 * act, so that none is done without a trace, and "done" or "refused" after it; "unknown" when its
 * commit may or may not have happened. */
#ifndef EVERLINE_API_ACT_H
#define EVERLINE_API_ACT_H

#include "auth/audit_chain.h"
#include "store/store.h"

struct act {
    struct store *store;
    struct audit_chain *chain;
    const struct audit_record *record;
    int lock;
    unsigned number;
};

/* `record`, without time, tenant, actor and outcome, is borrowed until the end. When it fails
 * nothing is to be done. */
enum st act_begin(struct act *a, struct store *s, const char *tenant,
                  const struct audit_record *record) ST_MUST_USE;
/* The same, when the act may be what makes the tenant. */
enum st act_begin_tenant(struct act *a, struct store *s, const char *tenant,
                         const struct audit_record *record) ST_MUST_USE;
/* `st` is the act's, and returned: an end that cannot be noted is told on standard error. After an
 * act_begin that failed, it only releases. */
enum st act_end(struct act *a, enum st st) ST_MUST_USE;

#endif
