/* What the checks of a definition say about a batch, for the version's row. Room-private. */
#ifndef EVERLINE_INGEST_JUDGE_H
#define EVERLINE_INGEST_JUDGE_H

#include "base/json.h"
#include "store/rollup.h"

/* How many rows or values break a check, of how many; by check. */
struct judge_counts {
    uint64_t broken[STORE_CHECKS_MAX], of[STORE_CHECKS_MAX];
};

/* The report of all checks, a new reference, also with a failure: [{"name","check","on_fail",
 * "state": "passed" | "rejected" | "warned" | "failed", and "broken","of","max_ratio" or "metric",
 * "value","min","max"}]. `cell` has the judged metrics; NULL: they are not known yet, and are left
 * out. ST_REFUSED, code CHECK_FAILED, place "/checks/N": the first check that fails the batch. */
enum st judge_checks(json_t **report, const struct store_definition *definition,
                     const struct judge_counts *counts, const struct store_cell *cell) ST_MUST_USE;

/* The gates' values, for who judges them against the current version: the definition's objects,
 * each with its "metric" and "value". A new reference, to be released also after ST_NOMEM. */
enum st judge_gate_values(json_t **out, const struct store_definition *definition,
                          const struct store_cell *cell) ST_MUST_USE;

#endif
