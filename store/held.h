/* A version that is read apart from what is being served: its files are opened when it is found, on
 * the catalog thread, and read on whatever thread has the time. In between retention may move them
 * away; so everything later (the seal, the hash, the map) is of the open files, and not of whatever
 * has their names by then. Room-private. */
#ifndef EVERLINE_STORE_HELD_H
#define EVERLINE_STORE_HELD_H

#include "store/internal.h"
#include "store/segment.h"

struct held_file {
    struct store_segment_ref ref;
    int fd;
    bool sealed; /* its bytes were verified before */
};

struct held_version {
    const char *tenant, *dataset; /* borrowed */
    const char *reader;           /* who holds it, for the log: a literal */
    uint64_t version;
    struct store_definition *definition;
    struct held_file *files; /* newest first, as the segments */
    struct store_segment **segments;
    size_t count;
};

/* Finds `version` of the head and opens its files. ST_NOT_FOUND, UNKNOWN_VERSION (also IN_PROGRESS
 * and FAILED ones). ST_GONE, VERSION_RETIRED. ST_UNAVAILABLE, VERSION_UNAVAILABLE: a file is
 * missing. After a failure only _release is left. */
enum st held_find(struct held_version *h, struct catalog_txn *t, const struct store *s,
                  const struct head *head) ST_MUST_USE;
/* A segment file that nobody has published: this process's own child has built it. */
enum st held_find_file(struct held_version *h, const json_t *definition,
                       const char *path) ST_MUST_USE;

/* Verifies what was not verified before, and opens the segments, with one slot each. tell_fn is
 * called now and then while bytes are hashed; an error from it ends the opening, which returns it.
 * ST_UNAVAILABLE, VERSION_UNAVAILABLE: damaged, or its key is not there; the log says why. */
enum st held_open(struct held_version *h, const char *keys_dir, enum st (*tell_fn)(void *ctx),
                  void *ctx) ST_MUST_USE;
void held_release(struct held_version *h); /* accepts a zeroed one */

#endif
