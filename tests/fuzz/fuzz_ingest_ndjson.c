/* Lines of JSON from nobody. The first byte says how the rest is cut up, and its highest bit
 * whether the source says that its columns are complete; however it is cut, the lines are as many
 * as are split. A line is taken if jansson takes it for an object, and then with the same values;
 * but for nesting and numbers out of range, where the two have other limits. */
#include "base/utf8.h"
#include "ingest/ndjson.h"
#include "store/definition.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct store_column columns[COLUMNS] = {
    {"id", "VARCHAR"}, {"n", "INTEGER"}, {"tags", "VARCHAR[]"}, {"sum", "DECIMAL(9,2)"}};
static const unsigned char shapes[COLUMNS] = {RECORD_ANY, RECORD_INTEGER, RECORD_LIST,
                                              RECORD_DECIMAL + 2};

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
static void scan(struct ndjson_scan *out, const char *text, size_t len, uint32_t seed)
{
    ndjson_scan_init(out, "f.ndjson");
    for (size_t at = 0; at < len;) {
        size_t piece = seed ? next_piece(&seed) : len;
        if (piece > len - at)
            piece = len - at;
        char *copy = malloc(piece ? piece : 1);
        require(copy != NULL);
        memcpy(copy, text + at, piece);
        require(ndjson_scan_feed(out, copy, piece) == ST_OK);
        free(copy);
        at += piece;
    }
    ndjson_scan_finish(out);
}

static json_t *load(struct store_text text, json_error_t *error)
{
    return json_loadb(text.bytes, text.len, JSON_DECODE_ANY, error);
}

/* A string by what it says, another value as it is written. */
static void check_value(struct store_text text, const json_t *wanted)
{
    if (json_is_string(wanted)) {
        require(text.len == json_string_length(wanted) &&
                memcmp(text.bytes, json_string_value(wanted), text.len) == 0);
        return;
    }
    json_error_t error;
    json_t *value = load(text, &error);
    require(value && json_equal(value, wanted));
    json_decref(value);
}

/* Its elements, each as a string or null. */
static void check_list(struct store_text text, const json_t *wanted)
{
    json_error_t error;
    json_t *list = load(text, &error);
    require(json_is_array(list) && json_array_size(list) == json_array_size(wanted));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *is = json_array_get(list, i), *was = json_array_get(wanted, i);
        require(json_is_null(is) ? json_is_null(was) : json_is_string(is) && !json_is_null(was));
        if (json_is_string(is))
            check_value((struct store_text){json_string_value(is), json_string_length(is)}, was);
    }
    json_decref(list);
}

static void check_taken(const struct record_reader *r, const json_t *object)
{
    require(json_is_object(object));
    for (size_t i = 0; i < COLUMNS; i++) {
        const json_t *wanted = json_object_get(object, columns[i].name);
        require(!r->fields[i].bytes == (!wanted || json_is_null(wanted)));
        if (!r->fields[i].bytes)
            continue;
        require(utf8_is_valid(r->fields[i].bytes, r->fields[i].len));
        if (shapes[i] == RECORD_LIST)
            check_list(r->fields[i], wanted);
        else
            check_value(r->fields[i], wanted);
    }
}

static bool is_deep(const char *text, size_t len)
{
    size_t opened = 0;
    for (size_t i = 0; i < len; i++)
        opened += text[i] == '[' || text[i] == '{';
    return opened > NDJSON_DEPTH_MAX;
}

/* The line that was just read, and what another parser says of it. */
static void check_line(const struct record_reader *r, const char *line, size_t len)
{
    json_error_t error = {0};
    json_t *value = load((struct store_text){line, len}, &error);
    bool overflow = !value && json_error_code(&error) == json_error_numeric_overflow;

    require(r->fault < RECORD_FAULTS && r->fault != RECORD_SHORT && r->fault != RECORD_LONG);
    require((r->column > 0) == (r->fault == RECORD_CAST || r->fault == RECORD_DUPLICATE));
    require(r->column <= COLUMNS);
    require((r->fault == RECORD_UTF8) == !utf8_is_valid(line, len));
    if (r->fault == RECORD_GOOD && !overflow)
        check_taken(r, value);
    if (r->fault == RECORD_OBJECT)
        require(overflow || (value && !json_is_object(value)));
    if (r->fault == RECORD_JSON)
        require(!value || is_deep(line, len) || memchr(line, '\0', len));
    json_decref(value);
}

static uint64_t check_split(const struct ndjson_scan *s, const char *text, size_t len,
                            bool complete)
{
    struct store_source source = {.columns = (struct store_column *)(uintptr_t)columns,
                                  .column_count = COLUMNS,
                                  .columns_complete = complete};
    size_t body = len - (size_t)s->body_offset;
    char *copy = malloc(body ? body : 1), *scratch = malloc(2 * body + 1);
    struct store_text fields[COLUMNS];
    bool seen[COLUMNS];
    struct record_reader r = {.source = &source,
                              .columns = COLUMNS,
                              .shapes = shapes,
                              .at = copy,
                              .end = copy + body,
                              .next_line = 1,
                              .fields = fields,
                              .seen = seen,
                              .scratch = scratch};
    uint64_t records = 0, line = 1;
    const char *begin = copy;

    require(copy && scratch);
    memcpy(copy, text + s->body_offset, body);
    for (; ndjson_split(&r); records++) {
        for (; line < r.line; line++)
            begin = (const char *)memchr(begin, '\n', (size_t)(r.at - begin)) + 1;
        size_t line_len = (size_t)(r.at - begin);
        check_line(&r, begin, line_len - (line_len && begin[line_len - 1] == '\n'));
        require(r.fault != RECORD_MEMBER || complete);
    }
    free(copy);
    free(scratch);
    return records;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ndjson_scan whole, cut;

    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    scan(&whole, text, size - 1, 0);
    scan(&cut, text, size - 1, data[0] + 1u);
    require(whole.records == cut.records && whole.body_offset == cut.body_offset);
    require(check_split(&whole, text, size - 1, data[0] & 0x80) == whole.records);
    return 0;
}
