/* A state machine over bytes. In each state most bytes mean nothing: a table says which do, and the
 * inner loop runs over the rest.
 *
 *   START -> PLAIN | SPACE | QUOTED     a field begins
 *   QUOTED -> CLOSED                    at a quote: its end, or the first of a doubled one
 *   QUOTED -> ESCAPED -> QUOTED         where another character escapes
 *   any but QUOTED -> CR -> START       CR LF
 *
 * Text before or after a quoted field, a lone CR and mixed line ends are refused, not guessed at:
 * after any of them nobody knows where records begin. An empty line is no record where records have
 * several columns, and a record with an empty field where they have one.
 */
#include "ingest/csv.h"

#include "base/utf8.h"
#include "base/word.h"

#include <string.h>
#include <strings.h>

enum { START, PLAIN, SPACE, QUOTED, ESCAPED, CLOSED, CR };

enum { COMMON, DELIMITER, QUOTE, ESCAPE, LF, CARRIAGE, NUL };

void csv_scan_init(struct csv_scan *s, const char *file, const struct store_dialect *dialect)
{
    *s = (struct csv_scan){.file = file, .dialect = dialect, .line = 1, .record_line = 1};
    s->kinds['\n'] = LF;
    s->kinds['\r'] = CARRIAGE;
    s->kinds[(unsigned char)dialect->delimiter] = DELIMITER;
    s->kinds[(unsigned char)dialect->escape] = ESCAPE;
    s->kinds[(unsigned char)dialect->quote] = QUOTE;
    s->kinds[0] = NUL; /* also without a quote or an escape */
    buf_init(&s->header, 256u << 10);
    s->columns = dialect->name_count;
    s->body_known = s->columns > 0;
}

void csv_scan_release(struct csv_scan *s)
{
    buf_release(&s->header);
}

const char *csv_scan_name(const struct csv_scan *s, size_t i)
{
    if (s->dialect->name_count)
        return s->dialect->names[i];
    const char *name = s->header.data;
    while (i--)
        name += strlen(name) + 1;
    return name;
}

/* How it is mended. */
static const char *const hints[][2] = {
    {"CSV_HEADER", "the first line names every column once; for files without such a line the "
                   "source says \"header\": false and \"names\""},
    {"CSV_NEWLINE", "end all lines in the same way: dos2unix or unix2dos does it"},
    {"CSV_NUL", "is it UTF-16? convert it: iconv -f UTF-16 -t UTF-8"},
    {"CSV_QUOTE",
     "quotes begin and end a field; within them they are escaped as the source's "
     "\"escape\" says, by default doubled; files without quoting have \"quote\": \"\""},
    {"CSV_RECORD_TOO_LONG", "is there a quote before it that is not closed?"},
    {"CSV_UTF8", "convert the file: iconv -f ENCODING -t UTF-8"},
};

static enum st bad(const struct csv_scan *s, uint64_t line, const char *code, const char *what)
{
    enum st st =
        st_fail(ST_INVALID, code, "%s line %llu: %s", s->file, (unsigned long long)line, what);
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (!strcmp(hints[i][0], code))
            st = st_hint(st, "%s", hints[i][1]);
    return st_place(st, "%s:%llu", s->file, (unsigned long long)line);
}

static enum st finish_header(struct csv_scan *s)
{
    enum st st = buf_status(&s->header);
    if (st)
        return st == ST_NOMEM ? st : bad(s, 1, "CSV_HEADER", "the header is too long");
    if (!utf8_is_valid(s->header.data, s->header.len))
        return bad(s, 1, "CSV_UTF8", "is not valid UTF-8");
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
    return ST_OK;
}

static enum st end_field(struct csv_scan *s)
{
    s->fields++;
    if (s->columns)
        return ST_OK;
    buf_addch(&s->header, '\0');
    return s->fields > CSV_COLUMNS_MAX
               ? st_hint(bad(s, s->line, "CSV_HEADER", "the header has more than 1,024 columns"),
                         "leave out what the definition does not use, or use Parquet")
               : ST_OK;
}

static enum st end_record(struct csv_scan *s)
{
    bool empty = s->state == START && s->fields == 0;
    if (empty && s->columns != 1) {
        if (!s->columns)
            return bad(s, 1, "CSV_HEADER", "the first line is empty; it must name the columns");
        return ST_OK;
    }
    bool header = !s->columns;
    enum st st = end_field(s);
    if (!st && header)
        return finish_header(s);
    s->records++;
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
    if (!s->body_known)
        s->body_offset = s->record_offset;
    s->body_known = true;
    s->fields = 0;
    s->state = START;
    return ST_OK;
}

/* The line end is not part of the record. The bytes that the inner loop runs over change nothing
 * that is said here, so that it does not matter where a piece ends. */
static enum st check_length(const struct csv_scan *s)
{
    if (s->state == CR || s->offset - s->record_offset <= RECORD_MAX)
        return ST_OK;
    return bad(s, s->state == QUOTED ? s->quote_line : s->record_line, "CSV_RECORD_TOO_LONG",
               s->state == QUOTED ? "the quotes that begin here do not end within 1 MiB"
                                  : "the record is longer than 1 MiB");
}

static enum st step_quoted(struct csv_scan *s, unsigned char c)
{
    unsigned char k = s->kinds[c];
    if (k == LF)
        s->line++;
    if (s->state == ESCAPED)
        s->state = QUOTED;
    else if (k == QUOTE)
        s->state = CLOSED;
    else if (k == ESCAPE)
        s->state = ESCAPED;
    if (s->state == QUOTED && !s->columns)
        buf_addch(&s->header, (char)c);
    return ST_OK;
}

/* A byte that means something in this state. */
static enum st step(struct csv_scan *s, unsigned char c)
{
    unsigned char k = s->kinds[c];
    enum st st;
    if (k == NUL)
        return bad(s, s->line, "CSV_NUL", "contains a NUL byte");
    if (s->state == CR && k != LF)
        return bad(s, s->line, "CSV_NEWLINE", "a CR is not followed by LF");
    if (s->state == QUOTED || s->state == ESCAPED)
        return step_quoted(s, c);
    switch (k) {
    case DELIMITER:
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
        if (s->state == CLOSED && s->dialect->escape == s->dialect->quote) {
            s->state = QUOTED;
            break;
        }
        /* fall through */
    default:
        if (s->state == CLOSED)
            return bad(s, s->line, "CSV_QUOTE", "there is text after a quoted field's end");
        if (s->state == START || s->state == SPACE)
            s->state = c == ' ' || c == '\t' ? SPACE : PLAIN;
    }
    if (!s->columns)
        buf_addch(&s->header, (char)c);
    return ST_OK;
}

/* Past what means nothing in this state. */
static const unsigned char *skip(const struct csv_scan *s, const unsigned char *p,
                                 const unsigned char *end)
{
    const unsigned char *kinds = s->kinds;
    if (s->state == PLAIN)
        while (p < end && (kinds[*p] == COMMON || kinds[*p] == ESCAPE))
            p++;
    else if (s->state == QUOTED)
        while (p < end && (kinds[*p] == COMMON || kinds[*p] == DELIMITER || kinds[*p] == CARRIAGE))
            p++;
    return p;
}

/* NULL: the line has something else that means something, or does not end. */
static const unsigned char *find_line_end(const struct csv_scan *s, const unsigned char *p,
                                          const unsigned char *end)
{
    p = (const unsigned char *)word_find((const char *)p, (const char *)end, '\n', '\r', '\0',
                                         s->dialect->quote);
    if (s->crlf)
        return end - p >= 2 && p[0] == '\r' && p[1] == '\n' ? p + 1 : NULL;
    return p < end && *p == '\n' ? p : NULL;
}

/* Past the lines that begin here, end like those before them and have neither a quote nor another
 * byte that means something: most lines of most files. Where a field begins does not matter in
 * them. What is not like that is left where it begins. */
static const unsigned char *skip_lines(struct csv_scan *s, const unsigned char *p,
                                       const unsigned char *end)
{
    const unsigned char *begin = p;
    while (p < end) {
        const unsigned char *lf = find_line_end(s, p, end);
        if (!lf || (size_t)(lf - p) - s->crlf > RECORD_MAX)
            break;
        s->records += lf - p > s->crlf || s->columns == 1;
        s->line++;
        p = lf + 1;
    }
    s->record_line = s->line;
    s->record_offset += (size_t)(p - begin);
    return p;
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
    if (s->bom == 3 && !s->record_offset)
        s->record_offset = s->body_offset = 3;
    if (p < end && s->bom > 0 && s->bom < 3 && base + (size_t)(p - begin) == s->bom) {
        /* Another character that begins like the mark. */
        for (unsigned i = 0; !st && i < s->bom; i++)
            st = step(s, mark[i]);
        s->bom = 0;
    }
    while (!st && p < end) {
        if (s->state == START && s->fields == 0 && s->newline_known)
            p = skip_lines(s, p, end);
        if (s->columns)
            p = skip(s, p, end);
        if (p == end)
            break;
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
    if (s->state == QUOTED || s->state == ESCAPED)
        return bad(s, s->quote_line, "CSV_QUOTE",
                   "the file ends inside the quotes that begin here");
    if (s->bom && s->bom < 3)
        return bad(s, s->line, "CSV_UTF8", "is not valid UTF-8");
    if (s->state == CR)
        return bad(s, s->line, "CSV_NEWLINE", "a CR is not followed by LF");
    if (s->state == START && s->fields == 0) {
        if (s->columns)
            return ST_OK;
        return bad(s, 1, "CSV_HEADER", "the file is empty; its first line must name the columns");
    }
    if (!s->body_known)
        s->body_offset = s->offset;
    return end_record(s);
}
