/* DATA/heads: what a catalog can be made of again when it is lost (store/rebuild.h).
 *
 *   heads/<tenant>.json             {"format":1,"tenant":{its row}}
 *   heads/<tenant>/<dataset>.json   {"format":1,"head":{},"definition":{its row},
 *                                    "definitions":{"<hash>":{}},"versions":[rows]}
 *
 * The file of a dataset that was deleted stays, with null for its definition: so that a rebuild
 * brings nothing back, and gives no number twice.
 *
 * `versions` are the rows of the versions that have files or may get some; in them "definition" is
 * the hash of the one in "definitions", which most versions share. Rows of FAILED and RETIRED
 * versions are in the catalog only: they are kept for ever, and a head file is written at every
 * change. Room-private. */
#ifndef EVERLINE_STORE_HEAD_FILE_H
#define EVERLINE_STORE_HEAD_FILE_H

#include "store/catalog.h"
#include "store/head.h"

/* What the transaction sees, into `heads_dir`; `document` is the head as JSON. A failure is the
 * transaction's. */
void head_file_write(struct catalog_txn *t, const char *heads_dir, const struct head *h,
                     json_t *document);
/* The tenant's own file, and its directory when that is empty. Failure is the transaction's. */
void head_file_remove_tenant(struct catalog_txn *t, const char *heads_dir, const char *tenant);
void head_file_write_tenant(struct catalog_txn *t, const char *heads_dir, const char *tenant,
                            const json_t *row);

struct head_file {
    struct head head;
    json_t *definition; /* row of CATALOG_DEFINITIONS; NULL: it was deleted */
    json_t *versions;   /* rows of CATALOG_VERSIONS, definitions put back */
};

/* ST_CORRUPT: damaged, of another format (code HEAD_FORMAT), or not of this tenant and dataset. */
enum st head_file_read(struct head_file *out, const char *heads_dir, const char *tenant,
                       const char *dataset) ST_MUST_USE;
/* Only the head of it, as far as it can be read. */
enum st head_file_read_head(struct head *out, const char *heads_dir, const char *tenant,
                            const char *dataset) ST_MUST_USE;
void head_file_release(struct head_file *f); /* accepts a zeroed struct */

/* *row is a new reference. */
enum st head_file_read_tenant(json_t **row, const char *heads_dir, const char *tenant) ST_MUST_USE;

#endif
