/* The pages of Parquet files: DuckDB does not look at their checksums, and believes the footer how
 * many rows they have. Room-private. */
#ifndef EVERLINE_INGEST_PARQUET_PAGES_H
#define EVERLINE_INGEST_PARQUET_PAGES_H

#include "ingest/duck.h"
#include "ingest/parquet_page.h"
#include "ingest/task.h"

/* The rows of the open file, by its pages. ST_INVALID, code PARQUET, when its footer says others,
 * of the file or of a row group, or other values of a column there; or when a page has another
 * checksum than it says. Pages need not have one. */
enum st parquet_pages_check(uint64_t *rows, struct duck *d, const struct task_file *f,
                            int fd) ST_MUST_USE;

#endif
