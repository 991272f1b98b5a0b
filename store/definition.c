#include "store/definition_internal.h"

#include "store/value.h"

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
    if (strcmp(report.code, st_name(ST_NOMEM)) == 0) {
        report.status = ST_NOMEM;
        return st_restore(&report);
    }
    snprintf(report.code, sizeof report.code, "INVALID_DEFINITION");
    if (!report.place[0])
        snprintf(report.place, sizeof report.place, "%s", pointer);
    return st_restore(&report);
}

const char *definition_pointer(char out[DEFINITION_POINTER_SIZE], const char *base,
                               const char *name)
{
    int n = snprintf(out, DEFINITION_POINTER_SIZE - 2 * STORE_NAME_SIZE - 2, "%s/", base);
    size_t at = n < 0 ? 0 : strlen(out);

    for (int i = 0, end = utf8_cut(name, STORE_NAME_SIZE); i < end; i++) {
        if (name[i] == '~' || name[i] == '/') {
            out[at++] = '~';
            out[at++] = name[i] == '~' ? '0' : '1';
        } else {
            out[at++] = name[i];
        }
    }
    out[at] = '\0';
    return out;
}

size_t definition_find(const char *first, size_t stride, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(first + i * stride, name) == 0)
            return i;
    return count;
}

enum st definition_name(char out[STORE_NAME_SIZE], const char *pointer, const char *what,
                        const char *name, bool served)
{
    if (store_field_name_check(what, name))
        return definition_adopt(pointer);
    if (served && store_field_name_reserved(name))
        return st_hint(
            definition_fail(pointer, "\"%s\" is a reserved word and cannot name a %s", name, what),
            "it is a parameter of requests: give it another name in prepare, %s AS "
            "the_%s",
            name, name);
    snprintf(out, STORE_NAME_SIZE, "%s", name);
    return ST_OK;
}

/* ---- record ---- */

static enum st parse_record(struct store_definition *d, const json_t *record)
{
    char pointer[DEFINITION_POINTER_SIZE];
    const char *name;
    json_t *type;

    if (!record)
        return definition_fail("/record", "an object of fields and types is needed");
    if (json_object_size(record) + d->key.field_count > STORE_FIELDS_MAX)
        return definition_fail("/record", "more than %d fields", STORE_FIELDS_MAX);
    d->record = calloc(json_object_size(record) + 1, sizeof *d->record);
    if (!d->record)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)record, name, type)
    {
        struct store_field *f = &d->record[d->record_count];

        definition_pointer(pointer, "/record", name);
        enum st st = definition_name(f->name, pointer, "record field", name, true);
        if (st)
            return st;
        if (DEFINITION_FIND(d->record, d->record_count, name) < d->record_count)
            return definition_fail(pointer,
                                   "a field of this name is there already: upper and lower "
                                   "case are the same");
        if (DEFINITION_FIND(d->key.fields, d->key.field_count, name) < d->key.field_count)
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

/* After the record. */
static enum st parse_sort(struct store_definition *d, const json_t *key)
{
    const char *name;

    if (jx_string(&name, key, "/key", "sort", NULL))
        return definition_adopt("/key/sort");
    if (!name)
        return ST_OK;
    size_t i = DEFINITION_FIND(d->record, d->record_count, name);
    if (i == d->record_count)
        return st_hint(definition_fail("/key/sort", "\"%.*s\" is not a field of the record",
                                       utf8_cut(name, STORE_NAME_SIZE), name),
                       "a series is in the order of one field of \"record\"");
    if (!store_type_is_sortable(d->record[i].type))
        return definition_fail("/key/sort",
                               "a series is in the order of an integer, a DATE or a TIMESTAMP, "
                               "and \"%s\" is %s",
                               d->record[i].name, store_type_name(d->record[i].type));
    d->key.sort = &d->record[i];
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

static enum st parse_duplicates(struct store_definition *d)
{
    static const char *const NAMES[] = {[STORE_DUPLICATES_FAIL] = "fail",
                                        [STORE_DUPLICATES_FIRST] = "first",
                                        [STORE_DUPLICATES_LAST] = "last"};
    const char *name, *order;
    size_t i = 0;

    if (jx_string(&name, d->document, "", "on_duplicate", NAMES[0]) ||
        jx_string(&order, d->document, "", "duplicate_order", NULL))
        return definition_adopt("/on_duplicate");
    while (i < sizeof NAMES / sizeof *NAMES && strcmp(NAMES[i], name) != 0)
        i++;
    if (i == sizeof NAMES / sizeof *NAMES)
        return definition_fail("/on_duplicate", "fail, first or last is expected");
    d->on_duplicate = (enum store_duplicates)i;
    if (!order && d->on_duplicate != STORE_DUPLICATES_FAIL)
        return definition_fail("/duplicate_order",
                               "\"%s\" needs the prepared column that says "
                               "which comes first",
                               name);
    if (order && d->on_duplicate == STORE_DUPLICATES_FAIL)
        return definition_fail("/duplicate_order", "it goes with \"on_duplicate\" first or last");
    if (!order)
        return ST_OK;
    if (d->key.protect != STORE_PROTECT_NONE &&
        DEFINITION_FIND(d->key.fields, d->key.field_count, order) < d->key.field_count)
        return definition_fail("/duplicate_order", "\"%.*s\" is a key field of a protected dataset",
                               utf8_cut(order, STORE_NAME_SIZE), order);
    return definition_name(d->duplicate_order, "/duplicate_order", "column", order, false);
}

/* Members that are objects or arrays; NULL: not there. Borrowed from the document. */
struct members {
    json_t *sources, *key, *record, *rollups, *retention, *checks, *gates;
};

/* And those of simple types, which go where they belong. */
static enum st read_members(struct members *m, struct store_definition *d)
{
    static const char *const MEMBERS[] = {"name",
                                          "description",
                                          "sources",
                                          "prepare",
                                          "key",
                                          "record",
                                          "on_duplicate",
                                          "duplicate_order",
                                          "checks",
                                          "gates",
                                          "rollups",
                                          "max_reject_ratio",
                                          "retention",
                                          "require_promotion",
                                          "require_purpose",
                                          "schedule",
                                          "watch_inbox",
                                          NULL};
    const json_t *doc = d->document;
    const char *name;

    if (jx_only(doc, "", MEMBERS) || jx_need_string(&name, doc, "", "name") ||
        jx_string(&d->description, doc, "", "description", "") ||
        jx_object(&m->sources, doc, "", "sources") ||
        jx_need_string(&d->prepare, doc, "", "prepare") || jx_object(&m->key, doc, "", "key") ||
        jx_object(&m->record, doc, "", "record") || jx_array(&m->checks, doc, "", "checks") ||
        jx_array(&m->gates, doc, "", "gates") || jx_object(&m->rollups, doc, "", "rollups") ||
        jx_object(&m->retention, doc, "", "retention") ||
        jx_boolean(&d->require_promotion, doc, "", "require_promotion", false) ||
        jx_boolean(&d->require_purpose, doc, "", "require_purpose", false))
        return definition_adopt("/");
    if (store_name_check("dataset", name))
        return definition_adopt("/name");
    snprintf(d->name, sizeof d->name, "%s", name);
    if (d->prepare[strspn(d->prepare, " \t\r\n")] == '\0')
        return definition_fail("/prepare", "a SELECT over the sources is needed");
    return ST_OK;
}

static enum st parse_members(struct store_definition *d)
{
    struct members m = {0};
    bool given;
    enum st st = read_members(&m, d);

    if (!st)
        st = definition_parse_sources(d, m.sources);
    if (!st)
        st = definition_parse_key(&d->key, m.key);
    if (!st)
        st = parse_record(d, m.record);
    if (!st)
        st = parse_sort(d, m.key);
    if (!st)
        st = make_row(d);
    if (!st && m.rollups)
        st = definition_parse_rollups(d, m.rollups);
    if (!st)
        st = parse_duplicates(d);
    if (!st)
        st = definition_number(&d->max_reject_ratio, &given, d->document, "", "max_reject_ratio", 0,
                               1);
    if (!st)
        st = definition_parse_checks(d, m.checks);
    if (!st)
        st = definition_parse_gates(d, m.gates);
    if (!st)
        st = parse_retention(d, m.retention);
    return st ? st : definition_parse_starts(d);
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
    definition_free_sources(d);
    free(d->record);
    free(d->row);
    definition_free_rollups(d);
    definition_free_checks(d);
    json_decref(d->document);
    free(d);
}

size_t store_sort_index(const struct store_definition *d)
{
    return d->row_count - d->record_count + (size_t)(d->key.sort - d->record);
}

const struct store_rollup *store_definition_rollup(const struct store_definition *d,
                                                   const char *name)
{
    for (size_t i = 0; i < d->rollup_count; i++)
        if (strcmp(d->rollups[i].name, name) == 0)
            return &d->rollups[i];
    return NULL;
}
