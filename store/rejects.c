/* Where the records are that a version was built without: beside its row, which is read far more
 * often. They are kept for the newest versions of a dataset; counts by rule stay in the row. */
#include "store/internal.h"

void store_rejects_save(struct catalog_txn *t, const char *tenant, const char *dataset,
                        uint64_t version, json_t *row)
{
    char key[CATALOG_KEY_SIZE];
    json_t *rejects = json_object_get(row, "rejects");
    json_t *places = json_object_get(rejects, "places");

    if (version > STORE_REJECTS_KEPT) {
        store_numbered_key(key, tenant, dataset, version - STORE_REJECTS_KEPT);
        catalog_delete(t, CATALOG_REJECTS, key);
    }
    if (!places)
        return;
    if (json_array_size(places)) {
        json_t *value = json_object();
        store_set(t, value, "places", json_incref(places));
        store_numbered_key(key, tenant, dataset, version);
        catalog_put(t, CATALOG_REJECTS, key, value);
        json_decref(value);
    }
    /* The report stays as it is: this may be tried again. json_copy may leave members out. */
    json_t *counts = json_deep_copy(rejects);
    store_set(t, counts, "listed", json_integer((json_int_t)json_array_size(places)));
    json_object_del(counts, "places");
    store_set(t, row, "rejects", counts);
}

static json_t *page_of(struct catalog_txn *t, bool *more, const json_t *places, uint64_t after,
                       size_t limit)
{
    json_t *items = json_array();
    size_t count = json_array_size(places);
    size_t from = after < count ? (size_t)after : count;
    size_t to = count - from > limit ? from + limit : count;

    for (size_t i = from; i < to; i++)
        if (json_array_append(items, json_array_get(places, i)))
            catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    *more = to < count;
    return items;
}

enum st store_rejects_get(json_t **out, bool *more, struct store *s, const char *tenant,
                          const char *dataset, uint64_t version, uint64_t after, size_t limit)
{
    static const char *const COUNTS[] = {"unparsable", "rejected", "listed", "rules"};
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    json_t *row = NULL;
    enum st st = store_version_get(&row, s, tenant, dataset, version);

    *out = NULL;
    *more = false;
    if (st)
        return st;
    json_t *rejects = json_object_get(row, "rejects"), *answer = json_object();
    catalog_begin_read(&t, &s->catalog);
    store_numbered_key(key, tenant, dataset, version);
    json_t *value = catalog_get(&t, CATALOG_REJECTS, key);
    for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++) {
        json_t *count = json_object_get(rejects, COUNTS[i]);
        store_set(&t, answer, COUNTS[i], count ? json_incref(count) : json_null());
    }
    store_set(&t, answer, "items",
              page_of(&t, more, json_object_get(value, "places"), after, limit));
    json_decref(value);
    json_decref(row);
    st = catalog_end(&t);
    if (st) {
        json_decref(answer);
        answer = NULL;
    }
    *out = answer;
    return st;
}
