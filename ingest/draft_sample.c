#include "ingest/draft_sample.h"

#include "base/clock.h"
#include "ingest/csv.h"
#include "ingest/duck.h"
#include "ingest/ndjson.h"
#include "ingest/reader.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_BYTES (4u << 20)
#define BIGINT_END 9223372036854775808.0

/* A type is a guess as long as no value speaks against it. */
enum { BOOLEAN = 1, BIGINT = 2, DOUBLE = 4, DATE = 8, ALL = 15 };

/* ---- types ---- */

static bool all_digits(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isdigit((unsigned char)bytes[i]))
            return false;
    return len > 0;
}

static bool is_date(const char *bytes, size_t len)
{
    int year;
    unsigned month, day;
    char copy[11] = "";

    memcpy(copy, bytes, len < 10 ? len : 10);
    return len == 10 && copy[4] == '-' && copy[7] == '-' && all_digits(copy, 4) &&
           all_digits(copy + 5, 2) && all_digits(copy + 8, 2) &&
           sscanf(copy, "%d-%u-%u", &year, &month, &day) == 3 && year > 0 &&
           clock_date_exists(year, month, day);
}

/* Which types a text could be of. Leading zeros are kept only by text. */
static unsigned types_of(const char *bytes, size_t len)
{
    char copy[40], *end;
    bool minus = len && *bytes == '-';
    const char *digits = bytes + minus;
    size_t count = len - minus;

    if ((len == 4 && !memcmp(bytes, "true", 4)) || (len == 5 && !memcmp(bytes, "false", 5)))
        return BOOLEAN;
    if (is_date(bytes, len))
        return DATE;
    if (!count || len >= sizeof copy || !isdigit((unsigned char)*digits) ||
        (count > 1 && digits[0] == '0' && digits[1] != '.'))
        return 0;
    if (all_digits(digits, count))
        return count <= 18 ? BIGINT | DOUBLE : 0;
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    (void)strtod(copy, &end);
    return *end || strpbrk(copy, "xXpPnN") ? 0 : DOUBLE;
}

static const char *type_name(unsigned types)
{
    return types == ALL      ? "VARCHAR" /* nothing was there */
           : types & BOOLEAN ? "BOOLEAN"
           : types & BIGINT  ? "BIGINT"
           : types & DOUBLE  ? "DOUBLE"
           : types & DATE    ? "DATE"
                             : "VARCHAR";
}

/* ---- samples ---- */

static enum st read_sample(struct draft_sample *s)
{
    struct reader *reader = NULL;
    size_t n = 1;
    enum st st = reader_open(&reader, s->file, NULL);

    s->bytes = malloc(SAMPLE_BYTES);
    if (!st && !s->bytes)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    while (!st && n && s->len < SAMPLE_BYTES) {
        st = reader_read(&n, reader, s->bytes + s->len, SAMPLE_BYTES - s->len);
        s->len += n;
    }
    s->whole = n == 0;
    reader_close(reader);
    return st;
}

/* UTF-8's byte order mark. */
static bool has_mark(const struct draft_sample *s)
{
    return s->len >= 3 && !memcmp(s->bytes, "\xef\xbb\xbf", 3);
}

/* The character of these that is most often in the first line. */
static char guess_delimiter(const struct draft_sample *s)
{
    const char *end = memchr(s->bytes, '\n', s->len), *candidates = ",;\t|";
    size_t len = end ? (size_t)(end - s->bytes) : s->len, most = 0;
    char best = ',';

    for (; *candidates; candidates++) {
        size_t count = 0;
        for (size_t i = 0; i < len; i++)
            count += s->bytes[i] == *candidates;
        if (count > most)
            best = *candidates;
        most = count > most ? count : most;
    }
    return best;
}

static enum st name_types(struct draft_sample *s, const struct csv_scan *scan,
                          const unsigned *types)
{
    for (size_t i = 0; i < scan->columns; i++)
        if (json_object_set_new(s->types, csv_scan_name(scan, i), json_string(type_name(types[i]))))
            return st_fail(ST_NOMEM, NULL, "out of memory");
    return ST_OK;
}

static enum st sample_csv(struct draft_sample *s)
{
    static const unsigned char any[CSV_COLUMNS_MAX];
    struct store_text *fields = calloc(CSV_COLUMNS_MAX, sizeof *fields);
    char *scratch = malloc(RECORD_SCRATCH_MAX);
    unsigned types[CSV_COLUMNS_MAX];
    struct csv_scan scan;

    csv_scan_init(&scan, s->file->label, &s->dialect);
    enum st st = fields && scratch ? csv_scan_feed(&scan, s->bytes, s->len)
                                   : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st && s->whole)
        st = csv_scan_finish(&scan);
    if (!st && !scan.columns)
        st = st_fail(ST_INVALID, "CSV_HEADER", "%s has no header line", s->file->label);
    struct record_reader r = {.columns = scan.columns,
                              .shapes = any,
                              .at = s->bytes + scan.body_offset,
                              .end = s->bytes + (s->whole ? s->len : scan.record_offset),
                              .fields = fields,
                              .scratch = scratch};
    for (size_t i = 0; i < CSV_COLUMNS_MAX; i++)
        types[i] = ALL;
    while (!st && csv_split(&r, &s->dialect))
        for (size_t i = 0; !r.fault && i < scan.columns; i++)
            if (fields[i].bytes)
                types[i] &= types_of(fields[i].bytes, fields[i].len);
    if (!st)
        st = name_types(s, &scan, types);
    csv_scan_release(&scan);
    free(fields);
    free(scratch);
    return st;
}

static const char *type_of_member(const json_t *value)
{
    const char *text = json_string_value(value);

    if (text)
        return types_of(text, strlen(text)) == DATE ? "DATE" : "VARCHAR";
    if (json_is_real(value)) /* or an integer that is none here */
        return fabs(json_real_value(value)) < BIGINT_END ? "DOUBLE" : "VARCHAR";
    return json_is_boolean(value) ? "BOOLEAN" : json_is_integer(value) ? "BIGINT" : "VARCHAR";
}

/* A member keeps its type as long as all of its values have it; integers may become DOUBLE. */
static enum st add_members(struct draft_sample *s, const json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *before = json_string_value(json_object_get(s->types, name));
        const char *type = type_of_member(value);
        if (json_is_null(value) || !*name || strlen(name) > 127)
            continue;
        if (before && strcmp(before, type) != 0)
            type = (!strcmp(before, "DOUBLE") && !strcmp(type, "BIGINT")) ||
                           (!strcmp(before, "BIGINT") && !strcmp(type, "DOUBLE"))
                       ? "DOUBLE"
                       : "VARCHAR";
        if (json_object_set_new(s->types, name, json_string(type)))
            return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    return ST_OK;
}

static bool is_blank(const char *at, const char *end)
{
    while (at < end && ndjson_is_blank(*at))
        at++;
    return at == end;
}

static enum st sample_ndjson(struct draft_sample *s)
{
    const char *at = s->bytes + (has_mark(s) ? 3 : 0), *end = s->bytes + s->len, *line_end;
    enum st st = ST_OK;

    for (uint64_t line = 1; !st && at < end; line++, at = line_end + 1) {
        json_t *object = NULL;
        line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end && !s->whole)
            break;
        line_end = line_end ? line_end : end;
        if (is_blank(at, line_end))
            continue;
        st = jx_parse_wide(&object, at, (size_t)(line_end - at));
        if (!st && !json_is_object(object))
            st = st_fail(ST_INVALID, "WRONG_TYPE", "the line is not a JSON object");
        if (st)
            st = st_place(st, "%s:%llu", s->file->label, (unsigned long long)line);
        else
            st = add_members(s, object);
        json_decref(object);
    }
    return st;
}

static enum st sample_parquet(struct draft_sample *s)
{
    char *files[] = {s->file->path};
    struct duck *d = NULL;
    struct duck_statement *columns = NULL;
    struct buf sql;
    enum st st = duck_open(&d, &(struct duck_options){.files = files, .file_count = 1});

    buf_init(&sql, 1u << 16);
    buf_addstr(&sql, "SELECT * FROM read_parquet(");
    duck_add_literal(&sql, s->file->path);
    buf_addch(&sql, ')');
    if (!st)
        st = buf_status(&sql);
    if (!st && duck_prepare(&columns, d, sql.data))
        st = st_place(
            st_fail(ST_INVALID, "PARQUET", "%s cannot be read as a Parquet file", s->file->label),
            "%s", s->file->label);
    for (size_t i = 0; !st && i < duck_statement_columns(columns); i++)
        if (json_object_set_new(s->types, duck_statement_name(columns, i),
                                json_string(duck_statement_type(columns, i))))
            st = st_fail(ST_NOMEM, NULL, "out of memory");
    duck_statement_free(columns);
    duck_close(d);
    buf_release(&sql);
    return st;
}

/* What it is by how it begins. */
static enum store_format guess_format(const struct draft_sample *s)
{
    size_t at = has_mark(s) ? 3 : 0;

    while (at < s->len && isspace((unsigned char)s->bytes[at]))
        at++;
    if (s->len >= 4 && !memcmp(s->bytes, "PAR1", 4))
        return STORE_PARQUET;
    return at < s->len && s->bytes[at] == '{' ? STORE_NDJSON : STORE_CSV;
}

enum st draft_sample_take(struct draft_sample *s, const struct task_file *file)
{
    *s = (struct draft_sample){
        .file = file, .types = json_object(), .dialect = {.quote = '"', .escape = '"'}};
    enum st st = read_sample(s);

    if (st)
        return st;
    s->format = guess_format(s);
    s->dialect.delimiter = guess_delimiter(s);
    st = s->format == STORE_PARQUET  ? sample_parquet(s)
         : s->format == STORE_NDJSON ? sample_ndjson(s)
                                     : sample_csv(s);
    if (!st && !json_object_size(s->types))
        st = st_fail(ST_INVALID, "EMPTY_SAMPLE", "%s has no columns", s->file->label);
    return st;
}

void draft_sample_release(struct draft_sample *s)
{
    json_decref(s->types);
    free(s->bytes);
}
