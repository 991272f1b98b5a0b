/* Our own reading of a CSV file (RFC 4180), beside DuckDB's: it counts the records, so that a
 * parser that loses its way cannot lose rows in silence, and says where a malformed one is, without
 * its values. Works on pieces of any size, in constant memory. Room-private. */
#ifndef EVERLINE_INGEST_CSV_H
#define EVERLINE_INGEST_CSV_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

#define CSV_COLUMNS_MAX 1024
#define CSV_RECORD_MAX (1u << 20) /* bytes of one record */

struct csv_scan {
    const char *file; /* for messages; borrowed */
    uint64_t records; /* complete ones, without the header */
    size_t columns;   /* of the header; 0 before it was read and found good */
    bool crlf;        /* lines end with CR LF */
    /* Set between init and the first feed: which columns hold integers only. May be NULL. */
    bool (*is_integer_fn)(const char *column, void *ctx);
    void *ctx;

    /* What follows is the scanner's. */
    int state;
    uint64_t line, record_line, quote_line;
    uint64_t offset, record_offset;
    size_t fields;
    bool newline_known;
    unsigned utf8_left;
    unsigned char utf8_low, utf8_high;
    unsigned bom;
    struct buf header; /* names, each ended by NUL */
    bool integers[CSV_COLUMNS_MAX];
};

void csv_scan_init(struct csv_scan *s, const char *file);
void csv_scan_release(struct csv_scan *s);

/* The next bytes of the file. ST_INVALID, place "file:line" or "file:line:column" (column: number
 * of the first missing or surplus field, or of the one that is no integer); codes CSV_SHORT_ROW
 * CSV_LONG_ROW CSV_QUOTE CSV_NEWLINE CSV_NUL CSV_UTF8 CSV_HEADER CSV_RECORD_TOO_LONG CSV_CAST. */
enum st csv_scan_feed(struct csv_scan *s, const void *bytes, size_t len) ST_MUST_USE;
/* The end of the file. A file that ends inside quotes: CSV_QUOTE, the line where they began. An
 * empty one: CSV_HEADER. */
enum st csv_scan_finish(struct csv_scan *s) ST_MUST_USE;

/* Column names once s->columns > 0; i < columns. Borrowed until release. */
const char *csv_scan_name(const struct csv_scan *s, size_t i);

#endif
