/* One line of the audit: a JSON object whose last member is its hash, which covers the line before
 * it by that one's hash:
 *
 *     {"seq":8,"at":"2026-...Z","event":"lookup", ... ,"hash":"<64 hex digits>"}
 *     hash = SHA-256(hash of line 7 as 32 bytes, the bytes of line 8 before `,"hash"`)
 *
 * so that nobody removes, changes or reorders a line without every later one telling. */
#ifndef EVERLINE_AUTH_AUDIT_LINE_H
#define EVERLINE_AUTH_AUDIT_LINE_H

#include "base/buf.h"
#include "base/digest.h"

#define AUDIT_KEY_BYTES 16 /* of a key as a segment has it, and of its HMAC in a line */
#define AUDIT_AT_TEXT 27   /* bytes of a time */

/* What happened. Texts are borrowed; NULL or "" is not written, and what is not UTF-8 is written as
 * "(not UTF-8)". */
struct audit_record {
    int64_t at_us;
    const char *event; /* the contract's operation, or one of ours: lowerCamelCase */
    const char *tenant, *dataset, *outcome;
    const char *subject, *token_id, *address, *request_id, *purpose, *actor, *reason;
    const char *target; /* of an act on other than a dataset: a job, say */
    uint64_t version;   /* 0: none */
    unsigned status;    /* of the answer; 0: there was none */
    /* Lookups: AUDIT_KEY_BYTES each, and for each whether there was a record. */
    const unsigned char *keys, *found;
    uint32_t key_count;
    const char *key_id; /* of the HMAC key that the audit's is derived from */
};

/* Appends the line, newline included. `hash` holds that of the line before, then that of this one.
 * `hmac` may be NULL when there are no keys. Failure shows in `out`, or is the digest's. */
enum st audit_line_write(struct buf *out, unsigned char hash[DIGEST_BYTES], uint64_t sequence,
                         const struct audit_record *record,
                         const struct digest_hmac *hmac) ST_MUST_USE;

/* Is this the line (without its newline) that follows the one of `hash`, as number `sequence`? On
 * success `hash` is this line's. ST_CORRUPT: what is wrong with it. */
enum st audit_line_check(unsigned char hash[DIGEST_BYTES], uint64_t sequence, const char *line,
                         size_t len) ST_MUST_USE;

/* What a line says of itself, which is not checked; 0: it has none. */
uint64_t audit_line_sequence(const char *line, size_t len);
/* Its time, AUDIT_AT_TEXT bytes within the line; NULL: it is no line of ours. */
const char *audit_line_at(const char *line, size_t len);

/* The hash before the first line of a chain: no chain continues another tenant's. */
void audit_line_origin(unsigned char hash[DIGEST_BYTES], const char *tenant, unsigned chain);

#endif
