/* What the files of the sorter share. */
#ifndef EVERLINE_INGEST_SORT_INTERNAL_H
#define EVERLINE_INGEST_SORT_INTERNAL_H

#include "ingest/merge.h"

/* A record of a heap that is being sorted: its key's first eight bytes beside its place, so that
 * comparing seldom leaves the entries. */
struct sort_entry {
    uint64_t prefix;
    const unsigned char *head; /* as record_at takes it */
};

/* In order; all have the same prefix in front of the lowest `bits`. They are moved to and fro
 * between `e` and `spare`: returns where they are in the end. */
#define SORT_WIDTH_MAX 16u
#define SORT_BUCKETS ((size_t)1 << SORT_WIDTH_MAX) /* of `ends`, which is scratch memory */
struct sort_entry *sort_entries(struct sort_entry *e, struct sort_entry *spare, uint32_t *ends,
                                size_t count, unsigned bits);

#endif
