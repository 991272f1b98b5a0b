#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_release(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->status = ST_OK;
    if (b->data)
        b->data[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t len)
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
        while (cap < need)
            cap = cap > b->max / 2 ? b->max + 1 : cap * 2;
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

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    char *at = buf_reserve(b, len);

    if (!at)
        return;
    if (len)
        memcpy(at, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_addstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addch(struct buf *b, char c)
{
    buf_add(b, &c, 1);
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

/* Length of the UTF-8 sequence at s (RFC 3629: no overlong forms, no surrogates), 0 when invalid.
 */
static size_t utf8_length(const unsigned char *s, size_t len)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max;
        size_t length;
    } FORMS[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };

    for (size_t f = 0; f < sizeof FORMS / sizeof FORMS[0]; f++) {
        if (s[0] < FORMS[f].first_min || s[0] > FORMS[f].first_max)
            continue;
        if (len < FORMS[f].length || s[1] < FORMS[f].second_min || s[1] > FORMS[f].second_max)
            return 0;
        for (size_t i = 2; i < FORMS[f].length; i++)
            if (s[i] < 0x80 || s[i] > 0xBF)
                return 0;
        return FORMS[f].length;
    }
    return 0;
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

void buf_add_json_string(struct buf *b, const char *s, size_t len)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t run = 0; /* start of what needs no escape */
    size_t i = 0;

    buf_addch(b, '"');
    while (i < len) {
        if (u[i] >= 0x80) {
            size_t n = utf8_length(u + i, len - i);
            if (n == 0) {
                if (!b->status)
                    b->status = ST_INVALID;
                return;
            }
            i += n;
        } else if (u[i] < 0x20 || u[i] == '"' || u[i] == '\\') {
            buf_add(b, s + run, i - run);
            add_escape(b, u[i++]);
            run = i;
        } else {
            i++;
        }
    }
    buf_add(b, s + run, len - run);
    buf_addch(b, '"');
}

enum st buf_status(const struct buf *b)
{
    switch (b->status) {
    case ST_OK:
        return ST_OK;
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
