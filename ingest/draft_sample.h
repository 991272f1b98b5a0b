/* The beginning of a file, and what its columns look like. Room-private. */
#ifndef EVERLINE_INGEST_DRAFT_SAMPLE_H
#define EVERLINE_INGEST_DRAFT_SAMPLE_H

#include "ingest/task.h"

struct draft_sample {
    const struct task_file *file; /* borrowed */
    enum store_format format;
    struct store_dialect dialect; /* of CSV */
    json_t *types;                /* {column: type}, in their order */

    /* What follows is the sampler's. */
    char *bytes;
    size_t len;
    bool whole; /* the file has no more */
};

/* To be released whatever comes of it. The failures of opening and reading the file, and of a CSV
 * header; ST_INVALID, code PARQUET or EMPTY_SAMPLE. */
enum st draft_sample_take(struct draft_sample *s, const struct task_file *file) ST_MUST_USE;
void draft_sample_release(struct draft_sample *s);

#endif
