/* The parts of publishing: what a build remembers, and what its files do for each other:
 *
 *   publish.c       a build's life, and the order of it all
 *   publish_seal.c  from the build directory into segments/
 *   publish_swap.c  the judgement, and the swap of the head
 *
 * Room-private. */
#ifndef EVERLINE_STORE_PUBLISH_INTERNAL_H
#define EVERLINE_STORE_PUBLISH_INTERNAL_H

#include "store/gate.h"
#include "store/internal.h"
#include "store/publish.h"
#include "store/queue_internal.h"
#include "store/seal.h"

#define BUILD_SEGMENTS_MAX 64

struct store_build {
    struct store *store;
    struct store_lease lease;
    char actor[STORE_JOB_ID_SIZE + 8]; /* "job:ID" */
    char directory[FS_PATH_MAX];
    int directory_fd; /* its flock says that the owner lives */
    uint64_t version;
    bool require_promotion;
    bool settled; /* published or failed */
    struct store_segment_ref segments[BUILD_SEGMENTS_MAX];
    struct seal seals[BUILD_SEGMENTS_MAX];
    size_t segment_count;
    json_t *report; /* of the batch, for the row; or NULL */
    json_t *gates;  /* as they were judged last */
    json_t *job_result;
    char held_by[GATE_WHY_SIZE];
};

/* What publishing `b` on top of `h` would do. Pure. `gates_pass`: against what is current in it. */
enum store_outcome build_judge(const struct store_build *b, const struct head *h, bool gates_pass);

/* Would it flip, as the head is now? */
enum st build_would_flip(bool *flips, struct store_build *b) ST_MUST_USE;
enum st build_swap_head(enum store_outcome *outcome, struct store_build *b) ST_MUST_USE;

/* Parts of a transaction that ends a build. `error` NULL: none. */
struct store_actor build_actor(const struct store_build *b, const char *reason);
void build_finish_row(struct catalog_txn *t, const struct store_build *b, const struct head *h,
                      const char *outcome, const struct st_report *error);
void build_give_back_pins(struct catalog_txn *t, const struct store_build *b);
/* Its files were hashed when they were sealed: nobody needs to do it again. */
void build_note_verified(struct catalog_txn *t, const struct store_build *b);

#endif
