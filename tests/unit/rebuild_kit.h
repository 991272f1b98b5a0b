/* A catalog that is lost or damaged, and its rebuilding. */
#ifndef EVERLINE_TESTS_REBUILD_KIT_H
#define EVERLINE_TESTS_REBUILD_KIT_H

#include "damage_kit.h"
#include "store/rebuild.h"

/* Exit codes of children. */
enum { SERVES, FAILED, REFUSES };

/* A version of people, and six of things. */
static inline void publish_six(struct kit *kit)
{
    kit_dataset(kit, KIT_PEOPLE);
    kit_publish(kit, KIT_PEOPLE, "red");
    kit_dataset(kit, KIT_THINGS);
    for (int i = 0; i < 6; i++)
        kit_publish(kit, KIT_THINGS, (const char *[]){"red", "blue"}[i % 2]);
}

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

/* Rebuilds what publish_six made, and does what could not be done. */
static inline int rebuild_and_use(struct kit *kit)
{
    rebuild_quietly(kit);
    kit_open(kit);
    if (kit_current(kit, "things") != 6 || kit_current(kit, "people") != 1 ||
        kit_publish(kit, KIT_THINGS, "green") != STORE_FLIPPED || kit_current(kit, "things") != 7 ||
        !kit_state_is(kit, 5, "SUCCEEDED"))
        return FAILED;
    return SERVES;
}

#define WAY_OUT "everline catalog rebuild --data "

static inline bool tells_the_way_out(enum st st)
{
    return st == ST_CORRUPT && strstr(st_hint_text(), WAY_OUT);
}

#endif
