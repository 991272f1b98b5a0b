#include "ingest/duck_internal.h"

#include "ingest/guard.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is said of one that does not bind ---- */

void duck_guard(struct duck *d, const json_t *document)
{
    d->guard = document;
}

bool duck_may_say(const struct duck *d, const char *text)
{
    return !d->guard || guard_may_say(d->guard, text);
}

/* What does not bind to columns that files name. */
static enum st fail_guarded(const struct duck *d, const char *message)
{
    char line[400];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(message, "\n"), message);
    bool whole = strlen(line) < sizeof line - 1;
    return st_hint(
        st_fail(ST_INVALID, "SQL", "%s",
                whole && duck_may_say(d, line)
                    ? line
                    : "the SQL does not fit the columns that the files have"),
        "compare it with the columns of the files (of NDJSON, those that \"columns\" names); they "
        "are not listed here: without a header line they would be values");
}

enum st duck_refuse(const char *message)
{
    if (!strstr(message, "max_expression_depth"))
        return st_fail(ST_INVALID, "SQL", "%s", message);
    return st_hint(st_fail(ST_INVALID, "SQL", "the SQL is nested more than 1000 levels deep"),
                   "divide it by WITH ... AS (SELECT ...); x IN (...) is one level, and so is "
                   "concat(a, b, ...), where each OR, + or || is one more");
}

/* DuckDB's message about a definition: {"exception_message","position"} after errors_as_json. */
static enum st fail_bind(struct duck *d, const char *text)
{
    d->error_offset = DUCK_NO_OFFSET;
    const char *brace = text ? strchr(text, '{') : NULL;
    json_t *document = NULL;
    if (!brace || jx_parse_wide(&document, brace, strlen(brace)))
        document = NULL; /* then the text is the message */
    const char *message = json_string_value(json_object_get(document, "exception_message"));
    const char *position = json_string_value(json_object_get(document, "position"));
    if (position)
        d->error_offset = strtoull(position, NULL, 10);
    if (!message)
        message = text ? text : "unknown";
    enum st st = d->guard ? fail_guarded(d, message) : duck_refuse(message);
    json_decref(document);
    return st;
}

/* ---- statements ---- */

enum st duck_prepare(struct duck_statement **out, struct duck *d, const char *sql)
{
    enum st st = ST_OK;
    duckdb_extracted_statements statements = NULL;
    struct duck_statement *s = NULL;
    d->error_offset = DUCK_NO_OFFSET;
    idx_t count = duckdb_extract_statements(d->connection, sql, &statements);
    if (!count) {
        const char *error = duckdb_extract_statements_error(statements);
        st = error ? fail_bind(d, error) : st_fail(ST_INVALID, "SQL", "there is no statement");
        goto done;
    }
    if (count != 1) {
        st = st_fail(ST_INVALID, "SQL", "one SELECT is allowed, not %llu statements",
                     (unsigned long long)count);
        goto done;
    }
    s = calloc(1, sizeof *s);
    if (!s) {
        st = st_fail(ST_NOMEM, NULL, "cannot allocate a statement");
        goto done;
    }
    s->duck = d;
    s->sql = strdup(sql);
    if (!s->sql) {
        st = st_fail(ST_NOMEM, NULL, "cannot allocate a statement");
        goto done;
    }
    if (duckdb_prepare_extracted_statement(d->connection, statements, 0, &s->prepared) !=
        DuckDBSuccess) {
        st = fail_bind(d, duckdb_prepare_error(s->prepared));
        goto done;
    }
    if (duckdb_prepared_statement_type(s->prepared) != DUCKDB_STATEMENT_TYPE_SELECT)
        st = st_fail(ST_INVALID, "SQL", "only a SELECT is allowed");
    else if (duckdb_nparams(s->prepared))
        st = st_fail(ST_INVALID, "SQL", "parameters ($1, ?) are not allowed");
    else if (duck_statement_columns(s) > DUCK_COLUMNS_MAX)
        st = st_fail(ST_TOO_LARGE, NULL, "more than %d columns", DUCK_COLUMNS_MAX);
done:
    duckdb_destroy_extracted(&statements);
    if (st) {
        duck_statement_free(s);
        s = NULL;
    }
    *out = s;
    return st;
}

void duck_statement_free(struct duck_statement *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < DUCK_COLUMNS_MAX; i++)
        duckdb_free((void *)(uintptr_t)s->names[i]);
    if (s->prepared)
        duckdb_destroy_prepare(&s->prepared);
    free(s->sql);
    free(s);
}

size_t duck_error_offset(const struct duck *d)
{
    return d->error_offset;
}

size_t duck_statement_columns(const struct duck_statement *s)
{
    return duckdb_prepared_statement_column_count(s->prepared);
}

const char *duck_statement_name(struct duck_statement *s, size_t i)
{
    if (!s->names[i])
        s->names[i] = duckdb_prepared_statement_column_name(s->prepared, i);
    return s->names[i] ? s->names[i] : "";
}

static const struct {
    duckdb_type type;
    enum duck_kind kind;
    const char *name;
} kinds[] = {
    {DUCKDB_TYPE_BOOLEAN, DUCK_INTEGRAL, "BOOLEAN"},
    {DUCKDB_TYPE_TINYINT, DUCK_INTEGRAL, "TINYINT"},
    {DUCKDB_TYPE_SMALLINT, DUCK_INTEGRAL, "SMALLINT"},
    {DUCKDB_TYPE_INTEGER, DUCK_INTEGRAL, "INTEGER"},
    {DUCKDB_TYPE_BIGINT, DUCK_INTEGRAL, "BIGINT"},
    {DUCKDB_TYPE_UTINYINT, DUCK_INTEGRAL, "UTINYINT"},
    {DUCKDB_TYPE_USMALLINT, DUCK_INTEGRAL, "USMALLINT"},
    {DUCKDB_TYPE_UINTEGER, DUCK_INTEGRAL, "UINTEGER"},
    {DUCKDB_TYPE_UBIGINT, DUCK_OTHER, "UBIGINT"},
    {DUCKDB_TYPE_HUGEINT, DUCK_OTHER, "HUGEINT"},
    {DUCKDB_TYPE_UHUGEINT, DUCK_OTHER, "UHUGEINT"},
    {DUCKDB_TYPE_BIGNUM, DUCK_OTHER, "BIGNUM"},
    {DUCKDB_TYPE_FLOAT, DUCK_OTHER, "FLOAT"},
    {DUCKDB_TYPE_DOUBLE, DUCK_OTHER, "DOUBLE"},
    {DUCKDB_TYPE_DECIMAL, DUCK_OTHER, "DECIMAL"},
    {DUCKDB_TYPE_VARCHAR, DUCK_OTHER, "VARCHAR"},
    {DUCKDB_TYPE_ENUM, DUCK_OTHER, "ENUM"},
    {DUCKDB_TYPE_DATE, DUCK_OTHER, "DATE"},
    {DUCKDB_TYPE_TIME, DUCK_OTHER, "TIME"},
    {DUCKDB_TYPE_TIMESTAMP, DUCK_OTHER, "TIMESTAMP"},
    {DUCKDB_TYPE_TIMESTAMP_S, DUCK_OTHER, "TIMESTAMP_S"},
    {DUCKDB_TYPE_TIMESTAMP_MS, DUCK_OTHER, "TIMESTAMP_MS"},
    {DUCKDB_TYPE_TIMESTAMP_NS, DUCK_OTHER, "TIMESTAMP_NS"},
    {DUCKDB_TYPE_TIMESTAMP_TZ, DUCK_OTHER, "TIMESTAMP WITH TIME ZONE"},
    {DUCKDB_TYPE_INTERVAL, DUCK_OTHER, "INTERVAL"},
    {DUCKDB_TYPE_STRUCT, DUCK_NESTED, "STRUCT"},
    {DUCKDB_TYPE_LIST, DUCK_NESTED, "LIST"},
    {DUCKDB_TYPE_MAP, DUCK_NESTED, "MAP"},
    {DUCKDB_TYPE_ARRAY, DUCK_NESTED, "ARRAY"},
    {DUCKDB_TYPE_UNION, DUCK_NESTED, "UNION"},
};

static size_t kind_of(duckdb_type type)
{
    size_t k = 0;
    while (k < sizeof kinds / sizeof *kinds && kinds[k].type != type)
        k++;
    return k;
}

static const char *name_of(duckdb_type type)
{
    size_t k = kind_of(type);
    return k < sizeof kinds / sizeof *kinds ? kinds[k].name : "another type";
}

bool duck_statement_is_flat(struct duck_statement *s, size_t i)
{
    duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(s->prepared, i);
    duckdb_logical_type element =
        duckdb_get_type_id(type) == DUCKDB_TYPE_LIST ? duckdb_list_type_child_type(type) : NULL;
    size_t k = kind_of(duckdb_get_type_id(element ? element : type));
    duckdb_destroy_logical_type(&element);
    duckdb_destroy_logical_type(&type);
    return k == sizeof kinds / sizeof *kinds || kinds[k].kind != DUCK_NESTED;
}

enum duck_kind duck_statement_kind(struct duck_statement *s, size_t i)
{
    size_t k = kind_of(duckdb_prepared_statement_column_type(s->prepared, i));
    return k < sizeof kinds / sizeof *kinds ? kinds[k].kind : DUCK_OTHER;
}

const char *duck_statement_type(struct duck_statement *s, size_t i)
{
    return name_of(duckdb_prepared_statement_column_type(s->prepared, i));
}

/* ---- types of two columns ---- */

static bool same_logical(duckdb_logical_type a, duckdb_logical_type b);

static bool same_owned(duckdb_logical_type a, duckdb_logical_type b)
{
    bool same = same_logical(a, b);
    duckdb_destroy_logical_type(&a);
    duckdb_destroy_logical_type(&b);
    return same;
}

static bool same_struct(duckdb_logical_type a, duckdb_logical_type b)
{
    idx_t count = duckdb_struct_type_child_count(a);
    bool same = count == duckdb_struct_type_child_count(b);
    for (idx_t i = 0; same && i < count; i++) {
        char *of_a = duckdb_struct_type_child_name(a, i);
        char *of_b = duckdb_struct_type_child_name(b, i);
        same = of_a && of_b && !strcmp(of_a, of_b) &&
               same_owned(duckdb_struct_type_child_type(a, i), duckdb_struct_type_child_type(b, i));
        duckdb_free(of_a);
        duckdb_free(of_b);
    }
    return same;
}

/* An integer is the same in any of their types, or in none. */
static bool is_integer(duckdb_type type)
{
    return type == DUCKDB_TYPE_TINYINT || type == DUCKDB_TYPE_SMALLINT ||
           type == DUCKDB_TYPE_INTEGER || type == DUCKDB_TYPE_BIGINT ||
           type == DUCKDB_TYPE_UTINYINT || type == DUCKDB_TYPE_USMALLINT ||
           type == DUCKDB_TYPE_UINTEGER || type == DUCKDB_TYPE_UBIGINT;
}

static bool same_logical(duckdb_logical_type a, duckdb_logical_type b)
{
    duckdb_type type = duckdb_get_type_id(a), other = duckdb_get_type_id(b);
    if (type != other)
        return is_integer(type) && is_integer(other);
    switch (type) {
    case DUCKDB_TYPE_DECIMAL:
        return duckdb_decimal_width(a) == duckdb_decimal_width(b) &&
               duckdb_decimal_scale(a) == duckdb_decimal_scale(b);
    case DUCKDB_TYPE_LIST:
        return same_owned(duckdb_list_type_child_type(a), duckdb_list_type_child_type(b));
    case DUCKDB_TYPE_MAP:
        return same_owned(duckdb_map_type_key_type(a), duckdb_map_type_key_type(b)) &&
               same_owned(duckdb_map_type_value_type(a), duckdb_map_type_value_type(b));
    case DUCKDB_TYPE_STRUCT:
        return same_struct(a, b);
    default:
        return true;
    }
}

bool duck_statement_same_type(const struct duck_statement *a, size_t i,
                              const struct duck_statement *b, size_t j)
{
    return same_owned(duckdb_prepared_statement_column_logical_type(a->prepared, i),
                      duckdb_prepared_statement_column_logical_type(b->prepared, j));
}

/* NULL: it has none. */
static duckdb_logical_type element_of(duckdb_logical_type type)
{
    switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_LIST:
        return duckdb_list_type_child_type(type);
    case DUCKDB_TYPE_ARRAY:
        return duckdb_array_type_child_type(type);
    default:
        return NULL;
    }
}

const char *duck_statement_element(struct duck_statement *s, size_t i)
{
    duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(s->prepared, i);
    duckdb_logical_type element = element_of(type);
    const char *name = element ? name_of(duckdb_get_type_id(element)) : "";
    duckdb_destroy_logical_type(&element);
    duckdb_destroy_logical_type(&type);
    return name;
}

void duck_statement_decimal(unsigned *width, unsigned *scale, struct duck_statement *s, size_t i)
{
    duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(s->prepared, i);
    duckdb_logical_type element = element_of(type);
    *width = duckdb_decimal_width(element ? element : type);
    *scale = duckdb_decimal_scale(element ? element : type);
    duckdb_destroy_logical_type(&element);
    duckdb_destroy_logical_type(&type);
}
