/* Eight bytes of text at once, the first one lowest whatever the machine. */
#ifndef EVERLINE_BASE_WORD_H
#define EVERLINE_BASE_WORD_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD_BYTES 8u
#define WORD_OF(byte) (UINT64_MAX / 255 * (byte)) /* eight times the same */
#define WORD_HIGH WORD_OF(0x80u)

static inline uint64_t word_load(const char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return le64toh(word);
}

/* Of fewer than eight bytes; zero behind them. What is loaded twice overlaps, because copying a few
 * bytes one by one, or by memcpy of a length that is not known, costs more. */
static inline uint64_t word_load_part(const char *bytes, size_t len)
{
    const unsigned char *u = (const unsigned char *)bytes;

    if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, bytes, sizeof first);
        memcpy(&last, bytes + len - sizeof last, sizeof last);
        return le32toh(first) | (uint64_t)le32toh(last) << 8 * (len - sizeof last);
    }
    if (len == 0)
        return 0;
    return u[0] | (uint64_t)u[len / 2] << 8 * (len / 2) | (uint64_t)u[len - 1] << 8 * (len - 1);
}

/* `bytes` has room for eight. */
static inline void word_store(char *bytes, uint64_t word)
{
    word = htole64(word);
    memcpy(bytes, &word, sizeof word);
}

/* memcpy of a few bytes, without the call. */
static inline void word_copy(void *to, const void *from, size_t len)
{
    char *t = to;
    const char *f = from;

    if (len > 4 * WORD_BYTES) {
        memcpy(t, f, len);
    } else if (len >= 2 * WORD_BYTES) {
        memcpy(t, f, 2 * WORD_BYTES);
        memcpy(t + len - 2 * WORD_BYTES, f + len - 2 * WORD_BYTES, 2 * WORD_BYTES);
    } else if (len >= WORD_BYTES) {
        memcpy(t, f, WORD_BYTES);
        memcpy(t + len - WORD_BYTES, f + len - WORD_BYTES, WORD_BYTES);
    } else if (len >= 4) {
        memcpy(t, f, 4);
        memcpy(t + len - 4, f + len - 4, 4);
    } else if (len) {
        t[0] = f[0];
        t[len / 2] = f[len / 2];
        t[len - 1] = f[len - 1];
    }
}

/* Sixteen bytes at once, where the compiler has registers for them. */
#define WORD_BLOCK_BYTES 16u
typedef unsigned char word_block __attribute__((vector_size(WORD_BLOCK_BYTES)));

/* The first byte that is one of four, or `end`. */
static inline const char *word_find(const char *p, const char *end, char a, char b, char c, char d)
{
    word_block block;
    uint64_t hits[2];

    for (; end - p >= (ptrdiff_t)sizeof block; p += sizeof block) {
        memcpy(&block, p, sizeof block);
        word_block found = (word_block)((block == (unsigned char)a) | (block == (unsigned char)b) |
                                        (block == (unsigned char)c) | (block == (unsigned char)d));
        memcpy(hits, &found, sizeof hits);
        if (hits[0])
            return p + __builtin_ctzll(le64toh(hits[0])) / 8;
        if (hits[1])
            return p + WORD_BYTES + __builtin_ctzll(le64toh(hits[1])) / 8;
    }
    while (p < end && *p != a && *p != b && *p != c && *p != d)
        p++;
    return p;
}

#define WORD_WINDOW_BYTES 64u

/* Which of 64 bytes are one of three: the lowest bit stands for the first. */
static inline uint64_t word_marks(const char *bytes, char a, char b, char c)
{
    uint64_t marks = 0, flags[2];
    word_block block;

    for (unsigned i = 0; i < WORD_WINDOW_BYTES; i += WORD_BLOCK_BYTES) {
        memcpy(&block, bytes + i, sizeof block);
        word_block found = (word_block)((block == (unsigned char)a) | (block == (unsigned char)b) |
                                        (block == (unsigned char)c));
        memcpy(flags, &found, sizeof flags);
        for (unsigned k = 0; k < 2; k++) /* one bit of each byte, side by side at the top */
            marks |= ((le64toh(flags[k]) & WORD_OF(1u)) * 0x0102040810204080u >> 56)
                     << (i + k * WORD_BYTES);
    }
    return marks;
}

#endif
