/* Progress for the person who waits: a bar on a terminal, a line every few seconds otherwise. On
 * stderr. Room-private. */
#ifndef EVERLINE_INGEST_PROGRESS_H
#define EVERLINE_INGEST_PROGRESS_H

#include "ingest/source.h"

struct progress_view {
    const char *dataset;
    bool terminal;
    const char *phase;
    uint64_t start_ns, shown_ns;
};

void progress_view_init(struct progress_view *v, const char *dataset);
/* An ingest_progress_fn; ctx is the view. */
void progress_view_tell(const char *phase, uint64_t rows, uint64_t total, void *ctx);
void progress_view_end(struct progress_view *v); /* leaves the terminal's line */

#endif
