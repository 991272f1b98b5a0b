/* Heads of the audit's chains (auth/audit_chain.h), kept in the catalog so that a tail that was cut
 * off, or a file that was removed, is found. */
#ifndef EVERLINE_STORE_ANCHOR_H
#define EVERLINE_STORE_ANCHOR_H

#include "store/store.h"

struct store_anchor {
    char tenant[STORE_NAME_SIZE];
    unsigned chain;
    uint64_t sequence; /* of the last line that is known to be there */
    unsigned char hash[DIGEST_BYTES];
    uint64_t first; /* the oldest that is kept; those before were removed when their time was over
                     */
};

/* Durable when it returns ST_OK, in one commit. An anchor never goes back. */
enum st store_anchor_put(struct store *s, const struct store_anchor *anchors,
                         size_t count) ST_MUST_USE;
/* A chain that has no anchor: `sequence` 0, `first` 1. */
enum st store_anchor_get(struct store_anchor *out, struct store *s, const char *tenant,
                         unsigned chain) ST_MUST_USE;
/* Of one tenant, by chain; free(*out). */
enum st store_anchor_list(struct store_anchor **out, size_t *count, struct store *s,
                          const char *tenant) ST_MUST_USE;
/* Adds the tenants that have anchors, deleted ones too, as members of the object `names`. */
enum st store_anchor_tenants(json_t *names, struct store *s) ST_MUST_USE;

#endif
