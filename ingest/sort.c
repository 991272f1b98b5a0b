/* Records lie in blocks, one after the other: length, key, payload. The index has the key's first
 * eight bytes beside each record's place, so that comparing seldom leaves it. Keys are hashes,
 * hence evenly spread: one pass deals them out by their first two bytes, and each of the 65,536
 * small heaps is sorted by itself, in cache.
 */
#include "ingest/sort.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (4u << 20)
#define HEAPS 65536u

struct entry {
    uint64_t prefix;
    const unsigned char *record; /* u32 length, key, payload */
};

struct block {
    struct block *next;
    size_t used, size;
    unsigned char bytes[];
};

struct sorter {
    struct block *blocks;
    struct entry *entries;
    size_t count, capacity, at;
    uint64_t used, limit;
};

enum st sorter_new(struct sorter **out, uint64_t memory_bytes)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    (*out)->limit = memory_bytes;
    return ST_OK;
}

void sorter_free(struct sorter *s)
{
    if (!s)
        return;
    for (struct block *b = s->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(s->entries);
    free(s);
}

static enum st full(void)
{
    return st_hint(st_fail(ST_NOMEM, "OUT_OF_MEMORY", "sorting the records needs more memory"),
                   "raise --memory");
}

static enum st grow_entries(struct sorter *s)
{
    size_t capacity = s->capacity ? s->capacity + s->capacity / 2 : 4096;
    if (s->used + (capacity - s->capacity) * sizeof *s->entries > s->limit)
        return full();
    struct entry *entries = realloc(s->entries, capacity * sizeof *entries);
    if (!entries)
        return full();
    s->used += (capacity - s->capacity) * sizeof *entries;
    s->entries = entries;
    s->capacity = capacity;
    return ST_OK;
}

static enum st grow_blocks(struct sorter *s, size_t need)
{
    size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
    if (s->used + size > s->limit)
        return full();
    struct block *b = malloc(sizeof *b + size);
    if (!b)
        return full();
    *b = (struct block){.next = s->blocks, .size = size};
    s->blocks = b;
    s->used += size;
    return ST_OK;
}

enum st sorter_add(struct sorter *s, const unsigned char key[STORE_KEY_BYTES], const void *payload,
                   size_t len)
{
    size_t need = sizeof(uint32_t) + STORE_KEY_BYTES + len;
    enum st st = ST_OK;
    if (s->count == s->capacity)
        st = grow_entries(s);
    if (!st && (!s->blocks || s->blocks->size - s->blocks->used < need))
        st = grow_blocks(s, need);
    if (st)
        return st;
    unsigned char *record = s->blocks->bytes + s->blocks->used;
    uint32_t length = (uint32_t)len;
    memcpy(record, &length, sizeof length);
    memcpy(record + sizeof length, key, STORE_KEY_BYTES);
    memcpy(record + sizeof length + STORE_KEY_BYTES, payload, len);
    s->blocks->used += need;
    uint64_t prefix;
    memcpy(&prefix, key, sizeof prefix);
    s->entries[s->count++] = (struct entry){be64toh(prefix), record};
    return ST_OK;
}

static uint32_t length_of(const unsigned char *record)
{
    uint32_t length;
    memcpy(&length, record, sizeof length);
    return length;
}

static int compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    uint32_t la = length_of(a->record), lb = length_of(b->record);
    /* Key and payload lie together: one comparison. */
    int order =
        memcmp(a->record + sizeof la, b->record + sizeof lb, STORE_KEY_BYTES + (la < lb ? la : lb));
    return order ? order : (la > lb) - (la < lb);
}

enum st sorter_finish(struct sorter *s)
{
    if (!s->count)
        return ST_OK;
    enum st st = ST_OK;
    size_t *start = calloc(HEAPS + 1, sizeof *start);
    struct entry *dealt = NULL;
    if (s->used + s->count * sizeof *dealt <= s->limit)
        dealt = malloc(s->count * sizeof *dealt);
    if (!start || !dealt) {
        st = full();
        goto done;
    }
    for (size_t i = 0; i < s->count; i++)
        start[(s->entries[i].prefix >> 48) + 1]++;
    for (size_t h = 0; h < HEAPS; h++)
        start[h + 1] += start[h];
    for (size_t i = 0; i < s->count; i++)
        dealt[start[s->entries[i].prefix >> 48]++] = s->entries[i];
    /* start[h] is now where heap h ends. */
    for (size_t h = 0, from = 0; h < HEAPS; from = start[h++])
        if (start[h] - from > 1)
            qsort(dealt + from, start[h] - from, sizeof *dealt, compare);
    free(s->entries);
    s->entries = dealt;
    s->capacity = s->count;
    dealt = NULL;
done:
    free(dealt);
    free(start);
    return st;
}

enum st sorter_next(struct sorter *s, const unsigned char **key, const void **payload, size_t *len)
{
    if (s->at == s->count)
        return ST_END;
    const unsigned char *record = s->entries[s->at++].record;
    *len = length_of(record);
    *key = record + sizeof(uint32_t);
    *payload = *key + STORE_KEY_BYTES;
    return ST_OK;
}
