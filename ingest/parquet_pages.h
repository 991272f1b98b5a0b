/* The pages of Parquet files, whose checksums DuckDB does not look at. Room-private. */
#ifndef EVERLINE_INGEST_PARQUET_PAGES_H
#define EVERLINE_INGEST_PARQUET_PAGES_H

#include "ingest/duck.h"
#include "ingest/task.h"

/* What stands before a page's bytes. */
struct parquet_page {
    size_t header_bytes;
    int64_t bytes;  /* behind the header, as they are in the file */
    int64_t values; /* of the column; 0: a page of none */
    bool has_crc;
    uint32_t crc; /* CRC-32 of those bytes */
};

/* False: `bytes` do not begin with a whole page header. */
bool parquet_page_read(struct parquet_page *out, const unsigned char *bytes, size_t len);

/* ST_INVALID, code PARQUET, when a page of the open file has another checksum than it says. Pages
 * need not have one. */
enum st parquet_pages_check(struct duck *d, const struct task_file *f, int fd) ST_MUST_USE;

#endif
