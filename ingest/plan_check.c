/* Checks in SQL. Those of single rows are one column of the statement, a bit for each that is
 * broken; those of values in many rows are counted by statements of their own. */
#include "ingest/plan_internal.h"

#include "ingest/syntax.h"

#include <string.h>

static const char head[] = "SELECT (";

static void pointer_of(char out[64], const struct store_definition *def,
                       const struct store_check *c)
{
    snprintf(out, 64, "/checks/%zu/%s", (size_t)(c - def->checks), c->member);
}

enum st plan_check_rows(struct duck *d, const struct store_definition *def)
{
    char pointer[64];
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < def->check_count; i++) {
        pointer_of(pointer, def, &def->checks[i]);
        if (def->checks[i].kind == STORE_CHECK_ROW)
            st = syntax_check_expression(d, def->checks[i].expression, pointer);
    }
    return st;
}

static enum st bind_row(struct binding *b, const struct store_check *c)
{
    struct duck_statement *statement = NULL;
    char pointer[64];
    pointer_of(pointer, b->definition, c);
    buf_reset(&b->sql);
    buf_addf(&b->sql, "%s%s\n) FROM \"#\".checked", head, c->expression);
    enum st st = buf_status(&b->sql);
    if (st)
        return st;
    st = duck_prepare(&statement, b->duck, b->sql.data);
    if (st)
        return plan_place(b, st, pointer, c->expression, head);
    if (strcmp(duck_statement_type(statement, 0), "BOOLEAN") != 0)
        st = st_place(st_fail(ST_INVALID, "INVALID_DEFINITION",
                              "the condition is %s; true or false (BOOLEAN) is expected",
                              duck_statement_type(statement, 0)),
                      "%s", pointer);
    duck_statement_free(statement);
    return st;
}

static void add_relation(struct buf *sql, const char *source)
{
    if (source[0])
        duck_add_name(sql, source);
    else
        buf_addstr(sql, "\"#\".checked");
}

/* The distinct values of a column as text, as v. */
static void add_values(struct buf *sql, const char *source, const char *column)
{
    buf_addstr(sql, "(SELECT DISTINCT CAST(");
    duck_add_name(sql, column);
    buf_addstr(sql, " AS VARCHAR) AS v FROM ");
    add_relation(sql, source);
    buf_addstr(sql, " WHERE ");
    duck_add_name(sql, column);
    buf_addstr(sql, " IS NOT NULL)");
}

/* How many values there are, or how many of them break the check. */
static void add_count(struct buf *sql, const struct store_check *c, bool broken)
{
    buf_addstr(sql, "SELECT count(*) FROM ");
    if (c->kind == STORE_CHECK_UNIQUE) {
        buf_addf(sql,
                 "(SELECT %s FROM (SELECT DISTINCT * FROM \"#\".checked) WHERE %s "
                 "GROUP BY ALL%s)",
                 c->expression, c->condition, broken ? " HAVING count(*) > 1" : "");
        return;
    }
    add_values(sql, c->from_source, c->from_column);
    if (broken) {
        buf_addstr(sql, " ANTI JOIN ");
        add_values(sql, c->to_source, c->to_column);
        buf_addstr(sql, " USING (v)");
    }
}

static enum st bind_values(struct binding *b, const struct store_check *c)
{
    struct duck_statement *statement = NULL;
    char pointer[64];
    buf_reset(&b->sql);
    add_count(&b->sql, c, true);
    enum st st = buf_status(&b->sql);
    if (!st && (st = duck_prepare(&statement, b->duck, b->sql.data))) {
        pointer_of(pointer, b->definition, c);
        st = st_place(st, "%s", pointer);
    }
    duck_statement_free(statement);
    return st;
}

enum st plan_bind_checks(struct binding *b)
{
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < b->definition->check_count; i++) {
        const struct store_check *c = &b->definition->checks[i];
        if (c->kind == STORE_CHECK_ROW)
            st = bind_row(b, c);
        else if (c->kind != STORE_CHECK_METRIC)
            st = bind_values(b, c);
    }
    return st;
}

enum st plan_count_values(uint64_t *broken, uint64_t *of, struct duck *d,
                          const struct store_check *c)
{
    int64_t counts[2] = {0, 0};
    struct buf sql;
    enum st st = ST_OK;
    buf_init(&sql, 1u << 20);
    for (size_t i = 0; !st && i < 2; i++) {
        buf_reset(&sql);
        add_count(&sql, c, i == 0);
        st = buf_status(&sql);
        if (!st)
            st = duck_count(&counts[i], d, c->name, sql.data);
    }
    buf_release(&sql);
    *broken = (uint64_t)counts[0];
    *of = (uint64_t)counts[1];
    return st;
}

/* ---- the order of duplicates ---- */

static const struct {
    const char *from;
    enum store_type as;
} ORDERS[] = {
    {"BOOLEAN", STORE_BIGINT},      {"TINYINT", STORE_BIGINT},  {"SMALLINT", STORE_BIGINT},
    {"INTEGER", STORE_BIGINT},      {"BIGINT", STORE_BIGINT},   {"UTINYINT", STORE_BIGINT},
    {"USMALLINT", STORE_BIGINT},    {"UINTEGER", STORE_BIGINT}, {"DATE", STORE_TIMESTAMP},
    {"TIMESTAMP", STORE_TIMESTAMP}, {"FLOAT", STORE_DOUBLE},    {"DOUBLE", STORE_DOUBLE},
    {"VARCHAR", STORE_VARCHAR},
};

enum st plan_bind_order(struct binding *b)
{
    const char *column = b->definition->duplicate_order;
    struct duck_statement *statement = NULL;
    if (!column[0])
        return ST_OK;
    buf_reset(&b->sql);
    buf_addstr(&b->sql, "SELECT ");
    duck_add_name(&b->sql, column);
    buf_addstr(&b->sql, " FROM \"#\".checked");
    enum st st = buf_status(&b->sql);
    if (!st)
        st = duck_prepare(&statement, b->duck, b->sql.data);
    if (st)
        return st_place(st, "/duplicate_order");
    const char *type = duck_statement_type(statement, 0);
    size_t i = 0;
    while (i < sizeof ORDERS / sizeof *ORDERS && strcmp(ORDERS[i].from, type) != 0)
        i++;
    if (i < sizeof ORDERS / sizeof *ORDERS)
        b->plan->order = ORDERS[i].as;
    else
        st = st_hint(
            st_place(st_fail(ST_INVALID, "INVALID_DEFINITION",
                             "the column \"%s\" is %s, which has no order here", column, type),
                     "/duplicate_order"),
            "cast it in prepare: a number, date, time or text");
    duck_statement_free(statement);
    return st;
}

void plan_add_rules(struct binding *b)
{
    const struct store_definition *def = b->definition;
    buf_addstr(&b->sql, ", (0::BIGINT");
    for (size_t i = 0; i < def->check_count; i++)
        if (def->checks[i].kind == STORE_CHECK_ROW)
            buf_addf(&b->sql, " | CASE WHEN NOT (%s\n) THEN %llu::BIGINT ELSE 0::BIGINT END",
                     def->checks[i].expression, 1ull << i);
    buf_addstr(&b->sql, ") AS \"#failed\"");
    if (!def->duplicate_order[0])
        return;
    buf_addstr(&b->sql, ", CAST(");
    duck_add_name(&b->sql, def->duplicate_order);
    buf_addf(&b->sql, " AS %s) AS \"#order\"", store_type_name(b->plan->order));
}
