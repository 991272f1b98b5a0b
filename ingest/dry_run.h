/* A batch that is built, judged and compared with what is served, and not published. Room-private.
 */
#ifndef EVERLINE_INGEST_DRY_RUN_H
#define EVERLINE_INGEST_DRY_RUN_H

#include "ingest/batch.h"

/* Prints {"dataset","dry_run","current","rows","checks","gates","rejects","diff"} (`json`) or a
 * summary. No job, no version, nothing left on disk. ST_HELD, code HELD: a gate would hold it;
 * ST_REFUSED: a check fails it. */
enum st dry_run(const struct batch *b, struct task *t, bool json) ST_MUST_USE;

#endif
