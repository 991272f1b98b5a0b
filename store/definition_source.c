#include "store/definition_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const formats[] = {
    [STORE_CSV] = "csv", [STORE_PARQUET] = "parquet", [STORE_NDJSON] = "ndjson"};

/* ---- the dialect of a CSV file ---- */

/* A member that is one character, as the delimiter is; "" is 0 where there may be none. */
static enum st parse_character(char *out, const json_t *source, const char *pointer,
                               const char *member, char preset, bool optional)
{
    const char standard[] = {preset, '\0'}, *text;
    char place[DEFINITION_POINTER_SIZE];

    if (jx_string(&text, source, pointer, member, standard))
        return definition_adopt(pointer);
    definition_pointer(place, pointer, member);
    if (!*text && !optional)
        return definition_fail(place, "one character is expected");
    if (*text && (text[1] || (unsigned char)*text >= 0x80 || strchr("\r\n", *text)))
        return definition_fail(place, "one character of ASCII is expected, and no line end");
    *out = *text;
    return ST_OK;
}

static enum st check_characters(const struct store_dialect *d, const json_t *source,
                                const char *pointer)
{
    char place[DEFINITION_POINTER_SIZE];

    if (d->delimiter == d->quote || d->delimiter == d->escape)
        return definition_fail(definition_pointer(place, pointer, "delimiter"),
                               "it is the quote or the escape, too");
    if (!d->quote && json_string_value(json_object_get(source, "escape")))
        return definition_fail(definition_pointer(place, pointer, "escape"),
                               "there is nothing to escape without quotes");
    return ST_OK;
}

static enum st parse_names(struct store_dialect *d, const json_t *names, const char *pointer)
{
    char base[DEFINITION_POINTER_SIZE], place[DEFINITION_POINTER_SIZE + 24];
    json_t *item;
    size_t i;

    definition_pointer(base, pointer, "names");
    if (json_array_size(names) > STORE_COLUMNS_MAX)
        return definition_fail(base, "more than %d columns", STORE_COLUMNS_MAX);
    d->names = calloc(json_array_size(names) + 1, sizeof *d->names);
    if (!d->names)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_array_foreach(names, i, item)
    {
        const char *name = json_string_value(item);

        snprintf(place, sizeof place, "%s/%zu", base, i);
        if (!name || !*name || strlen(name) >= sizeof *d->names)
            return definition_fail(place, "a column's name must have 1 to %zu bytes",
                                   sizeof *d->names - 1);
        if (i && definition_find(d->names[0], sizeof *d->names, i, name) < i)
            return definition_fail(place, "a column of this name is there already: upper and lower "
                                          "case are the same");
        snprintf(d->names[i], sizeof *d->names, "%s", name);
        d->name_count++;
    }
    return ST_OK;
}

static enum st parse_header(struct store_dialect *d, const json_t *source, const char *pointer)
{
    char place[DEFINITION_POINTER_SIZE];
    json_t *names;
    bool header;

    if (jx_boolean(&header, source, pointer, "header", true) ||
        jx_array(&names, source, pointer, "names"))
        return definition_adopt(pointer);
    definition_pointer(place, pointer, "names");
    if (header && names)
        return definition_fail(place, "the header line names the columns; \"names\" goes with "
                                      "\"header\": false");
    if (!header && json_array_size(names) == 0)
        return definition_fail(place, "a file without a header line needs the names of its "
                                      "columns, in their order");
    return header ? ST_OK : parse_names(d, names, pointer);
}

static enum st parse_dialect(struct store_dialect *d, const json_t *source, const char *pointer)
{
    char place[DEFINITION_POINTER_SIZE];
    const char *null_text;
    enum st st;

    if ((st = parse_character(&d->delimiter, source, pointer, "delimiter", ',', false)) ||
        (st = parse_character(&d->quote, source, pointer, "quote", '"', true)) ||
        (st = parse_character(&d->escape, source, pointer, "escape", d->quote, !d->quote)) ||
        (st = check_characters(d, source, pointer)))
        return st;
    if (jx_string(&null_text, source, pointer, "null", ""))
        return definition_adopt(pointer);
    if (strlen(null_text) >= sizeof d->null_text || strpbrk(null_text, "\r\n"))
        return definition_fail(definition_pointer(place, pointer, "null"),
                               "at most %zu bytes are expected, and no line end",
                               sizeof d->null_text - 1);
    snprintf(d->null_text, sizeof d->null_text, "%s", null_text);
    return parse_header(d, source, pointer);
}

/* ---- sources ---- */

static enum st parse_columns(struct store_source *s, const char *pointer, const json_t *columns)
{
    const char *name;
    json_t *type;
    char base[DEFINITION_POINTER_SIZE], place[DEFINITION_POINTER_SIZE];

    definition_pointer(base, pointer, "columns");
    if (json_object_size(columns) > STORE_COLUMNS_MAX)
        return definition_fail(base, "more than %d columns", STORE_COLUMNS_MAX);
    s->columns = calloc(json_object_size(columns) + 1, sizeof *s->columns);
    if (!s->columns)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)columns, name, type)
    {
        struct store_column *c = &s->columns[s->column_count];

        definition_pointer(place, base, name);
        if (!json_is_string(type) || !json_string_length(type) ||
            json_string_length(type) >= sizeof c->type)
            return definition_fail(place, "the type of a column must be a type's name");
        if (!*name || strlen(name) >= sizeof c->name)
            return definition_fail(place, "a column's name must have 1 to %zu bytes",
                                   sizeof c->name - 1);
        if (DEFINITION_FIND(s->columns, s->column_count, name) < s->column_count)
            return definition_fail(place, "a column of this name is there already: upper and lower "
                                          "case are the same");
        if (strspn(json_string_value(type), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                            "0123456789_ (),[]") != json_string_length(type))
            return definition_fail(place, "this is not the name of a type");
        snprintf(c->name, sizeof c->name, "%s", name);
        snprintf(c->type, sizeof c->type, "%s", json_string_value(type));
        s->column_count++;
    }
    return ST_OK;
}

/* Members of every source, and of CSV files. */
static const char *const members[] = {"format", "columns", "columns_complete", "max_reject_ratio",
                                      NULL};
static const char *const csv_members[] = {"format",
                                          "columns",
                                          "columns_complete",
                                          "max_reject_ratio",
                                          "delimiter",
                                          "quote",
                                          "escape",
                                          "null",
                                          "header",
                                          "names",
                                          NULL};

static enum st parse_format(struct store_source *s, const char *pointer, const json_t *value)
{
    const char *format;
    size_t i = 0;

    if (jx_need_string(&format, value, pointer, "format"))
        return definition_adopt(pointer);
    while (i < sizeof formats / sizeof *formats && strcmp(formats[i], format) != 0)
        i++;
    if (i == sizeof formats / sizeof *formats)
        return st_place(definition_fail(pointer, "the format must be csv, ndjson or parquet"),
                        "%s/format", pointer);
    s->format = (enum store_format)i;
    return ST_OK;
}

/* More than a scalar, or one list of them. */
static bool is_nested(const char *type)
{
    const char *bracket = strchr(type, '[');
    bool decimal = !strncasecmp(type, "DEC", 3) || !strncasecmp(type, "NUM", 3);

    return (bracket && strcmp(bracket, "[]") != 0) || (strchr(type, '(') && !decimal) ||
           !strncasecmp(type, "JSON", 4);
}

/* The columns that a source without names of its own must have been told. */
static enum st check_columns(const struct store_source *s, const char *pointer)
{
    const struct store_dialect *d = &s->dialect;
    char base[DEFINITION_POINTER_SIZE], place[DEFINITION_POINTER_SIZE];

    definition_pointer(base, pointer, "columns");
    if (s->columns_complete && !s->column_count)
        return definition_fail(pointer, "\"columns_complete\" needs \"columns\"");
    if (s->format == STORE_NDJSON && !s->column_count)
        return st_hint(definition_fail(base, "an NDJSON source needs its columns"),
                       "name the members that are read, with their types: "
                       "{\"id\":\"VARCHAR\"}");
    for (size_t i = 0; s->format == STORE_NDJSON && i < s->column_count; i++)
        if (is_nested(s->columns[i].type))
            return st_hint(definition_fail(definition_pointer(place, base, s->columns[i].name),
                                           "an NDJSON column is a scalar or a list of scalars"),
                           "read it as VARCHAR, which is its JSON, and take it apart in prepare");
    for (size_t i = 0; d->name_count && i < s->column_count; i++)
        if (definition_find(d->names[0], sizeof *d->names, d->name_count, s->columns[i].name) ==
            d->name_count)
            return definition_fail(definition_pointer(place, base, s->columns[i].name),
                                   "there is no such column in \"names\"");
    if (d->name_count && s->columns_complete && d->name_count != s->column_count)
        return definition_fail(pointer, "\"columns\" is said to be complete, and \"names\" has "
                                        "other columns");
    return ST_OK;
}

static enum st parse_source(struct store_source *s, const char *name, json_t *value)
{
    char pointer[DEFINITION_POINTER_SIZE];
    json_t *columns;
    bool given;
    enum st st;

    definition_pointer(pointer, "/sources", name);
    st = definition_name(s->name, pointer, "source", name, false);
    if (st)
        return st;
    if (!json_is_object(value))
        return definition_fail(pointer, "a source must be an object such as {\"format\":\"csv\"}");
    st = parse_format(s, pointer, value);
    if (st)
        return st;
    if (jx_only(value, pointer, s->format == STORE_CSV ? csv_members : members) ||
        jx_object(&columns, value, pointer, "columns") ||
        jx_boolean(&s->columns_complete, value, pointer, "columns_complete", false))
        return definition_adopt(pointer);
    st = definition_number(&s->max_reject_ratio, &given, value, pointer, "max_reject_ratio", 0, 1);
    if (!st && s->format == STORE_CSV)
        st = parse_dialect(&s->dialect, value, pointer);
    if (!st && columns)
        st = parse_columns(s, pointer, columns);
    return st ? st : check_columns(s, pointer);
}

enum st definition_parse_sources(struct store_definition *d, const json_t *sources)
{
    const char *name;
    json_t *value;

    if (!sources || json_object_size(sources) == 0)
        return definition_fail("/sources", "at least one source is needed");
    if (json_object_size(sources) > STORE_SOURCES_MAX)
        return definition_fail("/sources", "more than %d sources", STORE_SOURCES_MAX);
    d->sources = calloc(json_object_size(sources), sizeof *d->sources);
    if (!d->sources)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)sources, name, value)
    {
        char pointer[DEFINITION_POINTER_SIZE];

        if (DEFINITION_FIND(d->sources, d->source_count, name) < d->source_count)
            return definition_fail(definition_pointer(pointer, "/sources", name),
                                   "a source of this name is there already: upper and lower case "
                                   "are the same");
        enum st st = parse_source(&d->sources[d->source_count++], name, value);
        if (st)
            return st;
    }
    return ST_OK;
}

void definition_free_sources(struct store_definition *d)
{
    for (size_t i = 0; i < d->source_count; i++) {
        free(d->sources[i].columns);
        free(d->sources[i].dialect.names);
    }
    free(d->sources);
}
