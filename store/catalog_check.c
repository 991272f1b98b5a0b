#include "store/catalog_check.h"

#include "store/catalog_internal.h"
#include "store/catalog_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* From the two meta pages on: which state is looked at, and whether all of it is in the file. The
 * layout is drawn in store/catalog_pages.h. */

enum {
    DATA_VERSION = 1,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 32768,
    STABLE_TRIES = 100,
};
#define MAGIC 0xBEEFC0DEu

struct meta {
    uint32_t magic, version;
    uint64_t address, map_bytes;
    struct tree free, main;
    uint64_t last_page, transaction;
};

static enum st read_meta(struct meta *out, struct check *c, unsigned which)
{
    struct page_header header;
    enum st st = pages_read(c, &header, which * c->page_bytes, sizeof header);

    if (!st)
        st = pages_read(c, out, which * c->page_bytes + HEADER_BYTES, sizeof *out);
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
            m->map_bytes > CATALOG_MAP_BYTES_MAX || m->last_page >= m->map_bytes / page_bytes ||
            c->file_bytes < 2 * page_bytes)
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
    st = pages_walk_tree(c, TREE_MAIN, &m->main);
    if (!st)
        st = pages_walk_tree(c, TREE_FREE, &m->free);
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
