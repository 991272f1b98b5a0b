/* CSV (RFC 4180, and the dialects that a definition can declare), in two steps that know nothing of
 * each other: a scan over the whole file that counts its records and finds where they end, and a
 * split of complete records into fields. What came out of the second must add up to what the first
 * counted, so that rows cannot be lost in silence. Neither says a value. Room-private. */
#ifndef EVERLINE_INGEST_CSV_H
#define EVERLINE_INGEST_CSV_H

#include "base/buf.h"
#include "base/status.h"
#include "ingest/records.h"
#include "store/definition.h"

#include <stdint.h>

#define CSV_COLUMNS_MAX 1024

struct csv_scan {
    const char *file;                    /* for messages; borrowed */
    const struct store_dialect *dialect; /* borrowed */
    uint64_t records;                    /* complete ones, without the header */
    size_t columns; /* 0 before the header was read and found good; never without a header */
    bool crlf;      /* lines end with CR LF */
    /* Where the record begins that is being read, and the file's first one: bytes from the file's
     * start, lines from 1. */
    uint64_t record_offset, record_line;
    uint64_t body_offset;

    /* What follows is the scanner's. */
    int state;
    uint64_t line, quote_line;
    uint64_t offset;
    size_t fields;
    bool newline_known, body_known;
    unsigned bom;
    struct buf header; /* names, each ended by NUL */
    unsigned char kinds[256];
};

void csv_scan_init(struct csv_scan *s, const char *file, const struct store_dialect *dialect);
void csv_scan_release(struct csv_scan *s); /* accepts a zeroed struct */

/* The next bytes of the file. ST_INVALID, place "file:line" or "file:line:column" (of the header);
 * after any of these nobody could say where records begin: codes CSV_QUOTE CSV_NEWLINE CSV_NUL
 * CSV_HEADER CSV_RECORD_TOO_LONG, and CSV_UTF8 of the header. */
enum st csv_scan_feed(struct csv_scan *s, const void *bytes, size_t len) ST_MUST_USE;
/* The end of the file. A file that ends inside quotes: CSV_QUOTE, the line where they began. An
 * empty one: CSV_HEADER. */
enum st csv_scan_finish(struct csv_scan *s) ST_MUST_USE;

/* Column names once s->columns > 0; i < columns. Borrowed until release. */
const char *csv_scan_name(const struct csv_scan *s, size_t i);

/* The next record of r->at, of complete records that a scan let pass; false at the end. */
bool csv_split(struct record_reader *r, const struct store_dialect *dialect);

#endif
