/* A struct store_cell has room for the most terms a rollup may have (3 KiB); most have a few. A
 * cell here is cut off after its rollup's terms: everything that takes one with its rollup touches
 * no more than those.
 */
#include "ingest/cells.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    struct store_cell *cell;
    unsigned char *tuple;
    uint32_t len;
    uint32_t hash;
};

struct cells {
    const struct store_rollup *rollup;
    struct slot *slots;
    size_t count, capacity; /* capacity is a power of two */
    size_t cell_bytes;
    uint64_t used, limit;
};

static enum st full(const struct cells *c)
{
    return st_hint(st_fail(ST_NOMEM, "OUT_OF_MEMORY",
                           "the rollup %s has too many cells for the memory (%zu so far)",
                           c->rollup->name, c->count),
                   "raise --memory, or use fewer dimensions or a longer time bucket");
}

enum st cells_new(struct cells **out, const struct store_rollup *rollup, uint64_t memory_bytes)
{
    struct cells *c = *out = calloc(1, sizeof *c);
    if (!c)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    c->rollup = rollup;
    c->limit = memory_bytes;
    c->cell_bytes =
        offsetof(struct store_cell, terms) + rollup->term_count * sizeof(struct store_term_state);
    return ST_OK;
}

void cells_free(struct cells *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->capacity; i++) {
        if (c->slots[i].cell)
            store_cell_release(c->slots[i].cell, c->rollup);
        free(c->slots[i].cell);
        free(c->slots[i].tuple);
    }
    free(c->slots);
    free(c);
}

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

static enum st grow(struct cells *c)
{
    size_t capacity = c->capacity ? 2 * c->capacity : 1024;
    if (c->used + capacity * sizeof *c->slots > c->limit)
        return full(c);
    struct slot *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return full(c);
    for (size_t i = 0; i < c->capacity; i++) {
        const struct slot *s = &c->slots[i];
        if (s->cell)
            *find(slots, capacity, s->tuple, s->len, s->hash) = *s;
    }
    free(c->slots);
    c->used += (capacity - c->capacity) * sizeof *slots;
    c->slots = slots;
    c->capacity = capacity;
    return ST_OK;
}

/* The cell of a tuple, made when there is none. */
static enum st find_or_make(struct store_cell **out, struct cells *c, const void *tuple, size_t len)
{
    enum st st = 4 * (c->count + 1) > 3 * c->capacity ? grow(c) : ST_OK;
    if (st)
        return st;
    uint32_t hash = hash_of(tuple, len);
    struct slot *s = find(c->slots, c->capacity, tuple, len, hash);
    if (!s->cell) {
        if (c->used + c->cell_bytes + len > c->limit)
            return full(c);
        s->tuple = malloc(len ? len : 1);
        s->cell = s->tuple ? calloc(1, c->cell_bytes) : NULL;
        if (!s->cell) {
            free(s->tuple);
            s->tuple = NULL;
            return full(c);
        }
        memcpy(s->tuple, tuple, len);
        s->len = (uint32_t)len;
        s->hash = hash;
        c->count++;
        c->used += c->cell_bytes + len + 32; /* and malloc's own */
    }
    *out = s->cell;
    return ST_OK;
}

/* Sketches grow. */
static enum st account(struct cells *c, const struct store_cell *cell, size_t before)
{
    c->used += store_cell_bytes(cell, c->rollup) - before;
    return c->used > c->limit ? full(c) : ST_OK;
}

enum st cells_add(struct cells *c, const void *tuple, size_t len,
                  const struct collect_inputs *inputs)
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

size_t cells_count(const struct cells *c)
{
    return c->count;
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

void cells_finish(struct cells *c)
{
    if (c->capacity)
        qsort(c->slots, c->capacity, sizeof *c->slots, compare);
}

struct store_cell *cells_at(struct cells *c, size_t i, const void **tuple, size_t *len)
{
    *tuple = c->slots[i].tuple;
    *len = c->slots[i].len;
    return c->slots[i].cell;
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
