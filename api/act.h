/* Acts of the command line in the audit: begun before the act, so that none is done that could not
 * be noted, and ended with what came of it. */
#ifndef EVERLINE_API_ACT_H
#define EVERLINE_API_ACT_H

#include "auth/audit_chain.h"
#include "store/store.h"

struct act {
    struct store *store;
    struct audit_chain *chain;
    int lock;
    unsigned number;
};

/* ST_UNAVAILABLE, code AUDIT_UNAVAILABLE: nothing is to be done then. */
enum st act_begin(struct act *a, struct store *s, const char *tenant) ST_MUST_USE;
/* `record` without time, tenant, actor and outcome; `st` is the act's. Returns `st`, or why it
 * cannot be noted. After an act_begin that failed, it only releases. */
enum st act_end(struct act *a, struct audit_record *record, enum st st) ST_MUST_USE;

#endif
