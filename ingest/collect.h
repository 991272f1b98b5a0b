/* From the plan's rows to sorted records: keys are hashed, rows and rollup inputs encoded, rows
 * that break a rule are counted by rule. Room-private. */
#ifndef EVERLINE_INGEST_COLLECT_H
#define EVERLINE_INGEST_COLLECT_H

#include "ingest/plan.h"
#include "ingest/sort.h"
#include "ingest/source.h"
#include "store/key.h"

struct collect_ledger {
    uint64_t prepared;
    uint64_t rejected;
    uint64_t unusable;                 /* of them: what cannot be cast, keyed or stored */
    uint64_t broken[STORE_CHECKS_MAX]; /* rows that break a row check, by check */
    json_t *rules; /* [{"rule","rows"}] of what rejected rows; the caller's, also after a failure */
    struct rejects places; /* sorted; of a placed plan; the caller's; its rules are of
                              `rules` */
};

struct collect_options {
    struct sorter *sorter; /* gets the records */
    const char *tenant;
    const struct secret *hmac_key; /* NULL when unprotected */
    const struct ingest_progress *progress;
};

/* Streams `plan` into the sorter. */
enum st collect_rows(struct collect_ledger *ledger, const struct plan *plan,
                     const struct store_definition *definition,
                     const struct collect_options *options) ST_MUST_USE;

/* More unusable rows than `max_reject_ratio` of the definition: ST_INVALID, code ROWS_REJECTED,
 * with the rules and their counts, and the first places, as far as there are some, in these files.
 */
enum st collect_check(const struct collect_ledger *ledger,
                      const struct store_definition *definition,
                      const struct task_source *files) ST_MUST_USE;

#endif
