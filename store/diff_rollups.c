#include "store/diff_internal.h"

#include <stdlib.h>
#include <string.h>

/* The totals of rollups: all cells of a rollup merged into one, for each side. */

#define TELL_CELLS (1u << 14)

struct total {
    struct store_diff *diff;
    const struct store_rollup *rollup;
    uint64_t cells;
    bool hidden; /* a cell is, or the versions differ by so few records that all is hidden */
    struct store_cell sum, one;
};

static enum st add_cell(const void *tuple, size_t tuple_len, const void *bytes, size_t len,
                        void *ctx)
{
    struct total *t = ctx;
    enum st st = store_cell_decode(&t->one, t->rollup, bytes, len);

    (void)tuple;
    (void)tuple_len;
    if (st)
        return st;
    t->hidden = t->hidden || t->one.records == 0;
    st = store_cell_merge(&t->sum, t->rollup, &t->one);
    store_cell_release(&t->one, t->rollup);
    if (st)
        return st;
    return ++t->cells % TELL_CELLS ? ST_OK : diff_tell(t->diff, "rollups", t->cells, 0);
}

/* All sets have the same totals: the one with the fewest cells is read. */
static const struct store_rollup *coarsest(const struct store_rollup *rollup)
{
    const struct store_rollup *best = NULL;

    for (size_t i = 0; rollup && i < rollup->set_count; i++) {
        const struct store_rollup *set = &rollup->sets[i];
        size_t size = set->dimension_count + (set->bucket != STORE_BUCKET_NONE);
        if (!best || size < best->dimension_count + (best->bucket != STORE_BUCKET_NONE))
            best = set;
    }
    return best;
}

static enum st add_up(struct total *t, struct store_diff *d, const struct held_version *side,
                      const struct store_rollup *rollup)
{
    enum st st = ST_OK;

    *t = (struct total){.diff = d, .rollup = coarsest(rollup)};
    for (size_t i = 0; !st && rollup && i < side->count; i++)
        st = store_segment_each_cell(side->segments[i], 0, t->rollup, NULL, 0, add_cell, t);
    return st;
}

static size_t find_metric(const struct store_rollup *r, const char *name)
{
    size_t i = 0;

    while (r && i < r->metric_count && strcmp(r->metrics[i].name, name) != 0)
        i++;
    return i;
}

static bool has_metric(const struct store_rollup *r, size_t i)
{
    return r && i < r->metric_count;
}

static enum st write_number(char out[STORE_DIFF_NUMBER_SIZE], const struct total *t, size_t metric)
{
    struct buf text;

    buf_init(&text, STORE_DIFF_NUMBER_SIZE - 1);
    if (has_metric(t->rollup, metric) && !t->hidden)
        store_metric_json(&text, t->rollup, &t->sum, metric);
    else
        buf_addstr(&text, "null");
    enum st st = buf_status(&text);
    if (!st)
        memcpy(out, text.data, text.len + 1);
    buf_release(&text);
    return st;
}

static enum store_diff_in where(bool in_from, bool in_to)
{
    return in_from && in_to ? STORE_DIFF_IN_BOTH : in_from ? STORE_DIFF_IN_FROM : STORE_DIFF_IN_TO;
}

static enum st add_metric(struct store_diff_rollup *out, const struct total *from,
                          const struct total *to, const char *name)
{
    size_t before = find_metric(from->rollup, name), after = find_metric(to->rollup, name);
    struct store_diff_metric *m = &out->metrics[out->metric_count++];

    m->name = name;
    m->in = where(has_metric(from->rollup, before), has_metric(to->rollup, after));
    enum st st = write_number(m->before, from, before);
    return st ? st : write_number(m->after, to, after);
}

static unsigned min_cell_of(const struct total *t)
{
    return t->rollup ? t->rollup->min_cell : 0;
}

/* A difference that is made of fewer records than a cell may have says as much as such a cell, of
 * the version that is the stricter one of the two. */
static void hide_small(struct total *from, struct total *to)
{
    unsigned a_cell = min_cell_of(from), b_cell = min_cell_of(to);
    unsigned min_cell = a_cell > b_cell ? a_cell : b_cell;
    uint64_t a = from->sum.records, b = to->sum.records, change = a < b ? b - a : a - b;

    if (change && change < min_cell)
        from->hidden = to->hidden = true;
}

static void forget(struct total *t)
{
    if (t && t->rollup)
        store_cell_release(&t->sum, t->rollup);
    free(t);
}

/* One of the two may be NULL. */
static enum st add_rollup(struct store_diff *d, const struct store_rollup *from,
                          const struct store_rollup *to)
{
    struct store_diff_rollup *out = &d->result.rollups[d->result.rollup_count++];
    struct total *before = calloc(1, sizeof *before), *after = calloc(1, sizeof *after);
    enum st st = ST_OK;

    out->name = to ? to->name : from->name;
    out->in = where(from != NULL, to != NULL);
    out->metrics = calloc((from ? from->metric_count : 0) + (to ? to->metric_count : 0) + 1,
                          sizeof *out->metrics);
    if (!before || !after || !out->metrics)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st)
        st = add_up(before, d, &d->sides[DIFF_FROM], from);
    if (!st)
        st = add_up(after, d, &d->sides[DIFF_TO], to);
    if (!st)
        hide_small(before, after);
    for (size_t i = 0; !st && to && i < to->metric_count; i++)
        st = add_metric(out, before, after, to->metrics[i].name);
    for (size_t i = 0; !st && from && i < from->metric_count; i++)
        if (!has_metric(to, find_metric(to, from->metrics[i].name)))
            st = add_metric(out, before, after, from->metrics[i].name);
    forget(before);
    forget(after);
    return st;
}

enum st diff_rollups(struct store_diff *d)
{
    const struct store_definition *from = d->sides[DIFF_FROM].definition,
                                  *to = d->sides[DIFF_TO].definition;
    enum st st = diff_tell(d, "rollups", 0, 0);

    if (st)
        return st;
    d->result.rollups =
        calloc(from->rollup_count + to->rollup_count + 1, sizeof *d->result.rollups);
    if (!d->result.rollups)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && i < to->rollup_count; i++)
        st = add_rollup(d, store_definition_rollup(from, to->rollups[i].name), &to->rollups[i]);
    for (size_t i = 0; !st && i < from->rollup_count; i++)
        if (!store_definition_rollup(to, from->rollups[i].name))
            st = add_rollup(d, &from->rollups[i], NULL);
    return st;
}
