/* What differs between two versions of a dataset: records, and the totals of rollups.
 *
 *   store_diff_begin    catalog thread: finds both versions and holds on to their files
 *   store_diff_run      any one thread: reads both from end to end, which takes as long as that
 * takes store_diff_result   what came of it; store_diff_json writes it as the API shows it
 *   store_diff_free     always safe
 *
 * Files are held open from store_diff_begin on, so that retention may take either version away
 * meanwhile. They are verified and opened apart from what is being served. The records of both are
 * merged by their keys' hashes; memory does not grow with them.
 *
 * A record that both versions have is `changed` when its key gives another record (in a series: its
 * key and sort value). With
 * the same fields and types in both, that is when its bytes differ. Otherwise the fields that both
 * have are compared, each as its value in JSON (an INTEGER 5 and a BIGINT 5 are equal); a field
 * that only one version has is listed in `fields`, and changes no record.
 */
#ifndef EVERLINE_STORE_DIFF_H
#define EVERLINE_STORE_DIFF_H

#include "store/store.h"

struct store_diff;

/* ST_NOT_FOUND: UNKNOWN_DATASET; UNKNOWN_VERSION (also IN_PROGRESS and FAILED ones). ST_GONE,
 * VERSION_RETIRED. ST_UNAVAILABLE, VERSION_UNAVAILABLE: a file is missing. */
enum st store_diff_begin(struct store_diff **out, struct store *s, const char *tenant,
                         const char *dataset, uint64_t from, uint64_t to) ST_MUST_USE;

/* The same between version `from` and a segment file that nobody has published (its number is 0):
 * it was built by this process's own child, and its bytes are not verified. */
enum st store_diff_begin_file(struct store_diff **out, struct store *s, const char *tenant,
                              const json_t *definition, uint64_t from,
                              const char *path) ST_MUST_USE;

/* How far it is: `phase` is a literal, `total` 0 when it is not known. Called at least every few
 * hundred thousand records; an error from it ends the run, which returns it. */
typedef enum st (*store_diff_fn)(const char *phase, uint64_t done, uint64_t total, void *ctx);

/* `tell_fn` may be NULL. Once per diff. With `rollups_only`, records are not read, and their keys
 * need not be comparable. ST_CONFLICT, code KEYS_NOT_COMPARABLE: the versions protect, name or
 * normalise their keys in different ways. ST_UNAVAILABLE, code VERSION_UNAVAILABLE: damaged, or its
 * key is not there; the log says why. */
enum st store_diff_run(struct store_diff *d, bool rollups_only, store_diff_fn tell_fn,
                       void *ctx) ST_MUST_USE;
void store_diff_free(struct store_diff *d);

/* ---- the result ---- */

#define STORE_DIFF_SAMPLES 10
#define STORE_DIFF_NUMBER_SIZE 48

enum store_diff_kind {
    STORE_DIFF_ADDED,
    STORE_DIFF_REMOVED,
    STORE_DIFF_CHANGED,
    STORE_DIFF_UNCHANGED,
    STORE_DIFF_KINDS
};

enum store_diff_in { STORE_DIFF_IN_BOTH, STORE_DIFF_IN_FROM, STORE_DIFF_IN_TO };

/* A field of the record that is not the same in both; STORE_DIFF_IN_BOTH: of another type. */
struct store_diff_field {
    const char *name;
    enum store_diff_in in;
};

/* A metric over all records of a version: the states of all cells merged. JSON numbers, or "null":
 * of nothing, or not in that version. */
struct store_diff_metric {
    const char *name;
    enum store_diff_in in;
    char before[STORE_DIFF_NUMBER_SIZE], after[STORE_DIFF_NUMBER_SIZE];
};

struct store_diff_rollup {
    const char *name;
    enum store_diff_in in;
    struct store_diff_metric *metrics;
    size_t metric_count;
};

struct store_diff_result {
    uint64_t from, to;
    bool definition_changed; /* in any way: what `prepare` selects changes records, too */
    bool compared;           /* records were: the three that follow say something */
    uint64_t before, after, counts[STORE_DIFF_KINDS];
    bool sampled; /* only without key protection */
    /* Keys as JSON objects, the first by hash: a random choice, and the same one every time. */
    char *samples[STORE_DIFF_UNCHANGED][STORE_DIFF_SAMPLES];
    size_t sample_counts[STORE_DIFF_UNCHANGED];
    struct store_diff_field *fields;
    size_t field_count;
    struct store_diff_rollup *rollups; /* those of `to`, then those that only `from` has */
    size_t rollup_count;
};

/* After a run that returned ST_OK. Borrowed until _free. */
const struct store_diff_result *store_diff_result(const struct store_diff *d);

const char *store_diff_kind_name(enum store_diff_kind kind); /* "added" ... */

/* Appends the result as the API shows it. */
void store_diff_json(struct buf *out, const struct store_diff *d);

#endif
