/* Keys are hashes, hence evenly spread: dealt out by their first bits into as many buckets as there
 * are entries, most have a bucket of their own, and what is left to do is between neighbours. The
 * records of one entity of a series have the same hash: they are dealt out by their sort values. */
#include "ingest/sort_internal.h"

#include "store/key.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 32

static int compare(const void *left, const void *right)
{
    const struct sort_entry *a = left, *b = right;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    struct record ra = record_at(a->head), rb = record_at(b->head);
    return record_compare(&ra, &rb);
}

static void sort_few(struct sort_entry *e, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct sort_entry moved = e[i];
        size_t j = i;
        for (; j && compare(&moved, &e[j - 1]) < 0; j--)
            e[j] = e[j - 1];
        e[j] = moved;
    }
}

static uint64_t sort_value(const struct record *r)
{
    uint64_t value;
    memcpy(&value, r->bytes + STORE_KEY_BYTES, sizeof value);
    return be64toh(value);
}

/* Records that have the same prefix. Where it is that of one hash, and sort values are behind it,
 * these become the prefix; where it is that already, only the payloads are left. */
static struct sort_entry *sort_alike(struct sort_entry *e, struct sort_entry *spare, uint32_t *ends,
                                     size_t count)
{
    struct record first = record_at(e->head), r;
    bool again = first.key_len == STORE_RECORD_KEY_MAX && e->prefix != sort_value(&first);
    for (size_t i = 1; again && i < count; i++) {
        r = record_at(e[i].head);
        again = !memcmp(r.bytes, first.bytes, STORE_KEY_BYTES);
    }
    if (!again) {
        qsort(e, count, sizeof *e, compare);
        return e;
    }
    for (size_t i = 0; i < count; i++) {
        r = record_at(e[i].head);
        e[i].prefix = sort_value(&r);
    }
    return sort_entries(e, spare, ends, count, 64);
}

/* By their first bits, from `e` to `out`; returns how many the largest bucket got. */
static uint32_t deal_out(struct sort_entry *out, uint32_t *ends, const struct sort_entry *e,
                         size_t count, unsigned width, unsigned shift)
{
    size_t buckets = (size_t)1 << width, mask = buckets - 1;
    uint32_t sum = 0, most = 0;
    memset(ends, 0, buckets * sizeof *ends);
    for (size_t i = 0; i < count; i++)
        ends[e[i].prefix >> shift & mask]++;
    for (size_t h = 0; h < buckets; h++) {
        uint32_t of_bucket = ends[h];
        most = of_bucket > most ? of_bucket : most;
        ends[h] = sum;
        sum += of_bucket;
    }
    for (size_t i = 0; i < count; i++)
        out[ends[e[i].prefix >> shift & mask]++] = e[i];
    return most;
}

/* Bucket by bucket, where one is large. */
static void sort_buckets(struct sort_entry *e, struct sort_entry *spare, uint32_t *ends,
                         size_t count, unsigned shift)
{
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && e[i + n].prefix >> shift == e[i].prefix >> shift; n++)
            ;
        struct sort_entry *sorted = sort_entries(e + i, spare + i, ends, n, shift);
        if (sorted != e + i)
            memcpy(e + i, sorted, n * sizeof *e);
    }
}

struct sort_entry *sort_entries(struct sort_entry *e, struct sort_entry *spare, uint32_t *ends,
                                size_t count, unsigned bits)
{
    unsigned width = 1;
    assert(count <= UINT32_MAX);
    if (count <= SMALL) {
        sort_few(e, count);
        return e;
    }
    if (!bits)
        return sort_alike(e, spare, ends, count);
    while (width < SORT_WIDTH_MAX && width < bits && count >> (width + 1))
        width++;
    if (deal_out(spare, ends, e, count, width, bits - width) <= SMALL)
        sort_few(spare, count);
    else
        sort_buckets(spare, e, ends, count, bits - width);
    return spare;
}
