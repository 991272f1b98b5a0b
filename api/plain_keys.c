#include "api/plain_keys.h"

#include "base/utf8.h"
#include "base/word.h"

#include <string.h>

/* What is accepted here is a part of what base/json.h accepts, and means the same: the fuzzer of
 * batches compares the two. */

struct reader {
    const char *at, *end;
};

static char next(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reader *r, char c)
{
    if (next(r) != c)
        return false;
    r->at++;
    return true;
}

/* The high bit of each byte that ends plain text; beyond the first such byte also of others. */
static uint64_t find_ends(uint64_t word)
{
    uint64_t quote = word ^ WORD_OF('"'), escape = word ^ WORD_OF('\\');

    return (((quote - WORD_OF(1u)) & ~quote) | ((escape - WORD_OF(1u)) & ~escape) |
            ((word - WORD_OF(0x20u)) & ~word)) &
           WORD_HIGH;
}

static bool take_string(struct reader *r, struct store_text *out)
{
    uint64_t ends = 0, all = 0;

    if (!take(r, '"'))
        return false;
    const char *start = r->at;
    for (; !ends && (size_t)(r->end - r->at) >= WORD_BYTES; r->at += WORD_BYTES) {
        uint64_t word = word_load(r->at);
        ends = find_ends(word);
        all |= ends ? word & (((ends & -ends) >> 7) - 1) : word;
    }
    if (ends)
        r->at -= WORD_BYTES - (size_t)__builtin_ctzll(ends) / 8;
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        if ((unsigned char)*r->at < 0x20 || *r->at == '\\')
            return false;
        all |= (unsigned char)*r->at;
    }
    if (r->at == r->end)
        return false;
    *out = (struct store_text){start, (size_t)(r->at++ - start)};
    return !(all & WORD_HIGH) || utf8_is_valid(out->bytes, out->len);
}

static bool is_text(const struct store_text *text, const char *wanted)
{
    return strlen(wanted) == text->len && memcmp(wanted, text->bytes, text->len) == 0;
}

/* `"name" :` */
static bool take_name(struct reader *r, const char *wanted)
{
    struct store_text name;

    return take_string(r, &name) && is_text(&name, wanted) && take(r, ':');
}

/* Which field `name` is; clients mostly send them in order, so that it is field `i`. */
static size_t find_field(const struct store_key_spec *spec, const struct store_text *name, size_t i)
{
    if (i < spec->field_count && is_text(name, spec->fields[i].name))
        return i;
    for (i = 0; i < spec->field_count && !is_text(name, spec->fields[i].name); i++)
        ;
    return i;
}

static bool take_key(struct reader *r, unsigned char key[STORE_KEY_BYTES],
                     struct store_hasher *hasher)
{
    const struct store_key_spec *spec = store_hasher_spec(hasher);
    struct store_text fields[STORE_KEY_FIELDS_MAX] = {0}, name;
    size_t count = 0;

    if (!take(r, '{'))
        return false;
    do {
        if (!take_string(r, &name) || !take(r, ':'))
            return false;
        size_t field = find_field(spec, &name, count);
        if (field == spec->field_count || fields[field].bytes || !take_string(r, &fields[field]))
            return false;
        count++;
    } while (take(r, ','));
    return take(r, '}') && count == spec->field_count &&
           store_hasher_sum(key, hasher, fields) == ST_OK;
}

static bool take_end(struct reader *r)
{
    return take(r, '}') && next(r) == '\0' && r->at == r->end;
}

bool api_plain_key(unsigned char key[STORE_KEY_BYTES], struct store_hasher *hasher,
                   const char *body, size_t body_len)
{
    struct reader r = {body, body + body_len};

    return take(&r, '{') && take_name(&r, "key") && take_key(&r, key, hasher) && take_end(&r);
}

bool api_plain_keys(struct buf *keys, size_t *count, struct store_hasher *hasher, const char *body,
                    size_t body_len, size_t max_keys)
{
    struct reader r = {body, body + body_len};
    unsigned char key[STORE_KEY_BYTES];

    *count = 0;
    if (!take(&r, '{') || !take_name(&r, "keys") || !take(&r, '['))
        return false;
    do {
        if (*count == max_keys || !take_key(&r, key, hasher))
            return false;
        buf_add(keys, key, sizeof key);
        ++*count;
    } while (take(&r, ','));
    return take(&r, ']') && take_end(&r) && !keys->status;
}
