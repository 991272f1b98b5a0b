/* The pages of a file of LMDB as it lays them out, and the walk over the catalog's trees that
 * checks them. Room-private.
 *
 * The file format of LMDB 0.9 (data version 1), native byte order:
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
 *              leaf: value length = low | high << 16; BIGDATA: the value is an overflow page's
 *              number; SUBDATA: a tree
 *   overflow   header 16 | value, over `pages` pages
 *
 * The main tree holds a tree per table, the free tree lists of pages that are not in use:
 * transaction that freed them -> count 8, page numbers 8 each, descending.
 *
 * What is checked: every page in use is in the file, says its own number and kind, and is used
 * once; no page is both in use and free; nodes lie inside their page, side by side; keys ascend and
 * are where a search would look for them; depth and entries are what the tree says. */
#ifndef EVERLINE_STORE_CATALOG_PAGES_H
#define EVERLINE_STORE_CATALOG_PAGES_H

#include "base/status.h"

#include <lmdb.h>
#include <stdint.h>

#if MDB_VERSION_MAJOR != 0 || MDB_VERSION_MINOR != 9
#error "the format of LMDB's files may be another one: look before this is compiled"
#endif
_Static_assert(sizeof(size_t) == 8, "LMDB's files of 32-bit machines are laid out otherwise");

enum {
    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,
    PAGE_OVERFLOW = 0x04,
    PAGE_META = 0x08,
    HEADER_BYTES = 16,
};

struct tree {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct page_header {
    uint64_t number;
    uint16_t pad, flags, lower, upper;
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

/* `len` bytes of the file from `at` on. ST_CORRUPT, code CATALOG_DAMAGED, where it ends, or the
 * disk cannot read it. */
enum st pages_read(const struct check *c, void *out, uint64_t at, size_t len) ST_MUST_USE;

/* Checks a tree, and what hangs on it: c->seen gets its pages. ST_CORRUPT, code CATALOG_DAMAGED. */
enum st pages_walk_tree(struct check *c, enum tree_kind kind, const struct tree *tree) ST_MUST_USE;

#endif
