/* One walk over the tree judges every node by a table of what may stand in FROM and of what may be
 * called. It carries the common table expressions that can be seen from where it is, by DuckDB's
 * own rules: one sees those before it, and itself only in the second half of a recursive one. A
 * looser rule would let its name stand for a table of the catalog.
 *
 * A function is allowed when DuckDB itself says that it is CONSISTENT (duck_function), so that a
 * new volatile one needs no row here; the rows below are those whose answer depends on the session,
 * or on the file system, although they are called consistent. Words such as current_date look like
 * columns in the tree; they are refused as such when they are not qualified.
 */
#include "ingest/syntax_internal.h"

#include "ingest/unordered.h"

#include <string.h>
#include <strings.h>

/* A common table expression that can be seen. */
struct scope {
    const struct scope *outer;
    const char *name;
};

static size_t offset_of(const struct walk *w, const json_t *node)
{
    double location = json_number_value(json_object_get(node, "query_location"));
    if (location < (double)w->skip || location > (double)STORE_DEFINITION_MAX)
        return DUCK_NO_OFFSET;
    return (size_t)location - w->skip;
}

static enum st refuse(const struct walk *w, const json_t *node, const char *fmt, const char *name)
{
    enum st st = st_fail(ST_INVALID, "SQL", fmt, name);
    return syntax_place(st, w->pointer, w->sql, offset_of(w, node));
}

static bool listed(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (!strcasecmp(*list, name))
            return true;
    return false;
}

static bool is_source(const struct walk *w, const char *name)
{
    for (size_t i = 0; w->definition && i < w->definition->source_count; i++)
        if (!strcasecmp(w->definition->sources[i].name, name))
            return true;
    return false;
}

static void lower(char out[128], const char *name)
{
    size_t i = 0;
    for (; name[i] && i < 127; i++)
        out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    out[i] = '\0';
}

static bool is_seen(const struct scope *scope, const char *name)
{
    for (; scope; scope = scope->outer)
        if (!strcasecmp(scope->name, name))
            return true;
    return false;
}

static enum st check_table(struct walk *w, const json_t *node, const struct scope *scope)
{
    const char *name = syntax_text(node, "table_name");
    if (*syntax_text(node, "schema_name") || *syntax_text(node, "catalog_name"))
        return refuse(w, node, "%s: only declared sources can be read, without a schema", name);
    if (!is_source(w, name) && !is_seen(scope, name))
        return refuse(w, node, "there is no source named %s", name);
    return ST_OK;
}

/* What may stand in FROM, and table functions that read nothing. */
static const char *const relations[] = {
    "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY_FROM", "EXPRESSION_LIST", "PIVOT",
    "EMPTY",      "CTE",      NULL};
static const char *const table_functions[] = {"range",     "generate_series", "unnest",
                                              "json_each", "json_tree",       NULL};

static const char *const session_functions[] = {"getvariable",
                                                "current_setting",
                                                "current_user",
                                                "current_role",
                                                "session_user",
                                                "user",
                                                "current_catalog",
                                                "current_localtime",
                                                "current_localtimestamp",
                                                "localtime",
                                                "localtimestamp",
                                                "current_time",
                                                "current_timestamp",
                                                "current_date",
                                                "get_current_timestamp",
                                                "getenv",
                                                "inet_client_addr",
                                                "inet_client_port",
                                                "inet_server_addr",
                                                "inet_server_port",
                                                "version",
                                                "json_execute_serialized_sql",
                                                "read_text",
                                                "read_blob",
                                                "vector_type",
                                                "reservoir_quantile",
                                                "approx_quantile",
                                                "approx_top_k",
                                                NULL};

static enum st check_function(struct walk *w, const json_t *node, const char *name)
{
    char low[128];
    lower(low, name);
    /* age(t) counts until today, age(t, u) until u. t.age() has no argument here. */
    if (!strcmp(low, "age") && json_array_size(json_object_get(node, "children")) != 2)
        return refuse(w, node, "%s needs two arguments here: with one it depends on the day", name);
    if (*name == '#') /* ours */
        return refuse(w, node, "there is no function named %s", name);
    if (listed(session_functions, name))
        return refuse(w, node, "%s is not allowed: its answer depends on when or where it runs",
                      name);
    unsigned traits;
    enum st st = duck_function(&traits, w->duck, low);
    if (!st && traits & DUCK_UNSTABLE)
        st = refuse(w, node, "%s is not allowed: its answer depends on when it runs", name);
    else if (!st && w->scalar && traits & DUCK_AGGREGATE)
        st = refuse(w, node, "%s is not allowed here: it is an aggregate", name);
    return st;
}

static enum st check_node(struct walk *w, const json_t *node, const struct scope *scope)
{
    const char *type = syntax_text(node, "type"), *class = syntax_text(node, "class");
    const char *unordered = unordered_word(node);
    if (unordered)
        return refuse(w, node, "%s is not allowed without ORDER BY: rows come in any order",
                      unordered);
    if (!strcmp(syntax_text(node, "ref_type"), "POSITIONAL"))
        return refuse(w, node, "%s is not allowed: rows come in any order", "POSITIONAL JOIN");
    json_t *sample = json_object_get(node, "sample");
    if (json_is_object(sample))
        return refuse(w, node, "%s is not allowed: samples are random", "TABLESAMPLE");
    json_t *from = json_object_get(node, "from_table");
    if (from && !listed(relations, syntax_text(from, "type")))
        return refuse(w, from, "%s cannot be read from", syntax_text(from, "type"));
    if (!strcmp(type, "SHOW_REF"))
        return refuse(w, node, "%s is not allowed", "DESCRIBE, SHOW or SUMMARIZE");
    if (!strcmp(type, "BASE_TABLE"))
        return check_table(w, node, scope);
    if (!strcmp(type, "TABLE_FUNCTION")) {
        const char *name = syntax_text(json_object_get(node, "function"), "function_name");
        if (!listed(table_functions, name))
            return refuse(w, node,
                          "the table function %s is not allowed: only declared sources "
                          "can be read",
                          name);
        return ST_OK;
    }
    if (!strcmp(class, "PARAMETER"))
        return refuse(w, node, "%s are not allowed", "parameters ($1, ?)");
    if (!strcmp(class, "COLUMN_REF")) {
        json_t *names = json_object_get(node, "column_names");
        const char *name = json_string_value(json_array_get(names, 0));
        if (json_array_size(names) == 1 && name && listed(session_functions, name) &&
            strcasecmp(name, "user") != 0 && strcasecmp(name, "version") != 0)
            return refuse(w, node,
                          "%s is not allowed: its answer depends on when or where it "
                          "runs",
                          name);
    }
    if (!strcmp(class, "FUNCTION") || !strcmp(class, "WINDOW")) {
        const char *name = syntax_text(node, "function_name");
        if (w->scalar && !strcmp(class, "WINDOW"))
            return refuse(w, node, "%s is not allowed here: one record gives one value",
                          "a window function");
        return *name ? check_function(w, node, name) : ST_OK;
    }
    if (w->scalar && (!strcmp(class, "SUBQUERY") || !strcmp(class, "STAR")))
        return refuse(w, node, "%s is not allowed here: one record gives one value",
                      class[1] == 'U' ? "a subquery" : "*");
    return ST_OK;
}

static enum st check_tree(struct walk *w, const json_t *node, const struct scope *scope);

/* A CTE_NODE repeats one of its common table expressions, which was judged in its place. */
static bool is_repeated(const json_t *node, const char *key, const json_t *value)
{
    json_t *map = json_object_get(json_object_get(node, "cte_map"), "map");
    bool repeated = false;
    if (strcmp(key, "query") != 0 || strcmp(syntax_text(node, "type"), "CTE_NODE") != 0)
        return false;
    for (size_t i = 0; i < json_array_size(map); i++) {
        json_t *query = json_object_get(json_object_get(json_array_get(map, i), "value"), "query");
        repeated = repeated || json_equal(json_object_get(query, "node"), value);
    }
    return repeated;
}

static enum st check_members(struct walk *w, const json_t *node, const struct scope *scope)
{
    struct scope self = {scope, syntax_text(node, "cte_name")};
    bool recursive = !strcmp(syntax_text(node, "type"), "RECURSIVE_CTE_NODE");
    enum st st = check_node(w, node, scope);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)node, key, value)
    {
        if (st || !strcmp(key, "cte_map") || is_repeated(node, key, value))
            continue;
        st = check_tree(w, value, recursive && !strcmp(key, "right") ? &self : scope);
    }
    return st;
}

/* The common table expressions from the i-th on, each seen by the next, then the node itself. */
static enum st check_query_node(struct walk *w, const json_t *node, size_t i,
                                const struct scope *scope)
{
    json_t *entry = json_array_get(json_object_get(json_object_get(node, "cte_map"), "map"), i);
    struct scope self = {scope, syntax_text(entry, "key")};
    if (!entry)
        return check_members(w, node, scope);
    enum st st = check_tree(w, json_object_get(entry, "value"), scope);
    return st ? st : check_query_node(w, node, i + 1, &self);
}

static enum st check_tree(struct walk *w, const json_t *node, const struct scope *scope)
{
    enum st st = ST_OK;
    if (json_is_array(node)) {
        for (size_t i = 0; !st && i < json_array_size(node); i++)
            st = check_tree(w, json_array_get(node, i), scope);
        return st;
    }
    return json_is_object(node) ? check_query_node(w, node, 0, scope) : ST_OK;
}

enum st syntax_walk(struct walk *w, const json_t *tree)
{
    return check_tree(w, tree, NULL);
}
