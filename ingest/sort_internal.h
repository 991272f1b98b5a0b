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

/* In order. All have the same prefix in front of the lowest `bits`. */
void sort_entries(struct sort_entry *e, size_t count, unsigned bits);

#endif
