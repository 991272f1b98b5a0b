#include "store/rebuild_internal.h"

#include "store/head_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Ids of jobs that left no version in any head must not be given again. */
#define ORDER_GAP 1000

/* Ids sort by age (store/tenant.c). */
static void newest_key(char id[STORE_NAME_SIZE], const struct store *s, const char *tenant)
{
    char path[FS_PATH_MAX];
    struct fs_list list;

    id[0] = '\0';
    if (fs_path(path, "%s/%s/hmac", s->keys_dir, tenant) || fs_list_dir(&list, path))
        return;
    for (size_t i = 0; i < list.count; i++) {
        size_t len = strlen(list.names[i]);
        if (len > 4 && len - 4 < STORE_NAME_SIZE && strcmp(list.names[i] + len - 4, ".key") == 0)
            snprintf(id, STORE_NAME_SIZE, "%.*s", (int)(len - 4), list.names[i]);
    }
    fs_list_free(&list);
}

/* A tenant whose row is lost is made anew, and refused until somebody has looked at it: it may have
 * been disabled, or have had an issuer of its own. */
static void make_tenant(struct catalog_txn *t, struct rebuild *r, const char *name)
{
    struct store_tenant tenant;
    json_t *row = NULL;

    store_tenant_init(&tenant, name);
    tenant.enabled = false;
    newest_key(tenant.hmac_key_id, r->store, name);
    catalog_fail(t, store_tenant_to_json(&row, &tenant));
    if (row)
        catalog_put(t, CATALOG_TENANTS, name, row);
    json_decref(row);
    if (json_array_append_new(r->made, json_string(name)) != 0)
        catalog_fail(t, rebuild_no_memory());
}

static void restore_tenant(struct catalog_txn *t, struct rebuild *r, const char *name)
{
    json_t *known = catalog_get(t, CATALOG_TENANTS, name), *row = NULL;
    bool seen = known != NULL;

    json_decref(known);
    if (seen || t->status)
        return;
    enum st st = head_file_read_tenant(&row, r->store->heads_dir, name);
    if (!st)
        catalog_put(t, CATALOG_TENANTS, name, row);
    else if (st == ST_CORRUPT || st == ST_NOT_FOUND)
        make_tenant(t, r, name);
    else
        catalog_fail(t, st);
    json_decref(row);
    r->tenants++;
}

/* A version of which only the head speaks. */
static json_t *bare_row(struct catalog_txn *t, const struct head_version *v)
{
    bool failed = v->state == VERSION_FAILED;
    json_t *row =
        json_pack("{s:I, s:o, s:o, s:s, s:n, s:i, s:[], s:[], s:[], s:o, s:n}", "version",
                  (json_int_t)v->version, "created_at", store_time_json(v->at_us), "updated_at",
                  store_time_json(v->at_us), "job", "", "rows", "bytes", 0, "segments", "checks",
                  "gates", "outcome", failed ? json_string("failed") : json_null(), "error");

    if (!row)
        catalog_fail(t, rebuild_no_memory());
    return row;
}

static void restore_versions(struct catalog_txn *t, struct rebuild *r, const struct head_file *f)
{
    json_t *row;
    size_t i;

    for (size_t j = 0; j < f->head.version_count; j++) {
        const struct head_version *v = &f->head.versions[j];
        row = bare_row(t, v);
        store_row_save(t, f->head.tenant, f->head.dataset, v->version, row);
        json_decref(row);
        if (v->order > r->last_order)
            r->last_order = v->order;
    }
    json_array_foreach(f->versions, i, row)
        store_row_save(t, f->head.tenant, f->head.dataset,
                       (uint64_t)json_integer_value(json_object_get(row, "version")), row);
}

static void restore_dataset(struct catalog_txn *t, struct rebuild *r, const char *tenant,
                            const char *dataset)
{
    char key[CATALOG_KEY_SIZE];
    struct head_file f;
    enum st st = head_file_read(&f, r->store->heads_dir, tenant, dataset);

    if (st == ST_CORRUPT)
        return; /* known by now, and to be skipped */
    catalog_fail(t, st);
    if (!t->status) {
        store_dataset_key(key, tenant, dataset);
        if (f.definition)
            catalog_put(t, CATALOG_DEFINITIONS, key, f.definition);
        restore_versions(t, r, &f);
        revive_head(t, &r->revival, &f.head);
    }
    head_file_release(&f);
}

/* `name` without ".json", when it is a name; false: it is something else. */
static bool name_of_file(char out[STORE_NAME_SIZE], const char *what, const char *name)
{
    size_t len = strlen(name);

    if (len < 6 || len - 5 >= STORE_NAME_SIZE || strcmp(name + len - 5, ".json") != 0)
        return false;
    memcpy(out, name, len - 5);
    out[len - 5] = '\0';
    return store_name_check(what, out) == ST_OK;
}

/* Every head file of a tenant. */
static enum st
each_dataset(const struct rebuild *r, const char *tenant,
             enum st (*dataset_fn)(const char *tenant, const char *dataset, void *ctx), void *ctx)
{
    char path[FS_PATH_MAX], dataset[STORE_NAME_SIZE];
    struct fs_list list = {0};
    enum st st = fs_path(path, "%s/%s", r->store->heads_dir, tenant);

    if (!st)
        st = fs_list_dir(&list, path);
    if (st == ST_NOT_FOUND) /* a tenant without datasets */
        return ST_OK;
    for (size_t i = 0; !st && i < list.count; i++)
        if (name_of_file(dataset, "dataset", list.names[i]))
            st = dataset_fn(tenant, dataset, ctx);
    fs_list_free(&list);
    return st;
}

static enum st look_at_dataset(const char *tenant, const char *dataset, void *ctx)
{
    struct rebuild *r = ctx;
    struct head_file f;
    char path[FS_PATH_MAX];
    enum st st = head_file_read(&f, r->store->heads_dir, tenant, dataset);

    head_file_release(&f);
    if (st != ST_CORRUPT)
        return st;
    json_t *damaged = json_pack("{s:s, s:s}", "path", "", "problem", st_message());
    st = fs_path(path, "%s/%s/%s.json", r->store->heads_dir, tenant, dataset);
    if (!st && json_object_set_new(damaged, "path", json_string(path)) != 0)
        st = rebuild_no_memory();
    if (json_array_append_new(r->damaged, damaged) != 0)
        st = rebuild_no_memory();
    return st;
}

/* Before anything is written. */
enum st rebuild_refuse_damaged(struct rebuild *r)
{
    struct fs_list tenants;
    enum st st = fs_list_dir(&tenants, r->store->heads_dir);

    for (size_t i = 0; !st && i < tenants.count; i++)
        if (store_name_check("tenant", tenants.names[i]) == ST_OK)
            st = each_dataset(r, tenants.names[i], look_at_dataset, r);
    fs_list_free(&tenants);
    if (!st && json_array_size(r->damaged) && !r->options->skip_damaged)
        st = st_hint(st_fail(ST_CORRUPT, "HEADS_DAMAGED", "%zu head files are damaged too",
                             json_array_size(r->damaged)),
                     "bring them from a backup's heads/, or rebuild without their datasets, whose "
                     "segments are swept then: --skip-damaged");
    return st;
}

struct restoring {
    struct catalog_txn *txn;
    struct rebuild *rebuild;
};

static enum st restore_one(const char *tenant, const char *dataset, void *ctx)
{
    struct restoring *to = ctx;

    restore_dataset(to->txn, to->rebuild, tenant, dataset);
    return to->txn->status;
}

/* heads/TENANT.json, and heads/TENANT/ when that file is lost. */
static void restore_tenants_of_heads(struct catalog_txn *t, struct rebuild *r)
{
    char name[STORE_NAME_SIZE];
    struct fs_list list;

    catalog_fail(t, fs_list_dir(&list, r->store->heads_dir));
    for (size_t i = 0; !t->status && i < list.count; i++) {
        if (store_name_check("tenant", list.names[i]) == ST_OK)
            restore_tenant(t, r, list.names[i]);
        else if (name_of_file(name, "tenant", list.names[i]))
            restore_tenant(t, r, name);
    }
    fs_list_free(&list);
}

/* KEYS/TENANT/hmac: a tenant whose every head file is lost. */
static void restore_tenants_of_keys(struct catalog_txn *t, struct rebuild *r)
{
    char path[FS_PATH_MAX];
    struct fs_list list;
    enum st st = fs_list_dir(&list, r->store->keys_dir);

    if (st != ST_NOT_FOUND) /* keys may be brought later */
        catalog_fail(t, st);
    for (size_t i = 0; !t->status && i < list.count; i++)
        if (store_name_check("tenant", list.names[i]) == ST_OK &&
            fs_path(path, "%s/%s/hmac", r->store->keys_dir, list.names[i]) == ST_OK &&
            access(path, F_OK) == 0)
            restore_tenant(t, r, list.names[i]);
    fs_list_free(&list);
}

void rebuild_restore_all(struct catalog_txn *t, struct rebuild *r)
{
    char name[CATALOG_KEY_SIZE] = "";
    json_t *row, *next;

    restore_tenants_of_heads(t, r);
    restore_tenants_of_keys(t, r);
    while ((row = catalog_after(t, CATALOG_TENANTS, "", name))) {
        json_decref(row);
        catalog_fail(t, each_dataset(r, name, restore_one, &(struct restoring){t, r}));
    }
    next = json_pack("{s:I}", "next", (json_int_t)(r->last_order + ORDER_GAP));
    if (next)
        catalog_put(t, CATALOG_COUNTERS, "job_order", next);
    else
        catalog_fail(t, rebuild_no_memory());
    json_decref(next);
    revive_tenants(t, &r->revival);
}
