/* A lane's buffer is filled from both ends: records, head and bytes, from the front; from the back
 * an entry for each, its key's first eight bytes beside its place, so that comparing seldom leaves
 * the entries. Keys are hashes, hence evenly spread: a radix sort in place ("American flag sort",
 * McIlroy, Bostic and McIlroy 1993) deals the entries out byte by byte until heaps are small. The
 * records of one entity of a series have the same hash: they are dealt out by their sort values.
 */
#include "ingest/sort.h"

#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL 32
#define CACHE_LINE 64
#define AHEAD 16 /* records that are fetched before they are needed */

struct entry {
    uint64_t prefix;
    uint64_t place; /* of the record's head in the buffer */
};

struct sort_lane {
    struct sorter *sorter;
    unsigned char *bytes;
    size_t size, used;
    struct entry *end; /* entries are end[-1], end[-2], ... until they are sorted */
    size_t count, at;
    struct run_list runs;
    pthread_t thread;
    bool has_thread;
};

struct sorter {
    struct spill *spill;
    size_t key_bytes;
    uint64_t limit;
    struct sort_lane *lanes;
    size_t lane_count;
    struct run_list runs;
    struct merge *merge;
};

enum st sorter_new(struct sorter **out, struct spill *spill, size_t key_bytes,
                   uint64_t memory_bytes, size_t lanes)
{
    struct sorter *s = *out = calloc(1, sizeof *s);
    if (!s)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    s->spill = spill;
    s->key_bytes = key_bytes;
    s->limit = memory_bytes;
    if (lanes > memory_bytes / SORT_LANE_MIN)
        lanes = memory_bytes / SORT_LANE_MIN;
    s->lanes = calloc(lanes ? lanes : 1, sizeof *s->lanes);
    if (!s->lanes)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    s->lane_count = lanes ? lanes : 1;
    for (size_t i = 0; i < s->lane_count; i++) {
        struct sort_lane *lane = &s->lanes[i];
        lane->sorter = s;
        lane->size = memory_bytes / s->lane_count;
        lane->size -= lane->size % sizeof(struct entry);
        if (lane->size < SORT_LANE_MIN)
            lane->size = SORT_LANE_MIN;
    }
    return ST_OK;
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
    }
    run_list_release(&s->runs, s->spill);
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

/* ---- sorting a lane ---- */

static int compare(const void *left, const void *right, void *ctx)
{
    const struct entry *a = left, *b = right;
    const unsigned char *bytes = ctx;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    struct record ra = record_at(bytes + a->place), rb = record_at(bytes + b->place);
    return record_compare(&ra, &rb);
}

static void sort_few(struct entry *e, size_t count, unsigned char *bytes)
{
    for (size_t i = 1; i < count; i++) {
        struct entry moved = e[i];
        size_t j = i;
        for (; j && compare(&moved, &e[j - 1], bytes) < 0; j--)
            e[j] = e[j - 1];
        e[j] = moved;
    }
}

static void sort_entries(struct entry *e, size_t count, int shift, unsigned char *bytes);

static uint64_t sort_value(const struct record *r)
{
    uint64_t value;
    memcpy(&value, r->bytes + STORE_KEY_BYTES, sizeof value);
    return be64toh(value);
}

/* Records that have the same prefix. Where it is that of one hash, and sort values are behind it,
 * these become the prefix; where it is that already, only the payloads are left. */
static void sort_alike(struct entry *e, size_t count, unsigned char *bytes)
{
    struct record first = record_at(bytes + e->place), r;
    bool again = first.key_len == STORE_RECORD_KEY_MAX && e->prefix != sort_value(&first);
    for (size_t i = 1; again && i < count; i++) {
        r = record_at(bytes + e[i].place);
        again = !memcmp(r.bytes, first.bytes, STORE_KEY_BYTES);
    }
    if (!again) {
        qsort_r(e, count, sizeof *e, compare, bytes);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        r = record_at(bytes + e[i].place);
        e[i].prefix = sort_value(&r);
    }
    sort_entries(e, count, 56, bytes);
}

/* All have the same prefix in front of these 8 bits and those below. */
static void sort_entries(struct entry *e, size_t count, int shift, unsigned char *bytes)
{
    size_t next[256], end[256], counts[256] = {0}, sum = 0;
    if (count <= SMALL) {
        sort_few(e, count, bytes);
        return;
    }
    if (shift < 0) {
        sort_alike(e, count, bytes);
        return;
    }
    for (size_t i = 0; i < count; i++)
        counts[e[i].prefix >> shift & 255]++;
    for (size_t h = 0; h < 256; h++) {
        next[h] = sum;
        end[h] = sum += counts[h];
    }
    for (size_t h = 0; h < 256; h++)
        while (next[h] < end[h]) {
            struct entry moved = e[next[h]];
            for (size_t to; (to = moved.prefix >> shift & 255) != h;) {
                struct entry other = e[next[to]];
                e[next[to]++] = moved;
                moved = other;
            }
            e[next[h]++] = moved;
        }
    for (size_t h = 0; h < 256; h++)
        if (counts[h] > 1)
            sort_entries(e + end[h] - counts[h], counts[h], shift - 8, bytes);
}

static void sort_lane(struct sort_lane *lane)
{
    lane->at = 0;
    if (lane->count)
        sort_entries(lane->end - lane->count, lane->count, 56, lane->bytes);
}

static enum st next_of_lane(struct record *out, void *ctx)
{
    struct sort_lane *lane = ctx;
    const struct entry *e = lane->end - lane->count + lane->at;
    if (lane->at == lane->count)
        return ST_END;
    if (lane->at++ + AHEAD < lane->count) {
        __builtin_prefetch(lane->bytes + e[AHEAD].place);
        __builtin_prefetch(lane->bytes + e[AHEAD].place + CACHE_LINE); /* most lie in two */
    }
    *out = record_at(lane->bytes + e->place);
    return ST_OK;
}

/* ---- filling it ---- */

static enum st put_aside(struct sort_lane *lane)
{
    struct spill_writer w = {0};
    struct spill_run *run;
    struct record r;
    sort_lane(lane);
    enum st st = run_list_add(&run, &lane->runs);
    if (!st)
        st = spill_writer_open(&w, lane->sorter->spill, run);
    while (!st && !(st = next_of_lane(&r, lane)))
        st = record_write(&w, &r);
    if (st == ST_END)
        st = spill_writer_finish(&w);
    spill_writer_close(&w);
    lane->used = lane->count = 0;
    return st;
}

static enum st make_buffer(struct sort_lane *lane)
{
    void *bytes = mmap(NULL, lane->size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    (void)madvise(bytes, lane->size, MADV_HUGEPAGE); /* records are fetched in random order */
    lane->bytes = bytes;
    lane->end = (struct entry *)(void *)(lane->bytes + lane->size);
    return ST_OK;
}

enum st sort_lane_add(struct sort_lane *lane, const unsigned char *key, const void *payload,
                      size_t len)
{
    size_t key_bytes = lane->sorter->key_bytes;
    size_t need = RECORD_HEAD_BYTES + key_bytes + len;
    if (need + sizeof(struct entry) > lane->size || need > MERGE_RECORD_MAX)
        return st_fail(ST_TOO_LARGE, NULL, "a record is too large to be sorted");
    enum st st = lane->bytes ? ST_OK : make_buffer(lane);
    if (!st && lane->used + need + (lane->count + 1) * sizeof(struct entry) > lane->size)
        st = put_aside(lane);
    if (st)
        return st;
    unsigned char *at = lane->bytes + lane->used;
    uint32_t head = record_head((uint32_t)key_bytes, (uint32_t)(key_bytes + len));
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, key, key_bytes);
    memcpy(at + sizeof head + key_bytes, payload, len);
    uint64_t prefix;
    memcpy(&prefix, key, sizeof prefix);
    lane->count++;
    lane->end[-(ptrdiff_t)lane->count] = (struct entry){be64toh(prefix), lane->used};
    lane->used += need;
    return ST_OK;
}

/* ---- all lanes ---- */

static void *run_thread(void *ctx)
{
    sort_lane(ctx);
    return NULL;
}

static void sort_lanes(struct sorter *s)
{
    for (size_t i = 1; i < s->lane_count; i++) {
        struct sort_lane *lane = &s->lanes[i];
        lane->has_thread =
            lane->count > SMALL && pthread_create(&lane->thread, NULL, run_thread, lane) == 0;
        if (!lane->has_thread)
            sort_lane(lane);
    }
    sort_lane(&s->lanes[0]);
    for (size_t i = 1; i < s->lane_count; i++)
        if (s->lanes[i].has_thread)
            pthread_join(s->lanes[i].thread, NULL);
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
    sort_lanes(s);
    enum st st = collect_runs(s);
    if (!st)
        st = merge_new(&s->merge);
    for (size_t i = 0; !st && i < s->runs.count; i++)
        st = merge_add_run(s->merge, s->spill, &s->runs.runs[i]);
    for (size_t i = 0; !st && i < s->lane_count; i++)
        if (s->lanes[i].count)
            st = merge_add(s->merge, next_of_lane, &s->lanes[i]);
        else
            release_buffer(&s->lanes[i]);
    return st;
}

enum st sorter_next(struct sorter *s, const unsigned char **key, const void **payload, size_t *len)
{
    struct record r;
    enum st st = merge_next(&r, s->merge);
    if (st)
        return st;
    *key = r.bytes;
    *payload = r.bytes + r.key_len;
    *len = r.len - r.key_len;
    return ST_OK;
}
