/* The catalog: DATA/catalog.mdb, the one mutable truth. Tables of JSON documents by text key, each
 * value with a checksum of its own, because LMDB's pages have none.
 *
 * Transactions are sticky: after a failure every step is a no-op, and commit or end reports the
 * first one. What a getter returns is copied out and outlives the transaction.
 * Room-private; one thread per process.
 */
#ifndef EVERLINE_STORE_CATALOG_H
#define EVERLINE_STORE_CATALOG_H

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/status.h"
#include "store/catalog_lock.h"

#include <lmdb.h>
#include <stdint.h>

#define CATALOG_KEY_SIZE 256

enum catalog_table {
    CATALOG_COUNTERS,    /* name                       -> {"next"}; format -> {"format"} */
    CATALOG_TENANTS,     /* tenant                     -> tenant row */
    CATALOG_DEFINITIONS, /* tenant/dataset             -> {"definition","created_at","updated_at"}
                          */
    CATALOG_HEADS,       /* tenant/dataset             -> head (store/head.h) */
    CATALOG_VERSIONS,    /* tenant/dataset/%020version -> version row */
    CATALOG_REJECTS,     /* tenant/dataset/%020version -> {"places"} (store/rejects.c) */
    CATALOG_EVENTS,      /* tenant/dataset/%020seq     -> event */
    CATALOG_JOBS,        /* job                        -> job row */
    CATALOG_TENANT_JOBS, /* tenant/job                 -> {}: to list them */
    CATALOG_QUEUE,       /* %020order                  -> queued or running (store/queue.c);
                            :tenant/%020order          -> {}: to count them */
    CATALOG_PINS,        /* sha256/job                 -> {}: a build needs this file */
    CATALOG_CANDIDATES,  /* tenant/dataset/owner       -> {"version","nonce","segments",...} */
    CATALOG_ACKS,        /* candidate's key/server     -> {"nonce","ok","message"} */
    CATALOG_SEALS,       /* sha256                     -> see store/seal.h */
    CATALOG_REVOCATIONS, /* tenant/kind/sha256         -> see store/revocation.c */
    CATALOG_UPLOADS,     /* tenant/upload              -> upload (store/upload.c);
                            :gone/tenant/upload        -> {}: it is given up;
                            :sum/tenant                -> {"rows","bytes"}: its own of them */
    CATALOG_REPEATS,     /* tenant/owner/sha256 of key -> what was answered (store/repeat.c);
                            tenant, tenant:owner       -> {"rows","bytes"}: their own of them */
    CATALOG_STARTS,      /* tenant/dataset/what        -> {"mark","job"} (store/start.c) */
    CATALOG_HOOKS,       /* tenant/message             -> what waits to be told (store/hook.c) */
    CATALOG_ANCHORS,     /* tenant/%06chain           -> see store/anchor.c */
    CATALOG_USAGE,       /* tenant/day/hash           -> see store/usage.c */
    CATALOG_TABLES
};

enum catalog_state {
    CATALOG_USABLE,
    CATALOG_LOST,      /* its pages contradict each other: every transaction is refused */
    CATALOG_ABANDONED, /* LMDB was left by a jump: not even closed */
};

/* Transactions of a group are parts of one, which is committed when the group ends. */
struct catalog_group {
    bool open;
    MDB_txn *txn;     /* NULL: nobody has written yet */
    unsigned written; /* transactions that were committed into it */
    bool in_part;
    MDB_txn *part; /* NULL: nobody has begun to write in the part yet */
    unsigned part_written;
    bool refused;  /* somebody else has the lock: nobody tries again */
    json_t *heads; /* keys of CATALOG_HEADS that were written: a set */
};

struct catalog {
    MDB_env *env; /* NULL: to be opened again */
    MDB_dbi tables[CATALOG_TABLES];
    enum catalog_state state;
    MDB_txn *idle; /* a reader's slot that is kept: taking one needs a lock of LMDB's */
    unsigned open_txns;
    struct catalog_lock lock;
    struct catalog_group group;
    off_t file_bytes; /* the most that were seen */
    char path[FS_PATH_MAX];
};

/* Makes it when it is missing. ST_CORRUPT, code CATALOG_DAMAGED, before LMDB could come to harm by
 * a damaged file (store/catalog_check.h). */
enum st catalog_open(struct catalog *c, const char *path) ST_MUST_USE;
void catalog_close(struct catalog *c); /* accepts a zeroed struct */

/* Is the file still there, the one that was opened, and not shorter? ST_CORRUPT, code
 * CATALOG_DAMAGED. Every transaction begins with this. */
enum st catalog_look(struct catalog *c) ST_MUST_USE;

struct catalog_txn {
    struct catalog *catalog;
    MDB_txn *txn;
    enum st status;
    bool writes;
};

/* Failure shows at commit or end. Reading transactions end with catalog_end. One writes at a time,
 * of all processes: who cannot begin within c->lock.wait_ms fails with ST_TIMEOUT, CATALOG_BUSY. */
void catalog_begin_read(struct catalog_txn *t, struct catalog *c);
void catalog_begin_write(struct catalog_txn *t, struct catalog *c);
uint64_t catalog_txn_id(const struct catalog_txn *t);

/* Makes the transaction fail with `status` (whose report is the thread's last one). */
void catalog_fail(struct catalog_txn *t, enum st status);

/* What failed was one document, and the rest can be gone on with; the loss of the whole catalog is
 * not forgiven. Not after a failed write. */
void catalog_forgive(struct catalog_txn *t);

/* New reference, or NULL: absent, or the transaction failed. */
json_t *catalog_get(struct catalog_txn *t, enum catalog_table table, const char *key);
/* catalog_get that goes past a damaged value. False: it is damaged, the thread's report says how.
 */
bool catalog_get_any(json_t **document, struct catalog_txn *t, enum catalog_table table,
                     const char *key) ST_MUST_USE;
/* The same for whom a damaged value is as good as none: NULL. */
json_t *catalog_get_whole(struct catalog_txn *t, enum catalog_table table, const char *key);
void catalog_put(struct catalog_txn *t, enum catalog_table table, const char *key,
                 const json_t *value);
void catalog_delete(struct catalog_txn *t, enum catalog_table table, const char *key);

/* One step through the keys that begin with `prefix`: upwards from the first key greater than
 * `key`, downwards from the last key smaller than it ("" = from the end that comes first). Stores
 * the key found in `key` and returns the value (new reference); NULL: no more, or failed; also when
 * it failed for the value, `key` is stored. */
json_t *catalog_after(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                      char key[CATALOG_KEY_SIZE]);
json_t *catalog_before(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                       char key[CATALOG_KEY_SIZE]);

/* catalog_after that goes past damaged values. False: no more, or failed. True with *document NULL:
 * the value of `key` is damaged, the thread's report says how. */
bool catalog_after_any(json_t **document, struct catalog_txn *t, enum catalog_table table,
                       const char *prefix, char key[CATALOG_KEY_SIZE]) ST_MUST_USE;

/* The rows whose keys begin with `prefix`, which is not empty, and what their values are as they
 * are stored, damaged or not. */
struct catalog_sum {
    uint64_t rows, bytes;
};
struct catalog_sum catalog_sum(struct catalog_txn *t, enum catalog_table table, const char *prefix);

/* The next key of a table as catalog_after would find it, and its value as it is stored, checksum
 * looked at; false: no more, or failed. `value` was initialised by the caller. */
bool catalog_next_stored(struct catalog_txn *t, enum catalog_table table,
                         char key[CATALOG_KEY_SIZE], struct buf *value);

/* The next number of a counter: 1, 2, ...; with a gap where it was damaged. */
uint64_t catalog_next_number(struct catalog_txn *t, const char *counter);

/* Durable when it returns ST_OK, unless a group is open. When LMDB's commit failed at its end, the
 * catalog is read back, and the answer is what truly happened; ST_UNKNOWN_OUTCOME is for a disk
 * that does not let itself be asked. */
enum st catalog_commit(struct catalog_txn *t) ST_MUST_USE;
enum st catalog_end(struct catalog_txn *t) ST_MUST_USE; /* reading, or giving up a write */

/* Group commit: from _begin to _end every transaction that is committed becomes part of one, which
 * _end commits (ST_OK when nobody wrote); one that is given up leaves no trace in it. `written`
 * counts them. A dataset's head is changed by one of them at most, because its file may be ahead of
 * the catalog by one change only: who comes second gets ST_TIMEOUT, CATALOG_BUSY, as does everybody
 * after one who did not get the lock. */
void catalog_group_begin(struct catalog *c);
enum st catalog_group_end(struct catalog *c) ST_MUST_USE;
bool catalog_is_busy(enum st st); /* is the last failure CATALOG_BUSY? */

/* A part of a group: the transactions that are committed from _begin to _end become part of it
 * together, or, without `keep`, leave no trace in it. There is one at a time; outside of a group it
 * is nothing. What fails at _end leaves no trace either. */
void catalog_part_begin(struct catalog *c);
enum st catalog_part_end(struct catalog *c, bool keep) ST_MUST_USE;

/* Fails the transaction when another of its group has changed the head of this key. */
void catalog_group_check_head(struct catalog_txn *t, const char *key);

/* Has a commit become visible since transaction `seen`? Costs no system call. The value can run
 * ahead of what a reader sees, hence inequality; see keeper.c for a difference that lasts. */
bool catalog_moved(struct catalog *c, uint64_t seen);

/* Takes and gives back the writer's lock: repairs the lock table after a writer was killed. */
enum st catalog_touch(struct catalog *c) ST_MUST_USE;

/* Clears reader slots of dead processes. */
void catalog_check_readers(struct catalog *c);

#endif
