/* Views from the inside: how the catalog thread builds the next one. Room-private. */
#ifndef EVERLINE_STORE_VIEW_INTERNAL_H
#define EVERLINE_STORE_VIEW_INTERNAL_H

#include "store/adopt.h"
#include "store/revocation_internal.h"
#include "store/view.h"

#include <stdatomic.h>

#define SERVING_SEGMENTS_MAX 64

/* One dataset's state, shared by all views in which it is the same. */
struct serving {
    struct store_served served; /* what request threads see */
    struct head head;           /* as it was; empty in one that was opened on demand */
    _Atomic uint64_t used_ms;   /* one that was opened on demand: when a request last took it */
    char tenant[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    char key_id[STORE_NAME_SIZE];
    char unavailable[256], unavailable_code[48];
    struct store_definition *definition;
    struct store_segment *segments[SERVING_SEGMENTS_MAX];
    struct adopted *adopted[SERVING_SEGMENTS_MAX];
    struct secret hmac_key;
    struct store_hasher **hashers; /* by slot, made by the slot's thread */
    unsigned slots;
    unsigned views; /* that refer to it */
};

struct store_view {
    struct serving **datasets; /* by tenant, then dataset */
    size_t dataset_count;
    struct serving **pinned; /* kept versions, opened on demand; in no order, few */
    size_t pinned_count;
    struct store_tenant *tenants; /* by name */
    size_t tenant_count;
    unsigned nameless; /* entries of tenants that are not among them, as their key is none */
    uint64_t tenants_epoch;
    struct revocations *revocations; /* shared by views in which they are the same */
    void *extension;
    struct store_view *next_retired;
};

/* The serving of one version of a head from entries that are all OPEN, or unavailable because of
 * `bad` (may be NULL). Takes a use of each entry, and the definition. Its key is read, or is that
 * of `previous` (may be NULL), so that a key that cannot be read just now stops nothing. */
enum st serving_new(struct serving **out, const struct head *h, uint64_t version,
                    struct store_definition *definition, struct adopted *const *entries,
                    size_t entry_count, const struct st_report *bad, const struct serving *previous,
                    const char *keys_dir, unsigned slots) ST_MUST_USE;
void serving_free(struct serving *s); /* gives the uses back */

/* Is this what it says of itself: unavailable for that reason, or with NULL available? */
bool serving_says(const struct serving *s, const struct st_report *bad);

void view_free(struct store_view *v);
const struct serving *view_find(const struct store_view *v, const char *tenant,
                                const char *dataset);
struct serving *view_find_pinned(const struct store_view *v, const char *tenant,
                                 const char *dataset, uint64_t version);

#endif
