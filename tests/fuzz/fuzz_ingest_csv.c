/* CSV files from nobody. The first byte says how the rest is cut up, and its highest bit whether in
 * a dialect of its own; however that is, the scanner sees the same records and columns, or the same
 * fault at the same place. What it takes has no NUL and as many records as the splitter makes of
 * it, and as a reader finds that goes from field to field. */
#include "base/utf8.h"
#include "ingest/csv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct store_dialect standard = {.delimiter = ',', .quote = '"', .escape = '"'};
static const struct store_dialect other = {
    .delimiter = ';', .quote = '\'', .escape = '\\', .null_text = "-"};

struct outcome {
    struct csv_scan scan;
    struct st_report report;
};

static void require(bool held)
{
    if (!held)
        abort();
}

/* Length of the next piece: of a row of them that depends on the seed alone, some empty. */
static size_t next_piece(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 16) % 8;
}

/* Whole (seed 0), or in pieces, each in memory of its own size: a read beyond it is seen. */
static void scan(struct outcome *out, const char *text, size_t len, uint32_t seed,
                 const struct store_dialect *dialect)
{
    size_t at = 0;
    enum st st = ST_OK;

    csv_scan_init(&out->scan, "f.csv", dialect);
    while (!st && at < len) {
        size_t piece = seed ? next_piece(&seed) : len;
        if (piece > len - at)
            piece = len - at;
        char *copy = malloc(piece ? piece : 1);
        require(copy != NULL);
        memcpy(copy, text + at, piece);
        st = csv_scan_feed(&out->scan, copy, piece);
        free(copy);
        at += piece;
    }
    if (!st)
        st = csv_scan_finish(&out->scan);
    st_save(&out->report, st);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    require(a->report.status == b->report.status);
    if (a->report.status) {
        require(strcmp(a->report.code, b->report.code) == 0);
        require(strcmp(a->report.place, b->report.place) == 0);
        require(strcmp(a->report.message, b->report.message) == 0);
    }
    require(a->scan.records == b->scan.records && a->scan.columns == b->scan.columns);
    require(a->scan.crlf == b->scan.crlf && a->scan.body_offset == b->scan.body_offset);
    for (size_t i = 0; i < a->scan.columns; i++)
        require(strcmp(csv_scan_name(&a->scan, i), csv_scan_name(&b->scan, i)) == 0);
}

static void check_fault(const struct outcome *o, const char *text, size_t len)
{
    static const char *const CODES[] = {"CSV_QUOTE", "CSV_NEWLINE", "CSV_NUL",
                                        "CSV_UTF8",  "CSV_HEADER",  "CSV_RECORD_TOO_LONG"};
    size_t i = 0;

    while (i < 6 && strcmp(CODES[i], o->report.code) != 0)
        i++;
    require(i < 6 && o->report.status == ST_INVALID);
    require(strncmp(o->report.place, "f.csv:", 6) == 0);
    if (strcmp(o->report.code, "CSV_UTF8") == 0)
        require(!utf8_is_valid(text, len));
    if (strcmp(o->report.code, "CSV_NUL") == 0)
        require(memchr(text, '\0', len) != NULL);
}

/* The end of the field that begins here: at a comma, a line end or the end of the text. */
static const char *skip_field(const char *p, const char *end)
{
    if (p == end || *p != '"') {
        while (p < end && *p != ',' && *p != '\n' && *p != '\r')
            p++;
        return p;
    }
    for (p++; p < end; p++) {
        if (*p != '"')
            continue;
        if (p + 1 == end || p[1] != '"')
            return p + 1;
        p++;
    }
    return end;
}

/* Records of a text that was taken, its header among them. */
static uint64_t count_records(const char *p, const char *end, size_t columns)
{
    uint64_t records = 0;

    while (p < end) {
        size_t fields = 1;
        bool empty = *p == '\n' || *p == '\r';
        for (p = skip_field(p, end); p < end && *p == ','; fields++)
            p = skip_field(p + 1, end);
        records += !empty || columns == 1;
        p += p < end && *p == '\r';
        require(p == end || *p == '\n');
        p += p < end;
    }
    return records;
}

static void check_split(const struct csv_scan *s, const char *text, size_t len)
{
    static const unsigned char shapes[CSV_COLUMNS_MAX] = {RECORD_INTEGER, RECORD_DECIMAL + 2,
                                                          RECORD_UTC, RECORD_OFFSET};
    static struct store_text fields[CSV_COLUMNS_MAX];
    size_t body = len - (size_t)s->body_offset;
    char *copy = malloc(body ? body : 1), *scratch = malloc(RECORD_MAX);
    struct record_reader r = {.columns = s->columns,
                              .shapes = shapes,
                              .at = copy,
                              .end = copy + body,
                              .next_line = 1,
                              .fields = fields,
                              .scratch = scratch};
    uint64_t records = 0;

    require(copy && scratch);
    memcpy(copy, text + s->body_offset, body);
    for (; csv_split(&r, s->dialect); records++) {
        require(r.line < r.next_line || r.at == r.end);
        require(r.fault != RECORD_SHORT || (r.column >= 2 && r.column <= s->columns));
        require(r.fault != RECORD_LONG || r.column == s->columns + 1);
        for (size_t i = 0; !r.fault && i < s->columns; i++)
            require(!fields[i].bytes || utf8_is_valid(fields[i].bytes, fields[i].len));
    }
    require(records == s->records);
    free(copy);
    free(scratch);
}

static void check_taken(const struct outcome *o, const char *text, size_t len)
{
    const struct csv_scan *s = &o->scan;
    bool marked = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;

    require(memchr(text, '\0', len) == NULL);
    require(s->columns >= 1 && s->columns <= CSV_COLUMNS_MAX);
    for (size_t i = 0; i < s->columns; i++)
        require(csv_scan_name(s, i)[0] != '\0');
    check_split(s, text, len);
    if (s->dialect == &standard)
        require(count_records(text + (marked ? 3 : 0), text + len, s->columns) == s->records + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, cut;

    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    const struct store_dialect *dialect = data[0] & 0x80 ? &other : &standard;
    scan(&whole, text, size - 1, 0, dialect);
    scan(&cut, text, size - 1, data[0] + 1u, dialect);
    check_same(&whole, &cut);
    if (whole.report.status)
        check_fault(&whole, text, size - 1);
    else
        check_taken(&whole, text, size - 1);
    csv_scan_release(&whole.scan);
    csv_scan_release(&cut.scan);
    return 0;
}
