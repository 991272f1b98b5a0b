/* DuckDB believes a Parquet file: it takes as many rows from a row group as the footer says, and
 * reads a page that is not what it was without a word. So all pages are walked here: their values
 * are counted, and where a page says the CRC-32 of its bytes, as Spark's always do, it is compared.
 * The pages of a column chunk follow each other, from the first to the last byte of the chunk.
 *
 * A page's values are its rows, nulls too, unless the column has lists or is within one; then only
 * a header of version 2 says the rows. A file with nothing but such columns and headers of version
 * 1 does not say them outside of its pages' compressed bytes: there the footer's are taken.
 */
#include "ingest/parquet_pages.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define WINDOW_BYTES (64u << 10)
#define HEADER_MAX (16u << 20) /* it may have the least and the greatest value of the page */
#define PAGE_FIRST 4           /* behind "PAR1" */

/* A piece of it. */
struct window {
    const struct task_file *file;
    int fd;
    unsigned char *bytes;
    size_t room, have;
    uint64_t from;
};

static enum st refuse(const struct task_file *f, enum st st)
{
    return st_place(st_hint(st, "write or transfer it again"), "%s", f->label);
}

static enum st damaged(const struct task_file *f, uint64_t at, const char *what)
{
    return refuse(f, st_fail(ST_INVALID, "PARQUET", "%s is damaged: the page at byte %llu %s",
                             f->label, (unsigned long long)at, what));
}

/* As much as there is room for, from `at` on; less at the end of the file. */
static enum st fill(struct window *w, uint64_t at)
{
    w->from = at;
    w->have = 0;
    while (w->have < w->room) {
        ssize_t n = pread(w->fd, w->bytes + w->have, w->room - w->have, (off_t)(at + w->have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return st_fail_errno(errno, "cannot read %s", w->file->label);
        if (n == 0)
            break;
        w->have += (size_t)n;
    }
    return ST_OK;
}

/* How many bytes from `at` on are in the window. */
static size_t left(const struct window *w, uint64_t at)
{
    return at >= w->from && at < w->from + w->have ? (size_t)(w->from + w->have - at) : 0;
}

static enum st grow(struct window *w)
{
    unsigned char *more = realloc(w->bytes, 2 * w->room);
    if (!more)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    w->bytes = more;
    w->room *= 2;
    return ST_OK;
}

static enum st read_header(struct parquet_page *page, struct window *w, uint64_t at)
{
    enum st st = ST_OK;
    size_t have = left(w, at);
    if (have && parquet_page_read(page, w->bytes + (at - w->from), have))
        return ST_OK;
    w->room = WINDOW_BYTES; /* after a header that is larger, not as much for each */
    while (!(st = fill(w, at)) && !parquet_page_read(page, w->bytes, w->have)) {
        if (w->have < w->room || w->room >= HEADER_MAX)
            return damaged(w->file, at, "has no header");
        if ((st = grow(w)))
            break;
    }
    return st;
}

/* Compares the page's bytes, which begin at `at`. */
static enum st check_page(const struct parquet_page *page, struct window *w, uint64_t at)
{
    uint64_t end = at + (uint64_t)page->bytes;
    uLong crc = crc32(0, NULL, 0);
    while (at < end) {
        if (!left(w, at)) {
            enum st st = fill(w, at);
            if (st)
                return st;
        }
        size_t n = left(w, at);
        if (!n)
            break;
        if (n > end - at)
            n = (size_t)(end - at);
        crc = crc32(crc, w->bytes + (at - w->from), (uInt)n);
        at += n;
    }
    return at == end && crc == page->crc
               ? ST_OK
               : damaged(w->file, end - (uint64_t)page->bytes, "has not the checksum it should");
}

/* ---- column chunks ---- */

/* As the footer has it. */
struct chunk {
    int64_t start, bytes, values, group, group_rows, column;
};

struct counted {
    uint64_t values, rows;
    bool has_rows; /* otherwise the pages do not say */
};

/* What the threads that walk a file share. */
struct walk {
    struct window window; /* as each of theirs begins */
    bool *lists;          /* by column: it has other values than rows */
    size_t column_count;
    size_t counting;                  /* the column by which the file's rows are counted */
    atomic_uint_fast64_t rows, bytes; /* bytes: of all pages so far */
};

/* A page belongs to one chunk. If a footer may give it to a thousand, a small file takes as long as
 * one that is a thousand times as large. */
static enum st count_bytes(struct walk *walk, uint64_t bytes, const struct chunk *c)
{
    const struct task_file *f = walk->window.file;
    if (bytes <= f->stamp.bytes && atomic_fetch_add(&walk->bytes, bytes) <= f->stamp.bytes - bytes)
        return ST_OK;
    return refuse(f, st_fail(ST_INVALID, "PARQUET",
                             "%s is damaged: its pages have more bytes than the file, up to row "
                             "group %lld, column %lld",
                             f->label, (long long)c->group + 1, (long long)c->column + 1));
}

/* Some writers do not count the header of a dictionary among a chunk's bytes: the last page begins
 * within them nevertheless, because its header is longer. */
static enum st count_chunk(struct counted *out, struct walk *walk, const struct chunk *c,
                           struct window *w)
{
    uint64_t at = c->start < PAGE_FIRST ? 0 : (uint64_t)c->start;
    uint64_t end = at + (uint64_t)(c->bytes < 0 ? 0 : c->bytes);
    *out = (struct counted){.has_rows = true};
    while (at < end) {
        struct parquet_page page;
        enum st st = at && at < w->file->stamp.bytes ? read_header(&page, w, at)
                                                     : damaged(w->file, at, "is not there");
        if (!st)
            st = count_bytes(walk, page.header_bytes + (uint64_t)page.bytes, c);
        at += page.header_bytes;
        if (!st && page.has_crc)
            st = check_page(&page, w, at);
        if (st)
            return st;
        at += (uint64_t)page.bytes;
        out->values += (uint64_t)page.values;
        out->rows += (uint64_t)page.rows;
        if (page.values && !page.has_rows)
            out->has_rows = false;
    }
    return ST_OK;
}

static enum st compare(const struct chunk *c, const struct counted *pages,
                       const struct task_file *f)
{
    enum st st = ST_OK;
    if (pages->values != (uint64_t)c->values)
        st = st_fail(ST_INVALID, "PARQUET",
                     "%s is damaged: of row group %lld its footer says %lld values of column %lld, "
                     "but their pages have %llu",
                     f->label, (long long)c->group + 1, (long long)c->values,
                     (long long)c->column + 1, (unsigned long long)pages->values);
    else if (pages->has_rows && pages->rows != (uint64_t)c->group_rows)
        st = st_fail(ST_INVALID, "PARQUET",
                     "%s is damaged: of row group %lld its footer says %lld rows, but the pages of "
                     "column %lld have %llu",
                     f->label, (long long)c->group + 1, (long long)c->group_rows,
                     (long long)c->column + 1, (unsigned long long)pages->rows);
    return st ? refuse(f, st) : ST_OK;
}

static enum st check_chunk(struct walk *walk, const struct chunk *c, struct window *w)
{
    struct counted pages;
    size_t column = (size_t)c->column;
    enum st st = count_chunk(&pages, walk, c, w);
    if (!st && column < walk->column_count && !walk->lists[column]) {
        pages.rows = pages.values;
        pages.has_rows = true;
    }
    if (!st)
        st = compare(c, &pages, w->file);
    if (!st && column == walk->counting)
        atomic_fetch_add(&walk->rows, pages.has_rows ? pages.rows : (uint64_t)c->group_rows);
    return st;
}

static enum st check_chunks(const struct duck_column *columns, size_t rows, void *ctx)
{
    struct walk *walk = ctx;
    struct window w = walk->window;
    const int64_t *of[6];
    enum st st = ST_OK;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        of[i] = columns[i].data;
    w.room = WINDOW_BYTES;
    if (!(w.bytes = malloc(w.room)))
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && i < rows; i++)
        st = check_chunk(walk,
                         &(struct chunk){.start = of[0][i],
                                         .bytes = of[1][i],
                                         .values = of[2][i],
                                         .group = of[3][i],
                                         .group_rows = of[4][i],
                                         .column = of[5][i]},
                         &w);
    free(w.bytes);
    return st;
}

static enum st each_chunk(struct walk *walk, struct duck *d)
{
    struct duck_statement *chunks = NULL;
    struct buf sql;
    buf_init(&sql, 1u << 16);
    buf_addf(&sql,
             "SELECT CASE WHEN dictionary_page_offset >= %d THEN dictionary_page_offset ELSE "
             "coalesce(data_page_offset, 0) END, coalesce(total_compressed_size, 0), "
             "coalesce(num_values, 0), row_group_id, row_group_num_rows, column_id "
             "FROM parquet_metadata(",
             PAGE_FIRST);
    duck_add_literal(&sql, walk->window.file->path);
    buf_addch(&sql, ')');
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_prepare(&chunks, d, sql.data);
    if (!st)
        st = duck_each(chunks, check_chunks, walk);
    duck_statement_free(chunks);
    buf_release(&sql);
    return st;
}

/* ---- a file ---- */

/* The tree of columns comes as its nodes, each before its children, the root first; what has no
 * children is a column of the file. `cells`: of each node how many it has, and "r" if it repeats,
 * NUL behind either. */
static enum st find_lists(struct walk *walk, const char *cells, size_t nodes)
{
    int64_t within = 0; /* so many nodes to come are in a list */
    if (!(walk->lists = calloc(nodes + 1, sizeof *walk->lists)))
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; i < nodes; i++) {
        int64_t children = strtoll(cells, NULL, 10);
        cells += strlen(cells) + 1;
        bool repeats = i && *cells == 'r';
        cells += strlen(cells) + 1;
        if (repeats && !within)
            within = 1;
        bool lists = within;
        if (within)
            within += children - 1;
        if (!children)
            walk->lists[walk->column_count++] = lists;
    }
    while (walk->counting < walk->column_count && walk->lists[walk->counting])
        walk->counting++;
    if (walk->counting == walk->column_count)
        walk->counting = 0;
    return ST_OK;
}

static enum st read_columns(struct walk *walk, struct duck *d)
{
    size_t nodes, two;
    struct buf sql, cells;
    buf_init(&sql, 1u << 16);
    buf_init(&cells, 16u << 20);
    buf_addstr(&sql, "SELECT coalesce(num_children, 0)::VARCHAR, "
                     "CASE WHEN repetition_type = 'REPEATED' THEN 'r' ELSE '' END "
                     "FROM parquet_schema(");
    duck_add_literal(&sql, walk->window.file->path);
    buf_addch(&sql, ')');
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_text(&cells, &nodes, &two, d, "reading the columns of a Parquet file", sql.data);
    if (!st)
        st = find_lists(walk, cells.data, nodes);
    buf_release(&cells);
    buf_release(&sql);
    return st;
}

/* What the footer says of the whole file. */
static enum st compare_all(uint64_t rows, struct duck *d, const struct task_file *f)
{
    int64_t said;
    struct buf sql;
    buf_init(&sql, 1u << 16);
    buf_addstr(&sql, "SELECT num_rows FROM parquet_file_metadata(");
    duck_add_literal(&sql, f->path);
    buf_addch(&sql, ')');
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_count(&said, d, "reading the rows of a Parquet file", sql.data);
    if (!st && rows != (uint64_t)said)
        st = refuse(f, st_fail(ST_INVALID, "PARQUET",
                               "%s is damaged: its footer says %lld rows, but its pages have %llu",
                               f->label, (long long)said, (unsigned long long)rows));
    buf_release(&sql);
    return st;
}

enum st parquet_pages_check(uint64_t *rows, struct duck *d, const struct task_file *f, int fd)
{
    struct walk walk = {.window = {.file = f, .fd = fd}};
    enum st st = read_columns(&walk, d);
    if (!st)
        st = each_chunk(&walk, d);
    *rows = atomic_load(&walk.rows);
    if (!st)
        st = compare_all(*rows, d, f);
    free(walk.lists);
    return st;
}
