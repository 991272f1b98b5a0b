/* A build: from a lease to a version that is served, or that never was (DESIGN section 2.3).
 *
 *   store_build_begin    the version's row, IN_PROGRESS, with its number; the build directory
 *   (the child writes segment files into the directory)
 *   store_build_seal     fsync, hash, pin the hash, rename into segments/, fsync the directory
 *   store_build_publish  candidate -> live servers open, warm, acknowledge -> swap of the head
 *   store_build_fail     FAILED: files removed, row kept
 *   store_build_free     always safe; a build neither published nor failed is failed
 *
 * Publish is the only door to the catalog's pointer for an ingest. Every write is fenced.
 */
#ifndef EVERLINE_STORE_PUBLISH_H
#define EVERLINE_STORE_PUBLISH_H

#include "store/queue.h"
#include "store/segment.h"

struct store_build;

/* `definition` is what the version will remember; `sources` (array of {"name","path","bytes",
 * "sha256"?}) likewise; both borrowed during the call. Sweeps build directories of the dead. */
enum st store_build_begin(struct store_build **out, struct store *s,
                          const struct store_lease *lease,
                          const struct store_definition *definition,
                          const json_t *sources) ST_MUST_USE;

uint64_t store_build_version(const struct store_build *b);
const char *store_build_directory(const struct store_build *b); /* 0700, flocked */

/* `file` is a name inside the build directory; call once per segment, newest first. `tick_fn` (may
 * be NULL) as of store_build_publish. */
enum st store_build_seal(struct store_build *b, const char *file, enum st (*tick_fn)(void *ctx),
                         void *ctx) ST_MUST_USE;

/* What the version's row will say of the batch, set before publish or fail: {"rows","checks",
 * "gates","rejects"}, each of which may be absent. `rows` is the ledger
 * {"read","parsed","unparsable","prepared", "accepted","rejected","duplicates","sources"}; the
 * "files" of its sources, with their SHA-256, become the row's own `sources` in place of those that
 * the build began with. `gates` are the definition's, each with its "metric" and "value", and are
 * judged by publish (store/gate.h). Borrowed during the call. */
enum st store_build_set_report(struct store_build *b, const json_t *report) ST_MUST_USE;

/* Members for the job's result, set before publish: they are there when the job has ended. */
enum st store_build_set_job_result(struct store_build *b, const json_t *result) ST_MUST_USE;

enum store_outcome {
    STORE_FLIPPED,
    STORE_SUPERSEDED, /* older than what is current: SUCCEEDED, no flip */
    STORE_IDENTICAL,  /* the same segments as current: SUCCEEDED, no flip */
    STORE_HELD_BACK,  /* HELD: a gate, require_promotion, people moved the pointer, or equal to a
                         quarantined version */
};
const char *store_outcome_name(enum store_outcome outcome); /* "flipped" ... */

/* Ends the job too, in the commit that moves the pointer. Waits at most `adopt_timeout_ms` for the
 * live servers. `tick_fn` (may be NULL) is called at least every 100 ms while waiting, for
 * heartbeats; an error from it ends the build. A server that found the candidate bad fails it:
 * ST_CORRUPT. */
enum st store_build_publish(enum store_outcome *outcome, struct store_build *b,
                            uint64_t adopt_timeout_ms, enum st (*tick_fn)(void *ctx),
                            void *ctx) ST_MUST_USE;

/* What the gates would say of a build with this report now; *current is the version that they
 * compare it with, 0: none. */
enum st store_gates_preview(json_t **gates, bool *passed, uint64_t *current, struct store *s,
                            const char *tenant, const char *dataset,
                            const json_t *report) ST_MUST_USE;

/* Records FAILED with the thread's last failure (`status`) as the row's `error`. */
enum st store_build_fail(struct store_build *b, enum st status) ST_MUST_USE;
void store_build_free(struct store_build *b);

#endif
