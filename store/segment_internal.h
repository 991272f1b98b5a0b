/* Names and numbers of the segment format that writer and reader share. Room-private. */
#ifndef EVERLINE_STORE_SEGMENT_INTERNAL_H
#define EVERLINE_STORE_SEGMENT_INTERNAL_H

#include "base/json.h"
#include "store/segment.h"

#include <lmdb.h>

#define SEGMENT_META "meta"
#define SEGMENT_RECORDS "records"
#define SEGMENT_META_KEY "segment"
#define SEGMENT_DB_NAME_SIZE 1024
#define SEGMENT_META_MAX (1u << 20)

enum segment_kind { SEGMENT_ROW = 1, SEGMENT_TOMBSTONE = 2 }; /* the first byte of a record */

/* "rollup:<name>:<dimension,...>": the grouping set is part of the name. */
void segment_rollup_name(char out[SEGMENT_DB_NAME_SIZE], const struct store_rollup *rollup);

#endif
