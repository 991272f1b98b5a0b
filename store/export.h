/* The records of a version for analysts, in the order of their keys' hashes (a series: and of its
 * sort values). Memory does not grow with the version.
 *
 *   store_export_begin   catalog thread: finds the version and holds on to its files
 *   store_export_open    any one thread: verifies and opens them
 *   store_export_each    the records that come next
 *   store_export_text    the same as CSV or NDJSON
 *   store_export_free    always safe
 *
 * A record has the columns of the definition's `row`. Where keys are protected, what is left of
 * them comes first: their hashes, in hexadecimal. */
#ifndef EVERLINE_STORE_EXPORT_H
#define EVERLINE_STORE_EXPORT_H

#include "store/segment.h"
#include "store/store.h"

struct store_export;

/* `version` 0: what was served at `as_of_us`, or with that 0, too, the current one. ST_NOT_FOUND:
 * UNKNOWN_DATASET, NO_VERSION, UNKNOWN_VERSION (also IN_PROGRESS and FAILED ones). ST_GONE,
 * VERSION_RETIRED. ST_UNAVAILABLE, VERSION_UNAVAILABLE: a file is missing. */
enum st store_export_begin(struct store_export **out, struct store *s, const char *tenant,
                           const char *dataset, uint64_t version, int64_t as_of_us) ST_MUST_USE;
uint64_t store_export_version(const struct store_export *e);
const char *store_export_state(const struct store_export *e); /* "SUCCEEDED" ...; a literal */
const struct store_definition *store_export_definition(const struct store_export *e);
/* The name of the hashes' column, which no field has; NULL: there is none. */
const char *store_export_hash_name(const struct store_export *e);

/* tell_fn is called now and then while files are verified; an error from it is returned.
 * ST_UNAVAILABLE, VERSION_UNAVAILABLE: damaged; the log says why. */
enum st store_export_open(struct store_export *e, enum st (*tell_fn)(void *ctx),
                          void *ctx) ST_MUST_USE;
/* At most, after the opening: a version of several segments may hide some. */
uint64_t store_export_records(const struct store_export *e);

/* Gives the records that come next to `fn` until it returns ST_END or an error, which is returned;
 * ST_END after the last record. `fn` runs inside a guard (store/guard.h), and `row` is borrowed
 * during the call. ST_UNAVAILABLE, SEGMENT_UNREADABLE: a page of a file is gone. By one thread at a
 * time; after an error only _free is left. */
typedef enum st (*store_export_fn)(const unsigned char key[STORE_KEY_BYTES], const void *row,
                                   size_t row_len, void *ctx);
enum st store_export_each(struct store_export *e, store_export_fn fn, void *ctx) ST_MUST_USE;

enum store_export_format {
    STORE_EXPORT_CSV,   /* RFC 4180 but for LF at the ends of lines; a header; null is nothing, no
                           text "" */
    STORE_EXPORT_NDJSON /* as lookups have records */
};
/* Appends whole lines until `out` has `bytes`, or a little more. *count is raised by how many
 * records these are. ST_END: that was the last of it. */
enum st store_export_text(struct buf *out, uint64_t *count, struct store_export *e,
                          enum store_export_format format, size_t bytes) ST_MUST_USE;

/* One value as the text of a CSV field, without quotes. */
void store_export_value(struct buf *out, enum store_type type, const struct store_value *value);
/* The field itself: in quotes when it needs them (RFC 4180 section 2). */
void store_export_csv(struct buf *out, enum store_type type, const struct store_value *value);

void store_export_free(struct store_export *e); /* accepts NULL */

#endif
