#include "store/view_internal.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "store/series.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum st take_key(struct serving *s, const struct serving *previous, const char *keys_dir)
{
    const struct store_definition *d = s->definition;

    if (d->key.protect == STORE_PROTECT_NONE || s->served.segment_count == 0)
        return ST_OK;
    snprintf(s->key_id, sizeof s->key_id, "%s", store_segment_key_id(s->segments[0]));
    if (previous && previous->hmac_key.bytes && strcmp(previous->key_id, s->key_id) == 0)
        return secret_copy(&s->hmac_key, previous->hmac_key.bytes, previous->hmac_key.len);
    return store_hmac_key_read(&s->hmac_key, keys_dir, s->tenant, s->key_id);
}

enum st serving_new(struct serving **out, const struct head *h, uint64_t version,
                    struct store_definition *definition, struct adopted *const *entries,
                    size_t entry_count, const struct st_report *bad, const struct serving *previous,
                    const char *keys_dir, unsigned slots)
{
    const struct head_version *v = head_find(h, version);
    struct serving *s = calloc(1, sizeof *s);
    struct store_hasher **hashers = calloc(slots, sizeof *hashers);
    enum st st = ST_OK;

    *out = NULL;
    if (!s || !hashers || entry_count > SERVING_SEGMENTS_MAX) {
        free(s);
        free(hashers);
        store_definition_free(definition);
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    memcpy(s->tenant, h->tenant, sizeof s->tenant);
    memcpy(s->dataset, h->dataset, sizeof s->dataset);
    s->definition = definition;
    s->hashers = hashers;
    s->slots = slots;
    s->served = (struct store_served){
        .tenant = s->tenant,
        .dataset = s->dataset,
        .sequence = h->sequence,
        .version = version,
        .state = v ? version_state_name(v->state) : NULL,
        .since_us = h->turn_count ? h->turns[h->turn_count - 1].at_us : 0,
        .definition = definition,
        .segments = s->segments,
        .key_id = s->key_id,
    };
    if (bad) {
        snprintf(s->unavailable, sizeof s->unavailable, "%.*s", utf8_cut(bad->message, 200),
                 bad->message);
        s->served.unavailable = s->unavailable;
        snprintf(s->unavailable_code, sizeof s->unavailable_code, "%s", bad->code);
        s->served.unavailable_code = s->unavailable_code;
    }
    for (size_t i = 0; !bad && i < entry_count; i++) {
        s->segments[i] = entries[i]->segment;
        s->adopted[i] = entries[i];
        entries[i]->uses++;
        s->served.segment_count++;
    }
    if (definition && !bad)
        st = take_key(s, previous, keys_dir);
    if (st) {
        serving_free(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void serving_free(struct serving *s)
{
    for (size_t i = 0; i < s->served.segment_count; i++)
        s->adopted[i]->uses--;
    for (unsigned slot = 0; slot < s->slots; slot++)
        store_hasher_free(s->hashers[slot]);
    free(s->hashers);
    secret_release(&s->hmac_key);
    store_definition_free(s->definition);
    head_release(&s->head);
    free(s);
}

bool serving_says(const struct serving *s, const struct st_report *bad)
{
    if (!s->served.unavailable || !bad)
        return !s->served.unavailable && !bad;
    size_t len = strlen(s->unavailable);
    return strncmp(s->unavailable, bad->message, len) == 0 &&
           len == (size_t)utf8_cut(bad->message, 200);
}

static void let_go(struct serving **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (--list[i]->views == 0)
            serving_free(list[i]);
    free(list);
}

void view_free(struct store_view *v)
{
    if (!v)
        return;
    let_go(v->datasets, v->dataset_count);
    let_go(v->pinned, v->pinned_count);
    revocations_release(v->revocations);
    free(v->tenants);
    free(v);
}

const struct store_tenant *store_view_tenant_at(const struct store_view *v, size_t i)
{
    return i < v->tenant_count ? &v->tenants[i] : NULL;
}

const struct store_tenant *store_view_tenant(const struct store_view *v, const char *name)
{
    size_t low = 0, high = v->tenant_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, v->tenants[middle].name);
        if (order == 0)
            return &v->tenants[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct serving *view_find(const struct store_view *v, const char *tenant, const char *dataset)
{
    size_t low = 0, high = v->dataset_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct serving *s = v->datasets[middle];
        int order = strcmp(tenant, s->tenant);
        if (order == 0)
            order = strcmp(dataset, s->dataset);
        if (order == 0)
            return s;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

enum st store_view_dataset(const struct store_served **out, const struct store_view *v,
                           const char *tenant, const char *dataset)
{
    const struct serving *s = view_find(v, tenant, dataset);

    *out = s ? &s->served : NULL;
    return s ? ST_OK : st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset of that name");
}

struct serving *view_find_pinned(const struct store_view *v, const char *tenant,
                                 const char *dataset, uint64_t version)
{
    for (size_t i = 0; i < v->pinned_count; i++) {
        struct serving *s = v->pinned[i];
        if (s->served.version == version && strcmp(s->tenant, tenant) == 0 &&
            strcmp(s->dataset, dataset) == 0)
            return s;
    }
    return NULL;
}

enum st store_view_version(const struct store_served **out, const struct store_view *v,
                           const struct store_served *d, uint64_t version)
{
    const struct serving *s = (const struct serving *)d; /* `served` is its first member */
    const struct head_version *kept = head_find(&s->head, version);

    *out = NULL;
    if (version == d->version) {
        *out = d;
        return ST_OK;
    }
    bool gone = head_is_gone(&s->head, version);
    if (!gone && (!kept || kept->state == VERSION_IN_PROGRESS || kept->state == VERSION_FAILED))
        return st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION", "dataset \"%s\" has no version %llu",
                       d->dataset, (unsigned long long)version);
    if (gone)
        return st_hint(st_fail(ST_GONE, "VERSION_RETIRED",
                               "version %llu of \"%s\" is not kept any more",
                               (unsigned long long)version, d->dataset),
                       "kept versions: GET /v1/datasets/%s/versions", d->dataset);
    struct serving *open = view_find_pinned(v, d->tenant, d->dataset, version);
    if (!open)
        return st_hint(st_fail(ST_UNAVAILABLE, "VERSION_CLOSED",
                               "version %llu of \"%s\" is not open", (unsigned long long)version,
                               d->dataset),
                       "ask again");
    atomic_store_explicit(&open->used_ms, clock_steady_ns() / 1000000u, memory_order_relaxed);
    *out = &open->served;
    return ST_OK;
}

enum st store_served_as_of(uint64_t *version, const struct store_served *d, int64_t at_us)
{
    *version = head_as_of(&((const struct serving *)d)->head, at_us);
    if (*version == 0 && ((const struct serving *)d)->head.turn_count == HEAD_HISTORY_MAX)
        return st_fail(ST_GONE, "VERSION_RETIRED", "what \"%s\" served then is not kept any more",
                       d->dataset);
    if (*version == 0)
        return st_fail(ST_NOT_FOUND, "NO_VERSION", "dataset \"%s\" had no version then",
                       d->dataset);
    return ST_OK;
}

const struct store_served *store_view_dataset_at(const struct store_view *v, size_t i)
{
    return i < v->dataset_count ? &v->datasets[i]->served : NULL;
}

enum st store_served_ready(const struct store_served *d)
{
    if (d->version == 0 && !d->unavailable)
        return st_hint(
            st_fail(ST_NOT_FOUND, "NO_VERSION", "dataset \"%s\" has no version yet", d->dataset),
            "ingest a batch first");
    if (d->unavailable && !d->version)
        return st_hint(
            st_fail(ST_UNAVAILABLE, "VERSION_UNAVAILABLE", "dataset \"%s\" cannot be served",
                    d->dataset),
            strcmp(d->unavailable_code, "CATALOG_DAMAGED") == 0
                ? "what the catalog says of it is damaged; its operator mends that with: everline "
                  "catalog rebuild"
                : "the operator's log says why");
    if (d->unavailable)
        return st_hint(st_fail(ST_UNAVAILABLE, "VERSION_UNAVAILABLE",
                               "version %llu of dataset \"%s\" cannot be served",
                               (unsigned long long)d->version, d->dataset),
                       "the operator's log and everline verify say why; roll back to an earlier "
                       "version or ingest the batch again");
    return ST_OK;
}

enum st store_served_hasher(struct store_hasher **out, const struct store_served *d, unsigned slot)
{
    struct serving *s = (struct serving *)(uintptr_t)d; /* `served` is its first member */

    if (!s->hashers[slot]) {
        bool is_protected = s->definition->key.protect != STORE_PROTECT_NONE;
        enum st st = store_hasher_new(&s->hashers[slot], &s->definition->key, s->dataset,
                                      is_protected ? &s->hmac_key : NULL);
        if (st)
            return st;
    }
    *out = s->hashers[slot];
    return ST_OK;
}

enum st store_served_get(const struct store_served *d, unsigned slot,
                         const unsigned char key[STORE_KEY_BYTES], const void **row,
                         size_t *row_len)
{
    if (d->definition->key.sort)
        return store_series_last(d->segments, d->segment_count, slot, key, row, row_len);
    for (size_t i = 0; i < d->segment_count; i++) {
        enum st st = store_segment_get(d->segments[i], slot, key, row, row_len);
        if (st != ST_NOT_FOUND || *row) /* a tombstone hides what is below */
            return st;
    }
    return ST_NOT_FOUND;
}

void *store_view_extension(const struct store_view *v)
{
    return v->extension;
}

uint64_t store_view_tenants_epoch(const struct store_view *v)
{
    return v->tenants_epoch;
}
