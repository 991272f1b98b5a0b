/* What the files about the catalog's own file share. Room-private. */
#ifndef EVERLINE_STORE_CATALOG_INTERNAL_H
#define EVERLINE_STORE_CATALOG_INTERNAL_H

#include "base/buf.h"
#include "store/catalog.h"

/* The map is address space, not disk: the file is as large as what is in it. It is doubled before
 * a quarter of it is left, so that the disk is full long before the map is. */
#define CATALOG_MAP_BYTES ((size_t)4 << 30) /* at first: it grows, and the file says how far */
#define CATALOG_MAP_BYTES_MAX ((size_t)1 << 40)

/* LMDB's table of readers: 64 bytes each and as much for 2 locks; so many are 8 pages. */
#define CATALOG_READERS 510
#define CATALOG_LOCK_BYTES 32768

/* A value is an 8-byte checksum, the first bytes of SHA-256 over key, NUL and document, and the
 * document: JSON with its names in the order they were given, which for a definition is the order
 * of its fields. The key is in it so that a value under the wrong key is noticed. */
#define CATALOG_CHECKSUM_BYTES 8
#define CATALOG_VALUE_MAX (16u << 20)

/* A call of LMDB, in a guard: fn gives LMDB's code. MDB_CORRUPTED: it met a page that is gone. fn
 * owns nothing that only it would release. */
int catalog_guarded(struct catalog *c, int (*fn)(void *ctx), void *ctx);

/* The failure that LMDB's code is. ST_CORRUPT, code CATALOG_DAMAGED, loses the catalog. */
enum st catalog_lmdb_fail(struct catalog *c, int rc, const char *what);

extern const char *const catalog_table_names[CATALOG_TABLES];

#define CATALOG_FORMAT 1

/* ST_CONFLICT, code CATALOG_FORMAT: the catalog is of another format, and both numbers are said.
 * Before anything of it is changed, its tables too. */
enum st catalog_format_check(struct catalog *c) ST_MUST_USE;
/* The value, made before the transaction that puts it; LMDB's code. */
void catalog_format_make(struct buf *value);
int catalog_format_put(MDB_txn *txn, MDB_dbi counters, const struct buf *value);

/* Opens the environment of c->path, checked, with its tables; and the opposite, which keeps the
 * writers' lock: after a commit whose outcome is unknown nobody else may commit before it is known.
 * No transaction may be open. */
enum st catalog_open_whole(struct catalog *c) ST_MUST_USE;
void catalog_close_env(struct catalog *c);

/* The head of this key is being written, in the group that is open if there is one. */
void catalog_group_note_head(struct catalog_txn *t, const char *key);

/* `value` was initialised by the caller. */
void catalog_value_make(struct buf *value, const char *key, const json_t *document);

/* Is `value`, its checksum included, what was stored under the key? ST_CORRUPT when not. */
enum st catalog_value_check(const void *key, size_t key_len, const void *value,
                            size_t len) ST_MUST_USE;

/* ST_CORRUPT, code CATALOG_DAMAGED, with the way out as its hint. `path` is the catalog's file. */
enum st catalog_damaged(const char *path, const char *fmt, ...) ST_PRINTF(2, 3);

#endif
