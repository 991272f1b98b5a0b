#include "store/rebuild_internal.h"

#include "base/clock.h"
#include "store/catalog_check.h"
#include "store/opening.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The new catalog is made beside the old one in one transaction; then the old one gets another
 * name, and the new one its own. Whenever this stops, the directory can be rebuilt again: head
 * files that were written already are ahead by the events of this rebuild, and as good as before.
 *
 * A head file may be ahead of the catalog that was lost by one change that was not acknowledged
 * (see head_store.c). It is taken as it is: its segments are durable, and one who was told nothing
 * must look anyway. */

static const char *const NOT_RESTORED[] = {
    "events from before the rebuild",
    "rows of FAILED and RETIRED versions, but for number, state and time",
    "jobs",
};

enum st rebuild_no_memory(void)
{
    return st_fail(ST_NOMEM, NULL, "out of memory");
}

/* ---- may it be rebuilt? ---- */

static enum st refuse_in_use(const struct rebuild *r)
{
    static const enum run_kind KINDS[] = {RUN_PROCESS, RUN_SERVER, RUN_REBUILD};
    const struct store *s = r->store;
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < sizeof KINDS / sizeof KINDS[0]; i++) {
        struct fs_list list;
        st = run_list(&list, s->run_dir, KINDS[i]);
        for (size_t j = 0; !st && j < list.count; j++)
            if (strcmp(list.names[j], s->run.name) != 0)
                st = st_hint(st_fail(ST_CONFLICT, "IN_USE", "another process uses %s", s->data_dir),
                             "stop its servers and workers first");
        fs_list_free(&list);
    }
    return st;
}

/* Whole, and as far as the head files? */
static enum st look_at_old(const struct rebuild *r)
{
    struct store *s = r->store;
    struct catalog_txn t;
    enum st st = catalog_check_file(r->path);

    if (!st)
        st = catalog_open(&s->catalog, r->path);
    if (st)
        return st;
    catalog_begin_read(&t, &s->catalog);
    store_head_files(&t, s, NULL, NULL);
    st = catalog_end(&t);
    catalog_close(&s->catalog);
    return st;
}

static enum st refuse_whole(struct rebuild *r)
{
    enum st st = fs_path(r->path, "%s/catalog.mdb", r->store->data_dir);

    if (st)
        return st;
    if (access(r->path, F_OK) != 0) {
        snprintf(r->why, sizeof r->why, "the catalog is missing");
        return ST_OK;
    }
    st = look_at_old(r);
    if (!st)
        return st_hint(st_fail(ST_CONFLICT, "CATALOG_WHOLE", "nothing is wrong with the catalog"),
                       "segments are looked at by: everline verify --data %s --deep",
                       r->store->data_dir);
    snprintf(r->why, sizeof r->why, "%s", st_message());
    return st == ST_CORRUPT ? ST_OK : st;
}

/* What a rebuild, or a first start, that was killed left. Nobody else is here. */
static enum st remove_temporary(const struct rebuild *r)
{
    char path[FS_PATH_MAX];
    struct fs_list list;
    enum st st = fs_list_dir(&list, r->store->data_dir);

    for (size_t i = 0; !st && i < list.count; i++)
        if (strncmp(list.names[i], "catalog.mdb.", 12) == 0 && strstr(list.names[i], ".tmp") &&
            fs_path(path, "%s/%s", r->store->data_dir, list.names[i]) == ST_OK)
            (void)unlink(path);
    fs_list_free(&list);
    return st;
}

/* ---- the new catalog ---- */

static void remove_locks(const char *path)
{
    char lock[FS_PATH_MAX];

    if (fs_path(lock, "%s-lock", path) == ST_OK)
        (void)unlink(lock);
    if (fs_path(lock, "%s-writer", path) == ST_OK)
        (void)unlink(lock);
}

static enum st make_catalog(struct rebuild *r, const char *path)
{
    struct store *s = r->store;
    struct catalog_txn t;
    enum st st = catalog_open(&s->catalog, path);

    if (st)
        return st;
    catalog_begin_write(&t, &s->catalog);
    rebuild_restore_all(&t, r);
    st = catalog_commit(&t);
    catalog_close(&s->catalog);
    return st;
}

static enum st put_aside(struct rebuild *r)
{
    char time[CLOCK_TEXT_SIZE];

    if (access(r->path, F_OK) != 0)
        return ST_OK;
    clock_format(time, clock_wall_us());
    enum st st = fs_path(r->aside, "%s.damaged-%s", r->path, time);
    if (!st && rename(r->path, r->aside) != 0)
        st = st_fail_errno(errno, "renaming to %s", r->aside);
    if (!st)
        st = fs_sync_dir(r->store->data_dir);
    if (!st)
        remove_locks(r->path); /* they belong to the old file */
    return st;
}

static enum st replace(struct rebuild *r)
{
    char temporary[FS_PATH_MAX];
    enum st st = fs_temporary(temporary, r->path);

    if (st)
        return st;
    st = make_catalog(r, temporary);
    if (!st)
        st = put_aside(r);
    struct st_report failure;
    st_save(&failure, st);
    remove_locks(temporary);
    if (!st)
        return fs_name_over(temporary, r->path);
    (void)unlink(temporary);
    return st_restore(&failure);
}

static enum st make_report(json_t **report, const struct rebuild *r)
{
    json_t *lost = json_array();
    int failed = lost == NULL;

    for (size_t i = 0; i < sizeof NOT_RESTORED / sizeof NOT_RESTORED[0]; i++)
        failed |= json_array_append_new(lost, json_string(NOT_RESTORED[i]));
    *report =
        json_pack("{s:s, s:b, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:O, s:O}", "data",
                  r->store->data_dir, "rebuilt", r->done, "why", r->why, "aside",
                  r->aside[0] ? json_string(r->aside) : json_null(), "tenants",
                  (json_int_t)r->tenants, "datasets", (json_int_t)r->revival.datasets, "versions",
                  (json_int_t)r->revival.versions, "failed", (json_int_t)r->revival.failed,
                  "not_restored", lost, "made", r->made, "damaged", r->damaged);
    if (*report && !failed)
        return ST_OK;
    json_decref(*report);
    *report = NULL;
    return rebuild_no_memory();
}

enum st store_rebuild(json_t **report, const struct store_rebuild_options *options)
{
    struct store_options store = {.data_dir = options->data_dir, .keys_dir = options->keys_dir};
    struct store_actor actor = {.name = options->actor};
    struct rebuild r = {
        .options = options,
        .damaged = json_array(),
        .made = json_array(),
        .revival = {.event = "rebuilt",
                    .code = "REBUILT",
                    .why = "it was being built when the catalog was rebuilt",
                    .actor = &actor},
    };
    struct st_report failure;
    enum st st = r.damaged && r.made ? opening_paths(&r.store, &store) : rebuild_no_memory();

    *report = NULL;
    if (!st)
        st = opening_check_format(r.store->data_dir, false);
    if (!st)
        st = opening_register(r.store, RUN_REBUILD);
    if (!st)
        st = refuse_in_use(&r);
    if (!st)
        st = refuse_whole(&r);
    if (!st)
        st = rebuild_refuse_damaged(&r);
    if (!st)
        st = remove_temporary(&r);
    actor.reason = r.why;
    r.revival.store = r.store;
    if (!st)
        st = replace(&r);
    r.done = !st;
    st_save(&failure, st);
    if (!st || json_array_size(r.damaged)) {
        enum st made = make_report(report, &r);
        st = st ? st_restore(&failure) : made;
        st_save(&failure, st);
    }
    store_close(r.store);
    json_decref(r.damaged);
    json_decref(r.made);
    return st ? st_restore(&failure) : ST_OK;
}
