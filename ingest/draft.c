#include "ingest/draft.h"

#include "ingest/draft_sample.h"
#include "ingest/duck.h"

#include <ctype.h>
#include <string.h>

/* A name that may stand in a definition: its letters and digits, in lower case. */
static void make_name(char out[STORE_NAME_SIZE], const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len && n < STORE_NAME_SIZE - 4; i++) {
        bool good = isalnum((unsigned char)text[i]);
        if (good && !n && isdigit((unsigned char)text[i]))
            out[n++] = 'c';
        if (good)
            out[n++] = (char)tolower((unsigned char)text[i]);
        else if (n && out[n - 1] != '_')
            out[n++] = '_';
    }
    while (n && out[n - 1] == '_')
        n--;
    out[n] = '\0';
    if (!n)
        snprintf(out, STORE_NAME_SIZE, "column");
    else if (store_field_name_reserved(out))
        memcpy(out + n, "_", 2);
}

/* The same, and not in `taken` yet. */
static void make_new_name(char out[STORE_NAME_SIZE], const json_t *taken, const char *text,
                          size_t len)
{
    char base[STORE_NAME_SIZE];

    make_name(base, text, len);
    snprintf(out, STORE_NAME_SIZE, "%s", base);
    for (unsigned i = 2; json_object_get(taken, out); i++)
        snprintf(out, STORE_NAME_SIZE, "%.*s_%u", STORE_NAME_SIZE - 12, base, i);
}

static void name_of_file(char out[STORE_NAME_SIZE], const json_t *taken, const struct task_file *f)
{
    const char *name = task_file_name(f);

    make_new_name(out, taken, name, strcspn(name, "."));
}

/* The type of a record's field: that of the column, or text. */
static const char *record_type(const char *type)
{
    enum store_type parsed;

    if (!strcmp(type, "FLOAT"))
        return "DOUBLE";
    return store_type_parse(&parsed, type) ? "VARCHAR" : type;
}

/* NULL: out of memory. */
static json_t *source_json(const struct draft_sample *s)
{
    static const char *const names[] = {
        [STORE_CSV] = "csv", [STORE_PARQUET] = "parquet", [STORE_NDJSON] = "ndjson"};
    json_t *source = json_pack("{s:s}", "format", names[s->format]);
    bool failed = !source;

    if (s->format == STORE_CSV && s->dialect.delimiter != ',')
        failed |= json_object_set_new(source, "delimiter", json_stringn(&s->dialect.delimiter, 1));
    if (s->format != STORE_PARQUET)
        failed |= json_object_set(source, "columns", s->types);
    if (s->format == STORE_CSV)
        failed |= json_object_set_new(source, "columns_complete", json_true());
    if (!failed)
        return source;
    json_decref(source);
    return NULL;
}

static enum st add_source(json_t *sources, const struct draft_sample *s)
{
    char name[STORE_NAME_SIZE];

    name_of_file(name, sources, s->file);
    return json_object_set_new(sources, name, source_json(s))
               ? st_fail(ST_NOMEM, NULL, "out of memory")
               : ST_OK;
}

/* prepare, key and record of the first source. */
static enum st describe(json_t *document, const json_t *types, const char *source)
{
    json_t *record = json_object(), *taken = json_object(), *type;
    char name[STORE_NAME_SIZE], key[STORE_NAME_SIZE] = "";
    const char *column;
    struct buf sql;
    bool failed = !record || !taken;

    buf_init(&sql, STORE_DEFINITION_MAX);
    json_object_foreach((json_t *)(uintptr_t)types, column, type)
    {
        if (json_object_size(taken) == STORE_FIELDS_MAX)
            break;
        make_new_name(name, taken, column, strlen(column));
        failed |= json_object_set_new(taken, name, json_true());
        buf_addstr(&sql, *key ? ", " : "SELECT ");
        duck_add_name(&sql, column);
        buf_addstr(&sql, " AS ");
        duck_add_name(&sql, name);
        if (*key)
            failed |= json_object_set_new(record, name,
                                          json_string(record_type(json_string_value(type))));
        else
            snprintf(key, sizeof key, "%s", name);
    }
    buf_addstr(&sql, " FROM ");
    duck_add_name(&sql, source);
    enum st st = buf_status(&sql);
    if (!st) {
        failed |= json_object_set_new(document, "prepare", json_string(sql.data));
        failed |= json_object_set_new(document, "key",
                                      json_pack("{s:[s], s:s}", "fields", key, "protect", "none"));
        failed |= json_object_set(document, "record", record);
        failed |= json_object_set_new(
            document, "checks",
            json_pack("[{s:s, s:s, s:i}]", "name", "not_empty", "metric", "count(*)", "min", 1));
    }
    json_decref(record);
    json_decref(taken);
    buf_release(&sql);
    return !st && failed ? st_fail(ST_NOMEM, NULL, "out of memory") : st;
}

enum st draft_make(json_t **out, const struct task *t)
{
    json_t *document = json_object(), *sources = json_object();
    char first[STORE_NAME_SIZE];
    enum st st = ST_OK;

    *out = NULL;
    name_of_file(first, NULL, &t->sources[0].files[0]);
    if (json_object_set_new(document, "name", json_string(first)) ||
        json_object_set(document, "sources", sources))
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    for (size_t i = 0; !st && i < t->sources[0].file_count; i++) {
        struct draft_sample s;
        st = draft_sample_take(&s, &t->sources[0].files[i]);
        if (!st)
            st = add_source(sources, &s);
        if (!st && !i)
            st = describe(document, s.types, first);
        draft_sample_release(&s);
    }
    json_decref(sources);
    if (st) {
        json_decref(document);
        return st;
    }
    *out = document;
    return ST_OK;
}
