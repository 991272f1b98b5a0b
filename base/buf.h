/* Capped byte buffer. Appends are sticky: after one fails (cap reached, out of memory) the rest are
 * no-ops, and buf_status() says which it was. `data` is always NUL-terminated when non-NULL. */
#ifndef EVERLINE_BASE_BUF_H
#define EVERLINE_BASE_BUF_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max; /* len never exceeds this many bytes */
    enum st status;
};

void buf_init(struct buf *b, size_t max_bytes);
/* In `room` of the caller's, of `size` bytes with the NUL, and no further: it is never released. */
void buf_init_fixed(struct buf *b, char *room, size_t size);
void buf_release(struct buf *b); /* accepts a zeroed struct; leaves it zeroed */
/* As buf_release, for what nobody may find in memory afterwards. Only the last block is wiped: what
 * grows in pieces has left copies behind. */
void buf_release_secret(struct buf *b);

/* Inline, because records are made of many small pieces: there is room unless the buffer grows, and
 * seldom a failure. */

/* Empties, keeps memory and cap, clears a failure. */
static inline void buf_reset(struct buf *b)
{
    b->len = 0;
    b->status = ST_OK;
    if (b->data)
        b->data[0] = '\0';
}

char *buf_grow(struct buf *b, size_t len);
/* Room for `len` more bytes at data+len, or NULL; the caller then adds to `len` itself. */
static inline char *buf_reserve(struct buf *b, size_t len)
{
    return b->status || b->cap - b->len <= len ? buf_grow(b, len) : b->data + b->len;
}

void buf_grow_add(struct buf *b, const void *bytes, size_t len);
static inline void buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (b->status || b->cap - b->len <= len) {
        buf_grow_add(b, bytes, len);
        return;
    }
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}
static inline void buf_addch(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}
static inline void buf_addstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}
void buf_addf(struct buf *b, const char *fmt, ...) ST_PRINTF(2, 3);
void buf_addu64(struct buf *b, uint64_t value); /* decimal */
void buf_addi64(struct buf *b, int64_t value);  /* decimal */

/* Appends `s` as a JSON string with its quotes (RFC 8259 section 7). Invalid UTF-8 makes the buffer
 * fail with ST_INVALID. */
void buf_add_json_string(struct buf *b, const char *s, size_t len);

enum st buf_failure(const struct buf *b) ST_MUST_USE;
static inline ST_MUST_USE enum st buf_status(const struct buf *b)
{
    return b->status ? buf_failure(b) : ST_OK;
}

/* Hands `data` to the caller (free() it) and leaves the buffer empty. NULL after a failure. */
char *buf_take(struct buf *b);

#endif
