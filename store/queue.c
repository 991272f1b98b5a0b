#include "store/queue_internal.h"

#include "base/clock.h"
#include "store/queue_tally.h"
#include "store/upload_internal.h"

#include <stdio.h>
#include <string.h>

/* A work queue with visibility timeouts, inside the catalog.
 *
 * A job's row is kept for ever; its entry in the queue table, keyed by the order of enqueueing,
 * lives while it is queued or running. Leasing (store/queue_choose.c) walks the entries and first
 * settles what the dead left: a running job whose lease ended, or whose worker's process is gone,
 * is redelivered, or dead-lettered after STORE_MAX_ATTEMPTS; a local job whose process is gone is
 * failed at once, because nobody else may run it. Lease ends are told by CLOCK_BOOTTIME with the
 * boot id: another boot ends every lease.
 *
 * The fence is (job, attempt): every catalog write of a worker reads the job's row in its own
 * transaction and goes on only if it is still running that attempt within its lease. The number of
 * the attempt goes up for ever; `tries`, which the limit is held against, begins anew when somebody
 * retries the job. */

enum { SYSTEM_ACTOR_SIZE = 64 };

const char *queue_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

json_int_t queue_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

bool queue_is(const json_t *job, const char *state)
{
    return strcmp(queue_text(job, "state"), state) == 0;
}

bool queue_is_dry_run(const json_t *job)
{
    return json_is_true(json_object_get(json_object_get(job, "spec"), "dry_run"));
}

bool queue_lease_ended(const json_t *job)
{
    const json_t *lease = json_object_get(job, "lease");
    const char *boot = json_string_value(json_object_get(lease, "boot"));

    return !boot || strcmp(boot, clock_boot_id()) != 0 ||
           (uint64_t)queue_number(lease, "until_ms") <= clock_boot_ms();
}

bool queue_owner_dead(const struct store *s, const json_t *entry)
{
    const char *owner = queue_text(entry, "owner");

    return *owner && !run_alive(s->run_dir, owner);
}

void queue_set_state(struct catalog_txn *t, json_t *job, const char *state)
{
    if (queue_is(job, "running"))
        queue_meter_attempt(t, job);
    store_set(t, job, "state", json_string(state));
    store_set(t, job, "updated_at", store_time_json(clock_wall_us()));
}

void queue_set_error(struct catalog_txn *t, json_t *job, const char *code, const char *message)
{
    store_set(t, job, "error", json_pack("{s:s, s:s}", "code", code, "message", message));
}

void queue_put(struct catalog_txn *t, const json_t *job)
{
    catalog_put(t, CATALOG_JOBS, queue_text(job, "job"), job);
    queue_entry_put(t, job);
}

/* ---- enqueue ---- */

static void check_dataset(struct catalog_txn *t, const struct store_job_request *r)
{
    struct head h;

    store_head_load(&h, t, r->tenant, r->dataset);
    head_release(&h);
}

static void list_job(struct catalog_txn *t, const char *tenant, const char *job)
{
    char key[CATALOG_KEY_SIZE];
    json_t *empty = json_object();

    store_dataset_key(key, tenant, job);
    catalog_put(t, CATALOG_TENANT_JOBS, key, empty);
    json_decref(empty);
}

static void put_new_job(struct catalog_txn *t, const struct store *s,
                        const struct store_job_request *r, const char *job, uint64_t order)
{
    json_t *row = json_object(), *spec = json_deep_copy(r->spec);
    int64_t now_us = clock_wall_us();

    store_set(t, spec, "format", json_integer(STORE_JOB_FORMAT));
    store_set(t, row, "job", json_string(job));
    store_set(t, row, "tenant", json_string(r->tenant));
    store_set(t, row, "dataset", json_string(r->dataset));
    store_set(t, row, "order", json_integer((json_int_t)order));
    store_set(t, row, "priority", json_integer(r->priority));
    store_set(t, row, "attempt", json_integer(0));
    store_set(t, row, "tries", json_integer(0));
    store_set(t, row, "local", json_boolean(r->local));
    store_set(t, row, "enqueued_by", json_string(s->run.name));
    store_set(t, row, "actor", json_string(r->actor.name));
    store_set(t, row, "request_id",
              r->actor.request_id ? json_string(r->actor.request_id) : json_null());
    store_set(t, row, "spec", spec);
    store_set(t, row, "at_us", json_integer(now_us));
    store_set(t, row, "created_at", store_time_json(now_us));
    queue_set_state(t, row, "queued");
    queue_put(t, row);
    json_decref(row);
    list_job(t, r->tenant, job);
}

enum st store_job_enqueue(char job[STORE_JOB_ID_SIZE], json_t **row, bool *repeated,
                          struct store *s, const struct store_job_request *request)
{
    struct catalog_txn t;

    if (row)
        *row = NULL;
    catalog_begin_write(&t, &s->catalog);
    bool known = request->start && start_find(job, &t, request);
    if (repeated)
        *repeated = known;
    if (known) {
        queue_show(row, &t, s, job);
        return queue_shown(row, catalog_end(&t));
    }
    check_dataset(&t, request);
    if (!request->local)
        queue_check_room(&t, request->tenant);
    uint64_t order = t.status ? 0 : catalog_next_number(&t, "job_order");
    queue_job_name(job, order);
    upload_claim(&t, request->tenant, request->spec, job);
    put_new_job(&t, s, request, job, order);
    if (request->start)
        start_remember(&t, request, job);
    queue_show(row, &t, s, job);
    return queue_shown(row, catalog_commit(&t));
}

/* ---- what an attempt leaves ---- */

/* A head is written with the rows of its versions (store/head_file.c). */
static bool has_whole_rows(struct catalog_txn *t, const struct head *h)
{
    bool whole = true;

    for (size_t i = 0; whole && i < h->version_count; i++) {
        char key[CATALOG_KEY_SIZE];
        json_t *row = NULL;
        store_numbered_key(key, h->tenant, h->dataset, h->versions[i].version);
        whole = head_is_over(&h->versions[i]) || catalog_get_any(&row, t, CATALOG_VERSIONS, key);
        json_decref(row);
    }
    return whole;
}

/* The version that a dead attempt was building never was. Where the head or a row of it is damaged,
 * a rebuild of the catalog fails it; the queue goes on meanwhile. */
void queue_fail_orphan(struct catalog_txn *t, struct store *s, json_t *job, const char *why)
{
    const char *tenant = queue_text(job, "tenant"), *dataset = queue_text(job, "dataset");
    uint64_t version = (uint64_t)queue_number(job, "version");
    char name[SYSTEM_ACTOR_SIZE];
    struct head h;

    if (!version)
        return;
    store_head_load(&h, t, tenant, dataset);
    if (t->status == ST_CORRUPT)
        catalog_forgive(t);
    const struct head_version *v = t->status ? NULL : head_find(&h, version);
    if (v && v->state == VERSION_IN_PROGRESS && has_whole_rows(t, &h)) {
        json_t *row = store_row_load(t, tenant, dataset, version);

        catalog_fail(t, head_apply(&h, MOVE_FAIL, version, 0, clock_wall_us()));
        if (row) {
            queue_set_error(t, row, "WORKER_LOST", why);
            store_set(t, row, "outcome", json_string("failed"));
            store_set(t, row, "updated_at", store_time_json(h.event_us));
            store_row_save(t, tenant, dataset, version, row);
        }
        json_decref(row);
        snprintf(name, sizeof name, "queue:%s", queue_text(job, "job"));
        store_head_save(t, s, &h,
                        &(struct store_event){.event = "failed",
                                              .version = version,
                                              .from = h.current,
                                              .to = h.current,
                                              .actor = &(struct store_actor){name, why, NULL}});
    }
    store_set(t, job, "version", json_integer(0));
    head_release(&h);
}

void queue_end_job(struct catalog_txn *t, json_t *job, const char *state, bool dead)
{
    bool dry_run = queue_is_dry_run(job);

    if (!dry_run)
        queue_tally_end(t, job, state);
    queue_set_state(t, job, state);
    store_set(t, job, "dead", json_boolean(dead));
    store_set(t, job, "ended_at", store_time_json(clock_wall_us()));
    json_object_del(job, "lease");
    catalog_put(t, CATALOG_JOBS, queue_text(job, "job"), job);
    queue_entry_remove(t, job);
    if (!dry_run)
        hook_add(t, job);
    if (!dead)
        upload_give_up(t, queue_text(job, "tenant"), json_object_get(job, "spec"));
}

void queue_redeliver(struct catalog_txn *t, struct store *s, json_t *job, const char *code,
                     const char *why)
{
    queue_fail_orphan(t, s, job, why);
    json_object_del(job, "lease");
    if (json_object_get(job, "cancel")) {
        queue_end_job(t, job, "canceled", false);
        return;
    }
    queue_set_error(t, job, code, why);
    if (json_is_true(json_object_get(job, "local")) ||
        queue_number(job, "tries") >= STORE_MAX_ATTEMPTS) {
        queue_end_job(t, job, "failed", true);
        return;
    }
    queue_set_state(t, job, "queued");
    queue_put(t, job);
}

/* ---- the lease ---- */

static bool holds(const json_t *job, const struct store_lease *lease)
{
    return job && queue_is(job, "running") &&
           queue_number(job, "attempt") == (json_int_t)lease->attempt && !queue_lease_ended(job);
}

json_t *queue_fenced_job(struct catalog_txn *t, const struct store_lease *lease)
{
    json_t *job = catalog_get(t, CATALOG_JOBS, lease->job);

    if (holds(job, lease))
        return job;
    json_decref(job);
    if (!t->status)
        catalog_fail(t, st_fail(ST_FENCED, "LEASE_LOST", "the lease of %s, attempt %u, is gone",
                                lease->job, lease->attempt));
    return NULL;
}

void queue_set_version(struct catalog_txn *t, const struct store_lease *lease, uint64_t version)
{
    json_t *job = queue_fenced_job(t, lease);

    if (job) {
        store_set(t, job, "version", json_integer((json_int_t)version));
        catalog_put(t, CATALOG_JOBS, lease->job, job);
    }
    json_decref(job);
}

enum st store_lease_extend(struct store *s, const struct store_lease *lease, uint64_t lease_ms)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    json_t *job = queue_fenced_job(&t, lease);
    if (job) {
        store_set(&t, json_object_get(job, "lease"), "until_ms",
                  json_integer((json_int_t)(clock_boot_ms() + lease_ms)));
        catalog_put(&t, CATALOG_JOBS, lease->job, job);
    }
    json_decref(job);
    return catalog_commit(&t);
}

enum st store_lease_check(struct store *s, const struct store_lease *lease)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &s->catalog);
    json_t *job = queue_fenced_job(&t, lease);
    if (job && json_object_get(job, "cancel"))
        catalog_fail(&t, st_fail(ST_CONFLICT, "CANCELED", "cancelled by %s",
                                 queue_text(json_object_get(job, "cancel"), "actor")));
    json_decref(job);
    return catalog_end(&t);
}

static void add_result(struct catalog_txn *t, json_t *job, const json_t *result)
{
    json_t *all = json_object_get(job, "result");

    if (!result)
        return;
    if (!all)
        store_set(t, job, "result", json_deep_copy(result));
    else if (json_object_update(all, (json_t *)(uintptr_t)result) != 0)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
}

void queue_end(struct catalog_txn *t, const struct store_lease *lease, const char *state,
               uint64_t version, const char *outcome, const json_t *result)
{
    json_t *job = queue_fenced_job(t, lease);
    json_t *made = json_pack("{s:I, s:s}", "version", (json_int_t)version, "outcome", outcome);

    if (!made)
        catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
    if (job) {
        store_set(t, job, "version", json_integer(0));
        add_result(t, job, result);
        add_result(t, job, made);
        queue_end_job(t, job, state, false);
    }
    json_decref(made);
    json_decref(job);
}

/* Did this attempt end the job already? */
static bool has_ended(const json_t *job, const struct store_lease *lease)
{
    return job && queue_number(job, "attempt") == (json_int_t)lease->attempt &&
           (queue_is(job, "succeeded") || queue_is(job, "held"));
}

enum st store_lease_finish(struct store *s, const struct store_lease *lease, const char *state,
                           const json_t *result)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    json_t *job = catalog_get(&t, CATALOG_JOBS, lease->job);
    if (has_ended(job, lease)) {
        add_result(&t, job, result);
        catalog_put(&t, CATALOG_JOBS, lease->job, job);
    } else {
        json_decref(job);
        job = queue_fenced_job(&t, lease);
        if (job) {
            queue_fail_orphan(&t, s, job, "its build could not be ended");
            add_result(&t, job, result);
            queue_end_job(&t, job, state, false);
        }
    }
    json_decref(job);
    enum st st = catalog_commit(&t);
    if (!st)
        upload_purge(s);
    return st;
}

enum st store_job_give_up(struct store *s, const char *job, const char *state, const json_t *result)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    json_t *row = catalog_get(&t, CATALOG_JOBS, job);
    if (row && queue_is(row, "queued")) {
        add_result(&t, row, result);
        queue_end_job(&t, row, state, false);
    }
    json_decref(row);
    return catalog_commit(&t);
}

enum st store_lease_release(struct store *s, const struct store_lease *lease,
                            const struct st_report *error)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    json_t *job = queue_fenced_job(&t, lease);
    if (job && !error)
        store_set(&t, job, "tries", json_integer(queue_number(job, "tries") - 1));
    if (job)
        queue_redeliver(&t, s, job, error ? error->code : "RELEASED",
                        error ? error->message : "its worker was stopped");
    json_decref(job);
    enum st st = catalog_commit(&t);
    if (!st)
        upload_purge(s);
    return st;
}
