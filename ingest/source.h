/* The sources of a batch as relations of the child's database: one per source, named like it.
 * Room-private. */
#ifndef EVERLINE_INGEST_SOURCE_H
#define EVERLINE_INGEST_SOURCE_H

#include "ingest/duck.h"
#include "ingest/rejects.h"
#include "ingest/task.h"

#include <stdatomic.h>

/* Where the work is; called often, cheap. `total` 0: not known. */
typedef void (*ingest_progress_fn)(const char *phase, uint64_t rows, uint64_t total, void *ctx);

/* How far the files have been read: what is prepared tells by it how much there will be. */
struct ingest_extent {
    atomic_uint_fast64_t bytes, read; /* of all files; bytes 0: not known */
};

struct ingest_progress {
    ingest_progress_fn fn; /* may be NULL */
    void *ctx;
    struct ingest_extent *extent; /* may be NULL */
};
void ingest_tell(const struct ingest_progress *p, const char *phase, uint64_t rows, uint64_t total);
/* The total that `rows` come to when the rest of the files is like what was read; 0: not known. */
uint64_t ingest_estimate(const struct ingest_progress *p, uint64_t rows);

/* read = parsed + unparsable, per source. */
struct source_ledger {
    uint64_t read; /* our own count */
    uint64_t parsed;
    uint64_t unparsable;
    json_t *files; /* [{"file","bytes","sha256"}], of the bytes that were read; the caller's */
    struct rejects rejects; /* sorted; the caller's, also after a failure */
};

/* Empty relations from the declared columns, for sources that declare them all. ST_NOT_FOUND
 * without a report: some source does not, so binding must wait for its header. */
enum st source_declare(struct duck *d, const struct task *t) ST_MUST_USE;

/* Reads the headers and makes the relations: text empty, Parquet as views of the files. From here
 * on the database is guarded (duck_guard): a file without a header line has values for names. */
enum st source_bind(struct duck *d, const struct task *t) ST_MUST_USE;

/* The bound relations get rows, which come out of the files whenever they are asked for. */
struct sources;
enum st source_open(struct sources **out, struct duck *d, const struct task *t,
                    const struct ingest_progress *progress) ST_MUST_USE;
void source_close(struct sources *s); /* before the database */

/* A place: which of the source's files, and in the lower bits the line where the record begins, or
 * of Parquet the number of the row, from 1. */
#define SOURCE_LINE_BITS 40
#define SOURCE_LINE_MASK (((uint64_t)1 << SOURCE_LINE_BITS) - 1)

/* Makes `view` (SQL): the relation of the source, with its rows' places as `column`. It may be read
 * in the source's stead. ST_NOT_FOUND without a report: there are none. */
enum st source_place(struct sources *all, size_t source, const char *view,
                     const char *column) ST_MUST_USE;

/* After a failure while rows were read or judged: ST_INVALID, code PARQUET, when a file is damaged;
 * else `status`, whose report is the thread's last one. */
enum st source_blame(enum st status, struct duck *d, const struct task *t) ST_MUST_USE;

/* After all rows were collected, or that failed: fills the ledgers, one per source, zeroed. What it
 * finds explains whatever else went wrong: files that changed meanwhile (ST_CONFLICT, code
 * SOURCE_CHANGED); more records that cannot be read than a source's max_reject_ratio: the code of
 * the first one (rejects_code), with its place; a file in which nobody can say where records begin:
 * the codes of csv_scan_feed and ndjson_scan_feed; LEDGER when the counts do not agree. */
enum st source_finish(struct source_ledger *ledgers, struct sources *s, bool failed) ST_MUST_USE;

#endif
