/* What a backup consists of, for who writes it and who restores it. Room-private.
 *
 *   BACKUPS/segments/xx/<sha256>.mdb   of all backups; a version's files are copied once
 *   BACKUPS/verified.json              what stat said of them when their hashes held
 *   BACKUPS/lock                       held by the backup that is being made
 *   BACKUPS/<time>/catalog.mdb         as one transaction saw it
 *   BACKUPS/<time>/heads/...           as in a data directory, of the same transaction
 *   BACKUPS/<time>/backup.json         the manifest; without it there is no backup
 *
 * The manifest (store/document.h):
 *   {"format","data_format","everline","created_at","datasets","versions","bytes",
 *    "files":[{"path","sha256","bytes"}],      in the backup's own directory
 *    "segments":[{"sha256","bytes"}],
 *    "keys":[{"tenant","id"}]}                 HMAC keys that the versions need, which are not in
 * it
 */
#ifndef EVERLINE_STORE_BACKUP_INTERNAL_H
#define EVERLINE_STORE_BACKUP_INTERNAL_H

#include "base/fs.h"
#include "base/json.h"
#include "store/seal.h"

#define BACKUP_FORMAT 1
#define BACKUP_MANIFEST "backup.json"
#define BACKUP_TIME_SIZE 24 /* "20260131T080000.123456Z" and the NUL */

bool backup_is_time(const char *name);

/* Copies `from` to `to`, over what is there, when it is what `ref` says: ST_CORRUPT, code
 * FILE_DAMAGED or FILE_MISSING, names the file otherwise. It is the copy that is hashed, and *seal
 * what to remember of it; it is on disk then. */
enum st backup_copy(struct seal *seal, const char *to, const char *from,
                    const struct store_segment_ref *ref, mode_t mode) ST_MUST_USE;

/* Size and hash of a file. */
enum st backup_file_ref(struct store_segment_ref *out, const char *path) ST_MUST_USE;

/* {"sha256","bytes"}; the hash is one, whatever the document says. */
enum st backup_ref_from_json(struct store_segment_ref *out, const json_t *item) ST_MUST_USE;

/* `<directory>/xx/<sha256>.mdb`. */
enum st backup_segment_path(char out[FS_PATH_MAX], const char *directory,
                            const char *sha256) ST_MUST_USE;
enum st backup_make_shard(const char *directory, const char *sha256) ST_MUST_USE;

#endif
