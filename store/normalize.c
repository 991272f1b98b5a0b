#include "store/normalize.h"

#include "base/word.h"
#include "store/value.h"

#include <pthread.h>
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

/* The bytes are looked at when something is wrong with the text, or nothing else looks at each. */
static enum st check_utf8(const char *text, size_t len)
{
    return utf8_is_valid(text, len) ? ST_OK : reject("is not valid UTF-8");
}

static enum st refuse(const char *text, size_t len, const char *why)
{
    enum st st = check_utf8(text, len);

    return st ? st : reject(why);
}

/* ---- exact ---- */

static enum st apply_exact(struct buf *out, const char *text, size_t len)
{
    enum st st = check_utf8(text, len);

    if (st)
        return st;
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
    return buf_status(out);
}

/* A normal form is its own normal form. With the tables of Unicode 15 one pass is enough (the test
 * looks at every character); another version's need not be that kind, so that it is repeated until
 * nothing changes. */
static enum st add_any_name(struct buf *out, const char *text, size_t len)
{
    struct buf now, next;
    bool stable = false;
    enum st st;

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
    }
    if (!st)
        buf_add(out, now.data, now.len);
    buf_release(&now);
    buf_release(&next);
    return st;
}

/* What becomes of the characters that most names are made of: of ASCII, and of the letters from
 * U+00C0 to U+017F, which are two bytes and become no more. They are looked at one by one, so that
 * what the general way makes of each is what it makes of them in a name. */
#define ACCENTED_LEAD 0xC3 /* of the first; the last has ACCENTED_LEAD + 2 */

static bool have_forms;       /* else the general way: there was no memory to make them */
static char ascii_forms[128]; /* 0: dropped */
static struct form {
    unsigned char len; /* 0: the general way */
    char bytes[2];
} accented_forms[3][64];

static void make_forms(void)
{
    struct buf form;

    buf_init(&form, FOLDED_MAX);
    have_forms = true;
    for (int c = 0; c < 128; c++) {
        char text = (char)c;
        buf_reset(&form);
        if (name_character(c) == ' ')
            ascii_forms[c] = ' ';
        else if (add_any_name(&form, &text, 1) || form.status)
            have_forms = false;
        else if (form.len)
            ascii_forms[c] = form.data[0];
    }
    for (int lead = 0; lead < 3; lead++)
        for (int c = 0; c < 64; c++) {
            const char text[2] = {(char)(ACCENTED_LEAD + lead), (char)(0x80 + c)};
            struct form *f = &accented_forms[lead][c];
            buf_reset(&form);
            if (add_any_name(&form, text, 2) || form.status || form.len > sizeof f->bytes)
                continue;
            f->len = (unsigned char)form.len;
            if (form.len)
                memcpy(f->bytes, form.data, form.len);
        }
    buf_release(&form);
}

/* False, and nothing added, where there are other characters. */
static bool add_usual_name(struct buf *out, const char *text, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char *start = buf_reserve(out, len), *to = start, last = ' ';

    if (!start)
        return true;
    pthread_once(&once, make_forms);
    if (!have_forms) {
        *start = '\0';
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x80) {
            char form = ascii_forms[c];
            bool keep = form && (form != ' ' || last != ' ');
            *to = form;
            to += keep;
            last = keep ? form : last;
            continue;
        }
        const struct form *f = c >= ACCENTED_LEAD && c < ACCENTED_LEAD + 3
                                   ? &accented_forms[c - ACCENTED_LEAD][text[++i] & 0x3f]
                                   : NULL;
        if (!f || !f->len) {
            *start = '\0';
            return false;
        }
        memcpy(to, f->bytes, sizeof f->bytes);
        to += f->len;
        last = to[-1];
    }
    to -= to > start && last == ' ';
    *to = '\0';
    out->len += (size_t)(to - start);
    return true;
}

/* False, and nothing added, unless it is made of the letters of ASCII: most names. */
static bool add_plain_name(struct buf *out, const char *text, size_t len)
{
    char *to = buf_reserve(out, len + WORD_BYTES);

    if (!to)
        return true;
    for (size_t at = 0; at < len; at += WORD_BYTES) {
        size_t n = len - at;
        uint64_t word = n >= WORD_BYTES ? word_load(text + at)
                                        : word_load_part(text + at, n) | WORD_OF('a') << 8 * n;
        uint64_t lower = word | WORD_OF(0x20u);
        uint64_t letters = (lower + WORD_OF(0x80u - 'a')) & ~(lower + WORD_OF(0x7fu - 'z'));
        if ((letters & ~word & WORD_HIGH) != WORD_HIGH) {
            out->data[out->len] = '\0';
            return false;
        }
        word_store(to + at, lower);
    }
    out->len += len;
    out->data[out->len] = '\0';
    return true;
}

static enum st apply_person_name(struct buf *out, const char *text, size_t len)
{
    if (add_plain_name(out, text, len))
        return ST_OK;
    enum st st = check_utf8(text, len);
    if (st)
        return st;
    return add_usual_name(out, text, len) ? ST_OK : add_any_name(out, text, len);
}

/* ---- date ---- */

static enum st apply_date(struct buf *out, const char *text, size_t len)
{
    int year;
    unsigned month, day;

    if (!value_parse_civil(&year, &month, &day, text, len))
        return refuse(text, len, "is not a date: YYYY-MM-DD expected");
    buf_add(out, text, len);
    return ST_OK;
}

/* ---- digits ---- */

static enum st apply_digits(struct buf *out, const char *text, size_t len)
{
    size_t plain = 0;

    while (plain < len && text[plain] >= '0' && text[plain] <= '9')
        plain++;
    buf_add(out, text, plain);
    for (size_t i = plain; i < len; i++) {
        if (text[i] >= '0' && text[i] <= '9')
            buf_addch(out, text[i]);
        else if (!memchr(" -./", text[i], 4))
            return refuse(text, len,
                          "holds something other than digits, spaces, hyphens, dots and slashes");
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
    st = n->apply(out, text, len);
    if (!st)
        st = buf_status(out);
    if (!st && out->len == before)
        st = reject("is empty");
    return st;
}
