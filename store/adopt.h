/* Segments of a serving process: one open environment per file, opened, verified, warmed and closed
 * on a helper thread, counted by the views that use them. A file that was replaced by another one
 * of its name has an entry of its own beside the first until that one is in no view any more. All
 * functions are the catalog thread's. Room-private. */
#ifndef EVERLINE_STORE_ADOPT_H
#define EVERLINE_STORE_ADOPT_H

#include "base/metrics.h"
#include "store/internal.h"

struct adopter;
struct seal;

enum adopted_state {
    ADOPTED_OPENING, /* the helper thread works on it */
    ADOPTED_OPEN,
    ADOPTED_BAD,
    ADOPTED_LEFT, /* the file that replaced it is open: some view may still have it */
};

/* What is known of a file that is to be opened. */
enum adopted_trust {
    ADOPT_UNKNOWN, /* it is hashed */
    ADOPT_SEALED,  /* its bytes were verified, and stat says that it is the same file */
    ADOPT_BROKEN,  /* the scrub found it bad: it is hashed as the scrub does it */
};

/* One segment file of this process. */
struct adopted {
    struct store_segment_ref ref;
    enum adopted_state state;
    bool sealed;                   /* its bytes were known to be right when it was last opened */
    uint64_t inode;                /* of the file that was last opened */
    struct store_segment *segment; /* OPEN */
    struct st_report report;       /* BAD: why */
    unsigned uses;                 /* views that refer to it */
    uint64_t wanted;               /* the last round of refreshing that wanted it */
    uint64_t retry_ms;             /* BAD, but not damaged: when it is tried again; else 0 */
    struct adopted *next;
};

struct adopter_metrics {
    struct metric *open_seconds, *cold_bytes; /* or NULL */
};

/* `metrics` is borrowed. */
enum st adopter_start(struct adopter **out, const char *keys_dir, unsigned slots,
                      const struct adopter_metrics *metrics) ST_MUST_USE;
void adopter_stop(struct adopter *a); /* no entry may be in use */

/* From now on requests are answered: the helper thread rests as long as it works (base/pace.h). */
void adopter_step_back(struct adopter *a);

/* What is to be served of this name, marked as wanted: an entry that has its segment, else the
 * newest; NULL: there is none. *newest, also marked, is of the file that was last asked for. */
struct adopted *adopter_touch(struct adopted **newest, struct adopter *a, const char *sha256,
                              uint64_t round);

/* What is needed now is opened before what a rollback would need. */
enum adopter_urgency { ADOPT_NOW, ADOPT_STANDBY, ADOPT_URGENCIES };

/* The newest entry of this name. The file is asked for now if there is none, if it is BAD and in no
 * view any more, or if it is OPEN and of another inode. NULL: out of memory. */
struct adopted *adopter_want(struct adopter *a, const char *path,
                             const struct store_segment_ref *ref, enum adopted_trust trust,
                             uint64_t inode, const char *tenant,
                             const struct store_definition *definition,
                             enum adopter_urgency urgency, uint64_t round);

/* An entry that is still waiting to be opened as a standby is needed now. */
void adopter_hurry(struct adopter *a, struct adopted *entry);

/* BAD because of its bytes, which will not mend by themselves; a missing key or memory may. */
bool adopted_is_damaged(const struct adopted *entry);

/* An open entry whose file the scrub found bad is BAD. */
void adopter_condemn(struct adopted *entry);

/* Marks open entries in whose file a read met a page that is gone as BAD; true if there were any.
 */
bool adopter_find_unreadable(struct adopter *a);

/* Is there a BAD entry whose time to be tried again has come? */
bool adopter_due(const struct adopter *a, uint64_t now_ms);

/* Forgets why entries are BAD: keys were put back, say. They are tried again when wanted. */
void adopter_retry_all(struct adopter *a);

/* Takes in what the helper thread has finished: true if anything changed. verified_fn is called for
 * each file whose hash was computed and found right. */
bool adopter_collect(struct adopter *a,
                     void (*verified_fn)(const char *sha256, const struct seal *seal, void *ctx),
                     void *ctx);

/* Hands entries that nothing uses or wanted in `round` to the helper thread to be closed. A BAD one
 * is forgotten, and looked at again when it is wanted again. True: a BAD one that is wanted is in
 * no view any more, so that its file can be opened again if somebody has mended it. */
bool adopter_sweep(struct adopter *a, uint64_t round);

/* Has the helper thread unlink what a sweep moved aside. */
void adopter_purge(struct adopter *a, const char *build_dir);

/* Waits until the helper thread has finished something, at most `timeout_ms`. */
void adopter_wait(struct adopter *a, unsigned timeout_ms);

unsigned adopter_open_count(const struct adopter *a);

#endif
