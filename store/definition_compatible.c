#include "store/definition_internal.h"

#include <stdio.h>
#include <string.h>

/* May a definition take another's place? What clients read must stay and keep its type; more is
 * always welcome. */

static enum st breaking(const char *pointer, const char *what)
{
    return st_hint(st_place(st_fail(ST_CONFLICT, "BREAKING_CHANGE", "the new definition %s", what),
                            "%s", pointer),
                   "clients may read it; put with force if that is meant");
}

static bool has_field(const struct store_field *fields, size_t count,
                      const struct store_field *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, wanted->name) == 0)
            return fields[i].type == wanted->type;
    return false;
}

static bool has_metric(const struct store_rollup *r, const char *name)
{
    for (size_t i = 0; i < r->metric_count; i++)
        if (strcmp(r->metrics[i].name, name) == 0)
            return true;
    return false;
}

static enum st compatible_rollup(const struct store_rollup *old, const struct store_rollup *next)
{
    char pointer[DEFINITION_POINTER_SIZE], place[DEFINITION_POINTER_SIZE];

    definition_pointer(pointer, "/rollups", old->name);
    if (!next)
        return breaking(pointer, "lacks this rollup");
    for (size_t i = 0; i < old->dimension_count; i++)
        if (!has_field(next->dimensions, next->dimension_count, &old->dimensions[i])) {
            snprintf(place, sizeof place, "%.200s/dimensions/%zu", pointer, i);
            return breaking(place, "lacks or retypes this dimension");
        }
    if (old->bucket != STORE_BUCKET_NONE &&
        (next->bucket != old->bucket || !has_field(&next->time, 1, &old->time)))
        return breaking(definition_pointer(place, pointer, "time"),
                        "lacks or changes the time of this rollup");
    for (size_t i = 0; i < old->metric_count; i++)
        if (!has_metric(next, old->metrics[i].name)) {
            snprintf(place, sizeof place, "%.150s/metrics/%s", pointer, old->metrics[i].name);
            return breaking(place, "lacks this metric");
        }
    for (size_t i = 0; i < old->set_count; i++) {
        const char *names[STORE_DIMENSIONS_MAX];
        if (old->sets[i].dimension_count == old->dimension_count && !old->sets[i].timeless)
            continue; /* the whole rollup, which may get finer */
        for (size_t n = 0; n < old->sets[i].dimension_count; n++)
            names[n] = old->sets[i].dimensions[n].name;
        if (!store_rollup_set(next, names, old->sets[i].dimension_count, old->sets[i].timeless)) {
            snprintf(place, sizeof place, "%.150s/grouping_sets/%zu", pointer, i);
            return breaking(place, "lacks this grouping set");
        }
    }
    return ST_OK;
}

enum st store_definition_compatible(const struct store_definition *old,
                                    const struct store_definition *next)
{
    size_t key_fields = old->row_count - old->record_count;
    char pointer[DEFINITION_POINTER_SIZE];

    for (size_t i = 0; i < old->row_count; i++) {
        if (has_field(next->row, next->row_count, &old->row[i]))
            continue;
        if (i < key_fields)
            snprintf(pointer, sizeof pointer, "/key/fields/%zu", i);
        else
            definition_pointer(pointer, "/record", old->row[i].name);
        return breaking(pointer, "lacks or retypes this field");
    }
    if (old->key.sort &&
        (!next->key.sort || strcmp(old->key.sort->name, next->key.sort->name) != 0))
        return breaking("/key/sort", "lacks or changes the order of the series");
    for (size_t i = 0; i < old->rollup_count; i++) {
        enum st st = compatible_rollup(&old->rollups[i],
                                       store_definition_rollup(next, old->rollups[i].name));
        if (st)
            return st;
    }
    return ST_OK;
}
