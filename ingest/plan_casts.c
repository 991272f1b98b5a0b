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

static unsigned char shape_of(enum store_type type)
{
    return STORE_TYPE_BASE(type) == STORE_DECIMAL
               ? (unsigned char)(RECORD_DECIMAL + STORE_DECIMAL_SCALE(type))
               : record_shape(store_type_name(type), 0);
}

/* A number that has so many digits behind its point, and no more. */
static bool is_exact(unsigned char shape)
{
    return shape == RECORD_INTEGER || shape >= RECORD_DECIMAL;
}

static const char *const floats[] = {"FLOAT", "DOUBLE", NULL};

/* DuckDB computes the digits of a DECIMAL from a FLOAT or DOUBLE, and where they are many these are
 * others than those that it writes. No list has DECIMALs. */
static bool is_written(const char *from, enum store_type to)
{
    return STORE_TYPE_BASE(to) == STORE_DECIMAL && is_one_of(from, floats);
}

/* Up to 15 digits in all are computed right, for a fraction of what writing costs. */
static void say_small(char out[100], const char *x, const char *from, enum store_type to)
{
    if (!strcmp(from, "DOUBLE"))
        snprintf(out, 100, "abs(%s) < 1e%d", x, 15 - (int)STORE_DECIMAL_SCALE(to));
    else
        snprintf(out, 100, "false");
}

void plan_add_cast(struct binding *b, size_t column, const char *name, enum store_type type)
{
    const char *from = duck_statement_type(b->prepared, column), *to = store_type_name(type);
    char x[STORE_NAME_SIZE + 2], small[100]; /* names of a definition have no quotes */
    snprintf(x, sizeof x, "\"%s\"", name);
    if (!is_written(from, type)) {
        buf_addf(&b->sql, "TRY_CAST(%s AS %s)", x, to);
        return;
    }
    say_small(small, x, from, type);
    buf_addf(&b->sql,
             "CASE WHEN %s THEN TRY_CAST(%s AS %s) ELSE TRY_CAST(CAST(%s AS VARCHAR) AS %s) END",
             small, x, to, x, to);
}

#define CHANGED_SIZE 1024

/* SQL that is true where the cast of `x`, a `from`, to this scalar type does not leave its value as
 * it is; false: it always does. */
static bool say_changed(char out[CHANGED_SIZE], const char *x, const char *from, enum store_type to)
{
    static const char *const texts[] = {"VARCHAR", "ENUM", NULL};
    static const char *const wholes[] = {"BOOLEAN",  "TINYINT", "SMALLINT", "INTEGER",
                                         "BIGINT",   "HUGEINT", "UTINYINT", "USMALLINT",
                                         "UINTEGER", "UBIGINT", "UHUGEINT", NULL};
    unsigned char shape = shape_of(to);
    bool exact = is_exact(shape);
    bool back =
        exact ? is_one_of(from, floats) : to == STORE_TIMESTAMP && !strcmp(from, "TIMESTAMP_NS");
    bool shaped = exact ? !is_one_of(from, wholes) : shape && is_one_of(from, texts);
    char moved[CHANGED_SIZE / 4], other[CHANGED_SIZE / 4], small[100];
    snprintf(moved, sizeof moved, "TRY_CAST(TRY_CAST(%s AS %s) AS %s) <> %s", x,
             store_type_name(to), from, x);
    snprintf(other, sizeof other, "NOT \"#shaped\"(CAST(%s AS VARCHAR), %u)", x, shape);
    say_small(small, x, from, to);
    *out = '\0';
    if (is_written(from, to))
        snprintf(out, CHANGED_SIZE, "CASE WHEN %s THEN %s ELSE %s END", small, moved, other);
    else if (back || shaped)
        snprintf(out, CHANGED_SIZE, "%s", back ? moved : other);
    return *out;
}

/* A DECIMAL with no more digits than it may have. */
static bool is_narrow(struct binding *b, size_t i, enum store_type to)
{
    unsigned char shape = shape_of(to);
    unsigned width, scale, digits = shape >= RECORD_DECIMAL ? shape - RECORD_DECIMAL : 0;
    if (!is_exact(shape) || strcmp(duck_statement_type(b->prepared, i), "DECIMAL") != 0)
        return false;
    duck_statement_decimal(&width, &scale, b->prepared, i);
    return scale <= digits;
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
        buf_addf(&b->sql, " WHEN %s IS NOT NULL AND (", x);
        plan_add_cast(b, column, c->field, c->type);
        buf_addstr(&b->sql, " IS NULL");
        if (STORE_TYPE_BASE(c->type) == STORE_LIST)
            add_bad_elements(b, c, x, column);
        else
            add_bad_value(b, c, x, column);
        buf_addf(&b->sql, ") THEN %zu", i);
    }
    buf_addstr(&b->sql, b->plan->cast_count ? " ELSE -1 END" : " WHEN false THEN 0 ELSE -1 END");
}
