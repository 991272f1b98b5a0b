#include "auth/base64url.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of a character, or -1. */
static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

bool auth_base64url_decode(unsigned char *out, size_t out_max, size_t *out_len, const char *text,
                           size_t len)
{
    size_t size = len / 4 * 3 + len % 4 * 3 / 4;
    uint32_t bits = 0;
    unsigned held = 0; /* low bits of `bits` that are not written yet */
    size_t n = 0;

    *out_len = 0;
    if (len % 4 == 1 || size > out_max)
        return false;
    for (size_t i = 0; i < len; i++) {
        int value = sextet(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (unsigned char)(bits >> held);
        }
    }
    if (bits & ((1U << held) - 1))
        return false;
    *out_len = n;
    return true;
}

void auth_base64url_encode(struct buf *out, const void *bytes, size_t len)
{
    const unsigned char *in = bytes;
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (held += 8; held >= 6;) {
            held -= 6;
            buf_addch(out, alphabet[bits >> held & 63]);
        }
    }
    if (held > 0)
        buf_addch(out, alphabet[bits << (6 - held) & 63]);
}
