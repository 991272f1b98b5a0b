#include "store/publish_internal.h"

#include "base/clock.h"
#include "store/offer.h"

#include <stdlib.h>
#include <string.h>

/* The judgement, and the swap: what becomes of a build is decided against the head that is there in
 * the transaction that changes it. */

#define OUTCOME_COUNT 4

const char *store_outcome_name(enum store_outcome outcome)
{
    static const char *const NAMES[OUTCOME_COUNT] = {
        [STORE_FLIPPED] = "flipped",
        [STORE_SUPERSEDED] = "superseded",
        [STORE_IDENTICAL] = "identical",
        [STORE_HELD_BACK] = "held",
    };

    return NAMES[outcome];
}

struct store_actor build_actor(const struct store_build *b, const char *reason)
{
    return (struct store_actor){.name = b->actor, .reason = reason};
}

/* ---- the judgement ---- */

static bool same_segments(const struct store_build *b, const struct head_version *v)
{
    if (!v || v->segment_count != b->segment_count)
        return false;
    for (size_t i = 0; i < b->segment_count; i++)
        if (strcmp(v->segments[i].sha256, b->segments[i].sha256) != 0)
            return false;
    return true;
}

enum store_outcome build_judge(const struct store_build *b, const struct head *h, bool gates_pass)
{
    const struct head_version *current = head_find(h, h->current);

    if (current && current->order > b->lease.order)
        return STORE_SUPERSEDED;
    for (size_t i = 0; i < h->version_count; i++)
        if (h->versions[i].state == VERSION_QUARANTINED && same_segments(b, &h->versions[i]))
            return STORE_HELD_BACK;
    if (same_segments(b, current))
        return STORE_IDENTICAL;
    if (!gates_pass || b->require_promotion || h->people_sequence != b->lease.people_sequence)
        return STORE_HELD_BACK;
    return STORE_FLIPPED;
}

/* The judgement on top of the head that this transaction sees: its gates too are judged against
 * what is current in it, so that a head that moved meanwhile is judged again by itself. */
static enum store_outcome judge(struct catalog_txn *t, struct store_build *b, const struct head *h)
{
    bool passed = false;
    json_t *current =
        h->current ? store_row_load(t, b->lease.tenant, b->lease.dataset, h->current) : NULL;

    json_decref(b->gates);
    b->gates = NULL;
    if (!t->status)
        catalog_fail(t,
                     gate_judge(&b->gates, &passed, b->held_by, json_object_get(b->report, "gates"),
                                json_object_get(b->report, "rows"), current));
    json_decref(current);
    return build_judge(b, h, passed);
}

/* ---- the row ---- */

/* What the batch's report has, and the gates once they were judged. */
static void put_report(struct catalog_txn *t, json_t *row, const struct store_build *b)
{
    static const char *const MEMBERS[] = {"rows", "sources", "checks", "gates", "rejects", "used"};

    for (size_t i = 0; i < sizeof MEMBERS / sizeof *MEMBERS; i++) {
        json_t *value = json_object_get(b->report, MEMBERS[i]);
        if (strcmp(MEMBERS[i], "gates") == 0 && b->gates)
            value = b->gates;
        if (value)
            store_set(t, row, MEMBERS[i], json_incref(value));
    }
}

void build_finish_row(struct catalog_txn *t, const struct store_build *b, const struct head *h,
                      const char *outcome, const struct st_report *error)
{
    json_t *row = store_row_load(t, b->lease.tenant, b->lease.dataset, b->version);
    json_t *segments = json_array();
    json_int_t bytes = 0;

    for (size_t i = 0; !error && i < b->segment_count; i++) {
        if (json_array_append_new(segments, json_pack("{s:s, s:I}", "sha256", b->segments[i].sha256,
                                                      "bytes", (json_int_t)b->segments[i].bytes)))
            catalog_fail(t, st_fail(ST_NOMEM, NULL, "out of memory"));
        bytes += (json_int_t)b->segments[i].bytes;
    }
    if (row) {
        store_set(t, row, "updated_at", store_time_json(h->event_us));
        store_set(t, row, "segments", json_incref(segments));
        store_set(t, row, "bytes", json_integer(bytes));
        store_set(t, row, "outcome", json_string(outcome));
        put_report(t, row, b);
        store_rejects_save(t, b->lease.tenant, b->lease.dataset, b->version, row);
        if (error)
            store_set(t, row, "error",
                      json_pack("{s:s, s:s, s:s, s:s}", "code", error->code, "message",
                                error->message, "place", error->place, "hint", error->hint));
        store_row_save(t, b->lease.tenant, b->lease.dataset, b->version, row);
    }
    json_decref(segments);
    json_decref(row);
}

/* ---- the swap ---- */

static enum st set_manifest(struct store_build *b, struct head_version *v)
{
    free(v->segments); /* the empty list of a version in progress */
    v->segment_count = 0;
    v->segments = calloc(b->segment_count ? b->segment_count : 1, sizeof *v->segments);
    if (!v->segments)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    memcpy(v->segments, b->segments, b->segment_count * sizeof *v->segments);
    v->segment_count = b->segment_count;
    return ST_OK;
}

/* The swap. What happens is judged against the head that is there in this transaction. */
enum st build_swap_head(enum store_outcome *outcome, struct store_build *b)
{
    static const char *const EVENTS[OUTCOME_COUNT] = {
        [STORE_FLIPPED] = "flipped",
        [STORE_SUPERSEDED] = "succeeded",
        [STORE_IDENTICAL] = "succeeded",
        [STORE_HELD_BACK] = "held",
    };
    struct catalog_txn t;
    struct head h;

    catalog_begin_write(&t, &b->store->catalog);
    json_decref(queue_fenced_job(&t, &b->lease));
    store_head_load(&h, &t, b->lease.tenant, b->lease.dataset);
    if (!t.status) {
        uint64_t from = h.current;
        *outcome = judge(&t, b, &h);
        const char *name = store_outcome_name(*outcome);
        bool held = *outcome == STORE_HELD_BACK;
        struct store_actor actor = build_actor(b, *outcome == STORE_FLIPPED ? NULL
                                                  : held && b->held_by[0]   ? b->held_by
                                                                            : name);

        catalog_fail(&t, set_manifest(b, head_find(&h, b->version)));
        if (!t.status)
            catalog_fail(&t,
                         head_apply(&h, held ? MOVE_HOLD : MOVE_SUCCEED, b->version,
                                    *outcome == STORE_FLIPPED ? b->version : 0, clock_wall_us()));
        if (!t.status) {
            build_finish_row(&t, b, &h, name, NULL);
            offer_withdraw(&t, b->lease.tenant, b->lease.dataset, b->lease.job, 0);
            build_give_back_pins(&t, b);
            build_note_verified(&t, b);
            queue_end(&t, &b->lease, held ? "held" : "succeeded", b->version, name, b->job_result);
            store_head_save(&t, b->store, &h,
                            &(struct store_event){.event = EVENTS[*outcome],
                                                  .version = b->version,
                                                  .from = from,
                                                  .to = h.current,
                                                  .actor = &actor});
        }
    }
    head_release(&h);
    return catalog_commit(&t);
}

enum st build_would_flip(bool *flips, struct store_build *b)
{
    struct catalog_txn t;
    struct head h;

    catalog_begin_read(&t, &b->store->catalog);
    store_head_load(&h, &t, b->lease.tenant, b->lease.dataset);
    *flips = !t.status && judge(&t, b, &h) == STORE_FLIPPED;
    head_release(&h);
    return catalog_end(&t);
}

enum st store_gates_preview(json_t **gates, bool *passed, uint64_t *current, struct store *s,
                            const char *tenant, const char *dataset, const json_t *report)
{
    char why[GATE_WHY_SIZE];
    struct catalog_txn t;
    struct head h;

    *gates = NULL;
    *current = 0;
    catalog_begin_read(&t, &s->catalog);
    store_head_load(&h, &t, tenant, dataset);
    json_t *row = !t.status && h.current ? store_row_load(&t, tenant, dataset, h.current) : NULL;
    if (!t.status) {
        *current = h.current;
        catalog_fail(&t, gate_judge(gates, passed, why, json_object_get(report, "gates"),
                                    json_object_get(report, "rows"), row));
    }
    json_decref(row);
    head_release(&h);
    return catalog_end(&t);
}
