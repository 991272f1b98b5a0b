#include "ingest/ndjson.h"

#include "base/utf8.h"

#include <string.h>

static bool stop(struct record_reader *r, enum record_fault fault, size_t column)
{
    if (!r->fault) {
        r->fault = fault;
        r->column = column;
    }
    return false;
}

static void skip_space(struct record_reader *r, const char *end)
{
    while (r->at < end && ndjson_is_blank(*r->at))
        r->at++;
}

static bool take(struct record_reader *r, const char *end, char c)
{
    skip_space(r, end);
    if (r->at == end || *r->at != c)
        return stop(r, RECORD_JSON, 0);
    r->at++;
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits behind \u. */
static bool take_unit(uint32_t *out, struct record_reader *r, const char *end)
{
    *out = 0;
    for (unsigned i = 0; i < 4; i++, r->at++) {
        int digit = r->at < end ? hex(*r->at) : -1;
        if (digit < 0)
            return stop(r, RECORD_JSON, 0);
        *out = *out << 4 | (uint32_t)digit;
    }
    return true;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* Behind the backslash. */
static bool take_escape(char **to, struct record_reader *r, const char *end)
{
    static const char from[] = "\"\\/bfnrt", becomes[] = "\"\\/\b\f\n\r\t";
    uint32_t c, low;
    char e = r->at < end ? *r->at++ : '\0';
    const char *found = e ? strchr(from, e) : NULL;
    if (found) {
        *(*to)++ = becomes[found - from];
        return true;
    }
    if (e != 'u')
        return stop(r, RECORD_JSON, 0);
    if (!take_unit(&c, r, end))
        return false;
    if (!c)
        return stop(r, RECORD_NUL, 0);
    if (c >= 0xd800 && c < 0xe000) {
        if (c >= 0xdc00 || end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
            return stop(r, RECORD_JSON, 0);
        r->at += 2;
        if (!take_unit(&low, r, end))
            return false;
        if (low < 0xdc00 || low >= 0xe000)
            return stop(r, RECORD_JSON, 0);
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *to = put_utf8(*to, c);
    return true;
}

/* A string, from its first quote. It is never longer than it is written. */
static bool take_string(struct store_text *out, struct record_reader *r, const char *end)
{
    char *copy = r->scratch + r->scratch_len, *to = NULL;
    if (!take(r, end, '"'))
        return false;
    const char *begin = r->at;
    for (;;) {
        if (r->at == end || (unsigned char)*r->at < 0x20)
            return stop(r, RECORD_JSON, 0);
        char c = *r->at++;
        if (c == '"')
            break;
        if (c == '\\') {
            if (!to) {
                size_t len = (size_t)(r->at - 1 - begin);
                memcpy(copy, begin, len);
                to = copy + len;
            }
            if (!take_escape(&to, r, end))
                return false;
        } else if (to) {
            *to++ = c;
        }
    }
    *out = to ? (struct store_text){copy, (size_t)(to - copy)}
              : (struct store_text){begin, (size_t)(r->at - 1 - begin)};
    if (to)
        r->scratch_len += out->len;
    return true;
}

static size_t digits(struct record_reader *r, const char *end)
{
    const char *begin = r->at;
    while (r->at < end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (size_t)(r->at - begin);
}

static bool take_number(struct record_reader *r, const char *end)
{
    if (*r->at == '-')
        r->at++;
    bool zero = r->at < end && *r->at == '0';
    size_t whole = digits(r, end);
    bool good = zero ? whole == 1 : whole > 0;
    if (good && r->at < end && *r->at == '.') {
        r->at++;
        good = digits(r, end) > 0;
    }
    if (good && r->at < end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        good = digits(r, end) > 0;
    }
    return good || stop(r, RECORD_JSON, 0);
}

static bool take_word(struct record_reader *r, const char *end, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(end - r->at) < len || memcmp(r->at, word, len) != 0)
        return stop(r, RECORD_JSON, 0);
    r->at += len;
    return true;
}

static bool pass_value(struct record_reader *r, const char *end, unsigned depth);

/* An object or a list; its texts are only looked at. */
static bool pass_nested(struct record_reader *r, const char *end, unsigned depth)
{
    bool object = *r->at == '{';
    char last = object ? '}' : ']';
    struct store_text name;
    r->at++;
    skip_space(r, end);
    if (r->at < end && *r->at == last) {
        r->at++;
        return true;
    }
    if (depth == NDJSON_DEPTH_MAX)
        return stop(r, RECORD_JSON, 0);
    for (;;) {
        size_t scratch_len = r->scratch_len;
        if (object && (!take_string(&name, r, end) || !take(r, end, ':')))
            return false;
        r->scratch_len = scratch_len;
        if (!pass_value(r, end, depth + 1))
            return false;
        skip_space(r, end);
        if (r->at == end || *r->at != ',')
            return take(r, end, last);
        r->at++;
    }
}

static bool pass_value(struct record_reader *r, const char *end, unsigned depth)
{
    struct store_text text;
    size_t scratch_len = r->scratch_len;
    skip_space(r, end);
    if (r->at == end)
        return stop(r, RECORD_JSON, 0);
    switch (*r->at) {
    case '"':
        if (!take_string(&text, r, end))
            return false;
        r->scratch_len = scratch_len;
        return true;
    case '{':
    case '[':
        return pass_nested(r, end, depth);
    case 't':
        return take_word(r, end, "true");
    case 'f':
        return take_word(r, end, "false");
    case 'n':
        return take_word(r, end, "null");
    default:
        return take_number(r, end);
    }
}

/* As a JSON string, what is written from `begin` on. */
static void put_text(struct record_reader *r, const char *begin, size_t len)
{
    char *to = r->scratch + r->scratch_len;
    *to++ = '"';
    for (size_t i = 0; i < len; i++) {
        char c = begin[i];
        if (c == '"' || c == '\\' || c == '\t' || c == '\r') /* a blank, of a list or an object */
            *to++ = '\\';
        *to++ = c == '\t' ? 't' : c == '\r' ? 'r' : c;
    }
    *to++ = '"';
    r->scratch_len = (size_t)(to - r->scratch);
}

static void put_raw(struct record_reader *r, const char *begin, size_t len)
{
    memcpy(r->scratch + r->scratch_len, begin, len);
    r->scratch_len += len;
}

/* A list, with all elements but null as strings: who reads a number as such may take it for a
 * DOUBLE, which 12345678901234567.89 is not. It is never longer than twice what is written: of
 * `len` bytes and a comma an element becomes three more, or, with brackets, not all of which can be
 * quotes, 2 * len + 1. */
static bool take_list(struct store_text *out, struct record_reader *r, const char *end)
{
    const size_t from = r->scratch_len;
    r->at++;
    put_raw(r, "[", 1);
    skip_space(r, end);
    bool more = r->at == end || *r->at != ']';
    while (more) {
        skip_space(r, end);
        const char *begin = r->at;
        if (!pass_value(r, end, 1))
            return false;
        size_t len = (size_t)(r->at - begin);
        if (*begin == '"' || *begin == 'n')
            put_raw(r, begin, len);
        else
            put_text(r, begin, len);
        skip_space(r, end);
        more = r->at < end && *r->at == ',';
        if (more)
            put_raw(r, r->at++, 1);
    }
    if (!take(r, end, ']'))
        return false;
    put_raw(r, "]", 1);
    *out = (struct store_text){r->scratch + from, r->scratch_len - from};
    return true;
}

/* A value of a declared column: a string by what it says, others as they are written. */
static bool take_value(struct store_text *out, struct record_reader *r, const char *end)
{
    skip_space(r, end);
    const char *begin = r->at;
    if (begin < end && *begin == '"')
        return take_string(out, r, end);
    if (!pass_value(r, end, 0))
        return false;
    *out = (struct store_text){begin, (size_t)(r->at - begin)};
    if (*begin == 'n')
        *out = (struct store_text){NULL, 0};
    return true;
}

/* The declared column of this name, or r->columns. Members mostly come in the declared order. */
static size_t find_column(const struct record_reader *r, struct store_text name, size_t guess)
{
    for (size_t n = 0; n < r->columns; n++) {
        size_t i = (guess + n) % r->columns;
        const char *column = r->source->columns[i].name;
        if (!strncmp(column, name.bytes, name.len) && !column[name.len])
            return i;
    }
    return r->columns;
}

static bool take_member(size_t *guess, struct record_reader *r, const char *end)
{
    struct store_text name;
    size_t scratch_len = r->scratch_len;
    if (!take_string(&name, r, end))
        return false;
    size_t i =
        name.len < sizeof r->source->columns->name ? find_column(r, name, *guess) : r->columns;
    r->scratch_len = scratch_len;
    if (!take(r, end, ':'))
        return false;
    if (i == r->columns) {
        if (r->source->columns_complete)
            return stop(r, RECORD_MEMBER, 0);
        return pass_value(r, end, 0);
    }
    if (r->seen[i])
        return stop(r, RECORD_DUPLICATE, i + 1);
    r->seen[i] = true;
    *guess = i + 1;
    skip_space(r, end);
    struct store_text *f = &r->fields[i];
    bool list = r->shapes[i] == RECORD_LIST, is_list = r->at < end && *r->at == '[';
    if (!(list && is_list ? take_list(f, r, end) : take_value(f, r, end)))
        return false;
    if (f->bytes && (list ? !is_list : !record_has_shape(r->shapes[i], f->bytes, f->len)))
        return stop(r, RECORD_CAST, i + 1);
    return true;
}

static bool take_object(struct record_reader *r, const char *end)
{
    size_t guess = 0;
    skip_space(r, end);
    if (*r->at != '{') {
        bool is_value = pass_value(r, end, 0);
        skip_space(r, end);
        return stop(r, is_value && r->at == end ? RECORD_OBJECT : RECORD_JSON, 0);
    }
    r->at++;
    skip_space(r, end);
    if (r->at < end && *r->at == '}') {
        r->at++;
    } else {
        for (;;) {
            if (!take_member(&guess, r, end))
                return false;
            skip_space(r, end);
            if (r->at == end || *r->at != ',')
                break;
            r->at++;
        }
        if (!take(r, end, '}'))
            return false;
    }
    skip_space(r, end);
    return r->at == end || stop(r, RECORD_JSON, 0);
}

bool ndjson_split(struct record_reader *r)
{
    while (r->at < r->end) {
        const char *begin = r->at, *end = memchr(begin, '\n', (size_t)(r->end - begin));
        const char *next = end ? end + 1 : r->end;
        end = end ? end : r->end;
        r->line = r->next_line++;
        skip_space(r, end);
        if (r->at == end) {
            r->at = next;
            continue;
        }
        r->fault = RECORD_GOOD;
        r->column = 0;
        r->scratch_len = 0;
        memset(r->fields, 0, r->columns * sizeof *r->fields);
        memset(r->seen, 0, r->columns * sizeof *r->seen);
        if (!r->valid_utf8 && !utf8_is_valid(begin, (size_t)(end - begin)))
            (void)stop(r, RECORD_UTF8, 0);
        else
            (void)take_object(r, end);
        r->at = next;
        return true;
    }
    return false;
}
