/* The head: one small document per dataset, the unit of change. It holds the sequence, the current
 * version, the state of every version with its manifest, and the moves of the pointer; it is
 * self-contained, so that a head file alone can restore a dataset. Every change of state is one
 * compare-and-swap: head_load, a move of the table, head_store, in one catalog transaction.
 * Room-private.
 */
#ifndef EVERLINE_STORE_HEAD_H
#define EVERLINE_STORE_HEAD_H

#include "base/json.h"
#include "store/segment.h"
#include "store/store.h"

enum version_state {
    VERSION_IN_PROGRESS,
    VERSION_SUCCEEDED,
    VERSION_HELD,
    VERSION_FAILED,
    VERSION_QUARANTINED,
    VERSION_RETIRED,
};

#define VERSION_STATES 6
extern const char *const version_state_names[]; /* NULL at the end */
const char *version_state_name(enum version_state state);

/* The allowed moves of a version, one row each in head.c. */
enum head_move {
    MOVE_BEGIN,     /* (none)      -> IN_PROGRESS */
    MOVE_SUCCEED,   /* IN_PROGRESS -> SUCCEEDED, pointer moves or not */
    MOVE_HOLD,      /* IN_PROGRESS -> HELD */
    MOVE_FAIL,      /* IN_PROGRESS -> FAILED */
    MOVE_PROMOTE,   /* HELD | QUARANTINED | SUCCEEDED -> SUCCEEDED, pointer moves */
    MOVE_ROLL_BACK, /* SUCCEEDED (current) -> QUARANTINED, pointer moves */
    MOVE_RETIRE,    /* SUCCEEDED | HELD | QUARANTINED -> RETIRED */
};

struct head_version {
    uint64_t version;
    enum version_state state;
    uint64_t order;                     /* of its job's enqueueing */
    int64_t at_us;                      /* when it began */
    struct store_segment_ref *segments; /* none once it is RETIRED */
    size_t segment_count;
};

struct head_turn { /* the pointer came to `version` (0: none) at `at_us` */
    uint64_t version;
    int64_t at_us;
};

/* What is over (RETIRED and FAILED versions, old turns) is remembered up to this many; the
 * catalog's rows and events remember all. */
#define HEAD_HISTORY_MAX 200

struct head {
    char tenant[STORE_NAME_SIZE];
    char dataset[STORE_NAME_SIZE];
    uint64_t sequence;             /* of the last event; 1 is the first */
    uint64_t people_sequence;      /* of the last rollback or promotion */
    uint64_t current;              /* 0: none */
    uint64_t last_version;         /* the highest number ever given */
    int64_t event_us;              /* time of the last event */
    bool deleted;                  /* kept, so that no number is given twice; serves nothing */
    struct head_version *versions; /* ascending */
    size_t version_count;
    struct head_turn *turns; /* oldest first */
    size_t turn_count;
};

void head_release(struct head *h); /* accepts a zeroed struct */
enum st head_from_json(struct head *out, const json_t *document) ST_MUST_USE;
enum st head_to_json(json_t **out, const struct head *h) ST_MUST_USE;

/* A manifest: an array of {"sha256","bytes"}. `v->segments` is the caller's to free. */
enum st head_segments_from_json(struct head_version *v, const json_t *list) ST_MUST_USE;

struct head_version *head_find(const struct head *h, uint64_t version); /* NULL: no such */

/* Has the version files? It is SUCCEEDED, HELD or QUARANTINED. */
bool head_keeps(const struct head_version *v);

/* Has it none any more? It is RETIRED or FAILED. */
bool head_is_over(const struct head_version *v);

/* It was a version and is not kept any more: RETIRED, or over for so long that the head has
 * forgotten it. */
bool head_is_gone(const struct head *h, uint64_t version);

/* Applies a move to `version` (added by MOVE_BEGIN): ST_CONFLICT, code NOT_ALLOWED, when the table
 * has no such row. Raises the sequence and sets event_us (never backwards). `flip`: the pointer
 * goes to `pointer_to`. */
enum st head_apply(struct head *h, enum head_move move, uint64_t version, uint64_t pointer_to,
                   int64_t now_us) ST_MUST_USE;

/* An event that leaves the versions as they are: raises the sequence, sets event_us. */
void head_touch(struct head *h, int64_t now_us);

/* Every kept version is RETIRED and none is current, in one event. ST_CONFLICT, code NOT_ALLOWED:
 * one is IN_PROGRESS. */
enum st head_delete(struct head *h, int64_t now_us) ST_MUST_USE;

/* What a rollback may go to by the states, the nearest first: back from the moment the current
 * version first became current, skipping what is not SUCCEEDED. One a call; *at is 0 before the
 * first. 0: no more. Files are store/target.h's. */
uint64_t head_rollback_step(const struct head *h, size_t *at);

/* Which versions retention takes, oldest first, at most `max`: kept ones beyond the newest
 * `keep_versions`, and those that were neither begun nor served after `since_us`. Never the current
 * version, nor `target`, where a rollback would go. */
size_t head_expired(uint64_t *out, size_t max, const struct head *h, uint64_t target,
                    unsigned keep_versions, int64_t since_us);

/* What was current at a moment; 0: nothing yet, or (turn_count is HEAD_HISTORY_MAX) longer ago than
 * the head remembers. */
uint64_t head_as_of(const struct head *h, int64_t at_us);

#endif
