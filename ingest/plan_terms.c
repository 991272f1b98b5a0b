/* The terms of metrics in SQL: DuckDB sees the scalar expression that an aggregate is around, once
 * to bind it and tell its type, and once as a column of the statement. */
#include "ingest/plan_internal.h"

#include "ingest/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The JSON pointer of a check's, gate's or rollup's metric. */
static void metric_pointer(char out[256], const struct store_definition *def,
                           const struct store_rollup *rollup, const struct store_metric *metric)
{
    size_t i = (size_t)(metric - rollup->metrics);
    if (rollup != &def->judged) {
        snprintf(out, 256, "/rollups/%s/metrics/%s", rollup->name, metric->name);
        return;
    }
    for (size_t c = 0; c < def->check_count; c++)
        if (def->checks[c].kind == STORE_CHECK_METRIC && def->checks[c].metric == i)
            snprintf(out, 256, "/checks/%zu/metric", c);
    for (size_t g = 0; g < def->gate_count; g++)
        if (def->gates[g].metric == i)
            snprintf(out, 256, "/gates/%zu/%s", g,
                     json_object_get(json_array_get(json_object_get(def->document, "gates"), g),
                                     "null_rate")
                         ? "null_rate"
                         : "metric");
}

typedef enum st (*term_fn)(const struct store_term *term, const char *pointer, void *ctx);

static enum st each_term(const struct store_definition *def, const struct store_rollup *r,
                         term_fn fn, void *ctx)
{
    char pointer[300];
    enum st st = ST_OK;
    for (size_t m = 0; !st && m < r->metric_count; m++)
        for (size_t i = 0; !st && i < (r->metrics[m].ratio ? 2u : 1u); i++) {
            metric_pointer(pointer, def, r, &r->metrics[m]);
            if (r->metrics[m].ratio && r != &def->judged)
                snprintf(pointer + strlen(pointer), 16, "/ratio/%zu", i);
            st = fn(&r->metrics[m].terms[i], pointer, ctx);
        }
    return st;
}

static enum st check_term(const struct store_term *term, const char *pointer, void *ctx)
{
    return term->aggregate == STORE_COUNT_ALL
               ? ST_OK
               : syntax_check_expression(ctx, term->expression, pointer);
}

enum st plan_check_terms(struct duck *d, const struct store_definition *def)
{
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < def->rollup_count; i++)
        st = each_term(def, &def->rollups[i], check_term, d);
    return st ? st : each_term(def, &def->judged, check_term, d);
}

/* Whether an aggregate takes such an argument, and as what. */
static bool input_of(unsigned char *input, enum store_aggregate aggregate,
                     struct duck_statement *statement)
{
    const char *type = duck_statement_type(statement, 0);
    bool extreme = aggregate == STORE_MIN || aggregate == STORE_MAX;
    unsigned width, scale;
    *input = STORE_INPUT_INTEGER;
    if (aggregate == STORE_COUNT)
        return true;
    if (aggregate == STORE_DISTINCT)
        return duck_statement_kind(statement, 0) != DUCK_NESTED;
    if (duck_statement_kind(statement, 0) == DUCK_INTEGRAL)
        return true;
    if (!strcmp(type, "DOUBLE") || !strcmp(type, "FLOAT") ||
        (aggregate == STORE_QUANTILE && !strcmp(type, "DECIMAL"))) {
        *input = STORE_INPUT_DOUBLE;
        return true;
    }
    if (!strcmp(type, "DECIMAL")) {
        duck_statement_decimal(&width, &scale, statement, 0);
        *input = (unsigned char)(STORE_INPUT_DECIMAL + scale);
        return width <= 18;
    }
    *input = !strcmp(type, "DATE") ? STORE_INPUT_DATE : STORE_INPUT_TIMESTAMP;
    return extreme && (!strcmp(type, "DATE") || !strcmp(type, "TIMESTAMP"));
}

static enum st note_input(struct plan *p, unsigned char input)
{
    unsigned char *inputs = realloc(p->inputs, p->input_count + 1);
    if (!inputs)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    p->inputs = inputs;
    p->inputs[p->input_count++] = input;
    return ST_OK;
}

static enum st bind_term(const struct store_term *term, const char *pointer, void *ctx)
{
    static const char head[] = "SELECT (";
    struct binding *b = ctx;
    struct duck_statement *statement = NULL;
    unsigned char input;
    if (term->aggregate == STORE_COUNT_ALL)
        return note_input(b->plan, STORE_INPUT_INTEGER);
    buf_reset(&b->sql);
    buf_addf(&b->sql, "%s%s\n) FROM \"#\".visible", head, term->expression);
    enum st st = buf_status(&b->sql);
    if (!st)
        st = duck_prepare(&statement, b->duck, b->sql.data);
    if (st)
        return plan_place(b, st, pointer, term->expression, head);
    if (input_of(&input, term->aggregate, statement))
        st = note_input(b->plan, input);
    else
        st = st_hint(st_place(st_fail(ST_INVALID, "METRIC_TYPE",
                                      "the metric's argument is %s; sum, avg and quantile take "
                                      "numbers, min and max also dates and times",
                                      duck_statement_type(statement, 0)),
                              "%s", pointer),
                     "cast it, for instance x::DOUBLE or x::DECIMAL(18,2): integers up to BIGINT, "
                     "DECIMAL up to 18 digits");
    duck_statement_free(statement);
    return st;
}

struct terms {
    struct buf *sql;
    const unsigned char *input; /* of the next term */
};

static enum st add_term(const struct store_term *term, const char *pointer, void *ctx)
{
    struct terms *t = ctx;
    unsigned char input = *t->input++;
    const char *x = term->expression;
    (void)pointer;
    if (term->aggregate == STORE_COUNT_ALL)
        return ST_OK;
    if (term->aggregate == STORE_COUNT)
        buf_addf(t->sql, ", CASE WHEN (%s\n) IS NULL THEN NULL ELSE 1::BIGINT END", x);
    else if (term->aggregate == STORE_DISTINCT)
        buf_addf(t->sql, ", CAST((%s\n) AS VARCHAR)", x);
    else if (input >= STORE_INPUT_DECIMAL)
        buf_addf(t->sql, ", CAST((%s\n) AS DECIMAL(18,%d))", x, input - STORE_INPUT_DECIMAL);
    else if (input == STORE_INPUT_DATE)
        buf_addf(t->sql, ", ((%s\n) - DATE '1970-01-01')", x);
    else if (input == STORE_INPUT_TIMESTAMP)
        buf_addf(t->sql, ", (%s\n)", x);
    else
        buf_addf(t->sql, ", CAST((%s\n) AS %s)", x,
                 input == STORE_INPUT_DOUBLE ? "DOUBLE" : "BIGINT");
    return buf_status(t->sql);
}

enum st plan_bind_terms(struct binding *b)
{
    const struct store_definition *def = b->definition;
    enum st st = ST_OK;
    for (size_t i = 0; !st && i < def->rollup_count; i++)
        st = each_term(def, &def->rollups[i], bind_term, b);
    return st ? st : each_term(def, &def->judged, bind_term, b);
}

enum st plan_add_terms(struct buf *sql, const struct store_definition *def,
                       const struct store_rollup *rollup, const unsigned char **inputs)
{
    struct terms terms = {sql, *inputs};
    enum st st = each_term(def, rollup, add_term, &terms);
    *inputs = terms.input;
    return st;
}
