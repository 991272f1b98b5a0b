/* The head: the table of allowed moves, the pointer, the way back, and the document. */
#include "store/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STATES 6
#define ON_CURRENT STATES /* a seventh start: SUCCEEDED and current */
#define ABSENT (STATES + 1)
#define STARTS (STATES + 2)

static void ok(enum st st)
{
    if (st)
        fail_msg("%s: %s", st_name(st), st_message());
}

static void move(struct head *h, enum head_move m, uint64_t version, uint64_t pointer_to)
{
    ok(head_apply(h, m, version, pointer_to, 1000));
}

static void serve(struct head *h, uint64_t version)
{
    move(h, MOVE_BEGIN, version, 0);
    move(h, MOVE_SUCCEED, version, version);
}

/* Versions 1 (current) and 2 (SUCCEEDED, so that a rollback has somewhere to go), and 3 in `start`.
 */
static void head_at(struct head *h, unsigned start)
{
    *h = (struct head){0};
    serve(h, 1);
    serve(h, 2);
    move(h, MOVE_PROMOTE, 1, 1);
    if (start == ABSENT)
        return;
    move(h, MOVE_BEGIN, 3, 0);
    switch (start) {
    case VERSION_IN_PROGRESS:
        return;
    case VERSION_HELD:
        move(h, MOVE_HOLD, 3, 0);
        return;
    case VERSION_FAILED:
        move(h, MOVE_FAIL, 3, 0);
        return;
    case VERSION_SUCCEEDED:
        move(h, MOVE_SUCCEED, 3, 0);
        return;
    case VERSION_RETIRED:
        move(h, MOVE_SUCCEED, 3, 0);
        move(h, MOVE_RETIRE, 3, 0);
        return;
    case VERSION_QUARANTINED:
        move(h, MOVE_SUCCEED, 3, 3);
        move(h, MOVE_ROLL_BACK, 3, 1);
        return;
    default:
        move(h, MOVE_SUCCEED, 3, 3);
        return;
    }
}

static const struct {
    enum head_move move;
    uint64_t pointer_to;
    enum version_state to;
    bool allowed[STARTS];
} TABLE[] = {
    {MOVE_BEGIN, 0, VERSION_IN_PROGRESS, {[ABSENT] = true}},
    {MOVE_SUCCEED, 0, VERSION_SUCCEEDED, {[VERSION_IN_PROGRESS] = true}},
    {MOVE_SUCCEED, 3, VERSION_SUCCEEDED, {[VERSION_IN_PROGRESS] = true}},
    {MOVE_HOLD, 0, VERSION_HELD, {[VERSION_IN_PROGRESS] = true}},
    {MOVE_FAIL, 0, VERSION_FAILED, {[VERSION_IN_PROGRESS] = true}},
    {MOVE_PROMOTE,
     3,
     VERSION_SUCCEEDED,
     {[VERSION_HELD] = true, [VERSION_QUARANTINED] = true, [VERSION_SUCCEEDED] = true}},
    {MOVE_ROLL_BACK, 2, VERSION_QUARANTINED, {[ON_CURRENT] = true}},
    {MOVE_RETIRE,
     0,
     VERSION_RETIRED,
     {[VERSION_HELD] = true, [VERSION_QUARANTINED] = true, [VERSION_SUCCEEDED] = true}},
};

static void every_move_from_every_state_is_as_the_table_says(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof TABLE / sizeof TABLE[0]; row++)
        for (unsigned start = 0; start < STARTS; start++) {
            struct head h;
            head_at(&h, start);
            uint64_t sequence = h.sequence, current = h.current;
            enum st st = head_apply(&h, TABLE[row].move, 3, TABLE[row].pointer_to, 1000);

            if ((st == ST_OK) != TABLE[row].allowed[start])
                fail_msg("row %zu from %u: %s", row, start, st_name(st));
            if (st == ST_OK) {
                assert_int_equal(head_find(&h, 3)->state, TABLE[row].to);
                assert_int_equal(h.sequence, sequence + 1);
                assert_int_equal(h.current,
                                 TABLE[row].pointer_to ? TABLE[row].pointer_to : current);
            } else {
                assert_int_equal(st, ST_CONFLICT);
                assert_string_equal(st_code(), "NOT_ALLOWED");
                assert_int_equal(h.sequence, sequence);
                assert_int_equal(h.current, current);
                const struct head_version *v = head_find(&h, 3);
                if (start == ABSENT)
                    assert_null(v);
                else
                    assert_int_equal(v->state, start == ON_CURRENT ? VERSION_SUCCEEDED : start);
            }
            head_release(&h);
        }
}

static void refuse(struct head *h, enum head_move m, uint64_t version, uint64_t pointer_to,
                   const char *code)
{
    uint64_t sequence = h->sequence, current = h->current;

    assert_int_equal(head_apply(h, m, version, pointer_to, 1000), ST_CONFLICT);
    assert_string_equal(st_code(), code);
    assert_int_equal(h->sequence, sequence);
    assert_int_equal(h->current, current);
}

static void the_pointer_moves_only_with_moves_that_may_move_it(void **state)
{
    struct head h;

    (void)state;
    head_at(&h, VERSION_IN_PROGRESS);
    refuse(&h, MOVE_BEGIN, 4, 2, "NOT_ALLOWED");
    assert_null(head_find(&h, 4));
    refuse(&h, MOVE_HOLD, 3, 3, "NOT_ALLOWED");
    refuse(&h, MOVE_FAIL, 3, 2, "NOT_ALLOWED");
    refuse(&h, MOVE_RETIRE, 2, 2, "NOT_ALLOWED");
    refuse(&h, MOVE_PROMOTE, 2, 0, "NOT_ALLOWED");
    refuse(&h, MOVE_ROLL_BACK, 1, 0, "NOT_ALLOWED");
    refuse(&h, MOVE_ROLL_BACK, 1, 1, "NOT_ALLOWED");
    refuse(&h, MOVE_ROLL_BACK, 1, 99, "NOT_ALLOWED");
    head_release(&h);
}

static void a_rollback_goes_only_to_a_succeeded_version(void **state)
{
    static const enum version_state BAD[] = {VERSION_IN_PROGRESS, VERSION_HELD, VERSION_FAILED,
                                             VERSION_QUARANTINED, VERSION_RETIRED};

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct head h;
        head_at(&h, BAD[i]);
        refuse(&h, MOVE_ROLL_BACK, 1, 3, "NOT_SERVABLE");
        bool promotable = BAD[i] == VERSION_HELD || BAD[i] == VERSION_QUARANTINED;
        assert_int_equal(strstr(st_hint_text(), "promotion") != NULL, promotable);
        head_release(&h);
    }
}

static void only_moves_by_people_raise_the_people_sequence(void **state)
{
    struct head h = {0};

    (void)state;
    serve(&h, 1);
    serve(&h, 2);
    assert_int_equal(h.people_sequence, 0);
    move(&h, MOVE_ROLL_BACK, 2, 1);
    assert_int_equal(h.people_sequence, h.sequence);
    move(&h, MOVE_BEGIN, 3, 0);
    assert_int_equal(h.people_sequence, h.sequence - 1);
    move(&h, MOVE_PROMOTE, 2, 2);
    assert_int_equal(h.people_sequence, h.sequence);
    move(&h, MOVE_RETIRE, 1, 0);
    assert_int_equal(h.people_sequence, h.sequence - 1);
    head_release(&h);
}

static void every_flip_adds_one_turn_and_nothing_else_does(void **state)
{
    struct head h = {0};

    (void)state;
    serve(&h, 1);
    move(&h, MOVE_BEGIN, 2, 0);
    move(&h, MOVE_SUCCEED, 2, 0);
    assert_int_equal(h.turn_count, 1);
    assert_int_equal(h.turns[0].version, 1);
    move(&h, MOVE_PROMOTE, 2, 2);
    move(&h, MOVE_ROLL_BACK, 2, 1);
    assert_int_equal(h.turn_count, 3);
    assert_int_equal(h.turns[1].version, 2);
    assert_int_equal(h.turns[2].version, 1);
    assert_int_equal(h.turns[2].at_us, h.event_us);
    head_release(&h);
}

static uint64_t nearest(const struct head *h)
{
    size_t at = 0;

    return head_rollback_step(h, &at);
}

static void there_is_nothing_to_roll_back_to_before_a_second_flip(void **state)
{
    struct head h = {0};

    (void)state;
    assert_int_equal(nearest(&h), 0);
    serve(&h, 1);
    assert_int_equal(nearest(&h), 0);
    serve(&h, 2);
    assert_int_equal(nearest(&h), 1);
    head_release(&h);
}

static void rolling_back_twice_in_a_row_goes_two_back_and_then_nowhere(void **state)
{
    struct head h = {0};

    (void)state;
    serve(&h, 1);
    serve(&h, 2);
    serve(&h, 3);
    assert_int_equal(nearest(&h), 2);
    move(&h, MOVE_ROLL_BACK, 3, 2);
    assert_int_equal(nearest(&h), 1);
    move(&h, MOVE_ROLL_BACK, 2, 1);
    assert_int_equal(nearest(&h), 0);
    head_release(&h);
}

static void a_rollback_skips_what_is_quarantined_or_retired(void **state)
{
    struct head h = {0};

    (void)state;
    for (uint64_t v = 1; v <= 3; v++)
        serve(&h, v);
    move(&h, MOVE_ROLL_BACK, 3, 2);
    serve(&h, 4); /* turns 1 2 3 2 4: 3 is quarantined */
    assert_int_equal(nearest(&h), 2);
    move(&h, MOVE_RETIRE, 2, 0);
    assert_int_equal(nearest(&h), 1);
    move(&h, MOVE_RETIRE, 1, 0);
    assert_int_equal(nearest(&h), 0);
    head_release(&h);
}

static void the_walk_back_starts_where_the_version_first_became_current(void **state)
{
    struct head h = {0};

    (void)state;
    for (uint64_t v = 1; v <= 3; v++)
        serve(&h, v);
    move(&h, MOVE_PROMOTE, 2, 2); /* turns 1 2 3 2: from 2 back is 1, not 3 */
    assert_int_equal(head_find(&h, 3)->state, VERSION_SUCCEEDED);
    assert_int_equal(nearest(&h), 1);
    head_release(&h);
}

static void sequence_and_event_time_never_go_backwards(void **state)
{
    struct head h = {0};

    (void)state;
    ok(head_apply(&h, MOVE_BEGIN, 1, 0, 5000));
    assert_int_equal(h.event_us, 5000);
    assert_int_equal(h.sequence, 1);
    ok(head_apply(&h, MOVE_SUCCEED, 1, 1, 4000));
    assert_int_equal(h.event_us, 5001);
    assert_int_equal(h.turns[0].at_us, 5001);
    ok(head_apply(&h, MOVE_BEGIN, 2, 0, 5001));
    assert_int_equal(h.event_us, 5002);
    ok(head_apply(&h, MOVE_FAIL, 2, 0, 9000));
    assert_int_equal(h.event_us, 9000);
    assert_int_equal(h.sequence, 4);
    assert_int_equal(h.last_version, 2);
    head_release(&h);
}

static void sample(struct head *h)
{
    head_at(h, VERSION_QUARANTINED);
    strcpy(h->tenant, "acme");
    strcpy(h->dataset, "customers");
    struct head_version *v = head_find(h, 2);
    v->order = 77;
    v->segment_count = 2;
    v->segments = calloc(2, sizeof *v->segments);
    assert_non_null(v->segments);
    memset(v->segments[0].sha256, 'a', DIGEST_HEX_SIZE - 1);
    memset(v->segments[1].sha256, '9', DIGEST_HEX_SIZE - 1);
    v->segments[0].bytes = 4096;
    v->segments[1].bytes = (uint64_t)1 << 40;
}

static void deleting_retires_every_kept_version_in_one_event(void **state)
{
    struct head h, back;
    json_t *document;

    (void)state;
    sample(&h);
    uint64_t sequence = h.sequence, last = h.last_version;
    ok(head_apply(&h, MOVE_BEGIN, last + 1, 0, 0));
    assert_int_equal(head_delete(&h, 0), ST_CONFLICT);
    assert_false(h.deleted);
    ok(head_apply(&h, MOVE_FAIL, last + 1, 0, 0));
    ok(head_delete(&h, 0));
    assert_int_equal(h.sequence, sequence + 3);
    assert_int_equal(h.people_sequence, h.sequence);
    assert_int_equal(h.last_version, last + 1);
    assert_int_equal(h.current, 0);
    assert_int_equal(head_as_of(&h, h.event_us), 0);
    for (size_t i = 0; i < h.version_count; i++) {
        assert_false(head_keeps(&h.versions[i]));
        assert_int_equal(h.versions[i].segment_count, 0);
    }
    ok(head_to_json(&document, &h));
    ok(head_from_json(&back, document));
    assert_true(back.deleted);
    json_decref(document);
    head_release(&back);
    head_release(&h);
}

static void a_head_survives_the_round_trip_through_json(void **state)
{
    struct head h, back;
    json_t *first, *second;

    (void)state;
    sample(&h);
    ok(head_to_json(&first, &h));
    ok(head_from_json(&back, first));
    assert_string_equal(back.tenant, "acme");
    assert_string_equal(back.dataset, "customers");
    assert_int_equal(back.sequence, h.sequence);
    assert_int_equal(back.people_sequence, h.people_sequence);
    assert_int_equal(back.current, 1);
    assert_int_equal(back.last_version, 3);
    assert_int_equal(back.event_us, h.event_us);
    assert_int_equal(back.version_count, 3);
    assert_int_equal(back.turn_count, h.turn_count);
    assert_memory_equal(back.turns, h.turns, h.turn_count * sizeof *h.turns);
    assert_int_equal(head_find(&back, 3)->state, VERSION_QUARANTINED);
    const struct head_version *v = head_find(&back, 2);
    assert_int_equal(v->order, 77);
    assert_int_equal(v->segment_count, 2);
    assert_memory_equal(v->segments, head_find(&h, 2)->segments, 2 * sizeof *v->segments);
    ok(head_to_json(&second, &back));
    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);
    head_release(&h);
    head_release(&back);
}

enum part { TOP, VERSION, SEGMENT, TURN };

static const struct {
    enum part part;
    const char *name;
    const char *value; /* JSON; NULL: the member is gone */
} DAMAGE[] = {
    {TOP, "tenant", NULL},
    {TOP, "tenant", "7"},
    {TOP, "dataset", NULL},
    {TOP, "sequence", NULL},
    {TOP, "sequence", "0"},
    {TOP, "sequence", "-1"},
    {TOP, "people_sequence", "\"x\""},
    {TOP, "current", "99"},
    {TOP, "current", "-1"},
    {TOP, "last_version", "-3"},
    {TOP, "event_us", "true"},
    {TOP, "versions", "{}"},
    {TOP, "versions", "[]"},
    {TOP, "versions", NULL},
    {TOP, "versions", "[1]"},
    {TOP, "turns", "7"},
    {VERSION, "version", NULL},
    {VERSION, "version", "0"},
    {VERSION, "state", "\"MAYBE\""},
    {VERSION, "state", NULL},
    {VERSION, "order", "-1"},
    {VERSION, "segments", "\"x\""},
    {SEGMENT, "sha256", "\"../../etc/passwd\""},
    {SEGMENT, "sha256", NULL},
    {SEGMENT, "bytes", NULL},
    {SEGMENT, "bytes", "-1"},
    {TOP, "deleted", "7"},
    {TOP, "deleted", "true"},
    {TURN, "version", "-1"},
    {TURN, "version", NULL},
    {TURN, "at_us", "\"x\""},
};

static void a_damaged_document_is_refused_as_corrupt(void **state)
{
    size_t accepted = 0;

    (void)state;
    for (size_t i = 0; i < sizeof DAMAGE / sizeof DAMAGE[0]; i++) {
        struct head h, back;
        json_t *document, *at;

        sample(&h);
        ok(head_to_json(&document, &h));
        json_t *version = json_array_get(json_object_get(document, "versions"), 1);
        at = DAMAGE[i].part == TOP       ? document
             : DAMAGE[i].part == VERSION ? version
             : DAMAGE[i].part == SEGMENT ? json_array_get(json_object_get(version, "segments"), 0)
                                         : json_array_get(json_object_get(document, "turns"), 0);
        assert_non_null(at);
        if (DAMAGE[i].value)
            assert_int_equal(
                json_object_set_new(at, DAMAGE[i].name,
                                    json_loads(DAMAGE[i].value, JSON_DECODE_ANY, NULL)),
                0);
        else
            assert_int_equal(json_object_del(at, DAMAGE[i].name), 0);
        if (head_from_json(&back, document) != ST_CORRUPT) {
            print_error("accepted: %s = %s\n", DAMAGE[i].name,
                        DAMAGE[i].value ? DAMAGE[i].value : "(gone)");
            accepted++;
        }
        head_release(&back);
        json_decref(document);
        head_release(&h);
    }
    assert_int_equal(accepted, 0);
}

static void names_that_do_not_fit_are_refused_as_corrupt(void **state)
{
    struct head h, back;
    json_t *document;
    char name[STORE_NAME_SIZE + 1];

    (void)state;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    sample(&h);
    ok(head_to_json(&document, &h));
    assert_int_equal(json_object_set_new(document, "dataset", json_string(name)), 0);
    assert_int_equal(head_from_json(&back, document), ST_CORRUPT);
    json_decref(document);
    head_release(&h);
}

static void what_is_over_is_forgotten_in_time_and_what_is_kept_never(void **state)
{
    struct head h = {0};
    (void)state;
    serve(&h, 1);
    for (uint64_t v = 2; v <= 1000; v++) {
        move(&h, MOVE_BEGIN, v, 0);
        move(&h, MOVE_FAIL, v, 0);
    }
    assert_int_equal(h.version_count, 1 + HEAD_HISTORY_MAX);
    assert_non_null(head_find(&h, 1));
    assert_null(head_find(&h, 2));
    assert_non_null(head_find(&h, 1000));
    assert_int_equal(h.last_version, 1000);
    assert_true(head_is_gone(&h, 2)); /* whatever is older than it and still kept */
    assert_false(head_is_gone(&h, 1));
    assert_false(head_is_gone(&h, 1000)); /* it has failed: it never was one */
    assert_false(head_is_gone(&h, 1001));
    assert_false(head_is_gone(&h, 0));
    assert_int_equal(head_apply(&h, MOVE_BEGIN, 2, 0, 1000), ST_CONFLICT); /* numbers stay used */
    serve(&h, 1001);
    for (unsigned i = 0; i < 500; i++)
        move(&h, MOVE_PROMOTE, i % 2 ? 1001 : 1, i % 2 ? 1001 : 1);
    assert_int_equal(h.turn_count, HEAD_HISTORY_MAX);
    assert_int_equal(h.current, 1001);
    assert_int_equal(h.turns[HEAD_HISTORY_MAX - 1].version, 1001);
    head_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_move_from_every_state_is_as_the_table_says),
        cmocka_unit_test(the_pointer_moves_only_with_moves_that_may_move_it),
        cmocka_unit_test(a_rollback_goes_only_to_a_succeeded_version),
        cmocka_unit_test(only_moves_by_people_raise_the_people_sequence),
        cmocka_unit_test(every_flip_adds_one_turn_and_nothing_else_does),
        cmocka_unit_test(there_is_nothing_to_roll_back_to_before_a_second_flip),
        cmocka_unit_test(rolling_back_twice_in_a_row_goes_two_back_and_then_nowhere),
        cmocka_unit_test(a_rollback_skips_what_is_quarantined_or_retired),
        cmocka_unit_test(the_walk_back_starts_where_the_version_first_became_current),
        cmocka_unit_test(sequence_and_event_time_never_go_backwards),
        cmocka_unit_test(deleting_retires_every_kept_version_in_one_event),
        cmocka_unit_test(a_head_survives_the_round_trip_through_json),
        cmocka_unit_test(a_damaged_document_is_refused_as_corrupt),
        cmocka_unit_test(names_that_do_not_fit_are_refused_as_corrupt),
        cmocka_unit_test(what_is_over_is_forgotten_in_time_and_what_is_kept_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
