#include "base/json.h"

#include "base/fs.h"
#include "base/number.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

/* A parser of JSON (RFC 8259) that builds jansson's values. It takes the place of jansson's own,
 * which (2.14) does not survive a failed allocation: when its text buffer cannot grow it drops the
 * character and goes on, to another name, past the end of a string or into an assertion.
 *
 * A function that takes something leaves the reader behind it. One that fails returns NULL or
 * false; `wrong` says then what is wrong at `at`, or is NULL: there was no memory. */

struct reader {
    const char *text, *at, *end;
    const char *wrong;
    unsigned depth, depth_max;
    bool wide; /* integers of more than 64 bits are reals */
};

/* A string of the text: borrowed from it, or from `unescaped`. */
struct string {
    const char *bytes;
    size_t len;
    struct buf unescaped;
};

static bool refuse(struct reader *r, const char *what)
{
    r->wrong = what;
    return false;
}

static bool refuse_syntax(struct reader *r)
{
    return refuse(r, r->at == r->end ? "it ends too early" : "the syntax is wrong");
}

/* The next byte that is not white space; '\0': the end, or a NUL, which nothing begins with. */
static char peek(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reader *r, char c)
{
    if (peek(r) != c)
        return false;
    r->at++;
    return true;
}

/* ---- strings ---- */

static bool take_hex(uint32_t *out, struct reader *r)
{
    static const char DIGITS[] = "0123456789abcdef0123456789ABCDEF";

    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        const char *digit = r->at < r->end ? memchr(DIGITS, *r->at, sizeof DIGITS - 1) : NULL;
        if (!digit)
            return refuse_syntax(r);
        *out = *out << 4 | ((uint32_t)(digit - DIGITS) & 15);
    }
    return true;
}

/* What follows `\u`: four digits, or a surrogate pair. U+0000 is refused: C ends strings there. */
static bool take_character(struct buf *out, struct reader *r)
{
    uint32_t c, low;
    char bytes[4];

    if (!take_hex(&c, r))
        return false;
    if (c >= 0xD800 && c < 0xDC00) {
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
            return refuse_syntax(r);
        r->at += 2;
        if (!take_hex(&low, r))
            return false;
        if (low < 0xDC00 || low > 0xDFFF)
            return refuse_syntax(r);
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    } else if (c == 0 || (c >= 0xDC00 && c <= 0xDFFF)) {
        return refuse_syntax(r);
    }
    buf_add(out, bytes, utf8_encode(bytes, c));
    return true;
}

static bool take_escape(struct buf *out, struct reader *r)
{
    static const char NAMES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";

    r->at++; /* the backslash */
    const char *name = r->at < r->end ? memchr(NAMES, *r->at, sizeof NAMES - 1) : NULL;
    if (r->at < r->end && *r->at == 'u') {
        r->at++;
        return take_character(out, r);
    }
    if (!name)
        return refuse_syntax(r);
    buf_addch(out, MEANT[name - NAMES]);
    r->at++;
    return true;
}

/* Bytes up to a quote or a backslash. */
static bool take_plain(const char **start, struct reader *r)
{
    unsigned char all = 0;

    *start = r->at;
    for (; r->at < r->end && *r->at != '"' && *r->at != '\\'; r->at++) {
        if ((unsigned char)*r->at < 0x20)
            return refuse_syntax(r);
        all |= (unsigned char)*r->at;
    }
    if (r->at == r->end)
        return refuse_syntax(r);
    if (all < 0x80 || utf8_is_valid(*start, (size_t)(r->at - *start)))
        return true;
    return refuse(r, "it is not valid UTF-8");
}

/* On failure, too, out->unescaped is the caller's to release. */
static bool take_string(struct string *out, struct reader *r)
{
    buf_init(&out->unescaped, SIZE_MAX / 2);
    if (!take(r, '"'))
        return refuse_syntax(r);
    if (!take_plain(&out->bytes, r))
        return false;
    out->len = (size_t)(r->at - out->bytes);
    if (*r->at == '\\')
        buf_add(&out->unescaped, out->bytes, out->len);
    while (*r->at == '\\') {
        const char *start;
        if (!take_escape(&out->unescaped, r) || !take_plain(&start, r))
            return false;
        buf_add(&out->unescaped, start, (size_t)(r->at - start));
        out->bytes = out->unescaped.data;
        out->len = out->unescaped.len;
    }
    r->at++;
    return !out->unescaped.status;
}

static json_t *take_text(struct reader *r)
{
    struct string s;
    json_t *value = take_string(&s, r) ? json_stringn_nocheck(s.bytes, s.len) : NULL;

    buf_release(&s.unescaped);
    return value;
}

/* ---- numbers ---- */

static bool take_digits(struct reader *r)
{
    const char *start = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > start || refuse_syntax(r);
}

/* False: it has more than 64 bits. */
static bool read_integer(int64_t *out, const char *at, const char *end)
{
    bool negative = *at == '-';

    *out = 0;
    for (at += negative; at < end; at++) {
        int digit = *at - '0';
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, negative ? -digit : digit, out))
            return false;
    }
    return true;
}

static json_t *read_real(struct reader *r, const char *start)
{
    struct buf text;
    json_t *value = NULL;

    buf_init(&text, SIZE_MAX / 2);
    buf_add(&text, start, (size_t)(r->at - start));
    if (!text.status) {
        double number = number_read(text.data, NULL);
        if (isfinite(number))
            value = json_real(number);
        else
            r->wrong = "a number is out of range";
    }
    buf_release(&text);
    return value;
}

static json_t *take_number(struct reader *r)
{
    const char *start = r->at;
    bool real = false;
    int64_t integer;

    r->at += *r->at == '-';
    if (r->at < r->end && *r->at == '0')
        r->at++;
    else if (!take_digits(r))
        return NULL;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        real = true;
        if (!take_digits(r))
            return NULL;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        real = true;
        r->at += r->at < r->end && (*r->at == '+' || *r->at == '-');
        if (!take_digits(r))
            return NULL;
    }
    if (!real && read_integer(&integer, start, r->at))
        return json_integer(integer);
    if (real || r->wide)
        return read_real(r, start);
    r->wrong = "a number is out of range";
    return NULL;
}

/* ---- values ---- */

static json_t *take_value(struct reader *r);

static bool take_member(json_t *object, struct reader *r)
{
    struct string name;
    bool taken = take_string(&name, r);

    if (taken && json_object_getn(object, name.bytes, name.len))
        taken = refuse(r, "a name is there twice");
    if (taken && !take(r, ':'))
        taken = refuse_syntax(r);
    json_t *value = taken ? take_value(r) : NULL;
    taken = value && json_object_setn_new_nocheck(object, name.bytes, name.len, value) == 0;
    buf_release(&name.unescaped);
    return taken;
}

static bool take_element(json_t *array, struct reader *r)
{
    json_t *value = take_value(r);

    return value && json_array_append_new(array, value) == 0;
}

/* From its first bracket to `close`; `value` is empty and this function's. */
static json_t *take_all(json_t *value, struct reader *r, char close,
                        bool (*take_one)(json_t *, struct reader *))
{
    r->at++;
    if (!value || take(r, close))
        return value;
    bool taken;
    do
        taken = take_one(value, r);
    while (taken && take(r, ','));
    if (taken && !take(r, close))
        taken = refuse_syntax(r);
    if (taken)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *take_nested(struct reader *r)
{
    if (r->depth == r->depth_max) {
        r->wrong = "it is nested too deeply";
        return NULL;
    }
    r->depth++;
    json_t *value = *r->at == '{' ? take_all(json_object(), r, '}', take_member)
                                  : take_all(json_array(), r, ']', take_element);
    r->depth--;
    return value;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    return true;
}

static json_t *take_value(struct reader *r)
{
    char first = peek(r);

    if (first == '{' || first == '[')
        return take_nested(r);
    if (first == '"')
        return take_text(r);
    if (first == '-' || (first >= '0' && first <= '9'))
        return take_number(r);
    if (take_word(r, "true"))
        return json_true();
    if (take_word(r, "false"))
        return json_false();
    if (take_word(r, "null"))
        return json_null();
    (void)refuse_syntax(r);
    return NULL;
}

/* Never quotes the text. Columns are characters. */
static enum st fail(const struct reader *r)
{
    size_t line = 1, column = 1;

    if (!r->wrong)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (const char *at = r->text; at < r->at; at++) {
        column += ((unsigned char)*at & 0xC0) != 0x80;
        if (*at == '\n') {
            line++;
            column = 1;
        }
    }
    return st_place(st_fail(ST_INVALID, "INVALID_JSON",
                            "not valid JSON: %s at line %zu, column %zu", r->wrong, line, column),
                    "line %zu, column %zu", line, column);
}

static enum st parse(json_t **out, struct reader *r)
{
    *out = take_value(r);
    if (*out && (peek(r) || r->at < r->end)) {
        (void)refuse(r, "text follows its end");
        json_decref(*out);
        *out = NULL;
    }
    return *out ? ST_OK : fail(r);
}

enum st jx_parse_object(json_t **out, const char *text, size_t len)
{
    struct reader r = {.text = text, .at = text, .end = text + len, .depth_max = JX_DEPTH_MAX};
    enum st st = parse(out, &r);

    if (st || json_is_object(*out))
        return st;
    json_decref(*out);
    *out = NULL;
    return st_place(st_fail(ST_INVALID, "INVALID_JSON", "not a JSON object"), "line 1, column 1");
}

enum st jx_parse_wide(json_t **out, const char *text, size_t len)
{
    struct reader r = {
        .text = text, .at = text, .end = text + len, .depth_max = JX_WIDE_DEPTH_MAX, .wide = true};

    return parse(out, &r);
}

enum st jx_parse_file(json_t **out, const char *path, size_t max_bytes)
{
    struct buf text;

    *out = NULL;
    buf_init(&text, max_bytes);
    enum st st = fs_read(&text, path);
    if (!st) {
        st = jx_parse_object(out, text.data ? text.data : "", text.len);
        if (st)
            st = st_wrap(st, "%s", path);
    }
    buf_release(&text);
    return st;
}
