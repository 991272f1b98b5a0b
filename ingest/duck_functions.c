/* DuckDB lists its functions afresh, with every overload's types, each time that it is asked: 27
 * ms. It is asked once for a database, when the first name is looked up. */
#include "ingest/duck_internal.h"

#include <string.h>

/* {name: traits}, of those that have any. */
static enum st list_functions(json_t **out, struct duck *d)
{
    struct buf text;
    size_t rows = 0, columns = 0;
    buf_init(&text, 4u << 20);
    enum st st = duck_text(
        &text, &rows, &columns, d, "listing functions",
        "SELECT lower(function_name) AS name, coalesce(bool_or(stability IN ('VOLATILE', "
        "'CONSISTENT_WITHIN_QUERY') OR regexp_matches(macro_definition, 'current_|duckdb_|pragma_')"
        "), false)::VARCHAR AS unstable, bool_or(function_type = 'aggregate')::VARCHAR AS "
        "aggregate "
        "FROM duckdb_functions() GROUP BY name HAVING 'true' IN (unstable, aggregate)");
    json_t *functions = st ? NULL : json_object();
    if (!st && !functions)
        st = st_fail(ST_NOMEM, NULL, "out of memory");
    const char *cell = text.data;
    for (size_t i = 0; !st && i < rows; i++) {
        const char *name = cell, *unstable = name + strlen(name) + 1,
                   *aggregate = unstable + strlen(unstable) + 1;
        json_int_t traits =
            (*unstable == 't' ? DUCK_UNSTABLE : 0) | (*aggregate == 't' ? DUCK_AGGREGATE : 0);
        if (json_object_set_new(functions, name, json_integer(traits)))
            st = st_fail(ST_NOMEM, NULL, "out of memory");
        cell = aggregate + strlen(aggregate) + 1;
    }
    buf_release(&text);
    if (st) {
        json_decref(functions);
        functions = NULL;
    }
    *out = functions;
    return st;
}

enum st duck_function(unsigned *traits, struct duck *d, const char *name)
{
    enum st st = d->functions ? ST_OK : list_functions(&d->functions, d);
    *traits = st ? 0 : (unsigned)json_integer_value(json_object_get(d->functions, name));
    return st;
}
