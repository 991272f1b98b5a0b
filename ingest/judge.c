#include "ingest/judge.h"

#include <string.h>

/* A metric's value as JSON, or null; NULL: out of memory. */
static json_t *value_json(const struct store_rollup *r, const struct store_cell *cell,
                          size_t metric)
{
    struct buf text;
    json_t *value = NULL;
    buf_init(&text, 256);
    store_metric_json(&text, r, cell, metric);
    enum st st = buf_status(&text);
    if (!st)
        st = jx_parse_wide(&value, text.data, text.len);
    buf_release(&text);
    return st && st != ST_NOMEM ? json_null() : value;
}

static bool add_limit(json_t *entry, const char *name, bool has, double limit)
{
    return !has || json_object_set_new(entry, name, json_real(limit)) == 0;
}

/* What has no value is outside. */
static bool within(const struct store_limits *l, const struct store_rollup *r,
                   const struct store_cell *cell, size_t metric)
{
    double value;
    return store_metric_value(&value, r, cell, metric) && (!l->has_min || value >= l->min) &&
           (!l->has_max || value <= l->max);
}

static enum st fail_check(const struct store_definition *def, size_t i,
                          const struct judge_counts *counts)
{
    const struct store_check *c = &def->checks[i];
    enum st st;
    if (c->kind == STORE_CHECK_METRIC)
        st = st_fail(ST_REFUSED, "CHECK_FAILED",
                     "check %s failed: the metric is outside its limits", c->name);
    else
        st = st_fail(ST_REFUSED, "CHECK_FAILED",
                     "check %s failed: %llu of %llu %s break it, at most %g of them may", c->name,
                     (unsigned long long)counts->broken[i], (unsigned long long)counts->of[i],
                     c->kind == STORE_CHECK_ROW ? "rows" : "values", c->max_ratio);
    return st_place(st_hint(st, "mend the data, or the check; the report of all checks is in the "
                                "version's row"),
                    "/checks/%zu", i);
}

static const char *state_of(const struct store_check *c, bool broken, bool too_many)
{
    if (too_many)
        return c->effect == STORE_EFFECT_WARN ? "warned" : "failed";
    return broken && c->effect == STORE_EFFECT_REJECT ? "rejected" : "passed";
}

enum st judge_checks(json_t **report, const struct store_definition *def,
                     const struct judge_counts *counts, const struct store_cell *cell)
{
    enum st st = ST_OK;
    *report = json_array();
    for (size_t i = 0; i < def->check_count; i++) {
        const struct store_check *c = &def->checks[i];
        bool metric = c->kind == STORE_CHECK_METRIC, too_many;
        if (metric && !cell)
            continue;
        if (metric)
            too_many = !within(&c->limits, &def->judged, cell, c->metric);
        else
            too_many = (double)counts->broken[i] > c->max_ratio * (double)counts->of[i];
        json_t *entry = json_pack("{s:s, s:s, s:s, s:s}", "name", c->name, "check", c->member,
                                  "on_fail", store_effect_name(c->effect), "state",
                                  state_of(c, counts->broken[i] > 0, too_many));
        bool whole =
            metric
                ? json_object_set_new(entry, "value", value_json(&def->judged, cell, c->metric)) ==
                          0 &&
                      add_limit(entry, "min", c->limits.has_min, c->limits.min) &&
                      add_limit(entry, "max", c->limits.has_max, c->limits.max)
                : json_object_set_new(entry, "broken",
                                      json_integer((json_int_t)counts->broken[i])) == 0 &&
                      json_object_set_new(entry, "of", json_integer((json_int_t)counts->of[i])) ==
                          0 &&
                      json_object_set_new(entry, "max_ratio", json_real(c->max_ratio)) == 0;
        if (json_array_append_new(*report, entry) || !whole)
            return st_fail(ST_NOMEM, NULL, "out of memory");
        if (!st && too_many && c->effect != STORE_EFFECT_WARN)
            st = fail_check(def, i, counts);
    }
    return st;
}

enum st judge_gate_values(json_t **out, const struct store_definition *def,
                          const struct store_cell *cell)
{
    json_t *list = *out = json_array(), *gates = json_object_get(def->document, "gates");
    bool failed = !list;
    for (size_t i = 0; i < def->gate_count; i++) {
        const struct store_gate *g = &def->gates[i];
        json_t *entry = json_deep_copy(json_array_get(gates, i)); /* json_copy may leave some out */
        json_object_del(entry, "null_rate");
        json_t *metric = NULL;
        failed = jx_parse_wide(&metric, g->text, strlen(g->text)) || failed;
        failed = json_object_set_new(entry, "metric", metric) || failed;
        failed = json_object_set_new(entry, "value", value_json(&def->judged, cell, g->metric)) ||
                 failed;
        failed = json_array_append_new(list, entry) || failed;
    }
    return failed ? st_fail(ST_NOMEM, NULL, "out of memory") : ST_OK;
}
