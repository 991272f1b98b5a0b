/* The casts to declared types. DuckDB's round, and leave the offset of a time away, without a word:
 * so a row is bad not only where a cast fails, but also where it would change what is there. Who
 * wants that says it in `prepare`.
 */
#include "ingest/plan_internal.h"

#include "ingest/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum st add_cast(struct plan *p, const char *field, enum store_type type)
{
    for (size_t i = 0; i < p->cast_count; i++)
        if (!strcasecmp(p->casts[i].field, field) && p->casts[i].type == type)
            return ST_OK;
    struct plan_cast *casts = realloc(p->casts, (p->cast_count + 1) * sizeof *casts);
    if (!casts)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    p->casts = casts;
    p->casts[p->cast_count].type = type;
    snprintf(p->casts[p->cast_count++].field, STORE_NAME_SIZE, "%s", field);
    return ST_OK;
}

static bool is_list(struct binding *b, size_t i)
{
    const char *type = duck_statement_type(b->prepared, i);
    return !strcmp(type, "LIST") || !strcmp(type, "ARRAY");
}

/* DuckDB 1.4.4 gives 0, or fails, when it casts one that is too large. */
static bool is_bignum(struct binding *b, size_t i)
{
    return !strcmp(duck_statement_type(b->prepared, i), "BIGNUM") ||
           !strcmp(duck_statement_element(b->prepared, i), "BIGNUM");
}

/* DuckDB binds any cast; a nested value would only be a null in every row. */
static enum st check_field(struct binding *b, size_t i, const struct store_field *field)
{
    bool bignum = is_bignum(b, i), nested = duck_statement_kind(b->prepared, i) == DUCK_NESTED;
    bool list = STORE_TYPE_BASE(field->type) == STORE_LIST && is_list(b, i);
    if (field->type == STORE_VARCHAR || (!bignum && (!nested || list)))
        return ST_OK;
    enum st st = st_fail(ST_INVALID, "INVALID_DEFINITION",
                         "prepare gives a %s for \"%s\", which cannot become %s",
                         bignum ? "BIGNUM" : duck_statement_type(b->prepared, i), field->name,
                         store_type_name(field->type));
    if (bignum)
        st =
            st_hint(st, "cast it to VARCHAR in prepare: then it is rejected where it is too large");
    return st_place(st, "/record/%s", field->name);
}

enum st plan_collect_casts(struct binding *b)
{
    const struct store_definition *def = b->definition;
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < duck_statement_columns(b->prepared); i++) {
        const struct store_field *field =
            plan_record_field(def, duck_statement_name(b->prepared, i));
        if (field)
            st = check_field(b, i, field);
    }
    for (size_t i = 0; !st && i < def->record_count; i++)
        st = add_cast(b->plan, def->record[i].name, def->record[i].type);
    for (size_t r = 0; !st && r < def->rollup_count; r++)
        if (def->rollups[r].bucket != STORE_BUCKET_NONE)
            st = add_cast(b->plan, def->rollups[r].time.name, def->rollups[r].time.type);
    return st;
}

static size_t prepared_column(struct binding *b, const char *name)
{
    size_t i = 0;
    while (strcasecmp(duck_statement_name(b->prepared, i), name) != 0)
        i++;
    return i;
}

static bool is_one_of(const char *type, const char *const *types)
{
    while (*types && strcmp(*types, type) != 0)
        types++;
    return *types;
}

/* How many digits a number of this type has behind the point; -1: any, or it is no number. */
static int digits_of(enum store_type type)
{
    switch (STORE_TYPE_BASE(type)) {
    case STORE_DECIMAL:
        return (int)STORE_DECIMAL_SCALE(type);
    case STORE_BOOLEAN:
    case STORE_DOUBLE:
    case STORE_VARCHAR:
    case STORE_DATE:
    case STORE_TIMESTAMP:
    case STORE_LIST:
        return -1;
    default:
        return 0;
    }
}

#define CHANGED_SIZE 512

/* SQL that is true where the cast of `x`, a `from`, to this scalar type does not leave its value as
 * it is; false: it always does. */
static bool say_changed(char out[CHANGED_SIZE], const char *x, const char *from, enum store_type to)
{
    static const char *const texts[] = {"VARCHAR", "ENUM", NULL};
    static const char *const floats[] = {"FLOAT", "DOUBLE", NULL};
    static const char *const wholes[] = {"BOOLEAN",  "TINYINT", "SMALLINT", "INTEGER",
                                         "BIGINT",   "HUGEINT", "UTINYINT", "USMALLINT",
                                         "UINTEGER", "UBIGINT", "UHUGEINT", NULL};
    int digits = digits_of(to);
    bool text = is_one_of(from, texts);
    *out = '\0';
    if (text && (to == STORE_TIMESTAMP || to == STORE_DATE))
        snprintf(out, CHANGED_SIZE, "NOT regexp_full_match(CAST(%s AS VARCHAR), '%s')", x,
                 to == STORE_DATE ? RECORD_SQL_DATE : RECORD_SQL_UTC);
    else if ((to == STORE_TIMESTAMP && !strcmp(from, "TIMESTAMP_NS")) ||
             (digits >= 0 && is_one_of(from, floats)))
        snprintf(out, CHANGED_SIZE, "TRY_CAST(TRY_CAST(%s AS %s) AS %s) <> %s", x,
                 store_type_name(to), from, x);
    else if (digits >= 0 && !is_one_of(from, wholes))
        snprintf(out, CHANGED_SIZE,
                 "NOT regexp_full_match(CAST(%s AS VARCHAR), '" RECORD_SQL_DECIMAL "')", x,
                 (unsigned)digits);
    return *out;
}

/* A DECIMAL with no more digits than it may have. */
static bool is_narrow(struct binding *b, size_t i, enum store_type to)
{
    unsigned width, scale;
    if (strcmp(duck_statement_type(b->prepared, i), "DECIMAL") != 0)
        return false;
    duck_statement_decimal(&width, &scale, b->prepared, i);
    return (int)scale <= digits_of(to);
}

static void add_bad_value(struct binding *b, const struct plan_cast *c, const char *x, size_t i)
{
    char changed[CHANGED_SIZE];
    /* JSON has no word for NaN and infinity, nor has a calendar. */
    if (c->type == STORE_DOUBLE || c->type == STORE_DATE || c->type == STORE_TIMESTAMP)
        buf_addf(&b->sql, " OR NOT isfinite(TRY_CAST(%s AS %s))", x, store_type_name(c->type));
    if (!is_narrow(b, i, c->type) &&
        say_changed(changed, x, duck_statement_type(b->prepared, i), c->type))
        buf_addf(&b->sql, " OR %s", changed);
}

/* A list's cast leaves null where an element's failed. Of a text its texts are looked at. */
static void add_bad_elements(struct binding *b, const struct plan_cast *c, const char *x, size_t i)
{
    const char *type = store_type_name(c->type);
    enum store_type to = STORE_LIST_ELEMENT(c->type);
    bool list = is_list(b, i), time = to == STORE_DATE || to == STORE_TIMESTAMP;
    char changed[CHANGED_SIZE];
    if (list)
        buf_addf(&b->sql, " OR list_count(%s) <> list_count(TRY_CAST(%s AS %s))", x, x, type);
    if (say_changed(changed, "\"#x\"", list ? duck_statement_element(b->prepared, i) : "VARCHAR",
                    to))
        buf_addf(&b->sql, " OR list_contains(list_transform(%s%s%s, lambda \"#x\": %s), true)",
                 list ? "" : "TRY_CAST(", x, list ? "" : " AS VARCHAR[])", changed);
    if (time || to == STORE_DOUBLE)
        buf_addf(&b->sql,
                 " OR list_contains(list_transform(TRY_CAST(%s AS %s), lambda \"#x\": "
                 "isfinite(\"#x\")%s), false)",
                 x, type, time ? " AND year(\"#x\") BETWEEN 1 AND 9999" : "");
}

void plan_add_bad(struct binding *b)
{
    buf_addstr(&b->sql, "CASE");
    for (size_t i = 0; i < b->plan->cast_count; i++) {
        const struct plan_cast *c = &b->plan->casts[i];
        size_t column = prepared_column(b, c->field);
        char x[STORE_NAME_SIZE + 2]; /* names of a definition have no quotes */
        snprintf(x, sizeof x, "\"%s\"", c->field);
        buf_addf(&b->sql, " WHEN %s IS NOT NULL AND (TRY_CAST(%s AS %s) IS NULL", x, x,
                 store_type_name(c->type));
        if (STORE_TYPE_BASE(c->type) == STORE_LIST)
            add_bad_elements(b, c, x, column);
        else
            add_bad_value(b, c, x, column);
        buf_addf(&b->sql, ") THEN %zu", i);
    }
    buf_addstr(&b->sql, b->plan->cast_count ? " ELSE -1 END" : " WHEN false THEN 0 ELSE -1 END");
}
