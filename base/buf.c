#include "base/buf.h"

#include "base/utf8.h"
#include "base/word.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_init_fixed(struct buf *b, char *room, size_t size)
{
    *b = (struct buf){.data = room, .cap = size, .max = size - 1};
    *room = '\0';
}

void buf_release(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct buf){0};
}

void buf_release_secret(struct buf *b)
{
    if (b && b->data)
        explicit_bzero(b->data, b->cap);
    buf_release(b);
}

char *buf_grow(struct buf *b, size_t len)
{
    if (b->status)
        return NULL;
    if (len > b->max || b->len > b->max - len) {
        b->status = ST_TOO_LARGE;
        return NULL;
    }
    size_t need = b->len + len + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : FIRST_CAPACITY;
        while (cap < need && cap <= SIZE_MAX / 2)
            cap *= 2;
        if (cap > b->max && b->max < SIZE_MAX)
            cap = b->max + 1;
        if (cap < need)
            cap = need;
        char *grown = realloc(b->data, cap);
        if (!grown) {
            b->status = ST_NOMEM;
            return NULL;
        }
        b->data = grown;
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_grow_add(struct buf *b, const void *bytes, size_t len)
{
    char *at = buf_reserve(b, len);

    if (!at)
        return;
    if (len)
        memcpy(at, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *at = n < 0 ? NULL : buf_reserve(b, (size_t)n);
    if (at) {
        vsnprintf(at, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    } else if (n < 0 && !b->status) {
        b->status = ST_INVALID;
    }
    va_end(again);
}

void buf_addu64(struct buf *b, uint64_t value)
{
    char digits[20];
    size_t i = sizeof digits;

    do {
        digits[--i] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buf_add(b, digits + i, sizeof digits - i);
}

void buf_addi64(struct buf *b, int64_t value)
{
    if (value < 0)
        buf_addch(b, '-');
    buf_addu64(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void add_escape(struct buf *b, unsigned char c)
{
    static const char SHORT[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

    if (c == '"' || c == '\\')
        buf_addf(b, "\\%c", c);
    else if (c < sizeof SHORT && SHORT[c])
        buf_addf(b, "\\%c", SHORT[c]);
    else
        buf_addf(b, "\\u%04x", c);
}

/* Of eight bytes: the high bit of one is set when it is no ASCII or must be escaped, and else only
 * beside such a one. */
static inline uint64_t odd_bytes(uint64_t word)
{
    return word | (word - WORD_OF(' ')) | ((word ^ WORD_OF('"')) - WORD_OF(1u)) |
           ((word ^ WORD_OF('\\')) - WORD_OF(1u));
}

static bool is_plain(const char *s, size_t len)
{
    uint64_t odd = 0;

    for (; len >= WORD_BYTES; s += WORD_BYTES, len -= WORD_BYTES)
        odd |= odd_bytes(word_load(s));
    return !((odd | odd_bytes(word_load_part(s, len) | WORD_OF(' ') << 8 * len)) & WORD_HIGH);
}

void buf_add_json_string(struct buf *b, const char *s, size_t len)
{
    size_t run = 0; /* start of what needs no escape */

    if (is_plain(s, len)) {
        buf_addch(b, '"');
        buf_add(b, s, len);
        buf_addch(b, '"');
        return;
    }
    if (!utf8_is_valid(s, len)) {
        if (!b->status)
            b->status = ST_INVALID;
        return;
    }
    buf_addch(b, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            buf_add(b, s + run, i - run);
            add_escape(b, c);
            run = i + 1;
        }
    }
    buf_add(b, s + run, len - run);
    buf_addch(b, '"');
}

enum st buf_failure(const struct buf *b)
{
    switch (b->status) {
    case ST_TOO_LARGE:
        return st_fail(ST_TOO_LARGE, NULL, "more than %zu bytes", b->max);
    case ST_NOMEM:
        return st_fail(ST_NOMEM, NULL, "out of memory");
    default:
        return st_fail(b->status, NULL, "text is not valid UTF-8");
    }
}

char *buf_take(struct buf *b)
{
    char *data = NULL;

    if (!b->status && (b->data || buf_reserve(b, 0))) {
        b->data[b->len] = '\0';
        data = b->data;
        b->data = NULL;
    }
    size_t max = b->max;
    buf_release(b);
    b->max = max;
    return data;
}
