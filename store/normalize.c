#include "store/normalize.h"

#include "store/value.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define INPUT_MAX 1024
#define FOLDED_MAX (32 * INPUT_MAX) /* no character grows more than that; see the test */
#define ROUNDS_MAX 4                /* until nothing changes */

struct store_normalizer {
    const char *name;
    unsigned version;
    enum st (*apply)(struct buf *out, const char *text, size_t len);
};

static enum st reject(const char *why)
{
    return st_fail(ST_INVALID, "INVALID_KEY", "%s", why);
}

/* ---- exact ---- */

static enum st apply_exact(struct buf *out, const char *text, size_t len)
{
    buf_add(out, text, len);
    return ST_OK;
}

/* ---- person_name ---- */

static bool is_letter_or_digit(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
        return true;
    default:
        return false;
    }
}

/* Hyphens and apostrophes as people and their word processors type them. */
static utf8proc_int32_t plain_punctuation(utf8proc_int32_t c)
{
    switch (c) {
    case '`':
    case 0x00B4: /* acute accent */
    case 0x02B9: /* modifier prime */
    case 0x02BB: /* okina */
    case 0x02BC: /* modifier apostrophe */
    case 0x02BD:
    case 0x2018:
    case 0x2019:
    case 0x201B:
    case 0x2032: /* prime */
    case 0x2035:
    case 0x1FBD: /* the Greek look-alikes would fall apart into space and mark */
    case 0x1FBF:
    case 0x1FEF:
    case 0x1FFD:
    case 0x1FFE:
        return '\'';
    case 0x2010:
    case 0x2011:
    case 0x2012:
    case 0x2013:
    case 0x2014:
    case 0x2015:
    case 0x2043:
    case 0x2212:
        return '-';
    default:
        return c;
    }
}

static utf8proc_int32_t map_punctuation(utf8proc_int32_t c, void *ctx)
{
    (void)ctx;
    return plain_punctuation(c);
}

/* What a character of a name becomes: itself, a plain space, hyphen or apostrophe, or 0: dropped.
 */
static utf8proc_int32_t name_character(utf8proc_int32_t c)
{
    c = plain_punctuation(c);
    if (c == '\'' || c == '-')
        return c;
    if (c == '\t' || c == '\n' || c == '\r' || utf8proc_category(c) == UTF8PROC_CATEGORY_ZS)
        return ' ';
    return is_letter_or_digit(c) ? c : 0;
}

/* One pass over decomposed, case-folded text: keeps, maps, collapses spaces, trims. */
static void add_name(struct buf *out, const utf8proc_uint8_t *text, utf8proc_ssize_t len)
{
    size_t start = out->len;
    bool space = false;
    utf8proc_uint8_t encoded[4];

    for (utf8proc_ssize_t at = 0; at < len;) {
        utf8proc_int32_t c;
        at += utf8proc_iterate(text + at, len - at, &c);
        c = name_character(c);
        if (c == 0)
            continue;
        if (c == ' ') {
            space = out->len > start;
            continue;
        }
        if (space)
            buf_addch(out, ' ');
        space = false;
        buf_add(out, encoded, (size_t)utf8proc_encode_char(c, encoded));
    }
}

static bool is_plain_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

/* For ASCII the general way comes down to this, in the place of the result; the test compares. */
static void add_ascii_name(struct buf *out, const char *text, size_t len)
{
    char *to = buf_reserve(out, len), *start = to;
    bool space = false;

    for (size_t i = 0; to && i < len; i++) {
        char c = text[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            space = to > start;
            continue;
        }
        if (c == '`')
            c = '\'';
        else if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '\''))
            continue;
        if (space)
            *to++ = ' ';
        space = false;
        *to++ = c;
    }
    if (to) {
        *to = '\0';
        out->len += (size_t)(to - start);
    }
}

static enum st fold_name(struct buf *out, const char *text, size_t len)
{
    static const utf8proc_option_t OPTIONS = UTF8PROC_STABLE | UTF8PROC_COMPAT |
                                             UTF8PROC_DECOMPOSE | UTF8PROC_STRIPMARK |
                                             UTF8PROC_CASEFOLD;
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t n = utf8proc_map_custom((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len,
                                             &folded, OPTIONS, map_punctuation, NULL);

    if (n < 0) {
        free(folded);
        return n == UTF8PROC_ERROR_NOMEM ? st_fail(ST_NOMEM, NULL, "out of memory")
                                         : reject("is not valid UTF-8");
    }
    add_name(out, folded, n);
    free(folded);
    return ST_OK;
}

/* A normal form is its own normal form. With the tables of Unicode 15 one pass is enough (the test
 * looks at every character); another version's need not be that kind, so that it is repeated until
 * nothing changes. */
static enum st apply_person_name(struct buf *out, const char *text, size_t len)
{
    struct buf now, next;
    bool stable = false;
    enum st st;

    if (is_plain_ascii(text, len)) {
        add_ascii_name(out, text, len);
        return ST_OK;
    }
    buf_init(&now, FOLDED_MAX);
    buf_init(&next, FOLDED_MAX);
    st = fold_name(&now, text, len);
    for (int round = 0; !st && !stable; round++) {
        if (round == ROUNDS_MAX) {
            st = reject("has no normal form");
            break;
        }
        buf_reset(&next);
        st = fold_name(&next, now.data ? now.data : "", now.len);
        stable = next.len == now.len && (now.len == 0 || !memcmp(next.data, now.data, now.len));
        struct buf swap = now;
        now = next;
        next = swap;
        if (!st)
            st = buf_status(&now);
    }
    if (!st)
        buf_add(out, now.data, now.len);
    buf_release(&now);
    buf_release(&next);
    return st;
}

/* ---- date ---- */

static enum st apply_date(struct buf *out, const char *text, size_t len)
{
    int64_t days;

    if (!value_parse_date(&days, text, len))
        return reject("is not a date: YYYY-MM-DD expected");
    buf_add(out, text, len);
    return ST_OK;
}

/* ---- digits ---- */

static enum st apply_digits(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] >= '0' && text[i] <= '9')
            buf_addch(out, text[i]);
        else if (!memchr(" -./", text[i], 4))
            return reject("holds something other than digits, spaces, hyphens, dots and slashes");
    }
    return ST_OK;
}

static const struct store_normalizer NORMALIZERS[] = {
    {"exact", 1, apply_exact},
    {"person_name", 1, apply_person_name},
    {"date", 1, apply_date},
    {"digits", 1, apply_digits},
};

const struct store_normalizer *store_normalizer_find(const char *name)
{
    for (size_t i = 0; i < sizeof NORMALIZERS / sizeof NORMALIZERS[0]; i++)
        if (strcmp(NORMALIZERS[i].name, name) == 0)
            return &NORMALIZERS[i];
    return NULL;
}

const char *store_normalizer_name(const struct store_normalizer *n)
{
    return n->name;
}

unsigned store_normalizer_version(const struct store_normalizer *n)
{
    return n->version;
}

const char *store_normalizer_unicode(void)
{
    return utf8proc_unicode_version();
}

const char *store_normalizer_names(void)
{
    return "exact, person_name, date, digits";
}

enum st store_normalize(struct buf *out, const struct store_normalizer *n, const char *text,
                        size_t len)
{
    size_t before = out->len;
    enum st st = ST_OK;

    if (len > INPUT_MAX)
        return reject("is longer than 1024 bytes");
    if (!utf8_is_valid(text, len))
        return reject("is not valid UTF-8");
    st = n->apply(out, text, len);
    if (!st)
        st = buf_status(out);
    if (!st && out->len == before)
        st = reject("is empty");
    return st;
}
