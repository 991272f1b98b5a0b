#include "store/internal.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <string.h>

/* Rollback and promotion: people move the pointer. Each is one compare-and-swap of the head, judged
 * and written in one transaction; nothing is copied or rebuilt, so it takes as long as one
 * synchronous commit. */

#define REASON_MAX 1000

enum st store_move_check_reason(const struct store_actor *actor)
{
    size_t len = actor->reason ? strlen(actor->reason) : 0;

    if (len == 0)
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

/* The files of the version must be there before anybody is sent to them. Each server verifies their
 * bytes again before it opens them. */
static enum st check_files(struct store *s, const struct head *h, uint64_t version)
{
    const struct head_version *v = head_find(h, version);
    char path[FS_PATH_MAX];
    enum st st = ST_OK;

    for (size_t i = 0; !st && v && i < v->segment_count; i++) {
        st = store_segment_path(path, s, v->segments[i].sha256);
        if (!st)
            st = store_segment_file_check(path, &v->segments[i], false);
        if (st)
            st = st_fail(ST_CONFLICT, "NOT_SERVABLE",
                         "version %llu cannot be served: a file of it "
                         "is missing or damaged",
                         (unsigned long long)version);
    }
    return st;
}

static enum st target_of(uint64_t *to, const struct head *h, const struct store_move *move)
{
    *to = move->to ? move->to : head_rollback_target(h);
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

enum st store_move_check_head(const struct head *h, const struct store_move *move)
{
    if (move->if_sequence && move->if_sequence != h->sequence)
        return st_hint(
            st_fail(ST_PRECONDITION, "HEAD_MOVED", "the head is at sequence %llu, not %llu",
                    (unsigned long long)h->sequence, (unsigned long long)move->if_sequence),
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
        catalog_fail(&t, target_of(to, &h, move));
    *from = h.current;
    head_release(&h);
    return catalog_end(&t);
}

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
        catalog_fail(&t, target_of(&to, &h, move));
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
        catalog_fail(&t, check_files(s, &h, to));
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
    enum st st = catalog_commit(&t);
    if (st) {
        json_decref(*answer);
        *answer = NULL;
    }
    head_release(&h);
    return st;
}

enum st store_rollback(json_t **head, struct store *s, const struct store_move *move)
{
    enum st st = store_move_check_reason(&move->actor);

    if (!st && !move->from && !move->if_sequence)
        st = st_hint(st_fail(ST_PRECONDITION_REQUIRED, "FROM_REQUIRED",
                             "a rollback says which version it leaves"),
                     "send \"from\", or If-Match with the head's sequence, so that pressing twice "
                     "goes back once");
    return st ? st : move_head(head, s, move, MOVE_ROLL_BACK);
}

enum st store_promote(json_t **head, struct store *s, const struct store_move *move)
{
    enum st st = store_move_check_reason(&move->actor);

    return st ? st : move_head(head, s, move, MOVE_PROMOTE);
}
