/* NDJSON: one JSON object (RFC 8259) in each line. In two steps, as CSV (ingest/csv.h): a count of
 * the lines that are not blank, and a split of such lines into the members that a source declares.
 *
 * A value is what its text says: a string without its quotes, a number, true or false as it is
 * written; null and a member that is not there are null; an object or a list is its JSON. Other
 * members are passed over, or a fault where the source says that its columns are complete.
 * Room-private. */
#ifndef EVERLINE_INGEST_NDJSON_H
#define EVERLINE_INGEST_NDJSON_H

#include "base/status.h"
#include "ingest/records.h"

#define NDJSON_DEPTH_MAX 64

static inline bool ndjson_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

struct ndjson_scan {
    const char *file;                    /* for messages; borrowed */
    uint64_t records;                    /* complete ones */
    uint64_t record_offset, record_line; /* where the line begins that is being read */
    uint64_t body_offset;                /* behind a byte order mark */

    /* What follows is the scanner's. */
    uint64_t offset;
    unsigned bom;
    bool blank;
};

void ndjson_scan_init(struct ndjson_scan *s, const char *file);
/* ST_INVALID, code NDJSON_RECORD_TOO_LONG. */
enum st ndjson_scan_feed(struct ndjson_scan *s, const void *bytes, size_t len) ST_MUST_USE;
void ndjson_scan_finish(struct ndjson_scan *s);

/* The next line of r->at that is not blank; false at the end. */
bool ndjson_split(struct record_reader *r);

#endif
