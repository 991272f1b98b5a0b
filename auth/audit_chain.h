/* The chain that one process appends for one tenant: files AUDIT/<tenant>/<chain>-<first
 * sequence>.jsonl, whose lines are linked by hashes (auth/audit_line.h). Chains have numbers; a
 * process takes a free one, with a lock, and goes on where its predecessor left off.
 *
 * What was added is on the disk when a commit has returned ST_OK. A commit that fails keeps what
 * was added, and is tried again with the next. */
#ifndef EVERLINE_AUTH_AUDIT_CHAIN_H
#define EVERLINE_AUTH_AUDIT_CHAIN_H

#include "auth/audit_line.h"
#include "base/fs.h"

#define AUDIT_CHAINS_MAX 1024
#define AUDIT_ROTATE_BYTES (16u << 20)
#define AUDIT_ROOM_BYTES (1u << 20)                 /* that the newest file has beyond its end */
#define AUDIT_ROTATE_US (30 * INT64_C(86400000000)) /* retention takes whole files */

struct audit_head {
    uint64_t sequence; /* of the last line; 0: there is none */
    unsigned char hash[DIGEST_BYTES];
};

struct audit_chain;

/* Takes the lowest free number for this process: AUDIT/<number>.lock, held while *lock is open.
 * Makes the directory when it is missing. */
enum st audit_chain_take(int *lock, unsigned *number, const char *directory) ST_MUST_USE;

/* The lock of one number. ST_CONFLICT: a process has it. */
enum st audit_chain_lock(int *lock, const char *directory, unsigned number) ST_MUST_USE;

/* Goes on after the last line that is whole. When that is before `anchor`, the tail was cut: the
 * chain goes on after the anchor, and verification tells what is missing. A file gets no more lines
 * when it has `rotate_bytes`, or AUDIT_ROTATE_US after its first. */
enum st audit_chain_open(struct audit_chain **out, const char *directory, const char *tenant,
                         unsigned number, const struct audit_head *anchor,
                         uint64_t rotate_bytes) ST_MUST_USE;
void audit_chain_close(struct audit_chain *c); /* what is not committed is lost */

/* Times of a chain do not go backwards: a record that is older than the line before it gets that
 * one's. `hmac` may be NULL: keys are left out. */
enum st audit_chain_add(struct audit_chain *c, const struct audit_record *record,
                        struct digest_hmac *hmac) ST_MUST_USE;
enum st audit_chain_commit(struct audit_chain *c) ST_MUST_USE;

/* The newest file may go (auth/audit_prune.h) when nothing was written to it since `before_s`: then
 * the next line begins another. False: it may not go, for it can be written to again. */
bool audit_chain_rest(struct audit_chain *c, int64_t before_s);

const char *audit_chain_tenant(const struct audit_chain *c);
/* The last line that was committed. */
const struct audit_head *audit_chain_head(const struct audit_chain *c);

#endif
