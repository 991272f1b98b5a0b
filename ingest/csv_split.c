/* The scan let the records pass: quotes are where they may be, and every record is whole. */
#include "ingest/csv.h"

#include "base/utf8.h"
#include "base/word.h"

#include <string.h>

struct field {
    const char *bytes;
    size_t len;
};

/* From behind the opening quote to behind the closing one. What is escaped goes to the scratch. */
static struct field quoted(struct record_reader *r, const struct store_dialect *d)
{
    const char *begin = ++r->at;
    char *copy = r->scratch + r->scratch_len, *to = NULL;
    for (;; r->at++) {
        char c = *r->at;
        bool more = r->at + 1 < r->end;
        if (c == d->escape && more && (d->escape != d->quote || r->at[1] == d->quote)) {
            if (!to) {
                memcpy(copy, begin, (size_t)(r->at - begin));
                to = copy + (r->at - begin);
            }
            c = *++r->at;
        } else if (c == d->quote) {
            break;
        }
        r->next_line += c == '\n';
        if (to)
            *to++ = c;
    }
    struct field f = {to ? copy : begin, (size_t)(to ? to - copy : r->at - begin)};
    if (to)
        r->scratch_len += f.len;
    r->at++;
    return f;
}

/* Where the field ends that goes on at `at`, of which nothing is known. */
static const char *find_end(struct record_reader *r, const char *at, char delimiter)
{
    for (; r->end - at >= (ptrdiff_t)WORD_WINDOW_BYTES; at += WORD_WINDOW_BYTES) {
        r->window = at;
        r->marks = word_marks(at, delimiter, '\n', '\r');
        if (r->marks)
            return at + __builtin_ctzll(r->marks);
    }
    return word_find(at, r->end, delimiter, '\n', '\r', '\r');
}

/* Most end in the window in which those before them ended: none waits for where the other did. */
static struct field plain(struct record_reader *r, char delimiter)
{
    const char *begin = r->at;
    size_t at = r->window ? (size_t)(begin - r->window) : WORD_WINDOW_BYTES;
    uint64_t marks = at < WORD_WINDOW_BYTES ? r->marks >> at : 0;
    if (marks)
        r->at = begin + __builtin_ctzll(marks);
    else if (at < WORD_WINDOW_BYTES)
        r->at = find_end(r, r->window + WORD_WINDOW_BYTES, delimiter);
    else
        r->at = find_end(r, begin, delimiter);
    return (struct field){begin, (size_t)(r->at - begin)};
}

static void fault(struct record_reader *r, enum record_fault why, size_t column)
{
    if (r->fault)
        return;
    r->fault = why;
    r->column = column;
}

/* The file's i-th field. */
static void put(struct record_reader *r, const struct store_dialect *d, size_t null_len, size_t i,
                struct field f)
{
    size_t at = r->order ? r->order[i] : i;
    bool null = f.len == null_len && !memcmp(f.bytes, d->null_text, null_len);
    r->fields[at] = (struct store_text){null ? NULL : f.bytes, f.len};
    if (!r->valid_utf8 && !utf8_is_valid(f.bytes, f.len))
        fault(r, RECORD_UTF8, i + 1);
    else if (!null && !record_has_shape(r->shapes[at], f.bytes, f.len))
        fault(r, RECORD_CAST, i + 1);
}

/* Past a line end; false where there is none. */
static bool take_line_end(struct record_reader *r)
{
    if (r->at < r->end && *r->at == '\r')
        r->at++;
    if (r->at == r->end || *r->at != '\n')
        return false;
    r->at++;
    r->next_line++;
    return true;
}

bool csv_split(struct record_reader *r, const struct store_dialect *dialect)
{
    size_t n = 0, null_len = strlen(dialect->null_text);
    while (r->columns != 1 && take_line_end(r))
        ; /* empty */
    if (r->at == r->end)
        return false;
    r->line = r->next_line;
    r->fault = RECORD_GOOD;
    r->column = 0;
    r->scratch_len = 0;
    for (;; r->at++) {
        bool in_quotes = dialect->quote && r->at < r->end && *r->at == dialect->quote;
        struct field f = in_quotes ? quoted(r, dialect) : plain(r, dialect->delimiter);
        if (n < r->columns)
            put(r, dialect, null_len, n, f);
        n++;
        if (r->at == r->end || *r->at != dialect->delimiter)
            break;
    }
    (void)take_line_end(r);
    if (n != r->columns) {
        r->fault = n < r->columns ? RECORD_SHORT : RECORD_LONG;
        r->column = n < r->columns ? n + 1 : r->columns + 1;
    }
    return true;
}
