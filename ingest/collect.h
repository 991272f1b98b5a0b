/* From the plan's rows to sorted records: keys are hashed, rows and rollup inputs encoded, rows
 * that break a rule are counted by rule. Room-private. */
#ifndef EVERLINE_INGEST_COLLECT_H
#define EVERLINE_INGEST_COLLECT_H

#include "ingest/plan.h"
#include "ingest/sort.h"
#include "ingest/source.h"
#include "store/key.h"
#include "store/rollup.h"

struct collect_ledger {
    uint64_t prepared;
    uint64_t rejected;
    uint64_t broken[STORE_CHECKS_MAX]; /* rows that break a row check, by check */
    json_t *rules; /* [{"rule","rows"}] of what rejected rows; the caller's, also after a failure */
};

/* Streams `plan` into `sorter`. More rows that cannot be cast, keyed or stored than
 * `max_reject_ratio` of the definition: ST_INVALID, code ROWS_REJECTED, with the rules and their
 * counts, after all rows were judged. */
enum st collect_rows(struct collect_ledger *ledger, struct sorter *sorter, struct plan *plan,
                     const struct store_definition *definition, struct store_hasher *hasher,
                     const struct ingest_progress *progress) ST_MUST_USE;

/* The parts of a record's payload. Borrowed from it. Payloads of one key come in the order of
 * `duplicate_order`, when there is one. */
struct collect_record {
    const void *row;
    size_t row_len;
    const unsigned char *inputs; /* the rollups' inputs, one rollup after the other */
};
struct collect_record collect_open(const struct store_definition *definition, const void *payload);

/* What the metrics of a record are computed from. */
struct collect_inputs {
    int64_t values[2 * STORE_METRICS_MAX];
    bool nulls[2 * STORE_METRICS_MAX];
    unsigned char kinds[2 * STORE_METRICS_MAX]; /* enum store_input */
};

/* The next rollup's inputs; *at moves on. */
void collect_inputs(const void **tuple, size_t *tuple_len, struct collect_inputs *inputs,
                    const unsigned char **at, const struct store_rollup *rollup);

#endif
