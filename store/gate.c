#include "store/gate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NOT_EMPTY "not_empty"

static json_int_t accepted(const json_t *rows)
{
    return json_integer_value(json_object_get(rows, "accepted"));
}

/* The value of the same metric in the current version's row, or NULL. Borrowed. */
static json_t *find_previous(const json_t *metric, const json_t *current)
{
    const char *text = json_string_value(metric);
    size_t i;
    json_t *gate;

    json_array_foreach(json_object_get(current, "gates"), i, gate)
    {
        if (json_equal(json_object_get(gate, "metric"), metric))
            return json_object_get(gate, "value");
    }
    return text && strcmp(text, "count(*)") == 0
               ? json_object_get(json_object_get(current, "rows"), "accepted")
               : NULL;
}

static bool exceeds(const json_t *gate, const char *limit, double value)
{
    const json_t *number = json_object_get(gate, limit);

    return json_is_number(number) && value > json_number_value(number);
}

/* Without a value there is nothing to be inside of limits. */
static bool outside(const json_t *gate, const json_t *value)
{
    if (!json_is_number(value))
        return json_object_get(gate, "min") || json_object_get(gate, "max");
    const json_t *min = json_object_get(gate, "min");
    return exceeds(gate, "max", json_number_value(value)) ||
           (json_is_number(min) && json_number_value(value) < json_number_value(min));
}

static bool is_relative(const json_t *gate)
{
    return json_object_get(gate, "max_change") || json_object_get(gate, "max_change_ratio");
}

/* A ratio of a change from nothing is infinite, which JSON cannot say. */
static bool changed(json_t *gate, const json_t *value, const json_t *previous)
{
    if (!json_is_number(value) || !json_is_number(previous))
        return json_is_number(value) != json_is_number(previous);
    double before = json_number_value(previous);
    double change = json_number_value(value) - before;
    double ratio = change == 0 ? 0 : before == 0 ? INFINITY : fabs(change / before);

    json_object_set_new(gate, "change", json_real(change));
    if (isfinite(ratio))
        json_object_set_new(gate, "change_ratio", json_real(ratio));
    return exceeds(gate, "max_change", fabs(change)) || exceeds(gate, "max_change_ratio", ratio);
}

/* Whether the gate holds the version back; what was found is put into it. */
static bool judge(json_t *gate, const json_t *current)
{
    const json_t *value = json_object_get(gate, "value");
    json_t *previous = current ? find_previous(json_object_get(gate, "metric"), current) : NULL;
    bool holds = outside(gate, value);

    if (previous && is_relative(gate))
        holds = changed(gate, value, previous) || holds;
    json_object_set(gate, "previous", previous ? previous : json_null());
    json_object_set_new(gate, "state",
                        json_string(holds                            ? "held"
                                    : !previous && is_relative(gate) ? "new"
                                                                     : "passed"));
    return holds;
}

static bool is_emptied(const json_t *report, const json_t *rows, const json_t *current)
{
    size_t i;
    json_t *gate;

    json_array_foreach(report, i, gate)
    {
        const char *name = json_string_value(json_object_get(gate, "name"));
        if (name && strcmp(name, NOT_EMPTY) == 0)
            return false;
    }
    return rows && accepted(rows) == 0 && accepted(json_object_get(current, "rows")) > 0;
}

enum st gate_judge(json_t **report, bool *passed, char why[GATE_WHY_SIZE], const json_t *gates,
                   const json_t *rows, const json_t *current)
{
    size_t i;
    json_t *gate;

    why[0] = '\0';
    *passed = true;
    *report = gates ? json_deep_copy(gates) : json_array();
    if (*report && is_emptied(*report, rows, current) &&
        json_array_append_new(*report, json_pack("{s:s, s:s, s:i, s:i}", "name", NOT_EMPTY,
                                                 "metric", "count(*)", "value", 0, "min", 1)) !=
            0) {
        json_decref(*report);
        *report = NULL;
    }
    json_array_foreach(*report, i, gate)
    {
        if (!judge(gate, current))
            continue;
        if (*passed)
            snprintf(why, GATE_WHY_SIZE, "gate %s",
                     json_string_value(json_object_get(gate, "name")));
        *passed = false;
    }
    return *report ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}
