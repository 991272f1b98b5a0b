/* Keys are hashes, hence evenly spread: a radix sort in place ("American flag sort", McIlroy,
 * Bostic and McIlroy 1993) deals the entries out byte by byte until heaps are small. The records of
 * one entity of a series have the same hash: they are dealt out by their sort values. */
#include "ingest/sort_internal.h"

#include "store/key.h"

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
static void sort_alike(struct sort_entry *e, size_t count)
{
    struct record first = record_at(e->head), r;
    bool again = first.key_len == STORE_RECORD_KEY_MAX && e->prefix != sort_value(&first);
    for (size_t i = 1; again && i < count; i++) {
        r = record_at(e[i].head);
        again = !memcmp(r.bytes, first.bytes, STORE_KEY_BYTES);
    }
    if (!again) {
        qsort(e, count, sizeof *e, compare);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        r = record_at(e[i].head);
        e[i].prefix = sort_value(&r);
    }
    sort_entries(e, count, 64);
}

void sort_entries(struct sort_entry *e, size_t count, unsigned bits)
{
    size_t next[256], end[256], counts[256] = {0}, sum = 0;
    unsigned shift = bits > 8 ? bits - 8 : 0;
    if (count <= SMALL) {
        sort_few(e, count);
        return;
    }
    if (!bits) {
        sort_alike(e, count);
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
            struct sort_entry moved = e[next[h]];
            for (size_t to; (to = moved.prefix >> shift & 255) != h;) {
                struct sort_entry other = e[next[to]];
                e[next[to]++] = moved;
                moved = other;
            }
            e[next[h]++] = moved;
        }
    for (size_t h = 0; h < 256; h++)
        if (counts[h] > 1)
            sort_entries(e + end[h] - counts[h], counts[h], shift);
}
