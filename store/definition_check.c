#include "store/definition_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Checks and gates of a definition. A check is one of several kinds, told by the member that it
 * has; shorthands become the SQL that their author would have written. The metrics of both are
 * gathered in one rollup without dimensions, so that whatever computes rollups computes them. */

#define EXPRESSION_MAX (64u << 10)
#define CHECK_HINT                                                                                 \
    "a check has one of: expect, metric, not_null, unique, accepted_values, references"

static const char *const EFFECTS[] = {
    [STORE_EFFECT_REJECT] = "reject", [STORE_EFFECT_WARN] = "warn", [STORE_EFFECT_FAIL] = "fail"};

const char *store_effect_name(enum store_effect effect)
{
    return EFFECTS[effect];
}

enum st definition_number(double *out, bool *has, const json_t *object, const char *pointer,
                          const char *name, double min, double max)
{
    const json_t *value = json_object_get(object, name);
    char place[DEFINITION_POINTER_SIZE];

    *has = value && !json_is_null(value);
    if (!*has)
        return ST_OK;
    *out = json_number_value(value);
    if (json_is_number(value) && *out >= min && *out <= max)
        return ST_OK;
    definition_pointer(place, pointer, name);
    return isinf(min) || isinf(max)
               ? definition_fail(place, "a number is expected%s", isinf(min) ? "" : ", 0 or more")
               : definition_fail(place, "a number from %g to %g is expected", min, max);
}

static void add_quoted(struct buf *out, const char *text, char quote)
{
    buf_addch(out, quote);
    for (; *text; text++) {
        if (*text == quote)
            buf_addch(out, quote);
        buf_addch(out, *text);
    }
    buf_addch(out, quote);
}

/* ---- shorthands ---- */

/* A column's name or a list of them, each written by `head`, the quoted name and `tail`. */
static enum st add_columns(struct buf *out, const json_t *value, const char *pointer,
                           const char *separator, const char *tail)
{
    size_t count = json_is_array(value) ? json_array_size(value) : 1;

    for (size_t i = 0; i < count; i++) {
        const char *name =
            json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
        if (!name || !*name || strlen(name) > 127)
            return definition_fail(pointer, "the name of a prepared column, or a list of them, is "
                                            "expected");
        buf_addstr(out, i ? separator : "");
        add_quoted(out, name, '"');
        buf_addstr(out, tail);
    }
    return count ? ST_OK : definition_fail(pointer, "at least one column is expected");
}

static enum st add_accepted(struct buf *out, const json_t *value, const char *pointer)
{
    static const char *const MEMBERS[] = {"field", "values", NULL};
    char place[DEFINITION_POINTER_SIZE];
    const char *field;
    json_t *values, *item;
    size_t i;

    if (!json_is_object(value))
        return definition_fail(pointer, "an object with \"field\" and \"values\" is expected");
    if (jx_only(value, pointer, MEMBERS) || jx_need_string(&field, value, pointer, "field") ||
        jx_array(&values, value, pointer, "values"))
        return definition_adopt(pointer);
    definition_pointer(place, pointer, "values");
    if (json_array_size(values) == 0)
        return definition_fail(place, "a list of values is expected");
    add_quoted(out, field, '"');
    buf_addstr(out, " IN (");
    json_array_foreach(values, i, item)
    {
        buf_addstr(out, i ? ", " : "");
        if (json_is_string(item))
            add_quoted(out, json_string_value(item), '\'');
        else if (json_is_integer(item))
            buf_addi64(out, json_integer_value(item));
        else if (json_is_boolean(item))
            buf_addstr(out, json_is_true(item) ? "true" : "false");
        else
            return definition_fail(place, "values are strings, integers, true or false");
    }
    buf_addch(out, ')');
    return ST_OK;
}

static const struct store_source *source_named(const struct store_definition *d, const char *name,
                                               size_t len)
{
    for (size_t i = 0; i < d->source_count; i++)
        if (strlen(d->sources[i].name) == len && strncasecmp(d->sources[i].name, name, len) == 0)
            return &d->sources[i];
    return NULL;
}

/* "source.column"; without a source in front, a prepared column. */
static enum st parse_column(char source[STORE_NAME_SIZE], char column[128],
                            const struct store_definition *d, const char *text, const char *pointer)
{
    const char *dot = strchr(text, '.');
    const struct store_source *s = dot ? source_named(d, text, (size_t)(dot - text)) : NULL;

    if (s)
        text = dot + 1;
    if (!*text || strlen(text) > 127)
        return definition_fail(pointer, "the name of a column is expected");
    memcpy(source, s ? s->name : "", s ? STORE_NAME_SIZE : 1);
    snprintf(column, 128, "%s", text);
    return ST_OK;
}

static enum st parse_reference(struct store_check *c, const struct store_definition *d,
                               const json_t *value, const char *pointer)
{
    static const char *const MEMBERS[] = {"from", "to", NULL};
    char at_from[DEFINITION_POINTER_SIZE], at_to[DEFINITION_POINTER_SIZE];
    const char *from, *to;

    if (!json_is_object(value))
        return definition_fail(pointer, "an object with \"from\" and \"to\" is expected");
    if (jx_only(value, pointer, MEMBERS) || jx_need_string(&from, value, pointer, "from") ||
        jx_need_string(&to, value, pointer, "to"))
        return definition_adopt(pointer);
    definition_pointer(at_from, pointer, "from");
    definition_pointer(at_to, pointer, "to");
    enum st st = parse_column(c->from_source, c->from_column, d, from, at_from);
    if (!st)
        st = parse_column(c->to_source, c->to_column, d, to, at_to);
    if (!st && !c->to_source[0])
        st = definition_fail(at_to, "a column of a source is expected: SOURCE.COLUMN");
    return st;
}

/* ---- metrics ---- */

/* The text by which a metric's value is found in another version's row. */
static enum st judge_metric(size_t *index, struct store_definition *d, const char *name,
                            const char *pointer, const json_t *value)
{
    struct store_rollup *r = &d->judged;
    struct store_metric *m = &r->metrics[ *index = r->metric_count];

    if (r->metric_count++ == STORE_METRICS_MAX)
        return definition_fail(pointer, "checks and gates together have more than %d metrics",
                               STORE_METRICS_MAX);

    snprintf(m->name, sizeof m->name, "%s", name);
    enum st st = definition_parse_metric(m, pointer, value);
    r->term_count += m->ratio ? 2 : 1;
    return st;
}

static enum st parse_limits(struct store_limits *out, const json_t *value, const char *pointer)
{
    enum st st =
        definition_number(&out->min, &out->has_min, value, pointer, "min", -INFINITY, INFINITY);

    if (!st)
        st =
            definition_number(&out->max, &out->has_max, value, pointer, "max", -INFINITY, INFINITY);
    if (!st && out->has_min && out->has_max && out->min > out->max)
        st = definition_fail(pointer, "\"min\" is greater than \"max\"");
    return st;
}

/* ---- checks ---- */

enum { EXPECT, METRIC, NOT_NULL, UNIQUE, ACCEPTED, REFERENCES, KINDS };
static const struct {
    const char *member;
    enum store_check_kind kind;
} CHECKS[KINDS] = {
    [EXPECT] = {"expect", STORE_CHECK_ROW},
    [METRIC] = {"metric", STORE_CHECK_METRIC},
    [NOT_NULL] = {"not_null", STORE_CHECK_ROW},
    [UNIQUE] = {"unique", STORE_CHECK_UNIQUE},
    [ACCEPTED] = {"accepted_values", STORE_CHECK_ROW},
    [REFERENCES] = {"references", STORE_CHECK_REFERENCE},
};

/* What was written to `sql`, to free(). */
static enum st take_sql(char **out, struct buf *sql, const char *pointer)
{
    enum st st = buf_status(sql);

    if (st == ST_TOO_LARGE)
        return definition_fail(pointer, "it is longer than %u bytes", EXPRESSION_MAX);
    if (!st && !(*out = buf_take(sql)))
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    return st;
}

static enum st parse_subject(struct store_check *c, struct store_definition *d, size_t kind,
                             const json_t *check, const char *pointer)
{
    const json_t *value = json_object_get(check, CHECKS[kind].member);
    char place[DEFINITION_POINTER_SIZE];
    struct buf sql;
    enum st st = ST_OK;

    definition_pointer(place, pointer, CHECKS[kind].member);
    buf_init(&sql, EXPRESSION_MAX);
    switch (kind) {
    case METRIC:
        st = judge_metric(&c->metric, d, c->name, place, value);
        break;
    case NOT_NULL:
        st = add_columns(&sql, value, place, " AND ", " IS NOT NULL");
        break;
    case UNIQUE:
        st = add_columns(&sql, value, place, " AND ", " IS NOT NULL");
        if (!st)
            st = take_sql(&c->condition, &sql, place);
        if (!st)
            st = add_columns(&sql, value, place, ", ", "");
        break;
    case ACCEPTED:
        st = add_accepted(&sql, value, place);
        break;
    case REFERENCES:
        st = parse_reference(c, d, value, place);
        break;
    default:
        if (!json_is_string(value) || !json_string_length(value))
            st = definition_fail(place, "an SQL condition over the prepared columns is expected");
        else
            buf_addstr(&sql, json_string_value(value));
    }
    if (!st && (sql.len || sql.status))
        st = take_sql(&c->expression, &sql, place);
    buf_release(&sql);
    return st;
}

static enum st parse_effect(struct store_check *c, const json_t *check, const char *pointer)
{
    char place[DEFINITION_POINTER_SIZE];
    const char *name;
    bool given;
    size_t i = 0;

    if (jx_string(&name, check, pointer, "on_fail", EFFECTS[STORE_EFFECT_FAIL]))
        return definition_adopt(pointer);
    while (i < sizeof EFFECTS / sizeof *EFFECTS && strcmp(EFFECTS[i], name) != 0)
        i++;
    definition_pointer(place, pointer, "on_fail");
    if (i == sizeof EFFECTS / sizeof *EFFECTS)
        return definition_fail(place, "reject, warn or fail is expected");
    c->effect = (enum store_effect)i;
    if (c->effect == STORE_EFFECT_REJECT && c->kind != STORE_CHECK_ROW)
        return definition_fail(place, "only a check of single rows can reject them: warn or fail");
    c->max_ratio = c->effect == STORE_EFFECT_REJECT ? 1 : 0;
    if (c->kind == STORE_CHECK_METRIC)
        return ST_OK;
    return definition_number(&c->max_ratio, &given, check, pointer, "max_ratio", 0, 1);
}

static enum st parse_check(struct store_check *c, struct store_definition *d, const json_t *check,
                           const char *pointer)
{
    static const char *const ROW[] = {"name",     "on_fail", "max_ratio",       "expect",
                                      "not_null", "unique",  "accepted_values", "references",
                                      NULL};
    static const char *const WHOLE[] = {"name", "on_fail", "metric", "min", "max", NULL};
    char place[DEFINITION_POINTER_SIZE];
    size_t kind = KINDS, kinds = 0;
    const char *name;

    if (!json_is_object(check))
        return st_hint(definition_fail(pointer, "a check is an object"), CHECK_HINT);
    for (size_t i = 0; i < KINDS; i++)
        if (json_object_get(check, CHECKS[i].member)) {
            kind = i;
            kinds++;
        }
    if (kinds != 1)
        return st_hint(definition_fail(pointer, "one thing to check is expected"), CHECK_HINT);
    if (jx_only(check, pointer, kind == METRIC ? WHOLE : ROW) ||
        jx_string(&name, check, pointer, "name", CHECKS[kind].member))
        return definition_adopt(pointer);
    definition_pointer(place, pointer, "name");
    enum st st = definition_name(c->name, place, "check", name, false);
    if (st)
        return st;
    c->kind = CHECKS[kind].kind;
    c->member = CHECKS[kind].member;
    st = parse_effect(c, check, pointer);
    if (!st)
        st = parse_subject(c, d, kind, check, pointer);
    if (st || kind != METRIC)
        return st;
    st = parse_limits(&c->limits, check, pointer);
    if (!st && !c->limits.has_min && !c->limits.has_max)
        st = definition_fail(pointer, "a check of a metric needs \"min\" or \"max\"");
    return st;
}

static enum st make_judged(struct store_definition *d, size_t more)
{
    struct store_metric *metrics =
        realloc(d->judged.metrics, (d->judged.metric_count + more + 1) * sizeof *d->judged.metrics);

    if (!metrics)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    memset(metrics + d->judged.metric_count, 0, (more + 1) * sizeof *metrics);
    d->judged.metrics = metrics;
    return ST_OK;
}

enum st definition_parse_checks(struct store_definition *d, const json_t *checks)
{
    char pointer[64];
    size_t i;
    json_t *check;

    if (json_array_size(checks) > STORE_CHECKS_MAX)
        return definition_fail("/checks", "more than %d checks", STORE_CHECKS_MAX);
    d->checks = calloc(json_array_size(checks) + 1, sizeof *d->checks);
    enum st st = d->checks ? make_judged(d, json_array_size(checks))
                           : st_fail(ST_NOMEM, NULL, "out of memory");
    json_array_foreach(checks, i, check)
    {
        snprintf(pointer, sizeof pointer, "/checks/%zu", i);
        if (!st)
            st = parse_check(&d->checks[d->check_count++], d, check, pointer);
        if (!st && DEFINITION_FIND(d->checks, i, d->checks[i].name) < i)
            st = definition_fail(pointer, "a check named \"%s\" is there already",
                                 d->checks[i].name);
    }
    return st;
}

/* ---- gates ---- */

/* The share of nulls among the values of a column, as a metric. */
static enum st null_rate(json_t **metric, const json_t *value, const char *pointer)
{
    struct buf sql;

    buf_init(&sql, 1024);
    buf_addstr(&sql, "sum((");
    enum st st = json_is_string(value) ? add_columns(&sql, value, pointer, "", " IS NULL)::INT)")
                                       : definition_fail(pointer, "a column's name is expected");
    if (!st)
        st = buf_status(&sql);
    if (!st)
        *metric = json_pack("{s:[s, s]}", "ratio", sql.data, "count(*)");
    buf_release(&sql);
    return st || *metric ? st : st_fail(ST_NOMEM, NULL, "out of memory");
}

static enum st parse_gate_limits(struct store_gate *g, const json_t *gate, const char *pointer)
{
    enum st st = parse_limits(&g->limits, gate, pointer);

    if (!st)
        st = definition_number(&g->max_change, &g->has_change, gate, pointer, "max_change", 0,
                               INFINITY);
    if (!st)
        st = definition_number(&g->max_change_ratio, &g->has_change_ratio, gate, pointer,
                               "max_change_ratio", 0, INFINITY);
    if (!st && !g->limits.has_min && !g->limits.has_max && !g->has_change && !g->has_change_ratio)
        st = definition_fail(pointer, "a gate needs \"max_change\", \"max_change_ratio\", \"min\" "
                                      "or \"max\"");
    return st;
}

static enum st parse_gate(struct store_gate *g, struct store_definition *d, const json_t *gate,
                          const char *pointer)
{
    static const char *const MEMBERS[] = {"name", "metric",     "null_rate",        "min",
                                          "max",  "max_change", "max_change_ratio", NULL};
    const json_t *metric = json_object_get(gate, "metric"),
                 *column = json_object_get(gate, "null_rate");
    char place[DEFINITION_POINTER_SIZE];
    json_t *made = NULL;
    const char *name;

    if (!json_is_object(gate) || !metric == !column)
        return definition_fail(pointer, "a gate is an object with \"metric\" or \"null_rate\"");
    if (jx_only(gate, pointer, MEMBERS) || jx_need_string(&name, gate, pointer, "name"))
        return definition_adopt(pointer);
    definition_pointer(place, pointer, "name");
    enum st st = definition_name(g->name, place, "gate", name, false);
    definition_pointer(place, pointer, column ? "null_rate" : "metric");
    if (!st && column)
        st = null_rate(&made, column, place);
    if (!st)
        st = judge_metric(&g->metric, d, g->name, place, made ? made : metric);
    if (!st && !(g->text = jx_text(made ? made : metric, true)))
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    json_decref(made);
    return st ? st : parse_gate_limits(g, gate, pointer);
}

enum st definition_parse_gates(struct store_definition *d, const json_t *gates)
{
    char pointer[64];
    size_t i;
    json_t *gate;

    if (json_array_size(gates) > STORE_GATES_MAX)
        return definition_fail("/gates", "more than %d gates", STORE_GATES_MAX);
    d->gates = calloc(json_array_size(gates) + 1, sizeof *d->gates);
    enum st st = d->gates ? make_judged(d, json_array_size(gates))
                          : st_fail(ST_NOMEM, NULL, "out of memory");
    json_array_foreach(gates, i, gate)
    {
        snprintf(pointer, sizeof pointer, "/gates/%zu", i);
        if (!st)
            st = parse_gate(&d->gates[d->gate_count++], d, gate, pointer);
        if (!st && DEFINITION_FIND(d->gates, i, d->gates[i].name) < i)
            st = definition_fail(pointer, "a gate named \"%s\" is there already", d->gates[i].name);
    }
    return st;
}

void definition_free_checks(struct store_definition *d)
{
    for (size_t i = 0; i < d->check_count; i++) {
        free(d->checks[i].expression);
        free(d->checks[i].condition);
    }
    for (size_t i = 0; i < d->gate_count; i++)
        free(d->gates[i].text);
    free(d->checks);
    free(d->gates);
    definition_free_metrics(&d->judged);
}
