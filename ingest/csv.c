/* A state machine over bytes. In each state most bytes mean nothing: a table says which do, and the
 * inner loop runs over the rest.
 *
 *   START -> PLAIN | SPACE | QUOTED     a field begins
 *   QUOTED -> CLOSED                    at a quote: its end, or the first of a doubled one
 *   any but QUOTED -> CR -> START       CR LF
 *
 * It is stricter than the readers it stands beside, so that both see the same records: text before
 * or after a quoted field, a lone CR and mixed line ends are refused, not guessed at. An empty line
 * is no record where records have several columns, and a record with a null where they have one.
 */
#include "ingest/csv.h"

#include <string.h>
#include <strings.h>

enum { START, PLAIN, SPACE, QUOTED, CLOSED, CR };

enum { COMMON, COMMA, QUOTE, LF, CARRIAGE, NUL, HIGH };
#define HIGH_4 HIGH, HIGH, HIGH, HIGH
#define HIGH_16 HIGH_4, HIGH_4, HIGH_4, HIGH_4
static const unsigned char kind[256] = {
    [0] = NUL,        [','] = COMMA, ['"'] = QUOTE, ['\n'] = LF, ['\r'] = CARRIAGE,
    [0x80] = HIGH_16, HIGH_16,       HIGH_16,       HIGH_16,     HIGH_16,
    HIGH_16,          HIGH_16,       HIGH_16,
};

void csv_scan_init(struct csv_scan *s, const char *file)
{
    *s = (struct csv_scan){.file = file, .line = 1, .record_line = 1};
    buf_init(&s->header, 256u << 10);
}

void csv_scan_release(struct csv_scan *s)
{
    buf_release(&s->header);
}

const char *csv_scan_name(const struct csv_scan *s, size_t i)
{
    const char *name = s->header.data;
    while (i--)
        name += strlen(name) + 1;
    return name;
}

static enum st bad(const struct csv_scan *s, uint64_t line, const char *code, const char *what)
{
    enum st st =
        st_fail(ST_INVALID, code, "%s line %llu: %s", s->file, (unsigned long long)line, what);
    return st_place(st, "%s:%llu", s->file, (unsigned long long)line);
}

static enum st bad_width(const struct csv_scan *s, uint64_t line, const char *code,
                         const char *what, size_t column)
{
    enum st st =
        st_fail(ST_INVALID, code, "%s line %llu has %s fields than the header, which has %zu",
                s->file, (unsigned long long)line, what, s->columns);
    return st_place(st, "%s:%llu:%zu", s->file, (unsigned long long)line, column);
}

static enum st finish_header(struct csv_scan *s)
{
    if (buf_status(&s->header))
        return bad(s, 1, "CSV_HEADER", "the header is too long");
    const char *name = s->header.data;
    for (size_t i = 0; i < s->fields; i++, name += strlen(name) + 1) {
        if (!*name)
            return st_place(bad(s, 1, "CSV_HEADER", "a column has no name"), "%s:1:%zu", s->file,
                            i + 1);
        const char *other = s->header.data;
        for (size_t j = 0; j < i; j++, other += strlen(other) + 1)
            if (!strcasecmp(name, other))
                return st_place(
                    bad(s, 1, "CSV_HEADER", "two columns have the same name (case does not count)"),
                    "%s:1:%zu", s->file, i + 1);
    }
    s->columns = s->fields;
    for (size_t i = 0; s->is_integer_fn && i < s->columns; i++)
        s->integers[i] = s->is_integer_fn(csv_scan_name(s, i), s->ctx);
    return ST_OK;
}

/* Does the field that is being read belong to a column of integers? */
static bool in_integer(const struct csv_scan *s)
{
    return s->columns && s->fields < s->columns && s->integers[s->fields];
}

/* 1.5, 1e3, 0x1F and 1_000 are integers to a reader that rounds and guesses. */
static enum st check_digit(const struct csv_scan *s, unsigned char c)
{
    if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == ' ')
        return ST_OK;
    const char *name = csv_scan_name(s, s->fields);
    enum st st =
        st_fail(ST_INVALID, "CSV_CAST", "%s line %llu: the column \"%s\" is not an integer",
                s->file, (unsigned long long)s->line, name);
    return st_place(st, "%s:%llu:%zu", s->file, (unsigned long long)s->line, s->fields + 1);
}

static enum st end_field(struct csv_scan *s)
{
    s->fields++;
    if (!s->columns) {
        buf_addch(&s->header, '\0');
        if (s->fields > CSV_COLUMNS_MAX)
            return bad(s, s->line, "CSV_HEADER", "the header has too many columns");
    } else if (s->fields > s->columns) {
        return bad_width(s, s->line, "CSV_LONG_ROW", "more", s->columns + 1);
    }
    return ST_OK;
}

static enum st end_record(struct csv_scan *s)
{
    bool empty = s->state == START && s->fields == 0;
    if (empty && s->columns != 1) {
        if (!s->columns)
            return bad(s, 1, "CSV_HEADER", "the first line is empty; it must name the columns");
        return ST_OK;
    }
    enum st st = end_field(s);
    if (st)
        return st;
    if (!s->columns) {
        st = finish_header(s);
    } else {
        if (s->fields < s->columns)
            return bad_width(s, s->record_line, "CSV_SHORT_ROW", "fewer", s->fields + 1);
        s->records++;
    }
    return st;
}

static enum st end_line(struct csv_scan *s, bool crlf)
{
    if (s->newline_known && crlf != s->crlf)
        return bad(s, s->line, "CSV_NEWLINE",
                   crlf ? "ends with CR LF, lines before end with LF"
                        : "ends with LF, lines before end with CR LF");
    s->newline_known = true;
    s->crlf = crlf;
    s->line++;
    s->record_line = s->line;
    s->record_offset = s->offset + 1;
    s->fields = 0;
    s->state = START;
    return ST_OK;
}

/* The line end is not part of the record. The bytes that the inner loop runs over change nothing
 * that is said here, so that it does not matter where a piece ends. */
static enum st check_length(const struct csv_scan *s)
{
    if (s->state == CR || s->offset - s->record_offset <= CSV_RECORD_MAX)
        return ST_OK;
    return bad(s, s->state == QUOTED ? s->quote_line : s->record_line, "CSV_RECORD_TOO_LONG",
               s->state == QUOTED ? "the quotes that begin here do not end within 1 MiB"
                                  : "the record is longer than 1 MiB");
}

/* RFC 3629: `c` continues or begins a character. */
static bool utf8_step(struct csv_scan *s, unsigned char c)
{
    if (s->utf8_left) {
        if (c < s->utf8_low || c > s->utf8_high)
            return false;
        s->utf8_left--;
        s->utf8_low = 0x80;
        s->utf8_high = 0xbf;
        return true;
    }
    s->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    s->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (c >= 0xc2 && c <= 0xdf)
        s->utf8_left = 1;
    else if (c >= 0xe0 && c <= 0xef)
        s->utf8_left = 2;
    else if (c >= 0xf0 && c <= 0xf4)
        s->utf8_left = 3;
    else
        return false;
    return true;
}

/* A byte that means something in this state. */
static enum st step(struct csv_scan *s, unsigned char c)
{
    unsigned char k = kind[c];
    enum st st;
    if (s->utf8_left || k == HIGH) {
        if (!utf8_step(s, c))
            return bad(s, s->line, "CSV_UTF8", "is not valid UTF-8");
    }
    if (k == NUL)
        return bad(s, s->line, "CSV_NUL", "contains a NUL byte");
    if (s->state == CR && k != LF)
        return bad(s, s->line, "CSV_NEWLINE", "a CR is not followed by LF");
    if (s->state == QUOTED) {
        if (k == QUOTE)
            s->state = CLOSED;
        else if (k == LF)
            s->line++;
        if (k != QUOTE && !s->columns)
            buf_addch(&s->header, (char)c);
        return k != QUOTE && in_integer(s) ? check_digit(s, c) : ST_OK;
    }
    switch (k) {
    case COMMA:
        st = end_field(s);
        s->state = START;
        return st;
    case CARRIAGE:
        /* The record ends here, while the state still says whether anything was in it. */
        st = end_record(s);
        s->state = CR;
        return st;
    case LF:
        if (s->state == CR)
            return end_line(s, true);
        st = end_record(s);
        return st ? st : end_line(s, false);
    case QUOTE:
        if (s->state == SPACE)
            return bad(s, s->line, "CSV_QUOTE", "there are spaces before a quoted field");
        if (s->state == START) {
            s->state = QUOTED;
            s->quote_line = s->line;
            return ST_OK;
        }
        if (s->state == CLOSED)
            s->state = QUOTED;
        break;
    default:
        if (s->state == CLOSED)
            return bad(s, s->line, "CSV_QUOTE", "there is text after a quoted field's end");
        if (s->state == START || s->state == SPACE)
            s->state = c == ' ' || c == '\t' ? SPACE : PLAIN;
    }
    if (!s->columns)
        buf_addch(&s->header, (char)c);
    return k == COMMON && in_integer(s) ? check_digit(s, c) : ST_OK;
}

enum st csv_scan_feed(struct csv_scan *s, const void *bytes, size_t len)
{
    static const unsigned char mark[3] = {0xef, 0xbb, 0xbf};
    const unsigned char *p = bytes, *end = p + len, *begin = p;
    uint64_t base = s->offset;
    enum st st = ST_OK;
    while (p < end && s->bom < 3 && base + (size_t)(p - begin) == s->bom && *p == mark[s->bom]) {
        s->bom++;
        p++;
    }
    if (p < end && s->bom > 0 && s->bom < 3 && base + (size_t)(p - begin) == s->bom) {
        /* Another character that begins like the mark. */
        for (unsigned i = 0; !st && i < s->bom; i++)
            st = step(s, mark[i]);
        s->bom = 0;
    }
    while (!st && p < end) {
        if (s->columns && !s->utf8_left && !in_integer(s)) {
            const unsigned char *from = p;
            if (s->state == PLAIN)
                while (p < end && kind[*p] == COMMON)
                    p++;
            else if (s->state == QUOTED)
                while (p < end && (kind[*p] == COMMON || *p == ',' || *p == '\r'))
                    p++;
            if (p != from)
                continue;
        }
        s->offset = base + (size_t)(p - begin);
        st = check_length(s);
        if (!st)
            st = step(s, *p++);
    }
    if (st)
        return st;
    s->offset = base + len;
    return check_length(s);
}

enum st csv_scan_finish(struct csv_scan *s)
{
    if (s->state == QUOTED)
        return bad(s, s->quote_line, "CSV_QUOTE",
                   "the file ends inside the quotes that begin here");
    if (s->utf8_left || (s->bom && s->bom < 3))
        return bad(s, s->line, "CSV_UTF8", "is not valid UTF-8");
    if (s->state == CR)
        return bad(s, s->line, "CSV_NEWLINE", "a CR is not followed by LF");
    if (s->state == START && s->fields == 0) {
        if (s->columns)
            return ST_OK;
        return bad(s, 1, "CSV_HEADER", "the file is empty; its first line must name the columns");
    }
    return end_record(s);
}
