/* The watched inbox: a batch that lies complete in INBOX/TENANT/DATASET/BATCH/ becomes a job, when
 * the dataset's definition says `watch_inbox`. Complete: there is a file _SUCCESS (the other files
 * are the batch), or manifest.json, {"sources":[{"source","path"}]} with paths below the batch.
 * Files are only read, and stay. */
#ifndef EVERLINE_API_WATCH_H
#define EVERLINE_API_WATCH_H

#include "store/keeper.h"

struct api_watch;

/* `inbox` NULL: nothing is watched, and *out is NULL. Borrowed until stop. */
enum st api_watch_start(struct api_watch **out, const char *inbox,
                        struct store_keeper *keeper) ST_MUST_USE;
void api_watch_stop(struct api_watch *w); /* accepts NULL */

#endif
