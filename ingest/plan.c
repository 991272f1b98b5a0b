/* Four relations stand on each other, in a schema that the definition cannot name:
 *
 *   "#".prepared   the definition's SELECT, as it is
 *   "#".checked    what checks may see: prepared after the casts to `record`'s types
 *   "#".visible    what rollups and metrics may see: the same without the key columns of a
 *                  protected dataset, so that no expression can reach them
 *   the statement  the keys as text, the casts, which cast failed, which checks
 *                  are broken, dimensions, times and the
 *                  arguments of metrics
 *
 * Every expression is bound against "#".visible by itself first; this gives errors their place, and
 * it is what keeps a key column out: the statement has the keys under names that "#".visible lacks.
 */
#include "ingest/plan_internal.h"

#include "ingest/syntax.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void plan_release(struct plan *p)
{
    duck_statement_free(p->statement);
    free(p->casts);
    free(p->inputs);
    *p = (struct plan){0};
}

enum st plan_check(struct duck *d, const struct store_definition *definition)
{
    enum st st = syntax_check_query(d, definition);
    if (!st)
        st = plan_check_terms(d, definition);
    return st ? st : plan_check_rows(d, definition);
}

/* ---- binding ---- */

const struct store_field *plan_record_field(const struct store_definition *def, const char *name)
{
    for (size_t i = 0; i < def->record_count; i++)
        if (!strcasecmp(def->record[i].name, name))
            return &def->record[i];
    return NULL;
}

static bool is_key(const struct store_definition *def, const char *name)
{
    for (size_t i = 0; i < def->key.field_count; i++)
        if (!strcasecmp(def->key.fields[i].name, name))
            return true;
    return false;
}

static enum st need_column(struct binding *b, const char *name, const char *fmt, ...)
    ST_PRINTF(3, 4) ST_MUST_USE;
static enum st need_column(struct binding *b, const char *name, const char *fmt, ...)
{
    for (size_t i = 0; i < duck_statement_columns(b->prepared); i++)
        if (!strcasecmp(duck_statement_name(b->prepared, i), name))
            return ST_OK;
    char pointer[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(pointer, sizeof pointer, fmt, args);
    va_end(args);
    struct buf columns;
    buf_init(&columns, 4096);
    for (size_t i = 0; i < duck_statement_columns(b->prepared); i++)
        buf_addf(&columns, "%s%s", i ? ", " : "", duck_statement_name(b->prepared, i));
    enum st st = st_place(
        st_fail(ST_INVALID, "INVALID_DEFINITION", "prepare gives no column named \"%s\"", name),
        "%s", pointer);
    if (!columns.status && duck_may_say(b->duck, columns.data))
        st = st_hint(st, "its columns: %s", columns.data);
    buf_release(&columns);
    return st;
}

static enum st same_name(const struct binding *b, size_t i, size_t j, const char *name)
{
    enum st st =
        duck_may_say(b->duck, name)
            ? st_fail(ST_INVALID, "INVALID_DEFINITION", "prepare gives two columns named \"%s\"",
                      name)
            : st_fail(ST_INVALID, "INVALID_DEFINITION",
                      "the columns %zu and %zu of prepare have the same name", i + 1, j + 1);
    return st_place(st, "/prepare");
}

static enum st check_columns(struct binding *b)
{
    const struct store_definition *def = b->definition;
    enum st st = ST_OK;
    size_t count = duck_statement_columns(b->prepared);
    for (size_t i = 0; i < count; i++) {
        const char *name = duck_statement_name(b->prepared, i);
        if (name[0] == '#')
            return st_place(
                st_fail(ST_INVALID, "INVALID_DEFINITION", "a column's name may not begin with #"),
                "/prepare");
        for (size_t j = 0; j < i; j++)
            if (!strcasecmp(duck_statement_name(b->prepared, j), name))
                return same_name(b, j, i, name);
    }
    for (size_t i = 0; !st && i < def->key.field_count; i++)
        st = need_column(b, def->key.fields[i].name, "/key/fields/%zu", i);
    for (size_t i = 0; !st && i < def->record_count; i++)
        st = need_column(b, def->record[i].name, "/record/%s", def->record[i].name);
    for (size_t r = 0; !st && r < def->rollup_count; r++) {
        const struct store_rollup *rollup = &def->rollups[r];
        for (size_t i = 0; !st && i < rollup->dimension_count; i++)
            st = need_column(b, rollup->dimensions[i].name, "/rollups/%s/dimensions/%zu",
                             rollup->name, i);
        if (!st && rollup->bucket != STORE_BUCKET_NONE)
            st = need_column(b, rollup->time.name, "/rollups/%s/time/field", rollup->name);
    }
    if (!st && def->duplicate_order[0])
        st = need_column(b, def->duplicate_order, "/duplicate_order");
    return st;
}

/* The prepared columns as they are cast; those of "#".checked and, without the key columns of a
 * protected dataset, those of "#".visible. */
static void add_columns(struct binding *b, bool with_keys, bool casts)
{
    const struct store_definition *def = b->definition;
    buf_addstr(&b->sql, "NULL AS \"#none\"");
    for (size_t i = 0; i < duck_statement_columns(b->prepared); i++) {
        const char *name = duck_statement_name(b->prepared, i);
        const struct store_field *field = plan_record_field(def, name);
        if (!with_keys && def->key.protect != STORE_PROTECT_NONE && is_key(def, name))
            continue;
        buf_addstr(&b->sql, ", ");
        if (field && casts) {
            plan_add_cast(b, i, name, field->type);
            buf_addstr(&b->sql, " AS ");
        }
        duck_add_name(&b->sql, field ? field->name : name);
    }
}

static enum st make_view(struct binding *b, const char *name, bool with_keys)
{
    buf_reset(&b->sql);
    buf_addf(&b->sql, "CREATE VIEW \"#\".%s AS SELECT ", name);
    add_columns(b, with_keys, true);
    buf_addstr(&b->sql, " FROM \"#\".prepared");
    enum st st = buf_status(&b->sql);
    return st ? st : duck_run(b->duck, "naming the rows", b->sql.data);
}

static enum st make_views(struct binding *b)
{
    buf_reset(&b->sql);
    buf_addf(&b->sql, "CREATE VIEW \"#\".prepared AS %s", b->definition->prepare);
    enum st st = duck_run(b->duck, "making the schema", "CREATE SCHEMA \"#\"");
    if (!st)
        st = buf_status(&b->sql);
    if (!st)
        st = duck_run(b->duck, "naming the prepared rows", b->sql.data);
    if (!st)
        st = make_view(b, "checked", true);
    return st ? st : make_view(b, "visible", false);
}

enum st plan_place(const struct binding *b, enum st st, const char *pointer, const char *text,
                   const char *head)
{
    size_t offset = duck_error_offset(b->duck), skip = strlen(head);
    return syntax_place(st, pointer, text,
                        offset == DUCK_NO_OFFSET || offset < skip ? DUCK_NO_OFFSET : offset - skip);
}

/* A record's field as the collector takes it. */
static void add_field(struct buf *sql, const struct store_field *field)
{
    enum store_type base = STORE_TYPE_BASE(field->type);
    if (base == STORE_DECIMAL)
        buf_addstr(sql, "CAST(");
    else if (base == STORE_LIST)
        buf_addstr(sql, STORE_LIST_ELEMENT(field->type) == STORE_TIMESTAMP
                            ? "CAST(to_json(list_transform("
                            : "CAST(to_json(");
    duck_add_name(sql, field->name);
    if (base == STORE_DECIMAL)
        buf_addf(sql, " AS DECIMAL(18,%u))", STORE_DECIMAL_SCALE(field->type));
    else if (base == STORE_LIST)
        buf_addstr(sql, STORE_LIST_ELEMENT(field->type) == STORE_TIMESTAMP
                            ? ", lambda \"#x\": CASE WHEN microsecond(\"#x\") % 1000000 = 0 THEN "
                              "strftime(\"#x\", '%Y-%m-%dT%H:%M:%SZ') ELSE "
                              "strftime(\"#x\", '%Y-%m-%dT%H:%M:%S.%fZ') END)) AS VARCHAR)"
                            : ") AS VARCHAR)");
}

/* Which cell of a rollup a record belongs to. */
static void add_tuple(struct buf *sql, const struct store_rollup *rollup)
{
    for (size_t i = 0; i < rollup->dimension_count; i++) {
        const struct store_field *d = &rollup->dimensions[i];
        buf_addstr(sql, ", CAST(");
        duck_add_name(sql, d->name);
        if (STORE_TYPE_BASE(d->type) == STORE_DECIMAL)
            buf_addf(sql, " AS DECIMAL(18,%u))", STORE_DECIMAL_SCALE(d->type));
        else
            buf_addf(sql, " AS %s)", store_type_name(d->type));
    }
    if (rollup->bucket == STORE_BUCKET_NONE)
        return;
    buf_addstr(sql, ", TRY_CAST(");
    duck_add_name(sql, rollup->time.name);
    buf_addf(sql, " AS %s)", store_type_name(rollup->time.type));
}

/* What the statement takes its columns from: the rows as "#".visible has them, with their keys
 * under other names, which cast failed and which checks are broken. */
static void add_rows(struct binding *b)
{
    const struct store_definition *def = b->definition;
    struct buf *sql = &b->sql;
    buf_addstr(sql, "(SELECT ");
    for (size_t i = 0; i < def->key.field_count; i++)
        buf_addf(sql, "\"#k%zu\", ", i);
    buf_addstr(sql, "\"#bad\"");
    plan_add_rules(b);
    buf_addstr(sql, ", ");
    add_columns(b, false, false);
    buf_addstr(sql, " FROM (SELECT ");
    for (size_t i = 0; i < def->key.field_count; i++) {
        buf_addstr(sql, "CAST(");
        duck_add_name(sql, def->key.fields[i].name);
        buf_addf(sql, " AS VARCHAR) AS \"#k%zu\", ", i);
    }
    plan_add_bad(b);
    buf_addstr(sql, "::INTEGER AS \"#bad\", ");
    add_columns(b, true, true);
    buf_addf(sql, " FROM \"#\".%s) AS \"#cast\") AS \"#rows\"", b->placed ? "placed" : "prepared");
}

static enum st make_statement(struct binding *b)
{
    const struct store_definition *def = b->definition;
    struct buf *sql = &b->sql;
    const unsigned char *inputs = b->plan->inputs;
    enum st st = ST_OK;
    buf_reset(sql);
    buf_addstr(sql, "SELECT ");
    for (size_t i = 0; i < def->key.field_count; i++)
        buf_addf(sql, "\"#k%zu\", ", i);
    for (size_t i = 0; i < def->record_count; i++) {
        add_field(sql, &def->record[i]);
        buf_addstr(sql, ", ");
    }
    buf_addstr(sql, "\"#bad\", \"#failed\"");
    if (def->duplicate_order[0])
        buf_addstr(sql, ", \"#order\"");
    for (size_t r = 0; !st && r < def->rollup_count; r++) {
        add_tuple(sql, &def->rollups[r]);
        st = plan_add_terms(sql, def, &def->rollups[r], &inputs);
    }
    if (!st)
        st = plan_add_terms(sql, def, &def->judged, &inputs);
    if (b->placed) {
        buf_addstr(sql, ", ");
        duck_add_name(sql, b->placed->column);
    }
    buf_addstr(sql, " FROM ");
    add_rows(b);
    if (!st)
        st = buf_status(sql);
    if (!st)
        st = duck_prepare(&b->plan->statement, b->duck, sql->data);
    if (!st && b->placed)
        b->plan->place = duck_statement_columns(b->plan->statement) - 1;
    return st ? st_place(st_wrap(st, "the definition's parts do not fit together"), "/") : ST_OK;
}

enum st plan_bind_parts(struct binding *b)
{
    enum st st = plan_collect_casts(b);
    if (!st)
        st = plan_bind_terms(b);
    if (!st)
        st = plan_bind_checks(b);
    if (!st)
        st = plan_bind_order(b);
    return st ? st : make_statement(b);
}

enum st plan_bind(struct plan *out, struct duck *d, const struct store_definition *definition)
{
    struct binding b = {.duck = d, .definition = definition, .plan = out};
    *out = (struct plan){0};
    buf_init(&b.sql, PLAN_SQL_MAX);
    enum st st = plan_check(d, definition);
    if (!st && (st = duck_prepare(&b.prepared, d, definition->prepare)))
        st = syntax_place(st, "/prepare", definition->prepare, duck_error_offset(d));
    if (!st)
        st = check_columns(&b);
    if (!st)
        st = make_views(&b);
    if (!st)
        st = plan_bind_parts(&b);
    duck_statement_free(b.prepared);
    buf_release(&b.sql);
    if (st)
        plan_release(out);
    return st;
}
