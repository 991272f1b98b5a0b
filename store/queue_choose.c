#include "store/queue_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whose turn is it?
 *
 * One walk over the entries, in the order of enqueueing. The first entry of a dataset is the only
 * one that may run; when it is queued, it has the highest priority of all that wait behind it, so
 * that order within a dataset never makes an urgent job wait for what is not. Among tenants the one
 * goes first that has the fewest jobs running, then the one whose last turn is longest ago:
 * a tenant that submits a thousand jobs delays another one by those that run, and by no other. */

struct turn {
    char tenant[STORE_NAME_SIZE];
    uint64_t running, most, last; /* most 0: no limit */
};

struct candidate {
    char job[STORE_JOB_ID_SIZE];
    size_t turn;
    json_int_t priority;
    bool lost; /* the job's row is damaged */
};

struct walk {
    struct catalog_txn *t;
    struct store *s;
    const char *wanted; /* or NULL */
    bool found;         /* the wanted one: its row is still to be looked at */
    json_t *datasets;   /* tenant/dataset -> index of its candidate, or null: one runs */
    struct turn *turns;
    size_t turn_count;
    struct candidate *candidates;
    size_t candidate_count;
};

static void turn_key(char out[CATALOG_KEY_SIZE], const char *tenant)
{
    snprintf(out, CATALOG_KEY_SIZE, "turn/%s", tenant);
}

/* Of one that is damaged nobody knows when it was: as if there had been none. Who gets it writes it
 * anew. */
static uint64_t last_turn(struct catalog_txn *t, const char *tenant)
{
    char key[CATALOG_KEY_SIZE];
    json_t *row;

    turn_key(key, tenant);
    if (!catalog_get_any(&row, t, CATALOG_COUNTERS, key))
        log_failure(LOG_LEVEL_ERROR, "turn_damaged", "tenant %s is as if it had had no turn yet",
                    tenant);
    uint64_t turn = (uint64_t)queue_number(row, "turn");
    json_decref(row);
    return turn;
}

static size_t turn_of(struct walk *w, const char *tenant)
{
    size_t i = 0;

    while (i < w->turn_count && strcmp(w->turns[i].tenant, tenant) != 0)
        i++;
    if (i < w->turn_count)
        return i;
    struct turn *grown = reallocarray(w->turns, i + 1, sizeof *grown);
    if (!grown) {
        catalog_fail(w->t, st_fail(ST_NOMEM, NULL, "out of memory"));
        return 0;
    }
    w->turns = grown;
    w->turn_count++;
    json_t *row;
    (void)store_tenant_row(&row, w->t, tenant); /* NULL is no limit */
    grown[i] = (struct turn){
        .most = (uint64_t)queue_number(json_object_get(row, "limits"), "max_concurrent_jobs"),
        .last = last_turn(w->t, tenant)};
    snprintf(grown[i].tenant, sizeof grown[i].tenant, "%s", tenant);
    json_decref(row);
    return i;
}

/* Not when its head or its tenant's row is damaged: the others' turns come. */
static bool may_run(struct catalog_txn *t, const json_t *entry)
{
    struct head h;
    json_t *row;
    bool known = store_tenant_row(&row, t, queue_text(entry, "tenant"));

    json_decref(row);
    store_head_load(&h, t, queue_text(entry, "tenant"), queue_text(entry, "dataset"));
    head_release(&h);
    bool damaged = t->status == ST_CORRUPT;
    if (damaged)
        catalog_forgive(t);
    return known && !damaged;
}

static void add_candidate(struct walk *w, const char *dataset_key, const json_t *entry)
{
    struct candidate *grown = reallocarray(w->candidates, w->candidate_count + 1, sizeof *grown);
    size_t turn = turn_of(w, queue_text(entry, "tenant"));

    if (!grown) {
        catalog_fail(w->t, st_fail(ST_NOMEM, NULL, "out of memory"));
        return;
    }
    w->candidates = grown;
    struct candidate *c = &grown[w->candidate_count];
    *c = (struct candidate){.turn = turn, .priority = queue_number(entry, "priority")};
    snprintf(c->job, sizeof c->job, "%s", queue_text(entry, "job"));
    store_set(w->t, w->datasets, dataset_key, json_integer((json_int_t)w->candidate_count++));
}

/* One entry whose job lives. */
static void look_at(struct walk *w, const json_t *entry)
{
    char key[CATALOG_KEY_SIZE];

    store_dataset_key(key, queue_text(entry, "tenant"), queue_text(entry, "dataset"));
    json_t *earlier = json_object_get(w->datasets, key);
    bool running = json_is_true(json_object_get(entry, "running"));
    bool wanted = w->wanted && strcmp(w->wanted, queue_text(entry, "job")) == 0;
    bool local = json_is_true(json_object_get(entry, "local"));

    if (wanted && earlier)
        catalog_fail(w->t, st_hint(st_fail(ST_CONFLICT, "DATASET_BUSY",
                                           "an earlier job of dataset \"%s\" has not ended",
                                           queue_text(entry, "dataset")),
                                   "wait for it, then try again"));
    w->found |= wanted && !running && !earlier;
    if (running) {
        size_t turn = turn_of(w, queue_text(entry, "tenant")); /* it can move them */
        if (turn < w->turn_count)
            w->turns[turn].running++;
    }
    if (!earlier && (running || local || !may_run(w->t, entry)))
        store_set(w->t, w->datasets, key, json_null());
    else if (!earlier)
        add_candidate(w, key, entry);
    else if (json_is_integer(earlier) && !local) {
        struct candidate *c = &w->candidates[json_integer_value(earlier)];
        if (queue_number(entry, "priority") > c->priority)
            c->priority = queue_number(entry, "priority");
    }
}

/* Is `a` before `b`, which was enqueued earlier? */
static bool goes_before(const struct walk *w, const struct candidate *a, const struct candidate *b)
{
    const struct turn *of_a = &w->turns[a->turn], *of_b = &w->turns[b->turn];

    if (a->turn == b->turn)
        return a->priority > b->priority;
    return of_a->running != of_b->running ? of_a->running < of_b->running : of_a->last < of_b->last;
}

static struct candidate *best_of(const struct walk *w)
{
    struct candidate *best = NULL;

    for (size_t i = 0; i < w->candidate_count; i++) {
        struct candidate *c = &w->candidates[i];
        const struct turn *turn = &w->turns[c->turn];
        if (!c->lost && (!turn->most || turn->running < turn->most) &&
            (!best || goes_before(w, c, best)))
            best = c;
    }
    return best;
}

/* The best one's row. A damaged one waits, and what is behind it in its dataset: the others' turns
 * come. */
static json_t *take_best(const struct walk *w)
{
    struct candidate *best;
    json_t *job = NULL;

    while (!job && !w->t->status && (best = best_of(w))) {
        job = catalog_get_whole(w->t, CATALOG_JOBS, best->job);
        best->lost = !job;
    }
    return job;
}

/* Only what runs, or is somebody's own, can have died: its entry says so. */
static bool may_be_dead(const struct store *s, struct catalog_txn *t, const json_t *entry)
{
    if (queue_owner_dead(s, entry))
        return true;
    if (!json_is_true(json_object_get(entry, "running")))
        return false;
    json_t *job = catalog_get_whole(t, CATALOG_JOBS, queue_text(entry, "job"));
    bool ended = job && queue_lease_ended(job);
    json_decref(job);
    return ended;
}

/* What the dead left of one entry; true when it changed, or went. Not when the job's row is
 * damaged: it stays as it is until the catalog is rebuilt. */
static bool settle(struct catalog_txn *t, struct store *s, const json_t *entry)
{
    if (!may_be_dead(s, t, entry))
        return false;
    const char *why =
        queue_owner_dead(s, entry) ? "the process that ran it ended" : "its lease ended";
    json_t *job = catalog_get_whole(t, CATALOG_JOBS, queue_text(entry, "job"));
    if (job)
        queue_redeliver(t, s, job, "WORKER_LOST", why);
    json_decref(job);
    return job != NULL;
}

static json_t *choose(struct catalog_txn *t, struct store *s, const char *wanted)
{
    struct walk w = {.t = t, .s = s, .wanted = wanted, .datasets = json_object()};
    char key[CATALOG_KEY_SIZE] = "";
    json_t *entry, *job = NULL;

    while (!w.found && (entry = queue_entry_after(t, key))) {
        if (settle(t, s, entry)) {
            json_decref(entry);
            entry = catalog_get(t, CATALOG_QUEUE, key);
        }
        if (entry)
            look_at(&w, entry);
        json_decref(entry);
    }
    if (!wanted)
        job = take_best(&w);
    else if (w.found)
        job = catalog_get(t, CATALOG_JOBS, wanted);
    json_decref(w.datasets);
    free(w.turns);
    free(w.candidates);
    return job;
}

/* A job that waits may have been cancelled: who wants it by name has to know. */
static enum st nothing_to_lease(struct store *s, const char *job)
{
    json_t *row = NULL;
    enum st st = job ? store_job_get(&row, s, NULL, job) : ST_OK;

    if (!st && row && queue_is(row, "canceled"))
        st = st_fail(ST_CONFLICT, "CANCELED", "the job was cancelled while it waited");
    json_decref(row);
    return st ? st : st_fail(ST_NOT_FOUND, "NO_JOB", "no job may run now");
}

static void set_lease(struct catalog_txn *t, json_t *job, const struct store *s, uint64_t lease_ms)
{
    json_t *lease = json_object();

    store_set(t, lease, "owner", json_string(s->run.name));
    store_set(t, lease, "boot", json_string(clock_boot_id()));
    store_set(t, lease, "until_ms", json_integer((json_int_t)(clock_boot_ms() + lease_ms)));
    store_set(t, job, "lease", lease);
    store_set(t, job, "attempt", json_integer(queue_number(job, "attempt") + 1));
    store_set(t, job, "tries", json_integer(queue_number(job, "tries") + 1));
    store_set(t, job, "started_at", store_time_json(clock_wall_us()));
    queue_set_state(t, job, "running");
}

static void fill_lease(struct store_lease *out, struct catalog_txn *t, const json_t *job)
{
    struct head h;

    *out = (struct store_lease){.order = (uint64_t)queue_number(job, "order"),
                                .attempt = (unsigned)queue_number(job, "attempt")};
    snprintf(out->job, sizeof out->job, "%s", queue_text(job, "job"));
    snprintf(out->tenant, sizeof out->tenant, "%s", queue_text(job, "tenant"));
    snprintf(out->dataset, sizeof out->dataset, "%s", queue_text(job, "dataset"));
    store_head_load(&h, t, out->tenant, out->dataset);
    out->people_sequence = h.people_sequence;
    head_release(&h);
}

static void take_turn(struct catalog_txn *t, const char *tenant)
{
    char key[CATALOG_KEY_SIZE];
    json_t *turn = json_object();

    turn_key(key, tenant);
    store_set(t, turn, "turn", json_integer((json_int_t)catalog_next_number(t, "turns")));
    catalog_put(t, CATALOG_COUNTERS, key, turn);
    json_decref(turn);
}

enum st store_job_lease(struct store_lease *out, json_t **spec, struct store *s, const char *job,
                        uint64_t lease_ms)
{
    struct catalog_txn t;
    bool leased = false;

    *spec = NULL;
    catalog_begin_write(&t, &s->catalog);
    json_t *row = choose(&t, s, job);
    if (row) {
        leased = true;
        set_lease(&t, row, s, lease_ms);
        fill_lease(out, &t, row);
        take_turn(&t, out->tenant);
        queue_put(&t, row);
        *spec = json_deep_copy(json_object_get(row, "spec"));
        if (!*spec)
            catalog_fail(&t, st_fail(ST_NOMEM, NULL, "out of memory"));
    }
    json_decref(row);
    enum st st = catalog_commit(&t);
    if (st) {
        json_decref(*spec);
        *spec = NULL;
        return st;
    }
    return leased ? ST_OK : nothing_to_lease(s, job);
}

/* ---- the dead, and the numbers ---- */

bool queue_job_runs(struct catalog_txn *t, const char *job)
{
    json_t *row = NULL;
    bool known = !*job || catalog_get_any(&row, t, CATALOG_JOBS, job);
    bool runs = !known || (row && queue_is(row, "running") && !queue_lease_ended(row));

    json_decref(row);
    return runs;
}

/* Walks the queue, and with `write` settles. Is there anything to settle? */
static enum st settle_round(bool *any, struct store *s, bool write)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *entry;

    *any = false;
    (write ? catalog_begin_write : catalog_begin_read)(&t, &s->catalog);
    while ((entry = queue_entry_after(&t, key))) {
        if (may_be_dead(s, &t, entry)) {
            *any = true;
            if (write)
                (void)settle(&t, s, entry);
        }
        json_decref(entry);
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

enum st store_queue_look(struct store_queue_stats *out, struct store *s)
{
    char key[CATALOG_KEY_SIZE] = "";
    struct catalog_txn t;
    json_t *entry;

    catalog_begin_read(&t, &s->catalog);
    *out = (struct store_queue_stats){.seen = catalog_txn_id(&t)};
    while ((entry = queue_entry_after(&t, key))) {
        bool running = json_is_true(json_object_get(entry, "running"));
        out->running += running;
        out->queued += !running;
        out->waiting += !running && !json_is_true(json_object_get(entry, "local"));
        if (!running && !out->oldest_us)
            out->oldest_us = queue_number(entry, "at_us");
        json_decref(entry);
    }
    return catalog_end(&t);
}

bool store_queue_changed(struct store *s, uint64_t seen)
{
    return catalog_moved(&s->catalog, seen);
}
