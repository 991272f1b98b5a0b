/* Segment files: are their bytes right, and what is remembered of it when they are. Hashing fifty
 * million records takes seconds, so that a file whose hash held is remembered by size, inode, mtime
 * and ctime: whoever changes a byte through the file system changes at least the ctime. What
 * changes beneath the file system is for the scrub (store/scrub.h). Room-private. */
#ifndef EVERLINE_STORE_SEAL_H
#define EVERLINE_STORE_SEAL_H

#include "store/catalog.h"
#include "store/segment.h"

#include <jansson.h>

struct seal {
    int64_t bytes, inode, mtime_ns, ctime_ns;
    int64_t checked_us; /* when the bytes had been read */
    bool holds;         /* every later change of the file shows in the first four */
};

/* Around the reading of a file, on the descriptor that is read: what changed between the two does
 * not hold. A file that was changed within the tick of the clock that its times are taken from
 * could be changed again and look the same: _begin waits for the next tick, some milliseconds at
 * most (a second where times have no fractions). ST_IO: stat failed. */
enum st seal_begin(struct seal *s, int fd) ST_MUST_USE;
void seal_end(struct seal *s, int fd);
/* The file has got another name since, and with it another ctime. */
void seal_renamed(struct seal *s, int fd);

/* {"bytes","inode","mtime_ns","ctime_ns","checked_us"}; new reference, NULL: out of memory. */
json_t *seal_to_json(const struct seal *s);
/* Is the file at `path` the one of this document (or NULL)? */
bool seal_document_holds(const json_t *document, const char *path);

/* The catalog's. One that does not hold is not written, and one that is damaged is as good as none:
 * the file is hashed again when it is opened. */
void store_seal_write(struct catalog_txn *t, const char *sha256, const struct seal *s);
bool store_seal_holds(struct catalog_txn *t, const char *sha256, const char *path);

/* What the scrub found of a file, `problem` the code if it is bad, or NULL: there is no seal then,
 * only when it was looked at. */
void store_seal_note(struct catalog_txn *t, const char *sha256, const struct seal *s,
                     const char *problem);
/* Was it found bad, and has not changed since? */
bool store_seal_is_broken(struct catalog_txn *t, const char *sha256, const char *path);
/* Was the very file with this inode found bad, whatever has its name now? */
bool store_seal_condemns(struct catalog_txn *t, const char *sha256, const char *path,
                         uint64_t inode);
/* When it was last read to its end, wall clock; 0: never, or it has changed since it was found bad.
 */
int64_t store_seal_checked_us(struct catalog_txn *t, const char *sha256, const char *path);

/* Is the file a regular one of `ref`'s size? ST_CORRUPT, code SEGMENT_DAMAGED or SEGMENT_MISSING.
 */
enum st store_segment_file_check(const char *path, const struct store_segment_ref *ref) ST_MUST_USE;
/* And of its hash? *seal (may be NULL) is what to remember of it. `pace` may be NULL. */
enum st store_segment_file_verify(struct seal *seal, const char *path,
                                  const struct store_segment_ref *ref,
                                  struct pace *pace) ST_MUST_USE;
/* The same from the disk, past the page cache: what is in it is neither looked at nor pushed out.
 * *seal (not NULL) says of a bad file too which one it was; inode 0: it cannot be opened. */
enum st store_segment_file_scrub(struct seal *seal, const char *path,
                                 const struct store_segment_ref *ref,
                                 struct pace *pace) ST_MUST_USE;

#endif
