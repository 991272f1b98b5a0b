/* The two things a child does with data: bind, and build. Room-private; they run in any process,
 * the tests' too. */
#ifndef EVERLINE_INGEST_BUILD_H
#define EVERLINE_INGEST_BUILD_H

#include "ingest/source.h"
#include "ingest/task.h"

/* A definition without files: everything when all sources declare all columns, otherwise all that
 * needs no header. */
enum st build_check(const struct task *t) ST_MUST_USE;

/* The files' headers and all SQL. */
enum st build_bind(const struct task *t) ST_MUST_USE;

/* Everything, into DIRECTORY/segment.mdb. *report is what the version's row will say, a new
 * reference, also after a failure, as far as it came: {"rows","checks","gates","rejects":
 * {"unparsable","rejected","rules":[{"rule","rows"}],"places":[as rejects_json]},"used"} with the
 * ledger
 * {"read","parsed","unparsable","prepared","accepted","rejected","duplicates","sources":
 * [{"name","read","parsed","unparsable","files":[{"file","bytes","sha256"}]}]}. Codes: those of
 * source_load; ROWS_REJECTED, CHECK_FAILED, DUPLICATE_KEY, LEDGER, SQL_RUNTIME, OUT_OF_MEMORY. */
enum st build_run(json_t **report, const struct task *t,
                  const struct ingest_progress *progress) ST_MUST_USE;

#endif
