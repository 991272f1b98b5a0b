/* Exports of a version into a file. */
#ifndef EVERLINE_INGEST_EXPORT_H
#define EVERLINE_INGEST_EXPORT_H

#include "base/cmd.h"
#include "ingest/source.h"
#include "store/export.h"

/* All records, from the first on, into a Parquet file: `path` is absolute and not there yet. Fields
 * have the types that the definition gives them. *count: how many records there are. */
enum st export_parquet(uint64_t *count, struct store_export *e, const char *path, unsigned threads,
                       const struct ingest_progress *progress) ST_MUST_USE;

enum st export_cmd(const struct cmd_args *args);
enum st spool_cmd(const struct cmd_args *args);

#endif
