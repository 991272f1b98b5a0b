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

#endif
