/* What an error about SQL may say once tables have columns that files name. Room-private. */
#ifndef EVERLINE_INGEST_GUARD_H
#define EVERLINE_INGEST_GUARD_H

#include "base/json.h"

/* Every word of `text` stands in the definition's document too, or is one of DuckDB's own. */
bool guard_may_say(const json_t *document, const char *text);

#endif
