/* Two walks over the tree: the first collects the names of common table expressions, the second
 * judges every node by a table of what may stand in FROM and of what may be called. A function is
 * allowed when DuckDB itself says that it is CONSISTENT (duckdb_functions), so that a new volatile
 * one needs no row here; the rows below are those whose answer depends on the session, or on the
 * file system, although they are called consistent. Words such as current_date look like columns in
 * the tree; they are refused as such when they are not qualified.
 */
#include "ingest/syntax.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct walk {
    struct duck *duck;
    const struct store_definition *definition; /* NULL: an expression */
    const char *sql, *pointer;
    size_t skip;       /* bytes put in front of `sql` before it was parsed */
    json_t *names;     /* set: common table expressions */
    json_t *functions; /* set: functions named, with their offset */
    bool scalar;
};

enum st syntax_place(enum st status, const char *pointer, const char *sql, size_t offset)
{
    if (offset == DUCK_NO_OFFSET || offset > strlen(sql))
        return st_place(status, "%s", pointer);
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (sql[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)sql[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    return st_place(status, "%s, line %u, column %u", pointer, line, column);
}

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

static const char *member(const json_t *node, const char *name)
{
    const char *text = json_string_value(json_object_get(node, name));
    return text ? text : "";
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

/* Names of common table expressions: {"map":[{"key":NAME,...}]} below any "cte_map". */
static enum st collect(struct walk *w, const json_t *node)
{
    enum st st = ST_OK;
    if (json_is_array(node)) {
        for (size_t i = 0; !st && i < json_array_size(node); i++)
            st = collect(w, json_array_get(node, i));
        return st;
    }
    if (!json_is_object(node))
        return ST_OK;
    json_t *map = json_object_get(json_object_get(node, "cte_map"), "map");
    for (size_t i = 0; i < json_array_size(map); i++) {
        char name[128];
        lower(name, member(json_array_get(map, i), "key"));
        if (json_object_set_new(w->names, name, json_true()))
            return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)node, key, value) if (!st) st = collect(w, value);
    return st;
}

static enum st check_table(struct walk *w, const json_t *node)
{
    const char *name = member(node, "table_name");
    char low[128];
    lower(low, name);
    if (*member(node, "schema_name") || *member(node, "catalog_name"))
        return refuse(w, node, "%s: only declared sources can be read, without a schema", name);
    if (!is_source(w, name) && !json_object_get(w->names, low))
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
                                                "pg_postmaster_start_time",
                                                "pg_conf_load_time",
                                                "version",
                                                "json_execute_serialized_sql",
                                                "read_text",
                                                "read_blob",
                                                "age_now",
                                                NULL};

static enum st check_function(struct walk *w, const json_t *node, const char *name)
{
    char low[128];
    lower(low, name);
    if (listed(session_functions, name))
        return refuse(w, node, "%s is not allowed: its answer depends on when or where it runs",
                      name);
    if (json_object_set_new(w->functions, low, json_incref((json_t *)(uintptr_t)node)))
        return st_fail(ST_NOMEM, NULL, "out of memory");
    return ST_OK;
}

static enum st check_node(struct walk *w, const json_t *node)
{
    const char *type = member(node, "type"), *class = member(node, "class");
    json_t *sample = json_object_get(node, "sample");
    if (json_is_object(sample))
        return refuse(w, node, "%s is not allowed: samples are random", "TABLESAMPLE");
    json_t *from = json_object_get(node, "from_table");
    if (from && !listed(relations, member(from, "type")))
        return refuse(w, from, "%s cannot be read from", member(from, "type"));
    if (!strcmp(type, "SHOW_REF"))
        return refuse(w, node, "%s is not allowed", "DESCRIBE, SHOW or SUMMARIZE");
    if (!strcmp(type, "BASE_TABLE"))
        return check_table(w, node);
    if (!strcmp(type, "TABLE_FUNCTION")) {
        const char *name = member(json_object_get(node, "function"), "function_name");
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
        const char *name = member(node, "function_name");
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

static enum st check_tree(struct walk *w, const json_t *node)
{
    enum st st = ST_OK;
    if (json_is_array(node)) {
        for (size_t i = 0; !st && i < json_array_size(node); i++)
            st = check_tree(w, json_array_get(node, i));
        return st;
    }
    if (!json_is_object(node))
        return ST_OK;
    st = check_node(w, node);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)node, key, value) if (!st) st = check_tree(w, value);
    return st;
}

/* Which of the functions that were named does DuckDB not call consistent (or, for a scalar
 * expression, which are aggregates)? */
static enum st check_stability(struct walk *w)
{
    struct buf sql, text;
    size_t rows = 0, columns = 0;
    buf_init(&sql, 4u << 20);
    buf_init(&text, 4u << 20);
    buf_addf(&sql,
             "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE (stability "
             "IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY')%s) AND lower(function_name) IN (''",
             w->scalar ? " OR function_type = 'aggregate'" : "");
    const char *name;
    json_t *node;
    json_object_foreach(w->functions, name, node)
    {
        buf_addch(&sql, ',');
        duck_add_literal(&sql, name);
    }
    buf_addstr(&sql, ") ORDER BY 1");
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_text(&text, &rows, &columns, w->duck, "looking up functions", sql.data);
    if (!st && rows) {
        node = json_object_get(w->functions, text.data);
        st = refuse(w, node,
                    w->scalar ? "%s is not allowed here: it is an aggregate, or its answer depends "
                                "on when it runs"
                              : "%s is not allowed: its answer depends on when it runs",
                    text.data);
    }
    buf_release(&sql);
    buf_release(&text);
    return st;
}

/* The parsed statement, or the parser's complaint. `sql` has w->skip bytes in front of w->sql. */
static enum st parse(json_t **statement, json_t **document, struct walk *w, const char *sql)
{
    struct buf text;
    buf_init(&text, 64u << 20);
    enum st st = duck_syntax(&text, w->duck, sql);
    /* An unknown location is 2^64-1, more than an integer of jansson's. */
    *document = st ? NULL : json_loads(text.data, JSON_DECODE_INT_AS_REAL, NULL);
    buf_release(&text);
    if (st)
        return st;
    if (!*document)
        return st_place(st_fail(ST_INVALID, "SQL", "the SQL cannot be analysed"), "%s", w->pointer);
    if (json_is_true(json_object_get(*document, "error"))) {
        const char *position = member(*document, "position");
        size_t offset = *position ? strtoull(position, NULL, 10) : DUCK_NO_OFFSET;
        st = st_fail(ST_INVALID, "SQL", "%s",
                     strcmp(member(*document, "error_type"), "not implemented")
                         ? member(*document, "error_message")
                         : "only one SELECT is allowed");
        if (offset != DUCK_NO_OFFSET)
            offset = offset < w->skip ? 0 : offset - w->skip;
        return syntax_place(st, w->pointer, w->sql, offset);
    }
    json_t *statements = json_object_get(*document, "statements");
    if (json_array_size(statements) != 1)
        return st_place(st_fail(ST_INVALID, "SQL", "one SELECT is allowed, not %zu statements",
                                json_array_size(statements)),
                        "%s", w->pointer);
    *statement = json_array_get(statements, 0);
    return ST_OK;
}

static enum st check(struct walk *w, const json_t *statement)
{
    w->names = json_object();
    w->functions = json_object();
    enum st st = w->names && w->functions ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
    if (!st)
        st = collect(w, statement);
    if (!st)
        st = check_tree(w, statement);
    if (!st)
        st = check_stability(w);
    json_decref(w->names);
    json_decref(w->functions);
    return st;
}

enum st syntax_check_query(struct duck *d, const struct store_definition *definition)
{
    struct walk w = {
        .duck = d, .definition = definition, .sql = definition->prepare, .pointer = "/prepare"};
    json_t *document = NULL, *statement = NULL;
    enum st st = parse(&statement, &document, &w, w.sql);
    if (!st)
        st = check(&w, statement);
    json_decref(document);
    return st;
}

/* `SELECT <text>` must come back as one column and nothing around it: then the text is one
 * expression and can stand between parentheses. */
static enum st parse_alone(json_t **expression, json_t **document, struct walk *w, const char *head,
                           const char *tail)
{
    static const char *const nothing[] = {"where_clause", "having", "sample", "qualify", NULL};
    static const char *const empty[] = {"group_expressions", "group_sets", "modifiers", NULL};
    struct buf sql;
    buf_init(&sql, 1u << 20);
    buf_addf(&sql, "%s%s\n%s", head, w->sql, tail);
    w->skip = strlen(head);
    json_t *statement = NULL;
    enum st st = buf_status(&sql);
    if (!st)
        st = parse(&statement, document, w, sql.data);
    buf_release(&sql);
    if (st)
        return st;
    json_t *node = json_object_get(statement, "node");
    json_t *list = json_object_get(node, "select_list");
    *expression = json_array_get(list, 0);
    bool alone = json_array_size(list) == 1 && !*member(*expression, "alias") &&
                 !strcmp(member(json_object_get(node, "from_table"), "type"), "EMPTY") &&
                 !json_array_size(json_object_get(json_object_get(node, "cte_map"), "map"));
    for (size_t i = 0; nothing[i]; i++)
        alone = alone && !json_is_object(json_object_get(node, nothing[i]));
    for (size_t i = 0; empty[i]; i++)
        alone = alone && !json_array_size(json_object_get(node, empty[i]));
    return alone ? ST_OK
                 : st_place(st_fail(ST_INVALID, "SQL", "one expression is expected here"), "%s",
                            w->pointer);
}

enum st syntax_check_expression(struct duck *d, const char *text, const char *pointer)
{
    struct walk w = {.duck = d, .sql = text, .pointer = pointer, .scalar = true};
    json_t *document = NULL, *expression = NULL;
    enum st st = parse_alone(&expression, &document, &w, "SELECT ", "");
    if (!st)
        st = check(&w, expression);
    json_decref(document);
    return st;
}

enum st syntax_check_type(struct duck *d, const char *type, const char *pointer)
{
    struct walk w = {.duck = d, .sql = type, .pointer = pointer, .scalar = true};
    json_t *document = NULL, *expression = NULL;
    enum st st = parse_alone(&expression, &document, &w, "SELECT CAST(NULL AS ", ")");
    if (!st && (strcmp(member(expression, "class"), "CAST") != 0 ||
                strcmp(member(json_object_get(expression, "child"), "class"), "CONSTANT") != 0))
        st = st_place(st_fail(ST_INVALID, "SQL", "a type's name is expected here"), "%s", pointer);
    json_decref(document);
    return st;
}
