/* Which record of which file a prepared row is: known where `prepare` does no more than pick rows
 * and columns of one source. Room-private. */
#ifndef EVERLINE_INGEST_PLACED_H
#define EVERLINE_INGEST_PLACED_H

#include "base/buf.h"
#include "ingest/duck.h"
#include "store/definition.h"

#define PLACED_COLUMN_SIZE 32
#define PLACED_SOURCE "\"#\".source" /* the relation that takes the source's place */

struct placed {
    size_t source;                   /* of the definition's */
    char column[PLACED_COLUMN_SIZE]; /* a name that neither the source nor `prepare` has */
    struct buf sql;                  /* `prepare` from PLACED_SOURCE, with `column` as well */
};

/* ST_NOT_FOUND without a report: it cannot be, or not be seen to be, such a SELECT. The sources'
 * relations must be there. Release also after a failure. */
enum st placed_find(struct placed *p, struct duck *d,
                    const struct store_definition *definition) ST_MUST_USE;
void placed_release(struct placed *p); /* accepts a zeroed struct */

#endif
