/* Which SQL asks for an order that rows do not have. Room-private. */
#ifndef EVERLINE_INGEST_UNORDERED_H
#define EVERLINE_INGEST_UNORDERED_H

#include "base/json.h"

/* Judges one node of DuckDB's syntax tree, not what is below it: the word that needs an ORDER BY
 * and has none ("LIMIT", "first"), or NULL. Borrowed from the node. */
const char *unordered_word(const json_t *node);

#endif
