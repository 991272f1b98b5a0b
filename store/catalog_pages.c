#include "store/catalog_pages.h"

#include "store/catalog_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NODE_BIGDATA = 0x01,
    NODE_SUBDATA = 0x02,
    NODE_BYTES = 8,
    KEY_MAX = 511,
    DEPTH_MAX = 32,
};
#define NO_PAGE UINT64_MAX
#define VALUE_MAX ((size_t)64 << 20) /* lists of free pages are the long ones */

struct node {
    uint64_t child; /* branch */
    uint32_t len;   /* leaf: of the value */
    uint16_t flags; /* leaf */
    const char *key;
    uint16_t key_len;
    const char *value; /* leaf */
    size_t bytes;      /* of the node in its page */
};

struct key {
    const char *bytes; /* NULL: no bound */
    size_t len;
};

struct walk {
    struct check *check;
    enum tree_kind kind;
    unsigned depth;
    uint64_t entries;
};

/* ---- the file ---- */

enum st pages_read(const struct check *c, void *out, uint64_t at, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(c->fd, (char *)out + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EIO)
            return st_fail_errno(errno, "reading %s", c->path);
        if (n < 0)
            return catalog_damaged(c->path, "the disk cannot read it at byte %llu",
                                   (unsigned long long)(at + done));
        if (n == 0)
            return catalog_damaged(
                c->path, "it ends within page %llu",
                (unsigned long long)(at / (c->page_bytes ? c->page_bytes : 4096)));
        done += (size_t)n;
    }
    return ST_OK;
}

/* Every page is for one thing. */
static enum st take_pages(struct check *c, uint64_t first, uint64_t count)
{
    if (first < 2 || first >= c->pages || count > c->pages - first)
        return catalog_damaged(c->path, "it names page %llu, which it does not have",
                               (unsigned long long)first);
    for (uint64_t i = first; i < first + count; i++) {
        unsigned char bit = (unsigned char)(1u << (i % 8));
        if (c->seen[i / 8] & bit)
            return catalog_damaged(c->path, "page %llu is used twice", (unsigned long long)i);
        c->seen[i / 8] |= bit;
    }
    return ST_OK;
}

/* ---- values ---- */

/* Reads a value that has pages of its own. `out` NULL: only whether it is there. */
static enum st read_overflow(struct check *c, struct buf *out, const struct node *node)
{
    struct page_header header;
    uint64_t first, pages, at;
    uint32_t count;

    memcpy(&first, node->value, sizeof first);
    enum st st = take_pages(c, first, 1);
    if (st)
        return st;
    at = first * c->page_bytes;
    if (at + HEADER_BYTES + node->len > c->file_bytes)
        return catalog_damaged(c->path, "it ends within page %llu", (unsigned long long)first);
    st = pages_read(c, &header, at, sizeof header);
    if (st)
        return st;
    memcpy(&count, &header.lower, sizeof count);
    pages = (HEADER_BYTES - 1 + (uint64_t)node->len) / c->page_bytes + 1;
    if (header.number != first || header.flags != PAGE_OVERFLOW || count < pages)
        return catalog_damaged(c->path, "page %llu is not the value it should be",
                               (unsigned long long)first);
    st = count > 1 ? take_pages(c, first + 1, count - 1) : ST_OK;
    if (st || !out)
        return st;
    buf_reset(out);
    char *room = buf_reserve(out, node->len);
    if (!room)
        return buf_status(out);
    out->len = node->len;
    return pages_read(c, room, at + HEADER_BYTES, node->len);
}

static enum st check_free_list(struct check *c, const char *value, size_t len)
{
    uint64_t count, page, last = NO_PAGE;

    if (len < sizeof count || len % sizeof count != 0)
        return catalog_damaged(c->path, "a list of free pages has an impossible length");
    memcpy(&count, value, sizeof count);
    if (count > len / sizeof count - 1)
        return catalog_damaged(c->path, "a list of free pages is longer than its place");
    for (uint64_t i = 1; i <= count; i++) {
        memcpy(&page, value + i * sizeof page, sizeof page);
        if (page >= last)
            return catalog_damaged(c->path, "a list of free pages is out of order");
        enum st st = take_pages(c, page, 1);
        if (st)
            return st;
        last = page;
    }
    return ST_OK;
}

/* ---- trees ---- */

static enum st damaged_page(const struct check *c, uint64_t number, const char *what)
{
    return catalog_damaged(c->path, "page %llu %s", (unsigned long long)number, what);
}

static int compare(enum tree_kind kind, struct key a, struct key b)
{
    uint64_t x, y;

    if (kind == TREE_FREE) { /* 8 bytes, as they are in the machine */
        memcpy(&x, a.bytes, sizeof x);
        memcpy(&y, b.bytes, sizeof y);
        return x < y ? -1 : x > y;
    }
    int order = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* Takes node `i` of a page apart; false: it does not lie inside it. */
static bool parse_node(struct node *n, const struct check *c, const char *page,
                       const struct page_header *header, unsigned i)
{
    uint16_t offset, word[4];

    memcpy(&offset, page + HEADER_BYTES + 2 * i, sizeof offset);
    if (offset < header->upper || offset % 2 != 0 || (uint64_t)offset + NODE_BYTES > c->page_bytes)
        return false;
    memcpy(word, page + offset, sizeof word);
    bool branch = header->flags == PAGE_BRANCH;
    *n = (struct node){.key = page + offset + NODE_BYTES, .key_len = word[3]};
    n->value = n->key + n->key_len;
    n->bytes = NODE_BYTES + (size_t)n->key_len;
    if (branch) {
        n->child = word[0] | (uint64_t)word[1] << 16 | (uint64_t)word[2] << 32;
    } else {
        n->len = word[0] | (uint32_t)word[1] << 16;
        n->flags = word[2];
        n->bytes += n->flags & NODE_BIGDATA ? sizeof(uint64_t) : n->len;
    }
    bool inside = offset + n->bytes <= c->page_bytes;
    n->bytes += n->bytes % 2;
    return inside;
}

static bool is_key(const struct walk *w, const struct node *n)
{
    return w->kind == TREE_FREE ? n->key_len == sizeof(uint64_t)
                                : n->key_len > 0 && n->key_len <= KEY_MAX;
}

static enum st check_sum(const struct check *c, uint64_t number, const struct node *n,
                         const char *value)
{
    enum st st = catalog_value_check(n->key, n->key_len, value, n->len);

    return st == ST_CORRUPT ? damaged_page(c, number, "has a value whose checksum does not hold")
                            : st;
}

static enum st check_value(struct walk *w, uint64_t number, const struct node *n)
{
    struct check *c = w->check;
    const char *value = n->value;
    struct tree tree;
    struct buf far;
    enum st st = ST_OK;

    w->entries++;
    if (w->kind == TREE_MAIN) {
        if (n->flags != NODE_SUBDATA || n->len != sizeof tree)
            return damaged_page(c, number, "holds something that is no table");
        memcpy(&tree, value, sizeof tree);
        return pages_walk_tree(c, TREE_TABLE, &tree);
    }
    if ((n->flags & ~NODE_BIGDATA) != 0)
        return damaged_page(c, number, "holds a value of an unknown kind");
    if (w->kind == TREE_FREE) {
        uint64_t freed;
        memcpy(&freed, n->key, sizeof freed);
        if (freed == 0 || freed > c->transaction)
            return damaged_page(c, number, "has free pages of a transaction that never was");
    }
    bool wanted = w->kind == TREE_FREE || c->values;
    buf_init(&far, VALUE_MAX);
    if (n->flags & NODE_BIGDATA) {
        st = read_overflow(c, wanted ? &far : NULL, n);
        value = far.data;
    }
    if (!st && w->kind == TREE_FREE)
        st = check_free_list(c, value, n->len);
    if (!st && w->kind == TREE_TABLE && c->values)
        st = check_sum(c, number, n, value);
    buf_release(&far);
    return st;
}

/* Reads a page of a tree and checks what is in front of its nodes. */
static enum st read_page(struct page_header *header, char *page, struct walk *w, uint64_t number,
                         unsigned level)
{
    struct check *c = w->check;
    bool leaf = level == w->depth;
    enum st st = take_pages(c, number, 1);

    if (!st && (number + 1) * c->page_bytes > c->file_bytes)
        st = catalog_damaged(c->path, "it ends before page %llu", (unsigned long long)number);
    if (!st)
        st = pages_read(c, page, number * c->page_bytes, c->page_bytes);
    if (st)
        return st;
    memcpy(header, page, sizeof *header);
    unsigned nodes = header->lower >= HEADER_BYTES ? (header->lower - HEADER_BYTES) / 2u : 0;
    /* A branch of the free tree may have one child for a while. */
    unsigned least = leaf || w->kind == TREE_FREE ? 1 : 2;
    if (header->number != number || header->flags != (leaf ? PAGE_LEAF : PAGE_BRANCH) ||
        header->lower % 2 != 0 || header->upper % 2 != 0 || header->lower > header->upper ||
        header->upper > c->page_bytes || nodes < least)
        return damaged_page(c, number, "is not the page it should be");
    return ST_OK;
}

/* Keys from `low` on, below `high`. */
static enum st walk_page(struct walk *w, uint64_t number, unsigned level, struct key low,
                         struct key high)
{
    struct check *c = w->check;
    struct page_header header;
    struct node n, next;
    size_t bytes = 0;
    char *page = malloc(c->page_bytes);
    enum st st = page ? read_page(&header, page, w, number, level)
                      : st_fail(ST_NOMEM, NULL, "out of memory");

    if (st)
        goto done;
    bool leaf = level == w->depth;
    unsigned count = (header.lower - HEADER_BYTES) / 2u;
    bool whole = parse_node(&n, c, page, &header, 0);
    for (unsigned i = 0; whole && !st && i < count; i++, n = next) {
        struct key key = {n.key, n.key_len}, end = high;

        bytes += n.bytes;
        if (leaf || i > 0) { /* the first key of a branch says nothing */
            whole = is_key(w, &n) && (!low.bytes || compare(w->kind, low, key) <= 0) &&
                    (!high.bytes || compare(w->kind, key, high) < 0);
            low = key;
        }
        if (whole && i + 1 < count) {
            whole = parse_node(&next, c, page, &header, i + 1) && is_key(w, &next);
            end = (struct key){next.key, next.key_len};
            if (whole && (leaf || i > 0))
                whole = compare(w->kind, key, end) < 0;
        }
        if (whole)
            st = leaf ? check_value(w, number, &n) : walk_page(w, n.child, level + 1, low, end);
    }
    if (!st && (!whole || bytes != c->page_bytes - header.upper))
        st = damaged_page(c, number, "has nodes out of place");
done:
    free(page);
    return st;
}

enum st pages_walk_tree(struct check *c, enum tree_kind kind, const struct tree *tree)
{
    struct walk w = {.check = c, .kind = kind, .depth = tree->depth};
    bool empty = tree->root == NO_PAGE;
    enum st st = ST_OK;

    if ((kind != TREE_FREE && (tree->flags || tree->pad)) || tree->depth > DEPTH_MAX ||
        empty != (tree->depth == 0))
        return catalog_damaged(c->path, "a table does not say how it is built");
    if (!empty)
        st = walk_page(&w, tree->root, 1, (struct key){0}, (struct key){0});
    if (!st && w.entries != tree->entries)
        st = catalog_damaged(c->path, "a table has %llu entries instead of %llu",
                             (unsigned long long)w.entries, (unsigned long long)tree->entries);
    return st;
}
