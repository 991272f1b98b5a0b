/* A new catalog from DATA/heads, when the old one is missing, damaged, or an older copy. What is
 * served comes back, and who may ask for it; see NOT_RESTORED in rebuild.c for what does not. */
#ifndef EVERLINE_STORE_REBUILD_H
#define EVERLINE_STORE_REBUILD_H

#include "store/store.h"

struct store_rebuild_options {
    const char *data_dir;
    const char *keys_dir; /* NULL: data_dir/keys */
    const char *actor;    /* "cli:user"; goes into the events */
    bool skip_damaged;    /* go on without the datasets whose head files are damaged */
};

/* The old catalog stays as catalog.mdb.damaged-<time>. *report: {"data","rebuilt","why","aside",
 * "tenants","datasets","versions","failed","not_restored":[text],"made":[tenant],
 * "damaged":[{"path","problem"}]}; `why` is what was wrong with the old one, `aside` its new name
 * or null; `made` are tenants whose settings are lost, and that are disabled.
 *
 * ST_CORRUPT, code HEADS_DAMAGED, with the report: nothing was done, because the datasets of
 * `damaged` could not come back and their segments would be swept.
 * ST_CONFLICT, code IN_USE: a process uses the directory; CATALOG_WHOLE: nothing is wrong with the
 * catalog. */
enum st store_rebuild(json_t **report, const struct store_rebuild_options *options) ST_MUST_USE;

#endif
