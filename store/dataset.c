#include "store/internal.h"
#include "store/queue_internal.h"
#include "store/target.h"

#include "base/clock.h"

#include <string.h>

/* Datasets: the definition that the next build uses, beside the head that says what is served. */

#define NAMES_OF_EACH 10 /* a dataset that is deleted leaves its head: see check_quota */
#define NAMES_MORE 100

static json_int_t count_entries(struct catalog_txn *t, enum catalog_table table, const char *prefix,
                                json_int_t enough)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_int_t count = 0;
    json_t *item;

    while (count < enough && catalog_after_any(&item, t, table, prefix, key)) {
        json_decref(item);
        count++;
    }
    return count;
}

/* Of datasets, and of names, of which every server reads each with every commit: what is deleted
 * leaves its number of versions for ever. */
static void check_quota(struct catalog_txn *t, const char *tenant, bool new_name)
{
    char prefix[CATALOG_KEY_SIZE];
    json_t *row = catalog_get(t, CATALOG_TENANTS, tenant);
    json_int_t max =
        json_integer_value(json_object_get(json_object_get(row, "limits"), "max_datasets"));
    json_int_t names = NAMES_OF_EACH * max + NAMES_MORE;

    if (!row && !t->status)
        catalog_fail(t,
                     st_fail(ST_NOT_FOUND, "UNKNOWN_TENANT", "there is no tenant \"%s\"", tenant));
    json_decref(row);
    store_dataset_key(prefix, tenant, "");
    if (max && count_entries(t, CATALOG_DEFINITIONS, prefix, max) == max)
        catalog_fail(t,
                     st_fail(ST_FULL, "QUOTA", "tenant \"%s\" may have %lld datasets and has them",
                             tenant, (long long)max));
    if (max && new_name && count_entries(t, CATALOG_HEADS, prefix, names) == names)
        catalog_fail(
            t, st_hint(st_fail(ST_FULL, "QUOTA", "tenant \"%s\" has had datasets of %lld names",
                               tenant, (long long)names),
                       "take the name of one that was deleted, or allow more datasets"));
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

static json_t *version_json(uint64_t version)
{
    return version ? json_integer((json_int_t)version) : json_null();
}

/* A new reference; a failure is the transaction's. */
static json_t *dataset_json(struct catalog_txn *t, const struct head *h, const json_t *stored)
{
    json_t *out = json_object();
    json_t *definition = json_object_get(stored, "definition");
    const char *description = json_string_value(json_object_get(definition, "description"));
    bool served = h->current != 0;

    store_set(t, out, "name", json_string(h->dataset));
    store_set(t, out, "description", json_string(description ? description : ""));
    store_set(t, out, "current", version_json(h->current));
    store_set(t, out, "current_since",
              served ? store_time_json(h->turns[h->turn_count - 1].at_us) : json_null());
    store_set(t, out, "sequence", json_integer((json_int_t)h->sequence));
    store_set(t, out, "created_at", json_incref(json_object_get(stored, "created_at")));
    store_set(t, out, "updated_at", json_incref(json_object_get(stored, "updated_at")));
    return out;
}

/* With what is told of one, not of each in a list. */
static json_t *whole_json(struct catalog_txn *t, const struct store *s, const struct head *h,
                          const json_t *stored)
{
    json_t *out = dataset_json(t, h, stored);
    uint64_t target = h->current ? store_rollback_target(t, s, h) : 0;

    store_set(t, out, "definition", json_incref(json_object_get(stored, "definition")));
    store_set(t, out, "rollback_to", version_json(target));
    return out;
}

/* What the request says about what is there (RFC 9110 section 13.1). */
static enum st check_conditions(const struct store_put *put, const struct head *h, bool there)
{
    if (put->if_absent && there)
        return st_hint(
            st_fail(ST_PRECONDITION, "HEAD_MOVED", "there is a dataset \"%s\" already", h->dataset),
            "look at it, then send If-Match with its ETag");
    if (!there && (put->if_there || put->if_head.count))
        return st_fail(ST_PRECONDITION, "HEAD_MOVED", "there is no dataset \"%s\"", h->dataset);
    return store_move_check_head(h, &(struct store_move){.if_head = put->if_head});
}

/* The new row. */
static json_t *save_definition(struct catalog_txn *t, const char *key, const json_t *stored,
                               const struct store_definition *definition, int64_t at_us)
{
    json_t *created = json_incref(json_object_get(stored, "created_at"));
    json_t *row = json_object();

    store_set(t, row, "definition", json_incref(definition->document));
    store_set(t, row, "created_at", created ? created : store_time_json(at_us));
    store_set(t, row, "updated_at", store_time_json(at_us));
    if (!t->status)
        catalog_put(t, CATALOG_DEFINITIONS, key, row);
    return row;
}

enum st store_dataset_put(json_t **out, bool *created, struct store *s, const char *tenant,
                          const struct store_definition *definition, const struct store_put *put)
{
    json_t *row = NULL, *dataset = NULL;
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    struct head h;
    enum st st = store_name_check("tenant", tenant);

    if (st)
        return st;
    store_dataset_key(key, tenant, definition->name);
    catalog_begin_write(&t, &s->catalog);
    json_t *stored = catalog_get(&t, CATALOG_DEFINITIONS, key);
    store_head_load_any(&h, &t, tenant, definition->name);
    if (stored && !h.sequence && !t.status)
        catalog_fail(&t, st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "dataset \"%s\" has no head",
                                 definition->name));
    if (!t.status)
        catalog_fail(&t, check_conditions(put, &h, stored != NULL));
    if (!stored)
        check_quota(&t, tenant, !h.sequence);
    else if (!put->force && !t.status && h.turn_count) /* nobody reads what was never served */
        check_compatible(&t, stored, definition);
    if (!t.status) {
        head_touch(&h, clock_wall_us());
        h.deleted = false;
        row = save_definition(&t, key, stored, definition, h.event_us);
        dataset = whole_json(&t, s, &h, row);
        store_head_save(
            &t, s, &h,
            &(struct store_event){
                .event = "defined", .from = h.current, .to = h.current, .actor = put->actor});
    }
    st = catalog_commit(&t);
    if (created)
        *created = !stored;
    if (out)
        *out = st ? NULL : json_incref(dataset);
    json_decref(dataset);
    json_decref(row);
    json_decref(stored);
    head_release(&h);
    return st;
}

static void check_jobs(struct catalog_txn *t, const struct head *h)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_t *entry;

    while ((entry = queue_entry_after(t, key))) {
        if (strcmp(queue_text(entry, "tenant"), h->tenant) == 0 &&
            strcmp(queue_text(entry, "dataset"), h->dataset) == 0)
            catalog_fail(t, st_hint(st_fail(ST_CONFLICT, "HAS_JOBS",
                                            "cannot delete \"%s\": %s has not ended", h->dataset,
                                            queue_text(entry, "job")),
                                    "wait for it, or cancel it"));
        json_decref(entry);
    }
}

static void date_rows(struct catalog_txn *t, const struct head *h, int64_t at_us)
{
    for (size_t i = 0; i < h->version_count && !t->status; i++) {
        uint64_t version = h->versions[i].version;
        json_t *row =
            head_keeps(&h->versions[i]) ? store_row_load(t, h->tenant, h->dataset, version) : NULL;
        if (row) {
            store_set(t, row, "updated_at", store_time_json(at_us));
            store_row_save(t, h->tenant, h->dataset, version, row);
        }
        json_decref(row);
    }
}

/* The head stays, without a version that has files, and so do rows and events. A definition makes
 * it a dataset again. The files go as those of any version that is RETIRED (store/retention.c). */
enum st store_dataset_delete(uint64_t *sequence, struct store *s, const struct store_move *move)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    struct head h;
    enum st st = store_move_check_reason(&move->actor);

    if (st)
        return st;
    store_dataset_key(key, move->tenant, move->dataset);
    catalog_begin_write(&t, &s->catalog);
    store_head_load(&h, &t, move->tenant, move->dataset);
    uint64_t current = h.current;
    if (!t.status)
        catalog_fail(&t, store_move_check_head(&h, move));
    if (!t.status)
        check_jobs(&t, &h);
    date_rows(&t, &h, clock_wall_us());
    if (!t.status)
        catalog_fail(&t, head_delete(&h, clock_wall_us()));
    if (!t.status)
        catalog_delete(&t, CATALOG_DEFINITIONS, key);
    store_head_save(
        &t, s, &h,
        &(struct store_event){.event = "deleted", .from = current, .actor = &move->actor});
    st = catalog_commit(&t);
    *sequence = h.sequence;
    head_release(&h);
    return st;
}

enum st store_dataset_get(json_t **out, struct store *s, const char *tenant, const char *dataset)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    struct head h;
    enum st st = store_name_check("dataset", dataset);

    *out = NULL;
    if (st) /* a name that cannot be is one that is not there */
        return st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name");
    store_dataset_key(key, tenant, dataset);
    catalog_begin_read(&t, &s->catalog);
    json_t *stored = catalog_get(&t, CATALOG_DEFINITIONS, key);
    store_head_load(&h, &t, tenant, dataset);
    if (!t.status)
        *out = whole_json(&t, s, &h, stored);
    head_release(&h);
    json_decref(stored);
    st = catalog_end(&t);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

enum st store_dataset_sequence(uint64_t *out, struct store *s, const char *tenant,
                               const char *dataset)
{
    struct catalog_txn t;
    struct head h;

    catalog_begin_read(&t, &s->catalog);
    store_head_load(&h, &t, tenant, dataset);
    *out = h.sequence;
    head_release(&h);
    return catalog_end(&t);
}

/* What can be told when an entry of the dataset is damaged, as the thread's report says. */
static json_t *damaged_json(const char *dataset)
{
    return json_pack("{s:s, s:s, s:n, s:n, s:n, s:n, s:n, s:s}", "name", dataset, "description", "",
                     "current", "current_since", "sequence", "created_at", "updated_at", "problem",
                     st_code());
}

/* One of the list; `stored` NULL: it is damaged. */
static json_t *item_json(struct catalog_txn *t, const char *tenant, const char *dataset,
                         const json_t *stored)
{
    struct head h = {0};
    json_t *item = NULL;

    if (stored)
        store_head_load_any(&h, t, tenant, dataset);
    if (stored && !t->status && !h.sequence)
        catalog_fail(t,
                     st_fail(ST_CORRUPT, "CATALOG_DAMAGED", "dataset \"%s\" has no head", dataset));
    bool damaged = !stored || t->status == ST_CORRUPT;
    if (t->status == ST_CORRUPT)
        catalog_forgive(t);
    if (!t->status)
        item = damaged ? damaged_json(dataset) : dataset_json(t, &h, stored);
    head_release(&h);
    return item;
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
    while (!*more && catalog_after_any(&stored, &t, CATALOG_DEFINITIONS, prefix, key)) {
        *more = json_array_size(*items) == limit;
        json_t *item = *more ? NULL : item_json(&t, tenant, key + strlen(prefix), stored);
        if (item && json_array_append_new(*items, item) != 0)
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
        json_decref(stored);
    }
    enum st st = catalog_end(&t);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}
