/* What the files about sources of text share: a source, a reading of it, and who splits. */
#ifndef EVERLINE_INGEST_TEXT_INTERNAL_H
#define EVERLINE_INGEST_TEXT_INTERNAL_H

#include "ingest/csv.h"
#include "ingest/ndjson.h"
#include "ingest/reader.h"
#include "ingest/source_internal.h"

#include <pthread.h>

struct source_text {
    const struct store_source *source;
    const struct task_source *files;
    size_t number;
    const struct ingest_progress *progress;
    struct duck_feed feed;
    struct duck_statement *columns; /* of the relation */
    size_t column_count;
    unsigned char *shapes; /* as of struct record_reader */

    pthread_mutex_t lock; /* of what follows */
    size_t **orders;      /* by file: which column its i-th is; NULL: the i-th */
    bool is_counting;     /* some reading does */
    bool ended;           /* it came to the end of the files */
    struct source_ledger counted;
};

/* The declared column that is the file's i-th (from 1), or NULL. */
const struct store_column *text_declared(const struct source_text *t, const size_t *order,
                                         size_t i);

/* ---- for struct duck_feed ---- */

#define TEXT_UNCOUNTED ((int64_t)1 << 62) /* in a place */

enum st text_reading_begin(void **reading, void *source) ST_MUST_USE;
void text_reading_end(void *reading);
enum st text_worker_open(void **worker, void *reading) ST_MUST_USE;
void text_worker_close(void *worker);
enum st text_worker_fill(size_t *count, struct duck_rows *rows, void *worker) ST_MUST_USE;

#endif
