#include "store/catalog_pages.h"
#include "store/segment_internal.h"

#include <endian.h>
#include <string.h>

/* In its leaf page a lookup waits for memory again and again: for the header, for the place of the
 * node in the middle, for that node, for the next. So the branch pages, which are mostly in the
 * processor's caches, are gone down once before, and the whole leaf is asked for at once; it is on
 * its way while LMDB goes down to it. The pages are laid out as store/catalog_pages.h says. Nothing
 * is answered from here: a page that is not as it should be is left to LMDB to find, and leads to
 * no address outside of the file. */

#define LINE_BYTES 64u
#define NODE_BYTES 8u
#define NO_PAGE UINT64_MAX
#define DEPTH_MAX 32 /* that LMDB goes down */

static uint64_t first_word(const void *key)
{
    uint64_t word;

    memcpy(&word, key, sizeof word);
    return be64toh(word);
}

/* A node of which `len` bytes are read. A damaged offset can say more than the page has. */
static const char *node_at(const char *page, size_t page_bytes, unsigned i, size_t len)
{
    uint16_t offset;

    memcpy(&offset, page + HEADER_BYTES + i * sizeof offset, sizeof offset);
    return page + (offset < page_bytes - len ? offset : page_bytes - len);
}

/* The page below for keys that begin so: that of the last node which is not above them. The first
 * one has no key. */
static uint64_t child_of(const char *page, size_t page_bytes, uint64_t word)
{
    const struct page_header *header = (const void *)page;
    size_t places = header->lower - (size_t)HEADER_BYTES; /* bytes of them */
    unsigned low = 1, high = (unsigned)(places / sizeof(uint16_t));
    uint16_t number[3];

    if (header->flags != PAGE_BRANCH || places > page_bytes - HEADER_BYTES)
        return NO_PAGE;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const char *node = node_at(page, page_bytes, middle, NODE_BYTES + sizeof word);
        if (first_word(node + NODE_BYTES) <= word)
            low = middle + 1;
        else
            high = middle;
    }
    memcpy(number, node_at(page, page_bytes, low - 1, NODE_BYTES), sizeof number);
    return number[0] | (uint64_t)number[1] << 16 | (uint64_t)number[2] << 32;
}

const char *segment_leaf_of(const struct store_segment *s, const unsigned char key[STORE_KEY_BYTES])
{
    uint64_t number = s->root, word = first_word(key);

    for (unsigned level = 1; level < s->depth && number < s->bytes / s->page_bytes; level++)
        number = child_of(s->pages + number * s->page_bytes, s->page_bytes, word);
    return number < s->bytes / s->page_bytes ? s->pages + number * s->page_bytes : NULL;
}

void segment_ask_ahead(const struct store_segment *s, const unsigned char key[STORE_KEY_BYTES])
{
    const char *leaf = s->pages ? segment_leaf_of(s, key) : NULL;

    for (size_t at = 0; leaf && at < s->page_bytes; at += LINE_BYTES)
        __builtin_prefetch(leaf + at);
}

/* Where the first page is, as the page of this address tells by its number: which can be any. */
static uintptr_t first_page(const char *address, size_t page_bytes)
{
    const char *page = address - (uintptr_t)address % page_bytes;

    return (uintptr_t)page - ((const struct page_header *)(const void *)page)->number * page_bytes;
}

int segment_find_pages(struct store_segment *s, MDB_txn *txn)
{
    MDB_val k = {strlen(SEGMENT_RECORDS), (void *)(uintptr_t)SEGMENT_RECORDS}, v;
    struct tree tree;
    MDB_stat stat;
    MDB_dbi all;
    int rc = mdb_dbi_open(txn, NULL, 0, &all);

    if (rc == 0)
        rc = mdb_stat(txn, all, &stat);
    if (rc == 0)
        rc = mdb_get(txn, all, &k, &v);
    if (rc != 0 || v.mv_size != sizeof tree)
        return rc;
    memcpy(&tree, v.mv_data, sizeof tree);
    uintptr_t pages = first_page(v.mv_data, stat.ms_psize);
    if (pages != first_page(s->inside, stat.ms_psize) || tree.depth > DEPTH_MAX)
        return 0; /* one of the two is damaged */
    s->page_bytes = stat.ms_psize;
    s->pages = (const char *)pages;
    s->root = tree.root;
    s->depth = tree.depth;
    return 0;
}
