/* Rows come in any order: from several threads, out of joins, with insertion order given up. What
 * picks rows by their place would make another version of the same batch: LIMIT, DISTINCT ON,
 * aggregates that keep the order they were fed in, and windows that count rows. With an ORDER BY
 * they are the definition's responsibility, which must break ties (README, Definition).
 */
#include "ingest/unordered.h"

#include <string.h>
#include <strings.h>

static const char *text(const json_t *node, const char *name)
{
    const char *s = json_string_value(json_object_get(node, name));
    return s ? s : "";
}

static bool listed(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (!strcasecmp(*list, name))
            return true;
    return false;
}

/* any_value is not here: it says that it does not matter which. */
static const char *const aggregates[] = {"first",        "last",    "arbitrary",
                                         "array_agg",    "list",    "string_agg",
                                         "group_concat", "listagg", NULL};
static const char *const macros[] = {"json_group_array", "json_group_object",
                                     "json_group_structure", NULL}; /* take no ORDER BY */
static const char *const windows[] = {
    "WINDOW_ROW_NUMBER",  "WINDOW_NTILE",      "WINDOW_LEAD",      "WINDOW_LAG",
    "WINDOW_FIRST_VALUE", "WINDOW_LAST_VALUE", "WINDOW_NTH_VALUE", NULL};

static bool counts_rows(const json_t *window)
{
    return strstr(text(window, "start"), "_ROWS") || strstr(text(window, "end"), "_ROWS");
}

static const char *in_function(const json_t *node)
{
    const char *name = text(node, "function_name");
    json_t *orders = json_object_get(json_object_get(node, "order_bys"), "orders");
    bool bad = listed(macros, name) || (listed(aggregates, name) && !json_array_size(orders));
    return bad ? name : NULL;
}

static const char *in_window(const json_t *node)
{
    const char *name = text(node, "function_name");
    if (json_array_size(json_object_get(node, "orders")))
        return NULL;
    if (listed(aggregates, name) && json_array_size(json_object_get(node, "arg_orders")))
        return NULL;
    bool bad = listed(windows, text(node, "type")) || listed(aggregates, name) || counts_rows(node);
    return bad ? name : NULL;
}

static const char *in_modifiers(const json_t *modifiers)
{
    const char *word = NULL;
    for (size_t i = 0; i < json_array_size(modifiers); i++) {
        json_t *modifier = json_array_get(modifiers, i);
        const char *type = text(modifier, "type");
        if (!strcmp(type, "ORDER_MODIFIER"))
            return NULL;
        if (!strcmp(type, "LIMIT_MODIFIER") || !strcmp(type, "LIMIT_PERCENT_MODIFIER"))
            word = "LIMIT";
        else if (json_array_size(json_object_get(modifier, "distinct_on_targets")))
            word = "DISTINCT ON";
    }
    return word;
}

const char *unordered_word(const json_t *node)
{
    const char *class = text(node, "class");
    if (!strcmp(class, "FUNCTION"))
        return in_function(node);
    if (!strcmp(class, "WINDOW"))
        return in_window(node);
    return in_modifiers(json_object_get(node, "modifiers"));
}
