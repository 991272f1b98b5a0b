/* Where a build puts what does not fit in its memory: one temporary file of encrypted blocks, and
 * runs of bytes in it that are written once and read once or more, from the front. The file is in
 * the build's own directory, under a name, so that who limits the directory's size sees it; the key
 * is in memory only. Room-private. */
#ifndef EVERLINE_INGEST_SPILL_H
#define EVERLINE_INGEST_SPILL_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

#define SPILL_BLOCK_BYTES (64u << 10)

/* May be used by several threads at once; a writer or reader by one. */
struct spill;

/* Nothing is created before something is written. `directory` is borrowed. */
enum st spill_open(struct spill **out, const char *directory) ST_MUST_USE;
void spill_close(struct spill *s); /* removes the file */

/* The most that was on disk at once, in bytes. */
uint64_t spill_peak_bytes(const struct spill *s);

/* A run; zeroed: empty. */
struct spill_run {
    struct spill_block *blocks;
    size_t count, capacity;
};
/* Gives its blocks back to the file, and forgets it. */
void spill_run_release(struct spill_run *run, struct spill *s);

struct spill_writer {
    struct spill *spill;
    struct spill_run *run;
    unsigned char *block;
    size_t used;
};
/* Appends to `run`, which must outlive the writer. ST_FULL, ST_IO: the disk says no. */
enum st spill_writer_open(struct spill_writer *w, struct spill *s,
                          struct spill_run *run) ST_MUST_USE;
enum st spill_write(struct spill_writer *w, const void *bytes, size_t len) ST_MUST_USE;
enum st spill_writer_finish(struct spill_writer *w) ST_MUST_USE;
void spill_writer_close(struct spill_writer *w); /* accepts a zeroed struct */

struct spill_reader {
    struct spill *spill;
    const struct spill_run *run;
    unsigned char *block;
    size_t next; /* block of the run */
    size_t at, len;
    struct buf piece; /* what lies in two blocks */
};
enum st spill_reader_open(struct spill_reader *r, struct spill *s,
                          const struct spill_run *run) ST_MUST_USE;
/* `len` bytes in one piece, borrowed until the next call. ST_END at the end of the run. ST_CORRUPT,
 * code SPILL_DAMAGED: they are not what was written. */
enum st spill_read(const void **bytes, struct spill_reader *r, size_t len) ST_MUST_USE;
void spill_reader_close(struct spill_reader *r); /* accepts a zeroed struct */

#endif
