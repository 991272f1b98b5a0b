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

enum st cells_add(struct cells *c, const void *tuple, size_t len, const int64_t *inputs,
                  const bool *nulls)
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
    store_cell_add(s->cell, c->rollup, inputs, nulls);
    return ST_OK;
}

size_t cells_count(const struct cells *c)
{
    return c->count;
}

static int compare(const void *left, const void *right)
{
    const struct slot *a = left, *b = right;
    if (!a->cell || !b->cell)
        return !a->cell - !b->cell;
    int order = memcmp(a->tuple, b->tuple, a->len < b->len ? a->len : b->len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

enum st cells_each(struct cells *c,
                   enum st (*fn)(const void *tuple, size_t len, const struct store_cell *cell,
                                 void *ctx),
                   void *ctx)
{
    enum st st = ST_OK;
    if (c->capacity)
        qsort(c->slots, c->capacity, sizeof *c->slots, compare);
    for (size_t i = 0; !st && i < c->count; i++)
        st = fn(c->slots[i].tuple, c->slots[i].len, c->slots[i].cell, ctx);
    return st;
}
