#include "store/diff_internal.h"

#include "store/segment_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* The diff's life. */

/* ---- finding the versions: on the catalog thread ---- */

static enum st begin(struct store_diff **out, struct store *s, const char *tenant,
                     const char *dataset, uint64_t from, uint64_t to, const json_t *definition,
                     const char *path)
{
    struct store_diff *d;
    struct catalog_txn t;
    struct head h;
    enum st st = ST_OK;

    *out = NULL;
    if (store_name_check("dataset", dataset))
        return st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name");
    d = calloc(1, sizeof *d);
    if (!d)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    snprintf(d->tenant, sizeof d->tenant, "%s", tenant);
    snprintf(d->dataset, sizeof d->dataset, "%s", dataset);
    snprintf(d->keys_dir, sizeof d->keys_dir, "%s", store_keys_dir(s));
    d->result.from = from;
    d->result.to = to;
    for (size_t i = 0; i < DIFF_SIDES; i++)
        d->sides[i] = (struct held_version){.tenant = d->tenant,
                                            .dataset = d->dataset,
                                            .reader = "diff",
                                            .version = i == DIFF_TO ? to : from};
    if (path)
        st = held_find_file(&d->sides[DIFF_TO], definition, path);
    catalog_begin_read(&t, &s->catalog);
    catalog_fail(&t, st);
    store_head_load(&h, &t, tenant, dataset);
    for (size_t i = 0; !t.status && i < (path ? DIFF_TO : DIFF_SIDES); i++)
        catalog_fail(&t, held_find(&d->sides[i], &t, s, &h));
    head_release(&h);
    st = catalog_end(&t);
    if (st) {
        store_diff_free(d);
        return st;
    }
    *out = d;
    return ST_OK;
}

enum st store_diff_begin(struct store_diff **out, struct store *s, const char *tenant,
                         const char *dataset, uint64_t from, uint64_t to)
{
    return begin(out, s, tenant, dataset, from, to, NULL, NULL);
}

enum st store_diff_begin_file(struct store_diff **out, struct store *s, const char *tenant,
                              const json_t *definition, uint64_t from, const char *path)
{
    const char *dataset = json_string_value(json_object_get(definition, "name"));

    return begin(out, s, tenant, dataset ? dataset : "", from, 0, definition, path);
}

enum st diff_tell(struct store_diff *d, const char *phase, uint64_t done, uint64_t total)
{
    if (d->tell_fn)
        d->stopped = d->tell_fn(phase, done, total, d->ctx);
    return d->stopped;
}

static enum st tell_verifying(void *ctx)
{
    return diff_tell(ctx, "verifying", 0, 0);
}

static enum st open_both(struct store_diff *d)
{
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < DIFF_SIDES; i++)
        st = held_open(&d->sides[i], d->keys_dir, tell_verifying, d);
    return st;
}

static bool same_member(const json_t *a, const json_t *b, const char *name)
{
    const json_t *of_a = json_object_get(a, name), *of_b = json_object_get(b, name);

    return of_a == of_b || json_equal(of_a, of_b); /* `sort` may be in neither */
}

/* What the segments say of their keys must be the same in every point. */
enum st diff_check_keys(const struct store_diff *d)
{
    static const struct {
        const char *member, *why;
    } REASONS[] = {
        {"protect", "one of them protects its keys and the other does not"},
        {"id", "their keys are protected with different HMAC keys"},
        {"fields", "their keys have other fields or normalisers"},
        {"unicode", "their keys were normalised by different Unicode versions"},
        {"check", "the same key has another hash in each"},
        {"sort", "their keys are not series in the order of the same field"},
    };
    const json_t *first = NULL;

    for (size_t i = 0; i < DIFF_SIDES; i++)
        for (size_t j = 0; j < d->sides[i].count; j++) {
            const json_t *key = json_object_get(d->sides[i].segments[j]->meta, "key");

            if (!first)
                first = key;
            for (size_t k = 0; k < sizeof REASONS / sizeof REASONS[0]; k++)
                if (!same_member(first, key, REASONS[k].member))
                    return st_hint(
                        st_fail(ST_CONFLICT, "KEYS_NOT_COMPARABLE",
                                "the records of versions %llu and %llu cannot be compared: %s",
                                (unsigned long long)d->result.from,
                                (unsigned long long)d->result.to, REASONS[k].why),
                        "their rollups can be: rollups_only=true, or --rollups-only");
        }
    return ST_OK;
}

/* ---- the run ---- */

struct compare {
    struct store_diff *d;
    bool rollups_only;
};

/* Inside a guard: what it allocates hangs on the diff. */
static enum st compare(void *ctx)
{
    struct store_diff *d = ((struct compare *)ctx)->d;
    enum st st = diff_fields(d);

    if (!st && !((struct compare *)ctx)->rollups_only) {
        st = diff_check_keys(d);
        if (!st)
            st = diff_records(d);
    }
    return st ? st : diff_rollups(d);
}

enum st store_diff_run(struct store_diff *d, bool rollups_only, store_diff_fn tell_fn, void *ctx)
{
    d->tell_fn = tell_fn;
    d->ctx = ctx;
    d->result.compared = !rollups_only;
    d->result.definition_changed = !json_equal(d->sides[DIFF_FROM].definition->document,
                                               d->sides[DIFF_TO].definition->document);
    enum st st = diff_tell(d, "verifying", 0, 0);
    if (!st)
        st = open_both(d);
    return st ? st : guard_call(compare, &(struct compare){d, rollups_only});
}

const struct store_diff_result *store_diff_result(const struct store_diff *d)
{
    return &d->result;
}

void store_diff_free(struct store_diff *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < DIFF_SIDES; i++)
        held_release(&d->sides[i]);
    for (size_t i = 0; i < STORE_DIFF_UNCHANGED; i++)
        for (size_t j = 0; j < d->result.sample_counts[i]; j++)
            free(d->result.samples[i][j]);
    for (size_t i = 0; i < d->result.rollup_count; i++)
        free(d->result.rollups[i].metrics);
    free(d->result.rollups);
    free(d->result.fields);
    free(d);
}
