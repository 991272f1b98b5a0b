/* The plan over the rows of a source with their places, when each row of it is made of one row of
 * that, and no two of the same one. DuckDB's own plan says so: it may have nothing but projections
 * and filters above one scan. Aggregates, joins, unnest and the like need no list here, which could
 * lack one. */
#include "ingest/plan_internal.h"

#include "ingest/syntax_internal.h"

#include <string.h>
#include <strings.h>

#define EXPLAINED_MAX (16u << 20)

static bool is_named(const json_t *node, const char *const *names)
{
    const char *name = syntax_text(node, "name");
    size_t len = strcspn(name, " "); /* some have a space behind them */
    for (; *names; names++)
        if (strlen(*names) == len && !strncasecmp(*names, name, len))
            return true;
    return false;
}

/* A long IN (...) is a join that marks each row, and multiplies none. */
static bool is_mark(const json_t *node, const json_t *children)
{
    static const char *const JOIN[] = {"HASH_JOIN", NULL}, *const LIST[] = {"COLUMN_DATA_SCAN",
                                                                            NULL};
    return is_named(node, JOIN) && json_array_size(children) == 2 &&
           is_named(json_array_get(children, 1), LIST) &&
           !strcmp(syntax_text(json_object_get(node, "extra_info"), "Join Type"), "MARK");
}

/* One scan, and above it nothing that adds rows or makes one of several. */
static bool is_one_to_one(const json_t *plan)
{
    static const char *const SCANS[] = {"#read", "READ_PARQUET", NULL};
    static const char *const STEPS[] = {"PROJECTION", "FILTER", NULL};
    const json_t *node = json_array_get(plan, 0), *children = json_object_get(node, "children");
    bool one = json_array_size(plan) == 1;
    while (one && json_array_size(children)) {
        one = (is_named(node, STEPS) && json_array_size(children) == 1) || is_mark(node, children);
        node = json_array_get(children, 0);
        children = json_object_get(node, "children");
    }
    return one && is_named(node, SCANS);
}

/* ST_NOT_FOUND without a report: it is not so, or nobody knows. */
static enum st check_plan(struct duck *d)
{
    struct buf plan;
    size_t rows = 0, columns = 0;
    json_t *document = NULL;
    buf_init(&plan, EXPLAINED_MAX);
    enum st st = duck_text(&plan, &rows, &columns, d, "explaining prepare",
                           "EXPLAIN (FORMAT JSON) SELECT * FROM \"#\".placed");
    if (!st && (rows != 1 || columns != 2))
        st = ST_NOT_FOUND;
    if (!st) { /* its kind comes first */
        const char *tree = plan.data + strlen(plan.data) + 1;
        st = jx_parse_wide(&document, tree, strlen(tree));
    }
    if (!st && !is_one_to_one(document))
        st = ST_NOT_FOUND;
    json_decref(document);
    buf_release(&plan);
    return st;
}

static enum st prepare_placed(struct binding *b)
{
    buf_reset(&b->sql);
    buf_addf(&b->sql, "CREATE VIEW \"#\".placed AS %s", b->placed->sql.data);
    enum st st = buf_status(&b->sql);
    if (!st)
        st = duck_run(b->duck, "placing the prepared rows", b->sql.data);
    if (!st)
        st = check_plan(b->duck);
    return st ? st : duck_prepare(&b->prepared, b->duck, "SELECT * FROM \"#\".placed");
}

enum st plan_bind_placed(struct plan *out, struct duck *d,
                         const struct store_definition *definition, const struct placed *placed)
{
    struct binding b = {.duck = d, .definition = definition, .plan = out, .placed = placed};
    *out = (struct plan){0};
    buf_init(&b.sql, PLAN_SQL_MAX);
    enum st st = prepare_placed(&b);
    if (!st)
        st = plan_bind_parts(&b);
    duck_statement_free(b.prepared);
    buf_release(&b.sql);
    if (st)
        plan_release(out);
    return st;
}
