/* A page of a Parquet file may say the CRC-32 of its bytes; Spark's always do. DuckDB reads a page
 * that is not what it was without a word, so that we compare. The pages of a column chunk follow
 * each other until they have as many values as the chunk; that is how readers find them, too. A
 * header is a struct of Thrift's compact protocol:
 *
 *   field   id as difference (4 bits), type (4 bits); difference 0: the id follows
 *   number  zigzag varint
 *   binary  length as varint, bytes
 *   list    size (4 bits; 15: it follows as varint), type of the elements (4 bits)
 *   map     size as varint; unless that is 0: types of keys and values (4 bits each)
 */
#include "ingest/parquet_pages.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define NESTED_MAX 16
#define WINDOW_BYTES (64u << 10)
#define HEADER_MAX (16u << 20) /* it may have the least and the greatest value of the page */
#define PAGE_FIRST 4           /* behind "PAR1" */

/* ---- headers ---- */

enum {
    T_STOP,
    T_TRUE,
    T_FALSE,
    T_BYTE,
    T_I16,
    T_I32,
    T_I64,
    T_DOUBLE,
    T_BINARY,
    T_LIST,
    T_SET,
    T_MAP,
    T_STRUCT,
    T_UUID
};

struct thrift {
    const unsigned char *at, *end;
    bool bad; /* sticky: it ends too early, or is none */
};

static unsigned read_byte(struct thrift *t)
{
    if (t->bad || t->at == t->end) {
        t->bad = true;
        return 0;
    }
    return *t->at++;
}

static uint64_t read_varint(struct thrift *t)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned byte = read_byte(t);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    t->bad = true;
    return 0;
}

static int64_t read_number(struct thrift *t)
{
    uint64_t value = read_varint(t);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static void skip_bytes(struct thrift *t, uint64_t count)
{
    if (t->bad || count > (uint64_t)(t->end - t->at))
        t->bad = true;
    else
        t->at += count;
}

/* The type of the next field, whose id is *id then; T_STOP: there is none. */
static unsigned read_field(struct thrift *t, uint64_t *id)
{
    unsigned byte = read_byte(t);
    if (t->bad || (byte & 15) == T_STOP)
        return T_STOP;
    *id = byte >> 4 ? *id + (byte >> 4) : (uint64_t)read_number(t);
    return byte & 15;
}

static void skip_value(struct thrift *t, unsigned type, unsigned depth);

static void skip_struct(struct thrift *t, unsigned depth)
{
    uint64_t id = 0;
    for (unsigned type; (type = read_field(t, &id)) != T_STOP;)
        skip_value(t, type, depth);
}

/* Truths have a byte here, which they have not as fields. */
static void skip_elements(struct thrift *t, unsigned type, uint64_t count, unsigned depth)
{
    for (uint64_t i = 0; i < count && !t->bad; i++)
        if (type == T_TRUE || type == T_FALSE)
            skip_bytes(t, 1);
        else
            skip_value(t, type, depth);
}

static void skip_list(struct thrift *t, unsigned depth)
{
    unsigned byte = read_byte(t);
    uint64_t count = byte >> 4 == 15 ? read_varint(t) : byte >> 4;
    skip_elements(t, byte & 15, count, depth);
}

static void skip_map(struct thrift *t, unsigned depth)
{
    uint64_t count = read_varint(t);
    unsigned types = count ? read_byte(t) : 0;
    for (uint64_t i = 0; i < count && !t->bad; i++) {
        skip_elements(t, types >> 4, 1, depth);
        skip_elements(t, types & 15, 1, depth);
    }
}

static void skip_value(struct thrift *t, unsigned type, unsigned depth)
{
    if (depth == NESTED_MAX)
        t->bad = true;
    else if (type == T_BYTE)
        skip_bytes(t, 1);
    else if (type == T_I16 || type == T_I32 || type == T_I64)
        (void)read_varint(t);
    else if (type == T_DOUBLE)
        skip_bytes(t, 8);
    else if (type == T_BINARY)
        skip_bytes(t, read_varint(t));
    else if (type == T_LIST || type == T_SET)
        skip_list(t, depth + 1);
    else if (type == T_MAP)
        skip_map(t, depth + 1);
    else if (type == T_STRUCT)
        skip_struct(t, depth + 1);
    else if (type == T_UUID)
        skip_bytes(t, 16);
    else if (type != T_TRUE && type != T_FALSE)
        t->bad = true;
}

/* The first field of a data page's own header. */
static int64_t read_values(struct thrift *t)
{
    uint64_t id = 0;
    int64_t values = 0;
    for (unsigned type; (type = read_field(t, &id)) != T_STOP;)
        if (id == 1 && type == T_I32)
            values = read_number(t);
        else
            skip_value(t, type, 1);
    return values;
}

bool parquet_page_read(struct parquet_page *out, const unsigned char *bytes, size_t len)
{
    enum { COMPRESSED_SIZE = 3, CRC = 4, DATA = 5, DATA_V2 = 8 };
    struct thrift t = {bytes, bytes + len, false};
    uint64_t id = 0;
    *out = (struct parquet_page){.bytes = -1};
    for (unsigned type; (type = read_field(&t, &id)) != T_STOP;) {
        if (id == COMPRESSED_SIZE && type == T_I32) {
            out->bytes = read_number(&t);
        } else if (id == CRC && type == T_I32) {
            out->crc = (uint32_t)read_number(&t);
            out->has_crc = true;
        } else if ((id == DATA || id == DATA_V2) && type == T_STRUCT) {
            out->values = read_values(&t);
        } else {
            skip_value(&t, type, 0);
        }
    }
    out->header_bytes = (size_t)(t.at - bytes);
    return !t.bad && out->bytes >= 0 && out->values >= 0;
}

/* ---- a file ---- */

/* A piece of it. */
struct window {
    const struct task_file *file;
    int fd;
    unsigned char *bytes;
    size_t room, have;
    uint64_t from;
};

static enum st damaged(const struct task_file *f, uint64_t at, const char *what)
{
    enum st st = st_fail(ST_INVALID, "PARQUET", "%s is damaged: the page at byte %llu %s", f->label,
                         (unsigned long long)at, what);
    return st_place(st_hint(st, "write or transfer it again"), "%s", f->label);
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

static enum st check_chunk(struct window *w, int64_t start, int64_t values)
{
    uint64_t at = start < PAGE_FIRST ? 0 : (uint64_t)start;
    while (values > 0) {
        struct parquet_page page;
        enum st st = at && at < w->file->stamp.bytes ? read_header(&page, w, at)
                                                     : damaged(w->file, at, "is not there");
        if (st)
            return st;
        at += page.header_bytes;
        if (page.has_crc && (st = check_page(&page, w, at)))
            return st;
        at += (uint64_t)page.bytes;
        values -= page.values;
    }
    return ST_OK;
}

static enum st check_chunks(const struct duck_column *columns, size_t rows, void *ctx)
{
    struct window w = *(const struct window *)ctx; /* several threads may be here */
    const int64_t *starts = columns[0].data, *values = columns[1].data;
    enum st st = ST_OK;
    w.room = WINDOW_BYTES;
    if (!(w.bytes = malloc(w.room)))
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && i < rows; i++)
        st = check_chunk(&w, starts[i], values[i]);
    free(w.bytes);
    return st;
}

enum st parquet_pages_check(struct duck *d, const struct task_file *f, int fd)
{
    struct window w = {.file = f, .fd = fd};
    struct duck_statement *chunks = NULL;
    struct buf sql;
    buf_init(&sql, 1u << 16);
    buf_addf(&sql,
             "SELECT CASE WHEN dictionary_page_offset >= %d THEN dictionary_page_offset ELSE "
             "coalesce(data_page_offset, 0) END, coalesce(num_values, 0) FROM parquet_metadata(",
             PAGE_FIRST);
    duck_add_literal(&sql, f->path);
    buf_addch(&sql, ')');
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_prepare(&chunks, d, sql.data);
    if (!st)
        st = duck_each(chunks, check_chunks, &w);
    duck_statement_free(chunks);
    buf_release(&sql);
    return st;
}
