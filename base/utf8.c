#include "base/utf8.h"

#include "base/word.h"

#include <string.h>

#include <utf8proc.h>

/* Bytes of the character at the start, 0 when there is none. */
static size_t character(const char *bytes, size_t len)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)bytes, (utf8proc_ssize_t)len, &c);

    return n > 0 ? (size_t)n : 0;
}

/* Bytes at the start that are ASCII: by eights, the last of which may overlap the one before. */
static size_t ascii(const char *bytes, size_t len)
{
    uint64_t high = 0;
    size_t at = 0;

    if (len < WORD_BYTES) {
        high = word_load_part(bytes, len) & WORD_HIGH;
        return high ? (size_t)__builtin_ctzll(high) / 8 : len;
    }
    for (; len - at >= WORD_BYTES && !high; at += WORD_BYTES)
        high = word_load(bytes + at) & WORD_HIGH;
    if (!high)
        high = word_load(bytes + (at = len) - WORD_BYTES) & WORD_HIGH;
    return high ? at - WORD_BYTES + (size_t)__builtin_ctzll(high) / 8 : len;
}

bool utf8_is_valid(const char *bytes, size_t len)
{
    for (size_t at = ascii(bytes, len); at < len; at += ascii(bytes + at, len - at)) {
        size_t n = character(bytes + at, len - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

size_t utf8_encode(char out[4], uint32_t c)
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)c, (utf8proc_uint8_t *)out);
}

int utf8_cut(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);

    if (len > max)
        for (len = max; len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80; len--)
            ;
    return (int)len;
}

void utf8_mend(char *text)
{
    size_t len = strlen(text);

    for (size_t at = 0; at < len;) {
        size_t n = character(text + at, len - at);
        if (n == 0)
            text[at] = '?';
        at += n ? n : 1;
    }
}

void utf8_blank_controls(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (c[0] == 0xC2 && c[1] >= 0x80 && c[1] <= 0x9F)
            c[0] = c[1] = ' ';
        if (*c < ' ' || *c == 0x7F)
            *c = ' ';
    }
}
