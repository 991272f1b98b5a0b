/* Hiding small cells (min_cell). A cell of fewer records than min_cell says too much, and so does
 * anything from which it can be computed. Between two grouping sets, one of which has all
 * dimensions of the other, every cell of the coarser is the sum of some cells of the finer: where
 * that sum is published, the hidden ones among them must be at least two, and together have at
 * least min_cell records. So cells are hidden until this is true everywhere: the smallest published
 * one under such a parent, or the parent itself when there is none left. Hiding is never undone,
 * hence it ends. The number of all records is always published, in the version's row.
 */
#include "ingest/lattice.h"

#include <stdlib.h>
#include <string.h>

struct level {
    const struct store_rollup *set;
    struct cells *cells;
    bool owned;
    bool *hidden;
};

struct lattice {
    const struct store_rollup *rollup;
    struct level *levels;
    size_t count;
    struct buf scratch, tuple;
};

/* Of which value of `from` is the i-th of `to`? */
static size_t value_index(const struct store_rollup *from, const struct store_rollup *to, size_t i)
{
    size_t d = 0;
    if (i == to->dimension_count)
        return from->dimension_count; /* the time */
    while (strcmp(from->dimensions[d].name, to->dimensions[i].name) != 0)
        d++;
    return d;
}

static bool has_dimension(const struct store_rollup *r, const char *name)
{
    for (size_t i = 0; i < r->dimension_count; i++)
        if (!strcmp(r->dimensions[i].name, name))
            return true;
    return false;
}

/* Is every cell of `coarse` a sum of cells of `fine`? */
static bool is_part(const struct store_rollup *coarse, const struct store_rollup *fine)
{
    if (coarse->bucket != STORE_BUCKET_NONE && fine->bucket == STORE_BUCKET_NONE)
        return false;
    for (size_t i = 0; i < coarse->dimension_count; i++)
        if (!has_dimension(fine, coarse->dimensions[i].name))
            return false;
    return true;
}

/* The tuple of `to` that a tuple of `from` belongs to, in l->tuple. */
static enum st project(struct lattice *l, const struct store_rollup *from,
                       const struct store_rollup *to, const void *tuple, size_t len)
{
    struct store_value values[STORE_DIMENSIONS_MAX + 1], some[STORE_DIMENSIONS_MAX + 1];
    enum st st = store_tuple_decode(values, &l->scratch, from, tuple, len);
    for (size_t i = 0; i < to->dimension_count + (to->bucket != STORE_BUCKET_NONE); i++)
        some[i] = values[value_index(from, to, i)];
    buf_reset(&l->tuple);
    return st ? st : store_tuple_encode(&l->tuple, to, some);
}

static bool is_base(const struct store_rollup *set, const struct store_rollup *rollup)
{
    if (set->dimension_count != rollup->dimension_count || set->bucket != rollup->bucket)
        return false;
    for (size_t i = 0; i < set->dimension_count; i++)
        if (strcmp(set->dimensions[i].name, rollup->dimensions[i].name) != 0)
            return false;
    return true;
}

static enum st project_cells(struct lattice *l, struct level *level, struct cells *base)
{
    struct store_cell *cell;
    const void *tuple;
    size_t len;
    enum st st = cells_rewind(base);
    while (!st && !(st = cells_next(base, &tuple, &len, &cell))) {
        st = project(l, l->rollup, level->set, tuple, len);
        if (!st)
            st = cells_merge(level->cells, l->tuple.data, l->tuple.len, cell);
    }
    return st == ST_END ? cells_finish(level->cells) : st;
}

static enum st fill(struct lattice *l, struct level *level, struct cells *base, struct spill *spill,
                    uint64_t memory_bytes)
{
    if (is_base(level->set, l->rollup)) {
        level->cells = base;
        return ST_OK;
    }
    enum st st = cells_new(&level->cells, level->set, spill, memory_bytes);
    level->owned = true;
    return st ? st : project_cells(l, level, base);
}

static void release(struct level *level)
{
    if (level->owned)
        cells_free(level->cells);
    free(level->hidden);
    *level = (struct level){.set = level->set};
}

static enum st write_level(struct level *level, size_t set, lattice_fn fn, void *ctx)
{
    struct store_cell *cell;
    const void *tuple;
    size_t len;
    enum st st = cells_rewind(level->cells);
    for (size_t i = 0; !st && !(st = cells_next(level->cells, &tuple, &len, &cell)); i++) {
        uint64_t records = cell->records;
        if (level->hidden && level->hidden[i])
            cell->records = 0;
        st = fn(set, tuple, len, cell, ctx);
        cell->records = records;
    }
    return st == ST_END ? ST_OK : st;
}

/* ---- hiding ---- */

/* What is hidden under one cell of a coarser level. */
struct sum {
    uint64_t records;
    size_t hidden;
    size_t smallest; /* published one, + 1; 0: none */
    uint64_t smallest_records;
};

static void add_child(struct sum *sum, bool hidden, size_t i, uint64_t records)
{
    if (hidden) {
        sum->hidden++;
        sum->records += records;
    } else if (!sum->smallest || records < sum->smallest_records) {
        sum->smallest = i + 1;
        sum->smallest_records = records;
    }
}

/* Hides what one parent demands; `parent` may be NULL: it cannot be hidden. */
static bool settle(struct level *fine, const struct sum *sum, bool *parent, unsigned min_cell)
{
    if (!sum->hidden || (parent && *parent) || (sum->hidden > 1 && sum->records >= min_cell))
        return false;
    if (sum->smallest)
        fine->hidden[sum->smallest - 1] = true;
    else if (parent)
        *parent = true;
    return sum->smallest || parent;
}

/* `coarse` NULL: the number of all records. */
static enum st hide_between(bool *changed, struct lattice *l, struct level *fine,
                            struct level *coarse)
{
    size_t parents = coarse ? cells_count(coarse->cells) : 1;
    struct sum *sums = calloc(parents + 1, sizeof *sums);
    struct store_cell *cell;
    const void *tuple;
    size_t len;
    enum st st = sums ? cells_rewind(fine->cells) : st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && !(st = cells_next(fine->cells, &tuple, &len, &cell)); i++) {
        size_t parent = 0;
        if (coarse) {
            st = project(l, fine->set, coarse->set, tuple, len);
            if (!st)
                parent = cells_find(coarse->cells, l->tuple.data, l->tuple.len);
        }
        if (!st)
            add_child(&sums[parent], fine->hidden[i], i, cell->records);
    }
    st = st == ST_END ? ST_OK : st;
    for (size_t p = 0; !st && p < parents; p++)
        *changed |= settle(fine, &sums[p], coarse ? &coarse->hidden[p] : NULL, l->rollup->min_cell);
    free(sums);
    return st;
}

static enum st hide_small(struct level *level, unsigned min_cell)
{
    struct store_cell *cell;
    const void *tuple;
    size_t len;
    level->hidden = calloc(cells_count(level->cells) + 1, sizeof *level->hidden);
    enum st st =
        level->hidden ? cells_rewind(level->cells) : st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && !(st = cells_next(level->cells, &tuple, &len, &cell)); i++)
        level->hidden[i] = cell->records < min_cell;
    return st == ST_END ? ST_OK : st;
}

/* Cells are looked for in every level that is coarser than another one: those must be in memory. */
static enum st check_memory(const struct lattice *l)
{
    for (size_t coarse = 0; coarse < l->count; coarse++)
        for (size_t fine = 0; fine < l->count; fine++)
            if (coarse != fine && is_part(l->levels[coarse].set, l->levels[fine].set) &&
                !cells_in_memory(l->levels[coarse].cells))
                return st_hint(
                    st_fail(ST_NOMEM, "OUT_OF_MEMORY",
                            "the rollup %s has a grouping set with too many cells (%zu) for "
                            "min_cell to be decided in this memory",
                            l->rollup->name, cells_count(l->levels[coarse].cells)),
                    "raise --memory, or leave out grouping sets between the finest and small ones");
    return ST_OK;
}

static enum st hide(struct lattice *l)
{
    bool changed = true;
    enum st st = check_memory(l);
    for (size_t i = 0; !st && i < l->count; i++)
        st = hide_small(&l->levels[i], l->rollup->min_cell);
    while (!st && changed) {
        changed = false;
        for (size_t fine = 0; !st && fine < l->count; fine++) {
            st = hide_between(&changed, l, &l->levels[fine], NULL);
            for (size_t coarse = 0; !st && coarse < l->count; coarse++)
                if (coarse != fine && is_part(l->levels[coarse].set, l->levels[fine].set))
                    st = hide_between(&changed, l, &l->levels[fine], &l->levels[coarse]);
        }
    }
    return st;
}

enum st lattice_write(struct cells *base, const struct store_rollup *rollup, struct spill *spill,
                      uint64_t memory_bytes, lattice_fn fn, void *ctx)
{
    struct lattice l = {.rollup = rollup, .count = rollup->set_count};
    enum st st = ST_OK;
    buf_init(&l.scratch, 4 * STORE_TUPLE_MAX);
    buf_init(&l.tuple, 4 * STORE_TUPLE_MAX);
    l.levels = calloc(l.count, sizeof *l.levels);
    if (!l.levels)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st)
        st = cells_finish(base);
    if (rollup->min_cell) /* all levels at once */
        memory_bytes /= l.count;
    for (size_t i = 0; !st && i < l.count; i++) {
        l.levels[i].set = &rollup->sets[i];
        st = fill(&l, &l.levels[i], base, spill, memory_bytes);
        if (!st && !rollup->min_cell) {
            st = write_level(&l.levels[i], i, fn, ctx);
            release(&l.levels[i]);
        }
    }
    if (!st && rollup->min_cell)
        st = hide(&l);
    for (size_t i = 0; !st && rollup->min_cell && i < l.count; i++)
        st = write_level(&l.levels[i], i, fn, ctx);
    for (size_t i = 0; l.levels && i < l.count; i++)
        release(&l.levels[i]);
    free(l.levels);
    buf_release(&l.scratch);
    buf_release(&l.tuple);
    return st;
}
