#include "store/publish_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/build_dir.h"
#include "store/head_file.h"
#include "store/offer.h"
#include "store/retention.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Publishing: the order that makes a version whole or not there.
 *
 *   1  the row, IN_PROGRESS, with its number                       (one commit)
 *   2  segment files, built and synced in a directory of their own
 *   3  their hashes pinned: from now on removal leaves them alone  (one commit)
 *   4  renamed into segments/, directories synced
 *   5  candidate: live servers verify, open, warm, acknowledge     (store/offer.c)
 *   6  the head swapped, the pin given back                        (one commit)
 *
 * A crash before 6 leaves a version that is not there: its files are swept when the lease has ended
 * (store/retention.c), or found again by hash and reused. Every commit is fenced by the lease. */

#define POLL_MS 5
#define TICK_MS 100

/* ---- begin ---- */

static void set_new_row(struct catalog_txn *t, json_t *row, const struct store_build *b,
                        const struct head *h, const struct store_definition *definition,
                        const json_t *sources)
{
    store_set(t, row, "version", json_integer((json_int_t)b->version));
    store_set(t, row, "created_at", store_time_json(h->event_us));
    store_set(t, row, "updated_at", store_time_json(h->event_us));
    store_set(t, row, "job", json_string(b->lease.job));
    store_set(t, row, "definition", json_incref(definition->document));
    store_set(t, row, "builder", json_string(EVERLINE_VERSION));
    store_set(t, row, "sources", json_deep_copy(sources));
    store_set(t, row, "rows", json_null());
    store_set(t, row, "bytes", json_integer(0));
    store_set(t, row, "segments", json_array());
    store_set(t, row, "checks", json_array());
    store_set(t, row, "gates", json_array());
    store_set(t, row, "rejects", json_null());
    store_set(t, row, "outcome", json_null());
    store_set(t, row, "error", json_null());
}

/* NULL: the head is damaged. Its file has it, too, unless that is damaged as well: then nobody
 * knows the bytes, and the tenant's other datasets go on without. */
static uint64_t bytes_of(struct catalog_txn *t, const struct store *s, const char *tenant,
                         const char *dataset, const json_t *document)
{
    struct head h = {0};
    uint64_t bytes = 0;
    enum st st = document ? head_from_json(&h, document)
                          : head_file_read_head(&h, s->heads_dir, tenant, dataset);

    if (st && (document || st == ST_NOMEM))
        catalog_fail(t, st);
    else if (st)
        log_failure(LOG_LEVEL_ERROR, "head_damaged",
                    "%s/%s: its versions do not count as bytes that the tenant keeps", tenant,
                    dataset);
    for (size_t i = 0; !st && i < h.version_count; i++)
        for (size_t j = 0; j < h.versions[i].segment_count; j++)
            bytes += h.versions[i].segments[j].bytes;
    head_release(&h);
    return bytes;
}

/* The bytes of all segments that kept versions of the tenant name. */
static void check_stored(struct catalog_txn *t, const struct store *s, const char *tenant)
{
    char prefix[CATALOG_KEY_SIZE], key[CATALOG_KEY_SIZE] = "";
    json_t *row = catalog_get(t, CATALOG_TENANTS, tenant), *document;
    json_int_t max =
        json_integer_value(json_object_get(json_object_get(row, "limits"), "max_stored_bytes"));
    uint64_t bytes = 0;

    json_decref(row);
    store_dataset_key(prefix, tenant, "");
    while (max && catalog_after_any(&document, t, CATALOG_HEADS, prefix, key)) {
        bytes += bytes_of(t, s, tenant, key + strlen(prefix), document);
        json_decref(document);
    }
    if (max && !t->status && bytes >= (uint64_t)max)
        catalog_fail(t, st_hint(st_fail(ST_FULL, "QUOTA",
                                        "the tenant may keep %lld bytes of versions and has them",
                                        (long long)max),
                                "retire versions, or keep fewer: retention"));
}

static enum st create_row(struct store_build *b, const struct store_definition *definition,
                          const json_t *sources)
{
    struct store_actor actor = build_actor(b, NULL);
    struct catalog_txn t;
    struct head h;
    json_t *row = json_object();

    catalog_begin_write(&t, &b->store->catalog);
    store_head_load(&h, &t, b->lease.tenant, b->lease.dataset);
    b->version = h.last_version + 1;
    check_stored(&t, b->store, b->lease.tenant);
    if (!t.status)
        catalog_fail(&t, head_apply(&h, MOVE_BEGIN, b->version, 0, clock_wall_us()));
    if (!t.status) {
        head_find(&h, b->version)->order = b->lease.order;
        queue_set_version(&t, &b->lease, b->version);
        set_new_row(&t, row, b, &h, definition, sources);
        store_row_save(&t, b->lease.tenant, b->lease.dataset, b->version, row);
        store_head_save(&t, b->store, &h,
                        &(struct store_event){.event = "started",
                                              .version = b->version,
                                              .from = h.current,
                                              .to = h.current,
                                              .actor = &actor});
    }
    json_decref(row);
    head_release(&h);
    return catalog_commit(&t);
}

enum st store_build_begin(struct store_build **out, struct store *s,
                          const struct store_lease *lease,
                          const struct store_definition *definition, const json_t *sources)
{
    struct store_build *b = calloc(1, sizeof *b);
    enum st st;

    *out = NULL;
    if (!b)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    b->store = s;
    b->lease = *lease;
    b->directory_fd = -1;
    b->require_promotion = definition->require_promotion;
    snprintf(b->actor, sizeof b->actor, "job:%s", lease->job);
    build_dir_sweep(s->build_dir);
    st = create_row(b, definition, sources);
    if (!st) {
        st = build_dir_make_leased(b->directory, &b->directory_fd, s, lease);
        if (st) {
            struct st_report report;
            st_save(&report, st);
            if (store_build_fail(b, st))
                log_failure(LOG_LEVEL_ERROR, "build_fail", "a failed build could not be recorded");
            st = st_restore(&report); /* the first failure is the one to tell */
        }
    }
    if (st) {
        b->settled = true;
        store_build_free(b);
        return st;
    }
    *out = b;
    return ST_OK;
}

uint64_t store_build_version(const struct store_build *b)
{
    return b->version;
}

const char *store_build_directory(const struct store_build *b)
{
    return b->directory;
}

static bool add_file(json_t *all, json_t *name, json_t *file)
{
    json_t *one = json_pack("{s:O}", "name", name);

    if (one && json_object_update(one, file) == 0)
        return json_array_append_new(all, one) == 0;
    json_decref(one);
    return false;
}

/* Moves the files of the ledger's sources to a list of their own: the version's `sources`. */
static bool take_files(json_t *all, json_t *rows)
{
    json_t *source, *file;
    size_t i, j;

    json_array_foreach(json_object_get(rows, "sources"), i, source)
    {
        json_array_foreach(json_object_get(source, "files"), j, file)
        {
            if (!add_file(all, json_object_get(source, "name"), file))
                return false;
        }
        json_object_del(source, "files");
    }
    return true;
}

enum st store_build_set_report(struct store_build *b, const json_t *report)
{
    json_decref(b->report);
    b->report = json_deep_copy(report);
    json_t *files = json_array();
    bool whole = b->report && files && take_files(files, json_object_get(b->report, "rows"));
    if (whole && json_array_size(files))
        whole = json_object_set(b->report, "sources", files) == 0;
    json_decref(files);
    if (whole)
        return ST_OK;
    json_decref(b->report);
    b->report = NULL;
    return st_fail(ST_NOMEM, NULL, "out of memory");
}

enum st store_build_set_job_result(struct store_build *b, const json_t *result)
{
    json_decref(b->job_result);
    b->job_result = json_deep_copy(result);
    return b->job_result ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

/* ---- publish ---- */

/* Waits until every live server has the new segments open, or the time is over: the late ones turn
 * unready until they have caught up. */
static enum st offer_build(struct store_build *b, uint64_t adopt_timeout_ms,
                           enum st (*tick_fn)(void *ctx), void *ctx)
{
    uint64_t start_ns = clock_steady_ns(), tick_ns = start_ns;
    struct offer o = {.tenant = b->lease.tenant,
                      .dataset = b->lease.dataset,
                      .owner = b->lease.job,
                      .attempt = b->lease.attempt,
                      .version = b->version,
                      .segments = b->segments,
                      .segment_count = b->segment_count};
    struct catalog_txn t;

    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    offer_write(&t, &o);
    build_note_verified(&t, b);
    enum st st = catalog_commit(&t);
    while (!st) {
        st = offer_look(NULL, b->store, &o);
        uint64_t now_ns = clock_steady_ns();
        if (st != ST_NOT_FOUND)
            return st;
        if (now_ns - start_ns >= adopt_timeout_ms * 1000000u)
            return ST_OK;
        st = ST_OK;
        if (tick_fn && now_ns - tick_ns >= TICK_MS * 1000000u) {
            tick_ns = now_ns;
            st = tick_fn(ctx);
        }
        if (!st && poll(NULL, 0, POLL_MS) < 0 && errno != EINTR)
            st = st_fail_errno(errno, "waiting for the servers");
    }
    return st;
}

enum st store_build_publish(enum store_outcome *outcome, struct store_build *b,
                            uint64_t adopt_timeout_ms, enum st (*tick_fn)(void *ctx), void *ctx)
{
    bool flips = false;
    enum st st = build_would_flip(&flips, b);

    if (!st && flips)
        st = offer_build(b, adopt_timeout_ms, tick_fn, ctx);
    if (!st)
        st = build_swap_head(outcome, b);
    if (!st) {
        b->settled = true;
        build_dir_remove(b->directory, &b->directory_fd);
        store_tidy(b->store, b->lease.tenant, b->lease.dataset);
    }
    return st;
}

/* ---- fail ---- */

enum st store_build_fail(struct store_build *b, enum st status)
{
    struct st_report report;
    struct catalog_txn t;
    struct head h;

    st_save(&report, status);
    b->settled = true;
    build_dir_remove(b->directory, &b->directory_fd);
    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    store_head_load(&h, &t, b->lease.tenant, b->lease.dataset);
    if (!t.status)
        catalog_fail(&t, head_apply(&h, MOVE_FAIL, b->version, 0, clock_wall_us()));
    if (!t.status) {
        struct store_actor actor = build_actor(b, report.message);

        build_finish_row(&t, b, &h, "failed", &report);
        offer_withdraw(&t, b->lease.tenant, b->lease.dataset, b->lease.job, 0);
        build_give_back_pins(&t, b);
        queue_set_version(&t, &b->lease, 0);
        store_head_save(&t, b->store, &h,
                        &(struct store_event){.event = "failed",
                                              .version = b->version,
                                              .from = h.current,
                                              .to = h.current,
                                              .actor = &actor});
    }
    head_release(&h);
    enum st st = catalog_commit(&t);
    if (!st)
        store_tidy(b->store, b->lease.tenant, b->lease.dataset);
    return st;
}

void store_build_free(struct store_build *b)
{
    if (!b)
        return;
    if (!b->settled && store_build_fail(b, st_fail(ST_IO, "ABANDONED", "the build was given up")))
        log_failure(LOG_LEVEL_ERROR, "build_fail", "a given-up build could not be recorded");
    fs_close(&b->directory_fd);
    json_decref(b->report);
    json_decref(b->gates);
    json_decref(b->job_result);
    free(b);
}
