/* A struct store_cell has room for the most terms a rollup may have (3 KiB); most have a few. A
 * cell here is cut off after its rollup's terms: everything that takes one with its rollup touches
 * no more than those. Its tuple lies behind it.
 *
 * A run has one record per cell: the tuple is its key, and then comes what store_cell_encode gives.
 * When there are any, all cells end up in one.
 */
#include "ingest/cells.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(STORE_CELL_MAX + MERGE_KEY_MAX <= MERGE_RECORD_MAX, "a run has any cell");
#define SLOT_COST (2 * sizeof(struct slot)) /* qsort makes a copy */
#define ALLOCATION_COST 16

struct slot {
    struct store_cell *cell;
    unsigned char *tuple;
    uint32_t len;
    uint32_t hash;
};

struct cells {
    const struct store_rollup *rollup;
    struct spill *spill;
    struct slot *slots;
    size_t count, capacity; /* capacity is a power of two */
    size_t cell_bytes;
    uint64_t used, limit;
    size_t at; /* of cells_next */

    struct run_list runs;
    struct buf encoded;
    struct spill_reader reader; /* of the one run, once it is finished */
    struct store_cell current;  /* what was read last */
    size_t aside_count;
};

static enum st no_memory(const struct cells *c)
{
    return st_hint(
        st_fail(ST_NOMEM, "OUT_OF_MEMORY", "there is no memory for the rollup %s", c->rollup->name),
        "raise --memory, or use fewer dimensions or a longer time bucket");
}

enum st cells_new(struct cells **out, const struct store_rollup *rollup, struct spill *spill,
                  uint64_t memory_bytes)
{
    struct cells *c = *out = calloc(1, sizeof *c);
    if (!c)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    c->rollup = rollup;
    c->spill = spill;
    c->limit = memory_bytes;
    c->cell_bytes =
        offsetof(struct store_cell, terms) + rollup->term_count * sizeof(struct store_term_state);
    buf_init(&c->encoded, MERGE_RECORD_MAX);
    return ST_OK;
}

static void release_cells(struct cells *c)
{
    for (size_t i = 0; i < c->capacity; i++) {
        if (c->slots[i].cell)
            store_cell_release(c->slots[i].cell, c->rollup);
        free(c->slots[i].cell);
        c->slots[i] = (struct slot){0};
    }
    c->count = 0;
    c->used = c->capacity * SLOT_COST;
}

void cells_free(struct cells *c)
{
    if (!c)
        return;
    release_cells(c);
    store_cell_release(&c->current, c->rollup);
    spill_reader_close(&c->reader);
    run_list_release(&c->runs, c->spill);
    buf_release(&c->encoded);
    free(c->slots);
    free(c);
}

/* ---- in memory ---- */

static uint32_t hash_of(const unsigned char *bytes, size_t len)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a, folded */
    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * 1099511628211u;
    return (uint32_t)(h ^ h >> 32);
}

static struct slot *find(struct slot *slots, size_t capacity, const void *tuple, size_t len,
                         uint32_t hash)
{
    for (size_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
        struct slot *s = &slots[i];
        if (!s->cell || (s->hash == hash && s->len == len && !memcmp(s->tuple, tuple, len)))
            return s;
    }
}

static int compare_tuples(const void *a, size_t a_len, const void *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare(const void *left, const void *right)
{
    const struct slot *a = left, *b = right;
    if (!a->cell || !b->cell)
        return !a->cell - !b->cell;
    return compare_tuples(a->tuple, a->len, b->tuple, b->len);
}

static void sort_slots(struct cells *c)
{
    if (c->capacity)
        qsort(c->slots, c->capacity, sizeof *c->slots, compare);
}

static enum st resize(struct cells *c, size_t capacity)
{
    struct slot *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return no_memory(c);
    for (size_t i = 0; i < c->capacity; i++) {
        const struct slot *s = &c->slots[i];
        if (s->cell)
            *find(slots, capacity, s->tuple, s->len, s->hash) = *s;
    }
    free(c->slots);
    c->used += (capacity - c->capacity) * SLOT_COST;
    c->slots = slots;
    c->capacity = capacity;
    return ST_OK;
}

static enum st write_cell(struct spill_writer *w, struct buf *encoded,
                          const struct store_rollup *rollup, struct store_cell *cell,
                          const void *tuple, size_t len)
{
    buf_reset(encoded);
    buf_add(encoded, tuple, len);
    store_cell_encode(encoded, rollup, cell);
    enum st st = buf_status(encoded);
    if (st == ST_TOO_LARGE || encoded->len > len + STORE_CELL_MAX)
        st = store_cell_too_large(rollup);
    struct record r = {(const unsigned char *)encoded->data, (uint32_t)len, (uint32_t)encoded->len};
    return st ? st : record_write(w, &r);
}

static enum st put_aside(struct cells *c)
{
    struct spill_writer w = {0};
    struct spill_run *run;
    sort_slots(c);
    enum st st = run_list_add(&run, &c->runs);
    if (!st)
        st = spill_writer_open(&w, c->spill, run);
    for (size_t i = 0; !st && i < c->count; i++) {
        const struct slot *s = &c->slots[i];
        st = write_cell(&w, &c->encoded, c->rollup, s->cell, s->tuple, s->len);
    }
    if (!st)
        st = spill_writer_finish(&w);
    spill_writer_close(&w);
    release_cells(c);
    return st;
}

/* Room for one more cell. A table without cells always has it. */
static enum st make_room(struct cells *c, size_t len)
{
    enum st st = ST_OK;
    bool is_tight = 4 * (c->count + 1) > 3 * c->capacity;
    size_t capacity = !is_tight ? c->capacity : c->capacity ? 2 * c->capacity : 1024;
    uint64_t need = (capacity - c->capacity) * SLOT_COST + c->cell_bytes + len + ALLOCATION_COST;
    if (c->count && c->used + need > c->limit) {
        st = put_aside(c);
        is_tight = false;
    }
    return !st && is_tight ? resize(c, capacity) : st;
}

/* The cell of a tuple, made when there is none. */
static enum st find_or_make(struct store_cell **out, struct cells *c, const void *tuple, size_t len)
{
    uint32_t hash = hash_of(tuple, len);
    struct slot *s = c->capacity ? find(c->slots, c->capacity, tuple, len, hash) : NULL;
    if (!s || !s->cell) {
        enum st st = make_room(c, len);
        if (st)
            return st;
        struct store_cell *cell = calloc(1, c->cell_bytes + len);
        if (!cell)
            return no_memory(c);
        s = find(c->slots, c->capacity, tuple, len, hash);
        *s = (struct slot){cell, (unsigned char *)cell + c->cell_bytes, (uint32_t)len, hash};
        memcpy(s->tuple, tuple, len);
        c->count++;
        c->used += c->cell_bytes + len + ALLOCATION_COST;
    }
    *out = s->cell;
    return ST_OK;
}

/* Sketches grow. */
static enum st account(struct cells *c, const struct store_cell *cell, size_t before)
{
    c->used += store_cell_bytes(cell, c->rollup) - before;
    return c->used > c->limit && c->count > 1 ? put_aside(c) : ST_OK;
}

enum st cells_add(struct cells *c, const void *tuple, size_t len,
                  const struct payload_inputs *inputs)
{
    struct store_cell *cell;
    enum st st = find_or_make(&cell, c, tuple, len);
    if (st)
        return st;
    size_t before = store_cell_bytes(cell, c->rollup);
    st = store_cell_add(cell, c->rollup, inputs->values, inputs->nulls, inputs->kinds);
    return st ? st : account(c, cell, before);
}

enum st cells_merge(struct cells *c, const void *tuple, size_t len, const struct store_cell *from)
{
    struct store_cell *cell;
    enum st st = find_or_make(&cell, c, tuple, len);
    if (st)
        return st;
    size_t before = store_cell_bytes(cell, c->rollup);
    st = store_cell_merge(cell, c->rollup, from);
    return st ? st : account(c, cell, before);
}

/* ---- in order ---- */

static enum st add_encoded(struct cells *c, const struct record *r)
{
    struct store_cell cell;
    enum st st = store_cell_decode(&cell, c->rollup, r->bytes + r->key_len, r->len - r->key_len);
    if (st)
        return st;
    st = store_cell_merge(&c->current, c->rollup, &cell);
    store_cell_release(&cell, c->rollup);
    return st;
}

/* All runs into one, in which a tuple has one cell. */
static enum st unite(struct spill_run *out, struct cells *c)
{
    struct merge *m = NULL;
    struct spill_writer w = {0};
    struct record r;
    unsigned char tuple[MERGE_KEY_MAX];
    size_t len = 0;
    enum st st = merge_new(&m);
    for (size_t i = 0; !st && i < c->runs.count; i++)
        st = merge_add_run(m, c->spill, &c->runs.runs[i]);
    if (!st)
        st = spill_writer_open(&w, c->spill, out);
    while (!st && !(st = merge_next(&r, m))) {
        if (c->aside_count && (r.key_len != len || memcmp(r.bytes, tuple, len) != 0)) {
            st = write_cell(&w, &c->encoded, c->rollup, &c->current, tuple, len);
            store_cell_release(&c->current, c->rollup);
            c->aside_count++;
        }
        c->aside_count += !c->aside_count;
        memcpy(tuple, r.bytes, len = r.key_len);
        if (!st)
            st = add_encoded(c, &r);
    }
    if (st == ST_END)
        st = write_cell(&w, &c->encoded, c->rollup, &c->current, tuple, len);
    if (!st)
        st = spill_writer_finish(&w);
    store_cell_release(&c->current, c->rollup);
    spill_writer_close(&w);
    merge_free(m);
    return st;
}

enum st cells_finish(struct cells *c)
{
    struct spill_run united = {0};
    if (!c->runs.count) {
        sort_slots(c);
        return cells_rewind(c);
    }
    size_t most = c->limit / 2 / (2 * SPILL_BLOCK_BYTES);
    enum st st = put_aside(c);
    free(c->slots);
    c->slots = NULL;
    c->capacity = 0;
    if (!st)
        st = run_list_reduce(&c->runs, c->spill, most > 8 ? most : 8);
    if (!st)
        st = unite(&united, c);
    run_list_release(&c->runs, c->spill);
    struct spill_run *run;
    if (!st)
        st = run_list_add(&run, &c->runs);
    if (st) {
        spill_run_release(&united, c->spill);
        return st;
    }
    *run = united;
    return cells_rewind(c);
}

bool cells_in_memory(const struct cells *c)
{
    return !c->runs.count;
}

size_t cells_count(const struct cells *c)
{
    return cells_in_memory(c) ? c->count : c->aside_count;
}

enum st cells_rewind(struct cells *c)
{
    c->at = 0;
    spill_reader_close(&c->reader);
    return cells_in_memory(c) ? ST_OK : spill_reader_open(&c->reader, c->spill, &c->runs.runs[0]);
}

enum st cells_next(struct cells *c, const void **tuple, size_t *len, struct store_cell **cell)
{
    struct record r;
    if (cells_in_memory(c)) {
        if (c->at == c->count)
            return ST_END;
        const struct slot *s = &c->slots[c->at++];
        *tuple = s->tuple;
        *len = s->len;
        *cell = s->cell;
        return ST_OK;
    }
    store_cell_release(&c->current, c->rollup);
    enum st st = record_read(&r, &c->reader);
    if (st)
        return st;
    *tuple = r.bytes;
    *len = r.key_len;
    *cell = &c->current;
    return store_cell_decode(&c->current, c->rollup, r.bytes + r.key_len, r.len - r.key_len);
}

size_t cells_find(const struct cells *c, const void *tuple, size_t len)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_tuples(c->slots[middle].tuple, c->slots[middle].len, tuple, len);
        if (!order)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return c->count;
}
