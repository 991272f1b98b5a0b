#include "store/internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* Datasets: the definition that the next build uses, beside the head that says what is served. */

static void check_quota(struct catalog_txn *t, const char *tenant)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *row = catalog_get(t, CATALOG_TENANTS, tenant), *item;
    json_int_t max =
        json_integer_value(json_object_get(json_object_get(row, "limits"), "max_datasets"));
    json_int_t count = 0;

    if (!row && !t->status)
        catalog_fail(t,
                     st_fail(ST_NOT_FOUND, "UNKNOWN_TENANT", "there is no tenant \"%s\"", tenant));
    json_decref(row);
    store_dataset_key(prefix, tenant, "");
    while (max && (item = catalog_after(t, CATALOG_DEFINITIONS, prefix, key))) {
        json_decref(item);
        if (++count >= max)
            catalog_fail(t, st_fail(ST_FULL, "QUOTA",
                                    "tenant \"%s\" may have %lld datasets and has "
                                    "them",
                                    tenant, (long long)max));
    }
}

/* Refuses to take away what clients of the current definition read. */
static void check_compatible(struct catalog_txn *t, json_t *stored,
                             const struct store_definition *next)
{
    struct store_definition *old = NULL;
    enum st st = store_definition_parse(&old, json_object_get(stored, "definition"));

    if (!st)
        st = store_definition_compatible(old, next);
    store_definition_free(old);
    catalog_fail(t, st);
}

enum st store_dataset_put(uint64_t *sequence, struct store *s, const char *tenant,
                          const struct store_definition *definition, bool force,
                          const struct store_actor *actor)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    struct head h = {0};
    enum st st = store_name_check("tenant", tenant);

    if (st)
        return st;
    store_dataset_key(key, tenant, definition->name);
    catalog_begin_write(&t, &s->catalog);
    json_t *stored = catalog_get(&t, CATALOG_DEFINITIONS, key);
    if (!stored) {
        check_quota(&t, tenant);
        snprintf(h.tenant, sizeof h.tenant, "%s", tenant);
        snprintf(h.dataset, sizeof h.dataset, "%s", definition->name);
    } else {
        store_head_load(&h, &t, tenant, definition->name);
        if (!force && !t.status)
            check_compatible(&t, stored, definition);
    }
    if (!t.status) {
        int64_t now_us = clock_wall_us();
        json_t *created = json_incref(json_object_get(stored, "created_at"));
        json_t *row = json_object();

        h.sequence++;
        h.event_us = now_us > h.event_us ? now_us : h.event_us + 1;
        store_set(&t, row, "definition", json_incref(definition->document));
        store_set(&t, row, "created_at", created ? created : store_time_json(h.event_us));
        store_set(&t, row, "updated_at", store_time_json(h.event_us));
        if (!t.status)
            catalog_put(&t, CATALOG_DEFINITIONS, key, row);
        json_decref(row);
        store_head_save(
            &t, s, &h,
            &(struct store_event){
                .event = "defined", .from = h.current, .to = h.current, .actor = actor});
    }
    st = catalog_commit(&t);
    if (!st && sequence)
        *sequence = h.sequence;
    json_decref(stored);
    head_release(&h);
    return st;
}

static json_t *dataset_json(struct catalog_txn *t, const char *tenant, const char *dataset,
                            const json_t *stored, bool with_definition)
{
    struct head h;
    json_t *out = json_object();
    json_t *definition = json_object_get(stored, "definition");
    json_t *description = json_object_get(definition, "description");

    store_head_load(&h, t, tenant, dataset);
    if (!t->status) {
        bool served = h.current != 0;

        store_set(t, out, "name", json_string(dataset));
        store_set(t, out, "description", description ? json_incref(description) : json_string(""));
        if (with_definition)
            store_set(t, out, "definition", json_incref(definition));
        store_set(t, out, "current", served ? json_integer((json_int_t)h.current) : json_null());
        store_set(t, out, "current_since",
                  served ? store_time_json(h.turns[h.turn_count - 1].at_us) : json_null());
        store_set(t, out, "sequence", json_integer((json_int_t)h.sequence));
        store_set(t, out, "created_at", json_incref(json_object_get(stored, "created_at")));
        store_set(t, out, "updated_at", json_incref(json_object_get(stored, "updated_at")));
    }
    head_release(&h);
    return out;
}

enum st store_dataset_get(json_t **out, struct store *s, const char *tenant, const char *dataset)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    enum st st = store_name_check("dataset", dataset);

    *out = NULL;
    if (st) /* a name that cannot be is one that is not there */
        return st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name");
    store_dataset_key(key, tenant, dataset);
    catalog_begin_read(&t, &s->catalog);
    json_t *stored = catalog_get(&t, CATALOG_DEFINITIONS, key);
    if (!stored && !t.status)
        catalog_fail(
            &t, st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset \"%s\"", dataset));
    if (!t.status)
        *out = dataset_json(&t, tenant, dataset, stored, true);
    json_decref(stored);
    st = catalog_end(&t);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

enum st store_dataset_list(json_t **items, bool *more, struct store *s, const char *tenant,
                           const char *after, size_t limit)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *stored;

    *items = json_array();
    *more = false;
    store_dataset_key(prefix, tenant, "");
    if (after)
        store_dataset_key(key, tenant, after);
    catalog_begin_read(&t, &s->catalog);
    while ((stored = catalog_after(&t, CATALOG_DEFINITIONS, prefix, key))) {
        if (json_array_size(*items) == limit) {
            *more = true;
            json_decref(stored);
            break;
        }
        json_array_append_new(*items,
                              dataset_json(&t, tenant, key + strlen(prefix), stored, false));
        json_decref(stored);
    }
    enum st st = catalog_end(&t);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}
