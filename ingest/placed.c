/* `prepare` with a column more, which says where a row comes from. A column that is always there
 * would not do: `SELECT *` would see it, and so would DISTINCT. So the syntax tree is changed:
 * another relation in FROM, and one more item in the list.
 *
 * Three things must hold. The column changes nothing but itself: no name in the tree can mean it,
 * and nothing but a plain star stands for all columns of the relation (a row as a whole would have
 * it, too). A row is made of one record: ingest/plan_placed.c sees to that. And what is written
 * from the tree says what the tree says: DuckDB writes 1e-1 as 0.1, which is a DECIMAL; so it is
 * parsed again, and must give the same tree. Volatile functions are refused anyway
 * (ingest/syntax_walk.c).
 */
#include "ingest/placed.h"

#include "ingest/syntax_internal.h"

#include <string.h>
#include <strings.h>

#define TREE_MAX (64u << 20)

/* ---- the tree ---- */

struct tree {
    const char *column;   /* the name that may not be in it */
    const char *relation; /* what the source is called in it */
    bool named;           /* the name is in it */
    bool refused;         /* something in it would see the column */
    bool star;            /* its list gives the column already */
};

static bool is_plain_star(const json_t *node)
{
    return !strcmp(syntax_text(node, "class"), "STAR") &&
           json_is_false(json_object_get(node, "columns")) &&
           json_is_null(json_object_get(node, "expr"));
}

/* A column that is called like the relation would be found first, but not by a look at the tree. */
static bool is_whole_row(const struct tree *t, const json_t *node)
{
    json_t *names = json_object_get(node, "column_names");
    const char *last = json_string_value(json_array_get(names, json_array_size(names) - 1));
    return !strcmp(syntax_text(node, "class"), "COLUMN_REF") &&
           (!last || !strcasecmp(last, t->relation));
}

static bool is_double(const json_t *constant)
{
    return !strcmp(syntax_text(json_object_get(constant, "type"), "id"), "DOUBLE");
}

static void look(struct tree *t, json_t *value);

static void look_at_members(struct tree *t, json_t *object)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, key, value)
    {
        t->named = t->named || !strcasecmp(key, t->column);
        if (json_is_real(value) && !strcmp(key, "query_location")) /* 2^64-1: not known */
            t->refused = json_object_set_new(object, key, json_integer(0)) || t->refused;
        else if (!json_is_real(value) || !is_double(object))
            look(t, value);
    }
}

/* Other real numbers may be integers that are too large for jansson, and are not what they were. */
static void look(struct tree *t, json_t *value)
{
    const char *word = json_string_value(value);
    t->named = t->named || (word && !strcasecmp(word, t->column));
    t->refused = t->refused || json_is_real(value);
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++)
        look(t, json_array_get(value, i));
    if (!json_is_object(value))
        return;
    t->refused =
        t->refused || !strcmp(syntax_text(value, "class"), "STAR") || is_whole_row(t, value);
    look_at_members(t, value);
}

/* Stars of the list itself may be there: they give the column as they give the others. */
static void look_at_list(struct tree *t, json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        bool star = is_plain_star(item);
        t->star = t->star || star;
        if (star)
            look_at_members(t, item);
        else
            look(t, item);
    }
}

static bool is_empty(const json_t *node, const char *const *names)
{
    bool empty = true;
    for (; *names; names++) {
        json_t *value = json_object_get(node, *names);
        empty = empty && (json_is_null(value) || (json_is_array(value) && !json_array_size(value)));
    }
    return empty;
}

/* SELECT ... FROM a source WHERE ..., and nothing else. */
static bool is_simple(const json_t *node)
{
    static const char *const NODE[] = {"modifiers", "group_expressions", "group_sets", "having",
                                       "sample",    "qualify",           NULL};
    static const char *const FROM[] = {"sample", "column_name_alias", "at_clause", NULL};
    const json_t *from = json_object_get(node, "from_table");
    json_t *ctes = json_object_get(json_object_get(node, "cte_map"), "map");
    return !strcmp(syntax_text(node, "type"), "SELECT_NODE") &&
           !strcmp(syntax_text(node, "aggregate_handling"), "STANDARD_HANDLING") &&
           !json_array_size(ctes) && is_empty(node, NODE) &&
           !strcmp(syntax_text(from, "type"), "BASE_TABLE") && is_empty(from, FROM);
}

/* ---- names ---- */

static bool has_column(struct duck_statement *s, const char *name)
{
    for (size_t i = 0; i < duck_statement_columns(s); i++)
        if (!strcasecmp(duck_statement_name(s, i), name))
            return true;
    return false;
}

/* "#place", "#place#" ...: the first that is free. */
static bool find_name(struct placed *p, struct duck_statement *columns, json_t *node, bool *star)
{
    const json_t *from = json_object_get(node, "from_table");
    const char *alias = syntax_text(from, "alias");
    struct tree t;
    size_t len = (size_t)snprintf(p->column, sizeof p->column, "#place");
    do {
        t = (struct tree){.column = p->column,
                          .relation = *alias ? alias : syntax_text(from, "table_name")};
        look_at_list(&t, json_object_get(node, "select_list"));
        look(&t, json_object_get(node, "where_clause"));
        t.named = t.named || !strcasecmp(t.relation, p->column) || has_column(columns, p->column);
        if (t.named)
            p->column[len++] = '#';
        p->column[len] = '\0';
    } while (t.named && !t.refused && len < sizeof p->column - 1);
    *star = t.star;
    return !t.named && !t.refused;
}

static enum st source_columns(struct duck_statement **out, struct duck *d, const char *source)
{
    struct buf sql;
    buf_init(&sql, 1024);
    buf_addstr(&sql, "SELECT * FROM ");
    duck_add_name(&sql, source);
    enum st st = buf_status(&sql);
    if (!st)
        st = duck_prepare(out, d, sql.data);
    buf_release(&sql);
    return st;
}

/* ---- the other statement ---- */

static enum st change(const struct placed *p, json_t *node, bool star)
{
    json_t *from = json_object_get(node, "from_table");
    bool named = *syntax_text(from, "alias");
    bool whole = named || !json_object_set(from, "alias", json_object_get(from, "table_name"));
    whole = whole && !json_object_set_new(from, "schema_name", json_string("#")) &&
            !json_object_set_new(from, "table_name", json_string("source"));
    if (whole && !star)
        whole = !json_array_append_new(json_object_get(node, "select_list"),
                                       json_pack("{s:s, s:s, s:s, s:i, s:[s]}", "class",
                                                 "COLUMN_REF", "type", "COLUMN_REF", "alias", "",
                                                 "query_location", 0, "column_names", p->column));
    return whole ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory");
}

static enum st write_sql(struct buf *out, struct duck *d, const json_t *document)
{
    struct buf tree, sql;
    size_t rows, columns;
    buf_init(&tree, TREE_MAX);
    buf_init(&sql, TREE_MAX);
    jx_write(&tree, document, false);
    enum st st = buf_status(&tree);
    buf_addstr(&sql, "SELECT json_deserialize_sql(");
    if (!st)
        duck_add_literal(&sql, tree.data);
    buf_addstr(&sql, "::JSON)");
    if (!st)
        st = buf_status(&sql);
    if (!st)
        st = duck_text(out, &rows, &columns, d, "writing a statement", sql.data);
    buf_release(&tree);
    buf_release(&sql);
    return st;
}

/* Where things stood in the text. */
static void forget_locations(json_t *value)
{
    const char *key;
    json_t *member;
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++)
        forget_locations(json_array_get(value, i));
    json_object_del(value, "query_location");
    json_object_foreach(value, key, member) forget_locations(member);
}

/* ST_NOT_FOUND without a report: it does not. */
static enum st must_say(struct duck *d, const char *sql, json_t *document)
{
    struct buf syntax;
    json_t *again = NULL;
    buf_init(&syntax, TREE_MAX);
    enum st st = duck_syntax(&syntax, d, sql);
    if (!st)
        st = jx_parse_wide(&again, syntax.data, strlen(syntax.data));
    buf_release(&syntax);
    forget_locations(again);
    forget_locations(document);
    if (!st && !json_equal(again, document))
        st = ST_NOT_FOUND;
    json_decref(again);
    return st;
}

static enum st find(struct placed *p, struct duck *d, const struct store_definition *def,
                    json_t *document)
{
    json_t *node =
        json_object_get(json_array_get(json_object_get(document, "statements"), 0), "node");
    const char *name = syntax_text(json_object_get(node, "from_table"), "table_name");
    struct duck_statement *columns = NULL;
    bool star;
    while (p->source < def->source_count && strcasecmp(def->sources[p->source].name, name) != 0)
        p->source++;
    if (!is_simple(node) || p->source == def->source_count)
        return ST_NOT_FOUND;
    enum st st = source_columns(&columns, d, name);
    if (!st && !find_name(p, columns, node, &star))
        st = ST_NOT_FOUND;
    duck_statement_free(columns);
    if (st)
        return st;
    st = change(p, node, star);
    if (!st)
        st = write_sql(&p->sql, d, document);
    return st ? st : must_say(d, p->sql.data, document);
}

enum st placed_find(struct placed *p, struct duck *d, const struct store_definition *definition)
{
    struct buf syntax;
    json_t *document = NULL;
    *p = (struct placed){0};
    buf_init(&p->sql, TREE_MAX);
    buf_init(&syntax, TREE_MAX);
    enum st st = duck_syntax(&syntax, d, definition->prepare);
    if (!st)
        st = jx_parse_wide(&document, syntax.data, strlen(syntax.data));
    buf_release(&syntax);
    if (!st)
        st = find(p, d, definition, document);
    json_decref(document);
    return st;
}

void placed_release(struct placed *p)
{
    buf_release(&p->sql);
}
