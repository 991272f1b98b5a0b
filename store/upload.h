/* Uploads: files that came over HTTP and wait for their job, DATA/spool/TENANT/UPLOAD/NAME. They
 * are gone when their job has ended, or when none has asked for them for STORE_UPLOAD_HOURS.
 */
#ifndef EVERLINE_STORE_UPLOAD_H
#define EVERLINE_STORE_UPLOAD_H

#include "store/store.h"

#define STORE_UPLOAD_ID_SIZE 32
#define STORE_UPLOAD_NAME_SIZE 101
#define STORE_UPLOAD_HOURS 24
#define STORE_UPLOADS_MAX 10000 /* of a tenant, that are kept */

/* [A-Za-z0-9][A-Za-z0-9._-]{0,99}: it becomes a file's name. ST_INVALID, code INVALID_FILE_NAME. */
enum st store_upload_name_check(const char *name) ST_MUST_USE;

/* A file that is being received; any thread, one at a time. */
struct store_incoming {
    char directory[FS_PATH_MAX]; /* 0700, of this file alone; "" before it is begun */
    char path[FS_PATH_MAX];
    int fd;
    uint64_t bytes;
    unsigned char sha256[DIGEST_BYTES]; /* once it is finished */
    bool taken;                         /* into the spool; see store_upload_add */
    struct digest_stream *digest;
};
/* `data_dir` is the store's; `owner` names this process in DATA/run: what the dead left is swept.
 */
enum st store_incoming_open(struct store_incoming *in, const char *data_dir, const char *owner,
                            const char *name) ST_MUST_USE;
enum st store_incoming_add(struct store_incoming *in, const void *bytes, size_t len) ST_MUST_USE;
/* Synced and summed. */
enum st store_incoming_finish(struct store_incoming *in) ST_MUST_USE;
void store_incoming_release(struct store_incoming *in); /* removes what nobody kept; or zeroed */
/* It is the spool's: release leaves it there. */
void store_incoming_keep(struct store_incoming *in);

/* Takes a finished file into the spool: *out is {"upload","name","bytes","sha256","created_at",
 * "expires_at"}. It is the caller's still, to be kept once the commit has not failed. ST_FULL, code
 * QUOTA: over the tenant's max_upload_bytes, or one more than STORE_UPLOADS_MAX. */
enum st store_upload_add(json_t **out, struct store *s, const char *tenant,
                         struct store_incoming *in) ST_MUST_USE;

/* The file of a tenant's upload. ST_NOT_FOUND, code UNKNOWN_UPLOAD. */
enum st store_upload_path(char out[FS_PATH_MAX], struct store *s, const char *tenant,
                          const char *upload) ST_MUST_USE;

/* Removes the files of uploads that are given up, and then their rows; in a group of commits only
 * says that there are some (store->uploads_gone), since the group may fail yet. */
enum st store_uploads_purge(struct store *s) ST_MUST_USE;
/* Gives up those that nobody asked for in time, and what the dead were receiving. */
enum st store_uploads_expire(struct store *s) ST_MUST_USE;

#endif
