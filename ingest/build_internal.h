/* What the files of a build share. */
#ifndef EVERLINE_INGEST_BUILD_INTERNAL_H
#define EVERLINE_INGEST_BUILD_INTERNAL_H

#include "ingest/build.h"
#include "ingest/cells.h"
#include "ingest/collect.h"
#include "ingest/handoff.h"
#include "ingest/judge.h"
#include "store/segment.h"

struct build {
    const struct task *task;
    const struct ingest_progress *progress;
    struct source_ledger sources[STORE_SOURCES_MAX];
    struct collect_ledger collected;
    size_t placed; /* the source whose places it has, if it has some */
    uint64_t accepted;
    /* These, `example`, `cells` and `judged` are of the thread that merges, while there is one. */
    uint64_t duplicates, contradictions;
    struct spill *spill;
    struct sorter *sorter;
    struct cells *cells[STORE_ROLLUPS_MAX];
    struct judge_counts counts;
    struct store_cell judged; /* the metrics of checks and gates */
    bool has_judged;          /* the payload: they are counted with the records */
    json_t *checks, *gates;
    struct store_segment_writer *writer;
    struct buf example; /* one contradicting key of an unprotected dataset, as JSON */
    size_t rollup;      /* the one whose cells are being written */
};

/* Of the thread that merges: all records in order, each once, into the cells, and their rows to the
 * thread that writes. `ctx` is the build. Code DUPLICATE_KEY: records contradict each other. */
enum st build_merge(struct handoff *h, void *ctx) ST_MUST_USE;

/* What build_run reports, whether the build came to its end or not. ST_INVALID, code LEDGER: it
 * did, and the counts do not add up. */
enum st build_report(json_t **report, const struct build *b, bool complete) ST_MUST_USE;

#endif
