#include "store/definition_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum st definition_fail(const char *pointer, const char *fmt, ...)
{
    char message[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return st_place(st_fail(ST_INVALID, "INVALID_DEFINITION", "%s", message), "%s",
                    *pointer ? pointer : "/");
}

enum st definition_adopt(const char *pointer)
{
    struct st_report report;

    st_save(&report, ST_INVALID);
    if (strcmp(report.code, "NOMEM") == 0)
        return st_restore(&report);
    snprintf(report.code, sizeof report.code, "INVALID_DEFINITION");
    if (!report.place[0])
        snprintf(report.place, sizeof report.place, "%s", pointer);
    return st_restore(&report);
}

enum st definition_name(char out[STORE_NAME_SIZE], const char *pointer, const char *what,
                        const char *name, bool served)
{
    if (store_field_name_check(what, name))
        return definition_adopt(pointer);
    if (served && store_field_name_reserved(name))
        return definition_fail(pointer, "\"%s\" is a reserved word and cannot name a %s", name, what);
    snprintf(out, STORE_NAME_SIZE, "%s", name);
    return ST_OK;
}

/* ---- sources ---- */

static enum st parse_columns(struct store_source *s, const char *pointer, const json_t *columns)
{
    const char *name;
    json_t *type;
    char place[256];

    s->columns = calloc(json_object_size(columns) + 1, sizeof *s->columns);
    if (!s->columns)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)columns, name, type) {
        struct store_column *c = &s->columns[s->column_count++];

        snprintf(place, sizeof place, "%s/columns/%.64s", pointer, name);
        if (!json_is_string(type) || !json_string_length(type) ||
            json_string_length(type) >= sizeof c->type)
            return definition_fail(place, "the type of a column must be a type's name");
        if (!*name || strlen(name) >= sizeof c->name)
            return definition_fail(place, "a column's name must have 1 to %zu bytes",
                                   sizeof c->name - 1);
        if (strspn(json_string_value(type), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                            "0123456789_ (),[]") != json_string_length(type))
            return definition_fail(place, "this is not the name of a type");
        snprintf(c->name, sizeof c->name, "%s", name);
        snprintf(c->type, sizeof c->type, "%s", json_string_value(type));
    }
    return ST_OK;
}

static enum st parse_source(struct store_source *s, const char *name, json_t *value)
{
    static const char *const MEMBERS[] = {"format", "columns", "columns_complete", NULL};
    static const char *const FORMATS[] = {[STORE_CSV] = "csv", [STORE_PARQUET] = "parquet"};
    char pointer[128];
    const char *format;
    json_t *columns;
    enum st st;

    snprintf(pointer, sizeof pointer, "/sources/%.64s", name);
    st = definition_name(s->name, pointer, "source", name, false);
    if (st)
        return st;
    if (!json_is_object(value))
        return definition_fail(pointer, "a source must be an object such as {\"format\":\"csv\"}");
    if (jx_only(value, pointer, MEMBERS) || jx_need_string(&format, value, pointer, "format") ||
        jx_object(&columns, value, pointer, "columns") ||
        jx_boolean(&s->columns_complete, value, pointer, "columns_complete", false))
        return definition_adopt(pointer);
    if (strcmp(format, FORMATS[STORE_CSV]) == 0)
        s->format = STORE_CSV;
    else if (strcmp(format, FORMATS[STORE_PARQUET]) == 0)
        s->format = STORE_PARQUET;
    else
        return st_place(definition_fail(pointer, "the format must be csv or parquet"), "%s/format",
                        pointer);
    if (s->columns_complete && !columns)
        return definition_fail(pointer, "\"columns_complete\" without \"columns\"");
    return columns ? parse_columns(s, pointer, columns) : ST_OK;
}

static enum st parse_sources(struct store_definition *d, const json_t *sources)
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
    json_object_foreach((json_t *)(uintptr_t)sources, name, value) {
        enum st st = parse_source(&d->sources[d->source_count++], name, value);
        if (st)
            return st;
    }
    return ST_OK;
}

/* ---- key ---- */

static enum st parse_normalizers(struct store_key_spec *key, const json_t *normalize)
{
    char pointer[128];
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)normalize, name, value) {
        size_t i = 0;

        snprintf(pointer, sizeof pointer, "/key/normalize/%.64s", name);
        while (i < key->field_count && strcmp(key->fields[i].name, name) != 0)
            i++;
        if (i == key->field_count)
            return definition_fail(pointer, "\"%.64s\" is not a field of the key", name);
        const char *text = json_string_value(value);
        key->fields[i].normalizer = text ? store_normalizer_find(text) : NULL;
        if (!key->fields[i].normalizer)
            return st_hint(definition_fail(pointer, "unknown normaliser"), "normalisers: %s",
                           store_normalizer_names());
    }
    return ST_OK;
}

static enum st parse_key(struct store_key_spec *key, const json_t *value)
{
    static const char *const MEMBERS[] = {"fields", "normalize", "protect", NULL};
    json_t *fields, *normalize, *item;
    const char *protect;
    char pointer[64];
    size_t i;

    if (!json_is_object(value))
        return definition_fail("/key", "an object with \"fields\" is needed");
    if (jx_only(value, "/key", MEMBERS) || jx_array(&fields, value, "/key", "fields") ||
        jx_object(&normalize, value, "/key", "normalize") ||
        jx_string(&protect, value, "/key", "protect", "none"))
        return definition_adopt("/key");
    if (json_array_size(fields) == 0 || json_array_size(fields) > STORE_KEY_FIELDS_MAX)
        return definition_fail("/key/fields", "a key has 1 to %d fields", STORE_KEY_FIELDS_MAX);
    json_array_foreach(fields, i, item) {
        struct store_key_field *f = &key->fields[i];

        snprintf(pointer, sizeof pointer, "/key/fields/%zu", i);
        if (!json_is_string(item))
            return definition_fail(pointer, "the name of a prepared column is expected");
        enum st st = definition_name(f->name, pointer, "key field", json_string_value(item), true);
        if (st)
            return st;
        for (size_t j = 0; j < i; j++)
            if (strcmp(key->fields[j].name, f->name) == 0)
                return definition_fail(pointer, "\"%s\" is there twice", f->name);
        f->normalizer = store_normalizer_find("exact");
        key->field_count++;
    }
    if (strcmp(protect, "hmac-sha256") == 0)
        key->protect = STORE_PROTECT_HMAC_SHA256;
    else if (strcmp(protect, "none") != 0)
        return definition_fail("/key/protect", "\"hmac-sha256\" or \"none\" is expected");
    return normalize ? parse_normalizers(key, normalize) : ST_OK;
}

static bool is_key_field(const struct store_definition *d, const char *name)
{
    for (size_t i = 0; i < d->key.field_count; i++)
        if (strcmp(d->key.fields[i].name, name) == 0)
            return true;
    return false;
}

/* ---- record ---- */

static enum st parse_record(struct store_definition *d, const json_t *record)
{
    char pointer[128];
    const char *name;
    json_t *type;

    if (json_object_size(record) + d->key.field_count > STORE_FIELDS_MAX)
        return definition_fail("/record", "more than %d fields", STORE_FIELDS_MAX);
    d->record = calloc(json_object_size(record) + 1, sizeof *d->record);
    if (!d->record)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)record, name, type) {
        struct store_field *f = &d->record[d->record_count];

        snprintf(pointer, sizeof pointer, "/record/%.64s", name);
        enum st st = definition_name(f->name, pointer, "record field", name, true);
        if (st)
            return st;
        if (is_key_field(d, name))
            return st_hint(definition_fail(pointer, "\"%s\" is a field of the key", name),
                           "key fields of a protected dataset are never stored; without protection "
                           "they are part of every record by themselves");
        if (!json_is_string(type) || store_type_parse(&f->type, json_string_value(type)))
            return st_hint(definition_fail(pointer, "the type of a record field is not known"),
                           "types: %s", store_type_names());
        d->record_count++;
    }
    return ST_OK;
}

/* What a row holds: the key fields of an unprotected dataset, then the record. */
static enum st make_row(struct store_definition *d)
{
    d->row = calloc(d->key.field_count + d->record_count, sizeof *d->row);
    if (!d->row)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; d->key.protect == STORE_PROTECT_NONE && i < d->key.field_count; i++) {
        d->row[d->row_count].type = STORE_VARCHAR;
        memcpy(d->row[d->row_count++].name, d->key.fields[i].name, STORE_NAME_SIZE);
    }
    for (size_t i = 0; i < d->record_count; i++)
        d->row[d->row_count++] = d->record[i];
    return ST_OK;
}

/* ---- the rest ---- */

static enum st parse_retention(struct store_definition *d, const json_t *retention)
{
    static const char *const MEMBERS[] = {"keep_versions", "keep_days", NULL};
    int64_t versions, days;

    if (jx_only(retention, "/retention", MEMBERS) ||
        jx_integer(&versions, retention, "/retention", "keep_versions", 5, 1, 10000) ||
        jx_integer(&days, retention, "/retention", "keep_days", 90, 1, 36500))
        return definition_adopt("/retention");
    d->keep_versions = (unsigned)versions;
    d->keep_days = (unsigned)days;
    return ST_OK;
}

static enum st parse_members(struct store_definition *d)
{
    static const char *const MEMBERS[] = {"name",   "description",  "sources", "prepare",
                                          "key",    "record",       "on_duplicate", "rollups",
                                          "retention", "require_promotion", NULL};
    const json_t *doc = d->document;
    json_t *sources, *key, *record, *rollups, *retention;
    const char *name, *on_duplicate;
    enum st st;

    if (jx_only(doc, "", MEMBERS) || jx_need_string(&name, doc, "", "name") ||
        jx_string(&d->description, doc, "", "description", "") ||
        jx_object(&sources, doc, "", "sources") || jx_need_string(&d->prepare, doc, "", "prepare") ||
        jx_object(&key, doc, "", "key") || jx_object(&record, doc, "", "record") ||
        jx_string(&on_duplicate, doc, "", "on_duplicate", "fail") ||
        jx_object(&rollups, doc, "", "rollups") || jx_object(&retention, doc, "", "retention") ||
        jx_boolean(&d->require_promotion, doc, "", "require_promotion", false))
        return definition_adopt("/");
    if (store_name_check("dataset", name))
        return definition_adopt("/name");
    snprintf(d->name, sizeof d->name, "%s", name);
    if (strcmp(on_duplicate, "fail") != 0)
        return definition_fail("/on_duplicate", "only \"fail\" is supported");
    st = parse_sources(d, sources);
    if (!st)
        st = parse_key(&d->key, key);
    if (!st && !record)
        st = definition_fail("/record", "an object of fields and types is needed");
    if (!st)
        st = parse_record(d, record);
    if (!st)
        st = make_row(d);
    if (!st && rollups)
        st = definition_parse_rollups(d, rollups);
    if (!st)
        st = parse_retention(d, retention);
    return st;
}

enum st store_definition_parse(struct store_definition **out, json_t *document)
{
    struct store_definition *d = calloc(1, sizeof *d);

    *out = NULL;
    if (!d)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    d->document = json_incref(document);
    enum st st = json_is_object(document) ? parse_members(d)
                                          : definition_fail("", "a definition is a JSON object");
    if (st) {
        store_definition_free(d);
        return st;
    }
    *out = d;
    return ST_OK;
}

void store_definition_free(struct store_definition *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->source_count; i++)
        free(d->sources[i].columns);
    free(d->sources);
    free(d->record);
    free(d->row);
    definition_free_rollups(d);
    json_decref(d->document);
    free(d);
}

static enum st breaking(const char *pointer, const char *what)
{
    return st_hint(st_place(st_fail(ST_CONFLICT, "BREAKING_CHANGE", "the new definition %s", what), "%s",
                            pointer),
                   "clients may read it; put with force if that is meant");
}

static enum st compatible_rollup(const struct store_rollup *old, const struct store_rollup *next)
{
    char pointer[200];

    snprintf(pointer, sizeof pointer, "/rollups/%s", old->name);
    if (!next)
        return breaking(pointer, "lacks this rollup");
    for (size_t i = 0; i < old->dimension_count; i++) {
        size_t j = 0;
        while (j < next->dimension_count &&
               (strcmp(next->dimensions[j].name, old->dimensions[i].name) != 0 ||
                next->dimensions[j].type != old->dimensions[i].type))
            j++;
        if (j == next->dimension_count)
            return st_place(breaking(pointer, "lacks or retypes this dimension"), "%s/dimensions/%zu",
                            pointer, i);
    }
    for (size_t i = 0; i < old->metric_count; i++) {
        size_t j = 0;
        while (j < next->metric_count && strcmp(next->metrics[j].name, old->metrics[i].name) != 0)
            j++;
        if (j == next->metric_count)
            return st_place(breaking(pointer, "lacks this metric"), "%s/metrics/%s", pointer,
                            old->metrics[i].name);
    }
    return ST_OK;
}

enum st store_definition_compatible(const struct store_definition *old,
                                    const struct store_definition *next)
{
    char pointer[128];

    for (size_t i = 0; i < old->row_count; i++) {
        size_t j = 0;
        while (j < next->row_count && (strcmp(next->row[j].name, old->row[i].name) != 0 ||
                                       next->row[j].type != old->row[i].type))
            j++;
        snprintf(pointer, sizeof pointer, "/record/%s", old->row[i].name);
        if (j == next->row_count)
            return breaking(pointer, "lacks or retypes this field");
    }
    for (size_t i = 0; i < old->rollup_count; i++) {
        enum st st = compatible_rollup(&old->rollups[i],
                                       store_definition_rollup(next, old->rollups[i].name));
        if (st)
            return st;
    }
    return ST_OK;
}

const struct store_rollup *store_definition_rollup(const struct store_definition *d, const char *name)
{
    for (size_t i = 0; i < d->rollup_count; i++)
        if (strcmp(d->rollups[i].name, name) == 0)
            return &d->rollups[i];
    return NULL;
}
