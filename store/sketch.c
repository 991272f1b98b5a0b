#include "store/sketch.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Encoded: u32 count, little-endian, then for each entry, keys ascending:
 *
 *   key minus the key before (the first: minus 0), zigzag varint | value, zigzag varint
 *
 * Varints are LEB128 without needless bytes. */

#define REGISTER_BITS 12
#define DIGIT_BITS 32
#define DIGIT_MASK 0xffffffffll
#define LOWEST_BIT 1074        /* of a double, 2^-1074 */
#define HIGHEST_DIGIT 72       /* of 2^64 doubles */
#define SUM_DIGITS 80          /* merging what is stored never carries beyond */
#define CARRY_AFTER (1u << 29) /* additions that a digit takes before it must be carried */
#define BUCKET_SHIFT 45        /* 52 bits of fraction, of which 7 tell buckets apart */

struct entry {
    int32_t key;
    int64_t value;
};

struct sketch {
    enum sketch_kind kind;
    uint32_t count, capacity;
    uint32_t uncarried;
    struct entry *entries; /* by key */
};

static const struct {
    int32_t min_key, max_key;
    int64_t min_value, max_value;
} LIMITS[] = {
    [SKETCH_SUM] = {0, HIGHEST_DIGIT, -1, DIGIT_MASK},
    [SKETCH_DISTINCT] = {0, (1 << REGISTER_BITS) - 1, 1, 64 - REGISTER_BITS + 1},
    [SKETCH_QUANTILE] = {-(1 << 19), 1 << 19, 1, INT64_MAX},
};

struct sketch *sketch_new(enum sketch_kind kind)
{
    struct sketch *s = calloc(1, sizeof *s);

    if (s)
        s->kind = kind;
    return s;
}

void sketch_free(struct sketch *s)
{
    if (!s)
        return;
    free(s->entries);
    free(s);
}

size_t sketch_bytes(const struct sketch *s)
{
    return s ? sizeof *s + s->capacity * sizeof *s->entries : 0;
}

/* The first entry whose key is not below. */
static uint32_t find(const struct sketch *s, int32_t key)
{
    uint32_t low = 0, high = s->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->entries[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remove_at(struct sketch *s, uint32_t i)
{
    memmove(s->entries + i, s->entries + i + 1, (--s->count - i) * sizeof *s->entries);
}

/* The value of a key, 0 when it is new; NULL: out of memory. */
static int64_t *at(struct sketch *s, int32_t key)
{
    uint32_t i = find(s, key);

    if (i < s->count && s->entries[i].key == key)
        return &s->entries[i].value;
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? 2 * s->capacity : 4;
        struct entry *entries = realloc(s->entries, capacity * sizeof *entries);
        if (!entries)
            return NULL;
        s->entries = entries;
        s->capacity = capacity;
    }
    memmove(s->entries + i + 1, s->entries + i, (s->count++ - i) * sizeof *s->entries);
    s->entries[i] = (struct entry){key, 0};
    return &s->entries[i].value;
}

static enum st no_memory(void)
{
    return st_fail(ST_NOMEM, NULL, "out of memory");
}

/* ---- sums ---- */

/* Brings every digit but the highest into [0, 2^32), drops zeroes, and makes what is negative end
 * in one digit of -1, as two's complement does: a number then has one form. */
static enum st carry(struct sketch *s)
{
    for (uint32_t i = 0; i < s->count;) {
        int64_t value = s->entries[i].value;
        int64_t over = value >> DIGIT_BITS;
        bool is_sign = value == -1 && i + 1 == s->count;

        if (is_sign)
            break;
        s->entries[i].value = value & DIGIT_MASK;
        if (over) {
            int64_t *next = at(s, s->entries[i].key + 1);
            if (!next)
                return no_memory();
            *next += over;
        }
        if (s->entries[i].value)
            i++;
        else
            remove_at(s, i);
    }
    while (s->count > 1 && s->entries[s->count - 1].value == -1 &&
           s->entries[s->count - 2].value == DIGIT_MASK &&
           s->entries[s->count - 2].key == s->entries[s->count - 1].key - 1) {
        s->entries[s->count - 2].value = -1;
        s->count--;
    }
    s->uncarried = 0;
    return ST_OK;
}

static enum st add_to_sum(struct sketch *s, double value)
{
    __extension__ typedef unsigned __int128 wide;
    int exponent;
    double fraction = frexp(fabs(value), &exponent);
    uint64_t bits = (uint64_t)ldexp(fraction, 53);
    int position = exponent - 53 + LOWEST_BIT;

    if (position < 0) { /* a subnormal number's low bits are zero */
        bits >>= -position;
        position = 0;
    }
    wide digits = (wide)bits << (position % DIGIT_BITS);
    for (int32_t key = position / DIGIT_BITS; digits; key++, digits >>= DIGIT_BITS) {
        int64_t digit = (int64_t)((uint64_t)digits & DIGIT_MASK);
        int64_t *sum = digit ? at(s, key) : &digit;
        if (!sum)
            return no_memory();
        if (digit)
            *sum += value < 0 ? -digit : digit;
    }
    return ++s->uncarried < CARRY_AFTER ? ST_OK : carry(s);
}

/* Brings all but the highest digit into [0, 2^32): that one then has the sign. */
static void carry_all(int64_t digits[SUM_DIGITS])
{
    for (int i = 0; i + 1 < SUM_DIGITS; i++) {
        digits[i + 1] += digits[i] >> DIGIT_BITS;
        digits[i] &= DIGIT_MASK;
    }
}

/* The highest 96 bits, and whether there are more below: enough to round to 53. */
static double to_double(const int64_t digits[SUM_DIGITS])
{
    __extension__ typedef unsigned __int128 wide;
    int highest = SUM_DIGITS - 1, shift = 0;
    bool more = false;
    wide top = 0;

    while (highest > 2 && digits[highest] == 0)
        highest--;
    int lowest = highest - 2;
    for (int i = highest; i >= lowest; i--)
        top = (top << DIGIT_BITS) + (uint64_t)digits[i];
    for (int i = 0; i < lowest; i++)
        more = more || digits[i];
    for (; top >> 64; shift++) {
        more = more || top & 1;
        top >>= 1;
    }
    return ldexp((double)((uint64_t)top | more), shift + lowest * DIGIT_BITS - LOWEST_BIT);
}

double sketch_sum(const struct sketch *s)
{
    int64_t digits[SUM_DIGITS] = {0};

    for (uint32_t i = 0; i < s->count; i++) {
        assert(s->entries[i].key >= 0 && s->entries[i].key < SUM_DIGITS);
        digits[s->entries[i].key] = s->entries[i].value;
    }
    carry_all(digits);
    bool negative = digits[SUM_DIGITS - 1] < 0;
    for (int i = 0; negative && i < SUM_DIGITS; i++)
        digits[i] = -digits[i];
    if (negative)
        carry_all(digits);
    return negative ? -to_double(digits) : to_double(digits);
}

/* ---- quantiles ---- */

static int32_t bucket_of(double value)
{
    double magnitude = fabs(value);
    uint64_t bits;

    if (magnitude == 0)
        return 0;
    memcpy(&bits, &magnitude, sizeof bits);
    int32_t bucket = (int32_t)(bits >> BUCKET_SHIFT) + 1;
    return value < 0 ? -bucket : bucket;
}

/* The middle of a bucket. */
static double bucket_value(int32_t bucket)
{
    uint64_t bits = ((uint64_t)(bucket < 0 ? -bucket : bucket) - 1) << BUCKET_SHIFT;
    uint64_t next = bits + (1ull << BUCKET_SHIFT);
    double low, high;

    if (!bucket)
        return 0;
    memcpy(&low, &bits, sizeof low);
    memcpy(&high, &next, sizeof high);
    double middle = isfinite(high) ? low + (high - low) / 2 : low;
    return bucket < 0 ? -middle : middle;
}

double sketch_quantile(const struct sketch *s, double q)
{
    uint64_t total = 0, seen = 0;

    for (uint32_t i = 0; i < s->count; i++)
        total += (uint64_t)s->entries[i].value;
    uint64_t rank = total ? (uint64_t)(q * (double)(total - 1)) : 0;
    for (uint32_t i = 0; i < s->count; i++) {
        seen += (uint64_t)s->entries[i].value;
        if (seen > rank)
            return bucket_value(s->entries[i].key);
    }
    return s->count ? bucket_value(s->entries[s->count - 1].key) : 0;
}

/* ---- distinct ---- */

enum st sketch_add_hash(struct sketch *s, uint64_t hash)
{
    int32_t index = (int32_t)(hash >> (64 - REGISTER_BITS));
    uint64_t rest = hash << REGISTER_BITS | 1ull << (REGISTER_BITS - 1);
    int64_t rank = __builtin_clzll(rest) + 1;
    int64_t *value = at(s, index);

    if (!value)
        return no_memory();
    if (*value < rank)
        *value = rank;
    return ST_OK;
}

uint64_t sketch_distinct(const struct sketch *s)
{
    const double m = 1 << REGISTER_BITS;
    double zeroes = m - s->count, sum = zeroes;

    for (uint32_t i = 0; i < s->count; i++)
        sum += ldexp(1, -(int)s->entries[i].value);
    double estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    if (estimate <= 2.5 * m && zeroes > 0)
        estimate = m * log(m / zeroes);
    return (uint64_t)(estimate + 0.5);
}

/* ---- all ---- */

enum st sketch_add_double(struct sketch *s, double value)
{
    if (s->kind == SKETCH_SUM)
        return add_to_sum(s, value);
    int64_t *count = at(s, bucket_of(value));
    if (!count)
        return no_memory();
    ++*count;
    return ST_OK;
}

enum st sketch_merge(struct sketch *into, const struct sketch *from)
{
    enum st st = ST_OK;

    for (uint32_t i = 0; i < from->count; i++) {
        int64_t *value = at(into, from->entries[i].key);
        if (!value)
            return no_memory();
        if (into->kind != SKETCH_DISTINCT)
            *value += from->entries[i].value;
        else if (*value < from->entries[i].value)
            *value = from->entries[i].value;
    }
    if (into->kind == SKETCH_SUM) {
        into->uncarried += from->uncarried + 1;
        st = carry(into);
    }
    return st;
}

static void add_varint(struct buf *out, int64_t signed_value)
{
    uint64_t value = ((uint64_t)signed_value << 1) ^ (uint64_t)(signed_value >> 63);

    for (; value > 0x7f; value >>= 7)
        buf_addch(out, (char)(value | 0x80));
    buf_addch(out, (char)value);
}

void sketch_encode(struct buf *out, struct sketch *s)
{
    int32_t key = 0;

    if (s->kind == SKETCH_SUM && carry(s)) {
        out->status = ST_NOMEM;
        return;
    }
    for (unsigned i = 0; i < sizeof s->count; i++)
        buf_addch(out, (char)(s->count >> (8 * i)));
    for (uint32_t i = 0; i < s->count; i++) {
        add_varint(out, (int64_t)s->entries[i].key - key);
        add_varint(out, s->entries[i].value);
        key = s->entries[i].key;
    }
}

struct reader {
    const unsigned char *p, *end;
    bool failed;
};

static int64_t read_varint(struct reader *in)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in->p == in->end)
            break;
        unsigned char byte = *in->p++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        in->failed = in->failed || (byte == 0 && shift > 0);
        return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    }
    in->failed = true;
    return 0;
}

/* Only the highest digit of a sum may be negative, and then it is -1 and not redundant. */
static bool is_canonical(const struct sketch *s)
{
    for (uint32_t i = 0; s->kind == SKETCH_SUM && i < s->count; i++) {
        int64_t value = s->entries[i].value;
        bool last = i + 1 == s->count;
        if (value == 0 || (value < 0 && !last))
            return false;
        if (value < 0 && i > 0 && s->entries[i - 1].value == DIGIT_MASK &&
            s->entries[i - 1].key == s->entries[i].key - 1)
            return false;
    }
    return true;
}

enum st sketch_decode(struct sketch **out, size_t *used, enum sketch_kind kind, const void *bytes,
                      size_t len)
{
    struct reader in = {bytes, (const unsigned char *)bytes + len, false};
    uint32_t count = 0;
    int64_t key = 0;

    *out = NULL;
    for (unsigned i = 0; i < sizeof count; i++)
        if (in.p < in.end)
            count |= (uint32_t)*in.p++ << (8 * i);
        else
            in.failed = true;
    struct sketch *s = sketch_new(kind);
    if (!s)
        return no_memory();
    if (count > (size_t)(in.end - in.p) / 2)
        in.failed = true;
    if (!in.failed && count && !(s->entries = malloc(count * sizeof *s->entries))) {
        sketch_free(s);
        return no_memory();
    }
    s->capacity = in.failed ? 0 : count;
    for (uint32_t i = 0; !in.failed && i < count; i++) {
        int64_t step = read_varint(&in), value = read_varint(&in);
        if (step < -(1 << 20) || step > 1 << 20 || (i && step < 1))
            in.failed = true;
        key += in.failed ? 0 : step;
        if (key < LIMITS[kind].min_key || key > LIMITS[kind].max_key ||
            value < LIMITS[kind].min_value || value > LIMITS[kind].max_value)
            in.failed = true;
        s->entries[s->count++] = (struct entry){(int32_t)key, value};
    }
    if (in.failed || !is_canonical(s)) {
        sketch_free(s);
        return st_fail(ST_CORRUPT, "CELL_DAMAGED", "a stored sketch does not decode");
    }
    *used = (size_t)(in.p - (const unsigned char *)bytes);
    *out = s;
    return ST_OK;
}
