/* A source's file as it is meant to be read: what is compressed by gzip (RFC 1952) or zstd (RFC
 * 8878) is inflated on the way. Which it is, is told by the file's first bytes and not by its name.
 * Room-private. */
#ifndef EVERLINE_INGEST_READER_H
#define EVERLINE_INGEST_READER_H

#include "base/digest.h"
#include "ingest/task.h"

/* Until then a file may inflate to any multiple of its size. */
#define READER_INFLATE_FREE (64u << 20)

struct reader;

/* Opens the file, which must still be the one of its stamp. `digest` (may be NULL) is fed the bytes
 * that are in the file. ST_CONFLICT, code SOURCE_CHANGED. */
enum st reader_open(struct reader **out, const struct task_file *f,
                    struct digest_stream *digest) ST_MUST_USE;
/* Up to `len` bytes; *n is 0 at the end, and only there. ST_INVALID, code COMPRESSION: damaged or
 * cut; ST_TOO_LARGE, code INFLATE_RATIO: more than the file's inflate_ratio times the bytes that
 * were read. */
enum st reader_read(size_t *n, struct reader *r, void *bytes, size_t len) ST_MUST_USE;
/* Is it still the file that was opened? */
enum st reader_check(const struct reader *r) ST_MUST_USE;
/* How many bytes of the file have been read. */
uint64_t reader_bytes(const struct reader *r);
void reader_close(struct reader *r); /* accepts NULL */

#endif
