#include "store/internal.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "store/offer.h"
#include "store/seal.h"
#include "store/target.h"

#include <poll.h>
#include <string.h>

/* Rollback and promotion: people move the pointer. Each is one compare-and-swap of the head, judged
 * and written in one transaction; nothing is copied or rebuilt, so it takes as long as one
 * synchronous commit. */

#define REASON_MAX 1000
#define POLL_MS 5

enum st store_move_check_reason(const struct store_actor *actor)
{
    size_t len = actor->reason ? strlen(actor->reason) : 0;

    if (len == 0 || strspn(actor->reason, " \t\r\n") == len)
        return st_hint(
            st_place(st_fail(ST_INVALID, "REASON_REQUIRED", "a reason is needed"), "/reason"),
            "say why: it is kept with the event");
    if (len > REASON_MAX)
        return st_place(
            st_fail(ST_INVALID, "INVALID_REASON", "the reason is longer than %d bytes", REASON_MAX),
            "/reason");
    if (!utf8_is_valid(actor->reason, len))
        return st_place(st_fail(ST_INVALID, "INVALID_REASON", "the reason is not valid UTF-8"),
                        "/reason");
    return ST_OK;
}

static enum st target_of(uint64_t *to, struct catalog_txn *t, struct store *s, const struct head *h,
                         const struct store_move *move)
{
    *to = move->to ? move->to : store_rollback_target(t, s, h);
    if (!h->current)
        return st_fail(ST_CONFLICT, "NOTHING_TO_ROLL_BACK_TO", "no version of \"%s\" is current",
                       move->dataset);
    if (!*to)
        return st_fail(ST_CONFLICT, "NOTHING_TO_ROLL_BACK_TO",
                       "there is no version before %llu that can be served",
                       (unsigned long long)h->current);
    if (!head_find(h, *to))
        return st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION", "dataset \"%s\" has no version %llu",
                       move->dataset, (unsigned long long)*to);
    return ST_OK;
}

static bool is_at(const struct head *h, const struct store_if *wanted)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->sequences[i] == h->sequence)
            return true;
    return wanted->count == 0;
}

enum st store_move_check_head(const struct head *h, const struct store_move *move)
{
    if (!is_at(h, &move->if_head))
        return st_hint(
            st_fail(ST_PRECONDITION, "HEAD_MOVED", "the head is at sequence %llu, not %llu",
                    (unsigned long long)h->sequence,
                    (unsigned long long)move->if_head.sequences[move->if_head.count - 1]),
            "look at the dataset again, then decide again");
    if (move->from && move->from != h->current)
        return st_hint(st_fail(ST_PRECONDITION, "HEAD_MOVED",
                               "version %llu is current, not version %llu",
                               (unsigned long long)h->current, (unsigned long long)move->from),
                       "look at the dataset again, then decide again");
    return ST_OK;
}

enum st store_rollback_plan(uint64_t *from, uint64_t *to, struct store *s,
                            const struct store_move *move)
{
    struct catalog_txn t;
    struct head h;

    catalog_begin_read(&t, &s->catalog);
    store_head_load(&h, &t, move->tenant, move->dataset);
    if (!t.status)
        catalog_fail(&t, store_move_check_head(&h, move));
    if (!t.status)
        catalog_fail(&t, target_of(to, &t, s, &h, move));
    *from = h.current;
    head_release(&h);
    return catalog_end(&t);
}

static enum st check_request(const struct store_move *move, bool is_rollback)
{
    enum st st = store_move_check_reason(&move->actor);

    if (!st && is_rollback && !move->from && !move->if_head.count)
        st = st_hint(st_fail(ST_PRECONDITION_REQUIRED, "FROM_REQUIRED",
                             "a rollback says which version it leaves"),
                     "send \"from\", or If-Match with the head's sequence, so that pressing twice "
                     "goes back once");
    return st;
}

/* ---- before the pointer moves ---- */

static uint64_t now_ms(void)
{
    return clock_steady_ns() / 1000000u;
}

/* Where there is no server to look at the files, their bytes are looked at here, unless they were
 * since they last changed. */
static enum st verify_files(struct store *s, const struct offer *o)
{
    char path[FS_PATH_MAX];
    enum st st = ST_OK;

    for (size_t i = 0; !st && i < o->segment_count; i++) {
        struct catalog_txn t;
        st = store_segment_path(path, s, o->segments[i].sha256);
        if (st)
            break;
        catalog_begin_read(&t, &s->catalog);
        bool sealed = store_seal_holds(&t, o->segments[i].sha256, path);
        st = catalog_end(&t);
        if (!st)
            st = sealed ? store_segment_file_check(path, &o->segments[i])
                        : store_segment_file_verify(NULL, path, &o->segments[i], NULL);
    }
    return st;
}

/* Whether the servers have the version, which is kept: asked for at first, then waited for. */
static enum st await_offer(bool *ready, struct store *s, struct offer *o,
                           struct store_move_progress *p, uint64_t timeout_ms)
{
    size_t servers = 0;

    if (!offer_ask(s, o->number, o->version)) {
        enum st made = offer_make(o, s);
        p->offer = o->number;
        return made;
    }
    enum st st = offer_look(&servers, s, o);
    if (st == ST_NOT_FOUND) {
        *ready = now_ms() - p->began_ms >= timeout_ms;
        return ST_OK;
    }
    if (!st && servers == 0)
        st = verify_files(s, o);
    if (st == ST_CORRUPT)
        st = st_hint(st_fail(ST_CONFLICT, "NOT_SERVABLE",
                             "version %llu cannot be served: a file of it is missing or damaged",
                             (unsigned long long)o->version),
                     "everline verify --deep says which versions are whole; name one of them");
    *ready = !st;
    return st;
}

/* Have servers that live this version open, as far as can be told from here? What a rollback goes
 * to by default is kept open; a file that has changed since it was verified is hashed again. */
static bool is_standby(struct catalog_txn *t, struct store *s, const struct head *h,
                       const struct head_version *v)
{
    char path[FS_PATH_MAX];
    bool holds = v->version == store_rollback_target(t, s, h);

    for (size_t i = 0; holds && i < v->segment_count; i++)
        holds = store_segment_path(path, s, v->segments[i].sha256) == ST_OK &&
                store_seal_holds(t, v->segments[i].sha256, path);
    return holds;
}

enum st store_move_prepare(bool *ready, struct store *s, struct store_move *move, bool is_rollback)
{
    struct store_move_progress *p = &move->progress;
    struct offer o = {.tenant = move->tenant,
                      .dataset = move->dataset,
                      .owner = s->run.name,
                      .number = p->offer,
                      .version = move->to};
    struct catalog_txn t;
    struct head h;
    uint64_t timeout_ms = STORE_ADOPT_MS;

    *ready = false;
    if (!p->began_ms)
        p->began_ms = now_ms();
    enum st st = check_request(move, is_rollback);
    if (st)
        return st;
    catalog_begin_read(&t, &s->catalog);
    store_head_load(&h, &t, move->tenant, move->dataset);
    if (!t.status)
        catalog_fail(&t, store_move_check_head(&h, move));
    if (!t.status && is_rollback)
        catalog_fail(&t, target_of(&o.version, &t, s, &h, move));
    const struct head_version *v = t.status ? NULL : head_find(&h, o.version);
    if (v) {
        o.segments = v->segments;
        o.segment_count = v->segment_count;
        if (is_standby(&t, s, &h, v))
            timeout_ms = STORE_STANDBY_MS;
    }
    st = catalog_end(&t);
    if (!st && (o.segment_count == 0 || o.version == h.current))
        *ready = true; /* nothing to open: the move says why it cannot be */
    else if (!st)
        st = await_offer(ready, s, &o, p, timeout_ms);
    head_release(&h);
    return st;
}

enum st store_move_wait(struct store *s, struct store_move *move, bool is_rollback)
{
    bool ready = false;
    enum st st;

    while (!(st = store_move_prepare(&ready, s, move, is_rollback)) && !ready)
        (void)poll(NULL, 0, POLL_MS);
    return st;
}

/* ---- the move ---- */

/* One attempt at a move in one transaction. */
static enum st move_head(json_t **answer, struct store *s, const struct store_move *move,
                         enum head_move kind)
{
    struct catalog_txn t;
    struct head h;
    uint64_t previous = 0, to = move->to;

    *answer = NULL;
    catalog_begin_write(&t, &s->catalog);
    store_head_load(&h, &t, move->tenant, move->dataset);
    if (!t.status)
        catalog_fail(&t, store_move_check_head(&h, move));
    if (!t.status && kind == MOVE_ROLL_BACK)
        catalog_fail(&t, target_of(&to, &t, s, &h, move));
    if (!t.status && kind == MOVE_PROMOTE && !head_find(&h, to))
        catalog_fail(&t,
                     st_fail(ST_NOT_FOUND, "UNKNOWN_VERSION", "dataset \"%s\" has no version %llu",
                             move->dataset, (unsigned long long)to));
    if (!t.status) {
        previous = h.current;
        catalog_fail(
            &t, head_apply(&h, kind, kind == MOVE_ROLL_BACK ? previous : to, to, clock_wall_us()));
    }
    if (!t.status)
        catalog_fail(&t, store_files_check(&t, s, &h, to));
    if (!t.status)
        store_head_save(&t, s, &h,
                        &(struct store_event){
                            .event = kind == MOVE_ROLL_BACK ? "rolled_back" : "promoted",
                            .version = kind == MOVE_ROLL_BACK ? previous : to,
                            .from = previous,
                            .to = to,
                            .actor = &move->actor,
                        });
    if (!t.status)
        catalog_fail(&t, store_head_answer(answer, &h, previous));
    if (move->progress.offer)
        offer_withdraw(&t, move->tenant, move->dataset, s->run.name, move->progress.offer);
    enum st st = catalog_commit(&t);
    head_release(&h);
    if (st) {
        json_decref(*answer);
        *answer = NULL;
    }
    return st;
}

enum st store_rollback(json_t **head, struct store *s, const struct store_move *move)
{
    enum st st = check_request(move, true);

    return st ? st : move_head(head, s, move, MOVE_ROLL_BACK);
}

enum st store_promote(json_t **head, struct store *s, const struct store_move *move)
{
    enum st st = check_request(move, false);

    return st ? st : move_head(head, s, move, MOVE_PROMOTE);
}
