/* A CSV file without a header line has its first record for column names, so names of columns may
 * be personal values, and DuckDB's messages are full of them: candidates, types of structs, what a
 * star expands to. Looking for those names in a message would rely on DuckDB writing them as they
 * are. So it is the other way round: a message passes when it is made of nothing but words of the
 * definition, which its author wrote, and words that are known to be DuckDB's.
 */
#include "ingest/guard.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* None of them is a name. */
static const char own[] =
    "a add aggregate aggregates alias all allowed also ambiguous an and any apply argument "
    "arguments array as asof at base be because been before between bigint bignum bind "
    "binder bit blob boolean both but by bytes call called can cannot case cast casts "
    "catalog choose clause clauses collation column columns combine compare comparison "
    "comparisons contain contains conversion convert correlated could cte date decimal "
    "default defined depth different do does double duplicate element empty entry enum error "
    "exist exists expected explicit explicitly expression expressions filter float for found "
    "from function functions given group grouping has have having hugeint if implicit "
    "implicitly in index inner input integer integer_literal interval into invalid is it its "
    "join json lambda left length level list literal macro make map match matches maximum "
    "might minimum missing mix mixed more multiple must name named names need needs nested "
    "no non not null nulls number of on one only operand operands operation operations "
    "operator operators or order out outer over parameter parameters part partition pivot "
    "possible provided qualified qualify query recursive reference referenced references "
    "required requires result return returns right row rows same scalar schema select set "
    "sets should side single size smallint specified sql statement string string_literal "
    "struct subqueries subquery subscript such supported syntax table tables than that the "
    "their them there this time timestamp timestamptz tinyint to too two type types ubigint "
    "uhugeint uinteger unable union unique unknown unnamed unnest unpivot unsupported use "
    "used using usmallint utinyint uuid valid value values varchar view was when where which "
    "window with within without you your zone ";

/* Bytes of UTF-8 belong to words. */
static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* The next word at or after `text`; NULL when there is none. */
static const char *next_word(const char *text, size_t *len)
{
    while (*text && !in_word(*text))
        text++;
    for (*len = 0; in_word(text[*len]); ++*len)
        ;
    return *len ? text : NULL;
}

static bool is_in(const char *text, const char *word, size_t len)
{
    size_t n;
    for (; (text = next_word(text, &n)); text += n)
        if (n == len && !strncasecmp(text, word, len))
            return true;
    return false;
}

static bool is_written(const json_t *node, const char *word, size_t len)
{
    const char *key;
    json_t *value;
    if (json_is_string(node))
        return is_in(json_string_value(node), word, len);
    for (size_t i = 0; i < json_array_size(node); i++)
        if (is_written(json_array_get(node, i), word, len))
            return true;
    json_object_foreach((json_t *)(uintptr_t)node, key, value)
    {
        if (is_in(key, word, len) || is_written(value, word, len))
            return true;
    }
    return false;
}

bool guard_may_say(const json_t *document, const char *text)
{
    size_t len;
    for (; (text = next_word(text, &len)); text += len)
        if (!is_in(own, text, len) && !is_written(document, text, len))
            return false;
    return true;
}
