#include "ingest/syntax_internal.h"

#include <stdlib.h>
#include <string.h>

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

/* The parsed statement, or the parser's complaint. `sql` has w->skip bytes in front of w->sql. */
static enum st parse(json_t **statement, json_t **document, struct walk *w, const char *sql)
{
    struct buf text;
    buf_init(&text, 64u << 20);
    enum st st = duck_syntax(&text, w->duck, sql);
    if (!st) /* wide: an unknown location is 2^64-1 */
        st = jx_parse_wide(document, text.data, strlen(text.data));
    buf_release(&text);
    if (st == ST_INVALID)
        st = st_place(st_fail(ST_INVALID, "SQL", "the SQL cannot be analysed"), "%s", w->pointer);
    if (st)
        return st;
    if (json_is_true(json_object_get(*document, "error"))) {
        const char *position = syntax_text(*document, "position");
        size_t offset = *position ? strtoull(position, NULL, 10) : DUCK_NO_OFFSET;
        st = duck_refuse(strcmp(syntax_text(*document, "error_type"), "not implemented")
                             ? syntax_text(*document, "error_message")
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

enum st syntax_check_query(struct duck *d, const struct store_definition *definition)
{
    struct walk w = {
        .duck = d, .definition = definition, .sql = definition->prepare, .pointer = "/prepare"};
    json_t *document = NULL, *statement = NULL;
    enum st st = parse(&statement, &document, &w, w.sql);
    if (!st)
        st = syntax_walk(&w, statement);
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
    bool alone = json_array_size(list) == 1 && !*syntax_text(*expression, "alias") &&
                 !strcmp(syntax_text(json_object_get(node, "from_table"), "type"), "EMPTY") &&
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
        st = syntax_walk(&w, expression);
    json_decref(document);
    return st;
}

enum st syntax_check_type(struct duck *d, const char *type, const char *pointer)
{
    struct walk w = {.duck = d, .sql = type, .pointer = pointer, .scalar = true};
    json_t *document = NULL, *expression = NULL;
    enum st st = parse_alone(&expression, &document, &w, "SELECT CAST(NULL AS ", ")");
    if (!st &&
        (strcmp(syntax_text(expression, "class"), "CAST") != 0 ||
         strcmp(syntax_text(json_object_get(expression, "child"), "class"), "CONSTANT") != 0))
        st = st_place(st_fail(ST_INVALID, "SQL", "a type's name is expected here"), "%s", pointer);
    json_decref(document);
    return st;
}
