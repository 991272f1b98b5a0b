/* What the files of store/ share about an open data directory. Room-private. */
#ifndef EVERLINE_STORE_INTERNAL_H
#define EVERLINE_STORE_INTERNAL_H

#include "store/catalog.h"
#include "store/head.h"
#include "store/run.h"
#include "store/store.h"

struct store {
    struct catalog catalog;
    struct run_entry run;
    struct process_offer *offers; /* store/offer.h */
    uint64_t offers_made;
    uint64_t seen;     /* id of the transaction that last read everything (views) */
    bool uploads_gone; /* a group has given some up: their files go once it is committed */
    char data_dir[FS_PATH_MAX];
    char keys_dir[FS_PATH_MAX];
    char run_dir[FS_PATH_MAX];
    char segments_dir[FS_PATH_MAX];
    char build_dir[FS_PATH_MAX];
    char heads_dir[FS_PATH_MAX];
    char spool_dir[FS_PATH_MAX];
};

/* Keys of the catalog; all parts were checked names, so that they always fit. */
void store_dataset_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *dataset);
void store_numbered_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *dataset,
                        uint64_t number);
void store_order_key(char out[CATALOG_KEY_SIZE], uint64_t order);

/* json_object_set_new whose failure (out of memory, or a NULL value) fails the transaction. */
void store_set(struct catalog_txn *t, json_t *object, const char *name, json_t *value);

enum st store_tenant_from_json(struct store_tenant *t, const json_t *row) ST_MUST_USE;

/* Writes a random key of 32 bytes to a new file; ST_CONFLICT when there is one. */
enum st store_key_file_create(const char *path) ST_MUST_USE;

/* A time as the API shows it. */
json_t *store_time_json(int64_t wall_us);

/* The head of a dataset inside a transaction. Absent or deleted: ST_NOT_FOUND, UNKNOWN_DATASET. */
void store_head_load(struct head *out, struct catalog_txn *t, const char *tenant,
                     const char *dataset);
/* Also a deleted one. Absent: a new one, of sequence 0. */
void store_head_load_any(struct head *out, struct catalog_txn *t, const char *tenant,
                         const char *dataset);

/* What one change of the head says about itself. */
struct store_event {
    const char *event; /* "flipped" ... */
    uint64_t version;  /* it is about */
    uint64_t from, to; /* pointer before and after */
    const struct store_actor *actor;
};

/* Writes the head and its event, and the head file before them: it may be ahead of the catalog by
 * the change that was being made, never behind. Fails with CATALOG_OLD, and writes nothing, where
 * the file is further ahead: the catalog is an older copy. */
void store_head_save(struct catalog_txn *t, const struct store *s, const struct head *h,
                     const struct store_event *event);

/* The same for a catalog that is made of the head files, or of a backup's. */
void store_head_revive(struct catalog_txn *t, const struct store *s, const struct head *h,
                       const struct store_event *event);

/* Is each head file as far as its head is, or ahead by one transaction that was not acknowledged?
 * ST_CORRUPT, code CATALOG_OLD: it is further, so that the catalog is an older copy. A head that is
 * damaged is passed over. Each is given to file_fn (may be NULL). Failure is the transaction's. */
void store_head_files(struct catalog_txn *t, const struct store *s,
                      void (*file_fn)(struct catalog_txn *t, const struct head *file, void *ctx),
                      void *ctx);

/* The two halves, for several moves in one transaction: each has its event, the head is written
 * once, last. */
void store_event_save(struct catalog_txn *t, const struct head *h, const struct store_event *event);
void store_head_write(struct catalog_txn *t, const struct store *s, const struct head *h);

/* The row of a tenant, or NULL: there is none. False: it is damaged, which does not fail the
 * transaction, for that is no other tenant's affair. */
bool store_tenant_row(json_t **row, struct catalog_txn *t, const char *name);

/* Version rows inside a transaction; the state lives in the head only. */
json_t *store_row_load(struct catalog_txn *t, const char *tenant, const char *dataset,
                       uint64_t version);
void store_row_save(struct catalog_txn *t, const char *tenant, const char *dataset,
                    uint64_t version, json_t *row);

/* Takes "places" out of the row's rejects, and keeps them. */
void store_rejects_save(struct catalog_txn *t, const char *tenant, const char *dataset,
                        uint64_t version, json_t *row);

/* The head as a move's answer shows it. */
enum st store_head_answer(json_t **out, const struct head *h, uint64_t previous) ST_MUST_USE;

/* What every move by people is held to: a reason, and the head as they saw it. */
enum st store_move_check_reason(const struct store_actor *actor) ST_MUST_USE;
enum st store_move_check_head(const struct head *h, const struct store_move *move) ST_MUST_USE;

/* What to do about a version whose files are bad: the command, when there is one. `target` is where
 * a rollback would go (store/target.h). */
#define STORE_MEND_HINT_SIZE (FS_PATH_MAX + 512)
void store_mend_hint(char out[STORE_MEND_HINT_SIZE], const struct store *s, const struct head *h,
                     uint64_t version, uint64_t target);

/* Opens a verified segment file and holds its check value against the tenant's key. */
enum st store_segment_open_checked(struct store_segment **out, const char *path,
                                   const char *keys_dir, const char *tenant,
                                   const struct store_definition *definition,
                                   unsigned slots) ST_MUST_USE;

#endif
