#include "store/definition_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rollups of a definition. A metric is one aggregate of a closed list around one scalar expression:
 * we take it apart here, and DuckDB only ever sees the expression. */

static const struct {
    const char *name;
    enum store_aggregate aggregate;
} AGGREGATES[] = {
    {"count", STORE_COUNT},       {"sum", STORE_SUM}, {"min", STORE_MIN},
    {"max", STORE_MAX},           {"avg", STORE_AVG}, {"distinct", STORE_DISTINCT},
    {"quantile", STORE_QUANTILE},
};
#define NAMES_MAX 400
#define AGGREGATE_HINT                                                                             \
    "metrics: count(*), count(x), sum(x), min(x), max(x), avg(x), distinct(x), quantile(x, 0.5), " \
    "or {\"ratio\":[a, b]}"

static const struct {
    const char *name;
    enum store_bucket bucket;
} BUCKETS[] = {
    {"hour", STORE_BUCKET_HOUR},       {"day", STORE_BUCKET_DAY},   {"month", STORE_BUCKET_MONTH},
    {"quarter", STORE_BUCKET_QUARTER}, {"year", STORE_BUCKET_YEAR},
};

/* The end of the parenthesis that opens at text[0], or NULL: quotes are skipped. */
static const char *closing(const char *text)
{
    char quote = '\0';
    int depth = 0;

    for (const char *p = text; *p; p++) {
        if (quote) {
            if (*p == quote)
                quote = '\0';
        } else if (*p == '\'' || *p == '"') {
            quote = *p;
        } else if (*p == '(') {
            depth++;
        } else if (*p == ')' && --depth == 0) {
            return p;
        }
    }
    return NULL;
}

/* The last comma outside of parentheses and quotes, before `end`; NULL: none. */
static const char *last_comma(const char *text, const char *end)
{
    const char *comma = NULL;
    char quote = '\0';
    int depth = 0;

    for (const char *p = text; p < end; p++) {
        if (quote)
            quote = *p == quote ? '\0' : quote;
        else if (*p == '\'' || *p == '"')
            quote = *p;
        else if (*p == '(' || *p == '[' || *p == '{')
            depth++;
        else if (*p == ')' || *p == ']' || *p == '}')
            depth--;
        else if (*p == ',' && depth == 0)
            comma = p;
    }
    return comma;
}

/* quantile(x, q): takes q off the end. */
static bool take_quantile(struct store_term *term, const char *start, const char **close)
{
    const char *comma = last_comma(start, *close);
    char number[32] = "", *end;

    if (!comma || *close - comma - 1 >= (ptrdiff_t)sizeof number)
        return false;
    memcpy(number, comma + 1, (size_t)(*close - comma - 1));
    term->quantile = strtod(number, &end);
    if (end == number || end[strspn(end, " \t\r\n")] || !isdigit((unsigned char)end[-1]) ||
        !(term->quantile >= 0 && term->quantile <= 1))
        return false;
    *close = comma;
    return true;
}

static enum st parse_term(struct store_term *term, const char *pointer, const json_t *value)
{
    const char *text = json_string_value(value);
    char name[16];
    size_t len = 0;

    if (!text)
        return st_hint(definition_fail(pointer, "a metric must be a string"), AGGREGATE_HINT);
    while (isspace((unsigned char)*text))
        text++;
    while (isalpha((unsigned char)text[len]) && len < sizeof name - 1) {
        name[len] = (char)tolower((unsigned char)text[len]);
        len++;
    }
    name[len] = '\0';
    const char *open = text + len;
    while (isspace((unsigned char)*open))
        open++;
    const char *close = *open == '(' ? closing(open) : NULL;
    const char *rest = close ? close + 1 : "";
    while (isspace((unsigned char)*rest))
        rest++;
    size_t i = 0;
    while (i < sizeof AGGREGATES / sizeof AGGREGATES[0] && strcmp(AGGREGATES[i].name, name) != 0)
        i++;
    if (i == sizeof AGGREGATES / sizeof AGGREGATES[0] || !close || *rest)
        return st_hint(definition_fail(pointer, "this is not a metric of the closed list"),
                       AGGREGATE_HINT);
    term->aggregate = AGGREGATES[i].aggregate;
    const char *start = open + 1;
    while (isspace((unsigned char)*start))
        start++;
    if (term->aggregate == STORE_QUANTILE && !take_quantile(term, start, &close))
        return st_hint(definition_fail(pointer, "quantile(x, q) needs a number q from 0 to 1"),
                       AGGREGATE_HINT);
    while (close > start && isspace((unsigned char)close[-1]))
        close--;
    if (close - start == 1 && *start == '*' && term->aggregate == STORE_COUNT) {
        term->aggregate = STORE_COUNT_ALL;
        return ST_OK;
    }
    if (close == start || *start == '*')
        return st_hint(definition_fail(pointer, "the metric lacks its expression"), AGGREGATE_HINT);
    term->expression = strndup(start, (size_t)(close - start));
    return term->expression ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

enum st definition_parse_metric(struct store_metric *m, const char *pointer, const json_t *value)
{
    static const char *const MEMBERS[] = {"ratio", NULL};
    char place[DEFINITION_POINTER_SIZE + 16];
    json_t *ratio;

    if (!json_is_object(value))
        return parse_term(&m->terms[0], pointer, value);
    if (jx_only(value, pointer, MEMBERS) || jx_array(&ratio, value, pointer, "ratio"))
        return definition_adopt(pointer);
    if (json_array_size(ratio) != 2)
        return st_hint(definition_fail(pointer, "a ratio has two metrics"), AGGREGATE_HINT);
    m->ratio = true;
    for (size_t i = 0; i < 2; i++) {
        snprintf(place, sizeof place, "%s/ratio/%zu", pointer, i);
        enum st st = parse_term(&m->terms[i], place, json_array_get(ratio, i));
        if (st)
            return st;
    }
    return ST_OK;
}

static enum st parse_metrics(struct store_rollup *r, const char *pointer, const json_t *metrics)
{
    char base[DEFINITION_POINTER_SIZE], place[DEFINITION_POINTER_SIZE];
    const char *name;
    json_t *value;

    definition_pointer(base, pointer, "metrics");
    if (json_object_size(metrics) == 0 || json_object_size(metrics) > STORE_METRICS_MAX)
        return definition_fail(base, "a rollup has 1 to %d metrics", STORE_METRICS_MAX);
    r->metrics = calloc(json_object_size(metrics), sizeof *r->metrics);
    if (!r->metrics)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)metrics, name, value)
    {
        struct store_metric *m = &r->metrics[r->metric_count++];

        definition_pointer(place, base, name);
        enum st st = definition_name(m->name, place, "metric", name, true);
        if (!st)
            st = definition_parse_metric(m, place, value);
        if (st)
            return st;
        r->term_count += m->ratio ? 2 : 1;
        if (DEFINITION_FIND(r->dimensions, r->dimension_count, m->name) < r->dimension_count ||
            (r->bucket != STORE_BUCKET_NONE && strcasecmp(r->time.name, m->name) == 0))
            return definition_fail(place, "a dimension or the time has this name too");
    }
    return ST_OK;
}

static bool is_protected_key(const struct store_definition *d, const char *name)
{
    return d->key.protect != STORE_PROTECT_NONE &&
           DEFINITION_FIND(d->key.fields, d->key.field_count, name) < d->key.field_count;
}

static const struct store_field *record_field(const struct store_definition *d, const char *name)
{
    size_t i = DEFINITION_FIND(d->record, d->record_count, name);

    return i < d->record_count ? &d->record[i] : NULL;
}

static enum st parse_dimensions(struct store_rollup *r, const struct store_definition *d,
                                const char *pointer, const json_t *dimensions)
{
    char place[DEFINITION_POINTER_SIZE + 32];
    json_t *item;
    size_t i;

    if (json_array_size(dimensions) > STORE_DIMENSIONS_MAX)
        return definition_fail(pointer, "more than %d dimensions", STORE_DIMENSIONS_MAX);
    json_array_foreach(dimensions, i, item)
    {
        struct store_field *f = &r->dimensions[i];

        snprintf(place, sizeof place, "%s/dimensions/%zu", pointer, i);
        if (!json_is_string(item))
            return definition_fail(place, "the name of a prepared column is expected");
        enum st st = definition_name(f->name, place, "dimension", json_string_value(item), true);
        if (st)
            return st;
        if (is_protected_key(d, f->name))
            return definition_fail(place, "\"%s\" is a key field of a protected dataset", f->name);
        if (DEFINITION_FIND(r->dimensions, i, f->name) < i)
            return definition_fail(place, "\"%s\" is there twice", f->name);
        const struct store_field *field = record_field(d, f->name);
        f->type = field ? field->type : STORE_VARCHAR;
        if (f->type == STORE_DOUBLE || STORE_TYPE_BASE(f->type) == STORE_LIST)
            return definition_fail(place, "a dimension cannot be a %s", store_type_name(f->type));
        r->dimension_count++;
    }
    return ST_OK;
}

static enum st parse_time(struct store_rollup *r, const struct store_definition *d,
                          const char *pointer, const json_t *time)
{
    static const char *const MEMBERS[] = {"field", "bucket", NULL};
    char place[DEFINITION_POINTER_SIZE], at_field[DEFINITION_POINTER_SIZE];
    const char *name, *bucket;

    definition_pointer(place, pointer, "time");
    definition_pointer(at_field, place, "field");
    if (jx_only(time, place, MEMBERS) || jx_need_string(&name, time, place, "field") ||
        jx_need_string(&bucket, time, place, "bucket"))
        return definition_adopt(place);
    enum st st = definition_name(r->time.name, at_field, "time field", name, true);
    if (st)
        return st;
    for (size_t i = 0; i < sizeof BUCKETS / sizeof BUCKETS[0]; i++)
        if (strcmp(BUCKETS[i].name, bucket) == 0)
            r->bucket = BUCKETS[i].bucket;
    if (r->bucket == STORE_BUCKET_NONE)
        return st_place(definition_fail(place, "hour, day, month, quarter or year is expected"),
                        "%s/bucket", place);
    if (is_protected_key(d, name))
        return definition_fail(at_field, "\"%s\" is a key field of a protected dataset", name);
    const struct store_field *field = record_field(d, name);
    enum store_type preset = r->bucket == STORE_BUCKET_HOUR ? STORE_TIMESTAMP : STORE_DATE;
    r->time.type = field ? field->type : preset;
    if (r->time.type != STORE_TIMESTAMP && r->time.type != preset)
        return definition_fail(at_field, "\"%s\" must be a DATE or TIMESTAMP (TIMESTAMP for hour)",
                               name);
    if (DEFINITION_FIND(r->dimensions, r->dimension_count, name) < r->dimension_count)
        return definition_fail(at_field, "\"%s\" is a dimension too", name);
    return ST_OK;
}

/* ---- grouping sets ---- */

static enum st add_dimension(struct store_rollup *set, const struct store_rollup *r,
                             const char *pointer, const json_t *name)
{
    const char *text = json_string_value(name);
    size_t i = 0;

    while (text && i < r->dimension_count && strcmp(r->dimensions[i].name, text) != 0)
        i++;
    if (!text || i == r->dimension_count)
        return definition_fail(pointer, "a dimension of this rollup is expected");
    for (size_t j = 0; j < set->dimension_count; j++)
        if (strcmp(set->dimensions[j].name, text) == 0)
            return definition_fail(pointer, "\"%s\" is there twice", text);
    set->dimensions[set->dimension_count++] = r->dimensions[i];
    return ST_OK;
}

static void init_set(struct store_rollup *set, const struct store_rollup *r)
{
    *set = *r;
    set->sets = NULL;
    set->set_count = 0;
}

/* ["a","b"], or {"dimensions":["a","b"],"time":false}. */
static enum st parse_set(struct store_rollup *set, const struct store_rollup *r,
                         const char *pointer, json_t *value)
{
    static const char *const MEMBERS[] = {"dimensions", "time", NULL};
    char place[DEFINITION_POINTER_SIZE + 96];
    json_t *list = json_is_array(value) ? value : NULL, *item;
    bool timed = true;
    size_t i;
    enum st st = ST_OK;

    init_set(set, r);
    set->dimension_count = 0;
    if (json_is_object(value) &&
        (jx_only(value, pointer, MEMBERS) || jx_array(&list, value, pointer, "dimensions") ||
         jx_boolean(&timed, value, pointer, "time", true)))
        return definition_adopt(pointer);
    if (!list)
        return definition_fail(pointer, "a list of dimensions is expected");
    json_array_foreach(list, i, item)
    {
        snprintf(place, sizeof place, "%s%s/%zu", pointer,
                 json_is_array(value) ? "" : "/dimensions", i);
        if (!st)
            st = add_dimension(set, r, place, item);
    }
    set->timeless = !timed && r->bucket != STORE_BUCKET_NONE;
    if (set->timeless)
        set->bucket = STORE_BUCKET_NONE;
    return st;
}

static bool is_named(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

const struct store_rollup *store_rollup_set(const struct store_rollup *r, const char *const *names,
                                            size_t count, bool timeless)
{
    for (size_t i = 0; i < r->set_count; i++) {
        const struct store_rollup *set = &r->sets[i];
        size_t found = 0;
        for (size_t d = 0; d < set->dimension_count; d++)
            found += is_named(names, count, set->dimensions[d].name);
        if (found == count && set->dimension_count == count && set->timeless == timeless)
            return set;
    }
    return NULL;
}

static enum st parse_sets(struct store_definition *d, struct store_rollup *r, const char *pointer,
                          const json_t *sets)
{
    char base[DEFINITION_POINTER_SIZE], place[DEFINITION_POINTER_SIZE + 32];
    const char *names[STORE_DIMENSIONS_MAX];
    size_t count = sets ? json_array_size(sets) : 1;

    definition_pointer(base, pointer, "grouping_sets");
    if (count == 0)
        return definition_fail(base, "at least one set is expected");
    if (d->set_count + count > STORE_SETS_MAX)
        return definition_fail(base, "more than %d grouping sets in all rollups", STORE_SETS_MAX);
    r->sets = &d->sets[d->set_count];
    for (size_t i = 0; i < count; i++) {
        struct store_rollup *set = &r->sets[i];
        snprintf(place, sizeof place, "%s/%zu", base, i);
        enum st st = ST_OK;
        if (sets)
            st = parse_set(set, r, place, json_array_get(sets, i));
        else
            init_set(set, r);
        if (st)
            return st;
        for (size_t n = 0; n < set->dimension_count; n++)
            names[n] = set->dimensions[n].name;
        if (store_rollup_set(r, names, set->dimension_count, set->timeless))
            return definition_fail(place, "this set is there twice");
        r->set_count++;
        d->set_count++;
    }
    return ST_OK;
}

/* They are part of a database's name in the segment. */
static size_t names_len(const struct store_rollup *r)
{
    size_t len = strlen(r->name);

    for (size_t i = 0; i < r->dimension_count; i++)
        len += strlen(r->dimensions[i].name) + 1;
    return len;
}

static enum st parse_rollup(struct store_rollup *r, struct store_definition *d, const char *name,
                            json_t *value)
{
    static const char *const MEMBERS[] = {"dimensions",    "time",     "metrics",
                                          "grouping_sets", "min_cell", NULL};
    json_t *dimensions, *time, *metrics, *sets;
    int64_t min_cell;
    char pointer[DEFINITION_POINTER_SIZE];

    definition_pointer(pointer, "/rollups", name);
    enum st st = definition_name(r->name, pointer, "rollup", name, false);
    if (st)
        return st;
    if (!json_is_object(value))
        return definition_fail(pointer, "a rollup is an object");
    if (jx_only(value, pointer, MEMBERS) || jx_array(&dimensions, value, pointer, "dimensions") ||
        jx_object(&time, value, pointer, "time") ||
        jx_object(&metrics, value, pointer, "metrics") ||
        jx_array(&sets, value, pointer, "grouping_sets") ||
        jx_integer(&min_cell, value, pointer, "min_cell", 0, 0, 1000000))
        return definition_adopt(pointer);
    r->min_cell = min_cell > 1 ? (unsigned)min_cell : 0;
    st = parse_dimensions(r, d, pointer, dimensions);
    if (!st && names_len(r) > NAMES_MAX)
        st = definition_fail(
            pointer, "the names of the dimensions together are longer than %d bytes", NAMES_MAX);
    if (!st && time)
        st = parse_time(r, d, pointer, time);
    if (!st)
        st = parse_metrics(r, pointer, metrics);
    return st ? st : parse_sets(d, r, pointer, sets);
}

enum st definition_parse_rollups(struct store_definition *d, const json_t *rollups)
{
    const char *name;
    json_t *value;

    if (json_object_size(rollups) > STORE_ROLLUPS_MAX)
        return definition_fail("/rollups", "more than %d rollups", STORE_ROLLUPS_MAX);
    d->rollups = calloc(json_object_size(rollups) + 1, sizeof *d->rollups);
    size_t sets = 0;
    json_object_foreach((json_t *)(uintptr_t)rollups, name, value)
    {
        json_t *list = json_object_get(value, "grouping_sets");
        sets += json_is_array(list) ? json_array_size(list) : 1;
    }
    d->sets = calloc(sets + 1, sizeof *d->sets);
    if (!d->rollups || !d->sets)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    json_object_foreach((json_t *)(uintptr_t)rollups, name, value)
    {
        char pointer[DEFINITION_POINTER_SIZE];

        if (DEFINITION_FIND(d->rollups, d->rollup_count, name) < d->rollup_count)
            return definition_fail(definition_pointer(pointer, "/rollups", name),
                                   "a rollup of this name is there already: upper and lower case "
                                   "are the same");
        enum st st = parse_rollup(&d->rollups[d->rollup_count++], d, name, value);
        if (st)
            return st;
    }
    return ST_OK;
}

void definition_free_metrics(struct store_rollup *r)
{
    for (size_t j = 0; j < r->metric_count; j++)
        for (size_t k = 0; k < 2; k++)
            free((char *)(uintptr_t)r->metrics[j].terms[k].expression);
    free(r->metrics);
}

void definition_free_rollups(struct store_definition *d)
{
    for (size_t i = 0; i < d->rollup_count; i++)
        definition_free_metrics(&d->rollups[i]);
    free(d->rollups);
    free(d->sets);
}
