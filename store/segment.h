/* Segments: immutable LMDB files (DESIGN section 5), named by the SHA-256 of their bytes. */
#ifndef EVERLINE_STORE_SEGMENT_H
#define EVERLINE_STORE_SEGMENT_H

#include "base/digest.h"
#include "base/pace.h"
#include "store/definition.h"
#include "store/key.h"
#include "store/rollup.h"

#define STORE_SEGMENT_FORMAT 2

/* What a manifest says about a segment: enough to refuse any other bytes. */
struct store_segment_ref {
    char sha256[DIGEST_HEX_SIZE];
    uint64_t bytes;
};

/* ---- writing: one sorted pass; used by the ingest's child, never touches the catalog ---- */

struct store_segment_info {
    const struct store_definition *definition; /* borrowed for the writer's life */
    const char *tenant;
    const char *key_id; /* HMAC key id, "" for unprotected */
    unsigned char check_value[STORE_KEY_BYTES];
};

struct store_segment_writer;

/* Creates `path` (must not exist). */
enum st store_segment_writer_open(struct store_segment_writer **out, const char *path,
                                  const struct store_segment_info *info) ST_MUST_USE;
/* `key` has store_record_key_bytes. Strictly ascending: a repeated or smaller one is ST_CONFLICT
 * (DUPLICATE_KEY). */
enum st store_segment_writer_add(struct store_segment_writer *w, const unsigned char *key,
                                 const void *row, size_t row_len) ST_MUST_USE;
/* After the records: grouping set by set in definition order (definition->sets), tuples strictly
 * ascending. */
enum st store_segment_writer_cell(struct store_segment_writer *w, size_t set_index,
                                  const void *tuple, size_t tuple_len,
                                  struct store_cell *cell) ST_MUST_USE;
/* Writes `meta`, mdb_env_sync, closes, fsyncs the file. After a failure only _free is left. */
enum st store_segment_writer_finish(struct store_segment_writer *w) ST_MUST_USE;
void store_segment_writer_free(struct store_segment_writer *w); /* does not remove the file */

/* ---- reading ---- */

struct store_segment;

/* Opens a file whose bytes were verified by the caller. `slots` is the number of worker slots: a
 * slot is used by one thread at a time and keeps one read transaction for the segment's life.
 * Checks format, tenant and dataset of `meta`: ST_CORRUPT. */
enum st store_segment_open(struct store_segment **out, const char *path, const char *tenant,
                           const char *dataset, unsigned slots) ST_MUST_USE;
void store_segment_close(struct store_segment *s); /* no slot may be inside */

/* Whether `check_value` and `key_id` are those the segment was built with: ST_CORRUPT, code
 * KEY_MISMATCH, otherwise. */
enum st store_segment_check(const struct store_segment *s, const char *key_id,
                            const unsigned char check_value[STORE_KEY_BYTES]) ST_MUST_USE;
const char *store_segment_key_id(const struct store_segment *s);
uint64_t store_segment_records(const struct store_segment *s);
/* Of one grouping set, as the segment's meta has it. */
uint64_t store_segment_cells(const struct store_segment *s, const struct store_rollup *set);
size_t store_segment_key_bytes(const struct store_segment *s); /* of a record's key */

/* Not of a series (store/series.h). ST_NOT_FOUND leaves no report (it is an answer): *row is NULL
 * when this segment says nothing about the key, and not NULL when it says that the record is gone
 * (a tombstone, which ends a walk through a list of segments). *row is the slot's until its next
 * get. ST_UNAVAILABLE, code SEGMENT_UNREADABLE: a page of the file is gone; so is the segment from
 * now on. */
enum st store_segment_get(struct store_segment *s, unsigned slot,
                          const unsigned char key[STORE_KEY_BYTES], const void **row,
                          size_t *row_len) ST_MUST_USE;

bool store_segment_is_unreadable(const struct store_segment *s);

/* One record; a tombstone has a NULL row. Borrowed until the segment is closed. */
struct store_record {
    const unsigned char *key; /* store_segment_key_bytes */
    const void *row;
    size_t row_len;
};

/* All records in key order (a tombstone has a NULL row) / all cells of a grouping set from `from`
 * (inclusive, may be empty) in tuple order; the callback returns ST_OK to go on, ST_END to stop, or
 * an error, which is returned. It runs inside a guard (store/guard.h). */
typedef enum st (*store_record_fn)(const unsigned char *key, const void *row, size_t row_len,
                                   void *ctx);
typedef enum st (*store_cell_fn)(const void *tuple, size_t tuple_len, const void *cell,
                                 size_t cell_len, void *ctx);
enum st store_segment_each_record(struct store_segment *s, unsigned slot, store_record_fn fn,
                                  void *ctx) ST_MUST_USE;
enum st store_segment_each_cell(struct store_segment *s, unsigned slot,
                                const struct store_rollup *set, const void *from, size_t from_len,
                                store_cell_fn fn, void *ctx) ST_MUST_USE;

/* Brings the file's pages into the page cache and this process's page tables, resting in between
 * (base/pace.h; NULL: not). Of pages that are not in the page cache yet only as many as `room`
 * bytes hold: the others would push out what is being served; *cold is how many bytes were left
 * out. ST_UNAVAILABLE, code SEGMENT_UNREADABLE: a page cannot be read. */
enum st store_segment_warm(uint64_t *cold, struct store_segment *s, uint64_t room,
                           struct pace *pace) ST_MUST_USE;
/* The opposite, for who reads a segment once from end to end, and before it is closed: its pages
 * leave this process's memory and are mapped again when they are read; what is borrowed stays
 * valid. Best effort. */
void store_segment_cool(struct store_segment *s, struct pace *pace);

/* Deep verification: keys in order, rows decode, counts as in meta, rollup record totals equal the
 * records, unless cells are hidden. ST_CORRUPT says which. */
enum st store_segment_verify(struct store_segment *s, unsigned slot,
                             const struct store_definition *definition) ST_MUST_USE;

#endif
