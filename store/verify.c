#include "base/utf8.h"
#include "store/catalog_check.h"
#include "store/head_file.h"
#include "store/internal.h"
#include "store/seal.h"

#include <stdio.h>
#include <string.h>

/* Verification by hand (`everline verify`): what every manifest names is there and whole. Deep: its
 * hash, and everything inside. Heads are copied out first: deep verification takes minutes, and a
 * reading transaction that long would make the catalog grow. */

struct verification {
    struct store *store;
    json_t *problems;
    json_int_t segments, versions;
    size_t head_files, entries; /* that are bad; entries of the catalog */
    bool deep;
};

void store_mend_hint(char out[STORE_MEND_HINT_SIZE], const struct store *s, const struct head *h,
                     uint64_t version, uint64_t target)
{
    if (version != h->current)
        snprintf(out, STORE_MEND_HINT_SIZE,
                 "it cannot be served again unless its batch is ingested again");
    else if (target)
        snprintf(out, STORE_MEND_HINT_SIZE,
                 "back to version %llu: everline rollback %s --tenant %s --data %s --reason "
                 "\"version %llu is damaged\"; or ingest the batch again",
                 (unsigned long long)target, h->dataset, h->tenant, s->data_dir,
                 (unsigned long long)version);
    else
        snprintf(out, STORE_MEND_HINT_SIZE,
                 "there is no version to go back to: ingest the batch again");
}

static bool add_problem(struct verification *v, const struct head *h, const struct head_version *hv,
                        const struct store_segment_ref *ref)
{
    return json_array_append_new(v->problems, json_pack("{s:s, s:s, s:I, s:s, s:s}", "tenant",
                                                        h->tenant, "dataset", h->dataset, "version",
                                                        (json_int_t)hv->version, "sha256",
                                                        ref->sha256, "problem", st_message())) == 0;
}

/* A problem of something else than a version. `tenant` may be NULL. */
static enum st add_other_problem(struct verification *v, const char *tenant, const char *dataset,
                                 const char *hint)
{
    return json_array_append_new(v->problems,
                                 json_pack("{s:s?, s:s?, s:n, s:n, s:s, s:s}", "tenant", tenant,
                                           "dataset", dataset, "version", "sha256", "problem",
                                           st_message(), "hint", hint)) == 0
               ? ST_OK
               : st_fail(ST_NOMEM, NULL, "out of memory");
}

static uint64_t version_of(const struct verification *v, size_t problem)
{
    const json_t *row = json_array_get(v->problems, problem);

    return (uint64_t)json_integer_value(json_object_get(row, "version"));
}

/* When all versions of the head were looked at: its problems are those from `first` on, and none
 * sends anybody to a version that has one too. */
static enum st add_hints(struct verification *v, const struct head *h, size_t first)
{
    char hint[STORE_MEND_HINT_SIZE];
    size_t count = json_array_size(v->problems), i;
    uint64_t target;

    for (size_t at = 0; (target = head_rollback_step(h, &at));) {
        for (i = first; i < count && version_of(v, i) != target; i++)
            ;
        if (i == count)
            break;
    }
    for (i = first; i < count; i++) {
        store_mend_hint(hint, v->store, h, version_of(v, i), target);
        if (json_object_set_new(json_array_get(v->problems, i), "hint", json_string(hint)) != 0)
            return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    return ST_OK;
}

static enum st verify_inside(struct verification *v, const struct head *h,
                             const struct head_version *hv, const char *path)
{
    struct store_definition *definition = NULL;
    struct store_segment *segment = NULL;
    json_t *row = NULL;
    enum st st = store_version_get(&row, v->store, h->tenant, h->dataset, hv->version);

    if (!st)
        st = store_definition_parse(&definition, json_object_get(row, "definition"));
    if (!st)
        st = store_segment_open_checked(&segment, path, v->store->keys_dir, h->tenant, definition,
                                        1);
    if (!st)
        st = store_segment_verify(segment, 0, definition);
    store_segment_close(segment);
    store_definition_free(definition);
    json_decref(row);
    return st;
}

/* Is the file as it was when its bytes were last verified? */
static bool is_sealed(struct verification *v, const struct store_segment_ref *ref, const char *path)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &v->store->catalog);
    bool holds = store_seal_holds(&t, ref->sha256, path);
    return catalog_end(&t) == ST_OK && holds;
}

/* Retention goes on meanwhile: is the version still one that must be whole? Where that cannot be
 * told, it is. What is wrong with it stays the thread's report. */
static bool is_kept_now(struct verification *v, const struct head *h, uint64_t version)
{
    struct st_report problem;
    struct catalog_txn t;
    struct head now;

    st_save(&problem, ST_OK);
    catalog_begin_read(&t, &v->store->catalog);
    store_head_load(&now, &t, h->tenant, h->dataset);
    const struct head_version *hv = t.status ? NULL : head_find(&now, version);
    bool kept = hv && head_keeps(hv);
    head_release(&now);
    enum st st = catalog_end(&t);
    (void)st_restore(&problem);
    return kept || (st && st != ST_NOT_FOUND);
}

static enum st verify_segment(struct verification *v, const struct head *h,
                              const struct head_version *hv, const struct store_segment_ref *ref)
{
    char path[FS_PATH_MAX];
    enum st st = store_segment_path(path, v->store, ref->sha256);

    if (!st)
        st = v->deep || !is_sealed(v, ref, path) ? store_segment_file_verify(NULL, path, ref, NULL)
                                                 : store_segment_file_check(path, ref);
    return !st && v->deep ? verify_inside(v, h, hv, path) : st;
}

/* ST_NOMEM: it cannot be told what is wrong. All else is a problem of the version's, unless it was
 * retired meanwhile: then nothing is said of it. */
static enum st verify_version(struct verification *v, const struct head *h,
                              const struct head_version *hv)
{
    if (!head_keeps(hv))
        return ST_OK;
    for (size_t i = 0; i < hv->segment_count; i++) {
        enum st st = verify_segment(v, h, hv, &hv->segments[i]);
        if (st == ST_NOMEM)
            return st;
        if (st && !is_kept_now(v, h, hv->version))
            return ST_OK;
        if (st && !add_problem(v, h, hv, &hv->segments[i]))
            return st_fail(ST_NOMEM, NULL, "out of memory");
        v->segments++;
    }
    v->versions++;
    return ST_OK;
}

/* The way back when the catalog is lost. */
static enum st verify_head_file(struct verification *v, const struct head *h)
{
    struct head_file file;
    enum st st = head_file_read(&file, v->store->heads_dir, h->tenant, h->dataset);

    head_file_release(&file);
    if (!st || st == ST_NOMEM)
        return st;
    v->head_files++;
    return add_other_problem(
        v, h->tenant, h->dataset,
        "it is written anew with the dataset's next change: put its definition "
        "again, before the catalog is ever needed from it");
}

/* The key of a tenant, or of a head. */
static enum st add_entry_problem(struct verification *v, const char *key)
{
    char tenant[STORE_NAME_SIZE] = "", dataset[STORE_NAME_SIZE] = "";

    (void)sscanf(key, "%63[^/]/%63s", tenant, dataset);
    utf8_mend(tenant); /* it may be the key that is damaged */
    utf8_mend(dataset);
    v->entries++;
    return add_other_problem(v, tenant, dataset[0] ? dataset : NULL, st_hint_text());
}

static void look_at_tenants(struct verification *v, struct catalog_txn *t)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct store_tenant tenant;
    json_t *row;

    while (catalog_after_any(&row, t, CATALOG_TENANTS, "", key)) {
        if (!row || store_tenant_from_json(&tenant, row))
            catalog_fail(t, add_entry_problem(v, key));
        json_decref(row);
    }
}

/* The tenants are looked at on the way, and none of the files knows more than the catalog. */
static enum st copy_heads(json_t **heads, struct verification *v)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *document;

    *heads = json_array();
    if (!*heads)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    catalog_begin_read(&t, &v->store->catalog);
    look_at_tenants(v, &t);
    while (catalog_after_any(&document, &t, CATALOG_HEADS, "", key))
        if (!document)
            catalog_fail(&t, add_entry_problem(v, key));
        else if (json_array_append_new(*heads, document) != 0)
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
    store_head_files(&t, v->store, NULL, NULL);
    return catalog_end(&t);
}

/* The other values of the catalog. Its structure was looked at when it was opened; that a head
 * or a tenant's row is damaged is said already, and what mends it mends the rest. */
static enum st verify_catalog(struct verification *v)
{
    enum st st = v->deep && !v->entries ? catalog_check(&v->store->catalog, true) : ST_OK;

    if (st != ST_CORRUPT)
        return st;
    v->entries++;
    return add_other_problem(v, NULL, NULL, st_hint_text());
}

enum st store_verify(json_t **report, struct store *s, bool deep)
{
    struct verification v = {.store = s, .problems = json_array(), .deep = deep};
    json_t *heads = NULL, *document;
    size_t i;
    enum st st = v.problems ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");

    *report = NULL;
    if (!st)
        st = copy_heads(&heads, &v);
    if (!st)
        st = verify_catalog(&v);
    json_array_foreach(heads, i, document)
    {
        struct head h;
        if (st)
            break;
        size_t first = json_array_size(v.problems);
        st = head_from_json(&h, document);
        for (size_t j = 0; !st && j < h.version_count; j++)
            st = verify_version(&v, &h, &h.versions[j]);
        if (!st)
            st = add_hints(&v, &h, first);
        if (!st)
            st = verify_head_file(&v, &h);
        head_release(&h);
    }
    size_t problems = json_array_size(v.problems);
    if (!st)
        *report = json_pack("{s:b, s:I, s:I, s:O}", "ok", problems == 0, "segments", v.segments,
                            "versions", v.versions, "problems", v.problems);
    if (!st && !*report)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st && problems)
        st = st_hint(st_fail(ST_CORRUPT, "DAMAGED",
                             "%zu of %lld segments, %zu of %zu head files and %zu entries of the "
                             "catalog have a problem",
                             problems - v.head_files - v.entries, (long long)v.segments,
                             v.head_files, json_array_size(heads) + v.entries, v.entries),
                     "below each of the problems stands what mends it");
    json_decref(v.problems);
    json_decref(heads);
    return st;
}
