/* What the files of the diff share. Room-private. */
#ifndef EVERLINE_STORE_DIFF_INTERNAL_H
#define EVERLINE_STORE_DIFF_INTERNAL_H

#include "store/diff.h"
#include "store/held.h"

enum { DIFF_FROM, DIFF_TO, DIFF_SIDES };

struct store_diff {
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE], keys_dir[FS_PATH_MAX];
    struct held_version sides[DIFF_SIDES];
    store_diff_fn tell_fn;
    void *ctx;
    enum st stopped; /* what tell_fn returned */
    struct store_diff_result result;
};

enum st diff_tell(struct store_diff *d, const char *phase, uint64_t done,
                  uint64_t total) ST_MUST_USE;

/* Whether equal keys have equal hashes: ST_CONFLICT, KEYS_NOT_COMPARABLE. */
enum st diff_check_keys(const struct store_diff *d) ST_MUST_USE;

/* Fill the result. */
enum st diff_records(struct store_diff *d) ST_MUST_USE;
enum st diff_fields(struct store_diff *d) ST_MUST_USE;
enum st diff_rollups(struct store_diff *d) ST_MUST_USE;

#endif
