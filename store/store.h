/* A data directory, as one process sees it (DESIGN section 5): the catalog and the directories
 * beside it. A `struct store` belongs to one thread, the process's catalog thread; everything that
 * takes one is called there. Request threads use views (store/view.h) instead.
 *
 * Documents that leave this room towards people (version rows, heads, events, datasets, tenants)
 * are JSON with the member names of the API; lists are JSON arrays. A json_t that a function gives
 * is a new reference.
 */
#ifndef EVERLINE_STORE_STORE_H
#define EVERLINE_STORE_STORE_H

#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/status.h"
#include "store/definition.h"

#include <signal.h>
#include <stdint.h>

#define STORE_DATA_FORMAT 1

struct store;

/* How long a change of the catalog waits for others that write to it, unless said otherwise. */
#define STORE_WRITE_WAIT_MS 10000

struct store_options {
    const char *data_dir;
    const char *keys_dir;   /* NULL: DATA/keys */
    bool create;            /* initialise an empty or missing directory */
    uint64_t write_wait_ms; /* 0: STORE_WRITE_WAIT_MS */
    /* Not NULL: when it is not 0, no change waits for others any more. */
    const volatile sig_atomic_t *stop;
};

/* ST_NOT_FOUND: no data directory there (hint says how to make one). ST_CONFLICT, code DATA_FORMAT:
 * written by another format version; ST_UNAVAILABLE: another PID namespace or boot uses it.
 *
 * Whatever changes the catalog may fail with ST_TIMEOUT, code CATALOG_BUSY, when another process
 * holds the catalog's write lock for so long; nothing was changed then. */
enum st store_open(struct store **out, const struct store_options *options) ST_MUST_USE;
void store_close(struct store *s);

const char *store_data_dir(const struct store *s);
const char *store_keys_dir(const struct store *s);
enum st store_segment_path(char out[FS_PATH_MAX], const struct store *s,
                           const char *sha256) ST_MUST_USE;

/* Has anybody, also another process, committed to the catalog since this handle last read it? */
bool store_changed(struct store *s);

/* Who moves something and why; goes into events. Strings borrowed during the call. */
struct store_actor {
    const char *name;       /* "token:sub@tenant", "cli:user", "job:ID" */
    const char *reason;     /* needed by promote and rollback */
    const char *request_id; /* or NULL */
};

/* ---- tenants ---- */

/* What kind of tenant it is for who runs the platform, who wants to see how each fares: metrics
 * have it as a label, and nothing else depends on it. The first is the default. */
#define STORE_TENANT_CLASSES "standard", "priority", "trial", "internal"
extern const char *const store_tenant_classes[];                               /* ends with NULL */
enum st store_tenant_class_parse(uint32_t *out, const char *name) ST_MUST_USE; /* ST_INVALID */

struct store_tenant {
    char name[STORE_NAME_SIZE];
    bool enabled;
    bool damaged;       /* in a view: what the catalog has of it cannot be read; nobody serves it */
    uint32_t class;     /* index into store_tenant_classes */
    char issuer[256];   /* accepted `iss`; default "everline" */
    char audience[256]; /* accepted `aud`; default "everline" */
    char jwks[512];     /* where its issuer publishes keys, or empty */
    char webhook[512];  /* where the ends of its jobs are told, or empty */
    char hmac_key_id[STORE_NAME_SIZE]; /* the key that new protected versions use */
    char hmac_key_check[33];           /* what it gave when it was registered; "" before that */
    /* Caps; 0 is "the server's default". Later work fills in more. */
    uint32_t max_batch_keys;
    uint32_t max_datasets;
    uint32_t
        max_concurrent_jobs;   /* that workers run at a time; those of the command line are free */
    uint32_t max_queued_jobs;  /* that have not ended */
    uint64_t max_upload_bytes; /* of all uploads that are kept */
    uint64_t max_audit_bytes;  /* the oldest files go */
    uint32_t max_usage_subjects; /* of a day, that are metered by name */
    uint32_t max_versions;       /* of a dataset, whose files are kept */
    uint64_t max_stored_bytes;   /* of segments that its versions name */
    /* Lookups count keys. 0: no limit. */
    uint32_t requests_per_second, requests_burst; /* no burst: a second's */
    uint64_t requests_per_day;
    uint32_t subject_requests_per_second, subject_requests_burst;
    uint64_t subject_requests_per_day;
};

void store_tenant_init(struct store_tenant *t, const char *name);
/* With a webhook it has the key that signs its messages, too (store/hook.h). */
enum st store_tenant_put(struct store *s, const struct store_tenant *t) ST_MUST_USE;
enum st store_tenant_get(struct store_tenant *out, struct store *s, const char *name) ST_MUST_USE;
/* The row as it is stored. */
enum st store_tenant_to_json(json_t **out, const struct store_tenant *t) ST_MUST_USE;
/* Its keys and its audit stay. ST_CONFLICT, code TENANT_NOT_EMPTY: it has datasets. */
enum st store_tenant_delete(struct store *s, const char *name) ST_MUST_USE;
/* A tenant's "limits": absent ones are 0. ST_INVALID as jx_ functions, below `pointer`. */
enum st store_tenant_limits_from_json(struct store_tenant *t, const json_t *limits,
                                      const char *pointer) ST_MUST_USE;
/* One whose row is damaged has its name and a "problem". */
enum st store_tenant_list(json_t **items, struct store *s) ST_MUST_USE;

/* Keys outside segments: KEYS/<tenant>/hmac/<id>.key, and KEYS/<tenant>/tokens for auth/. */
enum st store_hmac_key_create(char id[STORE_NAME_SIZE], struct store *s,
                              const char *tenant) ST_MUST_USE;
enum st store_hmac_key_read(struct secret *out, const char *keys_dir, const char *tenant,
                            const char *id) ST_MUST_USE;
/* The key that new protected versions use. ST_CORRUPT, code KEY_CHANGED: it is not the one that was
 * registered under its id, and what it would make could not be looked up with the right one. */
enum st store_tenant_hmac_key(struct secret *out, const struct store *s,
                              const struct store_tenant *t) ST_MUST_USE;
enum st store_token_keys_dir(char out[FS_PATH_MAX], const char *keys_dir,
                             const char *tenant) ST_MUST_USE;

/* ---- datasets ---- */

/* If-Match: the head is at one of these sequences; none: not said. */
#define STORE_IF_MAX 16
struct store_if {
    uint64_t sequences[STORE_IF_MAX];
    size_t count;
};

struct store_put {
    bool force;
    bool if_there, if_absent; /* If-Match: *, If-None-Match: * */
    struct store_if if_head;
    const struct store_actor *actor;
};

/* Creates or replaces the definition (for versions built from now on). *dataset is as
 * store_dataset_get gives it; it and *created may be NULL. One that was
 * deleted goes on with its numbers. ST_CONFLICT, code
 * BREAKING_CHANGE without `force`; ST_FULL, code QUOTA over max_datasets; ST_PRECONDITION, code
 * HEAD_MOVED. */
enum st store_dataset_put(json_t **dataset, bool *created, struct store *s, const char *tenant,
                          const struct store_definition *definition,
                          const struct store_put *put) ST_MUST_USE;

/* Of its head, which each move and each end of a build raises. ST_NOT_FOUND, UNKNOWN_DATASET. */
enum st store_dataset_sequence(uint64_t *out, struct store *s, const char *tenant,
                               const char *dataset) ST_MUST_USE;
/* {"name","description","definition","current","current_since","sequence","created_at",
 *  "updated_at"}; `current` null before the first version. Unknown: ST_NOT_FOUND, UNKNOWN_DATASET.
 */
enum st store_dataset_get(json_t **out, struct store *s, const char *tenant,
                          const char *dataset) ST_MUST_USE;
/* The same without `definition`, sorted by name, after `after` (or NULL), at most `limit`; *more
 * says whether the list goes on. One whose entries are damaged has {"problem"}, a code, and else
 * only its name. */
enum st store_dataset_list(json_t **items, bool *more, struct store *s, const char *tenant,
                           const char *after, size_t limit) ST_MUST_USE;

/* ---- versions (rows as in DESIGN section 8) ---- */

enum st store_version_get(json_t **row, struct store *s, const char *tenant, const char *dataset,
                          uint64_t version) ST_MUST_USE;
/* Newest first, below `before` (0: from the newest), at most `limit`. */
enum st store_version_list(json_t **items, bool *more, struct store *s, const char *tenant,
                           const char *dataset, uint64_t before, size_t limit) ST_MUST_USE;

/* Records of the files that a version was built without: {"unparsable","rejected","rules","listed",
 * "items":[{"source","file","line","column","rule"}]}; counts are null when its build did not come
 * so far. Items from number `after` (0: the first) on, at most `limit`; *more: there are others.
 * They are listed for the newest STORE_REJECTS_KEPT versions, and at most 1,000 of each. */
#define STORE_REJECTS_KEPT 100
enum st store_rejects_get(json_t **out, bool *more, struct store *s, const char *tenant,
                          const char *dataset, uint64_t version, uint64_t after,
                          size_t limit) ST_MUST_USE;
/* Newest first by sequence, below `before` (0: from the newest). */
enum st store_event_list(json_t **items, bool *more, struct store *s, const char *tenant,
                         const char *dataset, uint64_t before, size_t limit) ST_MUST_USE;

/* ---- moves: each one compare-and-swap of the head ---- */

/* What a move remembers from one call of store_move_prepare to the next; zeroed before the first.
 */
struct store_move_progress {
    uint64_t began_ms; /* monotonic clock */
    uint64_t offer;    /* what this process offers for it */
};

struct store_move {
    const char *tenant, *dataset;
    uint64_t from; /* rollback: the version to leave; 0 = not said */
    uint64_t to;   /* rollback: target, 0 = default; promote: the version */
    struct store_if if_head;
    struct store_actor actor;
    struct store_move_progress progress;
};

/* What a rollback would do now: *from is the current version, *to the target. ST_CONFLICT, code
 * NOTHING_TO_ROLL_BACK_TO / NOT_SERVABLE; nothing is changed. */
enum st store_rollback_plan(uint64_t *from, uint64_t *to, struct store *s,
                            const struct store_move *move) ST_MUST_USE;

/* Before a move, the live servers are asked to have the version open, as before a flip. *ready
 * false: not all have, call again in a few milliseconds; from the first call they have
 * STORE_ADOPT_MS, or for what a rollback goes to by default, which they keep open,
 * STORE_STANDBY_MS: one that hangs must not hold up the way back. Half a second after the last call
 * a server asks them no longer. ST_CONFLICT, code NOT_SERVABLE: a file of it is missing or damaged.
 * store_move_wait waits until ready. */
#define STORE_ADOPT_MS 30000
#define STORE_STANDBY_MS 1000
enum st store_move_prepare(bool *ready, struct store *s, struct store_move *move,
                           bool is_rollback) ST_MUST_USE;
enum st store_move_wait(struct store *s, struct store_move *move, bool is_rollback) ST_MUST_USE;

/* Durable when it returns ST_OK; *head is the new head as the API shows it:
 * {"dataset","sequence","current","previous","updated_at"}. Rollback without `from` and
 * `if_head`: ST_PRECONDITION_REQUIRED; either one stale: ST_PRECONDITION (HEAD_MOVED). The
 * version left becomes QUARANTINED. A missing reason: ST_INVALID (REASON_REQUIRED). */
enum st store_rollback(json_t **head, struct store *s, const struct store_move *move) ST_MUST_USE;
enum st store_promote(json_t **head, struct store *s, const struct store_move *move) ST_MUST_USE;
/* RETIRED: the files go, the row stays. Never the current version or the one that a rollback would
 * go to: ST_CONFLICT, NOT_ALLOWED. */
enum st store_retire(json_t **head, struct store *s, const struct store_move *move) ST_MUST_USE;
/* A dataset with all its versions, which become RETIRED; who puts it again goes on with its
 * numbers. *sequence is the head's. ST_CONFLICT, code HAS_JOBS: a job of it has not ended. Else as
 * a move. */
enum st store_dataset_delete(uint64_t *sequence, struct store *s,
                             const struct store_move *move) ST_MUST_USE;

/* ---- verification ---- */

/* Every segment that a manifest names: there, of its size, and of its hash unless the file is as it
 * was when that was last verified; with `deep` also hash, order, rows, counts, totals. *report:
 * {"ok","segments","versions","problems":[{tenant,dataset,version,sha256, problem,hint}]}; without
 * version: of its head, without dataset: of the catalog.
 * ST_CORRUPT when there are problems. */
enum st store_verify(json_t **report, struct store *s, bool deep) ST_MUST_USE;

#endif
