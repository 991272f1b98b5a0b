/* Uploads and the jobs that use them, inside the queue's transactions. Room-private. */
#ifndef EVERLINE_STORE_UPLOAD_INTERNAL_H
#define EVERLINE_STORE_UPLOAD_INTERNAL_H

#include "store/internal.h"
#include "store/upload.h"

#define UPLOAD_INCOMING "incoming" /* in the spool */
#define UPLOAD_GONE ":gone/"       /* before the key of one given up; no tenant has a colon */
#define UPLOAD_SUM ":sum/"         /* before a tenant's name */

/* The uploads of a spec become the job's. The transaction fails with UNKNOWN_UPLOAD or UPLOAD_USED,
 * place /sources/N/upload. */
void upload_claim(struct catalog_txn *t, const char *tenant, const json_t *spec, const char *job);

/* Their job has ended: they are given up. */
void upload_give_up(struct catalog_txn *t, const char *tenant, const json_t *spec);

/* Are all uploads of the spec still there? */
bool upload_all_there(struct catalog_txn *t, const char *tenant, const json_t *spec);

/* store_uploads_purge after a commit which gave some up: that happened, whatever comes of this. */
void upload_purge(struct store *s);

/* ---- between the files of uploads ---- */

void upload_key(char out[CATALOG_KEY_SIZE], const char *tenant, const char *upload);
enum st upload_dir(char out[FS_PATH_MAX], const struct store *s, const char *tenant,
                   const char *upload) ST_MUST_USE;

/* Deletes the row. */
void upload_forget(struct catalog_txn *t, const char *key);

/* The row says from now on that it is given up, and who removes its file finds it. */
void upload_set_gone(struct catalog_txn *t, const char *key, json_t *row);

#endif
