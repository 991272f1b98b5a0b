/* A catalog that is lost or damaged, and its rebuilding. */
#ifndef EVERLINE_TESTS_REBUILD_KIT_H
#define EVERLINE_TESTS_REBUILD_KIT_H

#include "damage_kit.h"
#include "store/rebuild.h"

static inline void catalog_path(char out[FS_PATH_MAX], const struct kit *kit)
{
    kit_ok(fs_path(out, "%s/catalog.mdb", kit->dir));
}

static inline enum st open_it(struct kit *kit)
{
    return store_open(&kit->store, &(struct store_options){.data_dir = kit->dir, .create = true});
}

static inline enum st rebuild(struct kit *kit, json_t **report, bool skip_damaged)
{
    return store_rebuild(report, &(struct store_rebuild_options){.data_dir = kit->dir,
                                                                 .actor = "cli:test",
                                                                 .skip_damaged = skip_damaged});
}

static inline void rebuild_quietly(struct kit *kit)
{
    json_t *report = NULL;

    kit_ok(rebuild(kit, &report, false));
    json_decref(report);
}

#endif
