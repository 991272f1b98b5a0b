#include "store/catalog_check.h"

#include "store/catalog_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file format of LMDB 0.9 (data version 1), native byte order:
 *
 *   page       number 8 | pad 2 | flags 2 | lower 2, upper 2  or  pages 4 (overflow) | ...
 *   meta page  header 16 | magic 4 | version 4 | address 8 | map 8 | free tree 48 | main tree 48
 *              | last page 8 | transaction 8;  page 0 for even transactions, page 1 for odd ones
 *   tree       pad 4 (of the free tree: page size) | flags 2 | depth 2 | branch pages 8
 *              | leaf pages 8 | overflow pages 8 | entries 8 | root page 8
 *   branch     header 16 | offsets of nodes 2 each, up to lower | free | nodes, from upper on
 *   leaf       the same
 *   node       low 2 | high 2 | flags 2 | key length 2 | key | value;  even length
 *              branch: child page = low | high << 16 | flags << 32, no value
 *              leaf: value length = low | high << 16; BIGDATA: the value is the number of an
 * overflow page; SUBDATA: a tree overflow   header 16 | value, over `pages` pages
 *
 * The main tree holds a tree per table, the free tree lists of pages that are not in use:
 * transaction that freed them -> count 8, page numbers 8 each, descending.
 *
 * What is checked: every page in use is in the file, says its own number and kind, and is used
 * once; no page is both in use and free; nodes lie inside their page, side by side; keys ascend and
 * are where a search would look for them; depth and entries are what the tree says. */

#if MDB_VERSION_MAJOR != 0 || MDB_VERSION_MINOR != 9
#error "the format of LMDB's files may be another one: look before this is compiled"
#endif
_Static_assert(sizeof(size_t) == 8, "LMDB's files of 32-bit machines are laid out otherwise");

enum {
    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,
    PAGE_OVERFLOW = 0x04,
    PAGE_META = 0x08,
    NODE_BIGDATA = 0x01,
    NODE_SUBDATA = 0x02,
    HEADER_BYTES = 16,
    NODE_BYTES = 8,
    KEY_MAX = 511,
    DEPTH_MAX = 32,
    DATA_VERSION = 1,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 32768,
    STABLE_TRIES = 100,
};
#define MAGIC 0xBEEFC0DEu
#define NO_PAGE UINT64_MAX
#define VALUE_MAX ((size_t)64 << 20) /* lists of free pages are the long ones */

struct tree {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct meta {
    uint32_t magic, version;
    uint64_t address, map_bytes;
    struct tree free, main;
    uint64_t last_page, transaction;
};

struct page_header {
    uint64_t number;
    uint16_t pad, flags, lower, upper;
};

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

enum tree_kind { TREE_FREE, TREE_MAIN, TREE_TABLE };

struct check {
    const char *path;
    int fd;
    bool values;
    uint64_t file_bytes, page_bytes;
    uint64_t pages;       /* that the meta page counts */
    uint64_t transaction; /* of the meta page */
    unsigned char *seen;  /* a bit per page */
};

struct walk {
    struct check *check;
    enum tree_kind kind;
    unsigned depth;
    uint64_t entries;
};

/* ---- the file ---- */

static enum st read_bytes(const struct check *c, void *out, uint64_t at, size_t len)
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
    st = read_bytes(c, &header, at, sizeof header);
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
    return read_bytes(c, room, at + HEADER_BYTES, node->len);
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

static enum st walk_tree(struct check *c, enum tree_kind kind, const struct tree *tree);

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
        return walk_tree(c, TREE_TABLE, &tree);
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
        st = read_bytes(c, page, number * c->page_bytes, c->page_bytes);
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

static enum st walk_tree(struct check *c, enum tree_kind kind, const struct tree *tree)
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

/* ---- the two meta pages ---- */

static enum st read_meta(struct meta *out, struct check *c, unsigned which)
{
    struct page_header header;
    enum st st = read_bytes(c, &header, which * c->page_bytes, sizeof header);

    if (!st)
        st = read_bytes(c, out, which * c->page_bytes + HEADER_BYTES, sizeof *out);
    if (!st && (header.number != which || header.flags != PAGE_META || out->magic != MAGIC ||
                out->version != DATA_VERSION))
        st = catalog_damaged(c->path, "page %u is not the page it should be", which);
    return st;
}

/* What never changes in them. */
static enum st check_beginning(struct meta metas[2], struct check *c)
{
    struct stat sb;

    if (fstat(c->fd, &sb) != 0)
        return st_fail_errno(errno, "%s", c->path);
    c->file_bytes = (uint64_t)sb.st_size;
    c->page_bytes = 0;
    for (unsigned i = 0; i < 2; i++) {
        enum st st = read_meta(&metas[i], c, i);
        if (st)
            return st;
        const struct meta *m = &metas[i];
        uint64_t page_bytes = m->free.pad;
        if (page_bytes < PAGE_BYTES_MIN || page_bytes > PAGE_BYTES_MAX ||
            (page_bytes & (page_bytes - 1)) != 0 || (i == 1 && page_bytes != c->page_bytes) ||
            (m->free.flags & ~MDB_NOSUBDIR) != MDB_INTEGERKEY || m->last_page < 1 ||
            m->last_page >= CATALOG_MAP_BYTES / page_bytes || c->file_bytes < 2 * page_bytes)
            return catalog_damaged(c->path, "its beginning does not say what it is");
        c->page_bytes = page_bytes;
    }
    return ST_OK;
}

/* The state that the meta page `m` describes; `other` is the state before it or after it. */
static enum st check_state(struct check *c, const struct meta *m, const struct meta *other)
{
    uint64_t apart = m->transaction > other->transaction ? m->transaction - other->transaction
                                                         : other->transaction - m->transaction;
    enum st st = ST_OK;

    if (apart > 1)
        return catalog_damaged(c->path, "its two beginnings are not one commit apart");
    c->pages = m->last_page + 1;
    c->transaction = m->transaction;
    c->seen = calloc(1, c->pages / 8 + 1);
    if (!c->seen)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    st = walk_tree(c, TREE_MAIN, &m->main);
    if (!st)
        st = walk_tree(c, TREE_FREE, &m->free);
    /* The file may be shorter than its pages when the last ones are free. */
    for (uint64_t i = c->file_bytes / c->page_bytes; !st && i < c->pages; i++)
        if (!(c->seen[i / 8] & 1u << (i % 8)))
            st = catalog_damaged(c->path, "it ends before page %llu", (unsigned long long)i);
    free(c->seen);
    c->seen = NULL;
    return st;
}

enum st catalog_check_beginning(const char *path)
{
    struct check c = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    struct meta metas[2];

    if (c.fd < 0)
        return st_fail_errno(errno, "%s", path);
    enum st st = check_beginning(metas, &c);
    close(c.fd);
    return st;
}

enum st catalog_check_file(const char *path)
{
    struct check c = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC), .values = true};
    struct meta metas[2];

    if (c.fd < 0)
        return st_fail_errno(errno, "%s", path);
    enum st st = check_beginning(metas, &c);
    unsigned which = !st && metas[1].transaction > metas[0].transaction;
    if (!st && metas[which].transaction % 2 != which)
        st = catalog_damaged(path, "its two beginnings are in each other's place");
    if (!st)
        st = check_state(&c, &metas[which], &metas[!which]);
    close(c.fd);
    return st;
}

/* The state of a reading transaction stays in the file as long as it lives, but its meta page does
 * not: two commits later it is written over. So it is read twice, and counts when it has not
 * changed. Waiting for the writer's lock would be surer, and would wait for a writer that is
 * stopped. */
static enum st read_state(bool *stable, struct meta metas[2], struct check *c, uint64_t transaction)
{
    struct meta again[2];
    enum st st = check_beginning(metas, c);
    size_t which = transaction % 2;

    if (!st)
        st = check_beginning(again, c);
    *stable = !st && metas[which].transaction == transaction &&
              memcmp(&metas[which], &again[which], sizeof again[which]) == 0;
    return st;
}

enum st catalog_check(struct catalog *catalog, bool values)
{
    struct check c = {.path = catalog->path, .values = values};
    struct catalog_txn t;
    struct meta metas[2];
    bool stable = false;
    enum st st = ST_OK;

    if (mdb_env_get_fd(catalog->env, &c.fd) != 0)
        return st_fail(ST_IO, NULL, "the catalog is not open");
    for (int i = 0; !st && !stable && i < STABLE_TRIES; i++) {
        catalog_begin_read(&t, catalog);
        uint64_t seen = catalog_txn_id(&t);
        st = t.status ? t.status : read_state(&stable, metas, &c, seen);
        if (stable)
            st = check_state(&c, &metas[seen % 2], &metas[(seen + 1) % 2]);
        enum st ended = catalog_end(&t);
        st = st ? st : ended;
    }
    if (!st && !stable)
        st = catalog_damaged(c.path, "its two beginnings do not agree");
    return st;
}
