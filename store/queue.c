#include "store/queue_internal.h"

#include "base/clock.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

/* A work queue with visibility timeouts, inside the catalog.
 *
 * A job's row is kept for ever; its entry in the queue table, keyed by the order of enqueueing,
 * lives while it is queued or running. Leasing looks at the queue's entries in order and first
 * settles what the dead left: a running job whose lease ended is redelivered, or dead-lettered
 * after STORE_MAX_ATTEMPTS; a local job whose process is gone is failed at once, because nobody
 * else may run it. Lease ends are told by CLOCK_BOOTTIME with the boot id: another boot ends every
 * lease.
 *
 * The fence is (job, attempt): every catalog write of a worker reads the job's row in its own
 * transaction and goes on only if it is still running that attempt within its lease. */

enum { SYSTEM_ACTOR_SIZE = 64 };

static bool lease_ended(const json_t *job)
{
    const json_t *lease = json_object_get(job, "lease");
    const char *boot = json_string_value(json_object_get(lease, "boot"));

    return !boot || strcmp(boot, clock_boot_id()) != 0 ||
           (uint64_t)json_integer_value(json_object_get(lease, "until_ms")) <= clock_boot_ms();
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void set_lease(struct catalog_txn *t, json_t *job, const struct store *s, uint64_t lease_ms)
{
    json_t *lease = json_object();

    store_set(t, lease, "owner", json_string(s->run.name));
    store_set(t, lease, "boot", json_string(clock_boot_id()));
    store_set(t, lease, "until_ms", json_integer((json_int_t)(clock_boot_ms() + lease_ms)));
    store_set(t, job, "lease", lease);
}

static void set_state(struct catalog_txn *t, json_t *job, const char *state)
{
    store_set(t, job, "state", json_string(state));
    store_set(t, job, "updated_at", store_time_json(clock_wall_us()));
}

enum st store_job_enqueue(char job[STORE_JOB_ID_SIZE], struct store *s, const char *tenant,
                          const char *dataset, const json_t *spec, bool local,
                          const struct store_actor *actor)
{
    char key[CATALOG_KEY_SIZE];
    struct catalog_txn t;
    json_t *row = json_object(), *entry = json_object();

    catalog_begin_write(&t, &s->catalog);
    store_dataset_key(key, tenant, dataset);
    json_t *definition = catalog_get(&t, CATALOG_DEFINITIONS, key);
    if (!definition && !t.status)
        catalog_fail(
            &t, st_fail(ST_NOT_FOUND, "UNKNOWN_DATASET", "there is no dataset \"%s\"", dataset));
    json_decref(definition);
    uint64_t order = t.status ? 0 : catalog_next_number(&t, "job_order");
    snprintf(job, STORE_JOB_ID_SIZE, "job-%012llu", (unsigned long long)order);
    store_set(&t, row, "job", json_string(job));
    store_set(&t, row, "tenant", json_string(tenant));
    store_set(&t, row, "dataset", json_string(dataset));
    store_set(&t, row, "order", json_integer((json_int_t)order));
    store_set(&t, row, "attempt", json_integer(0));
    store_set(&t, row, "local", json_boolean(local));
    store_set(&t, row, "enqueued_by", json_string(s->run.name));
    store_set(&t, row, "actor", json_string(actor->name));
    store_set(&t, row, "spec", json_deep_copy(spec));
    store_set(&t, row, "created_at", store_time_json(clock_wall_us()));
    set_state(&t, row, "queued");
    store_set(&t, entry, "job", json_string(job));
    catalog_put(&t, CATALOG_JOBS, job, row);
    store_order_key(key, order);
    catalog_put(&t, CATALOG_QUEUE, key, entry);
    json_decref(row);
    json_decref(entry);
    return catalog_commit(&t);
}

/* The version that a dead attempt was building never was. */
static void fail_orphan(struct catalog_txn *t, struct store *s, json_t *job, const char *why)
{
    const char *tenant = text_of(job, "tenant"), *dataset = text_of(job, "dataset");
    uint64_t version = (uint64_t)number_of(job, "version");
    char name[SYSTEM_ACTOR_SIZE];
    struct head h;

    if (!version)
        return;
    store_head_load(&h, t, tenant, dataset);
    const struct head_version *v = t->status ? NULL : head_find(&h, version);
    if (v && v->state == VERSION_IN_PROGRESS) {
        json_t *row = store_row_load(t, tenant, dataset, version);

        catalog_fail(t, head_apply(&h, MOVE_FAIL, version, 0, clock_wall_us()));
        if (row) {
            store_set(t, row, "error",
                      json_pack("{s:s, s:s}", "code", "WORKER_LOST", "message", why));
            store_set(t, row, "outcome", json_string("failed"));
            store_set(t, row, "updated_at", store_time_json(h.event_us));
            store_row_save(t, tenant, dataset, version, row);
        }
        json_decref(row);
        snprintf(name, sizeof name, "queue:%s", text_of(job, "job"));
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

static bool is_running(const json_t *job)
{
    return strcmp(text_of(job, "state"), "running") == 0;
}

static bool owner_is_dead(const struct store *s, const json_t *job)
{
    return json_is_true(json_object_get(job, "local")) &&
           !run_alive(s->run_dir, text_of(job, "enqueued_by"));
}

bool queue_job_runs(struct catalog_txn *t, const char *job)
{
    json_t *row = *job ? catalog_get(t, CATALOG_JOBS, job) : NULL;
    bool runs = row && is_running(row) && !lease_ended(row);

    json_decref(row);
    return runs;
}

/* What the dead left of one queue entry. True when the entry is gone. */
static bool settle(struct catalog_txn *t, struct store *s, const char *entry_key, json_t *job)
{
    bool local = json_is_true(json_object_get(job, "local"));
    bool owner_dead = owner_is_dead(s, job);

    if (!owner_dead && !(is_running(job) && lease_ended(job)))
        return false;

    const char *why = owner_dead ? "the process that ran it ended" : "its lease ended";
    bool dead = local || number_of(job, "attempt") >= STORE_MAX_ATTEMPTS;
    fail_orphan(t, s, job, why);
    if (json_object_get(job, "lease"))
        json_object_del(job, "lease");
    set_state(t, job, dead ? "failed" : "queued");
    if (dead) {
        store_set(t, job, "error", json_pack("{s:s, s:s}", "code", "WORKER_LOST", "message", why));
        catalog_delete(t, CATALOG_QUEUE, entry_key);
    }
    catalog_put(t, CATALOG_JOBS, text_of(job, "job"), job);
    return dead;
}

static bool blocks(const json_t *busy, const json_t *job, char key[CATALOG_KEY_SIZE])
{
    store_dataset_key(key, text_of(job, "tenant"), text_of(job, "dataset"));
    return json_object_get(busy, key) != NULL;
}

/* Walks the queue in order: settles the dead, and finds the job that may run. */
static json_t *choose(struct catalog_txn *t, struct store *s, const char *wanted)
{
    char entry_key[CATALOG_KEY_SIZE] = "", dataset_key[CATALOG_KEY_SIZE];
    json_t *busy = json_object(); /* datasets with an earlier job */
    json_t *entry, *found = NULL;

    while (!found && (entry = catalog_after(t, CATALOG_QUEUE, "", entry_key))) {
        json_t *job = catalog_get(t, CATALOG_JOBS, text_of(entry, "job"));
        bool is_wanted = job && wanted && strcmp(wanted, text_of(job, "job")) == 0;

        json_decref(entry);
        if (!job || settle(t, s, entry_key, job)) {
            json_decref(job);
            continue;
        }
        bool queued = strcmp(text_of(job, "state"), "queued") == 0;
        bool mine = wanted ? is_wanted : !json_is_true(json_object_get(job, "local"));
        if (blocks(busy, job, dataset_key)) {
            if (is_wanted)
                catalog_fail(t, st_hint(st_fail(ST_CONFLICT, "DATASET_BUSY",
                                                "an earlier job of dataset \"%s\" has not ended",
                                                text_of(job, "dataset")),
                                        "wait for it, then try again"));
        } else if (queued && mine) {
            found = json_incref(job);
        }
        store_set(t, busy, dataset_key, json_true());
        json_decref(job);
    }
    json_decref(busy);
    return found;
}

/* Walks the queue, and with `write` settles. Is there anything to settle? */
static enum st settle_round(bool *any, struct store *s, bool write)
{
    char entry_key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *entry;

    *any = false;
    (write ? catalog_begin_write : catalog_begin_read)(&t, &s->catalog);
    while ((entry = catalog_after(&t, CATALOG_QUEUE, "", entry_key))) {
        json_t *job = catalog_get(&t, CATALOG_JOBS, text_of(entry, "job"));

        json_decref(entry);
        if (job && (owner_is_dead(s, job) || (is_running(job) && lease_ended(job)))) {
            *any = true;
            if (write)
                (void)settle(&t, s, entry_key, job);
        }
        json_decref(job);
    }
    return write ? catalog_commit(&t) : catalog_end(&t);
}

enum st store_job_settle(bool *settled, struct store *s)
{
    bool any;
    enum st st = settle_round(&any, s, false);

    if (!st && any)
        st = settle_round(&any, s, true);
    if (settled)
        *settled = any;
    return st;
}

static void fill_lease(struct store_lease *out, struct catalog_txn *t, const json_t *job)
{
    struct head h;

    *out = (struct store_lease){.order = (uint64_t)number_of(job, "order"),
                                .attempt = (unsigned)number_of(job, "attempt")};
    snprintf(out->job, sizeof out->job, "%s", text_of(job, "job"));
    snprintf(out->tenant, sizeof out->tenant, "%s", text_of(job, "tenant"));
    snprintf(out->dataset, sizeof out->dataset, "%s", text_of(job, "dataset"));
    store_head_load(&h, t, out->tenant, out->dataset);
    out->people_sequence = h.people_sequence;
    head_release(&h);
}

enum st store_job_lease(struct store_lease *out, json_t **spec, struct store *s, const char *job,
                        uint64_t lease_ms)
{
    struct catalog_txn t;
    bool settled_only = false;

    *spec = NULL;
    catalog_begin_write(&t, &s->catalog);
    json_t *row = choose(&t, s, job);
    if (row) {
        store_set(&t, row, "attempt", json_integer(number_of(row, "attempt") + 1));
        set_state(&t, row, "running");
        set_lease(&t, row, s, lease_ms);
        fill_lease(out, &t, row);
        catalog_put(&t, CATALOG_JOBS, out->job, row);
        *spec = json_deep_copy(json_object_get(row, "spec"));
    } else {
        settled_only = t.status == ST_OK;
    }
    json_decref(row);
    enum st st = catalog_commit(&t);
    if (st) {
        json_decref(*spec);
        *spec = NULL;
        return st;
    }
    return settled_only ? st_fail(ST_NOT_FOUND, "NO_JOB", "no job may run now") : ST_OK;
}

json_t *queue_fenced_job(struct catalog_txn *t, const struct store_lease *lease)
{
    json_t *job = catalog_get(t, CATALOG_JOBS, lease->job);

    if (job && strcmp(text_of(job, "state"), "running") == 0 &&
        number_of(job, "attempt") == (json_int_t)lease->attempt && !lease_ended(job))
        return job;
    json_decref(job);
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
        set_lease(&t, job, s, lease_ms);
        catalog_put(&t, CATALOG_JOBS, lease->job, job);
    }
    json_decref(job);
    return catalog_commit(&t);
}

static void end_job(struct catalog_txn *t, json_t *job, const struct store_lease *lease,
                    const char *state)
{
    char key[CATALOG_KEY_SIZE];

    set_state(t, job, state);
    json_object_del(job, "lease");
    catalog_put(t, CATALOG_JOBS, lease->job, job);
    store_order_key(key, lease->order);
    catalog_delete(t, CATALOG_QUEUE, key);
}

void queue_end(struct catalog_txn *t, const struct store_lease *lease, const char *state)
{
    json_t *job = queue_fenced_job(t, lease);

    if (job)
        end_job(t, job, lease, state);
    json_decref(job);
}

/* Did this attempt end the job already? */
static bool has_ended(struct catalog_txn *t, const struct store_lease *lease)
{
    json_t *job = catalog_get(t, CATALOG_JOBS, lease->job);
    bool ended = job && number_of(job, "attempt") == (json_int_t)lease->attempt &&
                 (strcmp(text_of(job, "state"), "succeeded") == 0 ||
                  strcmp(text_of(job, "state"), "held") == 0);

    json_decref(job);
    return ended;
}

enum st store_lease_finish(struct store *s, const struct store_lease *lease, const char *state,
                           const json_t *result)
{
    struct catalog_txn t;

    catalog_begin_write(&t, &s->catalog);
    if (has_ended(&t, lease))
        return catalog_end(&t);
    json_t *job = queue_fenced_job(&t, lease);
    if (job) {
        fail_orphan(&t, s, job, "its build could not be ended");
        if (result)
            store_set(&t, job, "result", json_deep_copy(result));
        end_job(&t, job, lease, state);
    }
    json_decref(job);
    return catalog_commit(&t);
}

enum st store_job_get(json_t **out, struct store *s, const char *job)
{
    struct catalog_txn t;

    catalog_begin_read(&t, &s->catalog);
    *out = catalog_get(&t, CATALOG_JOBS, job);
    enum st st = catalog_end(&t);
    return st || *out ? st : st_fail(ST_NOT_FOUND, "UNKNOWN_JOB", "there is no job \"%s\"", job);
}
