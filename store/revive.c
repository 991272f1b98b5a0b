#include "store/revive.h"

#include "base/clock.h"
#include "store/head_file.h"

#include <string.h>

static void fail_row(struct catalog_txn *t, const struct revival *r, const struct head *h,
                     uint64_t version)
{
    json_t *row = store_row_load(t, h->tenant, h->dataset, version);

    if (row) {
        store_set(t, row, "error", json_pack("{s:s, s:s}", "code", r->code, "message", r->why));
        store_set(t, row, "outcome", json_string("failed"));
        store_set(t, row, "updated_at", store_time_json(h->event_us));
        store_row_save(t, h->tenant, h->dataset, version, row);
    }
    json_decref(row);
}

static void fail_unfinished(struct catalog_txn *t, struct revival *r, struct head *h)
{
    for (size_t i = 0; i < h->version_count && !t->status; i++) {
        uint64_t version = h->versions[i].version;

        if (h->versions[i].state != VERSION_IN_PROGRESS)
            continue;
        catalog_fail(t, head_apply(h, MOVE_FAIL, version, 0, clock_wall_us()));
        if (t->status)
            return;
        fail_row(t, r, h, version);
        store_event_save(t, h,
                         &(struct store_event){.event = "failed",
                                               .version = version,
                                               .from = h->current,
                                               .to = h->current,
                                               .actor = r->actor});
        r->failed++;
    }
}

void revive_head(struct catalog_txn *t, struct revival *r, struct head *h)
{
    int64_t now_us = clock_wall_us();

    fail_unfinished(t, r, h);
    if (t->status)
        return;
    h->sequence++;
    h->event_us = now_us > h->event_us ? now_us : h->event_us + 1;
    store_head_revive(
        t, r->store, h,
        &(struct store_event){
            .event = r->event, .from = h->current, .to = h->current, .actor = r->actor});
    r->datasets += !h->deleted;
    for (size_t i = 0; i < h->version_count; i++)
        r->versions += h->versions[i].segment_count > 0;
}

static void revive_heads(struct catalog_txn *t, struct revival *r)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_t *document;

    while ((document = catalog_after(t, CATALOG_HEADS, "", key))) {
        struct head h = {0};
        catalog_fail(t, head_from_json(&h, document));
        json_decref(document);
        if (!t->status)
            revive_head(t, r, &h);
        head_release(&h);
    }
}

void revive_tenants(struct catalog_txn *t, const struct revival *r)
{
    char key[CATALOG_KEY_SIZE] = "";
    json_t *row;

    while ((row = catalog_after(t, CATALOG_TENANTS, "", key))) {
        head_file_write_tenant(t, r->store->heads_dir, key, row);
        json_decref(row);
    }
}

static void fail_jobs(struct catalog_txn *t, struct revival *r)
{
    char key[CATALOG_KEY_SIZE] = "";
    int64_t now_us = clock_wall_us();
    json_t *job;

    while ((job = catalog_after(t, CATALOG_JOBS, "", key))) {
        const char *state = json_string_value(json_object_get(job, "state"));

        if (state && (strcmp(state, "queued") == 0 || strcmp(state, "running") == 0)) {
            json_object_del(job, "lease");
            store_set(t, job, "state", json_string("failed"));
            store_set(t, job, "version", json_integer(0));
            store_set(t, job, "error", json_pack("{s:s, s:s}", "code", r->code, "message", r->why));
            store_set(t, job, "updated_at", store_time_json(now_us));
            store_set(t, job, "ended_at", store_time_json(now_us));
            catalog_put(t, CATALOG_JOBS, key, job);
        }
        json_decref(job);
    }
}

void revive_all(struct catalog_txn *t, struct revival *r)
{
    revive_tenants(t, r);
    revive_heads(t, r);
    fail_jobs(t, r);
}
