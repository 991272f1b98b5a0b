#include "store/upload_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/queue_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Uploads that nobody needs any more: their files go, and then their rows (store/upload.c). */

#define ORPHAN_S 3600

static void add_key(struct catalog_txn *t, json_t *list, const char *key)
{
    if (json_array_append_new(list, json_string(key)) != 0)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
}

/* The keys of those given up, as an array. */
static enum st list_gone(json_t **out, struct store *s)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *row;

    *out = json_array();
    catalog_begin_read(&t, &s->catalog);
    while (catalog_after_any(&row, &t, CATALOG_UPLOADS, UPLOAD_GONE, key)) {
        add_key(&t, *out, key + strlen(UPLOAD_GONE));
        json_decref(row);
    }
    return catalog_end(&t);
}

static void forget_gone(struct catalog_txn *t, const char *key)
{
    char gone[CATALOG_KEY_SIZE];

    snprintf(gone, sizeof gone, UPLOAD_GONE "%s", key);
    catalog_delete(t, CATALOG_UPLOADS, gone);
    upload_forget(t, key);
}

/* Takes out of the array those whose files stay. One that cannot be removed keeps no other. */
static enum st remove_files(json_t *gone, const struct store *s)
{
    struct st_report failure;
    char path[FS_PATH_MAX];

    st_save(&failure, ST_OK);
    for (size_t i = json_array_size(gone); i-- > 0;) {
        enum st st =
            fs_path(path, "%s/%s", s->spool_dir, json_string_value(json_array_get(gone, i)));
        if (!st)
            st = fs_remove_tree(path);
        if (st) {
            st_save(&failure, st);
            json_array_remove(gone, i);
        }
    }
    return failure.status ? st_restore(&failure) : ST_OK;
}

enum st store_uploads_purge(struct store *s)
{
    struct st_report failure;
    struct catalog_txn t;
    json_t *gone = NULL;

    s->uploads_gone = s->catalog.group.open;
    if (s->uploads_gone)
        return ST_OK;
    enum st st = list_gone(&gone, s);
    st_save(&failure, st ? st : remove_files(gone, s));
    if (!st && json_array_size(gone)) {
        catalog_begin_write(&t, &s->catalog);
        for (size_t i = 0; i < json_array_size(gone); i++)
            forget_gone(&t, json_string_value(json_array_get(gone, i)));
        st = catalog_commit(&t);
    }
    json_decref(gone);
    return failure.status ? st_restore(&failure) : st;
}

void upload_purge(struct store *s)
{
    if (store_uploads_purge(s))
        log_failure(LOG_LEVEL_WARN, "uploads", "files that no job has stay for now");
}

/* Nobody asked for it in time; or its job is a dead letter that nobody retried in time; or it was
 * given up by who wrote no UPLOAD_GONE yet. */
static bool is_expired(struct catalog_txn *t, const json_t *row, int64_t now_us)
{
    int64_t limit_us = STORE_UPLOAD_HOURS * 3600000000;
    const char *name = json_string_value(json_object_get(row, "job"));
    json_t *job = NULL;

    if (json_is_true(json_object_get(row, "gone")))
        return true;
    bool known = !name || catalog_get_any(&job, t, CATALOG_JOBS, name);
    int64_t since_us = queue_number(row, "at_us");
    bool free_to_go = known && (!job || json_object_get(job, "ended_at"));

    if (job && free_to_go && clock_parse(&since_us, queue_text(job, "ended_at")) != ST_OK)
        since_us = 0;
    json_decref(job);
    return free_to_go && now_us - since_us >= limit_us;
}

/* A row that cannot be read goes, and its file is then one that nobody knows. */
static void lose(struct catalog_txn *t, const char *key)
{
    log_failure(LOG_LEVEL_ERROR, "upload_damaged", "an upload of tenant %.*s is gone",
                (int)strcspn(key, "/"), key);
    catalog_delete(t, CATALOG_UPLOADS, key);
}

static void sweep_incoming(const struct store *s)
{
    char parent[FS_PATH_MAX], path[FS_PATH_MAX], owner[RUN_NAME_SIZE];
    struct fs_list list = {0};

    if (fs_path(parent, "%s/" UPLOAD_INCOMING, s->spool_dir) || fs_list_dir(&list, parent))
        return; /* there is none */
    for (size_t i = 0; i < list.count; i++) {
        snprintf(owner, sizeof owner, "%.*s", (int)strcspn(list.names[i], "."), list.names[i]);
        if (!run_alive(s->run_dir, owner) &&
            fs_path(path, "%s/%s", parent, list.names[i]) == ST_OK && fs_remove_tree(path)) {
            /* tried again the next time */
        }
    }
    fs_list_free(&list);
}

/* A directory that was renamed into the spool by who then died before the commit. */
static void sweep_orphans(struct store *s, const char *tenant)
{
    char parent[FS_PATH_MAX], path[FS_PATH_MAX], key[CATALOG_KEY_SIZE];
    struct fs_list list = {0};
    struct stat sb;

    if (fs_path(parent, "%s/%s", s->spool_dir, tenant) || fs_list_dir(&list, parent))
        return;
    for (size_t i = 0; i < list.count; i++) {
        struct catalog_txn t;
        upload_key(key, tenant, list.names[i]);
        catalog_begin_read(&t, &s->catalog);
        json_t *row = catalog_get(&t, CATALOG_UPLOADS, key);
        bool orphan = catalog_end(&t) == ST_OK && !row;
        json_decref(row);
        if (orphan && upload_dir(path, s, tenant, list.names[i]) == ST_OK && stat(path, &sb) == 0 &&
            clock_wall_us() / 1000000 - sb.st_ctim.tv_sec > ORPHAN_S && fs_remove_tree(path)) {
            /* tried again the next time */
        }
    }
    fs_list_free(&list);
}

enum st store_uploads_expire(struct store *s)
{
    char key[CATALOG_KEY_SIZE] = "";
    int64_t now_us = clock_wall_us();
    struct fs_list tenants = {0};
    struct catalog_txn t;
    json_t *row, *expired = json_array();

    catalog_begin_read(&t, &s->catalog);
    while (catalog_after_any(&row, &t, CATALOG_UPLOADS, "", key)) {
        if (*key != *UPLOAD_GONE && (!row || is_expired(&t, row, now_us)))
            add_key(&t, expired, key);
        json_decref(row);
    }
    enum st st = catalog_end(&t);
    if (!st && json_array_size(expired)) {
        catalog_begin_write(&t, &s->catalog);
        for (size_t i = 0; i < json_array_size(expired); i++) {
            const char *name = json_string_value(json_array_get(expired, i));
            if (!catalog_get_any(&row, &t, CATALOG_UPLOADS, name))
                lose(&t, name);
            else if (row && is_expired(&t, row, now_us))
                upload_set_gone(&t, name, row);
            json_decref(row);
        }
        st = catalog_commit(&t);
    }
    json_decref(expired);
    sweep_incoming(s);
    if (!st && fs_list_dir(&tenants, s->spool_dir) == ST_OK)
        for (size_t i = 0; i < tenants.count; i++)
            if (strcmp(tenants.names[i], UPLOAD_INCOMING) != 0)
                sweep_orphans(s, tenants.names[i]);
    fs_list_free(&tenants);
    return st ? st : store_uploads_purge(s);
}
