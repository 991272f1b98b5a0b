/* A lane deals its records out by the first bits of their keys, as they come, into heaps that fit
 * in the processor's cache when the lane is full: one sort of all records would fetch each of them
 * from a random place of memory. Keys are hashes, hence heaps are alike. The heaps of all lanes
 * with the same bits are sorted as one, when its turn has come.
 *
 * A heap is a list of chunks of the lane's buffer. The buffer's end is left for the entries of its
 * largest heap, and a copy of them: what is put aside is sorted there.
 */
#include "ingest/sort.h"

#include "base/word.h"
#include "ingest/sort_internal.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HEAP_BYTES (3u << 20) /* of a full lane, unless it is larger than 6 GiB */
#define HEAP_BITS_MIN 4u
#define HEAP_BITS_MAX 11u
#define CHUNK_BYTES (16u << 10)
/* The most records that a heap gets between two chunks. */
#define CHUNK_RECORDS (CHUNK_BYTES / (RECORD_HEAD_BYTES + STORE_KEY_BYTES))
#define CACHE_LINE 64
#define AHEAD 8 /* records that are fetched before they are needed */

struct chunk {
    struct chunk *next;
    unsigned char *end; /* of its records, once the heap has another chunk */
    unsigned char records[];
};

struct heap {
    unsigned char *at; /* in the last chunk, where there is room for so many bytes */
    size_t room;
    struct chunk *first, *last;
    size_t count;
};

struct sort_lane {
    struct sorter *sorter;
    unsigned char *bytes;
    size_t size, used;
    size_t most; /* records in a heap, of those that have got a chunk since */
    struct heap *heaps;
    uint32_t *ends; /* for sort_entries */
    struct run_list runs;
};

struct sorter {
    struct spill *spill;
    size_t key_bytes;
    uint64_t limit;
    unsigned bits; /* of a key, that choose the heap */
    struct sort_lane *lanes;
    size_t lane_count;
    struct run_list runs;
    struct merge *merge; /* when there are runs */

    /* What is in the lanes' buffers when it is asked for: the heap that is being taken from. */
    struct sort_entry *entries; /* and as many again, to sort them */
    struct sort_entry *sorted;  /* among them */
    size_t capacity, count, at;
    size_t heap; /* the next */
};

static size_t heap_count(const struct sorter *s)
{
    return (size_t)1 << s->bits;
}

static enum st init_lane(struct sort_lane *lane, struct sorter *s, size_t size)
{
    lane->sorter = s;
    lane->size = size;
    lane->heaps = calloc(heap_count(s), sizeof *lane->heaps);
    lane->ends = calloc(SORT_BUCKETS, sizeof *lane->ends);
    return lane->heaps && lane->ends ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

enum st sorter_new(struct sorter **out, struct spill *spill, size_t key_bytes,
                   uint64_t memory_bytes, size_t lanes)
{
    struct sorter *s = *out = calloc(1, sizeof *s);
    if (!s)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    assert(key_bytes >= STORE_KEY_BYTES); /* CHUNK_RECORDS counts on it */
    s->spill = spill;
    s->key_bytes = key_bytes;
    s->limit = memory_bytes;
    if (lanes > memory_bytes / SORT_LANE_MIN)
        lanes = memory_bytes / SORT_LANE_MIN;
    if (!lanes)
        lanes = 1;
    size_t size = memory_bytes / lanes;
    size -= size % sizeof(struct sort_entry);
    if (size < SORT_LANE_MIN)
        size = SORT_LANE_MIN;
    s->bits = HEAP_BITS_MIN;
    while (s->bits < HEAP_BITS_MAX && size >> s->bits > HEAP_BYTES)
        s->bits++;
    s->lanes = calloc(lanes, sizeof *s->lanes);
    enum st st = s->lanes ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    while (!st && s->lane_count < lanes)
        st = init_lane(&s->lanes[s->lane_count++], s, size);
    return st;
}

static void release_buffer(struct sort_lane *lane)
{
    if (lane->bytes)
        munmap(lane->bytes, lane->size);
    lane->bytes = NULL;
}

void sorter_free(struct sorter *s)
{
    if (!s)
        return;
    merge_free(s->merge);
    for (size_t i = 0; i < s->lane_count; i++) {
        release_buffer(&s->lanes[i]);
        run_list_release(&s->lanes[i].runs, s->spill);
        free(s->lanes[i].heaps);
        free(s->lanes[i].ends);
    }
    run_list_release(&s->runs, s->spill);
    free(s->entries);
    free(s->lanes);
    free(s);
}

size_t sorter_lane_count(const struct sorter *s)
{
    return s->lane_count;
}

struct sort_lane *sorter_lane(struct sorter *s, size_t i)
{
    return &s->lanes[i];
}

/* ---- a heap's records ---- */

static uint64_t prefix_of(const unsigned char *key)
{
    uint64_t prefix;
    memcpy(&prefix, key, sizeof prefix);
    return be64toh(prefix);
}

/* An entry for each; returns where the next entry goes. */
static struct sort_entry *list_heap(struct sort_entry *e, const struct heap *h)
{
    for (const struct chunk *c = h->first; c; c = c->next) {
        const unsigned char *at = c->records, *end = c == h->last ? h->at : c->end;
        while (at < end) {
            struct record r = record_at(at);
            *e++ = (struct sort_entry){prefix_of(r.bytes), at};
            at = r.bytes + r.len;
        }
    }
    return e;
}

static struct record take(const struct sort_entry *e, size_t at, size_t count)
{
    if (at + AHEAD < count) {
        __builtin_prefetch(e[at + AHEAD].head);
        __builtin_prefetch(e[at + AHEAD].head + CACHE_LINE); /* most lie in two */
    }
    return record_at(e[at].head);
}

/* ---- filling a lane ---- */

static enum st put_aside(struct sort_lane *lane)
{
    const struct sorter *s = lane->sorter;
    struct spill_writer w = {0};
    struct spill_run *run;
    enum st st = run_list_add(&run, &lane->runs);
    if (!st)
        st = spill_writer_open(&w, s->spill, run);
    for (size_t i = 0; i < heap_count(s); i++) {
        struct heap *h = &lane->heaps[i];
        struct sort_entry *spare = (struct sort_entry *)(void *)(lane->bytes + lane->size);
        struct sort_entry *e = (spare -= h->count) - h->count;
        (void)list_heap(e, h);
        e = sort_entries(e, spare, lane->ends, h->count, 64 - s->bits);
        for (size_t j = 0; !st && j < h->count; j++) {
            struct record r = take(e, j, h->count);
            st = record_write(&w, &r);
        }
        *h = (struct heap){0};
    }
    if (!st)
        st = spill_writer_finish(&w);
    spill_writer_close(&w);
    lane->used = lane->most = 0;
    return st;
}

/* Of small pages, though heaps grow in many places at once: a large page that a guest had given
 * back to its host costs 512 faults there, which is more than what it saves. */
static enum st make_buffer(struct sort_lane *lane)
{
    void *bytes = mmap(NULL, lane->size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    lane->bytes = bytes;
    return ST_OK;
}

/* What a chunk takes of the buffer, and twice the entries of a heap that may be the largest. */
static size_t chunk_size(size_t need)
{
    size_t size = sizeof(struct chunk) + need;
    size = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    return (size + _Alignof(struct chunk) - 1) / _Alignof(struct chunk) * _Alignof(struct chunk);
}
static size_t entries_size(size_t most)
{
    return 2 * (most + CHUNK_RECORDS) * sizeof(struct sort_entry);
}

/* Room for a record of `need` bytes. The heap is empty before it when the lane was put aside. */
static enum st add_chunk(struct sort_lane *lane, struct heap *h, size_t need)
{
    size_t size = chunk_size(need);
    if (size + entries_size(1) > lane->size || need > MERGE_RECORD_MAX)
        return st_fail(ST_TOO_LARGE, NULL, "a record is too large to be sorted");
    enum st st = lane->bytes ? ST_OK : make_buffer(lane);
    size_t most = h->count > lane->most ? h->count : lane->most;
    if (!st && lane->used + size + entries_size(most) > lane->size) {
        st = put_aside(lane);
        most = 0;
    }
    if (st)
        return st;
    struct chunk *c = (struct chunk *)(void *)(lane->bytes + lane->used);
    c->next = NULL;
    if (h->last) {
        h->last->end = h->at;
        h->last->next = c;
    } else {
        h->first = c;
    }
    h->last = c;
    h->at = c->records;
    h->room = size - sizeof *c;
    lane->used += size;
    lane->most = most;
    return ST_OK;
}

static struct heap *heap_of(const struct sort_lane *lane, const unsigned char *key)
{
    return &lane->heaps[prefix_of(key) >> (64 - lane->sorter->bits)];
}

void sort_lane_expect(const struct sort_lane *lane, const unsigned char *key)
{
    const struct heap *h = heap_of(lane, key);
    if (h->room > CACHE_LINE) { /* most lie in two */
        __builtin_prefetch(h->at, 1);
        __builtin_prefetch(h->at + CACHE_LINE, 1);
    }
}

enum st sort_lane_add(struct sort_lane *lane, const unsigned char *key, const void *payload,
                      size_t len)
{
    size_t key_bytes = lane->sorter->key_bytes;
    size_t need = RECORD_HEAD_BYTES + key_bytes + len;
    struct heap *h = heap_of(lane, key);
    enum st st = h->room >= need ? ST_OK : add_chunk(lane, h, need);
    if (st)
        return st;
    uint32_t head = record_head((uint32_t)key_bytes, (uint32_t)(key_bytes + len));
    memcpy(h->at, &head, sizeof head);
    word_copy(h->at + sizeof head, key, key_bytes);
    word_copy(h->at + sizeof head + key_bytes, payload, len);
    h->at += need;
    h->room -= need;
    h->count++;
    return ST_OK;
}

/* ---- all lanes ---- */

/* The next heap of all lanes that has records. */
static enum st next_heap(struct sorter *s)
{
    s->count = s->at = 0;
    while (!s->count && s->heap < heap_count(s)) {
        size_t count = 0;
        for (size_t i = 0; i < s->lane_count; i++)
            count += s->lanes[i].heaps[s->heap].count;
        if (count > s->capacity) {
            free(s->entries);
            s->capacity = count + count / 8;
            s->entries = malloc(2 * s->capacity * sizeof *s->entries);
            if (!s->entries)
                return st_fail(ST_NOMEM, NULL, "out of memory");
        }
        struct sort_entry *e = s->entries;
        for (size_t i = 0; i < s->lane_count; i++)
            e = list_heap(e, &s->lanes[i].heaps[s->heap]);
        s->sorted = sort_entries(s->entries, s->entries + s->capacity, s->lanes[0].ends, count,
                                 64 - s->bits);
        s->count = count;
        s->heap++;
    }
    return s->count ? ST_OK : ST_END;
}

static enum st next_of_lanes(struct record *out, void *ctx)
{
    struct sorter *s = ctx;
    enum st st = s->at < s->count ? ST_OK : next_heap(s);
    if (!st) {
        *out = take(s->sorted, s->at, s->count);
        s->at++;
    }
    return st;
}

/* The lanes' runs become the sorter's. */
static enum st collect_runs(struct sorter *s)
{
    enum st st = ST_OK;
    for (size_t i = 0; i < s->lane_count; i++) {
        struct run_list *of_lane = &s->lanes[i].runs;
        for (size_t j = 0; !st && j < of_lane->count; j++) {
            struct spill_run *run;
            if (!(st = run_list_add(&run, &s->runs))) {
                *run = of_lane->runs[j];
                of_lane->runs[j] = (struct spill_run){0};
            }
        }
    }
    /* A reader has two blocks at most, but for records that are larger. */
    size_t most = s->limit / 4 / (2 * SPILL_BLOCK_BYTES);
    return st ? st : run_list_reduce(&s->runs, s->spill, most > 8 ? most : 8);
}

enum st sorter_finish(struct sorter *s)
{
    enum st st = collect_runs(s);
    if (st || !s->runs.count)
        return st;
    st = merge_new(&s->merge);
    for (size_t i = 0; !st && i < s->runs.count; i++)
        st = merge_add_run(s->merge, s->spill, &s->runs.runs[i]);
    return st ? st : merge_add(s->merge, next_of_lanes, s);
}

enum st sorter_next(struct sorter *s, const unsigned char **key, const void **payload, size_t *len)
{
    struct record r;
    enum st st = s->merge ? merge_next(&r, s->merge) : next_of_lanes(&r, s);
    if (st)
        return st;
    *key = r.bytes;
    *payload = r.bytes + r.key_len;
    *len = r.len - r.key_len;
    return ST_OK;
}
