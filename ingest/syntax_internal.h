/* What the two files about syntax share. */
#ifndef EVERLINE_INGEST_SYNTAX_INTERNAL_H
#define EVERLINE_INGEST_SYNTAX_INTERNAL_H

#include "base/json.h"
#include "ingest/syntax.h"

struct walk {
    struct duck *duck;
    const struct store_definition *definition; /* NULL: an expression */
    const char *sql, *pointer;
    size_t skip; /* bytes put in front of `sql` before it was parsed */
    bool scalar;
};

/* A node's member as text, "" when it has none. Borrowed. */
static inline const char *syntax_text(const json_t *node, const char *name)
{
    const char *text = json_string_value(json_object_get(node, name));
    return text ? text : "";
}

/* Judges a tree. */
enum st syntax_walk(struct walk *w, const json_t *tree) ST_MUST_USE;

#endif
