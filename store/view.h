/* Views: what a serving process has open. A view is an immutable map from dataset to the version it
 * serves; the catalog thread builds the next one beside it and swaps one pointer. A request thread
 * enters, reads whatever it likes from one consistent state of the world, and leaves; it never
 * waits and never sees half a flip. The old view is released on the catalog thread, when no slot is
 * inside it.
 */
#ifndef EVERLINE_STORE_VIEW_H
#define EVERLINE_STORE_VIEW_H

#include "store/key.h"
#include "store/segment.h"
#include "store/store.h"

struct store_view;

/* One dataset as the view serves it. */
struct store_served {
    const char *tenant;
    const char *dataset;
    uint64_t sequence;                         /* the head's; names this state, e.g. in an ETag */
    uint64_t version;                          /* 0: nothing published yet */
    int64_t since_us;                          /* when `version` became current */
    const struct store_definition *definition; /* of `version`; NULL with version 0 */
    struct store_segment **segments;           /* newest first; empty when unavailable */
    size_t segment_count;
    const char *unavailable;      /* NULL, or why `version` cannot be served (a sentence) */
    const char *unavailable_code; /* the same for programs: SEGMENT_DAMAGED, KEY_MISMATCH ... */
    const char *key_id;
    const char *state; /* of `version`; SUCCEEDED for the current one, NULL with version 0 */
};

/* NULL: no such tenant. */
const struct store_tenant *store_view_tenant(const struct store_view *v, const char *name);
const struct store_tenant *store_view_tenant_at(const struct store_view *v,
                                                size_t i); /* NULL: end */

/* ST_NOT_FOUND, code UNKNOWN_DATASET: none in this tenant. *out may have version 0 or be
 * unavailable: store_served_ready tells. */
enum st store_view_dataset(const struct store_served **out, const struct store_view *v,
                           const char *tenant, const char *dataset) ST_MUST_USE;
const struct store_served *store_view_dataset_at(const struct store_view *v,
                                                 size_t i); /* NULL: end */

/* ST_NOT_FOUND, code NO_VERSION: nothing published yet; ST_UNAVAILABLE, code VERSION_UNAVAILABLE.
 */
enum st store_served_ready(const struct store_served *d) ST_MUST_USE;

/* A kept version of the dataset `d`, which is as store_view_dataset gave it. ST_NOT_FOUND, code
 * UNKNOWN_VERSION: never was, or never came to be (IN_PROGRESS, FAILED). ST_GONE, code
 * VERSION_RETIRED. ST_UNAVAILABLE, code VERSION_CLOSED: kept, but not open in this view; a task
 * that waits for it (store/keeper.h) has it opened. *out may be unavailable, or HELD: see its
 * state. */
enum st store_view_version(const struct store_served **out, const struct store_view *v,
                           const struct store_served *d, uint64_t version) ST_MUST_USE;

/* What was served at a moment. ST_NOT_FOUND, code NO_VERSION: nothing yet. */
enum st store_served_as_of(uint64_t *version, const struct store_served *d,
                           int64_t at_us) ST_MUST_USE;

/* The hasher of this slot for this dataset: normalisers, fields and key of the version that
 * answers. Borrowed until the slot leaves. */
enum st store_served_hasher(struct store_hasher **out, const struct store_served *d,
                            unsigned slot) ST_MUST_USE;

/* The record of a key; of a series the last one. Newest segment first. ST_NOT_FOUND leaves no
 * report. Borrowed until the slot leaves. */
enum st store_served_get(const struct store_served *d, unsigned slot,
                         const unsigned char key[STORE_KEY_BYTES], const void **row,
                         size_t *row_len) ST_MUST_USE;

/* What the owner hung on this view (store/keeper.h): the keys that verify tokens, say. */
void *store_view_extension(const struct store_view *v);

/* The generation of the tenant rows in this view: changes exactly when one of them does. */
uint64_t store_view_tenants_epoch(const struct store_view *v);

#endif
