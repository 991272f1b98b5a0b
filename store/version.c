#include "store/internal.h"

#include <string.h>

/* Version rows and events, as people read them. The row keeps what never changes after the build;
 * state and `current` are put in from the head, the one place where they live. What the head has
 * forgotten is over: FAILED when its row says so, else RETIRED. */

json_t *store_row_load(struct catalog_txn *t, const char *tenant, const char *dataset,
                       uint64_t version)
{
    char key[CATALOG_KEY_SIZE];

    store_numbered_key(key, tenant, dataset, version);
    return catalog_get(t, CATALOG_VERSIONS, key);
}

void store_row_save(struct catalog_txn *t, const char *tenant, const char *dataset,
                    uint64_t version, json_t *row)
{
    char key[CATALOG_KEY_SIZE];

    store_numbered_key(key, tenant, dataset, version);
    catalog_put(t, CATALOG_VERSIONS, key, row);
}

static void add_head_members(struct catalog_txn *t, json_t *row, const struct head *h)
{
    uint64_t version = (uint64_t)json_integer_value(json_object_get(row, "version"));
    const struct head_version *v = head_find(h, version);

    const char *outcome = json_string_value(json_object_get(row, "outcome"));
    bool failed = outcome && strcmp(outcome, "failed") == 0;
    enum version_state state = v ? v->state : failed ? VERSION_FAILED : VERSION_RETIRED;

    store_set(t, row, "state", json_string(version_state_name(state)));
    store_set(t, row, "current", json_boolean(version == h->current));
}

/* The names of a tenant's datasets are checked before they reach a key. */
static enum st check_dataset(const char *dataset)
{
    return store_name_check("dataset", dataset)
               ? st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name")
               : ST_OK;
}

enum st store_version_get(json_t **row, struct store *s, const char *tenant, const char *dataset,
                          uint64_t version)
{
    struct catalog_txn t;
    struct head h;
    enum st st = check_dataset(dataset);

    *row = NULL;
    if (st)
        return st;
    catalog_begin_read(&t, &s->catalog);
    store_head_load(&h, &t, tenant, dataset);
    *row = store_row_load(&t, tenant, dataset, version);
    if (!*row && !t.status)
        catalog_fail(&t,
                     st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION", "dataset \"%s\" has no version %llu",
                             dataset, (unsigned long long)version));
    if (*row)
        add_head_members(&t, *row, &h);
    head_release(&h);
    st = catalog_end(&t);
    if (st) {
        json_decref(*row);
        *row = NULL;
    }
    return st;
}

/* Newest first through a table of numbered keys. */
static enum st list_down(json_t **items, bool *more, struct store *s, enum catalog_table table,
                         const char *tenant, const char *dataset, uint64_t before, size_t limit)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    struct head h;
    json_t *row;
    enum st st = check_dataset(dataset);

    *items = NULL;
    *more = false;
    if (st)
        return st;
    store_dataset_key(prefix, tenant, dataset);
    strcat(prefix, "/");
    if (before)
        store_numbered_key(key, tenant, dataset, before);
    *items = json_array();
    catalog_begin_read(&t, &s->catalog);
    store_head_load(&h, &t, tenant, dataset);
    while ((row = catalog_before(&t, table, prefix, key))) {
        if (json_array_size(*items) == limit) {
            *more = true;
            json_decref(row);
            break;
        }
        if (table == CATALOG_VERSIONS)
            add_head_members(&t, row, &h);
        if (json_array_append_new(*items, row) != 0)
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
    }
    head_release(&h);
    st = catalog_end(&t);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}

enum st store_version_list(json_t **items, bool *more, struct store *s, const char *tenant,
                           const char *dataset, uint64_t before, size_t limit)
{
    return list_down(items, more, s, CATALOG_VERSIONS, tenant, dataset, before, limit);
}

enum st store_event_list(json_t **items, bool *more, struct store *s, const char *tenant,
                         const char *dataset, uint64_t before, size_t limit)
{
    return list_down(items, more, s, CATALOG_EVENTS, tenant, dataset, before, limit);
}
