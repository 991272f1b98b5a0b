/* What the writer, the reader and the verifier of segments share. Room-private. */
#ifndef EVERLINE_STORE_SEGMENT_INTERNAL_H
#define EVERLINE_STORE_SEGMENT_INTERNAL_H

#include "base/json.h"
#include "store/guard.h"
#include "store/segment.h"

#include <lmdb.h>
#include <stdatomic.h>

#define SEGMENT_META "meta"
#define SEGMENT_RECORDS "records"
#define SEGMENT_META_KEY "segment" /* the one key of `meta`; its value is canonical JSON */
#define SEGMENT_META_MAX (1u << 20)
#define SEGMENT_DB_NAME_SIZE 1024
#define SEGMENT_DBS_MAX (STORE_SETS_MAX + 2)

/* Both meta pages of the file keep the map's size: a constant, for equal bytes. */
#define SEGMENT_MAP_BYTES ((size_t)256 << 30)

enum segment_kind { SEGMENT_ROW = 1, SEGMENT_TOMBSTONE = 2 }; /* the first byte of a record */

/* "rollup:<name>:<dimension,...>" of a grouping set; without the rollup's time "@" is behind it. */
void segment_rollup_name(char out[SEGMENT_DB_NAME_SIZE], const struct store_rollup *set);

/* The order of LMDB itself, by bytes and then by length, for the keys of records: these begin with
 * a hash, which is compared as two words. A lookup that compares seventeen keys by calls of memcmp,
 * as LMDB does, takes a tenth longer. */
int segment_compare_keys(const MDB_val *a, const MDB_val *b);

/* {"row","rollups"}: how rows and cells are to be read. NULL: out of memory. */
json_t *segment_schema(const struct store_definition *d);

/* `meta` of a segment of so many records and cells (by rollup). NULL: out of memory. */
json_t *segment_meta_new(const struct store_segment_info *info, uint64_t records,
                         const uint64_t *cells);

/* ---- an open segment ---- */

/* What one worker slot keeps: a cache line of its own. */
struct reader_slot {
    _Alignas(64) MDB_txn *txn;
    struct buf row; /* the last one that was read */
};

struct store_segment {
    MDB_env *env;
    MDB_dbi records;
    const char **rollup_names; /* of the databases; inside meta */
    MDB_dbi *rollups;
    size_t rollup_count;
    json_t *meta;
    const char *key_id, *check; /* inside meta */
    uint64_t record_count;
    size_t key_bytes;
    const char *inside; /* some address of the map */
    size_t bytes;
    char *map; /* where the file is mapped; NULL until somebody has looked (store/segment_warm.c) */
    size_t map_bytes;
    const char *pages; /* the first one; NULL: not known */
    size_t page_bytes;
    uint64_t root; /* of the records: the number of its page */
    unsigned depth;
    struct reader_slot *slots;
    unsigned slot_count;
    _Atomic bool unreadable; /* a read met a page that is gone: nothing is read any more */
};

/* Where the pages of the records are, for segment_ask_ahead; s->inside is of another page than the
 * list of tables. Returns what LMDB does. */
int segment_find_pages(struct store_segment *s, MDB_txn *txn);
/* The leaf page that a key is in, if it is there. Runs inside a guard. */
const char *segment_leaf_of(const struct store_segment *s,
                            const unsigned char key[STORE_KEY_BYTES]);
/* Asks the memory for that page, and does not wait. Runs inside a guard. */
void segment_ask_ahead(const struct store_segment *s, const unsigned char key[STORE_KEY_BYTES]);

enum st segment_damaged(const char *what);
enum st segment_unreadable(struct store_segment *s); /* marks it; returns guard_unreadable() */

/* What the terms of each rollup add up to over the records, added one after the other, against all
 * cells of a grouping set: `total`, of which states are taken, of definition->rollups[rollup].
 * ST_CORRUPT. */
struct segment_totals;
enum st segment_totals_new(struct segment_totals **out,
                           const struct store_definition *d) ST_MUST_USE;
enum st segment_totals_add(struct segment_totals *t, const struct store_definition *d,
                           const struct store_value *row) ST_MUST_USE;
enum st segment_totals_check(struct segment_totals *t, size_t rollup,
                             struct store_cell *total) ST_MUST_USE;
void segment_totals_free(struct segment_totals *t); /* accepts NULL */

/* Records one at a time in key order, for who merges several segments. The cursor is closed before
 * the segment. After the last record: ST_END. A tombstone has a NULL row. All but the opening runs
 * inside a guard. */
enum st segment_cursor_open(MDB_cursor **out, struct store_segment *s, unsigned slot) ST_MUST_USE;
/* The next, or with `back` the one before; at first the first or the last. */
enum st segment_cursor_step(struct store_record *r, MDB_cursor *cursor,
                            const struct store_segment *s, bool back) ST_MUST_USE;
/* The first that is not below `key`, or with `back` the last that is not above it. */
enum st segment_cursor_seek(struct store_record *r, MDB_cursor *cursor,
                            const struct store_segment *s, const unsigned char *key,
                            bool back) ST_MUST_USE;

#endif
