/* The header of a page of a Parquet file. Room-private. */
#ifndef EVERLINE_INGEST_PARQUET_PAGE_H
#define EVERLINE_INGEST_PARQUET_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct parquet_page {
    size_t header_bytes;
    int64_t bytes;  /* behind the header, as they are in the file */
    int64_t values; /* of the column; 0: a page of none */
    int64_t rows;
    bool has_rows;
    bool has_crc;
    uint32_t crc; /* CRC-32 of those bytes */
};

/* False: `bytes` do not begin with a whole page header. */
bool parquet_page_read(struct parquet_page *out, const unsigned char *bytes, size_t len);

#endif
