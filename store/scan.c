#include "store/scan.h"

#include "store/segment_internal.h"

#include <stdlib.h>
#include <string.h>

/* One leg per segment, each standing on the record that it would give next. Legs are few (a full
 * build has one), so that the smallest key is looked for one by one. */

struct leg {
    const struct store_segment *segment;
    MDB_cursor *cursor; /* NULL once it is at its end */
    struct store_record at;
    bool used; /* `at` was given, or is hidden by what was given */
};

struct store_scan {
    size_t count, key_bytes;
    uint64_t position;
    struct leg legs[];
};

enum st store_scan_new(struct store_scan **out, struct store_segment *const *segments, size_t count,
                       unsigned slot)
{
    struct store_scan *s = calloc(1, sizeof *s + count * sizeof s->legs[0]);
    enum st st = s ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");

    *out = NULL;
    for (size_t i = 0; !st && i < count; i++) {
        s->legs[i].used = true;
        s->legs[i].segment = segments[i];
        s->key_bytes = store_segment_key_bytes(segments[i]);
        st = segment_cursor_open(&s->legs[i].cursor, segments[i], slot);
        s->count++;
    }
    if (st) {
        store_scan_free(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void store_scan_free(struct store_scan *s)
{
    for (size_t i = 0; s && i < s->count; i++)
        if (s->legs[i].cursor)
            mdb_cursor_close(s->legs[i].cursor);
    free(s);
}

static enum st advance(struct store_scan *s, struct leg *leg)
{
    enum st st = segment_cursor_step(&leg->at, leg->cursor, leg->segment, false);

    leg->used = false;
    if (!st)
        s->position++;
    if (st != ST_END)
        return st;
    mdb_cursor_close(leg->cursor);
    leg->cursor = NULL;
    return ST_OK;
}

/* The leg with the smallest key, the newest of those that have it; the others have it behind them.
 * NULL: all legs are at their end. */
static struct leg *first_leg(struct store_scan *s)
{
    struct leg *first = NULL;

    for (size_t i = 0; i < s->count; i++) {
        struct leg *leg = &s->legs[i];
        int order = -1;

        if (!leg->cursor)
            continue;
        if (first)
            order = memcmp(leg->at.key, first->at.key, s->key_bytes);
        if (order == 0)
            leg->used = true;
        else if (order < 0)
            first = leg;
    }
    return first;
}

enum st store_scan_next(struct store_scan *s, struct store_record *record)
{
    for (;;) {
        for (size_t i = 0; i < s->count; i++) {
            enum st st = s->legs[i].used && s->legs[i].cursor ? advance(s, &s->legs[i]) : ST_OK;
            if (st)
                return st;
        }
        struct leg *leg = first_leg(s);
        if (!leg)
            return ST_END;
        leg->used = true;
        if (leg->at.row) {
            *record = leg->at;
            return ST_OK;
        }
    }
}

uint64_t store_scan_position(const struct store_scan *s)
{
    return s->position;
}
